"""What is wrong, collected while loading, and given its places at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lbcore.config.plain import Path, Unreadable, cut, written
from lbcore.errors import Problem

MAX_PROBLEMS = 1000  # of one load: a report must not be larger than what it reports on
MAX_REASON, MAX_FIELD, MAX_OBJECT, MAX_FILE = 240, 120, 100, 255


@dataclass(slots=True, eq=False)
class Source:
    """One text (a file, standard input, a string), or Python data, which has no ``text``."""

    name: str
    order: int
    text: str | None = None
    is_json: bool = False


@dataclass(slots=True, eq=False)
class Document:
    """One object of the input, and where it stands in its source (``path``, beginning with the document's number)."""

    source: Source
    path: Path
    data: Any
    order: int = 0
    label: str = ""  # "HTTPRoute default/canary"


class _Raw(NamedTuple):
    source: Source
    document: Document | None
    path: Path
    reason: str
    fatal: bool
    place: tuple[int, int] | None  # None: to be found


@dataclass(slots=True)
class Problems:
    """The problems of one load, at most ``MAX_PROBLEMS`` of them; the rest is counted."""

    raw: list[_Raw] = field(default_factory=list)
    n_left_out: int = 0
    fatal: bool = False

    def __len__(self) -> int:
        return len(self.raw) + self.n_left_out

    def add(self, document: Document, path: Path, reason: str, *, fatal: bool = False) -> None:
        """Something is wrong with a field of a document.  ``fatal``: the whole load is refused."""
        self._keep(_Raw(document.source, document, path, reason, fatal, None))

    def unreadable(self, source: Source, error: Unreadable) -> None:
        """A source cannot be read: the whole load is refused."""
        self._keep(_Raw(source, None, error.path, error.reason, True, (error.line, error.column)))

    def _keep(self, raw: _Raw) -> None:
        self.fatal |= raw.fatal
        if len(self.raw) < MAX_PROBLEMS:
            self.raw.append(raw)
        else:
            self.n_left_out += 1

    def placed(self) -> tuple[list[Problem], dict[Document, list[Problem]]]:
        """All problems in the order of the input, and those of each document."""
        places = self._places()
        rows = []
        for n, raw in enumerate(self.raw):
            line, column = raw.place or places.get((raw.source, _full(raw)), (0, 0))
            order = raw.document.order if raw.document else 0
            rows.append((raw.source.order, line, column, order, n, raw))
        rows.sort(key=lambda row: row[:5])
        everything: list[Problem] = []
        by_document: dict[Document, list[Problem]] = {}
        for _, line, column, _, _, raw in rows:
            everything.append(problem := _problem(raw, line, column))
            if raw.document:
                by_document.setdefault(raw.document, []).append(problem)
        if self.n_left_out:
            everything.append(Problem("", f"and {self.n_left_out} more problems"))
        return everything, by_document

    def _places(self) -> dict[tuple[Source, Path], tuple[int, int]]:
        from lbcore.config.places import locate

        wanted: dict[Source, list[Path]] = {}
        for raw in self.raw:
            if raw.place is None and raw.source.text is not None:
                wanted.setdefault(raw.source, []).append(_full(raw))
        return {
            (source, path): place
            for source, paths in wanted.items()
            for path, place in locate(source.text or "", source.is_json, paths).items()
        }


def _full(raw: _Raw) -> Path:
    return (*raw.document.path, *raw.path) if raw.document else raw.path


def _problem(raw: _Raw, line: int, column: int) -> Problem:
    return Problem(
        cut(written(raw.path), MAX_FIELD),
        cut(raw.reason, MAX_REASON),
        object=cut(raw.document.label, MAX_OBJECT) if raw.document else "",
        file=raw.source.name if len(raw.source.name) <= MAX_FILE else "..." + raw.source.name[3 - MAX_FILE :],
        line=line,
        column=column,
    )
