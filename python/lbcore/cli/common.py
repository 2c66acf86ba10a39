"""What the commands share: options, loading, tables, and text that is safe on a terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lbcore.engine import Engine


class Usage(Exception):
    """The command was called wrongly: exit code 2."""


def add_files(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The option ``-f``."""
    parser.add_argument(
        "-f", "--file", action="append", required=required, default=None, metavar="FILE", dest="file",
        help="a file or directory of manifests, - for standard input; may be repeated",
    )  # fmt: skip


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def load(files: Sequence[str]) -> Engine:
    """The engine of these files; a word on standard error if some of it is left out.  Raises as ``lbcore.load``."""
    import lbcore

    engine = lbcore.load(list(files))
    n = len(engine.report().problems)
    if n:
        complain(f"{counted(n, 'problem')}; what is wrong is left out (lbcore check says more)")
    return engine


def counted(n: int, noun: str) -> str:
    """``1 problem``, ``2 problems``."""
    return f"{n} {noun}{'' if n == 1 else 'es' if noun.endswith('s') else 's'}"


def safe(text: str) -> str:
    """``text`` without anything that a terminal would obey: what is not printable is written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def say(text: str = "") -> None:
    """One line on standard output."""
    print(safe(text))


def complain(text: str) -> None:
    """Lines on standard error."""
    for line in text.split("\n"):
        print(f"lbcore: {safe(line)}", file=sys.stderr)


def say_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, allow_nan=False))


def say_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns; the last one is as long as it is."""
    table = [tuple(head), *(tuple(map(safe, row)) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def percent(weight: int, total: int) -> str:
    """A weight as its share."""
    return f"{100 * weight / total:.4g} %" if total else "0 %"


def shares(backends: Iterable[Any]) -> list[dict[str, Any]]:
    """The backends of a route as plain data; ``upstream`` None is an invalid one."""
    listed = list(backends)
    total = sum(b.weight for b in listed)
    return [
        {"upstream": _name(b.upstream), "weight": b.weight, "share": b.weight / total if total else 0.0}
        for b in listed
    ]


def key_words(rule: Any) -> dict[str, Any]:
    """The key of a rule or stream as plain data: nothing where it has none."""
    words: dict[str, Any] = {}
    if rule.key is not None:
        words["key"] = list(rule.key.sources)
    if rule.by is not None:
        words["split"] = rule.by
    return words


def _name(upstream: Any) -> str | None:
    return upstream if upstream is None or isinstance(upstream, str) else str(upstream.name)


def in_words(backends: Iterable[Any]) -> str:
    """``default/a:80 75 %, default/b:80 25 %``."""
    listed = list(backends)
    total = sum(b.weight for b in listed)
    return (
        ", ".join(f"{_name(b.upstream) or '(invalid: 500)'} {percent(b.weight, total)}" for b in listed)
        or "none: 500"
    )
