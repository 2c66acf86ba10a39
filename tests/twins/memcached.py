"""The twin of ``policy/ketama_libmemcached.c``: a sorted list of points, searched from its beginning.

Single precision comes from ``struct``: a double rounded to it after each operation.  (The product or quotient of two
floats is rounded twice that way, and 53 >= 2 * 24 + 2 bits make that harmless.)
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Sequence

MASK = 2**32 - 1


def one_at_a_time(data: bytes) -> int:
    """Jenkins's hash of that name."""
    h = 0
    for byte in data:
        h = (h + byte) & MASK
        h = (h + (h << 10)) & MASK
        h ^= h >> 6
    h = (h + (h << 3)) & MASK
    h ^= h >> 11
    return (h + (h << 15)) & MASK


def words(data: bytes) -> tuple[int, ...]:
    """The four little-endian words of the md5."""
    return struct.unpack("<4I", hashlib.md5(data, usedforsecurity=False).digest())


def single(x: float) -> float:
    """``x`` in single precision."""
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


def digests(weight: int, total: int, n: int) -> int:
    """How many texts a server of the weighted ring has."""
    share = single(single(weight) / single(total))
    return math.floor(single(single(share * 40.0) * single(n)))


class Ketama:
    """``targets``: (address, hash_key or None, weight)."""

    def __init__(self, targets: Sequence[tuple[str, str | None, int]], weighted: bool = True) -> None:
        self.weighted = weighted
        total = sum(weight for *_, weight in targets)
        n = sum(weight > 0 for *_, weight in targets)
        points = []
        for i, (address, hash_key, weight) in enumerate(targets):
            if weight == 0:
                continue
            text = hash_key or address.removesuffix(":11211")
            for k in range(digests(weight, total, n) if weighted else 100):
                named = f"{text}-{k}".encode()
                points += [(h, i) for h in (words(named) if weighted else (one_at_a_time(named),))]
        self.points = sorted(points, key=lambda point: point[0])  # stable: of equal ones the first server

    def pick(self, key: bytes, usable: Callable[[int], bool]) -> int | None:
        """The owner of the first point at or after the key's hash, round at the end, who is usable."""
        h = words(key)[0] if self.weighted else one_at_a_time(key)
        after = [owner for point, owner in self.points if point >= h and usable(owner)]
        return next(iter(after or [owner for _, owner in self.points if usable(owner)]), None)
