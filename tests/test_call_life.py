"""The life of a call, rule by rule: what the field's bugs teach (a) to (j)."""

import asyncio
import gc
import warnings

import pytest

import lbcore
from lbcore.testing import ManualClock


@pytest.fixture
def up():
    return lbcore.Upstream("u", ["a:1", "b:1"], lbcore.policy("round_robin", phase=0), health=None, seed=1)


def call_on(up, address):
    call = up.acquire(exclude=[t for t in up if t.address != address])
    assert call.target.address == address
    return call


# ---- (a) a call carries its target's generation -----------------------------------------------------------------


def test_a_done_after_removal_touches_nobody(up):
    call = call_on(up, "a:1")
    old = call.target
    up.update(["b:1", "c:1", "d:1"])
    others = [call_on(up, address) for address in ("b:1", "c:1", "d:1")]
    call.done(ok=False)
    assert [t.in_flight for t in up] == [1, 1, 1] and old.in_flight == 0 and old.state == "removed"
    for other in others:
        other.done()
    assert up.stats()["in_flight"] == 0


def test_a_done_after_removal_and_return_is_not_the_new_ones(up):
    before = call_on(up, "a:1")
    up.update(["b:1"])
    before.done()  # the place is free now
    up.update(["b:1", "a:1"])
    after = call_on(up, "a:1")
    before.done()
    assert up["a:1"].in_flight == 1
    after.done()
    assert up["a:1"].in_flight == 0


def test_a_a_call_open_over_removal_and_return_never_makes_a_count_negative(up):
    before = call_on(up, "a:1")
    up.update(["b:1"])
    up.update(["b:1", "a:1"])
    after = call_on(up, "a:1")
    before.done()
    assert up["a:1"].in_flight == 1
    after.done()
    assert [t.in_flight for t in up] == [0, 0] and up.stats()["in_flight"] == 0


def test_a_its_failure_does_not_speak_against_a_successor():
    up = lbcore.Upstream("u", ["a:1", "b:1"])
    olds = [call_on(up, "a:1") for _ in range(5)]
    up.update(["b:1"])
    for call in olds[:2]:
        call.done(error=OSError())
    up.update(["a:1", "b:1"])
    for call in olds[2:]:
        call.done(error=OSError(), retry_after=30)
    assert up["a:1"].state == "healthy"


def test_a_over_a_change_of_what_the_target_is_it_stays_the_same_ones(up):
    call = call_on(up, "a:1")
    up.update([lbcore.Target("a:1", weight=9), "b:1"])
    assert up["a:1"] is call.target and up["a:1"].in_flight == 1
    call.done()
    assert up["a:1"].in_flight == 0


# ---- (b) leaving the block, however, releases -------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, failure",
    [(OSError, 1), (TimeoutError, 1), (ValueError, 0), (KeyboardInterrupt, 0), (SystemExit, 0)],
)
def test_b_an_exception_releases_and_only_the_networks_speak(error, failure):
    up = lbcore.Upstream("u", ["a:1", "b:1"])
    for _ in range(3):
        with pytest.raises(error), call_on(up, "a:1"):
            raise error
    assert up.stats()["in_flight"] == 0 and up.stats()["ejected"] == failure


def test_b_cancellation_releases_and_is_neither(up):
    up = lbcore.Upstream("u", ["a:1"])

    async def request():
        with up.acquire():
            await asyncio.Event().wait()

    async def main():
        for errors in (2, 1):
            for _ in range(errors):
                up.acquire().done(error=OSError())
            if errors == 2:
                task = asyncio.create_task(request())
                await asyncio.sleep(0)
                assert up["a:1"].in_flight == 1
                task.cancel()
                await asyncio.wait([task])
                assert up["a:1"].in_flight == 0 and up["a:1"].state == "healthy"
        assert up["a:1"].state == "ejected"  # three in a row: the cancellation did not come between

    asyncio.run(main())


def test_b_a_generator_that_is_closed_or_collected_releases(up):
    def body():
        with up.acquire():
            yield 1
            yield 2

    for close in (lambda g: g.close(), lambda g: None):
        reader = body()
        next(reader)
        assert up.stats()["in_flight"] == 1
        close(reader)
        del reader
        gc.collect()
        assert up.stats()["in_flight"] == 0 and up.stats()["ejected"] == 0


def test_b_an_async_generator_that_is_closed_releases(up):
    async def body():
        with up.acquire():
            yield 1

    async def main():
        reader = body()
        await reader.__anext__()
        await reader.aclose()

    asyncio.run(main())
    assert up.stats()["in_flight"] == 0


# ---- (c) collected without done ---------------------------------------------------------------------------------


def test_c_a_dropped_call_releases_and_warns(up):
    call = call_on(up, "a:1")
    with pytest.warns(ResourceWarning, match=r"a call to a:1 was dropped without done\(\)"):
        del call
    assert up.stats()["in_flight"] == 0


def test_c_also_out_of_a_cycle(up):
    cycle = {"call": up.acquire()}
    cycle["self"] = cycle
    with pytest.warns(ResourceWarning):
        del cycle
        gc.collect()
    assert up.stats()["in_flight"] == 0


def test_c_with_the_upstream_in_the_same_rubbish():
    cycle = {"up": lbcore.Upstream("u", ["a:1"])}
    cycle["call"] = cycle["up"].acquire()
    cycle["self"] = cycle
    with pytest.warns(ResourceWarning):
        del cycle
        gc.collect()


def test_c_keeps_the_exception_that_is_under_way(up):
    def fails():
        call = up.acquire()
        assert call.target
        raise KeyError("mine")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(KeyError, match="mine"):
            fails()
        gc.collect()
    assert up.stats()["in_flight"] == 0


def test_c_a_warning_that_is_an_error_is_reported_and_releases(up, monkeypatch):
    seen = []
    monkeypatch.setattr("sys.unraisablehook", lambda args: seen.append(args.exc_type))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        call = up.acquire()
        del call
    assert seen == [ResourceWarning] and up.stats()["in_flight"] == 0


def test_c_tells_who_watches(up):
    heard = []
    up.watch(lambda: heard.append(up.stats()["in_flight"]))
    call = up.acquire()
    with pytest.warns(ResourceWarning):
        del call
    assert heard == [0]


# ---- attempts ---------------------------------------------------------------------------------------------------


def test_attempts_are_on_distinct_targets():
    up = lbcore.Upstream("u", [f"t{i}:1" for i in range(5)], limits=lbcore.Limits(retry_percent=1000))
    for _ in range(50):
        tried = []
        for call in up.attempts(n=5):
            tried.append(call.target)
            call.done(ok=False, status=500)
        assert len(tried) == len(set(tried)) == 5
        assert up.stats()["in_flight"] == 0


def test_leaving_the_attempts_leaves_the_last_call_open_until_its_own_done(up):
    call = next(call for call in up.attempts(n=2))
    gc.collect()
    assert call.target.in_flight == 1
    call.done()
    assert call.target.in_flight == 0


def test_attempts_end_when_everybody_was_tried(up):
    tried = []
    for call in up.attempts(n=9):
        tried.append(call.target.address)
        call.done(ok=False)
    assert sorted(tried) == ["a:1", "b:1"]


# ---- (d) ties are nobody's privilege ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy", sorted(n for n, p in lbcore.policies().items() if not p.keyed and n != "first")
)
def test_d_equals_share_and_the_first_is_not_the_first_choice(policy):
    firsts, counts = set(), {}
    for seed in range(40):
        up = lbcore.Upstream("u", [f"t{i}:1" for i in range(4)], policy, seed=seed)
        calls = [up.acquire() for _ in range(8)]
        firsts.add(calls[0].target.address)
        for call in calls:
            counts[call.target.address] = counts.get(call.target.address, 0) + 1
            call.done()
    assert len(counts) == 4 and max(counts.values()) <= 2 * min(counts.values()), counts
    if not policy.endswith(("_nginx", "_haproxy")) and policy not in ("edf", "weighted_clusters"):
        assert len(firsts) > 1, "every process would begin with the same target"


# ---- (e) exclusion moves no cursor for others -------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["round_robin", "smooth_nginx", "roundrobin_haproxy", "static_rr_haproxy"])
def test_e_a_retry_takes_no_turn_of_others(policy):
    targets = [lbcore.Target(f"t{i}:1", weight=i + 1) for i in range(4)]
    alone, disturbed = (lbcore.Upstream("u", targets, policy, seed=3) for _ in range(2))
    for n in range(200):
        first = alone.pick()
        assert disturbed.pick().address == first.address
        if n % 3 == 0:
            assert disturbed.pick(exclude=[first.id]).address != first.address
            disturbed.pick(exclude=["t0:1", "t1:1"])
            disturbed.candidates(None, 3)


def test_e_where_one_of_three_refuses_the_others_get_the_same():
    up = lbcore.Upstream("u", ["t0:1", "t1:1", "t2:1"], health=None)
    counts = {}
    for _ in range(600):
        for call in up.attempts(n=2):
            if call.target.address == "t0:1":
                call.done(error=ConnectionRefusedError())
                continue
            counts[call.target.address] = counts.get(call.target.address, 0) + 1
            call.done()
            break
    assert sum(counts.values()) > 400 and max(counts.values()) < 1.35 * min(counts.values()), counts


# ---- (f) pick is re-entrant, and of no loop ---------------------------------------------------------------------


def test_f_a_clock_that_picks_and_reports_is_no_trouble():
    depth = [0]

    def clock():
        depth[0] += 1
        if depth[0] == 1 and "up" in globals_:
            globals_["up"].pick()
            globals_["up"].acquire().done(status=503, retry_after=1)
        depth[0] -= 1
        return 5.0

    globals_ = {}
    globals_["up"] = up = lbcore.Upstream("u", ["a:1", "b:1"], "adaptive", clock=clock, when_empty="panic")
    for _ in range(100):
        with up.acquire():
            up.pick()
    assert up.stats()["in_flight"] == 0


def test_f_one_upstream_serves_any_number_of_loops(up):
    async def main():
        with up.acquire() as call:
            await asyncio.sleep(0)
            return call.target.address

    assert {asyncio.run(main()) for _ in range(4)} == {"a:1", "b:1"}


# ---- (g) keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", sorted(n for n, p in lbcore.policies().items() if p.keyed))
def test_g_the_same_key_as_text_bytes_and_number(policy):
    up = lbcore.Upstream("u", [f"10.0.0.{i}:80" for i in range(5)], policy)
    addresses = policy in ("ip_hash_nginx", "source_haproxy")  # other keys take turns there
    for key in ("10.1.2.3", "::1") if addresses else ("42", "-7", "10.1.2.3", "zürich", "\U0001f600", "a\0b"):
        wanted = up.pick(key)
        assert up.pick(key.encode()) is wanted
        if key.lstrip("-").isdigit():
            assert up.pick(int(key)) is wanted
    for wrong in (None, 1.5, ["a"]):
        with pytest.raises((TypeError, lbcore.NoKey)):
            up.pick(wrong)


# ---- (h) every pick replays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", sorted(lbcore.policies()))
def test_h_the_same_calls_at_the_same_times_give_the_same_picks(policy):
    def story():
        clock = ManualClock()
        up = lbcore.Upstream("u", [f"10.0.0.{i}:80" for i in range(6)], policy, seed=11, clock=clock)
        picked, held = [], []
        for n in range(300):
            held.append(up.acquire(f"10.9.{n % 50}.{n % 7}" if up.policy.keyed else None))
            picked.append(held[-1].target.address)
            clock.advance(0.01)
            if n % 3:
                held.pop(0).done(error=OSError() if n % 5 == 0 else None, latency=0.001 * (n % 11))
            if n == 100:
                up["10.0.0.2:80"].drain()
        for call in held:
            call.done()
        return picked

    assert story() == story()


# ---- (i) identity of labels and data ----------------------------------------------------------------------------


def test_i_data_comes_back_as_the_object_that_it_is():
    data = {"deployment": object()}
    up = lbcore.Upstream("u", [lbcore.Target("a:1", data=data, labels={"zone": "a"})])
    t = up.pick()
    assert (
        t.data is data and up.acquire().target is t is up.targets[0] is up["a:1"] is up.candidates(None, 1)[0]
    )
    assert dict(t.labels) == {"zone": "a"} and t.labels is up.targets[0].labels
    with pytest.raises(TypeError):
        t.labels["zone"] = "b"
    other = object()
    up.update([lbcore.Target("a:1", data=other)])
    assert up.pick() is t and t.data is other
    assert up.pick_or_none(within=up.subset(zone="a")) is None


# ---- (j) all down -----------------------------------------------------------------------------------------------


def all_held(when_empty, clock):
    up = lbcore.Upstream("u", ["a:1", "b:1"], when_empty=when_empty, clock=clock)
    call_on(up, "a:1").done(status=429, retry_after=30)
    call_on(up, "b:1").done(status=429, retry_after=10)
    return up


def test_j_fail_says_why_and_when():
    up = all_held("fail", ManualClock(5))
    with pytest.raises(lbcore.NoTarget) as e:
        up.acquire()
    assert e.value.retry_after == 10 and e.value.reasons == {"a:1": "held", "b:1": "held"}
    assert e.value.status == 503 and up.pick_or_none() is None
    assert list(up.pick_many(3)) == [-1, -1, -1]


def test_j_panic_serves_with_all():
    up = all_held("panic", ManualClock(5))
    assert {up.pick().address for _ in range(4)} == {"a:1", "b:1"}


def test_j_least_bad_serves_with_who_is_back_first():
    up = all_held("least_bad", ManualClock(5))
    assert {up.pick().address for _ in range(4)} == {"b:1"}
