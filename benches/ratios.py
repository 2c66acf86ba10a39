"""One interleaved run: what a call costs, as a ratio to an empty Python function and to the peers, beside the budgets.

    python benches/ratios.py [--json FILE] [--rounds N]

Every round times every case once, so that a busy machine slows all of them alike; a ratio is the median over the rounds
of the ratio within one round, with the least and greatest in brackets.  Times are the loop's, its turn included, as
timeit gives them.  Only ratios carry over to another machine.  A row that misses its budget ends in MISSES.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import pathlib
import platform
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cases
import lbcore
from cases import Case

TURN_NS = 20_000_000  # a case's share of a round
Sample = Callable[[], float]  # one measurement, in nanoseconds an operation


@dataclass(frozen=True)
class Row:
    """A budget: ``measured`` divided by ``base`` (or by the number ``unit``), against ``must`` and ``aim``."""

    title: str
    measured: str
    base: str | None = None
    must: float | None = None
    aim: float | None = None
    at_least: bool = False  # the budget is a lower bound: base / measured
    unit: tuple[float, str] = (1.0, "ns")  # where there is no base


# ---- cases ------------------------------------------------------------------------------------------------------

PICKS = (10, 100, 1_000, 10_000, 100_000)
TABLES = {
    "203": cases.api_entries(),
    "10,000": cases.many_entries(10_000),
    "100,000": cases.many_entries(100_000),
}


def empties() -> list[Case]:
    def empty() -> None:
        pass

    def empty1(a: str) -> None:
        pass

    def empty3(a: str, b: str, c: str) -> None:
        pass

    args = ("m, h, t", cases.requests(TABLES["203"]))
    return [
        Case("empty()", "empty()", {"empty": empty}),
        Case("empty(k)", "empty(k)", {"empty": empty1}, each=("k,", cases.keys())),
        Case("empty(a, b, c)", "empty(m, h, t)", {"empty": empty3}, each=args),
        Case("next(cycle)", "next(it)", {"it": itertools.cycle([object() for _ in range(10)]), "next": next}),
    ]


def choices_cases(n: int) -> Case:
    targets = [f"t{i}" for i in range(n)]
    names = {
        "choices": random.Random(1).choices,
        "targets": targets,
        "cum": list(itertools.accumulate(cases.weights(n))),
    }
    return Case(f"random.choices {n}", "choices(targets, cum_weights=cum)[0]", names)


def pick_cases() -> list[Case]:
    found = [Case(f"pick {n}", "up.pick()", {"up": cases.settled(n)}) for n in PICKS]
    found += [choices_cases(n) for n in (10, 1_000)]
    # 100,000 targets have a period of 550,000 picks: all rounds together stay within the first.
    found.append(Case("pick, recording", "up.pick()", {"up": cases.upstream(100_000)}, turns=25_000))
    found.append(Case("pick, endless period", "up.pick()", {"up": cases.endless()}))
    for policy in ("random", "least_conn"):
        found.append(Case(f"pick, {policy} 1000", "up.pick()", {"up": cases.upstream(1_000, policy)}))
    found.append(Case("acquire+done", "c = up.acquire(); c.done()", {"up": cases.settled(1_000)}))
    found.append(Case("with acquire", "with up.acquire(): pass", {"up": cases.settled(1_000)}))
    common = cases.settled(1_000, shared="ratios")
    found.append(Case("pick, shared 1000", "up.pick()", {"up": common}))
    found.append(Case("acquire+done, shared", "c = up.acquire(); c.done()", {"up": common}))
    return found


def ring_of(n: int) -> lbcore.Policy:
    """160 points a target, on the ring whose points are plain hashes."""
    return lbcore.policy("ring_hash", minimum_ring_size=160 * n)


def key_cases() -> list[Case]:
    found = []
    for n in (10, 1_000):
        named = {
            "hash": "hash",
            "ring": ring_of(n),
            "ketama": "ketama_nginx",
            "maglev": "maglev",
            "bounded": "hash_bounded",
        }
        for name, policy in named.items():
            up = cases.keyed(n, policy)
            found.append(Case(f"pick(key), {name} {n}", "up.pick(k)", {"up": up}, each=("k,", cases.keys())))
    return found


def load_aware_cases() -> list[Case]:
    call = "c = up.acquire(); c.done()"
    found = [
        Case(f"acquire+done, adaptive {n}", call, {"up": cases.upstream(n, "adaptive")}) for n in (10, 100)
    ]
    return [*found, Case("pick, disturbed 1000", "up.pick()", {"up": cases.disturbed(1_000)})]


def match_cases() -> list[Case]:
    found = []
    for name, entries in TABLES.items():
        router = lbcore.Router(cases.routes(entries), seed=1)
        args = ("m, h, t", cases.requests(entries))
        assert all(router.match(*request) for request in args[1])
        found.append(Case(f"match {name}", "router.match(m, h, t)", {"router": router}, each=args))
    return found


def pymatchit_case(name: str) -> Case:
    """matchit has no methods: a table by method, as its users write."""
    import pymatchit

    tables: dict[str, pymatchit.PyRouter] = {}
    for i, e in enumerate(TABLES[name]):
        table = tables.setdefault(e.method, pymatchit.PyRouter())
        table.insert(e.path, i)
        if e.prefix:
            table.insert(e.path + "/{*rest}", i)
    args = ("m, h, t", cases.requests(TABLES[name]))
    assert all(tables[m].at(t) for m, _, t in args[1])
    return Case(f"pymatchit {name}", "tables[m].at(t)", {"tables": tables}, each=args)


def werkzeug_case() -> Case:
    from werkzeug.routing import Map, Rule

    rules = []
    for i, e in enumerate(TABLES["203"]):
        rules.append(Rule(e.path, methods=[e.method], endpoint=i))
        if e.prefix:
            rules.append(Rule(e.path + "/<path:rest>", methods=[e.method], endpoint=i))
    adapter = Map(rules).bind(cases.HOST)
    args = ("m, h, t", cases.requests(TABLES["203"]))
    return Case("werkzeug 203", "match(t, m)", {"match": adapter.match}, each=args)


def starlette_case() -> Case:
    from starlette.routing import Match, Route

    async def endpoint(request: object) -> None:
        pass

    table = []
    for e in TABLES["203"]:
        table.append(Route(e.path, endpoint, methods=[e.method]))
        if e.prefix:
            table.append(Route(e.path + "/{rest:path}", endpoint, methods=[e.method]))

    def find(scope: dict[str, str]) -> object:
        for route in table:
            if route.matches(scope)[0] is Match.FULL:
                return route
        return None

    scopes = [
        ({"type": "http", "method": m, "path": t, "root_path": ""},)
        for m, _, t in cases.requests(TABLES["203"], 256)
    ]
    assert all(find(scope) for (scope,) in scopes)
    return Case("starlette 203", "find(scope)", {"find": find}, each=("scope,", scopes))


def uhashring_case(n: int) -> Case:
    from uhashring import HashRing

    ring = HashRing(nodes=[t.address for t in cases.keyed(n, "hash")])
    return Case(f"uhashring get_node {n}", "get(k)", {"get": ring.get_node}, each=("k,", cases.keys()))


def sample_of(case: Case) -> Sample:
    """A sample of a looped case, its turns chosen so that one takes about TURN_NS."""
    run = cases.timer(case, time.perf_counter_ns)
    step = len(case.each[1]) if case.each else 1
    turns = case.turns
    if turns is None:
        probe = max(step, 64)
        run(probe)
        turns = max(step, int(probe * TURN_NS / max(run(probe), 1)) // step * step)
    return lambda: run(turns) / turns


# ---- samples that are not loops ---------------------------------------------------------------------------------


def cold_samples() -> dict[str, Sample]:
    """The same calls after 8 MiB were walked: what a proxy sees, where other work runs between two picks."""
    block = random.Random(1).randbytes(8 << 20)  # not zeros: those would all be one page
    up, ring = cases.settled(1_000), cases.keyed(1_000, ring_of(1_000))
    key, router = itertools.cycle(cases.keys()), lbcore.Router(cases.routes(TABLES["203"]), seed=1)
    request = itertools.cycle(cases.requests(TABLES["203"]))
    null = threading.Lock().locked
    clock = time.perf_counter_ns

    def sample(call: Callable[..., object], arguments: Callable[[], tuple[str, ...]]) -> Sample:
        def once() -> int:
            given = arguments()
            block.count(1)
            started = clock()
            call(*given)
            return clock() - started

        return lambda: statistics.median(once() for _ in range(40))

    return {
        "cold null": sample(null, tuple),
        "cold pick": sample(up.pick, tuple),
        "cold ring": sample(ring.pick, lambda: next(key)),
        "cold match": sample(router.match, lambda: next(request)),
    }


def once(work: Callable[[], object]) -> float:
    started = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - started


def batch_samples() -> dict[str, Sample]:
    """A pick of a batch of 100,000."""
    n, up, ring = 100_000, cases.settled(1_000), cases.keyed(1_000, "hash")
    names = [key for (key,) in cases.keys(n)]
    out = up.pick_many(n)
    return {
        "pick_many, a pick": lambda: once(lambda: up.pick_many(n, out)) / n,
        "pick_keys, a key": lambda: once(lambda: ring.pick_keys(names, out)) / n,
    }


def table_samples() -> dict[str, Sample]:
    """What a change of one weight costs, the new table included."""

    def change(up: lbcore.Upstream) -> Sample:
        weight = itertools.cycle((2, 1))
        return lambda: once(lambda: up.set_weight(up.targets[0], next(weight)))

    ring = lbcore.policy("ring_hash", minimum_ring_size=1_600_000)
    return {
        "build stable table 65,537": change(cases.keyed(1_000, "hash")),
        "build maglev 65,537": change(cases.keyed(1_000, "maglev")),
        "build ring 10,000 x 160": change(cases.keyed(10_000, ring)),
    }


def build_samples() -> dict[str, Sample]:
    entries = TABLES["100,000"]
    kept = cases.routes(entries)
    return {
        "make 100,000 Routes": lambda: once(lambda: cases.routes(entries)),
        "build 100,000 routes": lambda: once(lambda: lbcore.Router(kept, seed=1)),
    }


def load_samples() -> dict[str, Sample]:
    objects = cases.manifests()
    as_json, as_yaml = cases.as_json(objects), cases.as_yaml(objects)
    assert not lbcore.load(as_yaml).report().problems
    return {
        "json.loads": lambda: once(lambda: json.loads(as_json)),
        "lbcore.load YAML": lambda: once(lambda: lbcore.load(as_yaml)),
    }


def import_samples() -> dict[str, Sample]:
    """A new interpreter each time."""

    def start(statement: str) -> Sample:
        command = [sys.executable, "-I", "-c", statement]
        return lambda: statistics.median(once(lambda: subprocess.run(command, check=True)) for _ in range(5))

    return {"python": start("pass"), "python, import lbcore": start("import lbcore")}


def resident_bytes() -> int:
    statm = pathlib.Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


def router_bytes(n: int) -> int:
    """What a router over ``n`` routes adds to the resident memory of a process that has the routes already."""
    kept = cases.routes(cases.many_entries(n))
    gc.collect()
    before = resident_bytes()
    router = lbcore.Router(kept, seed=1)
    grown = resident_bytes() - before
    return grown if len(router) == n else 0


def memory_samples() -> dict[str, Sample]:
    command = [sys.executable, __file__, "--router-bytes", "100000"]
    measured = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"memory of 100,000 routes": lambda: measured}


# ---- the table --------------------------------------------------------------------------------------------------

MS, MIB = (1e6, "ms"), (2.0**20, "MiB")

ROWS = [
    *(Row(f"pick, {n:,} targets / empty()", f"pick {n}", "empty()", 1.0, 0.75) for n in PICKS),
    *(Row(f"pick, {n:,} targets / next(cycle)", f"pick {n}", "next(cycle)", 1.0) for n in (10, 100_000)),
    Row("pick, 100,000 / 10 targets", "pick 100000", "pick 10", 1.3),
    Row("random.choices / pick, 10 targets", "pick 10", "random.choices 10", 25, at_least=True),
    Row("random.choices / pick, 1,000 targets", "pick 1000", "random.choices 1000", 25, at_least=True),
    Row("pick while recording / empty()", "pick, recording", "empty()", 12, 6),
    Row("pick, period over 2^20 / empty()", "pick, endless period", "empty()", 12, 6),
    Row("pick, random, 1,000 targets / empty()", "pick, random 1000", "empty()"),
    Row("pick, least_conn, 1,000 targets / empty()", "pick, least_conn 1000", "empty()"),
    Row("pick, 10 % down, one draining / quiet", "pick, disturbed 1000", "pick 1000", 1.5),
    Row("pick(key), hash, 1,000 / empty(k)", "pick(key), hash 1000", "empty(k)", 3.5, 2.5),
    Row("pick(key), ring, 1,000 x 160 / empty(k)", "pick(key), ring 1000", "empty(k)", 6, 4),
    Row("pick(key), ketama_nginx, 1,000 / empty(k)", "pick(key), ketama 1000", "empty(k)"),
    Row("pick(key), maglev, 1,000 / empty(k)", "pick(key), maglev 1000", "empty(k)"),
    Row("pick(key), hash_bounded, 1,000 / empty(k)", "pick(key), bounded 1000", "empty(k)"),
    *(
        Row(
            f"uhashring / pick(key), {kind}, {n:,}",
            f"pick(key), {kind} {n}",
            f"uhashring get_node {n}",
            must,
            at_least=True,
        )
        for kind, must in (("hash", None), ("ring", 24))
        for n in (10, 1_000)
    ),
    Row("pick_many, a weighted pick", "pick_many, a pick", None, 10, 3),
    Row("pick_keys, a key of 16 bytes", "pick_keys, a key", None, 25, 12),
    Row("stable table of 65,537 slots", "build stable table 65,537", None, 50, unit=MS),
    Row("maglev table of 65,537 slots", "build maglev 65,537", None, 2, unit=MS),
    Row("ring of 10,000 x 160 points", "build ring 10,000 x 160", None, 80, unit=MS),
    Row("acquire + done, adaptive, 10 / empty()", "acquire+done, adaptive 10", "empty()", 6, 5),
    Row("acquire + done, adaptive, 100 / empty()", "acquire+done, adaptive 100", "empty()", 10, 8),
    Row("acquire + done / empty()", "acquire+done", "empty()", 4, 3),
    Row("with acquire / empty()", "with acquire", "empty()", 9, 8),
    Row("pick, State shared, one worker / private", "pick, shared 1000", "pick 1000", 1.4),
    Row("acquire + done, State shared / private", "acquire+done, shared", "acquire+done", 1.4),
    Row("match, 203 routes / empty(a, b, c)", "match 203", "empty(a, b, c)", 7, 5),
    Row("match, 10,000 / 203 routes", "match 10,000", "match 203", 3),
    Row("match, 100,000 / 203 routes", "match 100,000", "match 203", 3),
    *(
        Row(f"pymatchit / match, {n} routes", f"match {n}", f"pymatchit {n}", 2, at_least=True)
        for n in TABLES
    ),
    Row("werkzeug / match, 203 routes", "match 203", "werkzeug 203", 50, at_least=True),
    Row("starlette / match, 203 routes", "match 203", "starlette 203", 250, at_least=True),
    Row("build 100,000 routes", "build 100,000 routes", None, 120, 60, unit=MS),
    Row("build 100,000 routes / making their objects", "build 100,000 routes", "make 100,000 Routes"),
    Row("memory of 100,000 routes", "memory of 100,000 routes", None, 14, 7, unit=MIB),
    Row("cold pick / cold null call", "cold pick", "cold null", 1.7),
    Row("cold ring / cold null call", "cold ring", "cold null", 2.6),
    Row("cold match / cold null call", "cold match", "cold null", 2.8),
    Row("10,000 HTTPRoutes from YAML / json.loads", "lbcore.load YAML", "json.loads", 15, 10),
    Row("import lbcore", "import", None, 5, unit=MS),
]


def all_samples() -> dict[str, Sample]:
    looped = [
        *empties(),
        *pick_cases(),
        *key_cases(),
        *load_aware_cases(),
        *match_cases(),
        *(pymatchit_case(name) for name in TABLES),
        werkzeug_case(),
        starlette_case(),
        *(uhashring_case(n) for n in (10, 1_000)),
    ]
    samples = {case.name: sample_of(case) for case in looped}
    for made in (
        cold_samples,
        batch_samples,
        table_samples,
        build_samples,
        load_samples,
        import_samples,
        memory_samples,
    ):
        samples |= made()
    return samples


def measure(samples: dict[str, Sample], rounds: int) -> dict[str, list[float]]:
    """``rounds`` measurements of each sample, interleaved; the collector is off."""
    times: dict[str, list[float]] = {name: [] for name in samples}
    gc.collect()
    gc.disable()
    for i in range(rounds):
        print(f"\rround {i + 1} of {rounds} ...", end="", file=sys.stderr, flush=True)
        for name, sample in samples.items():
            times[name].append(sample())
        gc.collect()
    gc.enable()
    print("\r", end="", file=sys.stderr)
    both = zip(times["python, import lbcore"], times["python"], strict=True)
    times["import"] = [with_it - bare for with_it, bare in both]
    return times


def ratios(row: Row, times: dict[str, list[float]]) -> list[float]:
    if row.base is None:
        return [t / row.unit[0] for t in times[row.measured]]
    pairs = zip(times[row.measured], times[row.base], strict=True)
    return [b / m if row.at_least else m / b for m, b in pairs]


def verdict(row: Row, value: float) -> str:
    """'' where there is no budget; the row is held to its median."""

    def holds(limit: float) -> bool:
        return value >= limit if row.at_least else value <= limit

    if row.must is None:
        return ""
    if not holds(row.must):
        return "MISSES"
    return "aim met" if row.aim is not None and holds(row.aim) else "ok"


def report(times: dict[str, list[float]]) -> list[dict[str, object]]:
    """Print the two tables; the rows as data."""
    print(f"{'time':45} {'median':>12} {'least':>12}   ns")
    for name, ts in times.items():
        if name != "memory of 100,000 routes":
            print(f"{name:45} {statistics.median(ts):12,.1f} {min(ts):12,.1f}")
    print(f"\n{'ratio or figure':45} {'median':>8} {'[least, greatest]':>20} {'must':>9} {'aim':>7}")
    rows: list[dict[str, object]] = []
    for row in ROWS:
        found = ratios(row, times)
        value = statistics.median(found)
        sign = ">=" if row.at_least else "<="
        must = f"{sign} {row.must:g}" if row.must is not None else ""
        aim = f"{row.aim:g}" if row.aim is not None else ""
        unit = "x" if row.base else row.unit[1]
        spread = f"[{min(found):.2f}, {max(found):.2f}]"
        judged = verdict(row, value)
        print(f"{row.title:45} {value:8.2f} {spread:>20} {must:>9} {aim:>7} {unit:3} {judged}")
        rows.append(
            {
                "row": row.title,
                "median": value,
                "least": min(found),
                "greatest": max(found),
                "must": row.must,
                "aim": row.aim,
                "at_least": row.at_least,
                "unit": unit,
                "verdict": judged,
            }
        )
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description="Ratios of lbcore's calls to their peers'.")
    options.add_argument("--json", metavar="FILE", help="write the result here as well")
    options.add_argument("--rounds", type=int, default=9, help="at least 7 for a figure that is quoted")
    options.add_argument("--router-bytes", type=int, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.router_bytes:
        print(router_bytes(chosen.router_bytes))
        return
    times = measure(all_samples(), chosen.rounds)
    machine = f"CPython {platform.python_version()}, {platform.machine()}, {platform.system()}"
    print(f"{machine}; {chosen.rounds} rounds, interleaved\n")
    rows = report(times)
    if chosen.json:
        result = {"machine": machine, "rounds": chosen.rounds, "times_ns": times, "rows": rows}
        pathlib.Path(chosen.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
