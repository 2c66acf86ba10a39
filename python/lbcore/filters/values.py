"""Filters: what a rule does with a request or its response, as plain values.

Source  Gateway API v1 (HTTPRouteFilter and its parts); Kong Gateway 3.10 for ToService and HttpsOnly.
Every value is checked when it is made: ConfigError names the field, the value and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from lbcore.errors import ConfigError
from lbcore.filters.checks import (
    FRAMING,
    header_value,
    hostname,
    listed,
    one_of,
    plain_path,
    refuse,
    token,
    whole,
    yes_no,
)

if TYPE_CHECKING:
    from lbcore._core import Backend
    from lbcore.filters.programs import Programs

Names: TypeAlias = Iterable[str]
Pairs: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

MOST_SHARE = 1_000_000  # of a weight, therefore of a fraction's terms
REDIRECTS = (301, 302, 303, 307, 308)
ORIGIN = re.compile(r"(https?)://(\*|(?:\*\.)?[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*)(?::([0-9]{1,5}))?", re.ASCII)
DEFAULT_PORTS = {"http": 80, "https": 443}


class Filter:
    """The base of all filters."""

    __slots__ = ()
    once: ClassVar[bool] = True  # at most one of its kind in a list

    @staticmethod
    def programs(
        filters: Iterable[Filter], backends: Iterable[Backend], *, path_types: Sequence[str] = ("prefix",)
    ) -> Programs:
        """See :class:`lbcore.filters.Programs`: for who holds filters and does not import their room."""
        from lbcore.filters.programs import Programs

        return Programs(filters, backends, path_types=path_types)


@dataclass(frozen=True, slots=True)
class HeaderEdits(Filter):
    """Names are compared without case.  ``set`` replaces every value, ``add`` appends one, ``remove`` removes all.

    "Only one action for a given header name is permitted": therefore their order cannot matter.  ``set`` and ``add``:
    a mapping or (name, value) pairs.  Host and the fields that frame a message are nobody's to edit.
    """

    set: Pairs = ()
    add: Pairs = ()
    remove: Names = ()

    field: ClassVar[str] = "headers"
    kept_out: ClassVar[frozenset[str]] = FRAMING

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for action in ("set", "add"):
            pairs = self._pairs(f"{self.field}.{action}", getattr(self, action), seen)
            object.__setattr__(self, action, pairs)
        where = f"{self.field}.remove"
        names = listed(where, self.remove)
        removed = tuple(self._name(f"{where}[{i}]", name, seen) for i, name in enumerate(names))
        object.__setattr__(self, "remove", removed)
        if not seen:
            raise ConfigError(self.field, "neither set, add nor remove: nothing to do")

    def _pairs(self, field: str, pairs: Pairs, seen: dict[str, str]) -> tuple[tuple[str, str], ...]:
        found = []
        for i, pair in enumerate(listed(field, pairs.items() if isinstance(pairs, Mapping) else pairs)):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise refuse(f"{field}[{i}]", pair, "a (name, value) pair")
            name = self._name(f"{field}[{i}].name", pair[0], seen)
            found.append((name, header_value(f"{field}[{i}].value", pair[1])))
        return tuple(found)

    def _name(self, field: str, name: object, seen: dict[str, str]) -> str:
        found = token(field, name, "a header's name")
        lower = found.lower()
        if lower in self.kept_out:
            why = "URLRewrite(hostname=) changes the Host" if lower == "host" else "it frames the message"
            raise ConfigError(field, f"{found!r} cannot be edited: {why}")
        if lower in seen:
            raise ConfigError(field, f"{found!r} again; {seen[lower]} has it: one action for one name")
        seen[lower] = field
        return found


@dataclass(frozen=True, slots=True)
class RequestHeaders(HeaderEdits):
    """RequestHeaderModifier: edits of what the backend gets."""

    field: ClassVar[str] = "request_headers"
    kept_out: ClassVar[frozenset[str]] = FRAMING | {"host"}


@dataclass(frozen=True, slots=True)
class ResponseHeaders(HeaderEdits):
    """ResponseHeaderModifier: edits of what the client gets."""

    field: ClassVar[str] = "response_headers"


@dataclass(frozen=True, slots=True)
class ReplaceFullPath:
    """The whole path becomes ``path``; the query stays.  ``""`` is ``"/"``."""

    path: str

    def __post_init__(self) -> None:
        if self.path != "":
            plain_path("replace_full_path", self.path)

    def __call__(self, path: str, matched: int) -> str:
        """The path that ``path`` becomes."""
        return self.path or "/"


@dataclass(frozen=True, slots=True)
class ReplacePrefixMatch:
    """The prefix that matched becomes ``prefix``, by path element; the query stays.

    Slashes at the end of both prefixes are ignored: ``/foo`` -> ``/xyz`` makes ``/xyz/bar`` of ``/foo/bar``, ``/xyz``
    of ``/foo`` and ``/xyz/`` of ``/foo/``; with ``""`` or ``"/"`` they become ``/bar``, ``/`` and ``/``.
    """

    prefix: str

    def __post_init__(self) -> None:
        if self.prefix != "":
            plain_path("replace_prefix_match", self.prefix)

    def __call__(self, path: str, matched: int) -> str:
        """The path that ``path`` becomes, of which the first ``matched`` characters are the prefix."""
        if path[matched - 1 : matched] == "/":
            matched -= 1
        return self.prefix.rstrip("/") + path[matched:] or "/"


PathModifier: TypeAlias = ReplaceFullPath | ReplacePrefixMatch


def _path_modifier(field: str, value: object) -> None:
    if value is not None and not isinstance(value, (ReplaceFullPath, ReplacePrefixMatch)):
        raise refuse(field, value, "a ReplaceFullPath or ReplacePrefixMatch")


@dataclass(frozen=True, slots=True)
class URLRewrite(Filter):
    """What the backend gets as Host and as path; None leaves it as it is."""

    hostname: str | None = None
    path: PathModifier | None = None

    def __post_init__(self) -> None:
        if self.hostname is not None:
            hostname("url_rewrite.hostname", self.hostname)
        _path_modifier("url_rewrite.path", self.path)


@dataclass(frozen=True, slots=True)
class RequestRedirect(Filter):
    """Answer with a Location; what is None stays as the request has it.

    ``port``: None is the scheme's own port if a scheme is given, else the listener's.  ``status``: 301, 302, 303, 307
    or 308.
    """

    scheme: Literal["http", "https"] | None = None
    hostname: str | None = None
    port: int | None = None
    path: PathModifier | None = None
    status: int = 302

    def __post_init__(self) -> None:
        if self.scheme is not None:
            one_of("request_redirect.scheme", self.scheme, DEFAULT_PORTS)
        if self.hostname is not None:
            hostname("request_redirect.hostname", self.hostname)
        if self.port is not None:
            whole("request_redirect.port", self.port, 1, 65535)
        _path_modifier("request_redirect.path", self.path)
        one_of("request_redirect.status", self.status, REDIRECTS)


@dataclass(frozen=True, slots=True)
class Mirror(Filter):
    """Send a copy to ``backend`` and ignore its answer; for the proxies an Upstream or Split, else what you know.

    ``percent`` 0..100, or ``fraction`` as (numerator, denominator): of the requests, exactly, not by chance.  Neither:
    every request.
    """

    backend: Any
    percent: int | None = None
    fraction: tuple[int, int] | None = None

    once: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.backend is None:
            raise ConfigError("mirror.backend", "None: a mirror without a backend is left out")
        if self.percent is not None and self.fraction is not None:
            raise ConfigError("mirror.percent", "only one of percent and fraction")
        if self.percent is not None:
            whole("mirror.percent", self.percent, 0, 100)
        if self.fraction is not None:
            self._check_fraction(self.fraction)

    def _check_fraction(self, fraction: object) -> None:
        if not isinstance(fraction, tuple) or len(fraction) != 2:
            raise refuse("mirror.fraction", fraction, "a (numerator, denominator) pair")
        whole("mirror.fraction[1]", fraction[1], 1, 2**31 - 1)
        whole("mirror.fraction[0]", fraction[0], 0, fraction[1])
        if self.share[1] > MOST_SHARE:
            raise refuse(
                "mirror.fraction", fraction, f"a fraction whose lowest terms are at most {MOST_SHARE}"
            )

    @property
    def share(self) -> tuple[int, int]:
        """The part of the requests, in lowest terms."""
        hits, of = self.fraction or (100 if self.percent is None else self.percent, 100)
        common = gcd(hits, of)
        return hits // common, of // common


@dataclass(frozen=True, slots=True)
class Cors(Filter):
    """Which scripts of other origins may read the answers (Fetch standard, 3.3).

    ``allow_origins``: ``scheme://host[:port]``, the host exact, ``*`` or ``*.suffix`` (any number of labels); or ``*``
    alone for every origin.  A port that is not given is the scheme's own.  ``allow_methods`` and ``allow_headers``:
    names, or ``*`` alone for all.  ``max_age``: seconds that a preflight's answer may be kept.
    """

    allow_origins: Names = ()
    allow_methods: Names = ()
    allow_headers: Names = ()
    expose_headers: Names = ()
    allow_credentials: bool = False
    max_age: int = 5

    def __post_init__(self) -> None:
        self._keep("allow_origins", _origin)
        self._keep("allow_methods", lambda field, name: token(field, name, "a method"))
        self._keep("allow_headers", lambda field, name: token(field, name, "a header's name"))
        self._keep("expose_headers", lambda field, name: token(field, name, "a header's name"))
        yes_no("cors.allow_credentials", self.allow_credentials)
        whole("cors.max_age", self.max_age, 1, 2**31 - 1)

    def _keep(self, name: str, check: Any) -> None:
        field = f"cors.{name}"
        found = tuple(check(f"{field}[{i}]", v) for i, v in enumerate(listed(field, getattr(self, name))))
        if "*" in found and len(found) > 1 and name != "expose_headers":
            raise ConfigError(field, "'*' beside others: it stands alone")
        object.__setattr__(self, name, found)


def _origin(field: str, value: object) -> str:
    wanted = "'*' or http(s)://host[:port], the host exact, * or *.suffix"
    if not isinstance(value, str):
        raise refuse(field, value, wanted)
    found = ORIGIN.fullmatch(value)
    if value != "*" and (not found or not 1 <= int(found[3] or 1) <= 65535):
        raise refuse(field, value, wanted)
    return value


@dataclass(frozen=True, slots=True)
class ToService(Filter):
    """Kong's way to its service: the path is put behind the service's ``path``.

    ``strip_path``: without the part that matched.  ``path_handling``: "v0" joins with exactly one slash, "v1" joins as
    the texts are.  ``preserve_host``: the backend gets the client's Host; otherwise the target's own.
    """

    path: str = "/"
    strip_path: bool = True
    path_handling: Literal["v0", "v1"] = "v0"
    preserve_host: bool = False

    def __post_init__(self) -> None:
        plain_path("to_service.path", self.path)
        yes_no("to_service.strip_path", self.strip_path)
        one_of("to_service.path_handling", self.path_handling, ("v0", "v1"))
        yes_no("to_service.preserve_host", self.preserve_host)

    def __call__(self, path: str, matched: int) -> str:
        """The path that ``path`` becomes, of which the first ``matched`` characters matched (1 without a path)."""
        rest = _without_dots(path[matched:]) if self.strip_path else path
        return (_join_v1 if self.path_handling == "v1" else _join_v0)(self, path, rest)


@dataclass(frozen=True, slots=True)
class HttpsOnly(Filter):
    """Kong's route for https alone: a plain request is told to upgrade (426), or redirected (301, 302, 307, 308)."""

    status: int = 426

    def __post_init__(self) -> None:
        one_of("https_only.status", self.status, (301, 302, 307, 308, 426))


def _without_dots(rest: str) -> str:
    """A leading dot segment is cut: ``/foo..`` under ``/foo`` is not a way up."""
    first, _, more = rest.partition("/")
    return more if first in (".", "..") else rest


def _join_v0(service: ToService, path: str, rest: str) -> str:
    base = service.path.removesuffix("/")
    if not service.strip_path:
        return service.path if path == "/" else base + path
    if rest:
        return f"{base}/{rest.removeprefix('/')}"
    # All of the path matched: the slash at the end is the request's, and "/" has one only if the service's path has.
    ends = path.endswith("/") and (path != "/" or service.path.endswith("/"))
    return base + "/" if ends else base or "/"


def _join_v1(service: ToService, path: str, rest: str) -> str:
    if not service.strip_path:
        return service.path + path[1:]
    return service.path + (rest.removeprefix("/") if service.path.endswith("/") else rest)


# What a program knows.  "The filter MUST NOT be skipped": anything else is refused where filters are taken.
KINDS = (RequestHeaders, ResponseHeaders, URLRewrite, RequestRedirect, Mirror, Cors, ToService, HttpsOnly)
