"""Waiting: first in, first out; nothing is lost and nobody leaks, whoever cancels, in whichever loop or thread."""

import asyncio
import gc
import random
import subprocess
import sys
import textwrap
import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from lbcore import aio
from lbcore.testing import ManualClock
from loops import run


def narrow(clock=None, targets=("a:1",), **more):
    """An upstream whose targets take one call each."""
    return lbcore.Upstream("u", targets, limits=lbcore.Limits(in_flight=1), seed=1, clock=clock, **more)


async def turns(n=3):
    for _ in range(n):
        await asyncio.sleep(0)


# ---- serving ----------------------------------------------------------------------------------------------------


def test_who_need_not_wait_does_not():
    async def main():
        call = await aio.acquire(narrow(), timeout=0)
        assert call.target.address == "a:1" and call.target.in_flight == 1
        call.done()

    run(main())


def test_a_call_that_ends_is_handed_to_the_first_in_line():
    async def main():
        up = narrow()
        held = up.acquire()
        served = []

        async def one(i):
            with await aio.acquire(up, timeout=None):
                served.append(i)
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(one(i)) for i in range(50)]
        await turns()
        assert served == []
        held.done()
        await asyncio.gather(*tasks)
        assert served == list(range(50)) and up.stats()["in_flight"] == 0

    run(main())


def test_who_comes_later_never_overtakes_who_waits():
    async def main():
        up = narrow()
        held = up.acquire()
        first = asyncio.create_task(aio.acquire(up, timeout=None))
        await turns()
        held.done()  # handed to `first`, which has not run since
        with pytest.raises(lbcore.NoTarget):
            await aio.acquire(up, timeout=0)
        (await first).done()

    run(main())


def test_who_waits_for_less_does_not_stand_in_the_way():
    async def main():
        up = narrow(
            targets=[lbcore.Target("a:1", labels={"zone": "a"}), lbcore.Target("b:1", labels={"zone": "b"})]
        )
        calls = {call.target.host: call for call in (up.acquire(), up.acquire())}
        in_a = asyncio.create_task(aio.acquire(up, timeout=None, within=up.subset(zone="a")))
        not_a = asyncio.create_task(aio.acquire(up, timeout=None, exclude="a:1"))
        anywhere = asyncio.create_task(aio.acquire(up, timeout=None))
        await turns()
        calls["b"].done()
        await turns()
        assert not_a.done() and not in_a.done() and not anywhere.done()  # the oldest whom it serves
        calls["a"].done()
        await turns()
        assert in_a.done() and not anywhere.done()
        (await in_a).done()
        (await anywhere).done()
        (await not_a).done()
        assert up.stats()["in_flight"] == 0

    run(main())


@pytest.mark.parametrize(
    "change",
    [
        lambda up: up["a:1"].enable(),
        lambda up: up.update(["a:1", "b:1"]),
        lambda up: up.update(["b:1"]),
    ],
)
def test_a_change_serves_who_waits(change):
    async def main():
        up = lbcore.Upstream("u", ["a:1"])
        up["a:1"].disable()
        waiting = asyncio.create_task(aio.acquire(up, timeout=None))
        await turns()
        assert not waiting.done()
        change(up)
        (await waiting).done()

    run(main())


def test_a_weight_an_undrain_and_health_serve_who_waits():
    async def main():
        up = lbcore.Upstream("u", [lbcore.Target("a:1", weight=0)])
        t = up.targets[0]
        for out, back in (
            (lambda: None, lambda: up.set_weight(t, 1)),
            (t.drain, t.undrain),
            (lambda: up.set_health(t, False), lambda: up.set_health(t, True)),
        ):
            out()
            waiting = asyncio.create_task(aio.acquire(up, timeout=None))
            await turns()
            assert not waiting.done()
            back()
            (await waiting).done()

    run(main())


def test_a_hold_that_ends_serves_who_waits_at_that_moment():
    clock = ManualClock()

    async def main():
        up = lbcore.Upstream("u", ["a:1"], clock=clock)
        up.acquire().done(status=429, retry_after=7)
        call = await aio.acquire(up, timeout=60)
        assert 7 <= clock.now < 7.01
        call.done()

    run(main(), clock)


def test_an_empty_upstream_waits_for_members():
    async def main():
        up = lbcore.Upstream("u", [])
        waiting = asyncio.create_task(aio.acquire(up, timeout=None))
        await turns()
        up.update(["a:1"])
        assert (await waiting).target.address == "a:1"
        (await waiting).done()

    run(main())


def test_nobody_polls():
    clock = ManualClock()

    async def main():
        up = narrow(clock)
        held = up.acquire()
        waiting = asyncio.create_task(aio.acquire(up, timeout=None))
        await turns()
        loop = asyncio.get_running_loop()
        assert not loop._scheduled and not loop._ready
        held.done()
        (await waiting).done()
        await turns()
        assert not loop._scheduled

    run(main(), clock)


# ---- time -------------------------------------------------------------------------------------------------------


def test_the_time_is_over_and_says_why():
    clock = ManualClock()

    async def main():
        up = lbcore.Upstream("u", ["a:1"], clock=clock)
        up.acquire().done(status=503, retry_after=30)
        with pytest.raises(lbcore.NoTarget) as e:
            await aio.acquire(up, timeout=2.0)
        assert 2 <= clock.now < 2.01
        assert e.value.reasons == {"a:1": "held"} and e.value.status == 503
        assert 27.9 < e.value.retry_after <= 28
        assert aio.line_of(up, None).is_empty()

    run(main(), clock)


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "2", True])
def test_a_wrong_timeout(timeout):
    with pytest.raises(ValueError, match="timeout"):
        run(aio.acquire(narrow(), timeout=timeout))


def test_one_who_gives_up_lets_the_next_be_tried():
    clock = ManualClock()

    async def main():
        up = lbcore.Upstream("u", ["a:1"], clock=clock)
        up.acquire().done(status=429, retry_after=5)
        first = asyncio.create_task(aio.acquire(up, timeout=1))
        second = asyncio.create_task(aio.acquire(up, timeout=10))
        with pytest.raises(lbcore.NoTarget):
            await first
        (await second).done()  # its own alarm, not that of who left
        assert 5 <= clock.now < 5.01

    run(main(), clock)


# ---- cancelling -------------------------------------------------------------------------------------------------


def test_one_who_is_cancelled_when_it_was_served_hands_the_call_on():
    async def main():
        up = narrow()
        held = up.acquire()
        first = asyncio.create_task(aio.acquire(up, timeout=None))
        second = asyncio.create_task(aio.acquire(up, timeout=None))
        await turns()
        held.done()  # first has its call now and has not run
        first.cancel()
        call = await second
        assert up.stats()["in_flight"] == 1
        call.done()
        assert first.cancelled() and up.stats()["in_flight"] == 0

    run(main())


def test_a_coroutine_that_is_dropped_leaves_the_line():
    up = narrow()
    held = up.acquire()

    async def main():
        waiting = aio.acquire(up, timeout=None)
        waiting.send(None)
        del waiting
        gc.collect()
        assert aio.line_of(up, None).is_empty()

    run(main())
    held.done()


def test_a_loop_that_was_closed_with_who_waited_holds_nobody_up():
    up = narrow()
    held = up.acquire()
    loop = asyncio.new_event_loop()
    lost = loop.create_task(aio.acquire(up, timeout=None))
    loop.run_until_complete(turns())
    loop.close()

    async def main():
        waiting = asyncio.create_task(aio.acquire(up, timeout=None))
        await turns()
        held.done()
        (await waiting).done()

    run(main())
    lost._log_destroy_pending = False
    assert up.stats()["in_flight"] == 0


def test_a_call_that_is_collected_serves_the_next():
    async def main():
        up = narrow()
        held = up.acquire()
        waiting = asyncio.create_task(aio.acquire(up, timeout=None))
        await turns()
        with pytest.warns(ResourceWarning):
            del held
        (await waiting).done()

    run(main())


def test_a_clock_that_fails_fails_who_waits_and_nobody_else():
    times = {"bad": False}

    def clock():
        return float("nan") if times["bad"] else 1.0

    async def main():
        up = narrow(clock)
        held = up.acquire()
        waiting = asyncio.create_task(aio.acquire(up, timeout=None))
        await turns()
        times["bad"] = True
        held.done()
        with pytest.raises(ValueError, match="clock"):
            await waiting

    run(main())


class Twin:
    """Who is served, in what order, as one would write it down."""

    def __init__(self, capacity):
        self.free, self.line, self.served = capacity, deque(), []

    def settle(self):
        while self.free and self.line:
            self.free -= 1
            self.served.append(self.line.popleft())


@given(
    capacity=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.sampled_from(["come", "end", "cancel", "turn"]), st.integers(0, 9)), max_size=60
    ),
)
def test_the_order_is_that_of_arrival_and_no_wake_is_lost(capacity, steps):
    async def main():
        up = narrow(targets=[f"t{i}:1" for i in range(capacity)])
        twin, tasks, held, n = Twin(capacity), {}, [], 0
        served = []

        async def one(i):
            call = await aio.acquire(up, timeout=None)
            served.append(i)
            held.append(call)

        for what, which in steps:
            if what == "come":
                tasks[n] = asyncio.create_task(one(n))
                await turns()
                twin.line.append(n)
                n += 1
            elif what == "end" and held:
                held.pop(which % len(held)).done()
                twin.free += 1
            elif what == "cancel" and tasks:
                i = list(tasks)[which % len(tasks)]
                if i not in served:
                    tasks[i].cancel()
                    if i in twin.line:
                        twin.line.remove(i)
                    elif i in twin.served:  # it had its call, but did not run since
                        twin.served.remove(i)
                        twin.free += 1
            twin.settle()
            if what == "turn":
                await turns()
                assert served == twin.served
        await turns()
        assert served == twin.served
        assert up.stats()["in_flight"] == len(held)
        for call in held:
            call.done()
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        for call in held:
            call.done()
        assert up.stats()["in_flight"] == 0

    run(main())


def test_ten_thousand_wait():
    async def main():
        up = narrow(targets=["a:1", "b:1"])
        held = [up.acquire(), up.acquire()]
        served = []

        async def one(i):
            call = await aio.acquire(up, timeout=60)
            served.append(i)
            await asyncio.sleep(0)
            call.done()

        tasks = [asyncio.create_task(one(i)) for i in range(10_000)]
        await turns()
        random.seed(7)
        gone = set(random.sample(range(10_000), 3_000))
        for i in gone:
            tasks[i].cancel()
        for call in held:
            call.done()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert served == [i for i in range(10_000) if i not in gone]
        assert up.stats()["in_flight"] == 0 and aio.line_of(up, None).is_empty()

    run(main())


def test_a_crowd_is_served_a_part_at_a_time():
    async def main():
        up = lbcore.Upstream("u", ["a:1"])
        up["a:1"].disable()
        tasks = [asyncio.create_task(aio.acquire(up, timeout=None)) for _ in range(200)]
        await turns()
        up["a:1"].enable()
        assert up["a:1"].in_flight == 64
        calls = await asyncio.gather(*tasks)
        assert up["a:1"].in_flight == 200
        for call in calls:
            call.done()

    run(main())


# ---- loops and threads ------------------------------------------------------------------------------------------


def test_loops_of_several_threads_wait_in_one_line():
    up = narrow(targets=["a:1", "b:1"])
    served = []
    failures = []

    async def one(rng):
        for _ in range(40):
            task = asyncio.ensure_future(aio.acquire(up, timeout=30))
            if rng.random() < 0.3:
                await asyncio.sleep(0)
                task.cancel()
            try:
                call = await task
            except asyncio.CancelledError:
                continue
            served.append(call.target.in_flight)
            await asyncio.sleep(0)
            call.done()

    async def main(seed):
        await asyncio.gather(*(one(random.Random(100 * seed + i)) for i in range(10)))

    def thread(seed):
        try:
            asyncio.run(main(seed))
        except BaseException as error:
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=thread, args=(seed,)) for seed in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
    finally:
        sys.setswitchinterval(before)
    assert not failures and not any(t.is_alive() for t in threads)
    assert set(served) == {1} and up.stats()["in_flight"] == 0 and aio.line_of(up, None).is_empty()


def test_a_call_that_ends_in_a_thread_serves_who_waits_in_a_loop():
    async def main():
        up = narrow()
        held = up.acquire()
        waiting = asyncio.create_task(aio.acquire(up, timeout=30))
        await turns()
        thread = threading.Thread(target=held.done)
        thread.start()
        (await waiting).done()
        thread.join()

    asyncio.run(main())


def test_workers_that_share_state_see_each_others_ends(tmp_path):
    code = """
    import asyncio, os, sys
    import lbcore
    from lbcore import aio

    up = lbcore.Upstream("u", ["a:1"], limits=lbcore.Limits(in_flight=1),
                         shared=lbcore.Shared("aio", shared_dir=sys.argv[1]))
    ready, child_ready = os.pipe()
    child_go, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        call = up.acquire()
        os.write(child_ready, b"1")
        os.read(child_go, 1)
        call.done()
        os._exit(0)
    os.read(ready, 1)

    async def main():
        waiting = asyncio.create_task(aio.acquire(up, timeout=20))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        os.write(go, b"1")
        (await waiting).done()

    asyncio.run(main())
    os.waitpid(pid, 0)
    print("served")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "served\n", done.stderr


# ---- splits, matches, keys, sessions ----------------------------------------------------------------------------


def test_a_split_draws_once_and_keeps_its_shares_while_who_drew_waits():
    async def main():
        a, b = lbcore.Upstream("a", ["a:1"]), lbcore.Upstream("b", ["b:1"])
        split = lbcore.Split([lbcore.Backend(a, 3), lbcore.Backend(b, 1)])
        a["a:1"].disable()
        tasks = [asyncio.create_task(aio.acquire(split, timeout=None)) for _ in range(40)]
        await turns()
        assert sum(task.done() for task in tasks) == 10
        a["a:1"].enable()
        calls = await asyncio.gather(*tasks)
        assert sum(call.backend is split.backends[0] for call in calls) == 30
        for call in calls:
            call.done()
        with pytest.raises(lbcore.NoTarget) as e:
            await aio.acquire(lbcore.Split([lbcore.Backend(None)]), timeout=9)
        assert e.value.status == 500
        with pytest.raises(lbcore.ConfigError, match="within"):
            await aio.acquire(split, timeout=1, within=a.subset())

    run(main())


def test_a_match_waits_with_its_key():
    async def main():
        up = lbcore.Upstream("u", ["a:1", "b:1"], "hash")
        route = lbcore.Route("r", backends=[up], key=lbcore.KeySource("header:x-user"))
        router = lbcore.Router([route])
        match = router.match("GET", "h", "/", [("x-user", "anne")])
        call = await aio.acquire(match, timeout=1)
        assert call.target is up.pick("anne") and call.backend is route.backends[0]
        call.done()
        with pytest.raises(lbcore.BadRequest):
            await aio.acquire(router.match("GET", "h", "/"), timeout=1)
        with pytest.raises(lbcore.NoKey):
            await aio.acquire(up, timeout=1)

    run(main())


def test_a_session_waits_and_goes_home():
    async def main():
        up = lbcore.Upstream("u", ["a:1", "b:1"], affinity=lbcore.Affinity(cookie="s", secret=b"s" * 32))
        first = await aio.acquire(up, timeout=1)
        again = [await aio.acquire(up, timeout=1, session=first.session) for _ in range(5)]
        assert {call.target for call in again} == {first.target}
        for call in (first, *again):
            call.done()
        with pytest.raises(lbcore.ConfigError, match="session"):
            await aio.acquire(narrow(), timeout=1, session="x")
        with pytest.raises(lbcore.ConfigError, match="within"):
            await aio.acquire(up, timeout=1, within=narrow().subset())
        with pytest.raises(TypeError):
            await aio.acquire("u", timeout=1)

    run(main())
