"""Keys that move, and shares, of the native consistent hash: ``python benches/moves.py``.

The owner of every slot is read before and after a change.  A slot has moved if its owner is another one.

    least possible = sum over targets of max(0, slots after - slots before)

No table with the same numbers of slots after the change can move fewer: each slot that a target has more than before
must have come from another one.  *Extra* is what moved beyond that, in % of all slots.  When a target goes down, the
slots of others that move are extra.
"""

from __future__ import annotations

import argparse
import functools
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import lbcore

SLOTS = 65_537
MOST_EXTRA = (
    0.2  # % of all slots; not held to it is a weight times 8 all at once, which is as much as adding seven
)
MOST_SHARE = 1.03  # times the fair share, where that is over 100 slots
HELD = ("add", "remove", "double", "weight", "down")
WEIGHTS = {"4": (4, 4), "1..8": (1, 8)}  # kinds of fleets: equal ones may go down and up inside 1..8 too

Owners = list[str | None]


@functools.cache
def keys(slots: int) -> tuple[lbcore.Hashed, ...]:
    """A key in the middle of each slot."""
    return tuple(lbcore.Hashed((2 * slot + 1) * 2**64 // (2 * slots)) for slot in range(slots))


def owners(up: lbcore.Upstream) -> Owners:
    """Whom each slot's keys go to, by id."""
    return [target and target.id for target in map(up.pick_or_none, keys(int(up.policy.params["slots"])))]


def least_possible(before: Owners, after: Owners) -> int:
    had, has = Counter(before), Counter(after)
    return sum(max(0, n - had[id]) for id, n in has.items())


def extra(before: Owners, after: Owners) -> float:
    """What moved beyond the least possible, in % of all slots."""
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    return 100 * (moved - least_possible(before, after)) / len(before)


def extra_down(before: Owners, after: Owners, down: str) -> float:
    return 100 * sum(a not in (b, down) for a, b in zip(before, after, strict=True)) / len(before)


def peak(found: Owners, weights: dict[str, int]) -> float:
    """The greatest share in multiples of the fair one, of those whose fair share is over 100 slots; 1 if none is."""
    counts, total = Counter(found), sum(weights.values())
    fair = {id: len(found) * weight / total for id, weight in weights.items()}
    return max((counts[id] / slots for id, slots in fair.items() if slots > 100), default=1.0)


# ---- a fleet and what happens to it -----------------------------------------------------------------------------


@dataclass
class Figures:
    """Of one fleet."""

    build_ms: float
    share: float
    extra: dict[str, float] = field(default_factory=dict)  # by change
    orderless: bool = True  # neither the list's order nor that of the changes had an effect


def targets(weights: dict[str, int]) -> list[lbcore.Target]:
    return [lbcore.Target(id, weight=weight) for id, weight in weights.items()]


def upstream(weights: dict[str, int], slots: int = SLOTS) -> lbcore.Upstream:
    return lbcore.Upstream("u", targets(weights), lbcore.policy("hash", slots=slots), seed=1)


def draw_fleet(n: int, kind: str, rng: random.Random) -> dict[str, int]:
    """Addresses and weights, in no order."""
    addresses: set[str] = set()
    while len(addresses) < n:
        a, b, c, port = rng.randrange(256), rng.randrange(256), rng.randrange(256), 8000 + rng.randrange(9)
        addresses.add(f"10.{a}.{b}.{c}:{port}")
    least, most = WEIGHTS[kind]
    return {address: rng.randint(least, most) for address in rng.sample(sorted(addresses), n)}


def changes(weights: dict[str, int], kind: str, rng: random.Random) -> Iterator[tuple[str, dict[str, int]]]:
    """Each change by its name, with the weights that it leads to."""
    gone, doubled, changed, eightfold = (rng.choice(list(weights)) for _ in range(4))
    yield "add", {**weights, "newcomer:80": rng.randint(*WEIGHTS[kind])}
    yield "remove", {id: weight for id, weight in weights.items() if id != gone}
    yield "double", {**weights, doubled: 2 * weights[doubled]}
    yield "weight", {**weights, changed: rng.choice([w for w in range(1, 9) if w != weights[changed]])}
    yield "times 8", {**weights, eightfold: 8 * weights[eightfold]}


def is_orderless(weights: dict[str, int], found: Owners, rng: random.Random, slots: int = SLOTS) -> bool:
    """The same table when the fleet comes about by five single changes in any order, in a list of any order, while
    health comes and goes."""
    now = dict(rng.sample(list(weights.items()), len(weights))) | {"guest:80": 3}
    for id in rng.sample(list(weights), min(3, len(weights))):
        now[id] = now[id] % 8 + 1
    del now[rng.choice(list(weights))]
    differing = [id for id in sorted({*now, *weights}) if now.get(id) != weights.get(id)]
    up = upstream(now, slots)
    for id in rng.sample(differing, len(differing)):
        now.pop(id, None)
        if id in weights:
            now[id] = weights[id]
        up.update(targets(now))
        up.set_health(rng.choice(up.targets), rng.random() < 0.5)
    for target in up.targets:
        up.set_health(target, True)
    return owners(up) == found


def measure(n: int, kind: str, seed: int, slots: int = SLOTS) -> Figures:
    """A random fleet of ``n`` targets, and every change to it."""
    rng = random.Random(f"{n} {kind} {seed}")
    weights = draw_fleet(n, kind, rng)
    began = time.perf_counter()
    up = upstream(weights, slots)
    figures = Figures(build_ms=1000 * (time.perf_counter() - began), share=0)
    before = owners(up)
    figures.share = peak(before, weights)
    for change, changed in changes(weights, kind, rng):
        after = owners(upstream(changed, slots))
        figures.extra[change] = extra(before, after)
        figures.share = max(figures.share, peak(after, changed))
    down = rng.choice(up.targets)
    up.set_health(down, False)
    figures.extra["down"] = extra_down(before, owners(up), down.id)
    up.set_health(down, True)
    figures.orderless = owners(up) == before and all(
        is_orderless(weights, before, rng, slots) for _ in range(2)
    )
    return figures


def holds(figures: Figures) -> bool:
    held = max(figures.extra[change] for change in HELD)
    return figures.share <= MOST_SHARE and held <= MOST_EXTRA and figures.orderless


# ---- the table --------------------------------------------------------------------------------------------------


def row(n: int, kind: str, found: Sequence[Figures]) -> str:
    """The worst of several fleets; the build's time is their median."""
    build = statistics.median(f.build_ms for f in found)
    worst = "".join(f"{max(f.extra[c] for f in found):9.4f}" for c in (*HELD, "times 8"))
    order = "none" if all(f.orderless for f in found) else "FOUND"
    verdict = "ok" if all(map(holds, found)) else "MISSES"
    return f"{n:7} {kind:>7} {max(f.share for f in found):7.4f} {worst} {order:>7} {build:7.1f} {verdict:>7}"


def main() -> None:
    options = argparse.ArgumentParser(
        description="Keys that move, and shares, of the native consistent hash."
    )
    options.add_argument("--rounds", type=int, default=5, help="fleets a row")
    options.add_argument("--slots", type=int, default=SLOTS, help="a prime")
    chosen = options.parse_args()
    print(f"{chosen.slots} slots; the worst of {chosen.rounds} fleets a row; extra moves in % of all slots")
    print(f"limits: extra {MOST_EXTRA:g} %, share {MOST_SHARE:g} of fair where that is over 100 slots\n")
    changed = "".join(f"{c:>9}" for c in (*HELD, "times 8"))
    print(f"{'targets':>7} {'weights':>7} {'share':>7} {changed} {'order':>7} {'ms':>7}")
    good = True
    for n in (3, 5, 10, 20, 50, 100, 200, 500, 1000):
        for kind in WEIGHTS:
            found = [measure(n, kind, seed, chosen.slots) for seed in range(chosen.rounds)]
            print(row(n, kind, found), flush=True)
            good = good and all(map(holds, found))
    sys.exit(not good)


if __name__ == "__main__":
    main()
