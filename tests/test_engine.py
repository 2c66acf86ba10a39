"""Engine: a Spec compiled, and replaced without losing what is known of the targets."""

import dataclasses
import threading

import pytest

import lbcore
from lbcore.engine import (
    BackendSpec,
    Engine,
    ListenerSpec,
    MatchSpec,
    RuleSpec,
    Spec,
    StreamSpec,
    TargetSpec,
    UpstreamSpec,
)


def upstream(name, n, port=80, **more):
    return UpstreamSpec(name, tuple(TargetSpec(f"10.0.0.{i + 1}:{port}") for i in range(n)), **more)


WEB = ListenerSpec("default/edge/web", "HTTP", 8080)
TCP = ListenerSpec("default/edge/tcp", "TCP", 9000)
CANARY = RuleSpec(
    "default/canary/0",
    {WEB.name: ("shop.example",)},
    (MatchSpec("/"), MatchSpec("/api", "exact", ("GET",))),
    (BackendSpec("default/a:80", 75), BackendSpec("default/b:80", 25)),
)
SPEC = Spec(
    listeners=(WEB, TCP),
    upstreams=(upstream("default/a:80", 10), upstream("default/b:80", 1, port=81)),
    rules=(CANARY,),
    streams=(StreamSpec("default/tcp/0", (TCP.name,), (BackendSpec("default/a:80"),)),),
)


def engine_of(*specs):
    """An engine that serves the first Spec and loads the next one at each reload."""
    left = list(specs[1:])
    return Engine(specs[0], lambda source: left.pop(0) if source is None else source)


def names(engine, n):
    calls = [engine.match("GET", "shop.example", "/").acquire() for _ in range(n)]
    for call in calls:
        call.done()
    return [call.upstream.name for call in calls]


def test_all_matches_of_a_rule_share_its_split():
    engine = engine_of(SPEC)
    got = []
    for i in range(1000):
        m = engine.match("GET", "shop.example", "/api" if i % 3 else "/x")
        assert m.route.name == "default/canary/0"
        call = m.acquire()
        got.append(call.upstream.name)
        call.done()
    assert got.count("default/b:80") == 250
    assert engine.match("GET", "other.example", "/") is None


def test_an_engine_begins_at_the_beginning():
    assert names(engine_of(SPEC), 4).count("default/a:80") == 3
    assert names(engine_of(SPEC), 8) == names(engine_of(SPEC), 8)


def test_ports():
    other = ListenerSpec("default/edge/other", "HTTP", 8081)
    rule = RuleSpec("default/other/0", {other.name: ()}, backends=(BackendSpec("default/b:80"),))
    engine = engine_of(dataclasses.replace(SPEC, listeners=(WEB, other), rules=(CANARY, rule), streams=()))
    assert engine.match("GET", "shop.example", "/", port=8081).route.name == "default/other/0"
    assert engine.match("GET", "shop.example", "/", port=8080).route.name == "default/canary/0"
    for port in (None, 80):
        with pytest.raises(lbcore.LbcoreError, match=r"8080, 8081"):
            engine.match("GET", "a", "/", port=port)


def test_streams():
    engine = engine_of(SPEC)
    call = engine.match_stream("tcp", 9000).acquire()
    assert call.target.address.startswith("10.0.0.")
    call.done()
    assert engine.match_stream("TCP", 9001) is None
    assert engine.match_stream("UDP", 9000) is None


def test_a_reload_keeps_upstreams_calls_health_and_debts():
    more = dataclasses.replace(SPEC, upstreams=(upstream("default/a:80", 11), SPEC.upstreams[1]))
    engine = engine_of(SPEC, more)
    a = engine.upstreams["default/a:80"]
    a.set_health("10.0.0.3:80", False)
    call = engine.match("GET", "shop.example", "/").acquire()
    first = names(engine, 1)  # with the call above: two of four turns are spent
    changes = engine.reload()
    assert (changes.added, changes.removed, changes.changed) == ((), (), ("upstream default/a:80",))
    assert engine.upstreams["default/a:80"] is a and len(a) == 11
    assert a["10.0.0.3:80"].state == "unhealthy"
    assert call.target.in_flight == 1
    call.done()
    assert [call.upstream.name, *first, *names(engine, 2)].count("default/b:80") == 1


def test_a_split_stays_exact_over_many_reloads():
    specs = [SPEC] + [
        dataclasses.replace(SPEC, upstreams=(upstream("default/a:80", 1 + n % 7), SPEC.upstreams[1]))
        for n in range(50)
    ]
    engine = engine_of(*specs)
    got = []
    for _ in range(50):
        got += names(engine, 7)
        engine.reload()
        assert abs(got.count("default/b:80") - len(got) / 4) < 1


def test_a_dry_run_changes_nothing():
    engine = engine_of(SPEC, Spec())
    changes = engine.reload(dry_run=True)
    assert set(changes.removed) == {
        "listener default/edge/web",
        "listener default/edge/tcp",
        "upstream default/a:80",
        "upstream default/b:80",
        "rule default/canary/0",
        "stream default/tcp/0",
    }
    assert engine.spec is SPEC and names(engine, 1)


@pytest.mark.parametrize("broken", ["loader", "upstream", "route"])
def test_a_failed_reload_leaves_everything_as_it_was(broken):
    bad = {
        "upstream": dataclasses.replace(
            SPEC,
            upstreams=(
                upstream("default/a:80", 3),
                UpstreamSpec("default/b:80", (TargetSpec("x:1"), TargetSpec("x:1"))),
            ),
        ),
        "route": dataclasses.replace(
            SPEC, rules=(dataclasses.replace(CANARY, matches=(MatchSpec("no-slash"),)),)
        ),
    }.get(broken)

    def load(source):
        if bad is None:
            raise lbcore.ConfigError("yaml", "unreadable")
        return bad

    engine = Engine(SPEC, load)
    before = [t.address for t in engine.upstreams["default/a:80"].targets]
    with pytest.raises(lbcore.ConfigError):
        engine.reload()
    assert engine.spec is SPEC
    assert [t.address for t in engine.upstreams["default/a:80"].targets] == before
    assert names(engine, 4).count("default/b:80") == 1


def test_an_upstream_with_another_policy_is_made_anew():
    other = dataclasses.replace(
        SPEC, upstreams=(upstream("default/a:80", 10, policy="least_conn"), SPEC.upstreams[1])
    )
    engine = engine_of(SPEC, other)
    engine.reload()
    assert engine.upstreams["default/a:80"].policy.name == "least_conn"
    assert set(names(engine, 8)) == {"default/a:80", "default/b:80"}


def test_matches_of_the_old_generation_still_work_after_a_reload():
    engine = engine_of(SPEC, Spec(listeners=(WEB,)))
    m = engine.match("GET", "shop.example", "/")
    engine.reload()
    m.acquire().done()
    assert engine.match("GET", "shop.example", "/") is None


def test_reloads_while_others_pick():
    specs = [
        dataclasses.replace(SPEC, upstreams=(upstream("default/a:80", 1 + n % 5), SPEC.upstreams[1]))
        for n in range(200)
    ]
    engine = engine_of(*specs)
    stop, wrong = threading.Event(), []

    def pick():
        while not stop.is_set():
            try:
                names(engine, 1)
            except BaseException as error:
                wrong.append(error)
                return

    threads = [threading.Thread(target=pick) for _ in range(2)]
    for t in threads:
        t.start()
    for _ in range(199):
        engine.reload()
    stop.set()
    for t in threads:
        t.join()
    assert not wrong
    assert all(u.stats()["in_flight"] == 0 for u in engine.upstreams.values())


def test_an_engine_without_a_loader_says_so():
    with pytest.raises(lbcore.LbcoreError, match=r"lbcore\.load"):
        Engine(SPEC).reload()
