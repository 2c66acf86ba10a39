"""The life of a follower: in a loop, in a thread, over a fork, at the end of the interpreter."""

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import lbcore
from lbcore import discovery
from lbcore.discovery import follow

SECONDS = 20.0  # how long anything may take before a test fails; nothing waits for it


class Scripted:
    """Answers what it is set to: addresses, or an error; counts the asks."""

    backoff = (0.001, 0.002)

    def __init__(self, *addresses, good_for=1000.0):
        self.now, self.good_for, self.asked = addresses, good_for, 0

    async def resolve(self):
        self.asked += 1
        if isinstance(self.now, Exception):
            raise self.now
        return discovery.Found(tuple(map(lbcore.Target, self.now)), self.good_for)

    def __repr__(self):
        return "scripted"


async def until(condition):
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


def ids(up):
    return [t.id for t in up.targets]


def run(scenario):
    """Run it within ``SECONDS``; nothing of a follower may be left: no task, no thread, no entry."""

    async def whole():
        async with asyncio.timeout(SECONDS):
            await scenario()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(whole())
    for thread in threading.enumerate():  # it may still be on its last line
        if thread.name == "lbcore-discovery":
            thread.join(SECONDS)
    assert not [t for t in threading.enumerate() if t.name == "lbcore-discovery"]
    assert not follow._running


# ---- in a loop ----------------------------------------------------------------------------------------------------


def test_it_follows_from_the_first_answer_to_the_end():
    async def scenario():
        up, source = lbcore.Upstream("api", ["seed:1"]), Scripted("a:1")
        async with discovery.start(up, source) as follower:
            assert ids(up) == ["seed:1"] and follower.running and follower.updated is None
            await follower.ready()
            assert ids(up) == ["a:1"] and follower.error is None and follower.updated <= follower.answered
            source.now = ("b:1",)
            follower.refresh()
            await until(lambda: ids(up) == ["b:1"])
        assert not follower.running and "stopped" in repr(follower)
        asked = source.asked
        follower.refresh()
        follower.stop()
        await follower.aclose()
        await asyncio.sleep(0)
        assert source.asked == asked == 2

    run(scenario)


def test_an_answer_that_expires_is_asked_again_and_a_failure_too():
    async def scenario():
        up, source = lbcore.Upstream("api", []), Scripted("a:1", good_for=0.001)
        async with discovery.start(up, source) as follower:
            await until(lambda: source.asked > 3)
            source.now = lbcore.LbcoreError("down")
            await until(lambda: follower.error is source.now)
            before = source.asked
            await until(lambda: source.asked > before + 3)
            assert ids(up) == ["a:1"]
            source.now = ("b:1",)
            await until(lambda: ids(up) == ["b:1"] and follower.error is None)

    run(scenario)


def test_each_source_keeps_its_own_time():
    async def scenario():
        up = lbcore.Upstream("api", [])
        quick, slow, dead = Scripted("a:1", good_for=0.001), Scripted("b:1"), Scripted()
        dead.now = lbcore.LbcoreError("down")
        async with discovery.start(up, quick, slow, dead) as follower:
            await follower.ready()
            await until(lambda: quick.asked > 5 and dead.asked > 5)
            assert slow.asked == 1 and ids(up) == ["a:1", "b:1"] and follower.error is dead.now

    run(scenario)


def test_after_stop_no_update_begins_even_if_the_answer_is_on_its_way():
    async def scenario():
        up, asked, answer = lbcore.Upstream("api", ["seed:1"]), asyncio.Event(), asyncio.Event()

        class Stubborn(Scripted):
            async def resolve(self):
                asked.set()
                with contextlib.suppress(asyncio.CancelledError):
                    await answer.wait()
                return await super().resolve()

        follower = discovery.start(up, Stubborn("a:1"))
        await asked.wait()
        follower.stop()
        answer.set()
        await follower.aclose()
        assert ids(up) == ["seed:1"]
        with pytest.raises(lbcore.LbcoreError, match="ended before"):
            await follower.ready()

    run(scenario)


def test_it_ends_with_its_loop():
    followers = []

    async def scenario():
        followers.append(discovery.start(lbcore.Upstream("api", []), Scripted("a:1")))
        await followers[0].ready()

    asyncio.run(scenario())
    (follower,) = followers
    assert not follower.running
    follower.stop()
    follower.refresh()


def test_it_lives_although_nobody_holds_it():
    async def scenario():
        up, source = lbcore.Upstream("api", []), Scripted("a:1")
        discovery.start(up, source)
        await until(lambda: ids(up))
        gc.collect()
        source.now, source.good_for = ("b:1",), 0.001
        (follower,) = follow._running
        follower.refresh()
        await until(lambda: ids(up) == ["b:1"])
        await follower.aclose()

    run(scenario)


def test_nothing_is_left_behind():
    async def scenario():
        one = discovery.start(lbcore.Upstream("a", []), Scripted("a:1"))
        two = discovery.start(lbcore.Upstream("b", []), Scripted("a:1"), thread=True)
        async with one, two:
            await one.ready()
            await two.ready()

    run(scenario)


def test_an_upstream_and_a_source_have_one_follower():
    async def scenario():
        up, source = lbcore.Upstream("api", []), Scripted("a:1")
        async with discovery.start(up, source):
            with pytest.raises(
                lbcore.LbcoreError, match=r"Follower of api by scripted: running.* follows already"
            ):
                discovery.start(up, Scripted("b:1"))
            with pytest.raises(lbcore.LbcoreError, match="follows already"):
                discovery.start(lbcore.Upstream("other", []), source)
        async with discovery.start(up, source):
            pass

    run(scenario)


def test_what_start_needs():
    up = lbcore.Upstream("api", [])
    with pytest.raises(lbcore.LbcoreError, match="thread=True"):
        discovery.start(up, Scripted("a:1"))
    with pytest.raises(lbcore.ConfigError, match="sources"):
        discovery.start(up)
    with discovery.start(up, Scripted("a:1"), thread=True):  # the failed ones left nothing
        pass


def test_waiting_for_ones_own_loop_is_refused():
    async def scenario():
        async with discovery.start(lbcore.Upstream("api", []), Scripted("a:1")) as follower:
            with pytest.raises(lbcore.LbcoreError, match="would block"):
                follower.wait(1.0)
            await follower.ready()
            assert follower.wait(0.0)

    run(scenario)


# ---- in a thread ------------------------------------------------------------------------------------------------


def test_a_thread_follows_and_ends():
    up, source = lbcore.Upstream("api", []), Scripted("a:1")
    with discovery.start(up, source, thread=True) as follower:
        assert follower.wait(SECONDS) and ids(up) == ["a:1"]
        source.now = ("b:1",)
        follower.refresh()
        asyncio.run(until(lambda: ids(up) == ["b:1"]))
        thread = follower._thread
        assert thread.is_alive() and thread.daemon
    assert not thread.is_alive() and not follower.running


def test_a_thread_that_is_stopped_at_once_ends():
    for _ in range(50):
        discovery.start(lbcore.Upstream("api", []), Scripted("a:1"), thread=True).stop()
    assert not [t for t in threading.enumerate() if t.name == "lbcore-discovery"]


def test_a_loop_may_be_stopped_from_another_thread():
    async def scenario():
        follower = discovery.start(lbcore.Upstream("api", []), Scripted("a:1"))
        await follower.ready()
        await asyncio.to_thread(follower.stop)
        await follower.aclose()
        await until(follower._ended.done)

    run(scenario)


def test_waiting_has_an_end():
    class Never(Scripted):
        async def resolve(self):
            await asyncio.Event().wait()

    with discovery.start(lbcore.Upstream("api", []), Never(), thread=True) as follower:
        assert not follower.wait(0.01)


def test_the_whole_with_dns():
    pytest.importorskip("dns.resolver", reason='needs pip install "lbcore[dns]"')
    from nameserver import Zone, serving

    async def scenario():
        zone = Zone({("api.test", "A"): (0, ["10.0.0.1", "10.0.0.2"])})
        up = lbcore.Upstream("api", [])
        async with serving(zone) as server:
            source = discovery.dns("api.test:80", nameservers=[server], floor=0.1)
            async with discovery.start(up, source) as follower:
                await follower.ready()
                call = up.acquire(exclude="api.test@10.0.0.2:80")
                zone.records["api.test", "A"] = (0, ["10.0.0.3", "10.0.0.1"])
                await until(lambda: [t.host for t in up.targets] == ["10.0.0.1", "10.0.0.3"])
                assert up.targets[0].in_flight == 1
                zone.rcodes["api.test"] = "SERVFAIL"
                await until(lambda: follower.error is not None)
                assert len(up.targets) == 2 and "SERVFAIL" in str(follower.error)
                zone.rcodes.clear()
                follower.refresh()
                await until(lambda: follower.error is None)
                call.done()

    run(scenario)


# ---- processes ----------------------------------------------------------------------------------------------------


def program(text, **options):
    """Run it in a process of its own; its output."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        **options,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

CHILD = """
    def child(follower):
        assert not follower.running and "forked" in repr(follower), follower
        assert "forked" in str(follower.error), follower.error
        follower.refresh()
        follower.stop()
        import asyncio
        asyncio.run(asyncio.wait_for(follower.aclose(), 5))
        with discovery.start(up, discovery.static(["b:1"]), thread=True) as own:
            assert own.wait(5) and [t.id for t in up.targets] == ["b:1"]
        return 0
"""


@FORK
def test_a_thread_does_not_live_on_in_a_forked_child():
    program(
        CHILD
        + """
    import os
    from lbcore import Upstream, discovery
    up = Upstream("api", [])
    follower = discovery.start(up, discovery.static(["a:1"]), thread=True)
    assert follower.wait(5)
    pid = os.fork()
    if pid == 0:
        os._exit(child(follower))
    assert os.waitpid(pid, 0)[1] == 0
    assert follower.running and follower.error is None
    follower.refresh()
    follower.stop()
    assert [t.id for t in up.targets] == ["a:1"]
    """
    )


@FORK
def test_a_follower_in_a_loop_does_not_live_on_in_a_forked_child():
    program(
        CHILD
        + """
    import asyncio, os
    from lbcore import Upstream, discovery
    up = Upstream("api", [])

    async def main():
        follower = discovery.start(up, discovery.static(["a:1"]))
        await follower.ready()
        pid = os.fork()
        if pid == 0:
            import threading
            outcome = []
            thread = threading.Thread(target=lambda: outcome.append(child(follower)))
            thread.start()
            thread.join(10)
            os._exit(0 if outcome == [0] else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert follower.running
        await follower.aclose()

    asyncio.run(main())
    """
    )


@pytest.mark.parametrize(
    "source",
    [
        'discovery.static(["a:1"])',
        "Hanging()",  # in its own loop
        "Blocking()",  # the loop itself hangs
        'discovery.system("api.test:80")',  # a thread hangs in getaddrinfo
    ],
)
def test_the_end_of_the_interpreter_waits_for_nobody(source):
    said = program(
        f"""
    import asyncio, socket, threading, time
    from lbcore import Upstream, discovery
    asked = threading.Event()

    class Hanging:
        async def resolve(self):
            asked.set()
            await asyncio.Event().wait()

    class Blocking:
        async def resolve(self):
            asked.set()
            time.sleep(1000)

    def getaddrinfo(*args):
        asked.set()
        time.sleep(1000)

    socket.getaddrinfo = getaddrinfo
    follower = discovery.start(Upstream("api", []), {source}, thread=True)
    assert asked.wait(5) or follower.wait(5) if "static" not in {source!r} else follower.wait(5)
    print("end")
    """
    )
    assert said == "end\n"


def test_a_loop_that_ends_waits_for_no_resolver():
    program(
        """
    import asyncio, socket, threading, time
    from lbcore import Upstream, discovery
    asked = threading.Event()
    socket.getaddrinfo = lambda *args: (asked.set(), time.sleep(1000))

    async def main():
        discovery.start(Upstream("api", []), discovery.system("api.test:80"))
        while not asked.is_set():
            await asyncio.sleep(0.001)

    asyncio.run(main())
    """
    )
