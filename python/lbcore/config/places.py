"""Where a field stands in its text.

Places are not kept while reading, which must be fast: a text that has problems is read once more, and only then.
A field's place is that of its key, an entry's that of its first character.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from lbcore.config.plain import Path, Unreadable

Event = tuple[str, str, int, int]  # kind, text, line, column
Place = tuple[int, int]


def locate(text: str, is_json: bool, wanted: Iterable[Path]) -> dict[Path, Place]:
    """The places of the ``wanted`` paths; each begins with the number of its document.

    A path that is not in the text (a field that is missing, or inside an alias) has the place of what is around it.
    """
    paths = list(wanted)
    prefixes = {path[:n] for path in paths for n in range(len(path) + 1)}
    found: dict[Path, Place] = {}
    if is_json:
        from lbcore.config import jsontext

        events: Iterator[Event] = jsontext.events(text)
    else:
        events = _yaml_events(text)
    try:
        for path, line, column in nodes(events):
            if path in prefixes:
                found.setdefault(path, (line, column))
    except Unreadable:  # it was read before, as far as the problem
        pass
    return {path: _nearest(found, path) for path in paths}


def _nearest(found: dict[Path, Place], path: Path) -> Place:
    for n in range(len(path), 0, -1):
        if path[:n] in found:
            return found[path[:n]]
    return (0, 0)


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


def _yaml_events(text: str) -> Iterator[Event]:
    from yaml.error import YAMLError
    from yaml.events import (
        AliasEvent,
        CollectionEndEvent,
        MappingStartEvent,
        NodeEvent,
        ScalarEvent,
        StreamEndEvent,
    )

    from lbcore.config.yaml import events

    try:
        next_event: Any = events(text)
        while not isinstance(event := next_event(), StreamEndEvent):
            place = (event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, CollectionEndEvent):
                yield "}", "", *place
            elif isinstance(event, (ScalarEvent, AliasEvent)):
                # Marked as read, so that a text with quotes in it is not taken for JSON's.
                yield "scalar", "'" + (event.value if isinstance(event, ScalarEvent) else ""), *place
            elif isinstance(event, NodeEvent):
                yield "{" if isinstance(event, MappingStartEvent) else "[", "", *place
    except (YAMLError, ValueError, OverflowError) as error:
        raise Unreadable(str(error)) from None
