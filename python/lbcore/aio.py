"""Waiting without blocking: for a target that can be had, and for a target's last call.

::

    call = await lbcore.aio.acquire(up, timeout=2.0)        # NoTarget after two seconds in vain
    with call:
        ...
    target.drain()
    await lbcore.aio.drained(target, timeout=30.0)          # True: nobody is on it any more

Who waits stands in line, whatever its loop or thread: first in, first out.  A call that ends is handed to the first in
line at once, in the thread where it ended; nobody polls, but where State is shared with other workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

from lbcore._core import (
    Backend,
    Call,
    Match,
    Split,
    Subset,
    Target,
    Upstream,
    begun_or_none,
    due_in,
    is_leaving,
    is_shared,
    line_of,
    look_around,
    nobody_of,
    wanted,
)
from lbcore.errors import LbcoreError

_SHORTEST = 0.001  # seconds between two looks: what is due now may need another moment
_POLL = 0.005  # seconds: where other workers' calls end without our being told
_AT_ONCE = 64  # served by one call that ends; the others a turn of the loop later

_Key = str | bytes | int
_Exclude = Target | str | Iterable[Target | str]

_Kind = tuple[Subset | None, frozenset[str]]

_tickets = itertools.count()


async def acquire(
    source: Upstream | Split | Match,
    key: _Key | None = None,
    *,
    timeout: float | None,
    within: Subset | None = None,
    exclude: _Exclude | None = None,
    session: str | None = None,
) -> Call:
    """As ``source.acquire()``, but wait up to ``timeout`` seconds (None: without end) for a target that can be had.

    Those who wait for the same ``within`` and ``exclude`` are served in the order in which they came; nobody who
    comes later is served before.  A split draws its backend once and waits for that.  Cancelling leaves the line; a
    call that was handed over in that moment goes to the next.  ``source.acquire()`` itself stands in no line.

    Raises :class:`NoTarget` when the time is over (with ``reasons`` and ``retry_after``, as without waiting) and at
    once where waiting does not help (``status`` 500); ``NoKey``, ``ConfigError`` as ``source.acquire()`` does.
    Cost: O(1) for each who comes, goes or is served.
    """
    seconds = _checked(timeout)
    upstream, key, backend = wanted(source, key, within, session)
    waiter = _Waiter(upstream, key, within, _ids(exclude), session, backend)
    line: _Line = line_of(upstream, _Line)
    if line.is_empty():
        call = waiter.attempt()
        if call is not None:
            return call
    if seconds == 0:
        raise nobody_of(upstream)
    return await waiter.wait(line, seconds)


async def drained(target: Target, timeout: float | None = None) -> bool:
    """Wait until no call is on ``target``, which is draining, disabled or removed: True.

    False if ``timeout`` seconds (None: without end) were not enough, or if it was taken back into service meanwhile.
    Calls of other workers count where State is shared.  Raises ``LbcoreError`` for a target that is in service.
    """
    seconds = _checked(timeout)
    upstream = target.upstream
    if upstream is None:
        raise LbcoreError(f"drained: {target.address} is not a target of an upstream")
    if not is_leaving(target):
        raise LbcoreError(f"drained: {target.address} is in service; drain() or disable() it first")
    watch = _Watch(target)
    upstream.watch(watch.look)
    try:
        return await watch.wait(seconds)
    finally:
        upstream.unwatch(watch.look)


def _checked(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 <= timeout <= 1e9:
        raise ValueError(f"timeout: {timeout!r} is not a time in 0..1e9 seconds, or None")
    return float(timeout)


def _ids(exclude: _Exclude | None) -> frozenset[str]:
    if exclude is None:
        return frozenset()
    items = [exclude] if isinstance(exclude, Target | str) else exclude
    return frozenset(item.id if isinstance(item, Target) else item for item in items)


def _in(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: Any) -> bool:
    """Have ``what`` called in the thread of ``loop``: now if that is this one.  False if the loop is closed."""
    if asyncio._get_running_loop() is loop:
        what(*args)
        return True
    try:
        loop.call_soon_threadsafe(what, *args)
    except RuntimeError:
        return False
    return True


# ---- the line ---------------------------------------------------------------------------------------------------


class _Waiter:
    """One who waits: what for, and where to hand it.

    The future and the alarm belong to the loop of who waits and are touched in its thread only.
    """

    __slots__ = ("alarm", "alarm_at", "future", "gone", "loop", "ticket", "upstream", "want")

    future: asyncio.Future[Call]
    loop: asyncio.AbstractEventLoop

    def __init__(
        self,
        upstream: Upstream,
        key: _Key | None,
        within: Subset | None,
        exclude: frozenset[str],
        session: str | None,
        backend: Backend | None,
    ) -> None:
        self.upstream = upstream
        self.want = (key, within, exclude, session, backend)
        self.alarm: asyncio.TimerHandle | None = None
        self.alarm_at = 0.0
        self.gone = False
        self.ticket = 0

    @property
    def kind(self) -> _Kind:
        """Those who want of the same stand in one row."""
        return self.want[1], self.want[2]

    def attempt(self) -> Call | None:
        key, within, exclude, session, backend = self.want
        return begun_or_none(self.upstream, key, within, exclude or None, session, backend)

    async def wait(self, line: _Line, seconds: float | None) -> Call:
        self.loop = asyncio.get_running_loop()
        self.future = self.loop.create_future()
        expiry = None if seconds is None else self.loop.call_later(seconds, self.expire)
        try:
            line.join(self)
            return await self.future
        except BaseException:
            if self.future.done() and not self.future.cancelled() and self.future.exception() is None:
                self.future.result().done(error=asyncio.CancelledError())  # its end serves the next
            raise
        finally:
            line.leave(self)
            for timer in (expiry, self.alarm):
                if timer is not None:
                    timer.cancel()

    def expire(self) -> None:
        if not self.future.done():
            self.future.set_exception(nobody_of(self.upstream))

    def take(self, call: Call) -> None:
        """Here is your call.  Who has gone meanwhile lets it go: its end serves the next."""
        if self.future.done():
            call.done(error=asyncio.CancelledError())
        else:
            self.future.set_result(call)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def look_again(self, line: _Line, seconds: float) -> None:
        """Look at the row ``seconds`` from now, if nothing does before."""
        at = self.loop.time() + seconds
        if self.future.done() or (self.alarm is not None and self.alarm_at <= at):
            return
        if self.alarm is not None:
            self.alarm.cancel()
        self.alarm, self.alarm_at = self.loop.call_at(at, self.ring, line), at

    def ring(self, line: _Line) -> None:
        self.alarm = None
        line.join(self)


class _Line:
    """Those who wait for one upstream, in rows of those who want of the same.

    ::

        join, leave --inbox-->  row (None, {}):    w1  w4  w5      the oldest head is tried first; a row whose head
        a call ended --woken->  row (zone_a, {}):  w2  w3          cannot be served is left alone until the next time

    Threads  rows are touched by one thread at a time, which holds a lock that nobody waits for: who finds it taken
             leaves word (inbox, ``_woken``, ``_again``) and goes.  So a call that ends while another is being handed
             over, even one that the garbage collector ends, neither recurs nor blocks.
    Waking   that a head could not be served stays true until the upstream says otherwise (watch), time passes (the
             head's alarm), or the head leaves.
    """

    __slots__ = ("_again", "_inbox", "_rows", "_serving", "_woken", "upstream")

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self._rows: dict[_Kind, OrderedDict[_Waiter, None]] = {}
        self._inbox: deque[_Waiter] = deque()
        self._serving = threading.Lock()
        self._again = self._woken = False

    def is_empty(self) -> bool:
        return not self._rows and not self._inbox

    def join(self, waiter: _Waiter) -> None:
        """Stand at the end of its row; who stands there already has its row tried."""
        self._inbox.append(waiter)
        self._run()

    def leave(self, waiter: _Waiter) -> None:
        """It was served, gave up or was cancelled.  If it was the first of a row, the next is tried."""
        waiter.gone = True
        self._inbox.append(waiter)
        self._run()

    def serve(self) -> None:
        """Somebody may be had: what the upstream calls."""
        self._woken = True
        self._run()

    def _run(self) -> None:
        self._again = True
        while self._again and self._serving.acquire(blocking=False):
            try:
                while self._again:
                    self._again = False
                    self._turn()
            finally:
                self._serving.release()

    # ---- by one thread at a time ---------------------------------------------------------------------------------

    def _turn(self) -> None:
        kinds = self._read_inbox()
        if self._rows:
            self.upstream.watch(self.serve)  # before anybody is tried: what changes after that is heard
        if self._woken:
            self._woken = False
            kinds = set(self._rows)
        if kinds:
            self._serve(kinds)
        if not self._rows:
            self.upstream.unwatch(self.serve)

    def _read_inbox(self) -> set[_Kind]:
        """Let come who came and go who went; the rows that are to be tried."""
        kinds = set()
        while self._inbox:
            waiter = self._inbox.popleft()
            row = self._rows.get(waiter.kind)
            if not waiter.gone:
                if row is None:
                    row = self._rows[waiter.kind] = OrderedDict()
                if waiter not in row:
                    waiter.ticket = next(_tickets)
                    row[waiter] = None
                if _head(row) is waiter:
                    kinds.add(waiter.kind)
            elif row is not None and waiter in row:
                if _head(row) is waiter:
                    kinds.add(waiter.kind)
                self._drop(row, waiter)
        return kinds & self._rows.keys()

    def _drop(self, row: OrderedDict[_Waiter, None], waiter: _Waiter) -> None:
        del row[waiter]
        if not row:
            del self._rows[waiter.kind]

    def _serve(self, kinds: set[_Kind]) -> None:
        heads = [(_head(self._rows[kind]).ticket, self._rows[kind]) for kind in kinds]
        heapq.heapify(heads)
        n_served = 0
        while heads:
            row = heads[0][1]
            waiter = _head(row)
            if self._is_to_wait(waiter, n_served):
                heapq.heappop(heads)
                continue
            n_served += 1
            self._drop(row, waiter)
            if row:
                heapq.heapreplace(heads, (_head(row).ticket, row))
            else:
                heapq.heappop(heads)

    def _is_to_wait(self, waiter: _Waiter, n_served: int) -> bool:
        """Serve ``waiter`` if that can be; True: it stays at the head of its row, and its alarm is set."""
        call, seconds = None, 0.0
        if n_served < _AT_ONCE:
            try:
                call = waiter.attempt()
            except Exception as error:
                _in(waiter.loop, waiter.fail, error)
                return False
            if call is not None:
                if not _in(waiter.loop, waiter.take, call):
                    call.done(error=asyncio.CancelledError())
                return False
            due = due_in(self.upstream)
            if is_shared(self.upstream):
                due = min(_POLL, _POLL if due is None else due)
            if due is None:
                return True
            seconds = max(due, _SHORTEST)
        return _in(waiter.loop, waiter.look_again, self, seconds)


def _head(row: OrderedDict[_Waiter, None]) -> _Waiter:
    return next(iter(row))


# ---- the last call of a target ----------------------------------------------------------------------------------


class _Watch:
    """One who waits for a target's last call."""

    __slots__ = ("loop", "seen", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.loop = asyncio.get_running_loop()
        self.seen = asyncio.Event()

    def look(self) -> None:
        if self.is_over():
            _in(self.loop, self.seen.set)

    def is_over(self) -> bool:
        return self.target.in_flight == 0 or not is_leaving(self.target)

    async def wait(self, seconds: float | None) -> bool:
        upstream = self.target.upstream
        assert upstream is not None
        every = _POLL if is_shared(upstream) else None
        end = None if seconds is None else self.loop.time() + seconds
        while not self.is_over():
            left = None if end is None else end - self.loop.time()
            if left is not None and left <= 0:
                return False
            wait = left if every is None else every if left is None else min(every, left)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.seen.wait()
            self.seen.clear()
            if every is not None:
                look_around(upstream)
        return is_leaving(self.target)
