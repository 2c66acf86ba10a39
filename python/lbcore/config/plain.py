"""Plain data: what every format is read into, and how problems quote it.

dict with text keys, list, str, int, float, bool, None; nested at most 100 deep; text that UTF-8 can carry.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

MAX_DEPTH = 100
MAX_DIGITS = 308  # of one number: what a float can hold, too
MAX_SHOWN = 80
MAX_NODES = 5_000_000  # of data that Python gives: the same object at many places is a bomb, too

Path = tuple[str | int, ...]

_PLACE = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Unreadable(Exception):
    """Text or data that cannot be read at all: why, where (from 1; 0 unknown), and in which field."""

    def __init__(self, reason: str, line: int = 0, column: int = 0, path: Path = ()) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column, self.path = reason, line, column, path


def shown(value: Any) -> str:
    """``value`` as problems quote it, at most 80 characters; containers by their kind only."""
    if isinstance(value, str):
        return cut(repr(value[: MAX_SHOWN + 1]), MAX_SHOWN)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if -(10**30) < value < 10**30 else "a huge number"
    if isinstance(value, float):
        return repr(value)
    kinds = {dict: "an object", list: "a list", tuple: "a list"}
    return next(
        (name for kind, name in kinds.items() if isinstance(value, kind)), f"a {type(value).__name__[:40]}"
    )


def cut(text: str, most: int) -> str:
    """``text``, with its end as "..." if it is longer than ``most``."""
    return text if len(text) <= most else text[: most - 3] + "..."


def written(path: Path) -> str:
    """A path as people write it: ``spec.rules[0].backendRefs[1].weight``."""
    parts = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif part.replace("_", "a").replace("-", "a").isalnum() and len(part) <= MAX_SHOWN:
            parts.append(f".{part}")
        else:
            parts.append(f"[{shown(part)}]")
    return "".join(parts).removeprefix(".")


def parts(field: str) -> Path:
    """The path of a field as an option's error names it: ``targets[1].weight``, ``headers['x']``."""
    return tuple(int(index) if index else name.strip("'\"") for name, index in _PLACE.findall(field))


def plain(value: Any) -> Any:
    """A copy of ``value`` as plain data.  Raises :class:`Unreadable` for other types, cycles and odd text."""
    out: list[Any] = []
    waiting: list[tuple[Any, Any, str | int, Path]] = [(value, out, 0, ())]
    n = 0
    while waiting:
        value, box, key, path = waiting.pop()
        if (n := n + 1) > MAX_NODES:
            raise Unreadable(f"has more than {MAX_NODES} nodes")
        copy: Any
        if isinstance(value, dict):
            copy = {}
            waiting += _entries(value, copy, path)
        elif isinstance(value, (list, tuple)):
            copy = [None] * len(value)
            waiting += [(item, copy, i, (*path, i)) for i, item in enumerate(value)]
        else:
            copy = _leaf(value, path)
        if len(path) > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels", path=path[:8])
        if box is out:
            out.append(copy)
        else:
            box[key] = copy
    return out[0]


def _entries(
    value: dict[Any, Any], copy: dict[str, Any], path: Path
) -> list[tuple[Any, Any, str | int, Path]]:
    for key in value:
        if not isinstance(key, str):
            raise Unreadable(f"the key {shown(key)} is not text", path=path)
        copy[_text(key, path)] = None  # keeps the order, whatever the order of the work
    return [(item, copy, key, (*path, key)) for key, item in value.items()]


def _leaf(value: Any, path: Path) -> Any:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        if value.bit_length() > 1024:
            raise Unreadable(f"a number of more than {MAX_DIGITS} digits", path=path)
        return int(value)
    if isinstance(value, date):  # yaml.safe_load makes these of timestamps
        return value.isoformat()
    raise Unreadable(f"{shown(value)} is not data: dict, list, str, int, float, bool or None", path=path)


def _text(value: str, path: Path) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Unreadable(f"{shown(value)} has a character that UTF-8 cannot carry", path=path) from None
    return str(value)
