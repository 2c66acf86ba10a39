"""How a reload stays out of the way: reloads one after the other, work in a thread, reading in another process.

    this process                                     the child, one for each reload
    Popen ---- loader and source, pickled -------->  reads and parses; makes the Spec
    Spec  <--- its parts, some at a time ----------  ends

Parsing 100,000 routes takes seconds, and unpickling them at once would hold the interpreter for a tenth of one; parts
of 32 hold it for a quarter of a millisecond.  The child is a fresh interpreter, never a fork: this process has threads.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import fields, is_dataclass, replace
from typing import IO, TYPE_CHECKING, Any, TypeVar

from lbcore._core import Yielder, settle, untrack
from lbcore.errors import LbcoreError

# asyncio and subprocess are imported where they are used: most programs that load a configuration never reload it so.
if TYPE_CHECKING:
    import subprocess

    from lbcore.engine import Spec

T = TypeVar("T")
_SLICE = 32  # parts in one pickle
_START = "import sys; sys.path[:] = {path!r}; from lbcore.reloading import answer; answer()"


# ---- one at a time ----------------------------------------------------------------------------------------------


class Turns:
    """Turns in the order of asking, for threads and for the tasks of any loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Future[None]] = deque()
        self._holder: Future[None] | None = None

    def ask(self, turn: Future[None]) -> None:
        """``turn`` (a new Future) gets its result when it has come.  Then, or to give up, :meth:`leave`."""
        turn.set_running_or_notify_cancel()  # it cannot be cancelled: it is left
        with self._lock:
            if self._holder is None:
                self._holder = turn
            else:
                self._waiting.append(turn)
                return
        turn.set_result(None)

    def leave(self, turn: Future[None]) -> None:
        """The turn is over, or no longer wanted."""
        with self._lock:
            if turn is not self._holder:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                return
            self._holder = following = self._waiting.popleft() if self._waiting else None
        if following is not None:
            following.set_result(None)


# ---- in a thread ------------------------------------------------------------------------------------------------


async def comes(turn: Future[None]) -> None:
    """Wait for a turn."""
    import asyncio

    await asyncio.wrap_future(turn)


async def in_thread(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """What ``work`` returns or raises, done in a thread of its own, which has ended by then.

    Cancelled: ``stop`` is called, and the task goes on waiting for the thread's end.  If the work was stopped (or
    failed) CancelledError is raised; if it was too late for that, its result is returned and the cancellation
    is undone.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(ended.set_result, None)

    thread = threading.Thread(target=run, name="lbcore reload")
    thread.start()
    n_cancelled = 0
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            n_cancelled += 1
            stop()
    thread.join()
    if n_cancelled and outcome.exception() is not None:
        raise asyncio.CancelledError
    task = asyncio.current_task()
    for _ in range(n_cancelled):
        if task is not None:
            task.uncancel()
    return outcome.result()


# ---- in another process -----------------------------------------------------------------------------------------


class Reader:
    """Reads a Spec in another process.  ``stop`` may come from any thread, at any time."""

    def __init__(self, yielder: Yielder) -> None:
        self._yielder = yielder
        self._child: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """End the child; ``read`` raises ``Stopped``."""
        self._yielder.stop()
        if self._child is not None:
            self._child.kill()

    def read(self, request: bytes, kinds: frozenset[type]) -> Spec:
        """What the loader of ``request`` returns or raises in the child.  Raises LbcoreError if that dies."""
        import subprocess

        command = [sys.executable, "-c", _START.format(path=sys.path)]
        try:
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except (OSError, ValueError) as error:
            raise LbcoreError(f"reload_async: cannot start {sys.executable!r}: {error}") from None
        assert child.stdin is not None and child.stdout is not None
        self._child = child
        try:
            self._yielder.pause()  # stopped before there was a child to kill?
            with contextlib.suppress(BrokenPipeError), child.stdin:
                child.stdin.write(request)
            return self._assemble(child.stdout, kinds)
        finally:
            child.kill()
            child.stdout.close()
            child.wait()

    def _assemble(self, stream: IO[bytes], kinds: frozenset[type]) -> Spec:
        parts: dict[str, list[Any]] = {}
        for place, items in _frames(stream):
            if place == "error":
                raise items
            if place == "end":
                return settle(_with_parts(items, parts), kinds)
            into = parts.setdefault(place, untrack([]))
            for item in items:
                if place == "upstreams" and "targets" in parts:
                    item = replace(item, targets=tuple(parts.pop("targets")))
                into.append(settle(item, kinds))
                self._yielder.tick()
        self._yielder.pause()
        assert self._child is not None
        raise LbcoreError(
            f"reload_async: the process that read the configuration ended early ({self._child.wait()})"
        )


def request_of(loader: Callable[[Any], Spec], source: Any) -> bytes | None:
    """The request for a child, or None where this process must read itself: the loader's ``apart(source)`` says so, or
    it cannot be pickled."""
    apart = getattr(loader, "apart", None)
    if apart is None or not apart(source) or not sys.executable:
        return None
    try:
        return pickle.dumps((loader, source))
    except (pickle.PicklingError, TypeError, AttributeError):
        return None


def answer() -> None:
    """What the child does: one request from standard input, the answer to what was standard output."""
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # what a loader prints is no answer
        try:
            loader, source = pickle.load(sys.stdin.buffer)
            for place, items in _slices(loader(source)):
                _send(out, place, items)
        except Exception as error:
            try:
                _send(out, "error", error)
            except (pickle.PicklingError, TypeError, AttributeError):
                _send(out, "error", LbcoreError(f"{type(error).__name__}: {error}"))


def _send(out: IO[bytes], place: str, items: Any) -> None:
    content = pickle.dumps((place, items), pickle.HIGHEST_PROTOCOL)
    out.write(len(content).to_bytes(4, "little") + content)


def _frames(stream: IO[bytes]) -> Iterator[tuple[str, Any]]:
    while len(head := stream.read(4)) == 4:
        size = int.from_bytes(head, "little")
        content = stream.read(size)
        if len(content) < size:
            return
        yield pickle.loads(content)


def _slices(spec: Spec) -> Iterator[tuple[str, Any]]:
    """The tuples of a Spec and of its report, some items at a time; then the Spec without them."""
    for holder, prefix in ((spec, ""), (spec.report, "report.")):
        for field in fields(holder):
            items = getattr(holder, field.name)
            if not isinstance(items, tuple):
                continue
            for i in range(0, len(items), _SLICE):
                for chunk in _split_targets(items[i : i + _SLICE]):
                    yield (chunk[0] or prefix + field.name), chunk[1]
    yield "end", _emptied(replace(spec, report=_emptied(spec.report)))


def _split_targets(items: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """``items`` as they are; an upstream of many targets after its targets."""
    if all(len(getattr(item, "targets", ())) <= 1 for item in items):
        yield "", items
        return
    for item in items:
        for i in range(0, len(item.targets), _SLICE):
            yield "targets", item.targets[i : i + _SLICE]
        yield "", (replace(item, targets=()),)


def _emptied(holder: T) -> T:
    assert is_dataclass(holder) and not isinstance(holder, type)
    return replace(
        holder, **{f.name: () for f in fields(holder) if isinstance(getattr(holder, f.name), tuple)}
    )


def _with_parts(spec: Spec, parts: dict[str, list[Any]]) -> Spec:
    report = {name[7:]: untrack(tuple(items)) for name, items in parts.items() if name.startswith("report.")}
    own: dict[str, Any] = {
        name: untrack(tuple(items)) for name, items in parts.items() if not name.startswith("report.")
    }
    return replace(spec, **own, report=replace(spec.report, **report))
