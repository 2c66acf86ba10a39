"""Forks, exits, copies and interpreters: what a process does to an engine that it embeds.

Each test is a process of its own with a time-out: what goes wrong here hangs or crashes.
"""

import os

import pytest

from processes import python

POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

# ---- the end of the interpreter ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        "call = up.acquire()",
        "import builtins; builtins.kept = up.acquire()",
        "cycle = [up.acquire()]; cycle.append(cycle)",
        "call = up.acquire(); body = call.stream(iter([b'1']))",
        "up.watch(lambda: None); call = up.acquire()",
        "import threading; t = threading.local(); t.call = up.acquire()",
    ],
)
def test_c_calls_that_are_open_at_the_end_are_silent(how):
    assert python(f"up = lbcore.Upstream('u', ['a:1'])\n{how}\nprint('end')") == "end"


def test_an_exit_with_daemon_threads_that_pick():
    code = """
    up = lbcore.Upstream("u", ["a:1", "b:1"], "adaptive")
    keyed = lbcore.Upstream("k", ["a:1", "b:1"], "hash")
    started = threading.Barrier(5)
    def work(n):
        started.wait()
        while True:
            up.acquire().done(ok=n % 2 == 0)
            keyed.pick(str(n))
            with up.acquire() as call:
                call.report(status=503, retry_after=0.001) if n == 3 else None
    up_never_empty = up.set_health
    for n in (0, 2, 4, 6):
        threading.Thread(target=work, args=(n,), daemon=True).start()
    started.wait()
    for _ in range(1000):
        up.pick()
    print("end")
    """
    for _ in range(5):
        assert python(code) == "end"


# ---- forks ------------------------------------------------------------------------------------------------------


@POSIX
def test_a_fork_with_an_open_call_leaves_it_to_the_parent():
    code = """
    up = lbcore.Upstream("u", ["a:1"], limits=lbcore.Limits(in_flight=2))
    call = up.acquire()
    def child():
        assert up.stats()["in_flight"] == 0, up.stats()
        mine = [up.acquire(), up.acquire()]
        call.done(error=OSError())          # the parent's: releases nothing here
        assert up.stats()["in_flight"] == 2, up.stats()
        for m in mine:
            m.done()
        assert up.stats()["in_flight"] == 0
    child_of(child)
    assert up["a:1"].in_flight == 1 and up["a:1"].state == "healthy"
    call.done()
    assert up["a:1"].in_flight == 0
    print("end")
    """
    assert python(code) == "end"


@POSIX
def test_a_fork_with_an_open_call_where_state_is_shared(tmp_path):
    code = """
    up = lbcore.Upstream("u", ["a:1"], shared=lbcore.Shared("s", shared_dir=sys.argv[1]))
    call = up.acquire()
    def child():
        mine = up.acquire()
        assert up.stats()["in_flight"] == 2 and up.stats()["own_in_flight"] == 1, up.stats()
        call.done()
        assert up.stats()["in_flight"] == 2, up.stats()
        mine.done()
        assert up.stats()["in_flight"] == 1 and up.stats()["own_in_flight"] == 0, up.stats()
    child_of(child)
    assert up.stats()["in_flight"] == 1, up.stats()
    call.done()
    assert up.stats()["in_flight"] == 0
    print("end")
    """
    assert python(code, tmp_path) == "end"


@POSIX
def test_a_child_draws_other_picks_than_its_parent():
    code = """
    up = lbcore.Upstream("u", [f"t{i}:1" for i in range(50)], "random")
    read, write = os.pipe()
    def child():
        os.write(write, ",".join(up.pick().id for _ in range(50)).encode())
    child_of(child)
    child_of(child)
    mine = ",".join(up.pick().id for _ in range(50))
    os.close(write)
    text = b""
    while part := os.read(read, 65536):
        text += part
    assert len({text[:len(text) // 2], text[len(text) // 2:], mine.encode()}) == 3
    print("end")
    """
    assert python(code) == "end"


@POSIX
@pytest.mark.parametrize("shared", [False, True])
def test_a_fork_in_a_thread_while_others_pick(shared, tmp_path):
    code = """
    more = {"shared": lbcore.Shared("s", shared_dir=sys.argv[1])} if sys.argv[2] == "True" else {}
    up = lbcore.Upstream("u", ["a:1", "b:1", "c:1"], **more)
    stop = threading.Event()
    errors = []
    def pick():
        while not stop.is_set():
            up.acquire().done()
    def child():
        calls = [up.acquire() for _ in range(6)]
        assert up.stats()["own_in_flight"] == 6, up.stats()
        for call in calls:
            call.done()
        up.update(["a:1", "d:1"])
        assert {up.pick().id for _ in range(4)} == {"a:1", "d:1"}
    def fork():
        try:
            for _ in range(5):
                child_of(child)
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=pick) for _ in range(3)]
    forker = threading.Thread(target=fork)
    for t in (*threads, forker):
        t.start()
    forker.join()
    stop.set()
    for t in threads:
        t.join()
    assert not errors, errors
    assert up.stats()["in_flight"] == 0
    print("end")
    """
    flags = ("-W", "ignore::DeprecationWarning")  # 3.12 warns of forks beside threads
    assert python(code, tmp_path, shared, flags=flags) == "end"


@POSIX
def test_who_waits_in_the_parent_waits_for_nothing_in_the_child():
    code = """
    import asyncio
    from lbcore import aio
    up = lbcore.Upstream("u", ["a:1"], limits=lbcore.Limits(in_flight=1))
    async def main():
        held = up.acquire()
        waiting = asyncio.create_task(aio.acquire(up, timeout=20))
        await asyncio.sleep(0)
        def child():
            up.acquire().done()
            asyncio._set_running_loop(None)
            async def again():
                with await aio.acquire(up, timeout=5):
                    pass
            asyncio.run(again())
            assert up.stats()["in_flight"] == 0
        child_of(child)
        held.done()
        (await waiting).done()
    asyncio.run(main())
    print("end")
    """
    assert python(code, flags=()) == "end"


def test_a_dropped_upstream_gives_its_places_in_shared_state_back(tmp_path):
    code = """
    shared = lbcore.Shared("s", shared_dir=sys.argv[1], max_targets=16)
    for n in range(20):
        up = lbcore.Upstream(f"u{n}", [f"t{i}:1" for i in range(10)], shared=shared)
        up.acquire().done()
        del up
        gc.collect()
    assert os.listdir(sys.argv[1]) == [], os.listdir(sys.argv[1])
    print("end")
    """
    assert python(code, tmp_path) == "end"


# ---- copies and empty objects -----------------------------------------------------------------------------------


def test_what_cannot_be_copied_says_so_and_what_can_is_a_specification():
    code = """
    import copy, pickle
    up = lbcore.Upstream("u", [lbcore.Target("a:1", id="x", weight=3, labels={"z": "1"}, data=[1], priority=2)])
    call = up.acquire()
    split = lbcore.Split([up])
    route = lbcore.Route("r", backends=[split.backends[0]])
    router = lbcore.Router([route])
    match = router.match("GET", "h", "/")
    policy = lbcore.policy("random")
    things = (up, call, split, split.backends[0], route, router, match, policy, up.subset(z="1"), up.attempts())
    for thing in things:
        for how in (copy.copy, copy.deepcopy, pickle.dumps):
            try:
                how(thing)
            except TypeError:
                continue
            raise AssertionError(f"{how.__name__} of {thing!r}")
    for t in (pickle.loads(pickle.dumps(up["x"])), copy.copy(up["x"]), copy.deepcopy(up["x"])):
        assert t.upstream is None and t.index == -1 and t.state == "healthy"
        assert (t.address, t.id, t.weight, dict(t.labels), t.data, t.priority) == ("a:1", "x", 3, {"z": "1"}, [1], 2)
    call.done()
    print("end")
    """
    assert python(code) == "end"


def test_nobody_makes_an_empty_object():
    code = """
    from lbcore import _core
    up = lbcore.Upstream("u", ["a:1"])
    for name, cls in vars(_core).items():
        if not isinstance(cls, type) or cls.__module__ != "lbcore._core" or issubclass(cls, int):
            continue
        for make in (lambda: cls.__new__(cls), cls, lambda: object.__new__(cls), lambda: cls.__new__(cls, None)):
            try:
                made = make()
            except (TypeError, lbcore.LbcoreError):
                continue
            raise AssertionError(f"{name}: {made!r}")
    for base in (lbcore.Upstream, lbcore.Call, lbcore.Target):
        try:
            type("Mine", (base,), {})
        except TypeError:
            continue
        raise AssertionError(base)
    print("end")
    """
    assert python(code) == "end"


def test_init_again_changes_nothing():
    code = """
    up = lbcore.Upstream("u", ["a:1", "b:1"])
    call = up.acquire()
    for thing, args in ((up, ("v", [])), (up["a:1"], ("z:9",)), (lbcore.Split([up]), ([],)), (call, ())):
        before = repr(thing)
        try:
            thing.__init__(*args)
        except TypeError:
            pass
        assert repr(thing) == before
    call.done()
    assert up.name == "u" and len(up) == 2 and up.stats()["in_flight"] == 0
    print("end")
    """
    assert python(code) == "end"


def test_a_second_interpreter_gets_a_clean_import_error():
    code = """
    import importlib
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        break
    other = module.create()
    source = "\\n".join((
        "try:",
        "    import lbcore",
        "except ImportError as error:",
        "    assert 'one interpreter' in str(error), error",
        "else:",
        "    raise AssertionError('imported')",
    ))
    run = getattr(module, "run_string", None) or module.exec
    failed = run(other, source)
    assert failed is None, failed
    module.destroy(other)
    up = lbcore.Upstream("u", ["a:1"])
    up.acquire().done()
    print("end")
    """
    assert python(code, flags=()) == "end"
