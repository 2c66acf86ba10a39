"""The engine: what joins routes to upstreams, and replaces both without losing what is known of the targets.

A dialect of ``lbcore.config`` turns text into a :class:`Spec`, plain and validated; :class:`Engine` compiles it.  The
hot classes (Router, Split, Upstream) live in the extension.  Nothing here reads a file: ``reload`` calls the loader
that ``load`` handed over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from lbcore._core import Match, Route, Router, Target, Upstream, Yielder, dismantle, held_elsewhere
from lbcore._core import policy as policy  # config checks with these what it was told, and may not look there
from lbcore.difference import Changes as Changes
from lbcore.difference import Merger
from lbcore.difference import TargetChanges as TargetChanges
from lbcore.errors import LbcoreError, Problem
from lbcore.healthrules import ActiveChecks as ActiveChecks
from lbcore.healthrules import Health as Health
from lbcore.healthrules import Outlier as Outlier
from lbcore.healthrules import PassiveChecks as PassiveChecks
from lbcore.keys import KeySource as KeySource
from lbcore.moves import share_moved
from lbcore.options import Levels as Levels
from lbcore.options import Limits as Limits
from lbcore.options import Shared as Shared
from lbcore.options import SlowStart as SlowStart
from lbcore.plan import Index, Plan, parts_of
from lbcore.reloading import Reader, Turns, comes, in_thread, request_of

_PATIENCE = 20  # pauses for those who still hold a plan that was replaced

log = logging.getLogger("lbcore")
log.addHandler(logging.NullHandler())  # a library says nothing unless its program wants to hear it

# ---- the Spec: what a configuration says, in the engine's words -------------------------------------------------


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One address of an upstream.  Identity is ``id``, else ``address``."""

    address: str
    id: str | None = None
    weight: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    hash_key: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """A named group of targets; the name is its identity over reloads (``default/httpbin:80``)."""

    name: str
    targets: tuple[TargetSpec, ...] = ()
    policy: str = "round_robin"
    params: Mapping[str, float | str | bool] = field(default_factory=dict)
    seed: int = 0
    limits: Limits | None = None
    levels: Levels | None = None
    slow_start: SlowStart | None = None
    health: Health | Literal["passive"] | None = "passive"
    when_empty: Literal["fail", "panic", "least_bad"] = "fail"


@dataclass(frozen=True, slots=True)
class KeySpec:
    """Where the key of a route's requests comes from, in the words of :class:`lbcore.KeySource`."""

    sources: tuple[str, ...]
    combine: bool = False
    terminal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A weighted reference.  ``upstream`` None is an invalid one: its share gets 500 (UDP: is dropped)."""

    upstream: str | None
    weight: int = 1


@dataclass(frozen=True, slots=True)
class ListenerSpec:
    """A port on which a proxy serves.  ``name`` is unique (``default/edge/http``)."""

    name: str
    protocol: str  # HTTP, TCP or UDP
    port: int
    hostname: str | None = None


@dataclass(frozen=True, slots=True)
class MatchSpec:
    """One alternative of an HTTP rule: path, methods, headers and query parameters that must all fit."""

    path: str = "/"
    path_type: str = "prefix"  # exact or prefix
    methods: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One rule of an HTTP route.

    ``name`` (``default/canary/0``) is its identity over reloads.  ``attached`` maps a listener's name to the hostnames
    that are served there (empty: all).  Rules stand in order of precedence: oldest first, then name, then place.
    ``by`` "key": the key draws the backend, too.
    """

    name: str
    attached: Mapping[str, tuple[str, ...]]
    matches: tuple[MatchSpec, ...] = (MatchSpec(),)
    backends: tuple[BackendSpec, ...] = ()
    key: KeySpec | None = None
    by: Literal["key"] | None = None


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A TCP or UDP route: all traffic of its listeners.  The first of a listener wins.  Of the sources of a ``key``
    it has the ``ip``, the client's address."""

    name: str
    listeners: tuple[str, ...]
    backends: tuple[BackendSpec, ...] = ()
    key: KeySpec | None = None
    by: Literal["key"] | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What a controller would write to an object's status."""

    type: str
    status: bool
    reason: str
    message: str = ""
    observed_generation: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectReport:
    """The verdicts on one object.  ``parents`` has those that depend on a parent, by the parent's name
    (a Gateway's listeners, a route's parentRefs)."""

    kind: str
    namespace: str
    name: str
    conditions: tuple[Condition, ...] = ()
    parents: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Per object what was accepted and what was not; ``problems`` has all that is wrong, in the order of the input."""

    objects: tuple[ObjectReport, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole configuration, validated: compiling it can only fail for want of memory."""

    listeners: tuple[ListenerSpec, ...] = ()
    upstreams: tuple[UpstreamSpec, ...] = ()
    rules: tuple[RuleSpec, ...] = ()
    streams: tuple[StreamSpec, ...] = ()
    report: Report = field(default_factory=Report)


# ---- the engine -------------------------------------------------------------------------------------------------

# What a Spec is made of: frozen, so that no cycle can run through it, and the collector need not look at it.
_KINDS = frozenset({
    *(tuple, dict, Spec, ListenerSpec, UpstreamSpec, TargetSpec, RuleSpec, StreamSpec, MatchSpec, BackendSpec),
    *(KeySpec, Report, ObjectReport, Condition, Problem),
})  # fmt: skip


def _targets(spec: UpstreamSpec, yielder: Yielder | None = None) -> list[Target]:
    made = []
    for t in spec.targets:
        made.append(
            Target(
                t.address, id=t.id, weight=t.weight, labels=t.labels, hash_key=t.hash_key, priority=t.priority
            )
        )
        if yielder is not None:
            yielder.tick()
    return made


def upstream_of(
    spec: UpstreamSpec, shared: str | Shared | None = None, *, yielder: Yielder | None = None
) -> Upstream:
    """A new upstream.  Raises ``ConfigError``, also for what only the policy can judge: targets it cannot place."""
    chosen = policy(spec.policy, **spec.params)
    if "phase" in chosen.params and "phase" not in spec.params:
        # A configuration starts at the beginning of its schedules: what it says is what the first requests see.
        chosen = policy(spec.policy, **spec.params, phase=0)
    return Upstream(
        spec.name,
        _targets(spec, yielder),
        chosen,
        seed=spec.seed,
        limits=spec.limits,
        levels=spec.levels,
        slow_start=spec.slow_start,
        health=spec.health,
        when_empty=spec.when_empty,
        shared=shared,
    )


def _is_built_as(was: UpstreamSpec, now: UpstreamSpec) -> bool:
    """True if an upstream of ``was`` becomes one of ``now`` by an update of its targets."""
    return replace(was, targets=()) == replace(now, targets=())


class Engine:
    """Routes and upstreams of one configuration; made by :func:`lbcore.load`.

    Picks and matches may run in any thread.  ``reload`` builds the new generation aside and swaps one reference: a
    request sees the old one or the new one, whole.  ``shared``: the name (or :class:`Shared`) under which the worker
    processes of this host keep the State of all its upstreams, and the turns of its rules, together.
    """

    def __init__(
        self,
        spec: Spec,
        loader: Callable[[Any], Spec] | None = None,
        source: Any = None,
        *,
        shared: str | Shared | None = None,
    ) -> None:
        self._loader = loader
        self._shared = shared
        self._source = source
        self._turns = Turns()
        self._reloader: int | None = None  # the thread that is at it
        self._retired: list[Plan | Router] = []  # in the order of coming
        yielder = Yielder()
        spec, index, _ = Merger(_KINDS, yielder).merged(Spec(), Index(), spec)
        self._plan = Plan(spec, index, self._built(spec, {}, yielder), None, yielder)

    @property
    def spec(self) -> Spec:
        """The configuration that is being served."""
        return self._plan.spec

    @property
    def listeners(self) -> tuple[ListenerSpec, ...]:
        """The ports that the configuration asks for."""
        return self._plan.spec.listeners

    @property
    def upstreams(self) -> dict[str, Upstream]:
        """The live upstreams by name (``default/httpbin:80``)."""
        return self._plan.upstreams

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every HTTP route, port by port, in order of precedence among equals.  Makes those that nobody has met."""
        return tuple(route for _, router in self._plan.tables.values() for route in router.routes)

    def router(self, port: int | None = None) -> Router:
        """The routing table of one HTTP port; None where there is just one.

        Raises ``LbcoreError`` for a port that nobody listens on, or None with several ports.
        """
        tables = self._plan.tables
        if port is None and len(tables) == 1:
            return next(iter(tables.values()))[1]
        if port in tables:
            return tables[port][1]
        ports = ", ".join(map(str, tables)) or "none"
        raise LbcoreError(f"port: {port} is not one of the HTTP listeners' ports ({ports})")

    def match(
        self, method: Any, host: Any, target: Any, headers: Any = (), *, port: int | None = None, **more: Any
    ) -> Match | None:
        """As :meth:`Router.match`, on the listener's ``port`` (None: the only one)."""
        return self.router(port).match(method, host, target, headers, port=port, **more)

    def match_scope(self, scope: Mapping[str, Any], *, port: int | None = None) -> Match | None:
        """As :meth:`Router.match_scope`; ``port`` None takes the only HTTP listener."""
        return self.router(port).match_scope(scope)

    def match_stream(self, protocol: str, port: int, *, source: str | None = None) -> Match | None:
        """The TCP or UDP route of a listener's port.  ``source``: the client's address, for a key of ``ip``."""
        route = self._plan.stream_route(protocol.upper(), port)
        return Match(route, source) if route else None

    def report(self) -> Report:
        """Per object the conditions that a controller would write to its status, and every problem."""
        return self._plan.spec.report

    # ---- reload ------------------------------------------------------------------------------------------------

    def reload(
        self, source: Any = None, *, dry_run: bool = False, prepare: Callable[[Spec], None] | None = None
    ) -> Changes:
        """Load again (from ``source``, else from where it came from) and swap.  Blocks its caller until it is done.

        In-flight calls, health, and what the schedules owe are kept by name; an upstream whose policy or other settings
        change begins anew.  What has not changed is not touched.  Raises ``ConfigError``; then everything is as it was.
        ``prepare`` is called with what is about to be served (to open its ports, say); what it raises stops the reload.

        With ``dry_run`` nothing changes, ``prepare`` is not called, and the answer also says which share of its keys
        each upstream would move.

        Other threads go on: none waits for this one longer than a millisecond, but for the loader, and for the update
        of an upstream with thousands of targets.  Several reloads are done one after the other, in the order of asking.
        """
        loader = self._must_load("reload")
        if self._reloader == threading.get_ident():
            raise LbcoreError(
                "reload: this thread is in the middle of a reload (called by prepare= or a signal?)"
            )
        turn = _future()
        try:
            self._turns.ask(turn)
            turn.result()
            self._reloader = threading.get_ident()
            wanted = self._source if source is None else source
            return self._apply(lambda: loader(wanted), source, dry_run, prepare, Yielder())
        finally:
            if turn.done():
                self._reloader = None
            self._turns.leave(turn)

    async def reload_async(
        self, source: Any = None, *, dry_run: bool = False, prepare: Callable[[Spec], None] | None = None
    ) -> Changes:
        """As :meth:`reload`, beside the event loop: files are read and parsed in another process, the rest is done in
        a thread of its own, which calls ``prepare``, too.

        A source that is not made of paths (text, a dict, standard input) is parsed in that thread: correct, but the
        loop gets only its share of the interpreter meanwhile.  The child does not import the main module.

        Cancelled, it changes nothing and leaves no process and no thread; if the new generation is already being
        swapped in, the cancellation is too late and the changes are returned.  Raises ``ConfigError``, and
        ``LbcoreError`` if the process cannot be started or dies.
        """
        loader = self._must_load("reload_async")
        turn: Future[None] = Future()
        try:
            self._turns.ask(turn)
            await comes(turn)
            yielder = Yielder()
            reader = Reader(yielder)
            wanted = self._source if source is None else source
            request = request_of(loader, wanted)

            def work() -> Changes:
                self._reloader = threading.get_ident()

                def read() -> Spec:
                    return loader(wanted) if request is None else reader.read(request, _KINDS)

                return self._apply(read, source, dry_run, prepare, yielder)

            return await in_thread(work, reader.stop)
        finally:
            if turn.done():
                self._reloader = None
            self._turns.leave(turn)

    def _must_load(self, what: str) -> Callable[[Any], Spec]:
        if self._loader is None:
            raise LbcoreError(f"{what}: this engine was not made by lbcore.load()")
        return self._loader

    def _apply(
        self,
        read: Callable[[], Spec],
        source: Any,
        dry_run: bool,
        prepare: Callable[[Spec], None] | None,
        yielder: Yielder,
    ) -> Changes:
        """Build aside; swap.  What can fail comes first, and until the swap begins the yielder may be stopped."""
        old, given = self._plan, [read()]
        spec, index, changes = Merger(_KINDS, yielder).merged(old.spec, old.index, given[0])
        dismantle(parts_of(given.pop()), yielder)  # what was read twice; what is served is held by `spec`
        upstreams = self._built(spec, old.upstreams, yielder)
        plan = Plan(spec, index, upstreams, old, yielder)
        changed = _changed(old, plan)
        for u in changed:
            upstream_of(u, yielder=yielder)  # aside: what is wrong with it is found before anything changes
            yielder.tick()
        if dry_run:
            return _with_moves(changes, old.spec, spec, yielder)
        if prepare is not None:
            prepare(spec)
        updates = _updates(changed, upstreams, yielder)
        yielder.pause()
        del yielder  # from here on nothing stops it
        _update_all(updates, partial(self._swap, plan, old))
        self._source = self._source if source is None else source
        del old, updates
        with suppress(MemoryError):  # it is served; the next reload frees what is left
            self._clean_up()
        return changes

    def _swap(self, plan: Plan, old: Plan) -> None:
        self._retired.append(old)
        plan.enter()
        self._plan = plan

    def _built(self, spec: Spec, old: Mapping[str, Upstream], yielder: Yielder) -> dict[str, Upstream]:
        """The upstreams of ``spec``: those that stay, and new ones."""
        before = {u.name: u for u in self._plan.spec.upstreams} if old else {}
        upstreams = {}
        for u in spec.upstreams:
            was = before.get(u.name)
            kept = was is not None and (was is u or _is_built_as(was, u))
            upstreams[u.name] = old[u.name] if kept else upstream_of(u, self._shared, yielder=yielder)
            yielder.tick()
        return upstreams

    def _clean_up(self) -> None:
        """Free what is no longer served, in steps; what somebody still holds is left for the next reload."""
        yielder = Yielder()
        self._plan.rules.forget(self._plan.index.rules, yielder)
        self._plan.streams.forget(self._plan.index.streams, yielder)
        for _ in range(_PATIENCE):  # a thread may have been stopped in the middle of a match
            waiting: list[Plan | Router] = []
            while self._retired:
                if held_elsewhere(self._retired):
                    waiting.append(self._retired.pop())
                else:
                    held = dismantle([self._retired.pop()], yielder)
                    served = [router for _, router in self._plan.tables.values()]
                    waiting += [router for router in held if router not in served]
                    del held
            self._retired = waiting
            if not waiting:
                return
            del waiting
            yielder.pause()


@dataclass(frozen=True, slots=True)
class _Update:
    """New targets for an upstream that stays, and what brings the old ones back."""

    upstream: Upstream
    targets: list[Target]
    before: list[Target]
    n_leaving: int
    unwell: Sequence[tuple[str, str, float | None]]  # id, state, until: of those who leave


def _changed(old: Plan, new: Plan) -> list[UpstreamSpec]:
    """What is to be told to upstreams that stay."""
    before = {u.name: u for u in old.spec.upstreams}
    return [
        u
        for u in new.spec.upstreams
        if u.name in before and new.upstreams[u.name] is old.upstreams[u.name] and before[u.name] is not u
    ]


def _updates(
    changed: list[UpstreamSpec], upstreams: Mapping[str, Upstream], yielder: Yielder
) -> list[_Update]:
    """Those that lose nobody first: undoing them loses nothing."""
    updates = []
    for u in changed:
        updates.append(_update(upstreams[u.name], _targets(u, yielder)))
        yielder.tick()
    return sorted(updates, key=lambda update: update.n_leaving)


def _update(upstream: Upstream, targets: list[Target]) -> _Update:
    stays = {t.id for t in targets}
    leaving = [t for t in upstream.targets if t.id not in stays]
    unwell = [(t.id, t.state, t.until) for t in leaving if t.state != "healthy"]
    return _Update(upstream, targets, [copy(t) for t in upstream.targets], len(leaving), unwell)


def _future() -> Future[None]:
    try:
        return Future()
    except RuntimeError as error:  # its lock could not be made: Python's way to say that there is no memory
        raise MemoryError(str(error)) from None


def _update_all(updates: list[_Update], swap: Callable[[], None]) -> None:
    """Give each upstream its new targets and swap, all or nothing."""
    done: list[_Update] = []
    try:
        for update in updates:
            done.append(update)  # first: an update that nobody remembers would stay
            update.upstream.update(update.targets)
        swap()
    except BaseException as error:
        for update in reversed(done):
            try:
                _undo(update)
            except BaseException as another:  # the others are to be undone all the same
                error.add_note(f"{update.upstream!r} could not be given its old targets: {another!r}")
        raise


def _undo(update: _Update) -> None:
    """The old targets again, with their weights; who had left is as unwell as before."""
    upstream = update.upstream
    upstream.update(update.before)
    for id, state, until in update.unwell:
        if state == "draining":
            upstream[id].drain(None if until is None else max(0.0, until - time.monotonic()))
        else:
            upstream.set_health(id, False)


def _with_moves(changes: Changes, old: Spec, new: Spec, yielder: Yielder) -> Changes:
    """With the share of keys that each upstream would move."""
    was, now = ({u.name: u for u in spec.upstreams if u.name in changes.upstreams} for spec in (old, new))
    found = {}
    for name, targets in changes.upstreams.items():
        moved = share_moved(upstream_of(was[name], yielder=yielder), upstream_of(now[name], yielder=yielder))
        found[name] = replace(targets, moved=moved)
        yielder.tick()
    return replace(changes, upstreams=found)
