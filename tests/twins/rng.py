"""The core's injected randomness, word for word: splitmix64 and xoshiro256++ (``base/rng.h``)."""

from __future__ import annotations

MASK = 2**64 - 1


def splitmix(state: int) -> tuple[int, int]:
    """Return ``(new state, word)``."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def _rotl(x: int, k: int) -> int:
    return ((x << k) | (x >> (64 - k))) & MASK


class Rng:
    """xoshiro256++ seeded by four words of splitmix64."""

    def __init__(self, seed: int) -> None:
        self.s = []
        for _ in range(4):
            seed, word = splitmix(seed)
            self.s.append(word)

    def next(self) -> int:
        """Return the next 64-bit word."""
        s = self.s
        result = (_rotl((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = _rotl(s[3], 45)
        return result

    def below(self, n: int) -> int:
        """Return one of ``0..n-1``: the upper half of a 32 x 32 bit product, biased ones redrawn."""
        while True:
            product = (self.next() >> 32) * n
            if product % 2**32 >= 2**32 % n:
                return product >> 32

    def copy(self) -> Rng:
        """Return a generator that will draw the same."""
        other = Rng(0)
        other.s = list(self.s)
        return other
