"""What happens to an engine at run time: every scenario of tests/golden/badinput/scenarios.json, by its id.

Each meets ``expect`` and asserts that nothing of ``forbid`` happens.  Costs are CPU time, with room for slow machines.
"""

import hashlib
import itertools
import json
import math
import os
import pathlib
import random
import sys
import threading
import time

import pytest

import lbcore
from lbcore.engine import (
    BackendSpec,
    Engine,
    ListenerSpec,
    RuleSpec,
    Spec,
    TargetSpec,
    UpstreamSpec,
)
from lbcore.testing import ManualClock
from processes import python

SCENARIOS = pathlib.Path(__file__).parent / "golden" / "badinput" / "scenarios.json"
SIGNALS = int(os.environ.get("LBCORE_SIGNALS", "20"))  # interrupted builds, reloads by 50; make soak: 200

POLICIES = sorted(lbcore.policies())
BY_ADDRESS = {"ip_hash_nginx", "source_haproxy"}  # keys are IP addresses there


def keys_for(policy, n):
    if not lbcore.policies()[policy].keyed:
        return [None] * n
    if policy not in BY_ADDRESS:
        return [f"key {i}" for i in range(n)]
    draw = random.Random(n)
    return [".".join(str(draw.randrange(256)) for _ in range(4)) for _ in range(n)]


def spec(*addresses, **more):
    """A configuration with one listener, one rule and one upstream."""
    return Spec(
        listeners=(ListenerSpec("web", "HTTP", 80),),
        upstreams=(UpstreamSpec("u", tuple(TargetSpec(a) for a in addresses), **more),),
        rules=(RuleSpec("r", {"web": ()}, backends=(BackendSpec("u"),)),),
    )


def engine_of(*addresses):
    """An engine that reloads from whatever Spec it is handed."""
    return Engine(spec(*addresses), loader=lambda source: source)


def test_every_scenario_has_its_test():
    ids = [case["id"] for case in json.loads(SCENARIOS.read_text())["cases"]]
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert len(ids) == 15 and not [id for id in ids if id.replace("-", "_") not in tests]


# ---- values at run time -----------------------------------------------------------------------------------------


def shares_after_latency(policy, latency, refused):
    clock = ManualClock(1)
    up = lbcore.Upstream("u", [f"t{i}:1" for i in range(4)], policy, seed=3, clock=clock)
    call = up.acquire(exclude=[t.id for t in up if t.index != 2])
    if refused:
        with pytest.raises(ValueError, match="latency"):
            call.done(latency=latency)
    else:
        call.done(latency=latency)
    assert call.target.in_flight == 0
    for _ in range(1000):
        for t in up:
            call = up.acquire(exclude=[other.id for other in up if other is not t])
            clock.advance(0.0025)
            call.done(latency=0.010)
    counts = dict.fromkeys((t.id for t in up), 0)
    for _ in range(10_000):
        clock.advance(0.001)
        call = up.acquire()
        counts[call.target.id] += 1
        call.done(latency=0.010)
    return counts, json.dumps(up.stats())


@pytest.mark.parametrize("policy", ["peak_ewma", "adaptive"])
def test_rt_lat_2(policy):
    counts, stats = shares_after_latency(policy, -math.inf, refused=True)
    assert all(2250 <= n <= 2750 for n in counts.values()), counts
    assert "NaN" not in stats and "Infinity" not in stats


@pytest.mark.parametrize("policy", ["peak_ewma", "adaptive"])
def test_rt_lat_6(policy):
    counts, stats = shares_after_latency(policy, 5e-324, refused=False)
    assert all(2250 <= n <= 2750 for n in counts.values()), counts
    assert "NaN" not in stats and "Infinity" not in stats


def test_rt_clk_1():
    clock = ManualClock(50)
    up = lbcore.Upstream(
        "u",
        [f"t{i}:1" for i in range(4)],
        "adaptive",
        slow_start=lbcore.SlowStart(window=10),
        limits=lbcore.Limits(error_hold=0),
        clock=clock,
        seed=1,
    )
    up.update([*up.targets, "t4:1"])  # starts slowly
    bad, calls = up["t1:1"], []
    for _ in range(10_000):
        call = up.acquire()
        call.done(error=OSError() if call.target is bad else None, latency=0.0)
    assert bad.state == "ejected" and bad.until == 60
    assert all(t["in_flight"] == 0 and t["weight"] == 1 for t in up.stats()["targets"])
    clock.set(59.999)
    up.advance()
    assert bad.state == "ejected"
    clock.set(60)
    assert up.pick() and bad.state == "healthy"
    while len(calls := [*calls, up.acquire()]) < 2000 and calls[-1].target is not bad:
        pass
    assert calls[-1].target is bad, "it never comes back"
    for call in calls:
        call.done()


def test_rt_done_after_reload():
    engine = engine_of("a:1", "b:1")
    up = engine.upstreams["u"]
    old = up.acquire(exclude="b:1")
    engine.reload(spec("b:1", "c:1"))
    assert engine.upstreams["u"] is up
    calls = [up.acquire() for _ in range(6)]
    old.done(error=OSError(), retry_after=9)
    old.done()
    assert [t.in_flight for t in up] == [3, 3] and [t.state for t in up] == ["healthy"] * 2
    engine.reload(spec("a:1", "b:1", "c:1"))
    assert up["a:1"] is not old.target and up["a:1"].in_flight == 0 and up["a:1"].state == "healthy"
    for call in calls:
        call.done()
    engine.reload(spec("b:1", policy="random"))  # another policy: another upstream
    fresh = engine.upstreams["u"]
    late = fresh.acquire()
    for call in calls:
        call.done()
    assert fresh["b:1"].in_flight == 1
    late.done()


# ---- availability -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_av_all_down(policy):
    keys = keys_for(policy, 10_000)
    addresses = [f"10.1.0.{i}:80" for i in range(8)]
    for when_empty in ("fail", "panic"):
        up = lbcore.Upstream("u", addresses, policy, when_empty=when_empty, seed=5)
        for t in up:
            up.set_health(t, False)
        if when_empty == "fail":
            for key in keys:
                with pytest.raises(lbcore.NoTarget):
                    up.pick(key)
            continue
        counts = dict.fromkeys(addresses, 0)
        for key in keys:
            counts[up.pick(key).address] += 1
        if policy != "first":  # which fills one target before the next
            assert max(counts.values()) < 3 * 10_000 / 8 and min(counts.values()) > 10_000 / 24, counts


@pytest.mark.parametrize("policy", POLICIES)
def test_av_panic_edge(policy):
    keys = keys_for(policy, 400)
    addresses = [f"10.1.0.{i}:80" for i in range(10)]
    up = lbcore.Upstream("u", addresses, policy, levels=lbcore.Levels(panic=50), seed=5)

    def in_panic():
        down = [t for t in up if t.state == "unhealthy"]
        served = [sum(up.pick(key) in down for key in keys) for _ in range(3)]
        assert all(served) or not any(served), "it flaps"
        return any(served)

    for n_down, t in enumerate(up.targets, start=1):
        up.set_health(t, False)
        assert in_panic() == (10 - n_down < 5), n_down
    for n_up, t in enumerate(reversed(up.targets), start=1):
        up.set_health(t, True)
        if n_up < 10:
            assert in_panic() == (n_up < 5), n_up
    assert [e.kind for e in up.events()] == ["unhealthy"] * 10 + ["healthy"] * 10


def test_av_flap():
    clock = ManualClock(1)
    up = lbcore.Upstream(
        "u",
        [f"10.0.0.{i}:80" for i in range(100)],
        "ring_hash",
        health=lbcore.Health(outlier=lbcore.Outlier(consecutive_local_origin_failure=1)),
        clock=clock,
    )
    flapping = up.targets[7]
    others = [t.id for t in up if t is not flapping]
    error = OSError()
    changes, held = 0, [up.acquire("k", exclude=others) for _ in range(100)]
    while held:
        held.pop().done(error=error if len(held) % 2 else None)
    cpu = time.process_time()
    for n in range(100_000):
        clock.advance(0.001)  # 100 s
        up.checked(flapping, status=200 if n % 2 else 500)
        call = up.acquire("k")
        call.done(error=error if n % 2 and call.target is flapping else None)
    cpu = time.process_time() - cpu
    events = up.events()
    changes = len(events) + up.events_dropped
    assert changes <= 2 * 100 / 10 + 2 and len(events) <= 256, changes
    assert cpu / 100_000 < 50e-6, "a ring of 100 targets costs more to build than that"


# ---- complexity -------------------------------------------------------------------------------------------------


def chosen_keys(up, n):
    """``n`` keys that a client who knows the hash chose: all land on the first target."""
    numbers = range(12 * n)
    at = up.pick_keys([f"k{i}" for i in numbers])
    return [f"k{i}" for i in numbers if at[i] == 0][:n]


def test_cx_ring_keys():
    addresses = [f"10.0.0.{i}:80" for i in range(10)]
    plain = lbcore.Upstream("u", addresses, "ring_hash")
    keys = chosen_keys(plain, 50_000)
    assert len(keys) == 50_000 and {plain.pick(key) for key in keys[:1000]} == {plain.targets[0]}

    bounded = lbcore.Upstream("u", addresses, lbcore.policy("ring_hash", hash_balance_factor=125))
    calls = []
    for n, key in enumerate(itertools.islice(itertools.cycle(keys), 200_000), start=1):
        calls.append(bounded.acquire(key))
        if n % 1000 == 0:
            assert max(t.in_flight for t in bounded) <= 1.25 * n / 10 + 3
    for call in calls:
        call.done()

    def secret(key):  # the seed: nobody who does not know it can choose keys
        digest = hashlib.blake2b(key.encode(), key=b"of this deployment", digest_size=8).digest()
        return lbcore.Hashed(int.from_bytes(digest, "little"))

    counts = dict.fromkeys(addresses, 0)
    for key in keys:
        counts[plain.pick(secret(key)).address] += 1
    assert max(counts.values()) < 0.2 * len(keys), counts
    page = (pathlib.Path(__file__).parent.parent / "docs/howto/embed.md").read_text()
    assert "hash_balance_factor" in page and "Hashed" in page


def test_cx_rebuild():
    clock = ManualClock(1)
    up = lbcore.Upstream(
        "u", [lbcore.Target(f"10.{i >> 8}.{i & 255}.1:80") for i in range(10_000)], "ring_hash", clock=clock
    )

    def build():
        began = time.process_time()
        up.set_weight(up.targets[0], 2)
        up.set_weight(up.targets[0], 1)
        up.pick("k")
        return time.process_time() - began

    one_build = min(build() for _ in range(3)) / 2
    changing = up.targets[1:1001]
    cost = others = 0.0
    for n, t in enumerate(changing):
        clock.advance(0.001)
        began = time.process_time()
        up.set_health(t, False)
        cost += time.process_time() - began
        began = time.process_time()
        assert up.pick(f"k{n}").state == "healthy"
        others += time.process_time() - began
    assert cost / 1000 < 10e-6 + one_build / 100, "a health change costs what a ring costs"
    assert others < 50 * one_build, "1000 changes in a second made 50 rings or more"


# ---- embedding --------------------------------------------------------------------------------------------------


def test_em_reenter_iter():
    engine = engine_of("a:1", "b:1")
    up = engine.upstreams["u"]
    held = up.acquire()

    def targets():
        yield "x:1"
        engine.reload(spec("c:1"))
        assert [t.id for t in up] == ["c:1"] and up.pick().id == "c:1"
        up.update(t for t in ("d:1", "e:1"))
        yield lbcore.Target("y:1", weight=2)
        engine.reload(spec("f:1", policy="random"))  # the engine has let this upstream go
        yield "z:1"

    up.update(targets())
    assert [t.id for t in up] == ["x:1", "y:1", "z:1"] and [t.index for t in up] == [0, 1, 2]
    counts = [up.pick().id for _ in range(400)]
    assert [counts.count(t.id) for t in up] == [100, 200, 100]
    held.done()
    assert up.stats()["in_flight"] == 0

    def fails():
        yield "q:1"
        raise KeyError("mine")

    with pytest.raises(KeyError):
        up.update(fails())
    assert [t.id for t in up] == ["x:1", "y:1", "z:1"]


def test_em_reenter_event():
    engine = engine_of("a:1", "b:1")
    up = engine.upstreams["u"]
    depth, deepest, heard = [0], [0], []

    def watcher():
        depth[0] += 1
        deepest[0] = max(deepest[0], depth[0])
        heard.extend(event.kind for event in up.events())
        up.set_health("a:1", True)
        up.set_health("b:1", True)
        up.update(["a:1", "b:1"])
        if len(heard) == 1:
            up.acquire(exclude="b:1").done(error=OSError())
            engine.reload(spec("a:1", "b:1", "c:1"))
            engine.reload(spec("z:1", policy="random"))  # closes this one
        depth[0] -= 1

    up.watch(watcher)
    up.set_health("a:1", False)
    assert deepest == [1], "it recurs"
    assert heard == ["unhealthy", "healthy"] and [t.state for t in up] == ["healthy"] * 2
    up.unwatch(watcher)


def test_em_threads_gil():
    generations = [(*(f"g{g}t{i}:1" for i in range(3)), "kept:1") for g in range(5)]
    up = lbcore.Upstream("u", generations[0])
    keyed = lbcore.Upstream("k", generations[0], "hash")
    of_any = {address for generation in generations for address in generation}
    stop, errors = threading.Event(), []

    def work():
        try:
            n = 0
            while not stop.is_set():
                n += 1
                with up.acquire() as call:
                    assert call.target.address in of_any
                assert keyed.pick(str(n)).address in of_any
                for call in up.attempts(n=2):
                    call.done(ok=n % 2 == 0)
        except BaseException as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work) for _ in range(4)]
    try:
        for t in threads:
            t.start()
        for n in range(50 * SIGNALS):
            up.update(generations[n % 5])
            keyed.update(generations[n % 5])
            mine = up.pick_or_none()
            assert mine is None or mine.address in generations[n % 5]
    finally:
        stop.set()
        for t in threads:
            t.join(60)
        sys.setswitchinterval(before)
    assert not errors, errors
    assert up.stats()["in_flight"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="setitimer")
def test_em_signal():
    code = """
    import random, time
    rounds = int(sys.argv[1])
    random.seed(rounds)
    N = 100_000
    old = [f"10.0.0.{i}:80" for i in range(3)]
    def new():
        return (lbcore.Target(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}:80", weight=1 + i % 3) for i in range(N))
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    up = lbcore.Upstream("u", old)
    began = time.perf_counter()
    up.update(new())
    took = time.perf_counter() - began
    up.update(old)
    made = interrupted = 0
    for _ in range(rounds):
        held = up.acquire()
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 1.1 * took))
        try:
            try:
                up.update(new())
                made += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            interrupted += 1
        assert len(up) in (3, N) and [t.index for t in up] == list(range(len(up)))
        assert len({up.pick().id for _ in range(9)}) == (3 if len(up) == 3 else 9)
        held.done()
        assert up.stats()["in_flight"] == 0
        up.update(old)
    assert interrupted and made + interrupted >= rounds, (made, interrupted)
    gc.collect()
    assert sum(type(o) is lbcore.Target for o in gc.get_objects()) < 100
    print("end")
    """
    assert python(code, SIGNALS, timeout=60 + 4 * SIGNALS, flags=()) == "end"


def test_em_str():
    up = lbcore.Upstream("u", [f"10.0.0.{i}:80" for i in range(50)], "hash")

    class Mine(str):
        def encode(self, *args):
            raise AssertionError("asked")

        def __hash__(self):
            raise AssertionError("asked")

    for text in ("abc", "a\0b", "caf\xe9", "\u20ac", "\U0001f600", ""):
        wanted = up.pick(text)
        wide = (text + "\U0001f600")[: len(text)]
        for same in (Mine(text), wide, text.encode(), Mine(wide), bytes(bytearray(text.encode()))):
            assert up.pick(same) is wanted, (text, same)
            assert up.candidates(same, 3)[0] is wanted
    differ = {up.pick(f"a\0{i}") for i in range(200)}
    assert len(differ) > 40, "keys end at NUL"
    for bad in ("\ud800", "a\udfff", Mine("\udc80")):
        for ask in (up.pick, up.acquire, lambda key: up.pick_keys([key]), lambda key: up.candidates(key, 2)):
            with pytest.raises(ValueError):
                ask(bad)
        with pytest.raises(lbcore.ConfigError):
            lbcore.Target(bad)
        with pytest.raises(lbcore.BadRequest):
            lbcore.Router([lbcore.Route("r", backends=[up])]).match("GET", "h", f"/{bad}")
    assert up.stats()["in_flight"] == 0
    size = 1 << (30 if SIGNALS > 20 else 26)
    huge = "\0" * size
    assert up.pick(huge) is up.pick(memoryview(huge.encode()).tobytes()) and up.pick(huge) is not None


def test_em_oom():
    pytest.importorskip("_testcapi")
    code = """
    import _testcapi, itertools
    from lbcore.engine import BackendSpec, Engine, ListenerSpec, RuleSpec, Spec, TargetSpec, UpstreamSpec

    reported = []
    sys.unraisablehook = lambda args: reported.append(repr(args.exc_value))

    def every_failure(what, check):
        "Run what() with its k-th allocation failing, for every k until none is left to fail."
        for k in itertools.count(1):
            failed = False
            _testcapi.set_nomemory(k, k + 1)
            try:
                what()
            except MemoryError:
                failed = True
            finally:
                _testcapi.remove_mem_hooks()
            check(failed)
            if not failed and k > 400:          # well behind the last allocation
                return

    old, new = ["a:1", "b:1"], ["b:1", "c:1", "d:1"]
    up = lbcore.Upstream("u", old, health=None)
    def whole(failed):
        ids = [t.id for t in up]
        assert ids in (old, new), ids
        if failed:
            assert ids == old, ids
        assert [t.index for t in up] == list(range(len(up)))
        assert {up.pick().id for _ in range(12)} == set(ids)
        up.update(old)

    every_failure(lambda: up.update(new), whole)

    built = []
    def build():
        built[:] = [lbcore.Upstream("v", new, "hash", affinity=None)]
    every_failure(build, lambda failed: failed or built[0].pick("k"))

    def none_open(failed):
        gc.collect()
        assert up.stats()["in_flight"] == 0, up.stats()
    def calls():
        up.pick(); up.pick(exclude="a:1"); up.candidates(None, 2)
        with up.acquire() as call:
            call.report(status=200)
        for call in up.attempts(n=2):
            call.done(ok=False)
        up.acquire(trace=True).done()
        up.events(); up.stats()
    warnings.simplefilter("ignore")
    every_failure(calls, none_open)

    def spec(*addresses):
        return Spec(listeners=(ListenerSpec("web", "HTTP", 80),),
                    upstreams=(UpstreamSpec("u", tuple(TargetSpec(a) for a in addresses)),),
                    rules=(RuleSpec("r", {"web": ()}, backends=(BackendSpec("u"),)),))
    first, second = spec("a:1"), spec("b:1", "c:1")
    engine = Engine(first, loader=lambda source: source)
    def served(failed):
        ids = [t.id for t in engine.upstreams["u"]]
        assert ids in (["a:1"], ["b:1", "c:1"]), ids
        match = engine.match("GET", "h", "/x")
        assert match.path == "/x" and match.route.name == "r"
        with match.acquire() as call:
            assert call.target.id in ids
        engine.reload(first)
        assert [t.id for t in engine.upstreams["u"]] == ["a:1"]
    every_failure(lambda: engine.reload(second), served)
    every_failure(lambda: engine.match("GET", "h", "/x?y", [("a", "b")]).acquire().done(), served)

    def close():
        lbcore.Upstream("w", old)
        lbcore.Split([up])
        gc.collect()
    every_failure(close, lambda failed: None)
    assert all("MemoryError" in text or "ResourceWarning" in text for text in reported), reported[:3]
    print("end")
    """
    assert python(code, timeout=300, flags=()) == "end"
