"""The twin of ``policy/least_conn.c``: sort all candidates, take the first.

Above FLAT targets: the least of DRAWS drawn by weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .random import Alias
from .rng import Rng

FLAT = 1024  # targets that are looked at one by one
DRAWS = 8
STEPS = 16  # that are answered exactly


class LeastConn:
    """Members are indices into ``weights``; ``load`` arguments are the in-flight counts by member."""

    def __init__(self, weights: Sequence[int], seed: int = 0, *, previous: LeastConn | None = None) -> None:
        self.weights = list(weights)
        self.usable = [i for i, weight in enumerate(weights) if weight > 0]
        self.table = Alias(weights) if len(self.usable) > FLAT else None
        self.next = 0
        if self.usable and previous is not None:
            self.next = previous.next % len(self.usable)
        elif self.usable:
            self.next = Rng(seed).below(len(self.usable))
        self.begin = self.next

    def pick(self, load: Sequence[int], rng: Rng, step: int = 0) -> int | None:
        """Return a member and move the turn behind it; None if nobody is usable."""
        if not self.usable:
            return None
        if self.table:
            return self.usable[self._sampled(self.table, load, rng)]
        if step == 0:
            self.begin = self.next
        place = self._ranked(load, self.begin, step)
        self.next = (place + 1) % len(self.usable)
        return self.usable[place]

    def peek(self, load: Sequence[int], rng: Rng, step: int = 0) -> int | None:
        """Return what a pick would give that is asked for the first time, then again ``step`` times."""
        if not self.usable:
            return None
        if not self.table:
            return self.usable[self._ranked(load, self.next, step)]
        copy = rng.copy()
        asked = [self._sampled(self.table, load, copy) for _ in range(min(step + 1, STEPS))]
        return self.usable[(asked[-1] + step + 1 - len(asked)) % len(self.usable)]

    def _cost(self, load: Sequence[int], place: int) -> Fraction:
        member = self.usable[place]
        return Fraction(load[member] + 1, self.weights[member])

    def _ranked(self, load: Sequence[int], begin: int, step: int) -> int:
        n = len(self.usable)
        turn = [(begin + i) % n for i in range(n)]
        if step >= min(STEPS, n):
            return turn[step % n]
        return sorted(turn, key=lambda place: self._cost(load, place))[step]  # stable: ties in turn

    def _sampled(self, table: Alias, load: Sequence[int], rng: Rng) -> int:
        drawn = [table.draw(rng) for _ in range(DRAWS)]
        return min(drawn, key=lambda place: self._cost(load, place))  # of equal ones the first drawn
