"""CORS: the answer to a preflight, and the headers of every other answer.

Source  Fetch standard 3.3 (CORS protocol); Gateway API v1, HTTPCORSFilter.
Rules   The filter is the authority: a backend's own Access-Control fields are replaced or removed.  What depends on the
        request's Origin says so in Vary, also where the origin is refused: caches must not mix the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from lbcore._core import Answer
from lbcore.filters.checks import TOKEN
from lbcore.filters.values import DEFAULT_PORTS, ORIGIN, Cors

# RFC 6454 7: a serialized origin.  "null" and lists of origins are none.
SENT = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._~%!$&'()*+;=-]+)(?::([0-9]{1,5}))?",
    re.ASCII | re.IGNORECASE,
)
OURS = ("access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers")
OURS_RAW = tuple(name.encode() for name in OURS)
MOST_ORIGIN = 1024

# Fetch 2.2.5: forbidden to scripts, so never exposed.
HIDDEN = frozenset(("set-cookie", "set-cookie2"))

Header = tuple[Any, Any]


def text(value: str | bytes) -> str:
    """A header's name or value as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


def values_of(headers: Iterable[Header], name: str) -> list[str]:
    """The values of a header (lower case), in order."""
    return [text(value).strip(" \t") for key, value in headers if text(key).lower() == name]


class CorsProgram:
    """One :class:`Cors`, made ready: origins as sets, lists as lines.

    An origin is found by its exact (scheme, host, port) or by one of the suffixes of its host, label by label: the cost
    follows the host's labels, not the number of origins allowed.
    """

    __slots__ = (
        *("_all_headers", "_all_methods", "_any", "_credentials", "_exact"),
        *("_expose", "_expose_all", "_preflight", "_suffixes", "_varies"),
    )

    def __init__(self, cors: Cors) -> None:
        origins, methods = tuple(cors.allow_origins), tuple(cors.allow_methods)
        headers, expose = tuple(cors.allow_headers), tuple(cors.expose_headers)
        self._any = "*" in origins
        self._credentials = cors.allow_credentials
        self._varies = bool(origins) and (not self._any or cors.allow_credentials)
        self._exact, self._suffixes = _compiled(origins)
        self._all_methods, self._all_headers = "*" in methods, "*" in headers
        self._expose_all = "*" in expose and cors.allow_credentials  # "*" means nothing with credentials
        self._expose = "" if self._expose_all else "*" if "*" in expose else ", ".join(expose)
        self._preflight = [("Access-Control-Max-Age", str(cors.max_age))]
        if methods and not self._all_methods:
            self._preflight.append(("Access-Control-Allow-Methods", ", ".join(methods)))
        if headers and not self._all_headers:
            self._preflight.append(("Access-Control-Allow-Headers", ", ".join(headers)))

    def allowed(self, origin: str) -> str | None:
        """What Access-Control-Allow-Origin says to this origin; None: nothing.

        "*" is for everybody, also for requests without Origin ("" here): without Vary, caches keep one answer for all.
        """
        if self._any and not self._credentials:
            return "*"
        found = SENT.fullmatch(origin) if len(origin) <= MOST_ORIGIN else None
        if not found:
            return None
        if self._any:
            return origin
        scheme, host = found[1].lower(), found[2].lower()
        port = int(found[3]) if found[3] else DEFAULT_PORTS.get(scheme)
        return origin if self._knows(scheme, host, port) else None

    def _knows(self, scheme: str, host: str, port: int | None) -> bool:
        if (scheme, host, port) in self._exact or (scheme, "", port) in self._suffixes:
            return True
        if self._suffixes:
            dot = host.find(".", 1)  # "*" stands for something
            while dot >= 0:
                if (scheme, host[dot:], port) in self._suffixes:
                    return True
                dot = host.find(".", dot + 1)
        return False

    def preflight(self, method: str, headers: Sequence[Header]) -> Answer | None:
        """The answer to a preflight request; None if it is none: then it is for the backend.

        Fetch 3.3.2: an OPTIONS request with Origin and Access-Control-Request-Method.
        """
        if method != "OPTIONS":
            return None
        origins, wanted = values_of(headers, "origin"), values_of(headers, "access-control-request-method")
        if len(origins) != 1 or len(wanted) != 1:
            return None
        vary = ["Origin"] if self._varies else []
        vary += ["Access-Control-Request-Method"] if self._all_methods else []
        vary += ["Access-Control-Request-Headers"] if self._all_headers else []
        lines = self._granted(origins[0])
        if lines:
            lines += self._preflight
            if self._all_methods and TOKEN.fullmatch(wanted[0]):
                lines.append(("Access-Control-Allow-Methods", wanted[0]))
            asked = ", ".join(values_of(headers, "access-control-request-headers"))
            names = [name.strip(" \t") for name in asked.split(",")]
            if self._all_headers and all(map(TOKEN.fullmatch, names)):
                lines.append(("Access-Control-Allow-Headers", ", ".join(names)))
            if self._expose:
                lines.append(("Access-Control-Expose-Headers", self._expose))
        return Answer(204, (*lines, *([("Vary", ", ".join(vary))] if vary else [])))

    def actual(self, headers: list[Header], request_headers: Sequence[Header], binary: bool) -> list[Header]:
        """The headers of an answer that is not a preflight's."""
        ours = OURS_RAW if binary else OURS
        kept = [pair for pair in headers if pair[0].lower() not in ours]
        origins = values_of(request_headers, "origin")
        lines = self._granted(origins[0] if len(origins) == 1 else "")
        if lines:
            expose = ", ".join(_names(kept)) if self._expose_all else self._expose
            lines += [("Access-Control-Expose-Headers", expose)] if expose else []
        if self._varies and not _says_origin(kept):
            lines.append(("Vary", "Origin"))
        if binary:
            return kept + [(name.encode(), value.encode("latin-1")) for name, value in lines]
        return kept + lines

    def _granted(self, origin: str) -> list[tuple[str, str]]:
        allowed = self.allowed(origin)
        if allowed is None:
            return []
        lines = [("Access-Control-Allow-Origin", allowed)]
        if self._credentials:
            lines.append(("Access-Control-Allow-Credentials", "true"))
        return lines


Known = frozenset[tuple[str, str, int | None]]


def _compiled(origins: Iterable[str]) -> tuple[Known, Known]:
    exact, suffixes = set(), set()
    for origin in origins:
        found = ORIGIN.fullmatch(origin)
        if found:  # all but "*"
            scheme, host = found[1], found[2].lower()
            port: int | None = int(found[3] or DEFAULT_PORTS[scheme])
            if host.startswith("*"):
                suffixes.add((scheme, host[1:], port))
            else:
                exact.add((scheme, host, port))
    return frozenset(exact), frozenset(suffixes)


def _names(headers: Iterable[Header]) -> list[str]:
    """Every header's name once, without the hidden ones."""
    return [name for name in dict.fromkeys(text(key).lower() for key, _ in headers) if name not in HIDDEN]


def _says_origin(headers: Iterable[Header]) -> bool:
    said = {part.strip(" \t").lower() for value in values_of(headers, "vary") for part in value.split(",")}
    return "origin" in said or "*" in said
