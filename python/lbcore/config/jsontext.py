"""JSON to plain data: what RFC 8259 says, without duplicate keys, NaN and Infinity."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from lbcore.config.events import Event, nodes
from lbcore.config.plain import MAX_DIGITS, Unreadable, plain, shown

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}:,]|[^][{}:,"\s]+', re.S)


class _Twice(Exception):
    pass


def document(text: str) -> Any:
    """The one document of ``text``.  Raises :class:`Unreadable`."""
    try:
        return plain(json.loads(text, object_pairs_hook=_object, parse_int=_whole, parse_constant=_constant))
    except _Twice:
        raise _the_first_duplicate(text) from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg}", error.lineno, error.colno) from None
    except RecursionError:
        raise Unreadable("nested too deep") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Twice
    return made


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits; at most {MAX_DIGITS}")
    return int(digits)


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def events(text: str) -> Iterator[Event]:
    """The nodes of JSON that can be read, in the order of the text."""
    line, begin, scanned = 1, 0, 0  # of the current line: its number and its first character
    for token in TOKEN.finditer(text):
        at, word = token.start(), token[0]
        newlines = text.count("\n", scanned, at)
        if newlines:
            line, begin = line + newlines, text.rfind("\n", scanned, at) + 1
        scanned = at
        if word not in (":", ","):
            yield (word if word in "{[}]" else "scalar"), word, line, at - begin + 1


def _the_first_duplicate(text: str) -> Unreadable:
    seen = set()
    for path, line, column in nodes(events(text)):
        if path in seen:
            return Unreadable(f"the key {shown(path[-1])} stands here twice", line, column, path[1:])
        seen.add(path)
    return Unreadable("a key stands twice in one object")
