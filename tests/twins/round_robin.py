"""The slow twin of ``policy/round_robin.c``: the rule as it is written, in fractions, O(k) a pick.

At each turn every usable target's debt grows by its share ``p_i = w_i / W``.  With ``a = 1/(2k-2)`` (0 for
k = 1), among the targets with ``debt >= a`` the one takes the turn whose debt would first reach ``1 - a``:
the one with the least ``(1 - a - debt) / p``.  If there is none, the one with the largest debt; this never
happens.  Its debt falls by 1.  Ties go to whoever stands first in ``order``.

There is no recording here, no heap, no fixed point: only what build() rounds is rounded, and there exactly as
the core does it.  Members are indices into the list of weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor, gcd

from .rng import Rng

ONE_PICK = 2**32  # debts are told in 2^-32 pick
MAX_DEBT = 2  # picks: the most that is taken over


def shuffled(usable: Sequence[int], seed: int) -> tuple[list[int], Rng]:
    """Return the tie order that ``seed`` gives, and the generator as it stands after it.

    The list from a drawn place on, round to it; then by Fisher-Yates: from the last place down to the second, the
    partner drawn below place + 1.  Of more than 1,024 each 8 by themselves.
    """
    rng = Rng(seed)
    if not usable:
        return [], rng
    start = rng.below(len(usable))
    rest = [*usable[start:], *usable[:start]]
    together = 8 if len(usable) > 1024 else len(usable)
    order = []
    while rest:
        block, rest = rest[:together], rest[together:]
        for place in range(len(block) - 1, 0, -1):
            partner = rng.below(place + 1)
            block[place], block[partner] = block[partner], block[place]
        order += block
    return order, rng


def debt_bits(n_usable: int) -> int:
    """Return the resolution of debts that are taken over, 2^-bits pick: 64 bits have room for it."""
    per_a = 2 * (n_usable - 1) if n_usable > 1 else 1
    bits = 32
    while per_a * 2**bits * (2 * n_usable + 2) > 2**61:
        bits -= 1
    return bits


class RoundRobin:
    """A schedule over the members of ``weights`` (ints) whose weight is above 0.

    ``seed`` gives the order of ties, unless ``order`` (all usable members) does, and the phase, unless
    ``from_phase_zero``.  ``previous`` hands over its debts: ``old_index[i]`` says where i stood there.
    """

    def __init__(
        self,
        weights: Sequence[int],
        seed: int = 0,
        *,
        from_phase_zero: bool = True,
        order: Sequence[int] | None = None,
        previous: RoundRobin | None = None,
        old_index: Sequence[int | None] | None = None,
    ) -> None:
        usable = [i for i, weight in enumerate(weights) if weight > 0]
        drawn, rng = shuffled(usable, seed)
        self.weights = list(weights)
        self.order = list(order) if order is not None else drawn
        self.total = sum(weights)
        self.share = {i: Fraction(weights[i], self.total) for i in usable}
        self.a = Fraction(1, 2 * len(usable) - 2) if len(usable) > 1 else Fraction(0)
        self.debt = {i: Fraction(0) for i in self.order}
        if not usable:
            return
        if previous is not None:
            assert old_index is not None
            self._take_over(previous, old_index)
        elif not from_phase_zero:
            self._enter(rng.next() % self.period)

    @property
    def period(self) -> int:
        """Turns until everybody has had exactly its weight, divided by the weights' common divisor."""
        return self.total // gcd(*self.weights)

    def pick(self) -> int | None:
        """Return the member that takes the turn; None if nobody is usable."""
        if not self.debt:
            return None
        for i, share in self.share.items():
            self.debt[i] += share
        return self._take()

    def _take(self) -> int:
        may = [i for i in self.order if self.debt[i] >= self.a]
        if may:
            # min keeps the first of equal ones
            taker = min(may, key=lambda i: (1 - self.a - self.debt[i]) / self.share[i])
        else:
            taker = max(self.order, key=lambda i: self.debt[i])
        self.debt[taker] -= 1
        return taker

    def owed(self, member: int) -> int:
        """Return the debt as ``lb_round_robin_debt`` tells it: in 2^-32 pick, rounded down to 2^-bits."""
        if member not in self.debt:
            return 0
        bits = debt_bits(len(self.debt))
        return floor(self.debt[member] * (1 << bits)) * (ONE_PICK >> bits)

    def _enter(self, turn: int) -> None:
        """Begin at a turn of the endless schedule: whole shares are had, the missing picks go by the rule."""
        for i, share in self.share.items():
            self.debt[i] = turn * share - floor(turn * share)
        for _ in range(int(sum(self.debt.values()))):
            self._take()

    def _take_over(self, previous: RoundRobin, old_index: Sequence[int | None]) -> None:
        unit = ONE_PICK >> debt_bits(len(self.debt))
        units = {
            i: previous.owed(old) // unit
            for i in self.order
            if (old := old_index[i]) is not None and old in previous.debt
        }
        excess, staying = sum(units.values()), sum(self.weights[i] for i in units)
        gone = Fraction(0)  # taken off so far, in order; each takes what its whole part grows by
        for i in units:
            before = floor(gone)
            gone += Fraction(excess % staying * self.weights[i], staying)
            units[i] -= excess // staying * self.weights[i] + floor(gone) - before
        debt = {i: units.get(i, 0) * unit for i in self.order}
        for i, value in _clipped(debt).items():
            self.debt[i] = Fraction(value, ONE_PICK)


def _clipped(debt: dict[int, int]) -> dict[int, int]:
    """No debt beyond MAX_DEBT; what is clipped cancels debts of the other sign, in order."""
    most = MAX_DEBT * ONE_PICK
    fit = {i: max(-most, min(most, value)) for i, value in debt.items()}
    clipped = sum(debt.values()) - sum(fit.values())
    for i, value in fit.items():
        if clipped > 0 > value:
            cancel = min(clipped, -value)
        elif clipped < 0 < value:
            cancel = max(clipped, -value)
        else:
            continue
        fit[i] += cancel
        clipped -= cancel
    return fit
