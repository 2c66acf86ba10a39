"""The way from a source to a Spec: gather, recognise, build, report."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from lbcore.config.draft import Draft
from lbcore.config.plain import cut, shown, written
from lbcore.config.problems import Document, Problems
from lbcore.config.sources import gather
from lbcore.engine import Spec, UpstreamSpec
from lbcore.errors import ConfigError

GATES: tuple[str, ...] = ()  # feature gates that exist


class Dialect(Protocol):
    """One format: ``NAME`` says what, ``claims`` which documents are its own, ``build`` adds them to the draft."""

    NAME: str

    def claims(self, data: dict[str, Any]) -> bool: ...

    def build(self, documents: list[Document], draft: Draft) -> None: ...


def read(
    source: Any,
    dialects: tuple[Any, ...],
    *,
    strict: bool = False,
    known: Mapping[str, UpstreamSpec] | None = None,
) -> Spec:
    """The Spec of ``source``.  Raises :class:`ConfigError` for what cannot be read; if ``strict``, for any problem."""
    problems = Problems()
    with collector_off():
        documents = gather(source, problems)
        draft = Draft(problems, known or {})
        shares: list[list[Document]] = [[] for _ in dialects]
        for document in documents:
            for share, dialect in zip(shares, dialects, strict=True):
                if dialect.claims(document.data):
                    share.append(document)
                    break
            else:
                problems.add(document, (), f"is not recognised: {_hint(document.data, dialects)}", fatal=True)
        for share, dialect in zip(shares, dialects, strict=True):
            dialect.build(share, draft)
        spec = draft.spec()
    if problems.fatal or (strict and problems):
        raise ConfigError.of(list(spec.report.problems))
    return spec


def _hint(data: dict[str, Any], dialects: tuple[Any, ...]) -> str:
    if "_format_version" in data:
        return "Kong's declarative configuration (_format_version) is not available yet"
    keys = cut(", ".join(shown(key) for key in list(data)[:8]), 80) or "nothing"
    return f"it has {keys}; wanted: {' or '.join(dialect.NAME for dialect in dialects)}"


def check_gates(gates: Mapping[str, bool] | None) -> None:
    """Raises :class:`ConfigError` for a gate that does not exist."""
    if gates is None:
        return
    if not isinstance(gates, Mapping):
        raise ConfigError("feature_gates", f"{shown(gates)} is not a mapping of names to true or false")
    for name in gates:
        raise ConfigError(
            written(("feature_gates", str(name))), f"is not known; known: {', '.join(GATES) or 'none'}"
        )


@contextmanager
def collector_off() -> Iterator[None]:
    """Without the cyclic collector: reading makes many objects and no cycles, and the collector would walk them all."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
