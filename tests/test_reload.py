"""Reload beside running requests: what is kept, who waits, what is left behind.

LBCORE_RELOADS (300) is how many reloads the long tests do; ``make soak`` does 10,000.
"""

import dataclasses
import gc
import json
import os
import pathlib
import subprocess
import sys
import threading
import weakref

import pytest

import lbcore
import lbcore.engine
import stalls
from lbcore._core import Stopped, Yielder, dismantle
from lbcore.engine import (
    BackendSpec,
    Engine,
    KeySpec,
    ListenerSpec,
    MatchSpec,
    RuleSpec,
    Spec,
    StreamSpec,
    TargetSpec,
    UpstreamSpec,
)

N_RELOADS = int(os.environ.get("LBCORE_RELOADS", "300"))
WEB, TCP = ListenerSpec("web", "HTTP", 80), ListenerSpec("tcp", "TCP", 81)
OTHER = ListenerSpec("other", "HTTP", 8080)


def upstream(name, *addresses, **more):
    return UpstreamSpec(name, tuple(TargetSpec(address) for address in addresses), **more)


def rule(name, *backends, listener="web", **more):
    return RuleSpec(
        name, {listener: (f"{name}.example",)}, backends=tuple(map(BackendSpec, backends)), **more
    )


SPEC = Spec(
    (WEB, TCP, OTHER),
    (upstream("a", "a:1", "a:2"), upstream("b", "b:1", "b:2"), upstream("c", "c:1")),
    (rule("one", "a", "b"), rule("two", "b"), rule("three", "c", listener="other")),
    (StreamSpec("flow", ("tcp",), (BackendSpec("a"), BackendSpec("c"))),),
)


def engine_of(first=SPEC):
    return Engine(first, lambda source: source, first)


def changed(spec=SPEC, **upstreams):
    """``spec`` with other targets for some upstreams."""
    return dataclasses.replace(
        spec,
        upstreams=tuple(
            upstream(u.name, *upstreams.get(u.name, [t.address for t in u.targets])) for u in spec.upstreams
        ),
    )


def copied(spec):
    """An equal Spec that shares nothing with ``spec``, as a loader would read it again."""
    return Spec(*(tuple(dataclasses.replace(part) for part in group) for group in
                  (spec.listeners, spec.upstreams, spec.rules, spec.streams)))  # fmt: skip


def route(engine, name, port=80):
    return engine.match("GET", f"{name}.example", "/", port=port).route


# ---- what has not changed is not touched ------------------------------------------------------------------------


def test_the_same_again_keeps_every_object():
    engine = engine_of()
    routes, routers = engine.routes, [engine.router(80), engine.router(8080)]
    stream, upstreams = engine.match_stream("TCP", 81).route, dict(engine.upstreams)
    assert not engine.reload(copied(SPEC))
    assert [engine.router(80), engine.router(8080)] == routers
    assert engine.routes == routes and all(x is y for x, y in zip(engine.routes, routes, strict=True))
    assert engine.match_stream("TCP", 81).route is stream
    assert engine.upstreams == upstreams


def test_one_changed_rule_leaves_its_neighbours_and_other_ports():
    engine = engine_of()
    one, two, three = route(engine, "one"), route(engine, "two"), route(engine, "three", 8080)
    router = engine.router(8080)
    new = dataclasses.replace(SPEC.rules[0], matches=(MatchSpec("/x"),))
    changes = engine.reload(copied(dataclasses.replace(SPEC, rules=(new, *SPEC.rules[1:]))))
    assert changes.changed == ("rule one",)
    assert engine.router(8080) is router and route(engine, "three", 8080) is three
    assert route(engine, "two") is two and two.split is route(engine, "two").split
    assert engine.match("GET", "one.example", "/", port=80) is None
    assert engine.match("GET", "one.example", "/x", port=80).route is not one


def test_a_rule_whose_upstream_is_made_anew_draws_among_the_new_ones():
    engine = engine_of()
    one, three = route(engine, "one"), route(engine, "three", 8080)
    new = (SPEC.upstreams[0], dataclasses.replace(SPEC.upstreams[1], policy="random"), SPEC.upstreams[2])
    engine.reload(copied(dataclasses.replace(SPEC, upstreams=new)))
    assert route(engine, "one") is not one and route(engine, "three", 8080) is three
    assert [b.upstream for b in route(engine, "one").split.backends] == [
        engine.upstreams["a"],
        engine.upstreams["b"],
    ]


def test_a_rule_that_changed_owes_what_it_owed():
    """By hand: of 4 draws 3:1, one before the reload and three after it, exactly one goes to b."""
    weighted = RuleSpec("one", {"web": ()}, backends=(BackendSpec("a", 3), BackendSpec("b", 1)))
    first = dataclasses.replace(SPEC, rules=(weighted,))
    for n_before in range(1, 4):
        engine = engine_of(first)
        got = [engine.match("GET", "h", "/", port=80).acquire() for _ in range(n_before)]
        for path in ("/p", "/q"):  # twice, and nobody has met the first
            matches = (MatchSpec("/"), MatchSpec(path))
            engine.reload(dataclasses.replace(first, rules=(dataclasses.replace(weighted, matches=matches),)))
        got += [engine.match("GET", "h", "/", port=80).acquire() for _ in range(4 - n_before)]
        assert [call.upstream.name for call in got].count("b") == 1
        for call in got:
            call.done()


def test_a_stream_and_a_rule_of_one_name_are_two():
    stream = StreamSpec("one", ("tcp",), (BackendSpec("c"),))
    engine = engine_of(dataclasses.replace(SPEC, streams=(stream,)))
    assert [b.upstream.name for b in route(engine, "one").backends] == ["a", "b"]
    assert [b.upstream.name for b in engine.match_stream("tcp", 81).backends] == ["c"]


def test_a_reader_of_an_old_table_leaves_no_trace():
    engine = engine_of()
    old = engine.router(80)
    engine.reload(dataclasses.replace(SPEC, rules=(rule("one", "c"), *SPEC.rules[1:])))
    new = route(engine, "one")
    assert [b.upstream.name for b in old.match("GET", "one.example", "/").backends] == ["a", "b"]
    assert route(engine, "one") is new
    engine.reload(dataclasses.replace(SPEC, rules=SPEC.rules[1:]))
    assert old.match("GET", "one.example", "/").route.name == "one"
    engine.reload(SPEC)
    assert route(engine, "one").split is not old.match("GET", "one.example", "/").route.split


# ---- everything or nothing --------------------------------------------------------------------------------------


WRONG = {
    "unknown upstream": {"rules": (rule("one", "nobody"),)},
    "unknown listener": {"rules": (rule("one", "a", listener="nowhere"),)},
    "unknown listener of a stream": {"streams": (StreamSpec("flow", ("nowhere",)),)},
    "weight": {"rules": (RuleSpec("one", {"web": ()}, backends=(BackendSpec("a", 1_000_001),)),)},
    "key": {"rules": (rule("one", "a", key=KeySpec(("haeder:x",))),)},
    "by": {"rules": (rule("one", "a", by="weight"),)},
    "name": {"rules": (rule("o\nne", "a"),)},
    "path": {"rules": (rule("one", "a", matches=(MatchSpec("/a/../b"),)),)},
    "method": {"rules": (rule("one", "a", matches=(MatchSpec(methods=("G T",)),)),)},
    "query value": {"rules": (rule("one", "a", matches=(MatchSpec(query=(("q", "a\x01"),)),)),)},
    "host": {"rules": (RuleSpec("one", {"web": ("a b",)}),)},
    "the second upstream's targets": {"upstreams": (*changed(a=["a:3"]).upstreams[:1], upstream("b", "x:1", "x:1"),
                                                    SPEC.upstreams[2])},
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_spec_that_cannot_be_built_changes_nothing(wrong, dry_run):
    engine = engine_of()
    one, targets = route(engine, "one"), engine.upstreams["a"].targets
    targets[0].drain()
    engine.upstreams["b"].set_weight("b:1", 7)
    asked = []
    with pytest.raises(lbcore.ConfigError):
        engine.reload(dataclasses.replace(SPEC, **WRONG[wrong]), dry_run=dry_run, prepare=asked.append)
    assert engine.spec is SPEC and route(engine, "one") is one and not asked
    assert engine.upstreams["a"].targets == targets and targets[0].state == "draining"
    assert engine.upstreams["b"]["b:1"].weight == 7


def test_what_prepare_raises_stops_the_reload():
    engine = engine_of()

    def prepare(spec):
        assert spec.upstreams[0].targets[0].address == "a:9" and engine.spec is SPEC
        raise OSError("no port")

    with pytest.raises(OSError, match="no port"):
        engine.reload(changed(a=["a:9"]), prepare=prepare)
    assert engine.spec is SPEC and [t.id for t in engine.upstreams["a"]] == ["a:1", "a:2"]


def test_a_reload_inside_a_reload_is_refused():
    engine = engine_of()
    with pytest.raises(lbcore.LbcoreError, match="in the middle of a reload"):
        engine.reload(SPEC, prepare=lambda spec: engine.reload(SPEC))
    engine.reload(SPEC)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_update_that_fails_brings_back_targets_weights_and_health(monkeypatch, at):
    """The update that fails for want of memory: the others are undone, and who had left is as unwell as before."""
    engine = engine_of()
    a, b, c = (engine.upstreams[name] for name in "abc")
    a.set_health("a:1", False)
    b["b:1"].drain()
    a.set_weight("a:2", 5)
    update_all, failing = lbcore.engine._update_all, []

    class Broken:
        def __init__(self, upstream):
            self.upstream = upstream

        def update(self, targets):
            raise MemoryError

    def break_one(updates, swap):
        failing.append(updates[at].upstream.name)
        updates[at] = dataclasses.replace(updates[at], upstream=Broken(updates[at].upstream))
        update_all(updates, swap)

    monkeypatch.setattr(lbcore.engine, "_update_all", break_one)
    with pytest.raises(MemoryError):
        engine.reload(changed(a=["a:2", "a:3"], b=["b:2"], c=["c:1", "c:2"]))
    assert engine.spec is SPEC
    assert [[t.id for t in up] for up in (a, b, c)] == [["a:1", "a:2"], ["b:1", "b:2"], ["c:1"]]
    assert a["a:1"].state == "unhealthy" and b["b:1"].state == "draining" and a["a:2"].weight == 5
    assert (failing == ["c"]) == (at == 0)  # who loses nobody comes first: undoing that loses nothing


# ---- the difference ---------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_change_and_which_keys_would_move():
    keyed = dataclasses.replace(SPEC, upstreams=tuple(
        UpstreamSpec(u.name, tuple(TargetSpec(f"{u.name}:{i}") for i in range(8)), policy)
        for u, policy in zip(SPEC.upstreams, ("hash", "ring_hash", "round_robin"), strict=True)))  # fmt: skip
    engine = engine_of(keyed)
    up = engine.upstreams["a"]
    keys = [f"key {i}" for i in range(2000)]
    before = [up.pick(key).id for key in keys]
    more = dataclasses.replace(
        keyed.upstreams[0], targets=(*keyed.upstreams[0].targets[1:], TargetSpec("a:8", weight=2))
    )
    gone = dataclasses.replace(keyed.upstreams[2], targets=keyed.upstreams[2].targets[:4])
    heavier = dataclasses.replace(
        keyed.upstreams[1], targets=(TargetSpec("b:0", weight=9), *keyed.upstreams[1].targets[1:])
    )
    new = dataclasses.replace(
        keyed, upstreams=(more, heavier, gone), rules=(rule("four", "a"), *keyed.rules[1:])
    )
    changes = engine.reload(new, dry_run=True)
    assert engine.spec is keyed and [up.pick(key).id for key in keys] == before
    assert changes.added == ("rule four",) and changes.removed == ("rule one",)
    assert changes.changed == ("upstream a", "upstream b", "upstream c")
    a, b, c = (changes.upstreams[name] for name in "abc")
    assert (a.added, a.removed, a.changed) == (("a:8",), ("a:0",), ())
    assert (b.added, b.removed, b.changed) == ((), (), ("b:0",))
    assert len(c.removed) == 4 and c.moved is None
    assert json.loads(json.dumps(changes.as_dict()))["upstreams"]["a"]["moved"] == a.moved
    really = engine.reload(new)
    moved = sum(x != up.pick(key).id for x, key in zip(before, keys, strict=True)) / len(keys)
    assert abs(a.moved - moved) < 0.05 and 0.1 < a.moved < 0.4 and 0.2 < b.moved < 0.8
    assert (really.added, really.removed, really.changed) == (changes.added, changes.removed, changes.changed)
    assert really.upstreams["a"].moved is None
    assert str(really) == "1 added, 1 removed, 3 changed; targets: 1 added, 5 removed, 1 changed"


def test_a_dry_run_asks_nobody_to_prepare():
    engine_of().reload(Spec(), dry_run=True, prepare=lambda spec: pytest.fail("prepared"))


# ---- who waits --------------------------------------------------------------------------------------------------


def test_no_stretch_of_a_large_reload_holds_the_interpreter_long():
    """In the reloader's own CPU time, so that a busy machine does not matter; 20,000 routes, all met, all changed."""
    n = 20_000
    specs = [stalls.spec(n, path) for path in "abab"]
    engine = Engine(specs.pop(), lambda source: specs.pop())
    for i in range(n):
        assert engine.match("GET", f"h{i}.example.com", f"/b/{i}")
    gc.collect()
    longest = []
    for _ in range(3):
        with stalls.yielders() as made:
            engine.reload()
        longest.append(max(y.longest for y in made))
    assert min(longest) < 0.002, longest


def test_the_rows_are_out_of_the_collectors_sight():
    engine = Engine(stalls.spec(200, "a"))
    for i in range(200):
        engine.match("GET", f"h{i}.example.com", f"/a/{i}").acquire().done()
    match = engine.match("GET", "h0.example.com", "/a/0")
    seen = {type(part) for part in (match.route, match.route.split, match.route.data, match.route.data.matches[0],
                                    engine.spec, engine.spec.rules) if gc.is_tracked(part)}  # fmt: skip
    assert not seen


def test_a_yielder_lets_others_in_and_ends_the_work():
    yielder, got = Yielder(), []
    thread = threading.Thread(target=lambda: (got.append("in"), yielder.stop()))
    thread.start()
    with pytest.raises(Stopped):
        while True:
            yielder.tick()
    thread.join()
    assert got == ["in"]


def test_dismantling_leaves_what_others_hold():
    kept = (1, [2], "x" * 3)
    alone = [(i,) for i in range(1000)]
    parts = [kept, alone]
    del alone
    dismantle(parts, Yielder())
    assert parts == [] and kept == (1, [2], "xxx")


# ---- many reloads -----------------------------------------------------------------------------------------------


def test_reloads_while_four_threads_pick():
    """Every call is on a target of the generation before or after it: the match's own, or one that replaced it."""
    interval = sys.getswitchinterval()
    specs = [changed(a=[f"g{g}:{i}" for i in range(1 + g % 3)], b=["b:1", f"g{g}:x"]) for g in range(7)]
    engine, over, wrong, n_calls = engine_of(specs[0]), threading.Event(), [], [0] * 4
    sets = {frozenset(t.address for t in spec.upstreams[0].targets) for spec in specs}

    def pick(k):
        try:
            while not over.is_set():
                generation = frozenset(t.id for t in engine.upstreams["a"].targets)
                assert generation in sets
                with engine.match("GET", "one.example", "/", port=80).acquire() as call:
                    assert call.target.id.startswith(("g", "b"))
                engine.match_stream("TCP", 81).acquire().done()
                n_calls[k] += 1
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=pick, args=(k,)) for k in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for i in range(N_RELOADS):
            engine.reload(copied(specs[i % 7]))
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert not wrong and min(n_calls) > 0
    assert all(up.stats()["in_flight"] == 0 for up in engine.upstreams.values())


def test_a_router_that_somebody_holds_is_left_for_the_next_reload():
    engine = engine_of()
    router = engine.router(80)
    new = dataclasses.replace(SPEC, rules=SPEC.rules[1:])
    engine.reload(new)
    assert engine._retired == [router]
    assert router.match("GET", "one.example", "/").route.name == "one"
    del router
    engine.reload(new)
    assert not engine._retired


def test_long_calls_pin_no_plan():
    class Witness(RuleSpec):
        """A rule that can be watched."""

    engine, calls, watched = engine_of(), [], []
    for g in range(100):
        plain = rule("one", "a", matches=(MatchSpec(f"/{g}"),))
        watching = Witness(plain.name, plain.attached, plain.matches, plain.backends)
        watched.append(weakref.ref(watching))
        engine.reload(dataclasses.replace(SPEC, rules=(watching, *SPEC.rules[1:])))
        del watching
        calls.append(engine.match("GET", "one.example", f"/{g}", port=80).acquire())
    alive = sum(ref() is not None for ref in watched)
    assert alive <= 1 and not engine._retired
    assert engine.upstreams["a"].stats()["in_flight"] + engine.upstreams["b"].stats()["in_flight"] == 100
    for call in calls:
        call.done()


def resident_kib():
    return int(pathlib.Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="reads VmRSS")
def test_reloads_and_refusals_leave_no_memory_behind():
    engine = engine_of()
    bad = dataclasses.replace(SPEC, rules=(*SPEC.rules, rule("bad", "nobody")))

    def cycle(i):
        engine.reload(changed(a=[f"a:{i % 5}"], b=["b:1", "b:2", f"b:{3 + i % 4}"]))
        engine.match("GET", "one.example", "/", port=80).acquire().done()
        with pytest.raises(lbcore.ConfigError):
            engine.reload(bad)
        Engine(SPEC)

    for i in range(300):
        cycle(i)
    gc.collect()
    before = resident_kib()
    for i in range(max(N_RELOADS, 300)):
        cycle(i)
    gc.collect()
    assert resident_kib() - before < 1024


# ---- signals ----------------------------------------------------------------------------------------------------

INTERRUPTED = """
import random, signal, sys, threading, time
sys.path[:0] = {path!r}
import stalls
from lbcore.engine import Engine
specs = [stalls.spec(3000, path) for path in "ab"]
engine, draw = Engine(specs[0], lambda source: specs[source]), random.Random({seed})
print("seed", {seed})
signal.signal(signal.SIGALRM, signal.default_int_handler)  # as Ctrl-C, without another process's timing
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()  # somebody to give way to
n_interrupted, now = 0, 0
for i in range(60):
    try:
        signal.setitimer(signal.ITIMER_REAL, draw.uniform(0.0001, 0.05))
        while True:
            engine.reload(1 - now)
            now = 1 - now
    except KeyboardInterrupt:
        n_interrupted += 1
    now = [s.rules[5].matches for s in specs].index(engine.spec.rules[5].matches)
    path = "ab"[now]
    engine.match("GET", "h5.example.com", f"/{{path}}/5").acquire().done()
assert n_interrupted == 60, n_interrupted
engine.reload(1 - now)
print("served")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_leaves_the_old_table_or_the_new_one():
    code = INTERRUPTED.format(path=[stalls.__file__.rpartition("/")[0]], seed=7)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "served" in done.stdout, done.stdout + done.stderr
