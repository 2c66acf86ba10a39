"""The programs of one rule: its own, and one for each backend with filters of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lbcore._core import Backend
from lbcore.errors import ConfigError
from lbcore.filters.check import check_filters
from lbcore.filters.program import Program, program
from lbcore.filters.values import Filter


class Programs:
    """What a :class:`lbcore.Route` makes of its filters; made beforehand where several routes are one rule.

        split = lbcore.Split(backends)
        rule = Programs(filters, split.backends, previous=old)         # old: the rule's before a reload
        routes = [lbcore.Route(name, path=path, backends=split, filters=rule) for path in paths]

    Mirrors are then counted by rule, not by route.  ``previous`` hands over what mirrors are owed: the n-th of the
    rule's to the n-th here, and so for each backend, found by its upstream's name.  ``path_types``: of the rule's
    matches, see :func:`check_filters`.  Raises ConfigError with every problem.
    """

    __slots__ = ("_own", "backends", "rule")
    rule: Program  # of the rule's filters; it does nothing where there are none
    backends: tuple[Backend, ...]

    def __init__(
        self,
        filters: Iterable[Filter] = (),
        backends: Iterable[Backend] = (),
        *,
        previous: Programs | None = None,
        path_types: Sequence[str] = ("prefix",),
    ) -> None:
        own = tuple(filters)
        self.backends = tuple(backends)
        problems = check_filters(
            own, [b.filters for b in self.backends], path_types=path_types, of_backends="backends"
        )
        if problems:
            raise ConfigError.of(problems)
        self.rule = program(own, previous=previous.rule if previous else None) or Program((), ())
        before = previous.by_name() if previous else {}
        self._own = {
            b: self.rule.plus(b.filters, before.get(name)) for name, b in _named(self.backends) if b.filters
        }

    def of(self, backend: Backend | None) -> Program:
        """The program of a backend that was drawn; the rule's for None and where it has no filters of its own."""
        return self.rule if backend is None else self._own.get(backend, self.rule)

    def by_name(self) -> Mapping[tuple[str | None, int], Program]:
        """The programs of backends with filters, by what stands for the backend after a reload."""
        return {name: self._own[b] for name, b in _named(self.backends) if b in self._own}

    def __repr__(self) -> str:
        return f"Programs({list(self.rule.filters)!r}, {list(self.backends)!r})"


def _named(backends: Iterable[Backend]) -> list[tuple[tuple[str | None, int], Backend]]:
    """Each backend with its upstream's name, numbered where it comes again."""
    seen: dict[str | None, int] = {}
    found = []
    for backend in backends:
        name = backend.upstream.name if backend.upstream is not None else None
        seen[name] = seen.get(name, 0) + 1
        found.append(((name, seen[name]), backend))
    return found
