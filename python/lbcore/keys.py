"""Where the key of a request comes from: what a route's ``key=`` says and ``Match.key`` gives.

    KeySource("header:x-user", "ip")                     the first of them that the request has
    KeySource("cookie:sid", "query:q", combine=True)     all that it has, combined as Envoy combines hash policies

A source is ``header:NAME``, ``cookie:NAME``, ``query:NAME``, ``ip``, ``path`` or ``capture:NAME``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_plus

from lbcore._core import Hashed, combined_hash
from lbcore.errors import ConfigError

NAMED = ("header", "cookie", "query", "capture")
BARE = ("ip", "path")


class KeySource:
    """Sources of a key, in order.

    The first that the request has gives the key, as text; none: None.  With ``combine=True`` all that it has are hashed
    and combined (Envoy's rule; a source in ``terminal`` ends the row where there is a hash already); the key is a
    :class:`lbcore.Hashed`.  A header that was sent several times: joined by ", ", or with ``combine`` each value hashed
    in sorted order.  Raises ConfigError.
    """

    def __init__(self, *sources: str, combine: bool = False, terminal: Iterable[str] = ()) -> None:
        if not sources:
            raise ConfigError(
                "key", "no source; wanted: header:NAME, cookie:NAME, query:NAME, capture:NAME, ip or path"
            )
        self.sources = tuple(sources)
        self.combine = combine
        self.terminal = frozenset(terminal)
        self._parts = [_part(f"key[{i}]", source) for i, source in enumerate(sources)]
        for source in self.terminal - set(sources):
            raise ConfigError("key.terminal", f"{source!r:.80} is not among the sources")
        if self.terminal and not combine:
            raise ConfigError("key.terminal", "only with combine=True is there more than one source to end")

    @property
    def needs_headers(self) -> bool:
        """True if a request's headers are asked for."""
        return any(kind in ("header", "cookie") for kind, _ in self._parts)

    def of(self, match: Any) -> str | Hashed | None:
        """The key of a match (or of what has its ``header_values``, ``source``, ``path``, ``query``, ``params``)."""
        if self.combine:
            return self._combined(match)
        for kind, name in self._parts:
            values = _values(match, kind, name)
            if values:
                return ", ".join(values) if kind == "header" else values[0]
        return None

    def _combined(self, match: Any) -> Hashed | None:
        found: int | None = None
        for source, (kind, name) in zip(self.sources, self._parts, strict=True):
            values = _values(match, kind, name)
            if values:
                found = combined_hash(found, values)
            if found is not None and source in self.terminal:
                break
        return None if found is None else Hashed(found)

    def __repr__(self) -> str:
        more = ", combine=True" if self.combine else ""
        return f"KeySource({', '.join(map(repr, self.sources))}{more})"


def _part(field: str, source: str) -> tuple[str, str]:
    kind, colon, name = source.partition(":") if isinstance(source, str) else ("", "", "")
    if (kind in BARE and not colon) or (kind in NAMED and name):
        return kind, name.lower() if kind == "header" else name
    raise ConfigError(
        field, f"{source!r:.80} is not {', '.join(f'{k}:NAME' for k in NAMED)}, {' or '.join(BARE)}"
    )


def _values(match: Any, kind: str, name: str) -> list[str]:
    if kind == "header":
        found: list[str] = match.header_values(name)
        return found
    if kind == "cookie":
        return _cookies(match.header_values("cookie"), name)
    if kind == "query":
        return _query(match.query, name)
    if kind == "capture":
        return [match.params[name]] if name in match.params else []
    value = match.source if kind == "ip" else match.path
    return [value] if value else []


def _cookies(headers: list[str], name: str) -> list[str]:
    for header in headers:
        for part in header.split(";"):
            key, equals, value = part.strip().partition("=")
            if equals and key == name:
                return [value.strip('"')]
    return []


def _query(query: str | None, name: str) -> list[str]:
    """The first value of the parameter, as it stands in the query: nothing is decoded but its name."""
    for part in (query or "").split("&"):
        key, _, value = part.partition("=")
        if key == name or unquote_plus(key) == name:
            return [value]
    return []
