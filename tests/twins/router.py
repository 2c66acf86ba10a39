"""The router as a scan of the list: every route is asked, the best that matches answers.

The twin of ``src/lbcore/route`` and of its binding, flavour ``gateway_api``.  Patterns are those of ``re``; the tests
keep to what means the same in RE2.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from . import normalise

# What is asked of a value: it is this, one of these, there (True), not there (False), or matches.
Test = bytes | tuple[bytes, ...] | bool | re.Pattern[bytes]
Conditions = tuple[tuple[bytes, Test], ...]
Peer = tuple[str | None, int | None]  # a block, a port


@dataclass(frozen=True)
class Route:
    """One match of one rule, as ``lb_route_spec``."""

    path: bytes = b"/"
    path_type: str = "prefix"
    hosts: tuple[bytes, ...] = ()
    methods: tuple[bytes, ...] = ()
    headers: Conditions = ()
    query: Conditions = ()
    snis: tuple[bytes, ...] = ()
    schemes: tuple[bytes, ...] = ()
    ports: tuple[int, ...] = ()
    sources: tuple[Peer, ...] = ()
    destinations: tuple[Peer, ...] = ()


@dataclass(frozen=True)
class Connection:
    """What carries a request; None, b"": not known."""

    scheme: bytes = b""
    sni: bytes = b""
    port: int | None = None
    source: Peer = (None, None)
    destination: Peer = (None, None)


class Answer(NamedTuple):
    """``outcome`` is ``"found"``, ``"none"`` or ``"refused"``; ``route`` an index, or None unless found."""

    outcome: str
    route: int | None = None
    path: bytes | None = None
    query: bytes | None = None
    host: bytes | None = None


def first_of_each_name(pairs: Conditions, fold: bool) -> dict[bytes, Test]:
    """Of entries with the same name only the first counts; header names are folded to lower case."""
    first: dict[bytes, Test] = {}
    for name, value in pairs:
        first.setdefault(name.lower() if fold else name, value)
    return first


def parameters(query: bytes | None) -> dict[bytes, bytes]:
    """The first value of each parameter, percent-decoded; ``+`` is a plus."""
    first: dict[bytes, bytes] = {}
    for part in (query or b"").split(b"&"):
        name, _, value = part.partition(b"=")
        first.setdefault(unquote_to_bytes(name), unquote_to_bytes(value))
    return first


def value_holds(test: Test, value: bytes | None) -> bool:
    """``value`` None: there is none."""
    if isinstance(test, bool):
        return (value is not None) == test
    if value is None:
        return False
    if isinstance(test, bytes):
        return value == test
    return value in test if isinstance(test, tuple) else test.fullmatch(value) is not None


# ---- host and path ----------------------------------------------------------------------------------------------


def host_matches(pattern: bytes | None, host: bytes | None) -> bool:
    """``*.x`` matches one or more labels before ``.x``; no pattern matches every host, also none."""
    if pattern is None:
        return True
    pattern, host = pattern.lower(), host or b""
    return host.endswith(pattern[1:]) and host != pattern[1:] if pattern[:1] == b"*" else host == pattern


def template_pattern(template: bytes) -> re.Pattern[bytes]:
    """``{name}`` is a segment that is not empty, ``{name...}`` all that is left; the names are groups."""
    parts = []
    for part in template.split(b"/")[1:]:
        if part[:1] == b"{" and part.endswith(b"...}"):
            parts.append(b"(?P<%s>.*)" % part[1:-4])
        elif part[:1] == b"{" and part[-1:] == b"}":
            parts.append(b"(?P<%s>[^/]+)" % part[1:-1])
        else:
            parts.append(re.escape(part))
    return re.compile(b"/" + b"/".join(parts), re.DOTALL)


def path_matches(route: Route, path: bytes) -> bool:
    """A prefix matches by element: ``/a`` matches ``/a``, ``/a/`` and ``/a/b``, never ``/ab``."""
    if route.path_type == "exact":
        return path == route.path
    if route.path_type == "plain":
        return path.startswith(route.path)
    if route.path_type == "template":
        return template_pattern(route.path).fullmatch(path) is not None
    if route.path_type == "regex":
        return re.fullmatch(route.path, path) is not None
    return (path + b"/").startswith(route.path.removesuffix(b"/") + b"/")


def params(route: Route, path: bytes) -> dict[str, str]:
    """What the names of a template or of groups stand for."""
    if route.path_type not in ("template", "regex"):
        return {}
    pattern = template_pattern(route.path) if route.path_type == "template" else re.compile(route.path)
    found = pattern.fullmatch(path)
    assert found is not None
    return {name: text.decode() for name, text in found.groupdict().items() if text is not None}


# ---- connection -------------------------------------------------------------------------------------------------


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address inside IPv6 is that address."""
    found = ipaddress.ip_address(text)
    return getattr(found, "ipv4_mapped", None) or found


def network(block: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A block of IPv4 addresses inside IPv6 is one of IPv4."""
    found = ipaddress.ip_network(block, strict=False)
    if found.version == 6 and found.prefixlen >= 96 and found.network_address.ipv4_mapped:  # type: ignore[union-attr]
        mapped = found.network_address.ipv4_mapped  # type: ignore[union-attr]
        return ipaddress.ip_network((mapped, found.prefixlen - 96))
    return found


def peer_matches(wanted: tuple[Peer, ...], peer: Peer) -> bool:
    """One of them holds, or there are none."""
    return not wanted or any(
        (port is None or port == peer[1])
        and (block is None or (peer[0] is not None and address(peer[0]) in network(block)))
        for block, port in wanted
    )


def connection_matches(route: Route, connection: Connection) -> bool:
    """Of each list one must hold; what is not known never does."""
    sni = connection.sni.removesuffix(b".").lower()
    return (
        (not route.snis or (bool(sni) and any(host_matches(pattern, sni) for pattern in route.snis)))
        and (not route.schemes or connection.scheme.lower() in [s.lower() for s in route.schemes])
        and (not route.ports or connection.port in route.ports)
        and peer_matches(route.sources, connection.source)
        and peer_matches(route.destinations, connection.destination)
    )


def predicates_hold(
    route: Route,
    method: bytes,
    headers: dict[bytes, bytes],
    query: dict[bytes, bytes],
    connection: Connection,
) -> bool:
    """Method, headers, query and connection, all of them."""
    return (
        (not route.methods or method in route.methods)
        and all(
            value_holds(t, headers.get(n)) for n, t in first_of_each_name(route.headers, fold=True).items()
        )
        and all(value_holds(t, query.get(n)) for n, t in first_of_each_name(route.query, fold=False).items())
        and connection_matches(route, connection)
    )


# ---- who wins ---------------------------------------------------------------------------------------------------


def path_precedence(route: Route) -> tuple[int, int]:
    """Exact > template to the end > regex > the others; then the characters, of a template those outside braces."""
    tail = route.path.endswith(b"...}")
    kind = {"exact": 3, "template": 0 if tail else 2, "regex": 1}.get(route.path_type, 0)
    if route.path_type == "exact":
        return kind, 0
    if route.path_type == "template":
        outside = re.sub(rb"/\{\w+\.\.\.\}$", b"", route.path)
        return kind, len(re.sub(rb"\{\w+\}", b"", outside))
    return kind, len(route.path.removesuffix(b"/") if route.path_type == "prefix" else route.path)


def precedence(route: Route, pattern: bytes | None) -> tuple[int, ...]:
    """Greater is better: gateway-api.md 2.3 and 2.4, in their order; last, kinds of conditions on the connection."""
    return (
        len(pattern) if pattern and pattern[:1] != b"*" else 0,
        len(pattern or b""),
        *path_precedence(route),
        bool(route.methods),
        len(first_of_each_name(route.headers, fold=True)),
        len(first_of_each_name(route.query, fold=False)),
        sum(map(bool, (route.snis, route.schemes, route.ports, route.sources, route.destinations))),
    )


class Router:
    """``Router(routes).match(method, host, target, headers, connection)``."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes

    def _best(
        self,
        method: bytes,
        host: bytes | None,
        path: bytes,
        headers: dict[bytes, bytes],
        query: dict[bytes, bytes],
        connection: Connection,
    ) -> int | None:
        found = [
            (precedence(route, pattern), -index)
            for index, route in enumerate(self.routes)
            if path_matches(route, path) and predicates_hold(route, method, headers, query, connection)
            for pattern in route.hosts or (None,)
            if host_matches(pattern, host)
        ]
        return -max(found)[1] if found else None

    def match(
        self,
        method: bytes,
        host: bytes | None,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]] = (),
        connection: Connection = Connection(),
    ) -> Answer:
        """The outcome, the index of the route, and the canonical request."""
        try:
            fields = normalise.fields(method, host, headers)
            read = normalise.target(method, target)
            canonical_host = normalise.host(host)
            if read.authority is not None:
                canonical_host = normalise.host(read.authority)
            route = None
            if read.path != b"*":
                query = parameters(read.query)
                route = self._best(method, canonical_host, read.path, fields, query, connection)
                again = normalise.second_reading(read.path)
                if route != self._best(method, canonical_host, again, fields, query, connection):
                    raise normalise.Refused("the second reading selects another route")
        except normalise.Refused:
            return Answer("refused")
        return Answer("none" if route is None else "found", route, read.path, read.query, canonical_host)
