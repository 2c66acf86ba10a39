"""The engine: what joins routes to upstreams, and replaces both without losing what is known of the targets.

A dialect of ``lbcore.config`` turns text into a :class:`Spec`, plain and validated; :class:`Engine` compiles it.  The
hot classes (Router, Split, Upstream) live in the extension.  Nothing here reads a file: ``reload`` calls the loader
that ``load`` handed over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lbcore._core import Backend, Match, Route, Router, Split, Target, Upstream, hash_bytes
from lbcore._core import policy as policy  # config checks with these what it was told, and may not look there
from lbcore.errors import LbcoreError, Problem
from lbcore.keys import KeySource as KeySource
from lbcore.options import Levels as Levels
from lbcore.options import Limits as Limits
from lbcore.options import SlowStart as SlowStart

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


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reload changed (or, with ``dry_run``, would): names of rules, streams and upstreams."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


class _Plan:
    """Everything one generation of the configuration compiles to; immutable."""

    __slots__ = ("keys", "routers", "spec", "splits", "streams", "upstreams")

    def __init__(self, spec: Spec, upstreams: dict[str, Upstream], previous: _Plan | None) -> None:
        self.spec = spec
        self.upstreams = upstreams
        self.splits: dict[str, Split] = {}
        self.keys: dict[str, KeySource | None] = {}
        everything: tuple[RuleSpec | StreamSpec, ...] = (*spec.rules, *spec.streams)
        for rule in everything:
            self.splits[rule.name] = _split(
                rule, upstreams, previous.splits.get(rule.name) if previous else None
            )
            self.keys[rule.name] = _key_source(rule, previous.keys.get(rule.name) if previous else None)
        self.routers = self._compile_http()
        self.streams = self._compile_streams()

    def _compile_http(self) -> dict[int, Router]:
        routes: dict[int, list[Route]] = {}
        port_of = {}
        for listener in self.spec.listeners:
            if listener.protocol == "HTTP":
                port_of[listener.name] = listener.port
                routes.setdefault(listener.port, [])
        for rule in self.spec.rules:
            for listener_name, hosts in rule.attached.items():
                into = routes[port_of[listener_name]]
                into.extend(self._route(rule, match, hosts) for match in rule.matches)
        return {port: Router(found) for port, found in routes.items()}

    def _route(self, rule: RuleSpec, match: MatchSpec, hosts: tuple[str, ...]) -> Route:
        return Route(
            rule.name,
            hosts=hosts,
            path=match.path,
            path_type=match.path_type,  # type: ignore[arg-type]
            methods=match.methods,
            headers=match.headers,
            query=match.query,
            backends=self.splits[rule.name],
            data=rule,
            key=self.keys[rule.name],
        )

    def _compile_streams(self) -> dict[tuple[str, int], Route]:
        listeners = {listener.name: listener for listener in self.spec.listeners}
        streams: dict[tuple[str, int], Route] = {}
        for stream in self.spec.streams:
            route = Route(
                stream.name, backends=self.splits[stream.name], data=stream, key=self.keys[stream.name]
            )
            for name in stream.listeners:
                streams.setdefault((listeners[name].protocol, listeners[name].port), route)
        return streams


def _split(rule: RuleSpec | StreamSpec, upstreams: Mapping[str, Upstream], previous: Split | None) -> Split:
    return Split(
        [Backend(upstreams[b.upstream] if b.upstream is not None else None, b.weight) for b in rule.backends],
        rule.by,
        previous=previous if previous is not None and previous.by == rule.by else None,
    )


def _key_source(rule: RuleSpec | StreamSpec, previous: KeySource | None) -> KeySource | None:
    """The one before, where it says the same: what it draws goes on and does not begin again."""
    key = rule.key
    if key is None:
        return None
    made = KeySource(
        *key.sources,
        combine=key.combine,
        terminal=key.terminal,
        seed=hash_bytes("xxh64", rule.name),  # routes with one upstream must not all draw the same
    )
    return previous if previous is not None and previous.says_the_same(made) else made


def _targets(spec: UpstreamSpec) -> list[Target]:
    return [
        Target(t.address, id=t.id, weight=t.weight, labels=t.labels, hash_key=t.hash_key, priority=t.priority)
        for t in spec.targets
    ]


def upstream_of(spec: UpstreamSpec) -> Upstream:
    """A new upstream.  Raises ``ConfigError``, also for what only the policy can judge: targets it cannot place."""
    chosen = policy(spec.policy, **spec.params)
    if "phase" in chosen.params and "phase" not in spec.params:
        # A configuration starts at the beginning of its schedules: what it says is what the first requests see.
        chosen = policy(spec.policy, **spec.params, phase=0)
    return Upstream(
        spec.name,
        _targets(spec),
        chosen,
        seed=spec.seed,
        limits=spec.limits,
        levels=spec.levels,
        slow_start=spec.slow_start,
    )


def _is_built_as(was: UpstreamSpec, now: UpstreamSpec) -> bool:
    """True if an upstream of ``was`` becomes one of ``now`` by an update of its targets."""
    return replace(was, targets=()) == replace(now, targets=())


class Engine:
    """Routes and upstreams of one configuration; made by :func:`lbcore.load`.

    Picks and matches may run in any thread.  ``reload`` builds the new generation aside and swaps one reference: a
    request sees the old one or the new one, whole.
    """

    def __init__(self, spec: Spec, loader: Callable[[Any], Spec] | None = None, source: Any = None) -> None:
        self._loader = loader
        self._source = source
        self._plan = _Plan(spec, {u.name: upstream_of(u) for u in spec.upstreams}, None)

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
        """Every HTTP route, port by port, in order of precedence among equals."""
        return tuple(route for router in self._plan.routers.values() for route in router.routes)

    def router(self, port: int | None = None) -> Router:
        """The routing table of one HTTP port; None where there is just one.

        Raises ``LbcoreError`` for a port that nobody listens on, or None with several ports.
        """
        routers = self._plan.routers
        if port is None and len(routers) == 1:
            return next(iter(routers.values()))
        if port in routers:
            return routers[port]
        ports = ", ".join(map(str, routers)) or "none"
        raise LbcoreError(f"port: {port} is not one of the HTTP listeners' ports ({ports})")

    def match(
        self, method: Any, host: Any, target: Any, headers: Any = (), *, port: int | None = None, **more: Any
    ) -> Match | None:
        """As :meth:`Router.match`, on the listener's ``port`` (None: the only one)."""
        return self.router(port).match(method, host, target, headers, **more)

    def match_scope(self, scope: Mapping[str, Any], *, port: int | None = None) -> Match | None:
        """As :meth:`Router.match_scope`; ``port`` None takes the only HTTP listener."""
        return self.router(port).match_scope(scope)

    def match_stream(self, protocol: str, port: int, *, source: str | None = None) -> Match | None:
        """The TCP or UDP route of a listener's port.  ``source``: the client's address, for a key of ``ip``."""
        route = self._plan.streams.get((protocol.upper(), port))
        return Match(route, source) if route else None

    def report(self) -> Report:
        """Per object the conditions that a controller would write to its status, and every problem."""
        return self._plan.spec.report

    def reload(
        self, source: Any = None, *, dry_run: bool = False, prepare: Callable[[Spec], None] | None = None
    ) -> Changes:
        """Load again (from ``source``, else from where it came from) and swap.  Blocks its caller.

        In-flight calls, health, and what the schedules owe are kept by name; an upstream whose policy or other settings
        change begins anew.  Raises ``ConfigError``; then everything is as it was.  With ``dry_run`` nothing changes but
        the answer is the same.  ``prepare`` is called with what is about to be served (to open its ports, say); what it
        raises stops the reload.
        """
        if self._loader is None:
            raise LbcoreError("reload: this engine was not made by lbcore.load()")
        spec = self._loader(self._source if source is None else source)
        changes = _difference(self._plan.spec, spec)
        if prepare is not None:
            prepare(spec)
        if not dry_run:
            self._replace(spec)
            self._source = self._source if source is None else source
        return changes

    async def reload_async(self) -> Changes:
        """Not available yet."""
        raise LbcoreError("reload_async is not available yet: call reload in a thread")

    def _replace(self, spec: Spec) -> None:
        old = self._plan
        before = {u.name: u for u in old.spec.upstreams}
        kept: list[tuple[Upstream, UpstreamSpec, UpstreamSpec]] = []
        upstreams = {}
        for u in spec.upstreams:
            was = before.get(u.name)
            if was is None or not (was == u or _is_built_as(was, u)):
                upstreams[u.name] = upstream_of(u)
                continue
            upstreams[u.name] = old.upstreams[u.name]
            if was != u:
                kept.append((upstreams[u.name], was, u))
        plan = _Plan(spec, upstreams, old)
        _update_all(kept)
        self._plan = plan


def _update_all(kept: list[tuple[Upstream, UpstreamSpec, UpstreamSpec]]) -> None:
    """Give each upstream its new targets, all or none."""
    done: list[tuple[Upstream, UpstreamSpec]] = []
    try:
        for upstream, was, now in kept:
            done.append((upstream, was))  # first: an update that nobody remembers would stay
            upstream.update(_targets(now))
    except BaseException:
        for upstream, was in reversed(done):
            upstream.update(_targets(was))
        raise


def _difference(old: Spec, new: Spec) -> Changes:
    def named(spec: Spec) -> dict[str, object]:
        parts: tuple[tuple[Any, ...], ...] = (spec.listeners, spec.upstreams, spec.rules, spec.streams)
        kinds = ("listener", "upstream", "rule", "stream")
        return {
            f"{kind} {part.name}": part for kind, group in zip(kinds, parts, strict=True) for part in group
        }

    before, after = named(old), named(new)
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in after if name in before and after[name] != before[name]),
    )
