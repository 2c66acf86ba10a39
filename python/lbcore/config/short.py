"""The dialect of lbcore's own short form: listeners, upstreams, routes in a dozen lines.  See docs/howto/short-form.md.

Every mistake in it refuses the whole load: it is one person's text, and not the work of many as a cluster's
objects are. Its documents are read as one: a route may name an upstream of another file.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec

from lbcore.config import model, validate
from lbcore.config.attach import hostnames_served
from lbcore.config.draft import Draft
from lbcore.config.plain import Path, cut, parts, shown
from lbcore.config.problems import Document
from lbcore.config.routes import canonical_path
from lbcore.engine import (
    ActiveChecks,
    BackendSpec,
    Health,
    KeySource,
    KeySpec,
    Levels,
    Limits,
    ListenerSpec,
    MatchSpec,
    Outlier,
    PassiveChecks,
    RuleSpec,
    SlowStart,
    StreamSpec,
    TargetSpec,
    UpstreamSpec,
    policy,
    upstream_of,
)
from lbcore.errors import ConfigError

NAME = "lbcore's short form (lbcore: 1)"
MAX_PATH = 65535
HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
HTTP_ONLY = ("hosts", "path", "path_type", "methods", "headers", "query")

_Options = TypeVar("_Options")


def claims(data: dict[str, Any]) -> bool:
    """True for a document that says ``lbcore:``."""
    return "lbcore" in data


def build(documents: list[Document], draft: Draft) -> None:
    """Add what the documents say; anything wrong is fatal."""
    form = _Form(draft)
    read = []
    for document in documents:
        document.label = "short form"
        found, faults = validate.read(document.data, model.Short)
        for fault in faults:
            form.wrong(document, fault.path, fault.reason)
        if found is not None:
            read.append((document, found))
    for document, short in read:
        form.add_listeners(document, short)
        form.add_upstreams(document, short)
    for document, short in read:
        for i, route in enumerate(short.routes):
            form.add_route(document, ("routes", i), route)


class _Form:
    """The documents as one; a name stands once."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.listeners: dict[str, ListenerSpec] = {}
        self.upstreams: dict[str, UpstreamSpec] = {}
        self.keyed: dict[
            str, bool
        ] = {}  # by upstream: whether its policy picks by key; not those that are wrong
        self.routes: set[str] = set()
        self.ports: dict[tuple[bool, int], list[tuple[str, ListenerSpec]]] = {}

    def wrong(self, document: Document, path: Path, reason: str) -> None:
        self.draft.problems.add(document, path, reason, fatal=True)

    # ---- listeners ----------------------------------------------------------------------------------------------

    def add_listeners(self, document: Document, short: model.Short) -> None:
        for name, one in short.listeners.items():
            path = ("listeners", name)
            listener = ListenerSpec(name, one.protocol.upper(), one.port, one.hostname)
            if name in self.listeners:
                self.wrong(document, path, "another document has a listener of this name")
                continue
            if one.hostname and listener.protocol != "HTTP":
                self.wrong(document, (*path, "hostname"), f"a {one.protocol} listener has no hostname")
            self._claim(document, path, listener)
            self.listeners[name] = listener
            self.draft.listeners.append(listener)

    def _claim(self, document: Document, path: Path, listener: ListenerSpec) -> None:
        """HTTP listeners of different hostnames may share a port, nobody else."""
        on_port = self.ports.setdefault((listener.protocol == "UDP", listener.port), [])
        for name, other in on_port:
            if other.protocol != "HTTP" or listener.protocol != "HTTP" or other.hostname == listener.hostname:
                self.wrong(document, (*path, "port"), f"{listener.port} is taken by listener {shown(name)}")
                return
        on_port.append((listener.name, listener))

    # ---- upstreams ----------------------------------------------------------------------------------------------

    def add_upstreams(self, document: Document, short: model.Short) -> None:
        for name, one in short.upstreams.items():
            path = ("upstreams", name)
            if name in self.upstreams:
                self.wrong(document, path, "another document has an upstream of this name")
                continue
            n_problems = len(self.draft.problems)
            chosen = self._policy(document, (*path, "policy"), one.policy)
            if chosen is not None:
                self.keyed[name] = policy(chosen[0]).keyed
            targets = targets_of(partial(self.wrong, document), (*path, "targets"), one.targets)
            self.upstreams[name] = self.draft.upstreams[name] = UpstreamSpec(
                name,
                targets,
                *(chosen or ("round_robin", {})),
                one.seed,
                self._options(document, (*path, "limits"), one.limits, Limits),
                self._levels(document, (*path, "levels"), one.levels),
                self._options(document, (*path, "slow_start"), one.slow_start, SlowStart),
                self._health(document, (*path, "health"), one.health),
                one.when_empty,
            )
            is_known = self.draft.known.get(name) == self.upstreams[name]
            if len(self.draft.problems) == n_problems and not is_known:
                self._try(document, path, self.upstreams[name])

    def _try(self, document: Document, path: Path, spec: UpstreamSpec) -> None:
        """Build it once, for what only its policy can refuse: a reload that got so far must not fail."""
        try:
            upstream_of(spec)
        except ConfigError as error:
            field = error.problems[0].field
            at = parts(field)
            if field in policy(spec.policy).params:
                at = ("policy", field)
            self.wrong(document, (*path, *at), error.problems[0].reason)

    def _options(
        self, document: Document, path: Path, given: msgspec.Struct | None, make: Callable[..., _Options]
    ) -> _Options | None:
        """One of lbcore.options: what is given, and its own defaults."""
        return None if given is None else self._made(document, path, _given(given), make)

    def _made(
        self, document: Document, path: Path, given: dict[str, Any], make: Callable[..., _Options]
    ) -> _Options | None:
        try:
            return make(**given)
        except ConfigError as error:  # what ranges do not say, such as .nan
            field = parts(error.problems[0].field)
            at = next((field[i:] for i, part in enumerate(field) if part in given), field[-1:])
            self.wrong(document, (*path, *at), error.problems[0].reason)
            return None

    def _health(
        self, document: Document, path: Path, given: str | model.ShortHealth | None
    ) -> Health | Literal["passive"] | None:
        """ "none" is off, for all or for outlier detection: a null is as good as absent, here as everywhere."""
        if given is None or given == "passive":
            return "passive"
        if isinstance(given, str):
            return None
        rules: dict[str, Any] = _given(given)
        for name, make in (("outlier", Outlier), ("passive", PassiveChecks), ("active", ActiveChecks)):
            rule = rules.get(name)
            if rule is not None:
                rules[name] = None if rule == "none" else self._options(document, (*path, name), rule, make)
        return self._made(document, path, rules, Health)

    def _levels(self, document: Document, path: Path, given: model.ShortLevels | None) -> Levels | None:
        if given is None:
            return None
        for name in ("weights", "default_weight"):
            if given.locality is None and getattr(given, name) is not None:
                self.wrong(document, (*path, name), "is by the values of a label: set locality, too")
        if given.spill is False and given.overprovisioning is not None:
            self.wrong(
                document, (*path, "overprovisioning"), "says when a level spills over, and spill is false"
            )
        return self._options(document, path, given, Levels)

    def _policy(
        self, document: Document, path: Path, given: str | dict[str, Any]
    ) -> tuple[str, dict[str, Any]] | None:
        """A name, or an object: its ``name`` and the parameters of that policy.  None: it is wrong."""
        params: dict[str, Any] = dict(given) if isinstance(given, dict) else {"name": given}
        name = params.pop("name", None)
        if not isinstance(name, str):
            self.wrong(
                document, (*path, "name"), "is missing" if name is None else f"{shown(name)} is not text"
            )
            return None
        if (error := _refusal(name, params)) is None:
            return name, params
        alone = {key: _refusal(name, {key: value}) for key, value in params.items()}
        wrong = {key: one for key, one in alone.items() if one is not None and one[0] == f"policy.{key}"}
        for key, (_, reason) in wrong.items():
            self.wrong(document, (*path, key), reason)
        if not wrong:  # the name, or parameters that do not go together
            field, reason = error
            self.wrong(document, path, reason if field == "policy" else f"{field[7:]}: {reason}")
        return None

    # ---- routes -------------------------------------------------------------------------------------------------

    def add_route(self, document: Document, path: Path, route: model.ShortRoute) -> None:
        if route.name in self.routes:
            self.wrong(document, (*path, "name"), f"another route is named {shown(route.name)}")
        self.routes.add(route.name)
        listeners = self._listeners(document, path, route)
        backends = self._backends(document, path, route)
        protocol = next((one.protocol for one in listeners if one.protocol != "HTTP"), "HTTP")
        key = self._key(document, (*path, "key"), route, protocol)
        if any(one.protocol != "HTTP" for one in listeners):
            self._add_stream(document, path, route, listeners, backends, key)
            return
        attached = {}
        for one in listeners:
            hosts = hostnames_served(route.hosts, one.hostname)
            if hosts is not None:
                attached[one.name] = hosts
        if listeners and not attached:
            self.wrong(document, (*path, "hosts"), "none meets the hostname of a listener")
        match = MatchSpec(
            self._path(document, (*path, "path"), route.path or "/"),
            route.path_type or "prefix",
            tuple(dict.fromkeys(route.methods)),
            tuple({name.lower(): (name, value) for name, value in route.headers.items()}.values()),
            tuple(route.query.items()),
        )
        self.draft.rules.append(RuleSpec(route.name, attached, (match,), backends, key, route.split))

    def _add_stream(
        self,
        document: Document,
        path: Path,
        route: model.ShortRoute,
        listeners: list[ListenerSpec],
        backends: tuple[BackendSpec, ...],
        key: KeySpec | None,
    ) -> None:
        if len({one.protocol for one in listeners}) > 1:
            self.wrong(document, (*path, "listeners"), "are of several protocols; write a route for each")
        for name in HTTP_ONLY:
            if getattr(route, name):
                self.wrong(
                    document, (*path, name), f"is for HTTP; a {listeners[0].protocol} route takes all traffic"
                )
        taken = {name for stream in self.draft.streams for name in stream.listeners}
        for one in listeners:
            if one.name in taken:
                self.wrong(document, (*path, "listeners"), f"listener {shown(one.name)} has a route already")
        names = tuple(one.name for one in listeners)
        self.draft.streams.append(StreamSpec(route.name, names, backends, key, route.split))

    def _key(self, document: Document, path: Path, route: model.ShortRoute, protocol: str) -> KeySpec | None:
        """Where the route's key comes from; one is there if and only if somebody asks for it."""
        sources = (route.key,) if isinstance(route.key, str) else route.key or ()
        n_problems = len(self.draft.problems)
        for i, source in enumerate(sources):
            reason = _no_source(source, protocol)
            if reason:
                self.wrong(document, path if isinstance(route.key, str) else (*path, i), reason)
        if len(self.draft.problems) == n_problems and "random" in sources[:-1]:
            self.wrong(
                document,
                (*path, sources.index("random")),
                "'random' is the last: no request goes on to others",
            )
        self._is_key_asked_for(document, path, route, protocol)
        return KeySpec(sources) if sources else None

    def _is_key_asked_for(
        self, document: Document, path: Path, route: model.ShortRoute, protocol: str
    ) -> None:
        names = [one if isinstance(one, str) else one.upstream for one in route.backends]
        keyed = next((name for name in names if self.keyed.get(name)), None)
        if route.key is None:
            wanted = "ip" if protocol != "HTTP" else "header:NAME, cookie:NAME, query:NAME, ip or path"
            if keyed is not None:
                chosen = self.upstreams[keyed].policy
                why = f"is missing: {chosen!r}, the policy of upstream {shown(keyed)}, picks by a key"
                self.wrong(document, path, f"{why}; wanted: {wanted}")
            elif route.split is not None:
                self.wrong(document, path, f"is missing, and the split is by key; wanted: {wanted}")
        elif keyed is None and route.split is None and all(name in self.keyed for name in names):
            self.wrong(document, path, "has no use: no upstream of the route has a policy that picks by a key, and the "
                                       "split is by weight")  # fmt: skip

    def _listeners(self, document: Document, path: Path, route: model.ShortRoute) -> list[ListenerSpec]:
        """Those that are named; without names every HTTP listener."""
        found = []
        for i, name in enumerate(route.listeners):
            if name in self.listeners:
                found.append(self.listeners[name])
            else:
                hint = validate.nearest(name, list(self.listeners))
                self.wrong(document, (*path, "listeners", i), f"{shown(name)} is not a listener{hint}")
        if not route.listeners:
            found = [one for one in self.listeners.values() if one.protocol == "HTTP"]
            if not found:
                self.wrong(document, (*path, "listeners"), "is missing, and there is no HTTP listener")
        return found

    def _backends(self, document: Document, path: Path, route: model.ShortRoute) -> tuple[BackendSpec, ...]:
        if not route.backends:
            self.wrong(document, (*path, "backends"), "is missing")
        found = []
        for i, one in enumerate(route.backends):
            name, weight = (one, 1) if isinstance(one, str) else (one.upstream, one.weight)
            if name not in self.upstreams:
                at = (*path, "backends", i) if isinstance(one, str) else (*path, "backends", i, "upstream")
                hint = validate.nearest(name, list(self.upstreams))
                self.wrong(document, at, f"{shown(name)} is not an upstream{hint}")
            found.append(BackendSpec(name, weight))
        return tuple(found)

    def _path(self, document: Document, path: Path, value: str) -> str:
        try:
            if len(value) > MAX_PATH:
                raise ValueError(f"has {len(value)} characters; at most {MAX_PATH}")
            return canonical_path(value)
        except ValueError as error:
            self.wrong(document, path, str(error))
            return "/"


def _given(options: msgspec.Struct) -> dict[str, Any]:
    """What is there; the rest has the defaults of what is made of it."""
    values = {name: getattr(options, name) for name in options.__struct_fields__}
    return {name: value for name, value in values.items() if value is not None}


def _refusal(name: str, params: dict[str, Any]) -> tuple[str, str] | None:
    """The field and the reason for which there is no such policy; None: there is."""
    try:
        policy(name, **params)
    except ConfigError as error:
        return error.problems[0].field, cut(error.problems[0].reason, 200)
    return None


def _no_source(source: str, protocol: str) -> str | None:
    """Why a route of ``protocol`` has no such source of a key."""
    if protocol != "HTTP" and source != "ip":
        return f"{shown(source)} is not ip, the one key that a {protocol} connection has"
    if source.startswith("capture:"):
        return f"{shown(source)}: the paths of this form capture nothing"
    try:
        KeySource(source)
    except ConfigError as error:
        return error.problems[0].reason
    return None


def targets_of(
    wrong: Callable[[Path, str], None], path: Path, given: Iterable[str | model.ShortTarget]
) -> tuple[TargetSpec, ...]:
    """What a list of targets says; ``wrong(path, reason)`` is told what is no address, or stands there twice."""
    targets: dict[str, TargetSpec] = {}
    for i, one in enumerate(given):
        spec = (
            TargetSpec(one)
            if isinstance(one, str)
            else TargetSpec(one.address, one.id, one.weight, one.labels, one.hash_key, one.priority)
        )
        identity = spec.id if spec.id is not None else spec.address
        if not is_address(spec.address):
            at = (*path, i) if isinstance(one, str) else (*path, i, "address")
            wrong(at, f"{shown(spec.address)} is not an address: host:port or [ipv6]:port")
        elif identity in targets:
            wrong((*path, i), f"{shown(identity)} stands here twice; give each an id of its own")
        targets[identity] = spec
    return tuple(targets.values())


def is_address(address: str) -> bool:
    """True for ``host:port`` and ``[ipv6]:port`` with a port of 1..65535 that a proxy can connect to."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or not 1 <= int(port) <= 65535:
        return False
    if host.startswith("[") and host.endswith("]"):
        try:
            socket.inet_pton(socket.AF_INET6, host[1:-1])
        except (OSError, ValueError):
            return False
        return True
    return len(host) <= 253 and bool(HOST.fullmatch(host))
