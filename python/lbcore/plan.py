"""A plan: what one generation of a configuration compiles to; and the step from one to the next.

::

    Engine -- Served: the Split, KeySource and Routes of each rule that somebody has met; outlives the plans
       |
       +-- Plan -- tables: port -> Table (a row a route: rule, match, hosts) <-- Router, which finds the row
                -- spec, upstreams

With 100,000 routes the interpreter must not stand still for any of them.  So a table's routes, and what serves a rule,
are made when a request first meets them; what is long is done in steps, with pauses; and the Spec and the rows are out
of the cyclic collector's sight: they are frozen, and no cycle runs through them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from operator import is_
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lbcore._core import (
    Backend,
    Entries,
    Route,
    Router,
    Split,
    Upstream,
    Yielder,
    hash_bytes,
    settle,
    untrack,
)
from lbcore.errors import ConfigError
from lbcore.keys import KeySource

if TYPE_CHECKING:
    from lbcore.engine import KeySpec, MatchSpec, RuleSpec, Spec, StreamSpec

T = TypeVar("T")
_N_PARTS = 256
_N_ROWS = 1024  # that are compared at once
_N_COMPARED = 8192  # rows between the first and the last that changed; with more a table is compiled anew
_NO_NAME = re.compile("[\0-\x1f\x7f\ud800-\udfff]")  # what the name of a route cannot have
_MAX_WEIGHT = 1_000_000


class Names(Generic[T]):
    """A dict in 256 parts: growing one of 100,000 at a stroke would stop everybody for more than a millisecond."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[dict[str, T]] = [{} for _ in range(_N_PARTS)]

    def part(self, name: str) -> dict[str, T]:
        """The dict that ``name`` belongs to."""
        return self._parts[hash(name) % _N_PARTS]

    def get(self, name: str) -> T | None:
        """What has this name, or None."""
        return self.part(name).get(name)

    def parts(self) -> list[dict[str, T]]:
        """All 256."""
        return self._parts


# ---- what serves a rule -----------------------------------------------------------------------------------------


class Live:
    """What serves a rule that somebody has met.

    It leads to upstreams, whose targets have no data, and to nothing that leads back: no cycle for the collector.
    """

    __slots__ = ("key", "routes", "rule", "split")

    def __init__(self, rule: RuleSpec | StreamSpec, split: Split, key: KeySource | None) -> None:
        self.rule = rule
        self.split = split
        self.key = key
        self.routes: dict[object, Route] = {}  # by what tells the routes of a rule apart

    def add(self, key: object, route: Route) -> Route:
        """``route``, or the one that another thread has added; unseen by the collector, as all of this."""
        found = self.routes.setdefault(key, route)
        settle(self.routes, _KINDS)
        settle(self, _KINDS)
        return found

    def serves(self, rule: RuleSpec | StreamSpec, upstreams: Mapping[str, Upstream]) -> bool:
        """True if it was made of this very rule and these upstreams."""
        return self.rule is rule and all(
            backend.upstream is None or upstreams.get(backend.upstream.name) is backend.upstream
            for backend in self.split.backends
        )


class Served:
    """The Live of each rule that somebody has met, by name.

    One outlives the plans: what a split owes and a key source has drawn goes on when the rule changes.  ``generation``
    is that of the plan in service.  A reader of an older one is served, but leaves no trace.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._live: Names[Live] = Names()
        self._making = threading.RLock()  # re-entrant: a signal handler may match, too

    def of(self, rule: RuleSpec | StreamSpec, upstreams: Mapping[str, Upstream], generation: int) -> Live:
        """What serves ``rule``; of several threads that ask at once all get the same."""
        part = self._live.part(rule.name)
        found = part.get(rule.name)
        if found is not None and found.serves(rule, upstreams):
            return found
        with self._making:
            found = part.get(rule.name)
            if found is not None and found.serves(rule, upstreams):
                return found
            made = _live(rule, upstreams, found)
            if generation >= self.generation:
                part[rule.name] = made
        return made

    def forget(self, names: Names[Any], yielder: Yielder) -> None:
        """Drop what serves rules that are not among ``names``."""
        for part in self._live.parts():
            for name in list(part):
                if names.get(name) is None:
                    part.pop(name, None)
                yielder.tick()


def _live(rule: RuleSpec | StreamSpec, upstreams: Mapping[str, Upstream], before: Live | None) -> Live:
    split = Split(
        [Backend(None if b.upstream is None else upstreams[b.upstream], b.weight) for b in rule.backends],
        rule.by,
        previous=before.split if before is not None and before.split.by == rule.by else None,
        name=f"{'rule' if hasattr(rule, 'attached') else 'stream'} {rule.name}",
    )
    return Live(rule, split, _key_source(rule, before.key if before is not None else None))


def _key_source(rule: RuleSpec | StreamSpec, before: KeySource | None) -> KeySource | None:
    """The one before, where it says the same: what it draws goes on and does not begin again."""
    if rule.key is None:
        return None
    made = _made_key(rule.key, hash_bytes("xxh64", rule.name))  # routes must not all draw the same
    return before if before is not None and before.says_the_same(made) else made


def _made_key(key: KeySpec, seed: int) -> KeySource:
    return KeySource(*key.sources, combine=key.combine, terminal=key.terminal, seed=seed)


_KINDS = frozenset({Live, Split, Backend, Route, dict, tuple, list})


# ---- tables -----------------------------------------------------------------------------------------------------


class Table:
    """The routes of one port, a row each: rule, match and hosts."""

    __slots__ = ("generation", "hosts", "matches", "rules", "served", "upstreams")

    def __init__(self, served: Served, upstreams: Mapping[str, Upstream], generation: int) -> None:
        self.served = served
        self.upstreams = upstreams
        self.generation = generation
        self.rules: list[RuleSpec] = untrack([])
        self.matches: list[MatchSpec] = untrack([])
        self.hosts: list[tuple[str, ...]] = untrack([])

    def add(self, rule: RuleSpec, hosts: tuple[str, ...]) -> None:
        """A row for each match of ``rule``."""
        for match in rule.matches:
            self.rules.append(rule)
            self.matches.append(match)
            self.hosts.append(hosts)

    def route(self, i: int) -> Route:
        """The route of row ``i``; for the same rule, match and hosts the same one, also after a reload."""
        match, hosts = self.matches[i], self.hosts[i]
        live = self.served.of(self.rules[i], self.upstreams, self.generation)
        made = live.routes.get((match, hosts))
        if made is None:
            route = Route(
                live.rule.name,
                hosts=hosts,
                path=match.path,
                path_type=match.path_type,  # type: ignore[arg-type]
                methods=match.methods,
                headers=match.headers,
                query=match.query,
                backends=live.split,
                data=live.rule,
                key=live.key,
            )
            made = live.add((match, hosts), route)
        return made

    def parts(self) -> list[Any]:
        """What it is made of, for ``dismantle``."""
        return [self.rules, self.matches, self.hosts]


def next_table(table: Table, before: tuple[Table, Router] | None, yielder: Yielder) -> tuple[Table, Router]:
    """What serves the rows of ``table``, where ``before`` served the port until now.

    The one place where a table is compiled: from the one before by the rows that came and went, where these are few.
    """
    entries = Entries(table.matches, table.hosts, table.route)
    if before is not None:
        changes = _changes(table, before[0], yielder)
        if changes == ([], []):
            return before
        if changes is not None:
            return table, before[1].changed_to(entries, *changes, yielder=yielder)
    yielder.pause()  # the arrays of a large table take a while to come
    return table, Router(entries, yielder=yielder)


def _changes(table: Table, before: Table, yielder: Yielder) -> tuple[list[int], list[int]] | None:
    """The rows of ``before`` that are gone and those of ``table`` that are new, by place; None: too many to tell.

    Rows are as before if they are the same objects (equal ones were made one) and the upstreams of their rules are; a
    row that moved is gone and new.
    """
    touched = _touched(table, before, yielder)
    columns = ((table.rules, before.rules), (table.matches, before.matches), (table.hosts, before.hosts))
    n_new, n_old = len(table.rules), len(before.rules)

    def same(new: int, old: int, n: int) -> bool:
        yielder.tick()
        return all(
            all(map(is_, mine[new : new + n], theirs[old : old + n])) for mine, theirs in columns
        ) and not (touched and any(id(rule) in touched for rule in table.rules[new : new + n]))

    start = _run(min(n_new, n_old), lambda at, n: same(at, at, n))
    end = _run(min(n_new, n_old) - start, lambda at, n: same(n_new - at - n, n_old - at - n, n))
    if max(n_new, n_old) - start - end > _N_COMPARED:
        return None
    places = {_row(before, i): i for i in range(start, n_old - end)}
    added, kept, last = [], set(), -1
    for i in range(start, n_new - end):
        place = -1 if id(table.rules[i]) in touched else places.get(_row(table, i), -1)
        if place > last:
            kept.add(place)
            last = place
        else:
            added.append(i)
    return [i for i in range(start, n_old - end) if i not in kept], added


def _run(most: int, same: Callable[[int, int], bool]) -> int:
    """For how many rows from 0 on ``same(at, n)`` holds; ``most`` at most."""
    at, n = 0, _N_ROWS
    while n:
        while at + n <= most and same(at, n):
            at += n
        n //= 2
    return at


def _row(table: Table, i: int) -> tuple[int, int, int]:
    return id(table.rules[i]), id(table.matches[i]), id(table.hosts[i])


def _touched(table: Table, before: Table, yielder: Yielder) -> set[int]:
    """The rules of ``table`` (by ``id``) with a backend whose upstream was made anew."""
    anew = {name for name, up in before.upstreams.items() if table.upstreams.get(name) is not up}
    found = set()
    for rule in table.rules if anew else ():
        if any(backend.upstream in anew for backend in rule.backends):
            found.add(id(rule))
        yielder.tick()
    return found


# ---- the plan ---------------------------------------------------------------------------------------------------


class Index:
    """The rules and streams of a Spec by name."""

    __slots__ = ("rules", "streams")

    def __init__(self) -> None:
        self.rules: Names[RuleSpec] = Names()
        self.streams: Names[StreamSpec] = Names()


class Plan:
    """Everything one generation compiles to.  Immutable, but for the streams' routes, made when they are first met.

    Raises ``ConfigError``; making one changes nothing of what is in service.  Where a part of ``spec`` is as before it
    is the same object as before.
    """

    __slots__ = ("_stream_routes", "generation", "index", "rules", "spec", "streams", "tables", "upstreams")

    generation: int
    rules: Served
    streams: Served
    tables: dict[int, tuple[Table, Router]]

    def __init__(
        self,
        spec: Spec,
        index: Index,
        upstreams: dict[str, Upstream],
        before: Plan | None,
        yielder: Yielder,
    ) -> None:
        self.spec = spec
        self.index = index
        self.upstreams = upstreams
        self.generation = before.generation + 1 if before is not None else 0
        self.rules = before.rules if before is not None else Served()
        self.streams = before.streams if before is not None else Served()
        _check(chain(spec.rules, spec.streams), upstreams, yielder)
        self.tables = {
            port: next_table(table, before.tables.get(port) if before is not None else None, yielder)
            for port, table in self._lay_out(yielder).items()
        }
        self._stream_routes = self._lay_out_streams(yielder)

    def _lay_out(self, yielder: Yielder) -> dict[int, Table]:
        tables: dict[int, Table] = {}
        table_of = {}
        for listener in self.spec.listeners:
            if listener.protocol == "HTTP":
                if listener.port not in tables:
                    tables[listener.port] = Table(self.rules, self.upstreams, self.generation)
                table_of[listener.name] = tables[listener.port]
        for rule in self.spec.rules:
            for name, hosts in rule.attached.items():
                if name not in table_of:
                    raise ConfigError(
                        "attached", f"{name!r:.80} is not an HTTP listener (rule {rule.name!r:.80})"
                    )
                table_of[name].add(rule, hosts)
                yielder.tick()
        return tables

    def _lay_out_streams(self, yielder: Yielder) -> dict[tuple[str, int], StreamSpec]:
        listeners = {listener.name: listener for listener in self.spec.listeners}
        streams: dict[tuple[str, int], StreamSpec] = {}
        for stream in self.spec.streams:
            for name in stream.listeners:
                if name not in listeners:
                    raise ConfigError("listeners", f"{name!r:.80} is none (stream {stream.name!r:.80})")
                streams.setdefault((listeners[name].protocol, listeners[name].port), stream)
            yielder.tick()
        return streams

    def stream_route(self, protocol: str, port: int) -> Route | None:
        """The TCP or UDP route of a port."""
        stream = self._stream_routes.get((protocol, port))
        if stream is None:
            return None
        live = self.streams.of(stream, self.upstreams, self.generation)
        route = live.routes.get(None)
        if route is None:
            made = Route(stream.name, backends=live.split, data=stream, key=live.key)
            route = live.add(None, made)
        return route

    def enter(self) -> None:
        """It is in service: what is met from now on is met by it."""
        self.rules.generation = self.streams.generation = self.generation
        for table, _ in self.tables.values():
            table.upstreams, table.generation = self.upstreams, self.generation

    def parts(self) -> list[Any]:
        """What it is made of, for ``dismantle``: the last is let go first."""
        spec = self.spec
        targets = [upstream.targets for upstream in spec.upstreams]
        of_spec = [
            spec.report.problems,
            spec.report.objects,
            *targets,
            spec.upstreams,
            spec.streams,
            spec.rules,
        ]
        tables = [part for pair in self.tables.values() for part in pair]
        return [*of_spec, *self.index.streams.parts(), *self.index.rules.parts(), *tables, spec, self.tables]


def parts_of(spec: Spec) -> list[Any]:
    """What a Spec is made of, and it, for ``dismantle``."""
    targets = [upstream.targets for upstream in spec.upstreams]
    report = spec.report
    return [report.problems, report.objects, *targets, spec.upstreams, spec.streams, spec.rules, report, spec]


def _check(
    rules: Iterable[RuleSpec | StreamSpec], upstreams: Mapping[str, Upstream], yielder: Yielder
) -> None:
    """Raises ConfigError for what would fail when the rule is first met."""
    tried = set()
    for rule in rules:
        yielder.tick()
        if not rule.name or _NO_NAME.search(rule.name):
            raise ConfigError("name", f"{rule.name!r:.80} is empty or has control characters")
        if rule.by not in (None, "key"):
            raise ConfigError("by", f"{rule.by!r:.80} is not 'key' or None")
        if rule.key is not None and rule.key not in tried:
            _made_key(rule.key, 0)
            tried.add(rule.key)
        for backend in rule.backends:
            if backend.upstream is not None and backend.upstream not in upstreams:
                raise ConfigError(
                    "backends", f"{backend.upstream!r:.80} is not an upstream (rule {rule.name!r:.80})"
                )
            if not 0 <= backend.weight <= _MAX_WEIGHT:
                raise ConfigError(
                    "weight", f"{backend.weight!r:.80} is not a whole number in 0..{_MAX_WEIGHT}"
                )
