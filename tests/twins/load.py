"""The twins of the policies that look at loads: ``first``, ``p2c``, ``least_request``, ``peak_ewma``, ``adaptive``.

Members are indices into ``weights`` and have the slot of the same number; ``load`` arguments are the in-flight counts
by member.  What calls teach stands in ``Places``, which outlives the policy of one View, as the core's State does.
``Model`` is the upstream around a policy: it counts calls, holds failed ones, and lets what was learnt fade.  Times are
whole nanoseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from .decay import decay_between
from .octaves import octaves, of_octaves
from .random import Alias
from .rng import Rng

STEPS = 16  # that are told by drawing, or ranked
TICK_NS = 50_000_000
FLEET_SHARE = 0.01


def f32(value: float) -> float:
    """Return the nearest float32; of one sum, product or quotient of float32s it is the float32 result."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


class Places:
    """What calls have taught, by slot."""

    def __init__(self, n: int) -> None:
        self.calls = [0.0] * n
        self.octaves = [0.0] * n
        self.fleet_octaves = 0.0
        self.mean_ns = [0.0] * n
        self.stamp_ns = [0] * n
        self.ratio = [1.0] * n
        self.fleet_ns = 0.0
        self.faded_ns = 0

    def learn_fleet(self, latency_ns: float) -> None:
        """Move the fleet's mean by 1 %; the first value is taken as it is."""
        if self.fleet_ns > 0:
            self.fleet_ns += (latency_ns - self.fleet_ns) * FLEET_SHARE
        else:
            self.fleet_ns = latency_ns

    def fade(self, now_ns: int, rate: float) -> float:
        """Return what is left of everything since the last tick, and begin the next one."""
        left = decay_between(self.faded_ns, now_ns, rate) if self.faded_ns else 1.0
        self.faded_ns = now_ns
        return left


class Policy:
    """What all have in common; most learn nothing."""

    def __init__(self, weights: Sequence[int]) -> None:
        self.weights = list(weights)
        self.usable = [i for i, weight in enumerate(weights) if weight > 0]

    def observe(self, places: Places, member: int, now_ns: int, latency_ns: int, failed: bool) -> None:
        """A call ended."""

    def tick(self, places: Places, now_ns: int) -> None:
        """Let fade what was learnt."""


class First(Policy):
    """Failover order."""

    def pick(self, load: Sequence[int], places: Places, rng: Rng, step: int = 0) -> int | None:
        """Return the usable member number ``step``; after the last the first again."""
        return self.usable[step % len(self.usable)] if self.usable else None

    peek = pick


# ---- the lightest of a few draws -----------------------------------------------------------------------------------


class Draws(Policy):
    """Draws by weight; a subclass says what a member costs (two costs are compared by ``lighter``)."""

    def __init__(self, weights: Sequence[int], choices: int, previous: Policy | None = None) -> None:
        super().__init__(weights)
        self.choices = choices
        self.table = Alias(weights) if self.usable else None
        self.told: list[int] = []

    def lighter(self, load: Sequence[int], places: Places, a: int, b: int) -> bool:
        """Return whether member a costs less than member b."""
        raise NotImplementedError

    def _untold(self, told: list[int], place: int) -> int:
        order = [(place + i) % len(self.usable) for i in range(len(self.usable))]
        return next(p for p in order if p not in told)

    def _sample(self, load: Sequence[int], places: Places, told: list[int], rng: Rng) -> int:
        assert self.table
        k = len(self.usable)
        best = self._untold(told, self.table.draw(rng))
        for _ in range(self.choices - 1 if k > 1 else 0):
            other = self._untold(told, self.table.draw(rng))
            if other == best:
                other = self._untold(told, (best + 1 + rng.below(k - 1)) % k)
            if other != best and self.lighter(load, places, self.usable[other], self.usable[best]):
                best = other
        return best

    def _tell(self, load: Sequence[int], places: Places, told: list[int], rng: Rng, step: int) -> int:
        if step == 0:
            told.clear()
        if len(told) == min(STEPS, len(self.usable)):
            return (told[-1] + max(1, step - len(told) + 1)) % len(self.usable)
        told.append(self._sample(load, places, told, rng))
        return told[-1]

    def pick(self, load: Sequence[int], places: Places, rng: Rng, step: int = 0) -> int | None:
        """Return a member, None if nobody is usable."""
        return self.usable[self._tell(load, places, self.told, rng, step)] if self.usable else None

    def peek(self, load: Sequence[int], places: Places, rng: Rng, step: int = 0) -> int | None:
        """Return what a pick would give that is asked for the first time, then again ``step`` times."""
        if not self.usable:
            return None
        told: list[int] = []
        copy = rng.copy()
        return self.usable[[self._tell(load, places, told, copy, s) for s in range(step + 1)][-1]]


class LeastRequest(Draws):
    """Least in-flight^bias / weight; with bias 0 the first draw."""

    def __init__(
        self, weights: Sequence[int], choices: int = 2, bias: int = 1, previous: Policy | None = None
    ) -> None:
        super().__init__(weights, choices)
        self.bias = bias

    def lighter(self, load: Sequence[int], places: Places, a: int, b: int) -> bool:
        """Compare fractions."""
        cost = [Fraction(load[member] ** self.bias, self.weights[member]) for member in (a, b)]
        return self.bias > 0 and cost[0] < cost[1]


class P2c(LeastRequest):
    """Two draws, bias 1."""


class PeakEwma(Draws):
    """Least estimate * (in-flight / (weight / mean weight) + 1)."""

    FAILED_TIMES = 4
    FAILED_ALONE_NS = 1e9
    BUSY_NEWCOMER_NS = 1e18

    def __init__(
        self, weights: Sequence[int], decay: float = 10, choices: int = 2, previous: Policy | None = None
    ) -> None:
        super().__init__(weights, choices)
        self.rate = 1 / (decay * 1e9)
        self.mean_weight = sum(weights) / len(self.usable) if self.usable else 0.0

    def _charge(self, load: Sequence[int], places: Places, member: int) -> float:
        estimate = places.mean_ns[member]
        if estimate == 0 and load[member]:
            estimate = self.BUSY_NEWCOMER_NS
        return estimate * (load[member] * self.mean_weight + self.weights[member])

    def lighter(self, load: Sequence[int], places: Places, a: int, b: int) -> bool:
        """Compare costs times both weights."""
        left = self._charge(load, places, a) * self.weights[b]
        return left < self._charge(load, places, b) * self.weights[a]

    def observe(self, places: Places, member: int, now_ns: int, latency_ns: int, failed: bool) -> None:
        """A peak counts at once, less than the estimate by age; a failure is slow."""
        if latency_ns == 0:
            return
        latency = float(latency_ns)
        if failed:
            known = places.fleet_ns > 0
            latency = max(latency, places.fleet_ns * self.FAILED_TIMES if known else self.FAILED_ALONE_NS)
        since = max(places.stamp_ns[member], places.faded_ns)
        if latency > places.mean_ns[member]:
            places.mean_ns[member] = latency
        else:
            fresh = 1 - decay_between(since, now_ns, self.rate)
            places.mean_ns[member] += (latency - places.mean_ns[member]) * fresh
        places.stamp_ns[member] = now_ns
        if not failed:
            places.learn_fleet(latency)

    def tick(self, places: Places, now_ns: int) -> None:
        """All estimates fade towards 0, and stop at 1 ns."""
        left = places.fade(now_ns, self.rate)
        places.mean_ns = [max(mean * left, 1.0) if mean > 0 else mean for mean in places.mean_ns]


# ---- adaptive ------------------------------------------------------------------------------------------------------


class Adaptive(Draws):
    """Least (1 + (gain * in-flight + IDLE) / u) * ratio in float32, u = weight / mean weight of the usable; ties in
    turn; above SCANNED the least of 8 draws."""

    SCANNED = 128
    DRAWS = 8
    IDLE = 0.25  # of a call
    DOUBT = 2  # calls
    NEAR = 1 / 16  # octaves
    CLIP = 3.0  # octaves
    FORGOTTEN = 1 / 1024  # calls

    def __init__(
        self,
        weights: Sequence[int],
        gain: float = 4,
        tau: float = 3,
        seed: int = 0,
        previous: Adaptive | None = None,
    ) -> None:
        super().__init__(weights, self.DRAWS)
        self.gain, self.rate = f32(gain), 1 / (tau * 1e9)
        mean = sum(weights) / len(self.usable) if self.usable else 0.0
        self.inverse = {member: f32(mean / self.weights[member]) for member in self.usable}
        self.next_slot = 0
        if previous is not None:
            self.next_slot = previous.next_slot
        elif self.usable:
            self.next_slot = self.usable[Rng(seed).below(len(self.usable))]
        self.begin = self._turn()

    def _score(self, load: Sequence[int], places: Places, member: int) -> float:
        loaded = f32(f32(f32(load[member]) * self.gain) + self.IDLE)
        return f32(f32(f32(loaded * self.inverse[member]) + 1) * places.ratio[member])

    def lighter(self, load: Sequence[int], places: Places, a: int, b: int) -> bool:
        """Compare scores."""
        return self._score(load, places, a) < self._score(load, places, b)

    def _turn(self) -> list[int]:
        """The members from where the turn stands."""
        ahead = [member for member in self.usable if member >= self.next_slot]
        return ahead + [member for member in self.usable if member < self.next_slot]

    def _ranked(self, load: Sequence[int], places: Places, turn: list[int], step: int) -> int:
        if step >= min(STEPS, len(turn)):
            return turn[step % len(turn)]
        return sorted(turn, key=lambda member: self._score(load, places, member))[
            step
        ]  # stable: ties in turn

    def pick(self, load: Sequence[int], places: Places, rng: Rng, step: int = 0) -> int | None:
        """Return a member and move the turn behind it; None if nobody is usable."""
        if not self.usable or len(self.usable) > self.SCANNED:
            return super().pick(load, places, rng, step)
        if step == 0:
            self.begin = self._turn()
        member = self._ranked(load, places, self.begin, step)
        self.next_slot = member + 1
        return member

    def peek(self, load: Sequence[int], places: Places, rng: Rng, step: int = 0) -> int | None:
        """Return what a pick would give that is asked for the first time, then again ``step`` times."""
        if not self.usable or len(self.usable) > self.SCANNED:
            return super().peek(load, places, rng, step)
        return self._ranked(load, places, self._turn(), step)

    def _ratio(self, places: Places, member: int) -> float:
        calls, says = places.calls[member], 0.0
        if places.fleet_octaves > 0:
            says = (places.octaves[member] - places.fleet_octaves) * calls / (calls + self.DOUBT)
        if abs(says) < self.NEAR:
            return 1.0
        return f32(of_octaves(min(max(says, -self.CLIP), self.CLIP)))

    def observe(self, places: Places, member: int, now_ns: int, latency_ns: int, failed: bool) -> None:
        """The target's mean moves; a failure faster than the fleet teaches nothing."""
        if latency_ns == 0:
            return
        level = octaves(float(latency_ns))
        if failed and not 0 < places.fleet_octaves <= level:
            return
        places.calls[member] += 1
        places.octaves[member] += (level - places.octaves[member]) / places.calls[member]
        places.ratio[member] = self._ratio(places, member)

    def tick(self, places: Places, now_ns: int) -> None:
        """Calls count for less, the fleet's mean is that of all, all ratios follow."""
        left = places.fade(now_ns, self.rate)
        faded = [calls * left for calls in places.calls]
        places.calls = [calls if calls > self.FORGOTTEN else 0.0 for calls in faded]
        all_calls = all_octaves = 0.0
        for calls, level in zip(places.calls, places.octaves, strict=True):
            all_calls += calls
            all_octaves += calls * level
        if all_calls > 0:
            places.fleet_octaves = all_octaves / all_calls
        places.ratio = [self._ratio(places, member) for member in range(len(places.ratio))]


# ---- the upstream around it ----------------------------------------------------------------------------------------


class Model:
    """Calls that begin and end around a policy.

    ``make(weights, previous)`` gives the policy of a View.  ``hold_ns``: how long a failed call stays counted.
    ``ticks``: whether what was learnt fades, every TICK_NS from ``now_ns`` on, when a call finds it due.
    """

    def __init__(
        self,
        make: Callable[[Sequence[int], Any], Any],
        weights: Sequence[int],
        seed: int,
        *,
        now_ns: int = 0,
        hold_ns: int = 0,
        ticks: bool = False,
    ) -> None:
        self.make, self.policy = make, make(weights, None)
        self.rng, self.places, self.load = Rng(seed), Places(len(weights)), [0] * len(weights)
        self.hold_ns, self.held = hold_ns, list[tuple[int, int]]()
        self.due_ns = now_ns + TICK_NS if ticks else None

    def reweigh(self, weights: Sequence[int]) -> None:
        """Make a new View of the same members; weight 0 is a target that is out."""
        self.policy = self.make(weights, self.policy)

    def advance(self, now_ns: int) -> None:
        """Do what is due: holds end, then what was learnt fades."""
        for until_ns, member in [held for held in self.held if held[0] <= now_ns]:
            self.held.remove((until_ns, member))
            self.load[member] -= 1
        if self.due_ns is not None and now_ns >= self.due_ns:
            self.policy.tick(self.places, now_ns)
            self.due_ns = now_ns + TICK_NS

    def pick(self, now_ns: int) -> int | None:
        """Choose, count nothing."""
        self.advance(now_ns)
        member: int | None = self.policy.pick(self.load, self.places, self.rng)
        return member

    def acquire(self, now_ns: int) -> int | None:
        """Choose and count one in flight."""
        member = self.pick(now_ns)
        if member is not None:
            self.load[member] += 1
        return member

    def done(self, member: int, now_ns: int, latency_ns: int, failed: bool = False) -> None:
        """A call ended with a verdict."""
        self.advance(now_ns)
        self.policy.observe(self.places, member, now_ns, latency_ns, failed)
        if failed and self.hold_ns:
            self.held.append((now_ns + self.hold_ns, member))
        else:
            self.load[member] -= 1
