"""From what ``load`` was given to documents: files, directories, standard input, text, Python data."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from lbcore.config.plain import Path, Unreadable, plain, shown
from lbcore.config.problems import Document, Problems, Source

MAX_BYTES = 64 * 1024 * 1024  # of one file
MAX_ALL_BYTES = 4 * MAX_BYTES  # of one load
SUFFIXES = (".yaml", ".yml", ".json")


def gather(given: Any, problems: Problems) -> list[Document]:
    """Every document of ``given``; what cannot be read is a problem.

    A str is a path, ``-`` for standard input, or text if it has a line end or begins with ``{``; a dict is
    one object; a list has any of these.
    """
    documents: list[Document] = []
    left, n_seen = MAX_ALL_BYTES, 0
    for n, (source, content) in enumerate(_sources(given, problems)):
        source.order = n
        try:
            if isinstance(content, (str, FilePath)):
                source.text = _read(content, min(MAX_BYTES, left))
            if source.text is not None:
                left -= len(source.text)
                content = _parse(source)
            else:
                content = [plain(content)]
            for i, data in enumerate(content):
                if data is not None:  # nothing between two "---"
                    n_seen += 1
                    documents += _unwrapped(source, (i,), data)
        except Unreadable as error:
            problems.unreadable(source, error)
    for order, document in enumerate(documents):
        document.order = order
    if not n_seen and not problems and given not in ([], ()):
        # A file cut to nothing is an accident, not a wish to serve nothing; an empty List is one.
        problems.unreadable(Source(_name(given), 0), Unreadable("holds no object"))
    return documents


def _name(given: Any) -> str:
    items = given if isinstance(given, (list, tuple)) else [given]
    return ", ".join(
        {"-": "<stdin>"}.get(str(item), "<text>" if is_text(str(item)) else str(item)) for item in items
    )


def is_text(given: str) -> bool:
    """True for text, False for a path."""
    return "\n" in given or given.startswith("{")


def _sources(given: Any, problems: Problems) -> Iterator[tuple[Source, Any]]:
    """Each source with its content: data, or the path of what is still to be read (``-``: standard input)."""
    for item in given if isinstance(given, (list, tuple)) else [given]:
        if isinstance(item, Mapping):
            yield Source("", 0), dict(item)
        elif isinstance(item, str) and is_text(item):
            yield Source("<text>", 0, text=item), None
        elif item == "-":
            yield Source("<stdin>", 0), "-"
        elif isinstance(item, (str, os.PathLike)) and isinstance(os.fspath(item), str):
            yield from _files(FilePath(item), problems)
        else:
            kinds = "a path, text, dict or list of these"
            problems.unreadable(
                Source("", 0), Unreadable(f"the source is {shown(item)}; it is to be {kinds}")
            )


def _files(path: FilePath, problems: Problems) -> Iterator[tuple[Source, FilePath]]:
    """``path``, or the configuration files of that directory by name; no directory in a directory."""
    try:
        if not path.is_dir():
            yield Source(str(path), 0), path
            return
        inside = sorted(
            p for p in path.iterdir() if p.suffix in SUFFIXES and not p.name.startswith(".") and p.is_file()
        )
    except (OSError, ValueError) as error:
        problems.unreadable(Source(str(path), 0), Unreadable(_why(error)))
        return
    if not inside:
        problems.unreadable(
            Source(str(path), 0), Unreadable(f"is a directory without {', '.join(SUFFIXES)} files")
        )
    for file in inside:
        yield Source(str(file), 0), file


def _read(path: FilePath | str, most: int) -> str:
    """The text of a file, or of standard input ("-").  Raises :class:`Unreadable`."""
    try:
        if path == "-":
            content = getattr(sys.stdin, "buffer", sys.stdin).read(most + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise Unreadable(_why(error)) from None
    if len(content) > most:
        raise Unreadable(f"is larger than {MAX_BYTES >> 20} MiB a file, {MAX_ALL_BYTES >> 20} MiB in all")
    return content if isinstance(content, str) else _decoded(content)


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("is UTF-16; it is to be UTF-8", 1, 1)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = (before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise Unreadable(f"is not UTF-8: byte 0x{content[error.start]:02x}", *place) from None


def _why(error: Exception) -> str:
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def _parse(source: Source) -> list[Any]:
    """The documents of a text: JSON by the file's name or its first character, else YAML."""
    text = source.text or ""
    if "\0" in text:
        at = text.index("\0")
        raise Unreadable("has a NUL byte", text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
    if source.name.endswith(".json"):
        return _parse_json(source)
    if not text.lstrip().startswith(("{", "[")):
        return _parse_yaml(text)
    try:
        return _parse_json(source)
    except Unreadable as error:
        try:
            found = _parse_yaml(text)  # {a: b} is YAML
        except (Unreadable, ImportError):
            raise error from None
        source.is_json = False
        return found


def _parse_json(source: Source) -> list[Any]:
    from lbcore.config import jsontext

    source.is_json = True
    return [jsontext.document(source.text or "")]


def _parse_yaml(text: str) -> list[Any]:
    from lbcore.config.yaml import documents

    return documents(text)


def _unwrapped(source: Source, path: Path, data: Any) -> Iterator[Document]:
    """The objects of a document: itself, or the items of a List (``kubectl get -o json``)."""
    if not isinstance(data, dict):
        raise Unreadable(
            f"a document is {shown(data)}; it is to be an object", *_begin(source, path), path[1:]
        )
    kind, items = data.get("kind"), data.get("items")
    if not (isinstance(kind, str) and kind.endswith("List") and isinstance(items, list)):
        yield Document(source, path, data)
        return
    # A list of one kind (HTTPRouteList) leaves the kind of its items out.
    inherited = {"apiVersion": data.get("apiVersion"), "kind": kind[:-4]} if kind != "List" else {}
    for i, item in enumerate(items):
        given = {**inherited, **item} if isinstance(item, dict) else item
        yield from _unwrapped(source, (*path, "items", i), given)


def _begin(source: Source, path: Path) -> tuple[int, int]:
    from lbcore.config.places import locate

    return locate(source.text, source.is_json, [path])[path] if source.text is not None else (0, 0)
