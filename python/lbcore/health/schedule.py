"""When each target is to be probed: time and randomness are arguments, so tests drive it by hand.

::

    Scheduler ──> Watch per upstream ──> Entry per target
        │         parked: due, but `concurrency` probes are in flight
        └───────> Queue: a heap of (due, number, entry); an item whose entry has another due time is stale

A target that takes traffic is due every ``healthy_interval``, another every ``unhealthy_interval``, counted from the
start of its last probe, each time shorter or longer by up to ``jitter``.  A target that turns over is due no later than
one interval of its new side from then on.  The targets of a new upstream are spread over one interval; a target that
joins later is due at once.  One that falls behind is due once, not once for every interval that it missed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from lbcore.engine import log
from lbcore.errors import LbcoreError
from lbcore.healthrules import ActiveChecks, Health

NEVER = math.inf
OUT = ("disabled", "removed")  # by an operator: nobody wants to know whether it could serve


class Target(Protocol):
    """What is asked of a live target."""

    @property
    def address(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def index(self) -> int: ...


class Upstream(Protocol):
    """What is asked of an upstream.  Parameters are ``Any`` as it takes its own targets only."""

    @property
    def name(self) -> str: ...
    @property
    def health(self) -> Health | None: ...
    @property
    def targets(self) -> Sequence[Target]:
        """Another object after each update of the upstream, and the same in between."""

    def takes_traffic(self, target: Any, /) -> bool: ...
    def may_probe(self) -> bool: ...
    def give_up_probing(self) -> None: ...
    def checked(
        self,
        target: Any,
        /,
        *,
        status: int | None = None,
        error: BaseException | None = None,
        ok: bool | None = None,
    ) -> None: ...


class Engine(Protocol):
    """What is asked of an engine: its upstreams, another mapping after a reload."""

    @property
    def upstreams(self) -> Mapping[str, Any]: ...


class Unprobeable(OSError):
    """The target has nothing that could be probed; asking again would not help."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a probe ended: one of the three, in the words of ``upstream.checked``, and why."""

    status: int | None = None
    error: BaseException | None = None
    ok: bool | None = None
    reason: str = ""

    def verdict(self, checks: ActiveChecks) -> bool | None:
        """True for a success, False for a failure, None for a status that is in neither list."""
        if self.status is None:
            return bool(self.ok) and self.error is None
        if self.status in checks.healthy_http_statuses:
            return True
        return False if self.status in checks.unhealthy_http_statuses else None

    def __str__(self) -> str:
        if self.error is not None:
            return (
                f"{type(self.error).__name__}: {self.error}" if str(self.error) else type(self.error).__name__
            )
        return self.reason or f"status {self.status}"


Run = Callable[[Target], Awaitable[Outcome]]
Item = tuple[float, int, "Entry"]


class Entry:
    """One target as the schedule knows it."""

    __slots__ = ("address", "due", "gone", "idle", "passes", "side", "target", "watch")

    def __init__(self, watch: Watch, target: Target) -> None:
        self.watch = watch
        self.target = target
        self.address = (
            target.address
        )  # a live target may be given another address: then this entry is another's
        self.side: bool | None = None  # takes traffic, does not, or is not to be probed
        self.due = NEVER
        self.idle = True  # False: a probe is in flight, or there is nothing that could be probed
        self.gone = False
        self.passes: bool | None = None  # the last verdict: what is logged is its changes

    def is_of(self, target: Target) -> bool:
        return self.target is target and self.address == target.address

    def go(self) -> None:
        self.gone, self.due = True, NEVER


class Queue:
    """What is planned, of all upstreams, the first due first; a tie goes to who was planned first."""

    def __init__(self) -> None:
        self._heap: list[Item] = []
        self._n_planned = 0

    def plan(self, entry: Entry, due: float) -> None:
        """Let ``entry`` be due then, and no longer when it was before; NEVER: not at all."""
        entry.due = due
        if due < NEVER:
            self._n_planned += 1
            self.put((due, self._n_planned, entry))

    def put(self, item: Item) -> None:
        heapq.heappush(self._heap, item)

    def first(self) -> float:
        """The least due time; what is stale goes."""
        heap = self._heap
        while heap and heap[0][0] != heap[0][2].due:
            heapq.heappop(heap)
        return heap[0][0] if heap else NEVER

    def take(self) -> Item:
        """The item of ``first``."""
        return heapq.heappop(self._heap)


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """One probe that is to run now.  Its outcome goes to ``Scheduler.finish``."""

    entry: Entry
    started: float

    @property
    def target(self) -> Target:
        return self.entry.target

    @property
    def upstream(self) -> Upstream:
        return self.entry.watch.upstream

    async def run(self) -> Outcome:
        """Do it.  Raises nothing but ``CancelledError``."""
        return await self.entry.watch.run(self.target)


class Watch:
    """The schedule of one upstream and one set of checks; ``run`` is how its targets are probed."""

    def __init__(
        self, upstream: Upstream, checks: ActiveChecks, run: Run, queue: Queue, random: Random
    ) -> None:
        self.upstream = upstream
        self.checks = checks
        self.run = run
        self._queue = queue
        self._random = random
        self._every = min(i for i in (checks.healthy_interval, checks.unhealthy_interval) if i > 0)
        self._ask_at = -NEVER
        self._probing = False  # we are this host's prober
        self._targets: Sequence[Target] = ()
        self._entries: dict[str, Entry] = {}
        self._n_in_flight = 0
        self._parked: list[Item] = []  # a heap as Queue's

    def look(self, now: float) -> None:
        """See who came, went or turned over, and whether it is ours to probe them."""
        took_over = False
        if now >= self._ask_at:
            self._ask_at = now + self._every
            was, self._probing = self._probing, self.upstream.may_probe()
            took_over = self._probing and not was
        if not self._probing:
            self.drop()
            return
        targets = self.upstream.targets
        if targets is not self._targets:
            self._join(targets)
        n_targets = len(self._entries)
        for place, entry in enumerate(self._entries.values()):
            side = self._side(entry)
            if side is not entry.side and entry.idle:  # in flight: finish() will look
                self._turn(
                    entry, side, now, (place + self._random.random()) / n_targets if took_over else 0.0
                )
        self._unpark()

    def _join(self, targets: Sequence[Target]) -> None:
        """Know these targets, and what was planned for those that we knew."""
        entries = {}
        for target in targets:
            entry = self._entries.get(target.id)
            if entry is None or not entry.is_of(target):
                entry = Entry(self, target)
            entries[target.id] = entry
        for id, entry in self._entries.items():
            if entries.get(id) is not entry:
                entry.go()
        self._entries, self._targets = entries, targets

    def drop(self) -> None:
        """Forget everything; what is in flight will be dropped when it ends."""
        for entry in self._entries.values():
            entry.go()
        self._entries, self._targets = {}, ()
        self._parked.clear()

    def end(self) -> None:
        """No probe more from here: another worker of the host may take over."""
        self.drop()
        if self._probing:
            self._probing = False
            self.upstream.give_up_probing()

    def begin(self, item: Item, now: float) -> Probe | None:
        """The probe of what is due; None, and it waits, while ``concurrency`` probes are in flight."""
        if self._n_in_flight >= self.checks.concurrency:
            heapq.heappush(self._parked, item)
            return None
        entry = item[2]
        entry.due, entry.idle = NEVER, False
        self._n_in_flight += 1
        return Probe(entry, now)

    def finish(self, probe: Probe, outcome: Outcome, now: float) -> None:
        """Tell the upstream, unless the target is another one by now, and plan the target's next probe."""
        self._n_in_flight -= 1
        self._unpark()
        entry = probe.entry
        if entry.gone or not entry.is_of(entry.target) or entry.target.index < 0:
            return
        try:
            self.upstream.checked(entry.target, status=outcome.status, error=outcome.error, ok=outcome.ok)
        finally:  # whatever it raises, the target is to be probed again
            self._tell(entry, outcome)
            if not isinstance(outcome.error, Unprobeable):
                entry.idle, entry.side = True, self._side(entry)
                self._queue.plan(entry, max(now, probe.started + self._interval(entry.side)))

    def _unpark(self) -> None:
        """Let as many try again as there are places; what is stale meanwhile gives its place to the next ``look``."""
        for _ in range(min(len(self._parked), self.checks.concurrency - self._n_in_flight)):
            self._queue.put(heapq.heappop(self._parked))

    def _turn(self, entry: Entry, side: bool | None, now: float, phase: float) -> None:
        """Plan the entry anew: it is new, or is on another side than before; ``phase``: of the first interval."""
        was, entry.side = entry.side, side
        interval = self._interval(side)
        if interval == NEVER:
            self._queue.plan(entry, NEVER)
        elif was is None:
            self._queue.plan(entry, now + phase * interval)
        else:
            self._queue.plan(entry, min(entry.due, now + interval))

    def _side(self, entry: Entry) -> bool | None:
        return None if entry.target.state in OUT else self.upstream.takes_traffic(entry.target)

    def _interval(self, side: bool | None) -> float:
        """Seconds to the next probe of a target on this side; NEVER if there is none."""
        checks = self.checks
        interval = checks.healthy_interval if side else checks.unhealthy_interval
        if side is None or interval <= 0:
            return NEVER
        return interval * (1 + checks.jitter * (2 * self._random.random() - 1))

    def _tell(self, entry: Entry, outcome: Outcome) -> None:
        """One line for each change of a target's answers; a target that answers from the beginning is no news."""
        passes, was = outcome.verdict(self.checks), entry.passes
        if passes is None or passes is was:
            return
        entry.passes = passes
        if not passes:
            log.warning("%s: %s fails its checks: %s", self.upstream.name, entry.address, outcome)
        elif was is not None:
            log.info("%s: %s passes its checks again", self.upstream.name, entry.address)


def upstreams_of(source: Engine | Upstream) -> Iterable[Upstream]:
    """The upstreams of an engine at this moment, or the one upstream that was given."""
    return source.upstreams.values() if hasattr(source, "upstreams") else (source,)


def checks_of(upstream: Upstream) -> ActiveChecks | None:
    """The upstream's active checks; None if they are off."""
    active = upstream.health.active if upstream.health is not None else None
    return (
        active if active is not None and max(active.healthy_interval, active.unhealthy_interval) > 0 else None
    )


class Scheduler:
    """What is due, over all upstreams of an engine, or over one.

    ``prepare(upstream, checks)`` gives what probes the upstream's targets, or raises ``LbcoreError``: such an upstream
    is left out, and said so once.  Every ``period`` seconds it looks for what came, went or turned over.
    """

    def __init__(
        self,
        source: Engine | Upstream,
        prepare: Callable[[Upstream, ActiveChecks], Run],
        *,
        random: Random,
        period: float,
    ) -> None:
        self._source = source
        self._prepare = prepare
        self._random = random
        self._period = period
        self._queue = Queue()
        self._look_at = -NEVER
        self._watches: dict[int, Watch] = {}
        self._refused: dict[int, tuple[Upstream, ActiveChecks]] = {}

    def tick(self, now: float) -> list[Probe]:
        """The probes to start at ``now`` (seconds); each is to be finished by ``finish``."""
        if now >= self._look_at:
            self._look_at = now + self._period
            self._look(now)
        probes = []
        while self._queue.first() <= now:
            item = self._queue.take()
            probe = item[2].watch.begin(item, now)
            if probe is not None:
                probes.append(probe)
        return probes

    def finish(self, probe: Probe, outcome: Outcome, now: float) -> None:
        """A probe has ended; what became of its target meanwhile decides whether anybody is told."""
        probe.entry.watch.finish(probe, outcome, now)

    def end(self) -> None:
        """Nothing more is probed: other workers of the host may."""
        for watch in self._watches.values():
            watch.end()

    def next_tick(self) -> float:
        """When there will be something to do, if no probe ends before."""
        return min(self._look_at, self._queue.first())

    def _look(self, now: float) -> None:
        before, self._watches = self._watches, {}
        refused, self._refused = self._refused, {}
        for upstream in upstreams_of(self._source):
            checks = checks_of(upstream)
            if checks is None:
                continue
            key = id(upstream)  # both tables hold the upstream: nobody else gets its id meanwhile
            watch = before.get(key)
            if watch is not None and watch.checks == checks:
                self._watches[key] = watch
            elif refused.get(key) == (upstream, checks):
                self._refused[key] = (upstream, checks)
            else:
                self._begin(key, upstream, checks)
        for key, watch in before.items():
            if self._watches.get(key) is not watch:
                watch.end()
        for watch in self._watches.values():
            watch.look(now)

    def _begin(self, key: int, upstream: Upstream, checks: ActiveChecks) -> None:
        try:
            run = self._prepare(upstream, checks)
        except LbcoreError as error:
            self._refused[key] = (upstream, checks)
            log.error("%s: not checked: %s", upstream.name, error)
        else:
            self._watches[key] = Watch(upstream, checks, run, self._queue, self._random)
