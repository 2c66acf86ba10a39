"""Runs the probes that are due: as tasks of an event loop that is there, or in a daemon thread with a loop of its own.

After a fork the child has no checker: threads and loops stay with the parent.  ``running`` is False there, and
``start()`` begins anew, in a gunicorn ``post_fork`` hook, say.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Self

from lbcore.engine import log
from lbcore.errors import LbcoreError
from lbcore.health._connect import Resolver, close_in_child
from lbcore.health.probes import Prober, TlsContext, tls_context
from lbcore.health.schedule import Engine, Probe, Run, Scheduler, Upstream, checks_of, upstreams_of
from lbcore.healthrules import ActiveChecks

PERIOD = 0.25  # seconds


class Checker:
    """Active checks of every upstream of an engine, or of one upstream; made and started by :func:`start`.

    ``with`` and ``async with`` stop it at their end.  ``stop`` may be called from any thread, any number of times.
    """

    def __init__(
        self,
        source: Engine | Upstream,
        *,
        thread: bool = False,
        period: float = PERIOD,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
        tls: TlsContext = tls_context,
    ) -> None:
        self._source = source
        self._in_thread = thread
        self._period = period
        self._clock = clock
        self._random = random
        self._tls = tls
        self._run: _Run | None = None

    @property
    def running(self) -> bool:
        """True between ``start`` and ``stop``, in the process that started it, while its loop runs."""
        run = self._run
        return run is not None and run.alive

    def start(self) -> None:
        """Begin, or begin again; nothing if it runs.

        Raises ``ConfigError`` for checks that cannot be carried out, ``LbcoreError`` if what they need is not
        installed, or without a running event loop and not ``thread``.  Then nothing was started.
        """
        with _lock:
            if self.running:
                return
            for upstream in upstreams_of(self._source):
                checks = checks_of(upstream)
                if checks is not None:
                    Prober(upstream, checks, self._tls, Resolver())
            run = _Run(self._source, self._tls, self._period, self._clock, self._random or Random())
            if self._in_thread:
                run.begin_thread()
            else:
                run.begin_task()
            self._run = run

    def stop(self) -> None:
        """End, and wait for the thread if there is one; the tasks of a loop that is there end with its next turns."""
        with _lock:
            run, self._run = self._run, None
        if run is not None:
            run.end()

    async def aclose(self) -> None:
        """End, and wait until no task and no socket is left."""
        with _lock:
            run, self._run = self._run, None
        if run is not None:
            await run.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        where = "thread" if self._in_thread else "loop"
        return f"<Checker in a {where}, {'running' if self.running else 'stopped'}>"


class _Run:
    """A checker from one start to its stop: the loop, the tasks in it, and perhaps the thread around it."""

    def __init__(
        self,
        source: Engine | Upstream,
        tls: TlsContext,
        period: float,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._clock = clock
        self._tls = tls
        self._resolver = Resolver()
        self._scheduler = Scheduler(source, self._prober, random=random, period=period)
        self._probes: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._ready = (
            threading.Event()
        )  # the thread has a loop and a task that can be cancelled, or has failed
        self._forked = False  # this is a child's copy
        self._failed = ""  # what was logged last: what fails 4 times a second is told once

    @property
    def alive(self) -> bool:
        loop, main = self._loop, self._main
        return not (self._forked or loop is None or main is None or loop.is_closed() or main.done())

    def begin_task(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise LbcoreError(
                "start: no event loop is running: call it inside of one, or with thread=True"
            ) from None
        self._begin(self._loop)

    def begin_thread(self) -> None:
        self._thread = threading.Thread(target=self._in_thread, name="lbcore-health", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._main is None:
            raise LbcoreError("start: the thread has no event loop; its own traceback says why")

    def end(self, timeout: float | None = None) -> None:
        """Cancel everything; a thread is waited for, ``timeout`` seconds at most."""
        if self._forked or self._loop is None or self._main is None:
            return
        if _running_loop() is self._loop:
            self._main.cancel()
            return
        with suppress(RuntimeError):  # the loop may have ended, and the tasks with it
            self._loop.call_soon_threadsafe(self._main.cancel)
        if self._thread is not None:
            self._thread.join(timeout)

    def end_at_exit(self) -> None:
        if self._thread is not None:
            self.end(timeout=1.0)

    def forget(self) -> None:
        """In a forked child: this is the parent's."""
        self._forked = True

    async def aclose(self) -> None:
        if self._main is None or _running_loop() is not self._loop:
            await asyncio.to_thread(self.end)
            return
        self._main.cancel()
        await asyncio.wait([self._main])

    def _begin(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        self._loop = loop
        self._main = loop.create_task(self._check(), name="lbcore-health")
        _runs.add(self)
        self._main.add_done_callback(lambda _: _runs.discard(self))
        return self._main

    def _in_thread(self) -> None:
        async def main() -> None:
            checks = self._begin(asyncio.get_running_loop())
            self._ready.set()
            await asyncio.wait([checks])

        try:
            asyncio.run(main())
        finally:
            self._ready.set()

    def _prober(self, upstream: Upstream, checks: ActiveChecks) -> Run:
        return Prober(upstream, checks, self._tls, self._resolver)

    async def _check(self) -> None:
        """Start what is due, sleep until the next is, or until a probe makes room."""
        self._wake = asyncio.Event()
        try:
            while True:
                self._wake.clear()
                self._start_due()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._scheduler.next_tick() - self._clock()):
                        await self._wake.wait()
        finally:
            probes = list(self._probes)
            for probe in probes:
                probe.cancel()
            await asyncio.gather(*probes, return_exceptions=True)
            self._scheduler.end()
            await asyncio.sleep(0)  # sockets close in the loop's next turn

    def _start_due(self) -> None:
        probes: list[Probe] = []
        with self._going_on("looking for what is due"):
            probes = self._scheduler.tick(self._clock())
        for probe in probes:
            task = asyncio.get_running_loop().create_task(self._probe(probe))
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)

    async def _probe(self, probe: Probe) -> None:
        outcome = await probe.run()
        with self._going_on(f"telling {probe.upstream.name} of {probe.target.id}"):
            self._scheduler.finish(probe, outcome, self._clock())
        self._wake.set()

    @contextmanager
    def _going_on(self, doing: str) -> Iterator[None]:
        """What goes wrong inside, in an upstream or a clock, is logged, and the checks go on."""
        try:
            yield
        except Exception as error:
            said = f"{doing}: {error!r}"
            if said != self._failed:
                self._failed = said
                log.exception("active checks: %s", said)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def start(
    source: Engine | Upstream,
    *,
    thread: bool = False,
    period: float = PERIOD,
    clock: Callable[[], float] = time.monotonic,
    random: Random | None = None,
    tls: TlsContext = tls_context,
) -> Checker:
    """Begin to probe the targets of ``source``, an engine (whose reloads are followed) or an upstream.

    It runs in the running event loop, or with ``thread=True`` in a daemon thread with a loop of its own.  Every
    ``period`` seconds it looks for upstreams and targets that came, went, or take traffic otherwise than before.
    ``clock`` gives seconds, ``random`` the phases and the jitter.  ``tls(checks)`` gives the context for an upstream's
    https or grpcs probes: for authorities of your own, or a client's certificate; for grpcs it must offer ALPN "h2".

    Raises ``ConfigError`` for checks that cannot be carried out, ``LbcoreError`` if what they need is not installed, or
    without a running event loop and not ``thread``.
    """
    checker = Checker(source, thread=thread, period=period, clock=clock, random=random, tls=tls)
    checker.start()
    return checker


# ---- the end of the interpreter, and forks ----------------------------------------------------------------------

_lock = threading.RLock()  # of starting and stopping; a signal's handler may stop what is being started
_runs: set[_Run] = set()
_left_behind: list[
    _Run
] = []  # kept for ever: letting go of a loop would touch what it shares with the parent's


@atexit.register
def _stop_threads() -> None:
    for run in list(_runs):
        run.end_at_exit()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # a thread that the child does not have may have held it
    close_in_child()
    for run in _runs:
        run.forget()
    _left_behind.extend(_runs)
    _runs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
