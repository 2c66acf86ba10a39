"""Where the key of a request comes from: what a route's ``key=`` says and ``Match.key`` gives.

    KeySource("header:x-user", "ip")                     the first of them that the request has
    KeySource("cookie:sid", "query:q", combine=True)     all that it has, combined as Envoy combines hash policies
    KeySource("header:x-user", "random")                 a request without the header goes anywhere

A source is ``header:NAME``, ``cookie:NAME``, ``query:NAME``, ``ip``, ``path`` or ``capture:NAME``, and as the last one
``random``, which every request has.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import count
from typing import Any
from urllib.parse import unquote_plus

from lbcore._core import Hashed, combined_hash, hash_bytes
from lbcore.errors import ConfigError

NAMED = ("header", "cookie", "query", "capture")
BARE = ("ip", "path", "random")
WANTED = f"{', '.join(f'{kind}:NAME' for kind in NAMED)}, {', '.join(BARE[:-1])} or {BARE[-1]}"
MOST = 256  # characters of a name
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")


class KeySource:
    """Sources of a key, in order.

    The first that the request has gives the key, as text; none: None.  With ``combine=True`` all that it has are hashed
    and combined (Envoy's rule; a source in ``terminal`` ends the row where there is a hash already); the key is a
    :class:`lbcore.Hashed`.  A header that was sent several times: joined by ", ", or with ``combine`` each value hashed
    in sorted order.

    ``random``, last, is for requests that have none of the others: another Hashed each time, of a sequence that
    ``seed`` begins (None: drawn from the system).  Without it their key is None.  Raises ConfigError.
    """

    def __init__(
        self, *sources: str, combine: bool = False, terminal: Iterable[str] = (), seed: int | None = None
    ) -> None:
        if not sources:
            raise ConfigError("key", f"no source; wanted: {WANTED}")
        if seed is not None and not (
            isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**64
        ):
            raise ConfigError("key.seed", f"{seed!r:.80} is not a whole number in 0..{2**64 - 1}")
        self.sources = tuple(sources)
        self.combine = combine
        self.terminal = frozenset(terminal)
        self._parts = [_part(f"key[{i}]", source) for i, source in enumerate(sources)]
        if "random" in sources[:-1]:
            raise ConfigError(
                f"key[{sources.index('random')}]", "'random' is the last: no request goes on to others"
            )
        self._draws = sources[-1] == "random"
        self._seed = int.from_bytes(os.urandom(8), "little") if seed is None else seed
        self._n_drawn = count()  # one step of it is atomic
        for source in self.terminal - set(sources):
            raise ConfigError("key.terminal", f"{source!r:.80} is not among the sources")
        if self.terminal and not combine:
            raise ConfigError("key.terminal", "only with combine=True is there more than one source to end")

    def says_the_same(self, other: KeySource) -> bool:
        """True if both give the same key to a request that has one."""
        said = (other.sources, other.combine, other.terminal)
        return (self.sources, self.combine, self.terminal) == said

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
        return self._drawn() if self._draws else None

    def _combined(self, match: Any) -> Hashed | None:
        found: int | None = None
        for source, (kind, name) in zip(self.sources, self._parts, strict=True):
            values = _values(match, kind, name)
            if values:
                found = combined_hash(found, values)
            if found is not None and source in self.terminal:
                break
        if found is None:
            return self._drawn() if self._draws else None
        return Hashed(found)

    def _drawn(self) -> Hashed:
        return Hashed(hash_bytes("xxh64", next(self._n_drawn).to_bytes(8, "little"), self._seed))

    def __repr__(self) -> str:
        more = ", combine=True" if self.combine else ""
        return f"KeySource({', '.join(map(repr, self.sources))}{more})"


def _part(field: str, source: str) -> tuple[str, str]:
    kind, colon, name = source.partition(":") if isinstance(source, str) else ("", "", "")
    if kind in BARE and not colon:
        return kind, ""
    if kind not in NAMED or not name:
        raise ConfigError(field, f"{source!r:.80} is not {WANTED}{_nearest(kind)}")
    if len(name) > MOST:
        raise ConfigError(field, f"a name of {len(name)} characters; at most {MOST}")
    if kind in ("header", "cookie") and not TOKEN.fullmatch(name):
        raise ConfigError(field, f"{name!r:.80} is no {kind}'s name: letters, digits and !#$%&'*+-.^_`|~")
    return kind, name.lower() if kind == "header" else name


def _nearest(kind: str) -> str:
    from difflib import get_close_matches

    close = [] if kind in (*NAMED, *BARE) else get_close_matches(kind[:MOST], (*NAMED, *BARE), 1)
    return f"; did you mean {close[0]}{':NAME' if close[0] in NAMED else ''}?" if close else ""


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
    value = match.source if kind == "ip" else match.path if kind == "path" else None
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
