"""Policies of this build in simulated fleets, as ratios to an all-knowing join-the-shortest-queue, and the gates.

    python -m benches.fleet [--policies adaptive,least_conn] [--proxies 1,8,64] [--scenario NAME]...
                            [--requests N] [--seeds 1,2] [--health off,passive] [--shares] [--json FILE] [--jobs N]

``--policies`` takes parameters and limits after colons (``least_request:choices=4``, ``least_conn:error_hold=0``).
Without it every keyless policy runs, and least connections without the engine's hold on failed calls.
``--scenario generated`` is all generated ones, of which the worst is printed.  A gate that is missed ends in MISSED and
makes the exit status 1; a gate whose rows were not run is left out.  docs/simulation.md says what is simulated.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import pathlib
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import lbcore

from .model import Result, Share, run
from .peers import PEERS
from .scenarios import PROXIES, SEEDS, Scenario, scenarios

ORACLE = "oracle"
HEALTH = ("off", "passive")


# ---- rows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One policy in one scenario: the mean over the seeds of every figure (milliseconds, per cent of requests)."""

    scenario: str
    proxies: int
    policy: str
    health: str
    mean: float
    p50: float
    p99: float
    failed: float
    outside: float
    needless: float
    shares: tuple[Share, ...]
    mean_ratio: float = math.nan  # to the oracle's
    p99_ratio: float = math.nan


@dataclass(frozen=True)
class Job:
    """One run; its fields are plain data, as another process needs them."""

    scenario: str
    policy: str
    proxies: int
    health: str
    requests: int
    seed: int


PLAIN_LEAST_CONN = "least_conn:error_hold=0"  # as elsewhere: a failed call is over
LIMITS = {field.name for field in dataclasses.fields(lbcore.Limits)}


def policy_of(text: str) -> tuple[str | lbcore.Policy, lbcore.Limits | None]:
    """A policy and limits as ``name:field=value:field=value``: fields of ``Limits``, else the policy's parameters.  A
    reference's name is left as it is."""
    name, *given = text.split(":")
    if name in PEERS:
        return name, None
    values = {key: value_of(value) for key, _, value in (p.partition("=") for p in given)}
    limits = {key: value for key, value in values.items() if key in LIMITS}
    policy = lbcore.policy(name, **{key: value for key, value in values.items() if key not in LIMITS})
    return policy, lbcore.Limits(**limits) if limits else None  # type: ignore[arg-type]


def value_of(text: str) -> float | bool | str:
    """A whole number where it is one: some fields take no others."""
    if text in ("true", "false"):
        return text == "true"
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else value


def done(job: Job) -> Result:
    """The run of ``job``."""
    policy, limits = policy_of(job.policy)
    return run(
        scenarios([job.scenario])[0],
        policy,
        limits=limits,
        proxies=job.proxies,
        requests=job.requests,
        seed=job.seed,
        health=job.health,
    )


def row(job: Job, results: Sequence[Result]) -> Row:
    """The mean over the seeds."""

    def mean(values: Iterable[float]) -> float:
        return math.fsum(values) / len(results)

    shares = zip(*(r.shares for r in results), strict=True)
    return Row(
        scenario=job.scenario,
        proxies=job.proxies,
        policy=job.policy,
        health=job.health,
        mean=1e3 * mean(r.mean for r in results),
        p50=1e3 * mean(r.p50 for r in results),
        p99=1e3 * mean(r.p99 for r in results),
        failed=1e2 * mean(r.failed for r in results),
        outside=1e2 * mean(r.outside for r in results),
        needless=1e2 * mean(r.needless for r in results),
        shares=tuple(
            Share(
                requests=round(mean(s.requests for s in of_one)),
                utilisation=mean(s.utilisation for s in of_one),
                longest_wait=max(s.longest_wait for s in of_one),
            )
            for of_one in shares
        ),
    )


def jobs(wanted: Sequence[Scenario], args: argparse.Namespace) -> list[list[Job]]:
    """The runs of every row, the oracle's first in its scenario; a row's runs differ in their seed."""
    found = []
    for proxies, scenario in itertools.product(args.proxies, wanted):
        kinds = [(ORACLE, "off")]
        kinds += [(p, h) for p in args.policies if p != ORACLE for h in args.health or scenario.health]
        for policy, health in kinds:
            seeds = args.seeds or scenario.seeds
            found.append([Job(scenario.name, policy, proxies, health, args.requests, seed) for seed in seeds])
    return found


def rows(wanted: Sequence[Scenario], args: argparse.Namespace) -> list[Row]:
    """Every row with its ratios; runs are spread over ``args.jobs`` processes, which changes nothing in them."""
    groups = jobs(wanted, args)
    flat = list(itertools.chain.from_iterable(groups))
    if args.jobs > 1:
        with ProcessPoolExecutor(args.jobs) as pool:
            results = iter(list(pool.map(done, flat, chunksize=4)))
    else:
        results = map(done, flat)
    found: list[Row] = []
    for group in groups:
        plain = row(group[0], [next(results) for _ in group])
        if plain.policy == ORACLE:
            oracle = plain
        ratios = {"mean_ratio": plain.mean / oracle.mean, "p99_ratio": plain.p99 / oracle.p99}
        found.append(Row(**{**vars(plain), **ratios}))
    return found


def is_generated(r: Row) -> bool:
    return r.scenario.startswith("generated_")


# ---- gates ------------------------------------------------------------------------------------------------------

GATE_PROXIES = 8


@dataclass(frozen=True)
class Gate:
    """A promise: the worst ``figure`` of the rows it is about is at most ``limit`` (at least, if ``over``)."""

    title: str
    figure: str
    limit: float
    policy: str
    health: str | None = None  # None: whatever the row has
    scenario: str | None = None  # None: all
    over: bool = False
    generated: bool = False  # it is about generated scenarios, or about the named ones

    def rows(self, found: Sequence[Row]) -> list[Row]:
        """The rows that it is about."""
        return [
            r
            for r in found
            if (r.policy, r.proxies) == (self.policy, GATE_PROXIES)
            and self.health in (None, r.health)
            and self.scenario in (None, r.scenario)
            and self.generated == is_generated(r)
        ]

    def verdict(self, found: Sequence[Row]) -> tuple[bool, str] | None:
        """Does it hold, and the line that says so; None if nothing of it was run."""
        mine = self.rows(found)
        if not mine:
            return None
        pick = min if self.over else max
        worst = pick(mine, key=lambda r: getattr(r, self.figure))
        value = getattr(worst, self.figure)
        holds = value >= self.limit if self.over else value <= self.limit
        sign = ">=" if self.over else "<="
        where = f"{worst.scenario}, health {worst.health}"
        return (
            holds,
            f"{self.title}: {value:.3f} {sign} {self.limit:g} ({where}){'' if holds else '  MISSED'}",
        )


GATES = (
    Gate("adaptive, mean / oracle's", "mean_ratio", 1.10, "adaptive"),
    Gate("adaptive, p99 / oracle's", "p99_ratio", 1.06, "adaptive"),
    Gate("adaptive, mean / oracle's, generated", "mean_ratio", 1.10, "adaptive", generated=True),
    Gate("adaptive, p99 / oracle's, generated", "p99_ratio", 1.06, "adaptive", generated=True),
    Gate("adaptive, failed % in the black hole", "failed", 0.30, "adaptive", "passive", "black_hole"),
    Gate(
        "least connections, failed % in the black hole",
        "failed",
        3.0,
        PLAIN_LEAST_CONN,
        "off",
        "black_hole",
        over=True,
    ),
)


# ---- printing ---------------------------------------------------------------------------------------------------

HEAD = f"  {'policy':24} {'health':8} {'mean':>7} {'p50':>6} {'p99':>7} {'failed':>7} {'outside':>8} {'needless':>9}"
HEAD += f" {'mean':>7} {'p99':>7}"
UNITS = f"  {'':24} {'':8} {'ms':>7} {'ms':>6} {'ms':>7} {'%':>7} {'%':>8} {'%':>9} {'x oracle':>15}"


def line(r: Row) -> str:
    return (
        f"  {r.policy:24} {r.health:8} {r.mean:7.1f} {r.p50:6.1f} {r.p99:7.1f} {r.failed:7.2f} {r.outside:8.2f}"
        f" {r.needless:9.1f} {r.mean_ratio:7.2f} {r.p99_ratio:7.2f}"
    )


def share_lines(r: Row) -> list[str]:
    """The servers of one row: where the requests went, and whether they queued there."""
    head = f"    {r.policy}, health {r.health}: server, requests, utilisation, longest wait in s"
    return [
        head,
        *(
            f"    {i:4} {s.requests:7} {s.utilisation:7.2f} {s.longest_wait:8.2f}"
            for i, s in enumerate(r.shares)
        ),
    ]


def tables(wanted: Sequence[Scenario], found: Sequence[Row], shares: bool) -> list[str]:
    """One table for each scenario and number of proxies."""
    lines = []
    for (name, proxies), group in itertools.groupby(found, key=lambda r: (r.scenario, r.proxies)):
        summary = next(s.summary for s in wanted if s.name == name)
        lines += ["", f"{name}, {proxies} proxies: {summary}", HEAD, UNITS]
        for r in group:
            lines.append(line(r))
            lines += share_lines(r) if shares else []
    return lines


def worst_lines(found: Sequence[Row]) -> list[str]:
    """Of each policy the worst of the generated scenarios, by ratio to the oracle's."""
    kinds = dict.fromkeys((r.policy, r.health, r.proxies) for r in found if r.policy != ORACLE)
    lines = []
    for policy, health, proxies in kinds:
        mine = [r for r in found if (r.policy, r.health, r.proxies) == (policy, health, proxies)]
        mean, p99 = max(mine, key=lambda r: r.mean_ratio), max(mine, key=lambda r: r.p99_ratio)
        lost = max(mine, key=lambda r: r.failed)
        lines.append(
            f"  {policy:24} {health:8} {proxies:3} proxies: mean {mean.mean_ratio:.2f} ({mean.scenario}),"
            f" p99 {p99.p99_ratio:.2f} ({p99.scenario}), failed {lost.failed:.2f} % ({lost.scenario})"
        )
    return ["", f"the worst of {len({r.scenario for r in found})} generated scenarios, x oracle:", *lines]


def report(wanted: Sequence[Scenario], found: Sequence[Row], args: argparse.Namespace) -> list[str]:
    """All lines but the gates'.  Generated scenarios that were asked for together are summed up."""
    together = not args.scenario or "generated" in args.scenario
    summed = [r for r in found if together and is_generated(r)]
    lines = [f"{args.requests} requests a run; x oracle: the ratio to an all-knowing join-the-shortest-queue"]
    lines += tables(wanted, [r for r in found if r not in summed] if summed else found, args.shares)
    return lines + (worst_lines(summed) if summed else [])


# ---- the command ------------------------------------------------------------------------------------------------


def listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def numbers(text: str) -> list[int]:
    return [int(part) for part in listed(text)]


def settings(text: str) -> list[str]:
    if wrong := [part for part in listed(text) if part not in HEALTH]:
        raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: one of {', '.join(HEALTH)}")
    return listed(text)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches.fleet", description=__doc__.splitlines()[0])
    keyless = [name for name, policy in lbcore.policies().items() if not policy.keyed]
    parser.add_argument(
        "--policies", type=listed, default=[*keyless, PLAIN_LEAST_CONN], help="default: every keyless one"
    )
    parser.add_argument("--proxies", type=numbers, default=[GATE_PROXIES], help=f"of {PROXIES}, or any")
    parser.add_argument("--requests", type=int, default=30_000)
    parser.add_argument("--scenario", action="append", default=[], help="may be repeated; default: all")
    parser.add_argument("--seeds", type=numbers, help=f"default: the scenario's own, {SEEDS}")
    parser.add_argument("--health", type=settings, help="default: what the scenario says")
    parser.add_argument(
        "--shares", action="store_true", help="every server's requests, utilisation, longest wait"
    )
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args(argv)
    try:
        scenarios(args.scenario)
        for text in args.policies:
            policy_of(text)
    except KeyError as error:
        parser.error(error.args[0])
    except lbcore.ConfigError as error:
        parser.error(str(error))
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, judge; 1 if a gate is missed."""
    args = arguments(argv)
    wanted = scenarios(args.scenario)
    found = rows(wanted, args)
    verdicts = [v for v in (gate.verdict(found) for gate in GATES) if v is not None]
    print(*report(wanted, found, args), sep="\n")
    if verdicts:
        print("", f"gates, {GATE_PROXIES} proxies, worst of the scenarios run:", sep="\n")
        print(*(f"  {text}" for _, text in verdicts), sep="\n")
    if args.json:
        data = {
            "requests": args.requests,
            "rows": [{**vars(r), "shares": [vars(s) for s in r.shares]} for r in found],
            "gates": [{"holds": holds, "text": text} for holds, text in verdicts],
        }
        args.json.write_text(json.dumps(data, indent=1) + "\n")
    return 0 if all(holds for holds, _ in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
