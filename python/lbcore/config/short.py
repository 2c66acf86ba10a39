"""The dialect of lbcore's own short form: listeners, upstreams, routes in a dozen lines.  See docs/howto/short-form.md.

Every mistake in it refuses the whole load: it is one person's text, and not the work of many as a cluster's
objects are. Its documents are read as one: a route may name an upstream of another file.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from typing import Any

from lbcore.config import model, validate
from lbcore.config.attach import hostnames_served
from lbcore.config.draft import Draft
from lbcore.config.plain import Path, cut, shown
from lbcore.config.problems import Document
from lbcore.config.routes import canonical_path
from lbcore.engine import (
    BackendSpec,
    ListenerSpec,
    MatchSpec,
    RuleSpec,
    StreamSpec,
    TargetSpec,
    UpstreamSpec,
    policy,
)
from lbcore.errors import ConfigError

NAME = "lbcore's short form (lbcore: 1)"
MAX_PATH = 65535
HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
HTTP_ONLY = ("hosts", "path", "path_type", "methods", "headers", "query")


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
            chosen, params = self._policy(document, (*path, "policy"), one.policy)
            targets = self._targets(document, (*path, "targets"), one.targets)
            self.upstreams[name] = UpstreamSpec(name, targets, chosen, params, one.seed)
            self.draft.upstreams[name] = self.upstreams[name]

    def _policy(
        self, document: Document, path: Path, given: str | dict[str, Any]
    ) -> tuple[str, dict[str, float]]:
        """A name, or an object: its ``name`` and the parameters of that policy."""
        params: dict[str, Any] = dict(given) if isinstance(given, dict) else {"name": given}
        name = params.pop("name", None)
        if not isinstance(name, str):
            self.wrong(
                document, (*path, "name"), "is missing" if name is None else f"{shown(name)} is not text"
            )
            return "round_robin", {}
        for key, value in params.items():  # one by one: every wrong one is named
            try:
                policy(name, **{key: value})
            except ConfigError as error:
                at = (*path, key) if error.problems[0].field != "policy" else path
                self.wrong(document, at, cut(error.problems[0].reason, 200))
        try:
            policy(name)
        except ConfigError as error:
            self.wrong(document, path, cut(error.problems[0].reason, 200))
        return name, params

    def _targets(
        self, document: Document, path: Path, given: Iterable[str | model.ShortTarget]
    ) -> tuple[TargetSpec, ...]:
        targets: dict[str, TargetSpec] = {}
        for i, one in enumerate(given):
            spec = (
                TargetSpec(one)
                if isinstance(one, str)
                else TargetSpec(one.address, one.id, one.weight, one.labels)
            )
            identity = spec.id if spec.id is not None else spec.address
            if not is_address(spec.address):
                at = (*path, i) if isinstance(one, str) else (*path, i, "address")
                self.wrong(document, at, f"{shown(spec.address)} is not an address: host:port or [ipv6]:port")
            elif identity in targets:
                self.wrong(
                    document, (*path, i), f"{shown(identity)} stands here twice; give each an id of its own"
                )
            targets[identity] = spec
        return tuple(targets.values())

    # ---- routes -------------------------------------------------------------------------------------------------

    def add_route(self, document: Document, path: Path, route: model.ShortRoute) -> None:
        if route.name in self.routes:
            self.wrong(document, (*path, "name"), f"another route is named {shown(route.name)}")
        self.routes.add(route.name)
        listeners = self._listeners(document, path, route)
        backends = self._backends(document, path, route)
        if any(one.protocol != "HTTP" for one in listeners):
            self._add_stream(document, path, route, listeners, backends)
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
        self.draft.rules.append(RuleSpec(route.name, attached, (match,), backends))

    def _add_stream(
        self,
        document: Document,
        path: Path,
        route: model.ShortRoute,
        listeners: list[ListenerSpec],
        backends: tuple[BackendSpec, ...],
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
        self.draft.streams.append(StreamSpec(route.name, tuple(one.name for one in listeners), backends))

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
