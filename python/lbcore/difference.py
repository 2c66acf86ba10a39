"""What a new Spec changes; and the new Spec with the old one's objects wherever both say the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import is_
from typing import TYPE_CHECKING, Any, TypeVar

from lbcore._core import Yielder, dismantle, settle, untrack
from lbcore.plan import Index, Names

if TYPE_CHECKING:
    from lbcore.engine import Spec, TargetSpec, UpstreamSpec

T = TypeVar("T")
_STEP = 1024  # names that are let go at once


@dataclass(frozen=True, slots=True)
class TargetChanges:
    """What changes among the targets of an upstream, by identity (id, else address).

    ``moved``: the share (0..1) of an upstream's keys that another target gets, on a sample, if all are healthy.  Of a
    dry run, and of policies by key; else None.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: float | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reload changed (or, with ``dry_run``, would): ``rule NAME``, ``stream NAME``, ``upstream NAME`` and
    ``listener NAME``, and more of each upstream that stays under its name.  False if nothing.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    upstreams: Mapping[str, TargetChanges] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        if not self:
            return "nothing has changed"
        counts = f"{len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed"
        groups = [(x.added, x.removed, x.changed) for x in self.upstreams.values()]
        came, went, other = (
            (sum(map(len, group)) for group in zip(*groups, strict=True)) if groups else (0, 0, 0)
        )
        return f"{counts}; targets: {came} added, {went} removed, {other} changed" if groups else counts

    def as_dict(self) -> dict[str, Any]:
        """The changes as plain data, for JSON."""
        upstreams = {
            name: {"added": [*x.added], "removed": [*x.removed], "changed": [*x.changed], "moved": x.moved}
            for name, x in self.upstreams.items()
        }
        return {
            "added": [*self.added],
            "removed": [*self.removed],
            "changed": [*self.changed],
            "upstreams": upstreams,
        }


class Merger:
    """Compares a new Spec with the old one, in steps.  ``kinds``: what a Spec is made of."""

    def __init__(self, kinds: frozenset[type], yielder: Yielder) -> None:
        self._kinds = kinds
        self._yielder = yielder
        self._added: list[str] = untrack([])
        self._removed: list[str] = untrack([])
        self._changed: list[str] = untrack([])
        self._upstreams: dict[str, TargetChanges] = {}

    def merged(self, old: Spec, index: Index, new: Spec) -> tuple[Spec, Index, Changes]:
        """``new`` with the objects of ``old`` for what is equal, its index, and the changes."""
        names = Index()
        listeners = self._group("listener", old.listeners, _dict_of(old.listeners).get, new.listeners, None)
        upstreams = self._merged_upstreams(old, new)
        rules = self._group("rule", old.rules, index.rules.get, new.rules, names.rules)
        streams = self._group("stream", old.streams, index.streams.get, new.streams, names.streams)
        for group in (new.report.objects, new.report.problems):
            for item in group:
                settle(item, self._kinds)
                self._yielder.tick()
            untrack(group)
        spec = new
        groups = (new.listeners, new.upstreams, new.rules, new.streams)
        if not all(map(is_, groups, (listeners, upstreams, rules, streams))):
            spec = replace(new, listeners=listeners, upstreams=upstreams, rules=rules, streams=streams)
        added, removed, changed = map(self._frozen, (self._added, self._removed, self._changed))
        changes = Changes(added, removed, changed, self._upstreams)
        return settle(spec, self._kinds), names, changes

    def _frozen(self, names: list[str]) -> tuple[str, ...]:
        """``names`` as a tuple; the list is empty afterwards, so that it need not be freed at a stroke."""
        self._yielder.pause()
        found = untrack(tuple(names))
        while names:
            del names[-_STEP:]
            self._yielder.tick()
        return found

    def _group(
        self,
        kind: str,
        old: Iterable[T],
        find: Callable[[str], T | None],
        new: tuple[T, ...],
        names: Names[T] | None,
    ) -> tuple[T, ...]:
        """The parts of one kind: ``new`` itself where it has no double of an old one; counts what came and went."""
        parts: list[T] = untrack([])
        n_doubles = 0
        names = Names() if names is None else names
        for part in new:
            name = part.name  # type: ignore[attr-defined]
            was = find(name)
            if was is None:
                self._added.append(f"{kind} {name}")
            elif was is part or was == part:
                n_doubles += was is not part
                part = was
            else:
                self._changed.append(f"{kind} {name}")
            parts.append(settle(part, self._kinds))
            names.part(name)[name] = part
            self._yielder.tick()
        for part in old:
            name = part.name  # type: ignore[attr-defined]
            if names.get(name) is None:
                self._removed.append(f"{kind} {name}")
            self._yielder.tick()
        self._yielder.pause()
        merged = untrack(tuple(parts) if n_doubles else new)
        loose = [parts]
        del parts
        dismantle(loose, self._yielder)
        return merged

    def _merged_upstreams(self, old: Spec, new: Spec) -> tuple[UpstreamSpec, ...]:
        before = _dict_of(old.upstreams)
        upstreams = tuple(
            self._merged_targets(before[upstream.name], upstream) if upstream.name in before else upstream
            for upstream in new.upstreams
        )
        if all(map(is_, upstreams, new.upstreams)):
            upstreams = new.upstreams
        return self._group("upstream", old.upstreams, before.get, upstreams, None)

    def _merged_targets(self, was: UpstreamSpec, now: UpstreamSpec) -> UpstreamSpec:
        before: dict[str, TargetSpec] = {}
        for target in was.targets:
            before[_identity(target)] = target
            self._yielder.tick()
        targets, added, changed, kept = [], [], [], set()
        for target in now.targets:
            identity = _identity(target)
            known = before.get(identity)
            if known is None:
                added.append(identity)
            elif known == target:
                target = known
            else:
                changed.append(identity)
            kept.add(identity)
            targets.append(target)
            self._yielder.tick()
        merged = now if all(map(is_, targets, now.targets)) else replace(now, targets=tuple(targets))
        if merged != was:
            removed = tuple(identity for identity in before if identity not in kept)
            self._upstreams[was.name] = TargetChanges(tuple(added), removed, tuple(changed))
        return merged


def _identity(target: TargetSpec) -> str:
    return target.address if target.id is None else target.id


def _dict_of(parts: Iterable[Any]) -> dict[str, Any]:
    return {part.name: part for part in parts}
