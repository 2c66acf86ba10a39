"""Draw a picture for every policy of the register: how even it is, and what changes do to it.

    python tools/pictures.py docs/policies/img [NAME]...

Left: the share that each target gets, divided by the share that its weight says.  Right, of a keyed policy: which
part of the keys move when the fleet changes, and how many of these need not.  Of one that looks at loads: calls in
flight on each target while one of them is slow.  Of the others: who is picked, turn by turn, while one target is down.

The same build draws the same bytes.  What a policy is, its picks tell; no name is known here.
"""

from __future__ import annotations

import math
import os
import pathlib
import random
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from heapq import heappop, heappush

import matplotlib
import numpy as np

import lbcore
from lbcore.testing import ManualClock

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SEED = 1
N_KEYS = 200_000  # a share of 1/36 is then measured to within 1.3 %
N_PICKS = 36_000
EACH = 8  # samples of calls in flight, twenty a second, that are averaged for a point of the line
EQUAL, WEIGHTED = [1] * 10, [1, 2, 3, 4, 5, 6, 7, 8]
BLUE, ORANGE, GREY, PALE = "#0072B2", "#D55E00", "#7A7A7A", "#E6E6E6"  # told apart by the colour-blind too
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "svg.fonttype": "path",
    "legend.fontsize": 10,
}


# ---- asking the policies ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fleet:
    """Targets ``10.0.0.1:80`` and so on, in the order of ``weights``; a place has the same address in every fleet."""

    weights: Sequence[int]
    places: Sequence[int]

    def upstream(self, policy: str, **more: object) -> lbcore.Upstream:
        """An upstream of this fleet; ConfigError where the policy cannot have these weights."""
        begins = any(p.name == "phase" for p in lbcore.policies()[policy].parameters)
        chosen = lbcore.policy(policy, **({"phase": 0} if begins else {}))
        targets = [
            lbcore.Target(f"10.0.0.{place + 1}:80", weight=weight)
            for place, weight in zip(self.places, self.weights, strict=True)
        ]
        return lbcore.Upstream("fleet", targets, chosen, health=None, seed=SEED, **more)


def fleet(weights: Sequence[int]) -> Fleet:
    return Fleet(weights, range(len(weights)))


def keys_for(policy: str) -> object:
    """Numbers as keys; addresses where the policy places only these: it then gives the same keys other targets."""
    numbers = np.random.default_rng(SEED).integers(0, 2**64, N_KEYS, np.uint64)
    up = fleet(EQUAL).upstream(policy)
    if np.array_equal(up.pick_keys(numbers[:501]), up.pick_keys(numbers[:501])):
        return numbers
    return [".".join(map(str, int(n).to_bytes(8)[:4])) for n in numbers]


def looks_at_loads(policy: str) -> bool:
    """True if calls that stay open on one target change who is picked next."""
    seen = []
    for stay_open in (True, False):
        up = fleet(EQUAL[:3]).upstream(
            policy, clock=ManualClock()
        )  # no time passes, so nothing is learnt of it
        for call in [up.acquire(exclude=up.targets[1:]) for _ in range(30)]:
            if not stay_open:
                call.done()
        seen.append([up.pick().index for _ in range(30)])
    return seen[0] != seen[1]


@dataclass(frozen=True)
class Traffic:
    """What a simulated fleet saw: requests by target, and the calls in flight on each at each moment of ``times``."""

    requests: Sequence[int]
    times: Sequence[float]
    in_flight: Sequence[Sequence[int]]


def simulate(
    policy: str,
    weights: Sequence[int],
    seconds: float,
    load: float,
    slow: Callable[[float], float] = lambda now: 1.0,
) -> Traffic:
    """Poisson arrivals at servers with ``4 * weight`` workers and a queue each; log-normal sizes of 50 ms, cv 1.

    ``slow``: how many times longer a request takes on the first target that begins at a moment.
    """
    draw, clock = random.Random(SEED), ManualClock()
    up = fleet(weights).upstream(policy, clock=clock)
    free = [[0.0] * (4 * weight) for weight in weights]  # when each worker is free again, as heaps
    ends: list[tuple[float, int, lbcore.Call]] = []
    requests, times, in_flight = [0] * len(weights), [], []
    sigma = math.sqrt(math.log(2))
    rate = load * 4 * sum(weights) / 0.05
    now, n, sample = 0.0, 0, 0.0
    while now < seconds:
        now += draw.expovariate(rate)
        n += 1
        while ends and ends[0][0] <= now:
            end, _, call = heappop(ends)
            clock.set(end)
            call.done(status=200)
        clock.set(now)
        call = up.acquire()
        i = call.target.index
        requests[i] += 1
        begin = max(now, heappop(free[i]))
        end = begin + draw.lognormvariate(math.log(0.05) - sigma**2 / 2, sigma) * (
            slow(begin) if i == 0 else 1
        )
        heappush(free[i], end)
        heappush(ends, (end, n, call))
        while sample <= now:
            times.append(sample)
            in_flight.append([target.in_flight for target in up.targets])
            sample += seconds / 400
    return Traffic(requests, times, in_flight)


def balance(policy: str, weights: Sequence[int], loads: bool, keys: object) -> list[float] | None:
    """The share of each target divided by its due share; None if the policy refuses these weights."""
    try:
        up = fleet(weights).upstream(policy)
    except lbcore.ConfigError:
        return None
    if loads:
        counts = np.array(simulate(policy, weights, N_PICKS * 0.05 / (0.7 * 4 * sum(weights)), 0.7).requests)
    else:
        picks = up.pick_many(N_PICKS) if keys is None else up.pick_keys(keys)
        counts = np.bincount(picks, minlength=len(weights))
    return list(counts / counts.sum() * sum(weights) / np.array(weights))


@dataclass(frozen=True)
class Move:
    """Which part of the keys moved, in per cent: ``due`` to or from the target that changed, ``needless`` others."""

    what: str
    due: float
    needless: float


def moves(policy: str, keys: object) -> list[Move | str]:
    """What changes of ten equal targets move; the name of the change alone where the policy refuses it."""
    one = fleet(EQUAL)
    before = one.upstream(policy).pick_keys(keys)
    down = one.upstream(policy)
    down.set_health(down.targets[3], False)
    gone = [i for i in range(10) if i != 3]
    heavier = Fleet([2 if i == 3 else 1 for i in range(10)], range(10))
    found: list[Move | str] = []
    for what, ask, there, into in (
        ("one target added", lambda: Fleet([1] * 11, range(11)).upstream(policy), range(11), 10),
        ("one removed", lambda: Fleet([1] * 9, gone).upstream(policy), gone, None),
        ("one down", lambda: down, range(10), None),
        ("one weight doubled", lambda: heavier.upstream(policy), range(10), 3),
    ):
        try:
            after = np.array(there)[ask().pick_keys(keys)]
        except lbcore.ConfigError:
            found.append(what)
            continue
        moved = before != after
        due = moved & ((before == 3) if into is None else (after == into))
        found.append(Move(what, 100 * due.mean(), 100 * (moved & ~due).mean()))
    return found


# ---- drawing ----------------------------------------------------------------------------------------------------


def draw_balance(ax: Axes, equal: list[float] | None, weighted: list[float] | None, of: str) -> None:
    """Sticks from the ideal to what each target got: two fleets side by side."""
    ax.set_title(f"Balance: {of}")
    ax.set_ylabel("share got / share due")
    ax.axhline(1, color=GREY, linewidth=1)
    places, labels = [], []
    values = [value for part in (equal, weighted) for value in part or ()]
    top = max(1.5, 1.08 * max(values))
    for start, weights, part, name in (
        (0, EQUAL, equal, "ten targets of weight 1"),
        (11.5, WEIGHTED, weighted, "weights 1 to 8"),
    ):
        middle = start + (len(weights) - 1) / 2
        ax.text(middle, 1, name, ha="center", va="top", color="#333333", transform=ax.get_xaxis_transform())
        if part is None:
            ax.text(middle, 0.85, "refused:\nweights must be equal", ha="center", va="top", color=GREY)
            continue
        x = [start + i for i in range(len(part))]
        places += x
        labels += [str(weight) for weight in weights] if weights is WEIGHTED else ["1"] * len(part)
        ax.vlines(x, 1, part, color=BLUE, linewidth=2)
        ax.plot(x, part, "o", color=BLUE, markersize=6, clip_on=False)
    ax.set_xticks(places, labels)
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel("targets, by weight")
    low = -0.04 * top if top > 1.5 or min(values) < 0.5 else 0.5
    ax.set_ylim(low, top + (top - low) * 0.1)
    ax.set_xlim(-0.8, 19.3)
    ax.yaxis.grid(True, color=PALE)
    ax.set_axisbelow(True)


def draw_moves(ax: Axes, found: list[Move | str]) -> None:
    """A bar for each change of the fleet: what had to move, and what moved besides."""
    ax.set_title("Keys moved when one of ten equal targets changes")
    most = max(one.due + one.needless for one in found if isinstance(one, Move))
    right = next((width for width in (20, 30, 60) if most <= 0.55 * width), 100)
    for y, one in enumerate(found):
        if isinstance(one, str):
            ax.text(right / 60, y, "refused: weights must be equal", va="center", color=GREY)
            continue
        ax.barh(y, one.due, color=BLUE, height=0.55, label="to or from that target" if y == 0 else None)
        ax.barh(
            y,
            one.needless,
            left=one.due,
            color=ORANGE,
            height=0.55,
            label="between others: needless" if y == 0 else None,
        )
        total = one.due + one.needless
        besides = f", {one.needless:.1f} % needless" if one.needless >= 0.05 else ""
        text = f"{total:.1f} %{besides}"
        inside = total > 0.55 * right
        ax.text(
            total + (-right if inside else right) / 60,
            y,
            text,
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else "#333333",
        )
    ax.set_yticks(range(len(found)), [one if isinstance(one, str) else one.what for one in found])
    ax.set_ylim(len(found) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, right)
    ax.set_xticks(range(0, right + 1, right // 5 if right > 30 else right // 4 if right == 20 else 5))
    ax.set_xlabel("keys that move, % of all")
    ax.xaxis.grid(True, color=PALE)
    ax.set_axisbelow(True)
    ax.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.19), ncols=2, frameon=False, handlelength=1)


def draw_turns(ax: Axes, policy: str) -> None:
    """A dot where a target is picked, turn by turn, while one is down."""
    weights, turns, leaves, returns = (5, 3, 1, 1), 60, 20, 40
    up = fleet(weights).upstream(policy)
    ax.set_title("Who is picked when: a is down for 20 turns")
    ax.axvspan(leaves + 0.5, returns + 0.5, ymin=0, ymax=1, color=PALE, linewidth=0)
    for turn in range(1, turns + 1):
        if turn == leaves + 1:
            up.set_health(up.targets[0], False)
        if turn == returns + 1:
            up.set_health(up.targets[0], True)
        i = up.pick().index
        ax.plot(turn, i, "o", color=ORANGE if i == 0 else BLUE, markersize=5.5)
    names = [f"{name} (weight {weight})" for name, weight in zip("abcd", weights, strict=True)]
    ax.set_yticks(range(4), names)
    ax.set_ylim(3.5, -0.5)
    ax.set_xlim(0, turns + 1)
    ax.set_xticks([1, *range(10, turns + 1, 10)])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("turn")
    ax.yaxis.grid(True, color=PALE)
    ax.set_axisbelow(True)


def draw_loads(ax: Axes, policy: str) -> None:
    """Calls in flight on each target of a simulated fleet, one of which is slow for a while."""
    begins, ends, factor = 5, 15, 5
    seen = simulate(policy, [1] * 5, 20, 0.65, lambda now: factor if begins <= now < ends else 1.0)
    ax.set_title(f"Calls in flight: one of five targets is {factor} x slower")
    ax.axvspan(begins, ends, color=PALE, linewidth=0)
    n = len(seen.in_flight) // EACH * EACH
    means = np.array(seen.in_flight[:n], float).reshape(-1, EACH, 5).mean(axis=1)
    middles = np.array(seen.times[:n]).reshape(-1, EACH).mean(axis=1)
    for i in range(4, -1, -1):
        label = "the slow one" if i == 0 else "the others" if i == 1 else None
        ax.plot(middles, means[:, i], label=label, color=BLUE if i else ORANGE, linewidth=1.1 if i else 2.2)
    ax.set_xlim(0, 20)
    ax.set_ylim(0, max(6, 1.25 * means.max()))
    ax.set_xticks(range(0, 21, 5))
    ax.set_xlabel("seconds; grey: while it is slow")
    ax.set_ylabel("calls in flight, mean of 0.4 s")
    ax.yaxis.grid(True, color=PALE)
    ax.set_axisbelow(True)
    ax.legend(loc="upper right", ncols=2, frameon=False, handlelength=1.5)


def draw(name: str, folder: pathlib.Path) -> None:
    """Write ``<name>.svg``."""
    keyed = lbcore.policies()[name].keyed
    keys = keys_for(name) if keyed else None
    loads = not keyed and looks_at_loads(name)
    plt.rcParams.update({**STYLE, "svg.hashsalt": name})
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.9), layout="constrained", width_ratios=(1, 1.1))
    of = f"{N_KEYS:,} keys" if keyed else f"{N_PICKS:,} {'requests at load 0.7' if loads else 'picks'}"
    draw_balance(left, balance(name, EQUAL, loads, keys), balance(name, WEIGHTED, loads, keys), of)
    if keyed:
        draw_moves(right, moves(name, keys))
    elif loads:
        draw_loads(right, name)
    else:
        draw_turns(right, name)
    figure.get_layout_engine().set(wspace=0.06, w_pad=0.12, h_pad=0.1)
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    plt.close(figure)


def main(folder: pathlib.Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for one in [pool.submit(draw, name, folder) for name in names or lbcore.policies()]:
            one.result()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
