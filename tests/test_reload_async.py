"""reload_async: files are read in another process; a cancelled reload changes nothing and leaves nothing behind."""

import asyncio
import os
import pathlib
import threading
import time

import pytest

import lbcore
from lbcore.engine import Engine, Spec

SHORT = """
lbcore: 1
listeners: {{web: {{protocol: http, port: 80}}}}
upstreams: {{api: {{targets: [{targets}]}}}}
routes:
{routes}
"""
ROUTE = "- {{name: r{i}, path: /p{i}, backends: [api]}}\n"


def written(path, n_routes=3, targets="'a:1'"):
    path.write_text(SHORT.format(targets=targets, routes="".join(ROUTE.format(i=i) for i in range(n_routes))))
    return path


def children():
    found = pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
    tasks = pathlib.Path("/proc/self/task").glob("*/children") if found.exists() else ()
    return " ".join(path.read_text() for path in tasks).split()


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = (threading.active_count(), children())
    yield
    assert (threading.active_count(), children()) == before


def test_a_file_is_read_by_another_process(tmp_path):
    file = written(tmp_path / "lb.yaml", 100)
    engine = lbcore.load(str(file))
    router, own = engine.router(), engine._loader
    read_here = []

    class Witness:
        def __call__(self, source):
            read_here.append(source)

        def apart(self, source):
            return own.apart(source)

        def __reduce__(self):
            return own.__class__, (False,)

    engine._loader = Witness()
    assert not asyncio.run(engine.reload_async())
    assert engine.router() is router
    written(file, 100, ", ".join(f"'t{i}:1'" for i in range(300)))
    changes = asyncio.run(engine.reload_async())
    assert changes.changed == ("upstream api",) and len(engine.upstreams["api"]) == 300
    other = written(tmp_path / "other.yaml", 101)
    assert asyncio.run(engine.reload_async(other)).added == ("rule r100/0",) or engine.match(
        "GET", "h", "/p100"
    )
    assert not read_here
    assert asyncio.run(engine.reload_async(dry_run=True)) == lbcore.engine.Changes()


def test_the_childs_problems_arrive_with_file_and_line(tmp_path):
    file = written(tmp_path / "lb.yaml")
    engine = lbcore.load(str(file))
    spec = engine.spec
    file.write_text(
        "lbcore: 1\nlisteners: {web: {protocol: smtp, port: 80}, tcp: {protocol: tcp, port: 0}}\n"
    )
    with pytest.raises(lbcore.ConfigError) as caught:
        asyncio.run(engine.reload_async())
    with pytest.raises(lbcore.ConfigError) as here:
        engine.reload()
    assert str(caught.value) == str(here.value) and len(caught.value.problems) >= 2
    assert all(problem.file == str(file) and problem.line for problem in caught.value.problems)
    assert engine.spec is spec


@pytest.mark.parametrize("kind", ["dict", "text"])
def test_what_is_no_path_is_parsed_in_a_thread(kind, tmp_path):
    text = written(tmp_path / "x.yaml").read_text()
    source = {"lbcore": 1, "upstreams": {"api": {"targets": ["a:2"]}}} if kind == "dict" else text
    engine = lbcore.load(text)
    threads = []
    asyncio.run(
        engine.reload_async(source, prepare=lambda spec: threads.append(threading.current_thread().name))
    )
    assert threads == ["lbcore reload"]
    assert engine.upstreams["api"].targets[0].id == ("a:2" if kind == "dict" else "a:1")


def test_a_child_that_dies_is_an_error(tmp_path, monkeypatch):
    engine = lbcore.load(str(written(tmp_path / "lb.yaml")))
    monkeypatch.setattr("lbcore.reloading._START", "import os; os._exit(3)  # {path}")
    with pytest.raises(lbcore.LbcoreError, match=r"ended early \(3\)"):
        asyncio.run(engine.reload_async())
    monkeypatch.setattr("sys.executable", str(tmp_path / "nothing"))
    with pytest.raises(lbcore.LbcoreError, match="cannot start"):
        asyncio.run(engine.reload_async())


@pytest.mark.parametrize("wait", [0.0, 0.02, 0.1, 0.3, 0.5, 0.8])
def test_a_cancelled_reload_changes_nothing(wait, tmp_path):
    file = written(tmp_path / "lb.yaml", 2000)
    engine = lbcore.load(str(file))
    spec, router = engine.spec, engine.router()
    written(file, 2001)

    async def main():
        task = asyncio.create_task(engine.reload_async())
        await asyncio.sleep(wait)
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return None

    if asyncio.run(main()) is None:
        assert engine.spec is spec and engine.router() is router
    else:  # it was through
        assert len(engine.routes) == 2001
    asyncio.run(engine.reload_async())
    assert len(engine.routes) == 2001


def test_a_cancellation_during_the_swap_is_too_late(tmp_path, monkeypatch):
    engine = lbcore.load(str(written(tmp_path / "lb.yaml")))
    written(tmp_path / "lb.yaml", 5)
    swapping, go_on = threading.Event(), threading.Event()
    update_all = lbcore.engine._update_all

    def slow(updates, swap):
        swapping.set()
        go_on.wait()
        update_all(updates, swap)

    monkeypatch.setattr("lbcore.engine._update_all", slow)

    async def main():
        task = asyncio.create_task(engine.reload_async())
        await asyncio.to_thread(swapping.wait)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        changes = await task
        assert task.cancelling() == 0
        return changes

    assert len(asyncio.run(main()).added) == 2 and len(engine.routes) == 5


def test_reloads_wait_for_each_other_and_keep_their_order():
    """Threads and tasks asked in turn, while the first is held; one in the middle gives up."""
    order, first_is_in, go_on = [], threading.Event(), threading.Event()

    def loader(source):
        order.append(source)
        if source == 0:
            first_is_in.set()
            go_on.wait()
        return Spec()

    engine = Engine(Spec(), loader, "")

    async def main():
        tasks = [asyncio.create_task(engine.reload_async(0))]
        await asyncio.to_thread(first_is_in.wait)
        threads = []
        for i in range(1, 7):
            if i % 2:
                tasks.append(asyncio.create_task(engine.reload_async(i)))
                await asyncio.sleep(0)
            else:
                threads.append(threading.Thread(target=engine.reload, args=(i,)))
                threads[-1].start()
                while len(engine._turns._waiting) < i:
                    time.sleep(0.001)
        tasks[2].cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert tasks[2].cancelled()

    asyncio.run(main())
    assert order == [0, 1, 2, 4, 5, 6]
