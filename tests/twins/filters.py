"""The twins of ``lbcore.filters``: header by header, path element by path element, pattern by pattern."""

from __future__ import annotations

import re
from fractions import Fraction

Headers = list[tuple[str, str]]


def edited(
    headers: Headers, edits: list[tuple[Headers, Headers, list[str]]], always: tuple[str, ...] = ()
) -> Headers:
    """``headers`` after each (set, add, remove) in turn; one action after the other, one name after the other."""
    lines = list(headers)
    for name in always:
        lines = without(lines, name)
    for sets, adds, removes in edits:
        for name, _ in sets:
            lines = without(lines, name)
        lines += sets
        lines += adds
        for name in removes:
            lines = without(lines, name)
    return lines


def without(headers: Headers, name: str) -> Headers:
    return [(key, value) for key, value in headers if key.lower() != name.lower()]


def elements(path: str) -> list[str]:
    """The path's elements: ``/a/b/`` has a, b and an empty one at the end, ``/`` an empty one."""
    return path.split("/")[1:]


def replaced_prefix(path: str, prefix: str, replacement: str) -> str:
    """Gateway API's ReplacePrefixMatch by path elements; the prefix matches."""
    old = elements(prefix.rstrip("/"))
    assert elements(path)[: len(old)] == old
    left = [part for part in elements(replacement) if part] + elements(path)[len(old) :]
    return "/" + "/".join(left)


def origin_is_allowed(origin: str, patterns: list[str]) -> bool:
    """Gateway API's allowOrigins with one regular expression for each pattern."""
    ports = {"http": 80, "https": 443}
    scheme, _, rest = origin.lower().partition("://")
    host, _, port = rest.rpartition(":") if re.search(r":\d+$", rest) else (rest, "", "")
    full = f"{scheme}://{host}:{port or ports.get(scheme, '')}"
    for pattern in patterns:
        if pattern == "*":
            return True
        wanted = pattern.lower()
        if not re.search(r":\d+$", wanted):
            wanted += f":{ports[wanted.partition('://')[0]]}"
        if re.fullmatch(re.escape(wanted).replace(r"\*", ".+"), full):
            return True
    return False


def kong_v0(base: str, path: str, matched: int, strip: bool) -> str:
    """kong.md 2.1: base and the rest of the path with exactly one slash between."""
    if not strip:
        return base if path == "/" else base.rstrip("/") + path
    rest = path[matched:]
    for dots in ("../", "./"):
        if rest.startswith(dots):
            rest = rest[len(dots) :]
            break
    if rest in (".", "..", ""):
        slash = path.endswith("/") if rest == "" else False
        if base == "/" or (slash and (path != "/" or base.endswith("/"))):
            return base.rstrip("/") + "/"
        return base.rstrip("/")
    return base.rstrip("/") + "/" + rest.lstrip("/")


def within_one(hits: list[bool], share: Fraction) -> bool:
    """True if after every request the number of hits is less than one away from its share."""
    return all(abs(sum(hits[:n]) - n * share) < 1 for n in range(len(hits) + 1))
