"""Where a field stands in its text.

Places are not kept while reading, which must be fast: a text that has problems is read once more, and only then.
A field's place is that of its key, an entry's that of its first character.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lbcore.config import jsontext
from lbcore.config.events import Event, nodes
from lbcore.config.plain import Path, Unreadable

Place = tuple[int, int]


def locate(text: str, is_json: bool, wanted: Iterable[Path]) -> dict[Path, Place]:
    """The places of the ``wanted`` paths; each begins with the number of its document.

    A path that is not in the text (a field that is missing, or inside an alias) has the place of what is around it.
    """
    paths = list(wanted)
    prefixes = {path[:n] for path in paths for n in range(len(path) + 1)}
    found: dict[Path, Place] = {}
    events = jsontext.events(text) if is_json else _yaml_events(text)
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
