"""Programs: the filters of one rule, made ready once, so that a request costs a few operations.

    rule = program(route_filters)                      at load; None where there are none
    here = rule.plus(backend_filters)                  at load, for each backend that has its own
    rule.answer(...) -> Answer or None                 before a backend is drawn
    here.forward(...) -> method, host, target, headers
    here.mirrors() -> backends that get a copy
    here.response(headers, request_headers) -> headers of the answer to the client

Order   Filters work in the order given, the rule's before the backend's.  Of two URLRewrites, redirects or CORS the
        later (the backend's) wins, field by field for URLRewrite.
Hop     Fields of one connection (RFC 9110 7.6.1) are the adapter's: it removes them before ``forward`` and before
        ``response``; filters cannot set them.
Host    is never among forwarded headers; it is the second value of ``forward``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

from lbcore._core import Answer, Backend, Split, Upstream
from lbcore.errors import ConfigError
from lbcore.filters.checks import shown
from lbcore.filters.cors import CorsProgram, Header
from lbcore.filters.values import (
    DEFAULT_PORTS,
    KINDS,
    Cors,
    Filter,
    HeaderEdits,
    HttpsOnly,
    Mirror,
    RequestHeaders,
    RequestRedirect,
    ResponseHeaders,
    ToService,
    URLRewrite,
)

# RFC 9110 15.5.20: this listener does not serve that host.
MISDIRECTED = Answer(421)
# Gateway API: "500 status codes MUST be returned" for the share of an invalid backend.
INVALID_BACKEND = Answer(500)
# RFC 9110 15.5.22: "The server MUST send an Upgrade header field"; the two fields are Kong's.
UPGRADE = Answer(426, (("Connection", "Upgrade"), ("Upgrade", "TLS/1.2, HTTP/1.1")), b"https only\n")
NO_HOST = Answer(400, (("Content-Type", "text/plain"),), b"a redirect needs a Host\n")


class Share:
    """Of every so many requests exactly so many: a split of hits and misses, drawn as backends are.

    ``previous`` hands over what is owed, as a reload does; so a share of 1 % is kept although configurations live for
    less than 100 requests.  Safe with any number of threads, as :class:`lbcore.Split`.
    """

    __slots__ = ("_always", "_hit", "_split")

    def __init__(self, mirror: Mirror, previous: Share | None = None) -> None:
        hits, of = mirror.share
        self._always = hits == of
        self._split: Split | None = None
        if 0 < hits < of:
            hit, miss = Upstream("hit", ["hit:1"]), Upstream("miss", ["miss:1"])
            self._hit = hit.targets[0]
            backends = [Backend(hit, hits), Backend(miss, of - hits)]
            self._split = Split(backends, previous=previous._split if previous is not None else None)

    def next(self) -> bool:
        """True if the next request is one of them."""
        return self._always if self._split is None else self._split.pick() is self._hit


class Edits:
    """Header edits in a row, as what is dropped and what is appended; for text and for bytes."""

    __slots__ = ("drop", "drop_raw", "tail", "tail_raw")

    def __init__(self, edits: Iterable[HeaderEdits], always: frozenset[str] = frozenset()) -> None:
        drop, tail = set(always), cast(list[tuple[str, str]], [])
        for edit in edits:
            sets, adds = (cast(list[tuple[str, str]], pairs) for pairs in (edit.set, edit.add))
            gone = {name.lower() for name, _ in sets} | {name.lower() for name in edit.remove}
            tail = [pair for pair in tail if pair[0].lower() not in gone] + [*sets, *adds]
            drop |= gone
        self.drop, self.tail = frozenset(drop), tail
        self.drop_raw = frozenset(name.encode() for name in drop)
        self.tail_raw = [(name.encode(), value.encode()) for name, value in tail]

    def __call__(self, headers: Sequence[Header], binary: bool) -> list[Header]:
        """The headers that stay, in their order, then the new ones."""
        drop: frozenset[Any] = self.drop_raw if binary else self.drop
        tail: list[Header] = self.tail_raw if binary else self.tail
        return [pair for pair in headers if pair[0].lower() not in drop] + tail


HOST = frozenset(("host",))
CLIENTS = object()  # the Host is the client's
F = TypeVar("F", bound=Filter)


class Program:
    """The filters of one rule, or of a rule and one of its backends.  Made by :func:`program` and :meth:`plus`."""

    __slots__ = (
        *("_cors", "_host", "_https", "_path", "_redirect", "_request", "_response"),
        *("_n_inherited", "_shares", "answers", "filters"),
    )

    def __init__(
        self, filters: tuple[Filter, ...], shares: Iterable[tuple[Mirror, Share]], n_inherited: int = 0
    ) -> None:
        self.filters = filters
        self._host, self._path = _aim(filters)
        self._redirect = _last(filters, RequestRedirect)
        self._https = _to_https(_last(filters, HttpsOnly))
        cors = _last(filters, Cors)
        self._cors = CorsProgram(cors) if cors else None
        self._request = Edits((f for f in filters if isinstance(f, RequestHeaders)), HOST)
        responses = [f for f in filters if isinstance(f, ResponseHeaders)]
        self._response = Edits(responses) if responses else None
        self._shares = tuple(shares)
        self._n_inherited = n_inherited  # of the shares: the rule's, in the program of a backend
        self.answers = bool(self._cors or self._redirect or self._https)

    def plus(self, filters: Iterable[Filter], previous: Program | None = None) -> Program:
        """The program of a backend with its own ``filters``; the mirrors of the rule are counted with the rule's.

        ``previous``: as for :func:`program`, the backend's program before a reload.
        """
        own = checked(filters)
        if not own:
            return self
        before = previous._shares[previous._n_inherited :] if previous else ()
        return Program(self.filters + own, [*self._shares, *_shares(own, before)], len(self._shares))

    def forward(
        self,
        method: str,
        host: str | None,
        path: str,
        query: str | None,
        headers: Sequence[Header],
        matched: int = 1,
        binary: bool | None = None,
    ) -> tuple[str, str | None, str, list[Header]]:
        """What to send to the backend: (method, host, target, headers).

        ``path``: canonical; its first ``matched`` characters are what the route's path matched (1 where the route has
        none).  ``query``: without "?", None where there was none.  ``headers``: pairs of text or of bytes; ``binary``
        says which where there are none.  A host of None is the target's own, see :func:`own_host`.
        """
        if self._path is not None:
            path = self._path(path, matched)
        if self._host is not CLIENTS:
            host = self._host
        kept = self._request(headers, _binary(headers) if binary is None else binary)
        return method, host, path if query is None else f"{path}?{query}", kept

    def answer(
        self,
        method: str,
        host: str | None,
        path: str,
        query: str | None,
        headers: Sequence[Header],
        matched: int,
        scheme: str,
        port: int | None,
    ) -> Answer | None:
        """The answer that needs no backend: go to https, a preflight's, a redirect; None: ask the backend.

        ``scheme``: "http" or "https", of the request.  ``port``: the listener's; None: unknown, the Host's is taken.
        """
        redirect = self._redirect
        if self._https is not None and scheme != "https":
            if isinstance(self._https, Answer):
                return self._https
            redirect = self._https
        elif self._cors is not None:
            preflight = self._cors.preflight(method, headers)
            if preflight is not None:
                return preflight
        if redirect is None:
            return None
        location = _location(redirect, host, path, query, matched, scheme, port)
        if location is None:
            return NO_HOST
        lines = self.response([("Location", location)], headers, binary=False)
        return Answer(redirect.status, tuple(lines))

    def response(
        self, headers: Sequence[Header], request_headers: Sequence[Header], binary: bool | None = None
    ) -> Sequence[Header]:
        """The headers of an answer to the client, whoever made it; the same object where nothing is to do.

        ``request_headers``: as the client sent them.  Response edits first, then CORS, whose fields nobody edits.
        """
        if self._response is None and self._cors is None:
            return headers
        raw = _binary(headers) if binary is None else binary
        found = list(headers) if self._response is None else self._response(headers, raw)
        return found if self._cors is None else self._cors.actual(found, request_headers, raw)

    def mirrors(self) -> tuple[Any, ...]:
        """The backends that get a copy of the next request; each call counts one request."""
        return tuple([mirror.backend for mirror, share in self._shares if share.next()])

    def __repr__(self) -> str:
        return f"Program({list(self.filters)!r})"


def program(filters: Iterable[Filter], *, previous: Program | None = None) -> Program | None:
    """The program of a rule's ``filters``; None where there are none.

    ``previous``: the rule's program before a reload; its n-th mirror hands over what it owes to the n-th here.
    Raises ConfigError for what is no filter; whether filters go together is :func:`check_filters`' to say.
    """
    own = checked(filters)
    return Program(own, _shares(own, previous._shares if previous else ())) if own else None


def checked(filters: Iterable[Filter]) -> tuple[Filter, ...]:
    """``filters`` as a tuple.  Raises ConfigError."""
    own = tuple(filters)
    for i, item in enumerate(own):
        if not isinstance(item, KINDS):
            raise ConfigError(f"filters[{i}]", f"{shown(item)} is not a filter")
    return own


def _last(filters: Iterable[Filter], kind: type[F]) -> F | None:
    return next(reversed([item for item in filters if isinstance(item, kind)]), None)


def _to_https(item: HttpsOnly | None) -> Answer | RequestRedirect | None:
    """What a plain request gets."""
    if item is None or item.status == 426:
        return UPGRADE if item else None
    return RequestRedirect("https", status=item.status)


def _aim(filters: Iterable[Filter]) -> tuple[Any, Any]:
    """What becomes of the Host (CLIENTS: nothing) and of the path (None: nothing)."""
    host: Any = CLIENTS
    path: Any = None
    for item in filters:
        if isinstance(item, URLRewrite):
            host, path = item.hostname or host, item.path or path
        elif isinstance(item, ToService):
            host, path = CLIENTS if item.preserve_host else None, item
    return host, path


Shares = list[tuple[Mirror, Share]]


def _shares(filters: Iterable[Filter], previous: Iterable[tuple[Mirror, Share]]) -> Shares:
    """The share of each mirror; the n-th takes over from the n-th of ``previous``."""
    before = iter([share for _, share in previous])
    return [(item, Share(item, next(before, None))) for item in filters if isinstance(item, Mirror)]


def _binary(headers: Sequence[Header]) -> bool:
    return bool(headers) and isinstance(headers[0][0], bytes)


def own_host(host: str, port: int, scheme: str) -> str:
    """The Host of a target by its own name: the port is written unless it is the scheme's."""
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return name if DEFAULT_PORTS.get(scheme) == port else f"{name}:{port}"


def _split_host(host: str) -> tuple[str, int | None]:
    """(name, port) of a Host that the router has accepted; IPv6 keeps its brackets, port 0 is none."""
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):  # "name" or "[::1]"
        return host, None
    digits = port.lstrip("0")[:5]  # any number of zeros is allowed there, and int() minds
    return name, int(digits) if digits else None


def _location(
    redirect: RequestRedirect,
    host: str | None,
    path: str,
    query: str | None,
    matched: int,
    scheme: str,
    listener: int | None,
) -> str | None:
    """The absolute URL of a redirect; None if nothing says the host."""
    name, sent = _split_host(host) if host else ("", None)
    name = redirect.hostname or name
    if not name:
        return None
    aim = redirect.scheme or scheme
    # "If redirect scheme is not-empty, the redirect port MUST be the well-known port associated with the redirect
    # scheme. [...] If redirect scheme is empty, the redirect port MUST be the Gateway Listener port."
    port = redirect.port or (DEFAULT_PORTS[redirect.scheme] if redirect.scheme else listener or sent)
    # "Implementations SHOULD NOT add the port number" of 80 with HTTP and of 443 with HTTPS.
    authority = name if port is None or port == DEFAULT_PORTS.get(aim) else f"{name}:{port}"
    if redirect.path is not None:
        path = redirect.path(path, matched)
    return f"{aim}://{authority}{path}" + ("" if query is None else f"?{query}")
