"""The fleets and their seeds, as data: what happens to servers and arrivals, and nothing about policies.

Times of events are shares of a run (0 its beginning, 1 its expected end), so that a short run sees them all.  Loads are
shares of what the servers of the beginning can do at their nominal speed.  Only ``Random.random()`` is drawn from, the
one generator that Python promises to repeat over its versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

SEEDS = (1, 2)  # of arrivals, sizes and proxies; a figure is the mean over them
PROXIES = (1, 8, 64)
WORKERS = 4  # of a server, one request each, one queue in order of arrival
MEAN_SIZE = 0.050  # seconds on a server of speed 1
SIZE_CV = 2.0  # log-normal sizes: deviation / mean
TIMEOUT = 2.0  # the client gives up; the server works on
OBJECTIVE = 0.5  # the latency that users were promised
FAST_FAILURE = 0.001  # seconds until a failing server answers with an error
FOREVER = 2.0  # a share of the run that never comes


@dataclass(frozen=True)
class Change:
    """From ``at`` on: speed times ``speed``, and ``fails`` of the requests fail at once.  Ends the change before."""

    at: float
    speed: float = 1.0
    fails: float = 0.0


@dataclass(frozen=True)
class Server:
    """``weight`` is what proxies are told, ``speed`` what is true.  In their lists from ``joins`` to ``leaves``."""

    speed: float = 1.0
    weight: int = 1
    changes: tuple[Change, ...] = ()
    joins: float = 0.0
    leaves: float = FOREVER


@dataclass(frozen=True)
class Bursts:
    """The last ``length`` seconds of every ``period`` bring ``factor`` times the mean rate, the others what is left."""

    period: float
    length: float
    factor: float


@dataclass(frozen=True)
class Scenario:
    """``health``: the settings of passive ejection that it is run with, each a row of its own."""

    name: str
    summary: str
    servers: tuple[Server, ...]
    load: float = 0.7
    bursts: Bursts | None = None
    health: tuple[str, ...] = ("off",)
    seeds: tuple[int, ...] = SEEDS


def same(n: int, **fields: object) -> tuple[Server, ...]:
    """``n`` servers alike."""
    return (Server(**fields),) * n  # type: ignore[arg-type]


THIRDS = (0.5, 1.0, 2.0)
QUARTERS = (0.5, 1.0, 1.0, 2.0)


def mixed(n: int, weights: bool, speeds: tuple[float, ...] = THIRDS) -> tuple[Server, ...]:
    """These speeds in turn; weights in proportion, or all 1."""
    turn = [speeds[i % len(speeds)] for i in range(n)]
    return tuple(Server(speed, int(2 * speed) if weights else 1) for speed in turn)


def warming(at: float, until: float, first: float, steps: int = 5) -> tuple[Change, ...]:
    """A speed that climbs from ``first`` to 1 between ``at`` and ``until``."""
    stride = (until - at) / steps
    return tuple(Change(at + k * stride, first + (1.0 - first) * k / steps) for k in range(steps + 1))


HOLE = (Change(0.20, fails=1.0), Change(0.75))
HALF_HOLE = (Change(0.20, fails=0.5), Change(0.75))

NAMED = (
    Scenario("uniform", "20 servers alike", same(20)),
    Scenario("speeds_unknown", "speeds 0.5, 1, 2, all of weight 1", mixed(20, weights=False)),
    Scenario("speeds_known", "speeds 0.5, 1, 2, weights in proportion", mixed(20, weights=True)),
    Scenario(
        "one_slow",
        "one of 20 ten times slower from a fifth of the run on",
        (*same(19), Server(changes=(Change(0.20, speed=0.1),))),
    ),
    Scenario(
        "black_hole",
        "one of 20 answers everything with an error in 1 ms, for 55 % of the run",
        (*same(19), Server(changes=HOLE)),
        health=("off", "passive"),
    ),
    Scenario(
        "half_hole",
        "as black_hole, but every other request",
        (*same(19), Server(changes=HALF_HOLE)),
        health=("off", "passive"),
    ),
    Scenario("bursts", "1 s of 5 brings 1.7 times the mean rate", same(20), bursts=Bursts(5.0, 1.0, 1.7)),
    Scenario(
        "cold_newcomers",
        "four of 20 are replaced; the new ones begin at a fifth of their speed",
        (
            *same(16),
            *same(4, leaves=0.20),
            *same(4, joins=0.20, changes=warming(0.20, 0.40, first=0.2)),
        ),
    ),
    Scenario(
        "cold_fleet",
        "everybody begins cold: 0.4 to 1 of the speed, full after 10 to 40 % of the run",
        tuple(
            Server(changes=warming(0.0, 0.1 * (1 + i % 4), first=(0.4, 0.6, 0.8, 1.0)[i // 5 % 4]))
            for i in range(20)
        ),
        load=0.6,
    ),
    Scenario("hundred", "100 servers, speeds 0.5, 1, 2, all of weight 1", mixed(100, weights=False)),
    # Added when the others had figures: the mix of the earlier simulation, with half of the servers of speed 1.
    Scenario("quarters_unknown", "speeds 0.5, 1, 1, 2, all of weight 1", mixed(20, False, QUARTERS)),
    Scenario("quarters_known", "speeds 0.5, 1, 1, 2, weights in proportion", mixed(20, True, QUARTERS)),
    Scenario(
        "quarters_hundred", "100 servers, speeds 0.5, 1, 1, 2, all of weight 1", mixed(100, False, QUARTERS)
    ),
)


# ---- generated ---------------------------------------------------------------------------------------------------

GENERATED = 30
GENERATOR_SEED = 20_260


def whole(rng: Random, least: int, most: int) -> int:
    """A whole number in least..most."""
    return least + int(rng.random() * (most - least + 1))


def between(rng: Random, least: float, most: float) -> float:
    return least + rng.random() * (most - least)


def generated(number: int) -> Scenario:
    """The ``number``-th fleet of the generator: 10 to 60 servers, and with chances of their own: speeds that differ,
    weights that say so, a server that turns slow midway, one that fails, bursts."""
    rng = Random(GENERATOR_SEED + number)
    n = whole(rng, 10, 60)
    told = []
    speeds = [1.0] * n
    if rng.random() < 0.7:
        speeds = [round(2.0 ** between(rng, -1.0, 1.0), 2) for _ in range(n)]
        told.append("speeds 0.5 to 2")
    weights = [1] * n
    if rng.random() < 0.5:
        weights = [max(1, round(8 * speed)) for speed in speeds]
        told.append("weights in proportion")
    changes: dict[int, tuple[Change, ...]] = {}
    if rng.random() < 0.6:
        begins, speed = between(rng, 0.2, 0.6), round(between(rng, 0.05, 0.4), 2)
        changes[whole(rng, 0, n - 1)] = (Change(begins, speed=speed),)
        told.append(f"one slows to {speed:g} at {begins:.2f}")
    if rng.random() < 0.4:
        begins, fails = between(rng, 0.1, 0.5), (0.5, 1.0)[whole(rng, 0, 1)]
        changes[whole(rng, 0, n - 1)] = (Change(begins, fails=fails), Change(begins + between(rng, 0.1, 0.4)))
        told.append(f"one fails {fails:.0%} at {begins:.2f}")
    bursts = None
    if rng.random() < 0.4:
        bursts = Bursts(period=between(rng, 1.0, 4.0), length=0.4, factor=between(rng, 1.2, 1.8))
        told.append(f"bursts of {bursts.factor:.1f}")
    load = round(between(rng, 0.5, 0.75), 2)
    servers = tuple(Server(speeds[i], weights[i], changes.get(i, ())) for i in range(n))
    return Scenario(
        f"generated_{number:02}",
        f"{n} servers, load {load:g}: {', '.join(told) or 'alike'}",
        servers,
        load,
        bursts,
    )


def scenarios(names: Iterable[str] = ()) -> list[Scenario]:
    """Those named, in the order of this file; all if none is.  ``generated`` names all generated ones.

    Raises ``KeyError`` for a name that is none.
    """
    all_of_them = {s.name: s for s in (*NAMED, *map(generated, range(GENERATED)))}
    wanted = set(names) or set(all_of_them)
    if "generated" in wanted:
        wanted = wanted - {"generated"} | {name for name in all_of_them if name.startswith("generated_")}
    if unknown := wanted - set(all_of_them):
        raise KeyError(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(all_of_them)}")
    return [s for name, s in all_of_them.items() if name in wanted]
