"""The router as a scan of the list: every route is asked, the best that matches answers.

The twin of ``src/lbcore/route/compile.c`` and ``match.c``, flavour ``gateway_api``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from . import normalise

Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Route:
    """One match of one rule, as ``lb_route_spec``."""

    path: bytes = b"/"
    exact: bool = False
    hosts: tuple[bytes, ...] = ()
    methods: tuple[bytes, ...] = ()
    headers: Pairs = ()
    query: Pairs = ()


class Answer(NamedTuple):
    """``outcome`` is ``"found"``, ``"none"`` or ``"refused"``; ``route`` an index, or None unless found."""

    outcome: str
    route: int | None = None
    path: bytes | None = None
    query: bytes | None = None
    host: bytes | None = None


def first_of_each_name(pairs: Pairs, fold: bool) -> dict[bytes, bytes]:
    """Of entries with the same name only the first counts; header names are folded to lower case."""
    first: dict[bytes, bytes] = {}
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


def host_matches(pattern: bytes | None, host: bytes | None) -> bool:
    """``*.x`` matches one or more labels before ``.x``; no pattern matches every host, also none."""
    if pattern is None:
        return True
    pattern, host = pattern.lower(), host or b""
    return host.endswith(pattern[1:]) and host != pattern[1:] if pattern[:1] == b"*" else host == pattern


def path_matches(route: Route, path: bytes) -> bool:
    """A prefix matches by element: ``/a`` matches ``/a``, ``/a/`` and ``/a/b``, never ``/ab``."""
    if route.exact:
        return path == route.path
    return (path + b"/").startswith(route.path.removesuffix(b"/") + b"/")


def predicates_hold(
    route: Route, method: bytes, headers: dict[bytes, bytes], query: dict[bytes, bytes]
) -> bool:
    """Method, headers and query, all of them."""
    return (
        (not route.methods or method in route.methods)
        and all(headers.get(n) == v for n, v in first_of_each_name(route.headers, fold=True).items())
        and all(query.get(n) == v for n, v in first_of_each_name(route.query, fold=False).items())
    )


def precedence(route: Route, pattern: bytes | None) -> tuple[int, ...]:
    """Greater is better: gateway-api.md 2.3 and 2.4, in their order."""
    return (
        len(pattern) if pattern and pattern[:1] != b"*" else 0,
        len(pattern or b""),
        route.exact,
        0 if route.exact else len(route.path.removesuffix(b"/")),
        bool(route.methods),
        len(first_of_each_name(route.headers, fold=True)),
        len(first_of_each_name(route.query, fold=False)),
    )


class Router:
    """``Router(routes).match(method, host, target, headers)``."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes

    def _best(
        self,
        method: bytes,
        host: bytes | None,
        path: bytes,
        headers: dict[bytes, bytes],
        query: dict[bytes, bytes],
    ) -> int | None:
        found = [
            (precedence(route, pattern), -index)
            for index, route in enumerate(self.routes)
            if path_matches(route, path) and predicates_hold(route, method, headers, query)
            for pattern in route.hosts or (None,)
            if host_matches(pattern, host)
        ]
        return -max(found)[1] if found else None

    def match(
        self, method: bytes, host: bytes | None, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
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
                route = self._best(method, canonical_host, read.path, fields, query)
                other = self._best(method, canonical_host, normalise.second_reading(read.path), fields, query)
                if route != other:
                    raise normalise.Refused("the second reading selects another route")
        except normalise.Refused:
            return Answer("refused")
        return Answer("none" if route is None else "found", route, read.path, read.query, canonical_host)
