"""What runs the probes: in a loop, in a thread, over forks and until the end of the interpreter.

Intervals are some milliseconds of real time; nobody sleeps, everybody waits for what is to happen, 20 s at most.
"""

import asyncio
import gc
import os
import socket
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest
from fakes import FakeEngine, FakeTarget, FakeUpstream, answering, checks, endless, on_loop, serving

import lbcore.health
from lbcore.errors import ConfigError, LbcoreError
from lbcore.health import _connect
from lbcore.testing import ManualClock

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HERE = __file__.rpartition("/")[0]
FAST = {"healthy_interval": 0.01, "unhealthy_interval": 0.01, "timeout": 5.0}


def upstream(*addresses, name="api", **settings):
    return FakeUpstream(addresses, checks(**{**FAST, **settings}), name)


@pytest.fixture
def listening():
    """The address of a socket that listens: its backlog takes what connects."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def heard_in_loop(up, n):
    """An event: the upstream was told of ``n`` more probes."""
    event, end = asyncio.Event(), len(up.heard) + n
    up.on_heard = lambda: event.set() if len(up.heard) >= end else None
    return event.wait()


def wait_for(up, n):
    """The same from outside of the checker's thread."""
    event, end = threading.Event(), len(up.heard) + n
    up.on_heard = lambda: event.set() if len(up.heard) >= end else None
    if len(up.heard) >= end:
        event.set()
    assert event.wait(20), up.heard


def n_fds():
    return len(os.listdir("/proc/self/fd"))


def our_threads():
    return [t for t in threading.enumerate() if t.name.startswith("lbcore")]


# ---- in a loop --------------------------------------------------------------------------------------------------


@on_loop
async def test_in_a_loop():
    async with serving(answering(OK)) as address:
        up = upstream(address, type="http")
        async with lbcore.health.start(up) as checker:
            assert checker.running
            await heard_in_loop(up, 3)
        assert not checker.running
        assert set(up.heard) == {(address, 200)}
    assert asyncio.all_tasks() == {asyncio.current_task()}


@on_loop
async def test_stop_in_a_loop_and_again_and_from_the_beginning():
    up = upstream("127.0.0.1:1")
    checker = lbcore.health.start(up)
    await heard_in_loop(up, 1)
    checker.stop()
    checker.stop()
    assert not checker.running
    await checker.aclose()
    checker.start()
    checker.start()
    assert checker.running
    await heard_in_loop(up, 1)
    await checker.aclose()
    await checker.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@on_loop
async def test_stop_before_the_first_turn_of_the_loop():
    checker = lbcore.health.start(upstream("127.0.0.1:1"))
    checker.stop()
    while lbcore.health.checker._runs:
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_loop_that_ends_ends_the_checks():
    async def main():
        return lbcore.health.start(upstream("127.0.0.1:1"))

    checker = asyncio.run(main())
    assert not checker.running
    checker.stop()
    assert not lbcore.health.checker._runs


def test_without_a_loop_it_says_what_to_do():
    with pytest.raises(LbcoreError, match="thread=True"):
        lbcore.health.start(upstream("127.0.0.1:1"))


@pytest.mark.parametrize("thread", [True, False])
def test_what_cannot_be_checked_is_refused_at_the_start(thread):
    engine = FakeEngine(upstream("127.0.0.1:1"), upstream("127.0.0.1:1", name="bad", timeout=0.0))
    with pytest.raises(ConfigError, match=r"bad\.health\.active\.timeout"):
        lbcore.health.start(engine, thread=thread)
    assert not our_threads()


@on_loop
async def test_a_reload_is_followed(listening):
    one, other = upstream(listening), upstream(listening, name="other")
    engine = FakeEngine(one)
    async with lbcore.health.start(engine, period=0.01):
        await heard_in_loop(one, 1)
        engine.reload(other)
        await heard_in_loop(other, 1)


@on_loop
async def test_a_slow_target_does_not_delay_another(listening):
    async with serving(endless) as slow, serving(answering(OK)) as fast:
        up = upstream(slow, fast, type="http", timeout=1000.0)
        async with lbcore.health.start(up):
            await heard_in_loop(up, 20)
    assert set(up.heard) == {(fast, 200)}


@on_loop
async def test_an_address_that_is_none_is_told_and_logged_once(caplog):
    up = FakeUpstream([FakeTarget("nowhere"), "127.0.0.1:1"], checks(**FAST))
    async with lbcore.health.start(up):
        await heard_in_loop(up, 20)
    assert [id for id, _ in up.heard].count("nowhere") == 1
    assert [r.getMessage() for r in caplog.records if "nowhere" in r.getMessage()] == [
        "api: nowhere fails its checks: Unprobeable: target 'nowhere' has no host and port"
    ]


@on_loop
async def test_an_upstream_that_raises_ends_nothing_and_is_said_once(caplog):
    bad, good = upstream("127.0.0.1:1", name="bad"), upstream("127.0.0.1:1")

    def fail():
        raise RuntimeError("a bug")

    async with lbcore.health.start(FakeEngine(bad, good)):
        bad.on_heard = fail
        await heard_in_loop(good, 50)
        assert len(bad.heard) > 1
    assert len([r for r in caplog.records if "a bug" in r.getMessage()]) == 1


@on_loop
async def test_a_clock_of_its_own(listening):
    clock = ManualClock()
    up = upstream(listening, healthy_interval=1000.0)
    async with lbcore.health.start(up, clock=clock, period=0.001):
        while not up.asked:  # the first look
            await asyncio.sleep(0)
        for _ in range(5):
            heard = heard_in_loop(up, 1)
            clock.advance(1001.0)
            await heard
    assert len(up.heard) == 5


class Judged(FakeUpstream):
    """The targets and updates of a real upstream."""

    def __init__(self, real, checks):
        super().__init__([], checks)
        self._real = real

    @property
    def targets(self):
        return self._real.targets

    @targets.setter
    def targets(self, _): ...


@on_loop
async def test_live_targets_of_a_real_upstream_as_they_come_and_go_and_move(listening):
    """An id with another address keeps its live target: the probe of the old address is dropped, a new one begins."""
    async with serving(endless) as silent:
        real = lbcore.Upstream("api", [lbcore.Target(silent, id="a"), lbcore.Target(silent, id="b")])
        up = Judged(real, checks(**{**FAST, "type": "http", "timeout": 1000.0}))
        async with lbcore.health.start(up, period=0.001) as checker:
            while len(checker._run._probes) < 2:
                await asyncio.sleep(0)
            a = real["a"]
            async with serving(answering(OK)) as address:
                real.update([lbcore.Target(address, id="a"), lbcore.Target(address, id="c")])
                assert real["a"] is a
                await heard_in_loop(up, 5)
        assert {id for id, _ in up.heard} == {"a", "c"}
        assert {what for _, what in up.heard} == {200}


# ---- nothing is left --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
@pytest.mark.parametrize("settings", [{"type": "http"}, {"type": "https"}, {"type": "grpc"}, {"type": "tcp"}])
@on_loop
async def test_no_descriptor_is_left_after_time_outs_and_cancellation(settings):
    async with serving(endless) as silent:
        up = upstream(silent, "127.0.0.1:1", timeout=0.02, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            before = n_fds()
            async with lbcore.health.start(up):
                await heard_in_loop(up, 20)
            up.health = FakeUpstream([], checks(**{**FAST, **settings, "timeout": 1000.0})).health
            for _ in range(5):
                checker = lbcore.health.start(up)
                await heard_in_loop(up, 1)  # the other target's: this one's probe is in flight
                await checker.aclose()
            gc.collect()
        while n_fds() > before:  # the server's ends close when it has read ours; on_loop ends the wait
            await asyncio.sleep(0.001)
        assert not [s for s in _connect._sockets if s.fileno() >= 0]


# ---- in a thread ------------------------------------------------------------------------------------------------


def test_in_a_thread(listening):
    up = upstream(listening)
    with lbcore.health.start(up, thread=True) as checker:
        assert checker.running
        assert len(our_threads()) == 1
        wait_for(up, 3)
    assert not checker.running
    assert not our_threads()
    assert set(up.heard) == {(listening, True)}
    checker.stop()
    checker.start()
    wait_for(up, 1)
    checker.stop()
    assert not our_threads()


def test_stop_in_the_thread_itself(listening):
    up = upstream(listening)
    stopped = threading.Event()

    def stop():
        checker.stop()
        stopped.set()

    checker = lbcore.health.start(up, thread=True)
    thread = our_threads()[0]
    up.on_heard = stop
    assert stopped.wait(20)
    thread.join(20)
    assert not our_threads()


@on_loop
async def test_a_thread_is_closed_from_a_loop(listening):
    up = upstream(listening)
    async with lbcore.health.start(up, thread=True):
        pass
    assert not our_threads()


def test_many_may_start_and_stop_at_once(listening):
    checker = lbcore.health.Checker(upstream(listening), thread=True)

    def work():
        for _ in range(20):
            checker.start()
            checker.stop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
    checker.stop()
    assert not our_threads()


# ---- names ------------------------------------------------------------------------------------------------------


@on_loop
async def test_a_name_that_takes_long_holds_up_nobody_else_and_has_one_lookup(monkeypatch, listening):
    looked_up, answer = [], threading.Event()
    lookup = socket.getaddrinfo

    def getaddrinfo(host, *args, flags=0, **kwargs):
        if host == "slow.example" and not flags:
            looked_up.append(host)
            answer.wait(20)
            host = "127.0.0.1"
        return lookup(host, *args, flags=flags, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    slow = f"slow.example:{listening.rpartition(':')[2]}"
    up = upstream(slow, listening, timeout=0.02)
    async with lbcore.health.start(up):
        await heard_in_loop(up, 20)
        assert (slow, TimeoutError) in up.heard
        assert (listening, True) in up.heard
        assert looked_up == ["slow.example"]
        answer.set()
        while (slow, True) not in up.heard:
            await heard_in_loop(up, 1)


@on_loop
async def test_lookups_are_limited_and_who_waits_has_its_turn(monkeypatch):
    answer, looked_up = threading.Event(), []

    def getaddrinfo(host, port, *args, flags=0, **kwargs):
        if flags:
            raise socket.gaierror
        looked_up.append(host)
        answer.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = _connect.Resolver()
    asked = [asyncio.create_task(resolver.addresses(f"h{i}.example", i)) for i in range(100)]
    while len(looked_up) < _connect.MAX_LOOKUPS:
        await asyncio.sleep(0)
    assert len([t for t in our_threads() if t.name == "lbcore-lookup"]) == _connect.MAX_LOOKUPS
    answer.set()
    found = await asyncio.gather(*asked)
    assert [addresses[0][1] for addresses in found] == [("127.0.0.1", i) for i in range(100)]


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 70 + ".example", "a..b", "-"])
@on_loop
async def test_a_name_without_address_is_a_tcp_failure(name, monkeypatch):
    lookup = socket.getaddrinfo

    def getaddrinfo(host, *args, flags=0, **kwargs):
        if host.endswith((".invalid", "-")) and not flags:  # no test asks a name server
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return lookup(host, *args, flags=flags, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    up = upstream(f"{name}:80")
    async with lbcore.health.start(up):
        await heard_in_loop(up, 1)
    kind = up.heard[0][1]
    assert issubclass(kind, OSError)
    assert not issubclass(kind, TimeoutError)


@on_loop
async def test_the_addresses_of_a_name_are_tried_in_turn(monkeypatch, listening):
    port = int(listening.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()[1]

    def getaddrinfo(host, wanted, *args, flags=0, **kwargs):
        if flags:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", p)) for p in (refused, port)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    up = upstream("two.example:80")
    async with lbcore.health.start(up):
        await heard_in_loop(up, 1)
    assert up.heard[0] == ("two.example:80", True)


# ---- forks, and the end -----------------------------------------------------------------------------------------


def run(script, *, timeout=30):
    """A program of its own, with FakeUpstream and a listening socket; what it printed."""
    begin = """
        import asyncio, atexit, os, socket, sys, threading, warnings
        import lbcore, lbcore.health
        from fakes import FakeUpstream, checks
        server = socket.create_server(("127.0.0.1", 0), backlog=4096)
        atexit.register(server.close)
        address = "127.0.0.1:%d" % server.getsockname()[1]
        up = FakeUpstream([address], checks(healthy_interval=0.01, unhealthy_interval=0.01, timeout=5.0))

        def wait_for(up, n):
            event, end = threading.Event(), len(up.heard) + n
            up.on_heard = lambda: event.set() if len(up.heard) >= end else None
            assert event.wait(20)
    """
    code = textwrap.dedent(begin) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={"PYTHONPATH": HERE, "PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "checker.stop()"])
def test_the_end_of_the_interpreter_waits_for_nobody(end):
    script = f"""
        checker = lbcore.health.start(up, thread=True)
        wait_for(up, 2)
        print("done", flush=True)
        {end}
    """
    assert run(script) == "done\n"


def test_the_end_of_the_interpreter_does_not_wait_for_a_name():
    script = """
        lookup, begun = socket.getaddrinfo, threading.Event()
        def getaddrinfo(host, *args, flags=0, **kwargs):
            if host == "slow.example" and not flags:
                begun.set()
                threading.Event().wait()
            return lookup(host, *args, flags=flags, **kwargs)
        socket.getaddrinfo = getaddrinfo
        slow = FakeUpstream(["slow.example:80"], checks(healthy_interval=0.01, timeout=1000.0))
        checker = lbcore.health.start(slow, thread=True)
        assert begun.wait(20)
        print("done")
    """
    assert run(script) == "done\n"


FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@FORK
def test_after_a_fork_the_child_has_none_until_it_starts_it_and_the_parent_goes_on():
    script = """
        checker = lbcore.health.start(up, thread=True)
        wait_for(up, 2)
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on a fork with threads is frowned upon
        child = os.fork()
        if not child:
            assert not checker.running
            checker.stop()
            assert not checker.running
            checker.start()
            assert checker.running
            wait_for(up, 2)
            checker.stop()
            assert not checker.running
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert checker.running
        wait_for(up, 2)
        checker.stop()
        print("done")
    """
    assert run(script) == "done\n"


@FORK
def test_a_child_may_end_without_touching_the_checker():
    script = """
        checker = lbcore.health.start(up, thread=True)
        wait_for(up, 2)
        warnings.simplefilter("ignore", DeprecationWarning)
        for _ in range(10):
            child = os.fork()
            if not child:
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        wait_for(up, 2)
        print("done")
    """
    assert run(script) == "done\n"


@FORK
def test_a_fork_inside_of_a_loop():
    script = """
        async def main():
            checker = lbcore.health.start(up)
            event = asyncio.Event()
            up.on_heard = event.set
            await event.wait()
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
            if not child:
                assert not checker.running
                os._exit(0 if not checker.running else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            event.clear()
            await event.wait()
            await checker.aclose()
        asyncio.run(main())
        print("done")
    """
    assert run(script) == "done\n"


@FORK
def test_a_fork_keeps_no_connection_of_a_probe_open():
    """The child lives on; the target must see the end of the parent's probe all the same."""
    script = """
        server.settimeout(20)
        up.health = FakeUpstream([], checks(type="http", healthy_interval=0.01, timeout=1000.0)).health
        checker = lbcore.health.start(up, thread=True)
        connection, _ = server.accept()
        connection.recv(1000)                   # the probe waits for its answer
        warnings.simplefilter("ignore", DeprecationWarning)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(write)
            connection.close()
            os.read(read, 1)
            os._exit(0)
        checker.stop()
        connection.settimeout(20)
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            pass
        os.close(write)
        os.waitpid(child, 0)
        connection.close()
        server.close()
        print("done")
    """
    assert run(script) == "done\n"


def test_importing_lbcore_imports_no_asyncio_and_no_ssl():
    script = "import sys, lbcore; assert not {'asyncio', 'ssl', 'lbcore.health'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
