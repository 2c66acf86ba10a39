"""YAML to plain data, by the events of libyaml.

Scalars are those of the YAML 1.2 core schema, so ``yes`` and ``1:30`` are text.  A number that YAML 1.1 reads
otherwise (``012``, ``0o17``) stays text too: it is refused where a number is wanted, and never means two
things.  Refused with their place: duplicate keys, keys that are not text, tags, merge keys, nesting deeper
than 100, aliases that blow up. PyYAML's Python parser stands in where its build has no libyaml: slower, the
same result.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.scanner import Scanner

from lbcore.config.plain import MAX_DEPTH, MAX_DIGITS, Path, Unreadable, plain, shown

CParser: Any
try:
    from yaml._yaml import CParser
except ImportError:  # PyYAML without libyaml
    CParser = None

# Aliases may add ten times the nodes that were written, and a million at most: no bomb, and every honest file.
ALIAS_FACTOR, ALIAS_FREE, ALIAS_MOST = 10, 10_000, 1_000_000

WORDS: dict[str, Any] = {
    **dict.fromkeys(("~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
NUMBER = re.compile(
    r"(?P<whole>[-+]?(?:0|[1-9][0-9]*))|(?P<hex>0x[0-9a-fA-F]+)"
    r"|(?P<float>[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
)
MAY_BE_NO_TEXT = frozenset("~nNtTfF+-.0123456789")
MAY_BE_NUMBER = frozenset("+-.0123456789")


class PythonParser(Reader, Scanner, Parser):
    """PyYAML's parser without its constructor."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)


def scalar(text: str) -> Any:
    """What a plain (unquoted) scalar stands for.  Raises ValueError for a number of too many digits."""
    if not text:
        return None
    if text[0] not in MAY_BE_NO_TEXT:
        return text
    if text in WORDS:
        return WORDS[text]
    found = NUMBER.fullmatch(text) if text[0] in MAY_BE_NUMBER else None
    if not found:
        return text
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits; at most {MAX_DIGITS}")
    if found["float"]:
        return float(text)
    return int(text, 16) if found["hex"] else int(text)


def documents(text: str) -> list[Any]:
    """Every document of ``text``.  Raises :class:`Unreadable`."""
    try:
        found = _Builder(text).build()
    except Unreadable:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise Unreadable(" ".join(filter(None, (error.problem, error.context))), *place) from None
    except ReaderError as error:
        # libyaml counts bytes, the Python parser characters.
        before = (
            text.encode()[: error.position].decode(errors="ignore") if CParser else text[: error.position]
        )
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise Unreadable(f"character #x{error.character:02x} is not allowed in YAML", *place) from None
    except (YAMLError, ValueError, OverflowError) as error:
        raise Unreadable(f"not YAML: {error}") from None
    # The Python parser lets escapes through that are no characters; plain() refuses them.
    return found if CParser else [plain(document) for document in found]


def events(text: str) -> Callable[[], Any]:
    """A function that gives the next event at each call."""
    return (CParser or PythonParser)(text).get_event


class _Builder:
    """Puts events together; ``stack`` has the containers around ``box``, each with its waiting key."""

    def __init__(self, text: str) -> None:
        self.next_event = events(text)
        self.anchors: dict[str, tuple[Any, int]] = {}  # the value, and how many nodes it is
        self.box: Any = []  # at the bottom: the documents
        self.key: str | None = None
        self.stack: list[tuple[Any, str | None, str | None, int]] = []
        self.n = 0  # nodes so far, aliases expanded
        self.n_aliased = 0

    def build(self) -> list[Any]:
        """Read to the end.

        Long on purpose: it runs once a node, and a call costs more than what it does.  What is rare is in the
        methods.
        """
        next_event = self.next_event
        while True:
            event = next_event()
            kind = type(event)
            if kind is ScalarEvent:
                value = event.value
                if event.tag or event.anchor:
                    self.check_scalar(event)
                if not event.style and (not value or value[0] in MAY_BE_NO_TEXT):
                    value = self.plain(event)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                self.begin(event, {} if kind is MappingStartEvent else [])
                continue
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                value = self.end()
            elif kind is AliasEvent:
                value = self.alias(event)
            else:
                if kind is DocumentEndEvent:
                    self.anchors.clear()
                elif kind is StreamEndEvent:
                    return self.box  # type: ignore[no-any-return]
                continue
            self.n += 1
            box = self.box
            if type(box) is list:
                box.append(value)
            elif self.key is None:
                if type(value) is not str or value in box or value == "<<":
                    self.check_key(value, event)
                self.key = value
            else:
                box[self.key] = value
                self.key = None

    def plain(self, event: Any) -> Any:
        try:
            value = scalar(event.value)
        except ValueError as error:
            self.refuse(str(error), event)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        return value

    def check_scalar(self, event: Any) -> None:
        self.refuse_tag(event)
        if event.anchor:
            self.anchors[event.anchor] = (event.value, 1)

    def begin(self, event: Any, box: Any) -> None:
        if event.tag:
            self.refuse_tag(event)
        if len(self.stack) >= MAX_DEPTH:
            self.refuse(f"nested deeper than {MAX_DEPTH} levels", event)
        self.stack.append((self.box, self.key, event.anchor, self.n))
        self.box, self.key = box, None

    def end(self) -> Any:
        value = self.box
        self.box, self.key, anchor, before = self.stack.pop()
        if anchor:
            self.anchors[anchor] = (value, self.n - before + 1)
        return value

    def alias(self, event: Any) -> Any:
        if event.anchor not in self.anchors:  # an alias inside its own anchor, too
            self.refuse(f"alias {shown(event.anchor)} has no anchor before it", event)
        value, size = self.anchors[event.anchor]
        self.n += size - 1
        self.n_aliased += size
        if self.n_aliased > min(ALIAS_MOST, ALIAS_FREE + ALIAS_FACTOR * (self.n - self.n_aliased)):
            self.refuse("aliases expand to too many nodes", event)
        return value

    def check_key(self, key: Any, event: Any) -> None:
        if not isinstance(key, str):
            self.refuse(f"the key {shown(key)} is not text; put it in quotes", event)
        if key in self.box:
            self.key = key
            self.refuse(f"the key {shown(key)} stands here twice", event)
        if not getattr(event, "style", None):  # "<<" in quotes is a key like others
            self.refuse('the merge key "<<" is not part of YAML 1.2', event)

    def refuse_tag(self, event: Any) -> None:
        if event.tag:
            self.refuse(f"tags such as {shown(event.tag)} are not allowed", event)

    def refuse(self, reason: str, event: Any) -> None:
        mark = event.start_mark
        around = (
            [*((box, key) for box, key, *_ in self.stack[1:]), (self.box, self.key)] if self.stack else []
        )
        parts = [len(box) if type(box) is list else key for box, key in around]
        path: Path = tuple(part for part in parts if part is not None)
        raise Unreadable(reason, mark.line + 1, mark.column + 1, path)
