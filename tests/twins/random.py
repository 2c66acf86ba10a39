"""The twin of ``policy/random.c``: Walker's alias table with fractions for cuts.

The picks are the core's one for one, given the same generator.  ``chances`` proves the table: it adds up what
each member gets from all columns and must give exactly ``w_i / W``.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .rng import Rng

LOOK = 64  # steps that peek answers by drawing


class Alias:
    """Columns over the usable members: a cut in 0..1 and the place that fills the column above it.

    Columns that lack something are completed in turn by one that has enough; both are taken from stacks that
    hold the lower places on top.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        self.usable = [i for i, weight in enumerate(weights) if weight > 0]
        self.total, n = sum(weights), len(self.usable)
        self.cut = [Fraction(weights[i] * n, self.total) for i in self.usable]
        self.lender = list(range(n))
        lacking = [i for i in reversed(range(n)) if self.cut[i] < 1]
        enough = [i for i in reversed(range(n)) if self.cut[i] >= 1]
        while lacking:
            low, high = lacking.pop(), enough[-1]
            self.lender[low] = high
            self.cut[high] -= 1 - self.cut[low]
            if self.cut[high] < 1:
                lacking.append(enough.pop())

    def chances(self) -> dict[int, Fraction]:
        """Return the probability of each usable member, exactly."""
        n = len(self.usable)
        chance = {i: Fraction(0) for i in self.usable}
        for place, cut in enumerate(self.cut):
            chance[self.usable[place]] += cut / n
            chance[self.usable[self.lender[place]]] += (1 - cut) / n
        return chance

    def draw(self, rng: Rng) -> int:
        """Return a place: a column, then a coin in 0..W-1 from upper bits, redrawn if too large."""
        place = rng.below(len(self.usable))
        shift = 64 - max(1, (self.total - 1).bit_length())
        while (coin := rng.next() >> shift) >= self.total:
            pass
        return place if coin < self.cut[place] * self.total else self.lender[place]


class Random:
    """Independent picks by weight; members are indices into ``weights``."""

    def __init__(self, weights: Sequence[int]) -> None:
        self.table = Alias(weights)

    def pick(self, rng: Rng) -> int | None:
        """Return a member, or None if nobody is usable."""
        usable = self.table.usable
        return usable[self.table.draw(rng)] if usable else None

    def peek(self, rng: Rng, step: int) -> int | None:
        """Return what the pick after ``step`` others would give; beyond LOOK, who follows in the list."""
        usable, copy = self.table.usable, rng.copy()
        if not usable:
            return None
        draws = [self.table.draw(copy) for _ in range(min(step + 1, LOOK))]
        return usable[(draws[-1] + step + 1 - len(draws)) % len(usable)]
