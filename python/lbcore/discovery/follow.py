"""A follower: asks sources when they are due, for as long as it runs.

It lives in the event loop that started it, or in a thread of its own.  Whichever: it ends by ``stop()``, ``aclose()``,
or with its loop; it does not live on in a forked child; and the interpreter's exit does not wait for it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from random import Random
from types import TracebackType
from typing import Self

from lbcore._core import Upstream
from lbcore.discovery.found import BACKOFF, Source
from lbcore.discovery.membership import Membership
from lbcore.discovery.schedule import Schedule
from lbcore.errors import ConfigError, LbcoreError

LONGEST_SLEEP = 86_400.0  # what every event loop can plan; then it looks again
JOIN_SECONDS = 5.0  # how long stop() waits for its thread
EXIT_SECONDS = 1.0  # how long all of them together delay the end of the interpreter

_running: set[Follower] = set()  # whoever drops a follower's name does not end it


def start(upstream: Upstream, *sources: Source, thread: bool = False) -> Follower:
    """Keep the targets of ``upstream`` at what ``sources`` say, all of them together.

    Returns at once; ``upstream`` keeps the targets it has until every source has answered or failed once.  Needs a
    running event loop of asyncio, or ``thread=True``.  Raises :class:`ConfigError` without a source, and
    :class:`LbcoreError` if the upstream or a source has a follower already, or there is no loop.

    >>> from lbcore import Upstream, discovery
    >>> up = Upstream("api", [])
    >>> with discovery.start(up, discovery.static(["10.0.0.1:80"]), thread=True) as follower:
    ...     follower.wait(5.0)
    True
    >>> up.pick()
    Target('10.0.0.1:80', weight=1)
    """
    follower = Follower(upstream, *sources)
    for other in [*_running]:
        if other.running and (other.upstream is upstream or {*map(id, sources)} & {*map(id, other.sources)}):
            raise LbcoreError(f"{upstream.name}: {other!r} follows already; one upstream, one follower")
    follower._start(thread)
    return follower


class Follower:
    """What :func:`start` returns.  A context manager: ``with`` stops it, ``async with`` waits for its end, too."""

    def __init__(self, upstream: Upstream, *sources: Source) -> None:
        if not sources:
            raise ConfigError("sources", "there is none; one or more are needed")
        self.upstream = upstream
        self.sources = sources
        self.answered: float | None = None
        """When a source last answered (Unix time in seconds), changed or not."""
        self.updated: float | None = None
        """When the upstream was last given other targets (Unix time in seconds)."""
        self._members = Membership(upstream, [repr(source) for source in sources])
        random = Random()
        self._schedules = [Schedule(getattr(s, "backoff", BACKOFF), random=random) for s in sources]
        self._pid = os.getpid()
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._wakes: list[asyncio.Event] = []
        self._ready: Future[None] = Future()
        self._ended: Future[None] = Future()

    # ---- what it says -------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """True while it asks.  False once it was stopped, its loop is closed, or in a forked child."""
        return not (
            self._stopped
            or self._is_forked
            or self._ended.done()
            or self._loop is None
            or self._loop.is_closed()
        )

    @property
    def error(self) -> Exception | None:
        """What is wrong now: a source's problem; None while all sources answer.

        In a forked child it is an :class:`LbcoreError` that says that nobody follows there.
        """
        if self._is_forked:
            return LbcoreError("this process was forked from the one that follows: start a follower here")
        return self._members.error

    def __repr__(self) -> str:
        state = "running" if self.running else "forked" if self._is_forked else "stopped"
        return f"<Follower of {self.upstream.name} by {', '.join(map(repr, self.sources))}: {state}>"

    @property
    def _is_forked(self) -> bool:
        return self._pid != os.getpid()

    # ---- what it is told ----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Ask every source at once, whenever it was due.  From any thread; nothing happens if it does not run."""
        self._tell(self._wake)

    async def ready(self) -> None:
        """Wait until every source has answered or failed once.  Raises :class:`LbcoreError` if it ends before."""
        await asyncio.shield(asyncio.wrap_future(self._ready))

    def wait(self, seconds: float) -> bool:
        """As :meth:`ready`, for programs without a loop: True if it is ready within ``seconds``.

        Raises :class:`LbcoreError` if it ends before, or in the loop that it lives in, which it would block.
        """
        if self._thread is None and not self._ready.done() and self._is_here():
            raise LbcoreError("wait() would block the loop that the follower lives in: await ready()")
        try:
            self._ready.result(seconds)
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        """End it: after the return no update begins.  Idempotent, from any thread; waits for its thread, not a loop."""
        self._stopped = True
        self._tell(self._cancel)
        thread = self._thread
        if thread is not None and not self._is_forked and thread is not threading.current_thread():
            thread.join(JOIN_SECONDS)

    async def aclose(self) -> None:
        """End it, and wait until nothing of it is left."""
        self._stopped = True
        if self._tell(self._cancel):
            await asyncio.shield(asyncio.wrap_future(self._ended))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # ---- its life -----------------------------------------------------------------------------------------------

    def _start(self, thread: bool) -> None:
        if thread:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._live_in_thread, args=(self._loop,), name="lbcore-discovery", daemon=True
            )
            _running.add(self)
            self._thread.start()
            return
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise LbcoreError("no event loop runs here: start(..., thread=True) brings its own") from None
        self._task = self._loop.create_task(self._live(), name=f"lbcore-discovery {self.upstream.name}")
        self._task.add_done_callback(lambda _: self._end())
        _running.add(self)

    def _live_in_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            with (
                asyncio.Runner(loop_factory=lambda: loop) as runner,
                contextlib.suppress(asyncio.CancelledError),
            ):
                runner.run(self._live())
        finally:
            self._end()

    async def _live(self) -> None:
        self._task = asyncio.current_task()
        self._wakes = [asyncio.Event() for _ in self.sources]
        if not self._stopped:  # before its thread had begun
            async with asyncio.TaskGroup() as group:
                for i in range(len(self.sources)):
                    group.create_task(self._follow(i))

    def _end(self) -> None:
        _running.discard(self)
        self._stopped = True
        if not self._ready.done():
            self._ready.set_exception(LbcoreError(f"{self!r} ended before its sources answered"))
        if not self._ended.done():
            self._ended.set_result(None)

    async def _follow(self, i: int) -> None:
        schedule, wake = self._schedules[i], self._wakes[i]
        while not self._stopped:  # and not the cancellation alone: a source may swallow that
            while (seconds := schedule.wait(time.monotonic())) > 0 and not wake.is_set():
                await _sleep(min(seconds, LONGEST_SLEEP), wake)
            wake.clear()
            if self._is_forked:
                return
            await self._ask(i)

    async def _ask(self, i: int) -> None:
        """Ask source ``i`` once, and plan its next turn."""
        try:
            found = await self.sources[i].resolve()
            if self._stopped:
                return
            now = time.time()
            updated = self._members.answer(i, found)
        except Exception as error:
            if self._stopped:
                return
            now = time.time()
            self._schedules[i].failed(time.monotonic())
            updated = self._members.failure(i, error)
        else:
            self._schedules[i].answered(time.monotonic(), found.good_for)
            self.answered = now
        if updated:
            self.updated = now
        if self._members.complete and not self._ready.done():
            self._ready.set_result(None)

    # ---- across threads -----------------------------------------------------------------------------------------

    def _tell(self, what: Callable[[], None]) -> bool:
        """Have its loop do ``what``; False if that is over.  A child must not: it shares the parent's wake-up pipe."""
        if self._is_forked or self._loop is None or self._ended.done():
            return False
        if self._is_here():
            what()
            return True
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:  # closed
            return False
        return True

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()


async def _sleep(seconds: float, wake: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds if math.isfinite(seconds) else None):
            await wake.wait()


@atexit.register
def _stop_threads() -> None:
    """Let no thread of ours run into the end of the interpreter, and wait for none that hangs."""
    threads = [f for f in _running if f._thread is not None and not f._is_forked]
    for follower in threads:
        follower._stopped = True
        follower._tell(follower._cancel)
    until = time.monotonic() + EXIT_SECONDS
    for follower in threads:
        if follower._thread is not None:
            follower._thread.join(max(0.0, until - time.monotonic()))
