"""A Spec in the making: what the dialects add to, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lbcore.config.problems import Document, Problems
from lbcore.engine import (
    Condition,
    ListenerSpec,
    ObjectReport,
    Report,
    RuleSpec,
    Spec,
    StreamSpec,
    UpstreamSpec,
)
from lbcore.errors import Problem


@dataclass(slots=True)
class Verdict:
    """What is said of one object."""

    document: Document
    kind: str
    namespace: str
    name: str
    conditions: tuple[Condition, ...] = ()
    parents: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Draft:
    """The parts of a Spec, added to by each dialect in turn."""

    problems: Problems
    known: Mapping[str, UpstreamSpec] = field(default_factory=dict)  # of the load before: they can be built
    listeners: list[ListenerSpec] = field(default_factory=list)
    upstreams: dict[str, UpstreamSpec] = field(default_factory=dict)
    rules: list[RuleSpec] = field(default_factory=list)
    streams: list[StreamSpec] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def spec(self) -> Spec:
        """The finished Spec with its report; raises nothing."""
        problems, by_document = self.problems.placed()
        self.verdicts.sort(key=lambda verdict: verdict.document.order)
        return Spec(
            tuple(self.listeners),
            tuple(self.upstreams.values()),
            tuple(self.rules),
            tuple(self.streams),
            Report(tuple(_report(verdict, by_document) for verdict in self.verdicts), tuple(problems)),
        )


def _report(verdict: Verdict, problems: dict[Document, list[Problem]]) -> ObjectReport:
    return ObjectReport(
        verdict.kind,
        verdict.namespace,
        verdict.name,
        verdict.conditions,
        verdict.parents,
        tuple(problems.get(verdict.document, ())),
    )
