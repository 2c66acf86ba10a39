"""Why a request goes where it goes, and which routes of a table are in each other's way.

Slow and made for people: every route is looked at.  What a condition says of a request is asked of the core itself, one
condition at a time, so that an explanation cannot tell another story than the match; the order is that of
``src/lbcore/route/rank.c``, written once more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, NamedTuple

from lbcore._core import Match, Regex, Route, Router
from lbcore.errors import LbcoreError

Rank = tuple[int, ...]  # the lesser wins
_WORD = 1 << 64
_CONNECTION = ("snis", "schemes", "ports", "sources", "destinations")


# ---- who wins ---------------------------------------------------------------------------------------------------


class Host(NamedTuple):
    """One host of a route, read: ``kind`` is "exact", "suffix" (``*.x``), "prefix" (``x.*``) or "any"."""

    text: str | None
    kind: str
    name: str
    port: int


def read_host(text: str | None, kong: bool) -> Host:
    """A host as the flavour reads it; None: every host."""
    if text is None:
        return Host(None, "any", "", 0)
    name, colon, port = text.rpartition(":")
    if not (kong and colon and port.isascii() and port.isdigit()):
        name, port = text, "0"
    name = name.lower()
    if name.startswith("*."):
        return Host(text, "suffix", name[2:], int(port))
    if kong and name.endswith(".*"):
        return Host(text, "prefix", name[:-2], int(port))
    return Host(text, "exact", name, int(port))


def _counted(conditions: tuple[tuple[str, Any], ...], fold: bool) -> dict[str, Any]:
    """Of several with one name the first counts."""
    first: dict[str, Any] = {}
    for name, test in conditions:
        first.setdefault(name.lower() if fold else name, test)
    return first


def _segments(template: str) -> list[str]:
    return template.split("/")[1:]


def _is_parameter(segment: str) -> bool:
    return segment[:1] == "{" and segment[-1:] == "}"


def _has_tail(route: Route) -> bool:
    return route.path_type == "template" and route.path.endswith("...}")


def _characters(route: Route) -> int:
    """Of a path, as they count: bytes; of a template those outside braces."""
    if route.path_type == "prefix":
        return len(route.path.removesuffix("/").encode())
    if route.path_type != "template":
        return len(route.path.encode())
    parts = [part for part in _segments(route.path) if not (_is_parameter(part) and part.endswith("...}"))]
    return sum(1 + (0 if _is_parameter(part) else len(part.encode())) for part in parts)


def _kind_of_path(route: Route) -> int:
    if route.path_type == "exact":
        return 3
    if route.path_type == "template" and not _has_tail(route):
        return 2
    return int(route.path_type == "regex")


def _n_connection(route: Route) -> int:
    return sum(bool(getattr(route, name)) for name in _CONNECTION)


def _host_characters(host: Host) -> int:
    return len(host.name) + (2 if host.kind in ("suffix", "prefix") else 0)


def _gateway_api(route: Route, host: Host) -> Rank:
    kind = _kind_of_path(route)
    return (
        -(_host_characters(host) if host.kind == "exact" else 0),
        -_host_characters(host),
        -kind,
        0 if kind == 3 else -_characters(route),
        -bool(route.methods),
        -len(_counted(route.headers, True)),
        -len(_counted(route.query, False)),
        -_n_connection(route),
    )


def _ingress(route: Route, host: Host) -> Rank:
    return (
        -(host.kind == "exact"),
        -_host_characters(host),
        -_characters(route),
        -(route.path_type == "exact"),
        -_kind_of_path(route),
        -bool(route.methods),
        -len(_counted(route.headers, True)),
        -len(_counted(route.query, False)),
        -_n_connection(route),
    )


def _criteria(route: Route) -> list[bool]:
    """Kong's kinds, the one that counts most first."""
    kinds = (
        route.hosts,
        route.headers,
        route.path,
        route.methods,
        route.snis,
        route.sources,
        route.destinations,
    )
    return [bool(kind) for kind in kinds]


def _hosts_of(route: Route) -> list[Host]:
    return [read_host(text, True) for text in route.hosts]


def _kong_characters(route: Route) -> int:
    return len(route.path) if route.path_type == "prefix" else _characters(route)


def _traditional(route: Route, host: Host) -> Rank:
    hosts, regex = _hosts_of(route), route.path_type == "regex"
    wildcard_with_port = any(one.kind != "exact" and one.port for one in hosts)
    plain = bool(hosts) and all(one.kind == "exact" for one in hosts)
    kinds = _criteria(route)
    return (
        -sum(kinds),
        *(-kind for kind in kinds),
        -(4 * wildcard_with_port + 2 * plain + regex),
        -min(len(_counted(route.headers, True)), 255),
        -(route.priority if regex else _kong_characters(route)),
    )


def _kong_shift(value: int, n: int) -> int:
    """Kong's shift: of 32 bits, its count modulo 32, its result signed."""
    low = value << n % 32 & 0xFFFFFFFF
    return (low - (1 << 32) if low >> 31 else low) % _WORD


def _compatible(route: Route, host: Host) -> Rank:
    hosts, regex = _hosts_of(route), route.path_type == "regex"
    plain = bool(hosts) and all(one.kind == "exact" for one in hosts)
    word = (
        _kong_shift(sum(_criteria(route)), 61)
        | plain << 60
        | _kong_shift(min(len(_counted(route.headers, True)), 255), 52)
        | regex << 51
        | _kong_shift(route.priority if regex else 0, 19)
        | (0 if regex else _kong_characters(route) & 0x7FFFF)
    )
    return (-word,)


_RANKS: dict[str, Callable[[Route, Host], Rank]] = {
    "gateway_api": _gateway_api,
    "ingress": _ingress,
    "kong_traditional": _traditional,
    "kong_compatible": _compatible,
}


class _Candidate(NamedTuple):
    """A host of a route, in its place in the order."""

    rank: Rank
    place: int
    route: Route
    host: Host


def _candidates(router: Router) -> list[_Candidate]:
    """All that requests are compared with, in the order in which they win."""
    rank, kong = _RANKS[router.flavor], router.flavor.startswith("kong")
    found = []
    for index, route in enumerate(router.routes):
        if not route.stream:
            for text in route.hosts or (None,):
                host = read_host(text, kong)
                found.append(_Candidate(rank(route, host), index, route, host))
    return sorted(found, key=lambda one: one[:2])


# ---- explain ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Considered:
    """A route, for one of its ``host`` s (None: it has none), and the first condition that does not hold: ``failed`` is
    "hosts", "path", "methods", "headers[0]", "query[1]", "snis", "schemes", "ports", "sources" or "destinations", or
    None: all hold, and the first such one wins."""

    route: Route
    host: str | None
    failed: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """``match``: what the router answers; ``considered``: every route in the order in which they win."""

    match: Match | None
    considered: tuple[Considered, ...]

    def __str__(self) -> str:
        lines = [f"{'none' if self.match is None else self.match.route.name}"]
        elsewhere = 0
        for one in self.considered:
            if one.failed in ("hosts", "path"):
                elsewhere += 1
                continue
            lines.append(f"  {one.route.name}: {one.failed or 'holds'}")
        return "\n".join([*lines, f"  {elsewhere} for other hosts or paths"] if elsewhere else lines)


class _Prober:
    """Asks the core about single conditions of one request."""

    def __init__(self, router: Router, request: tuple[Any, ...], connection: dict[str, Any]) -> None:
        self._flavor: Any = router.flavor
        self._request = request
        self._connection = connection
        self._any: dict[str, Any] = (
            {"path": "", "path_type": "plain"} if router.flavor.startswith("kong") else {"path": "/"}
        )
        self._known: dict[Any, bool] = {}
        found = self._match({})
        self.path = None if found is None else found.path  # None: "*"

    def _match(self, condition: dict[str, Any]) -> Match | None:
        router = Router([Route("probe", **{**self._any, **condition})], self._flavor, seed=0)
        return router.match(*self._request, **self._connection)

    def _holds(self, name: str, value: Any) -> bool:
        known = self._known.get((name, value))
        if known is None:
            known = self._known[name, value] = self._match({name: value}) is not None
        return known

    def path_holds(self, route: Route) -> bool:
        """Of the first reading alone; a router of this path alone would refuse a %2F where the table does not."""
        if self.path is None:
            return False
        path, wanted = self.path, route.path
        if route.path_type == "exact":
            return path == wanted
        if route.path_type == "prefix":
            return (path + "/").startswith(wanted.removesuffix("/") + "/")
        if route.path_type == "plain":
            return path.startswith(wanted)
        if route.path_type == "template":
            return _template_holds(_segments(wanted), _segments(path))
        return Regex(wanted).matches(path, whole=not self._flavor.startswith("kong"))

    def failed(self, route: Route, host: str | None) -> str | None:
        """The first condition that does not hold."""
        for name, holds in self._tests(route, host):
            if not holds():
                return name
        return None

    def _tests(self, route: Route, host: str | None) -> Iterator[tuple[str, Callable[[], bool]]]:
        if host is not None:
            yield "hosts", lambda: self.path is None or self._holds("hosts", (host,))
        yield "path", lambda: self.path_holds(route)
        for name in ("methods", *_CONNECTION):
            value = getattr(route, name)
            if value:
                yield name, lambda name=name, value=value: self._holds(name, value)  # type: ignore[misc]
        for name, fold in (("headers", True), ("query", False)):
            seen = set()
            for i, condition in enumerate(getattr(route, name)):
                key = condition[0].lower() if fold else condition[0]
                if key not in seen:
                    seen.add(key)
                    yield f"{name}[{i}]", lambda name=name, one=condition: self._holds(name, (one,))  # type: ignore[misc]


def _template_holds(template: list[str], path: list[str]) -> bool:
    for i, part in enumerate(template):
        if _is_parameter(part) and part.endswith("...}"):
            return i < len(path)
        if i >= len(path) or not (path[i] != "" if _is_parameter(part) else path[i] == part):
            return False
    return len(template) == len(path)


def _must_have_one_order(router: Router) -> None:
    if (
        router.flavor == "kong_traditional"
    ):  # it starts where a request's hits are: there is no order for all requests
        raise LbcoreError("an explanation of a table of kong_traditional is not available yet")


def explain(
    router: Router, method: Any, host: Any, target: Any, headers: Any = (), **connection: Any
) -> Explanation:
    """See :meth:`lbcore.Router.explain`."""
    _must_have_one_order(router)
    headers = tuple(headers.items() if hasattr(headers, "items") else headers)
    request = (method, host, target, headers)
    match = router.match(*request, **connection)
    prober = _Prober(router, request, connection)
    considered = tuple(
        Considered(one.route, one.host.text, prober.failed(one.route, one.host.text))
        for one in _candidates(router)
    )
    return Explanation(match, considered)


# ---- conflicts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two routes of which ``by`` comes first.

    ``kind``: "duplicate", both say the same; "never", ``by`` wins wherever ``route`` matches; "order", both match some
    requests, and nothing but their order decides.  ``host``: of which of the route's hosts (None: it has none).
    """

    kind: Literal["duplicate", "never", "order"]
    route: Route
    by: Route
    host: str | None

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        if self.kind == "duplicate":
            return f"{self.route.name} says the same as {self.by.name}{where}"
        if self.kind == "never":
            return f"{self.route.name} never wins{where}: {self.by.name} does"
        return f"{self.route.name} comes after {self.by.name}{where} by the order of the routes alone"


def conflicts(router: Router) -> list[Conflict]:
    """See :meth:`lbcore.Router.conflicts`.

    What is found is so; not all is found: patterns are compared as text, addresses as they are written.
    """
    ordered = _candidates(router)
    hopeless = list(_hopeless(ordered, router.flavor))
    lost = {(conflict.route, conflict.host) for conflict in hopeless}
    left = [one for one in ordered if (one.route, one.host.text) not in lost]
    return [*hopeless, *_undecided(left, router.flavor)]


def _hopeless(ordered: list[_Candidate], flavor: str) -> Iterator[Conflict]:
    """One for each host of a route on which a better candidate takes every request."""
    by_path: dict[tuple[str, str], list[_Candidate]] = defaultdict(list)
    for one in ordered:
        for key in _covering_paths(one.route):
            better = next((o for o in by_path.get(key, ()) if _covers(o, one, flavor)), None)
            if better is not None:
                same = _conditions(better.route) == _conditions(one.route) and better.host[1:] == one.host[1:]
                kind: Literal["duplicate", "never"] = "duplicate" if same else "never"
                yield Conflict(kind, one.route, better.route, one.host.text)
                break
        by_path[one.route.path_type, _path_key(one.route)].append(one)


def _path_key(route: Route) -> str:
    if route.path_type == "prefix":
        return route.path.removesuffix("/")
    if route.path_type == "template":
        return "/".join(
            "{...}" if p.endswith("...}") else "{}" if _is_parameter(p) else p for p in route.path.split("/")
        )
    return route.path


def _covering_paths(route: Route) -> Iterator[tuple[str, str]]:
    """Of which type and text a path is that surely matches all that this one does."""
    yield route.path_type, _path_key(route)
    if route.path_type == "regex":
        literal, within = "", ""
    elif route.path_type == "template":
        literal = route.path.partition("{")[0]
        within = literal
    else:
        literal = route.path.removesuffix("/") if route.path_type == "prefix" else route.path
        within = literal + ("/" if route.path_type in ("prefix", "exact") else "")
    elements = within.split("/")  # each "/" of it ends a prefix by element
    for i in range(1, len(elements)):
        key = ("prefix", "/".join(elements[:i]))
        if route.path_type != "prefix" or key[1] != literal:
            yield key
    if not within:
        yield "prefix", ""
    for i in range(len(literal) + 1):
        if route.path_type != "plain" or i < len(literal):
            yield "plain", literal[:i]


def _covers(a: _Candidate, b: _Candidate, flavor: str) -> bool:
    """True if ``a``, whose path is known to, matches all that ``b`` does."""
    return (
        _host_covers(a.host, b.host, flavor)
        and _list_covers(a.route.methods, b.route.methods)
        and all(_list_covers(getattr(a.route, name), getattr(b.route, name)) for name in _CONNECTION)
        and _conditions_cover(a.route.headers, b.route.headers, fold=True)
        and _conditions_cover(a.route.query, b.route.query, fold=False)
    )


def _host_covers(a: Host, b: Host, flavor: str) -> bool:
    if a.kind == "any" or a[1:] == b[1:]:
        return True
    if a.kind != "suffix" or a.port or b.kind not in ("exact", "suffix") or not b.name.endswith("." + a.name):
        return False
    one_label = "." not in b.name.removesuffix("." + a.name) and b.kind == "exact"
    return flavor != "ingress" or one_label


def _list_covers(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return not a or (bool(b) and set(b) <= set(a))


def _conditions_cover(a: tuple[tuple[str, Any], ...], b: tuple[tuple[str, Any], ...], *, fold: bool) -> bool:
    others = _counted(b, fold)
    return all(
        name in others and _test_covers(test, others[name]) for name, test in _counted(a, fold).items()
    )


def _values(test: Any) -> frozenset[str] | None:
    """The values that it allows; None: it is another test."""
    return (
        frozenset([test]) if isinstance(test, str) else frozenset(test) if isinstance(test, tuple) else None
    )


def _test_covers(a: Any, b: Any) -> bool:
    if a is True:
        return b is not False
    mine, others = _values(a), _values(b)
    if mine is not None and others is not None:
        return others <= mine
    return type(a) is type(b) and bool(a == b)


def _conditions(route: Route) -> tuple[Any, ...]:
    """What must be the same for two routes to say the same, but for hosts."""
    return (
        route.path_type,
        _path_key(route),
        frozenset(route.methods),
        *(frozenset(getattr(route, name)) for name in _CONNECTION),
        *(
            frozenset((name, _values(test) or test) for name, test in _counted(conditions, fold).items())
            for conditions, fold in ((route.headers, True), (route.query, False))
        ),
    )


def _undecided(ordered: list[_Candidate], flavor: str) -> Iterator[Conflict]:
    """Pairs of the same rank that can match the same request."""
    groups: dict[tuple[Any, ...], list[_Candidate]] = defaultdict(list)
    for one in ordered:
        path = "template" if one.route.path_type == "template" else _path_key(one.route)
        groups[one.rank, one.host[1:], one.route.path_type, path].append(one)
    for group in groups.values():
        for first, second in combinations(group, 2):
            if first.place != second.place and _can_meet(first.route, second.route, flavor):
                yield Conflict("order", second.route, first.route, second.host.text)


def _can_meet(a: Route, b: Route, flavor: str) -> bool:
    """True if some request surely fits both, but for addresses, patterns and wildcards, which are taken to meet."""
    if a.path_type == "template" and not _templates_meet(_segments(a.path), _segments(b.path)):
        return False
    for name in ("methods", "schemes", "ports"):
        mine, others = set(getattr(a, name)), set(getattr(b, name))
        if mine and others and not mine & others:
            return False
    if (
        a.snis
        and b.snis
        and not any("*" in sni for sni in (*a.snis, *b.snis))
        and not set(a.snis) & set(b.snis)
    ):
        return False
    pairs = ((a.headers, b.headers, True), (a.query, b.query, False))
    return all(_conditions_meet(_counted(x, fold), _counted(y, fold), flavor) for x, y, fold in pairs)


def _templates_meet(a: list[str], b: list[str]) -> bool:
    for x, y in zip(a, b, strict=False):
        if x.endswith("...}") or y.endswith("...}"):
            return True
        if not (_is_parameter(x) or _is_parameter(y) or x == y):
            return False
    return len(a) == len(b)


def _conditions_meet(a: dict[str, Any], b: dict[str, Any], flavor: str) -> bool:
    for name in a.keys() & b.keys():
        x, y = a[name], b[name]
        if (x is False) != (y is False):
            return False
        mine, others = _values(x), _values(y)
        each_alone = flavor.startswith("kong")  # a repeated header may meet both
        if mine is not None and others is not None and not each_alone and not mine & others:
            return False
    return True
