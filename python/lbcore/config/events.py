"""The events of a text, whichever its syntax: what the places of fields are found by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from lbcore.config.plain import Path

Event = tuple[str, str, int, int]  # kind (``{ [ } ]`` or ``scalar``), text, line, column


def nodes(events: Iterable[Event]) -> Iterator[tuple[Path, int, int]]:
    """The path and place of every node, in the order of the text."""
    stack: list[tuple[Path, bool, int]] = []  # the containers around: path, is it an object, entries so far
    here: Path = ()
    is_object, n = False, 0  # the outermost is the list of documents
    key: str | None = None
    for kind, text, line, column in events:
        if kind in ("}", "]"):
            here, is_object, n = stack.pop()
            key = None
            continue
        if is_object and key is None:
            key = _key(text)
            yield (*here, key), line, column
            continue
        path = (*here, n if key is None else key)
        if not is_object:
            yield path, line, column
            n += 1
        if kind in ("{", "["):
            stack.append((here, is_object, n))
            here, is_object, n = path, kind == "{", 0
        key = None


def _key(text: str) -> str:
    return str(json.loads(text)) if text.startswith('"') else text.removeprefix("'")
