"""The twin of ``policy/stable.c``: all claims to all slots in one sorted list.

Scores are the core's integers, computed by the recipe of docs/policies/hash.md; everything else is exact fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

MASK = 2**64 - 1
BITS = 38  # scores count 2^-38


# ---- XXH64, by its specification --------------------------------------------------------------------------------

P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def _rotl(x: int, k: int) -> int:
    x &= MASK
    return (x << k | x >> (64 - k)) & MASK


def _round(sum_: int, word: int) -> int:
    return _rotl(sum_ + word * P2, 31) * P1 & MASK


def xxh64(data: bytes) -> int:
    """The hash with seed 0."""
    words = [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]
    sum_ = P5
    if len(data) >= 32:
        lanes = [P1 + P2, P2, 0, -P1]
        for stripe in range(len(data) // 32):
            lanes = [_round(lane, words[4 * stripe + i]) for i, lane in enumerate(lanes)]
        sum_ = sum(_rotl(lane, k) for lane, k in zip(lanes, (1, 7, 12, 18), strict=True))
        for lane in lanes:
            sum_ = (sum_ ^ _round(0, lane)) * P1 + P4
    sum_ += len(data)
    for word in words[len(data) // 32 * 4 : len(data) // 8]:
        sum_ = _rotl(sum_ ^ _round(0, word), 27) * P1 + P4
    rest = data[len(data) // 8 * 8 :]
    if len(rest) >= 4:
        sum_ = _rotl(sum_ ^ int.from_bytes(rest[:4], "little") * P1, 23) * P2 + P3
        rest = rest[4:]
    for byte in rest:
        sum_ = _rotl(sum_ ^ byte * P5, 11) * P1
    sum_ &= MASK
    sum_ = (sum_ ^ sum_ >> 33) * P2 & MASK
    sum_ = (sum_ ^ sum_ >> 29) * P3 & MASK
    return sum_ ^ sum_ >> 32


# ---- scores -----------------------------------------------------------------------------------------------------


def _log_step(y: int) -> int:
    """ln((y + 1) / (y - 1)) in units of 2^-58: 2 (1/y + 1/(3 y^3) + ...), each term rounded down."""
    power, k, total = 2 ** (BITS + 21) // y, 1, 0
    while power:
        total += power // k
        power, k = power // (y * y), k + 2
    return total


LOG = [sum(_log_step(129 + 2 * i) for i in range(j)) >> 20 for j in range(65)]  # ln(1 + j / 64)


def score(slots: int, turn: int) -> int:
    """-ln(1 - (turn + 1/2) / slots)."""
    whole, left, total = 2 * slots, 2 * (slots - turn) - 1, 0
    while 2 * left <= whole:
        left, total = 2 * left, total + LOG[64]
    j = 64 * (whole - left) // left
    high, low = 64 * whole, (64 + j) * left
    z = ((high - low) << BITS) // (high + low)
    z2 = z * z >> BITS
    z3 = z * z2 >> BITS
    z5 = z3 * z2 >> BITS
    return total + LOG[j] + 2 * (z + z3 // 3 + z5 // 5)


# ---- the table --------------------------------------------------------------------------------------------------


class Stable:
    """``targets``: (text, identity, weight) each; text is the hash_key, else the identity."""

    def __init__(self, targets: Sequence[tuple[str, str, int]], slots: int) -> None:
        self.slots = slots
        members = [i for i, (_, _, weight) in enumerate(targets) if weight > 0]
        total = sum(targets[i][2] for i in members)
        names = {i: (targets[i][0].encode(), targets[i][1].encode()) for i in members}
        rank = {member: r for r, member in enumerate(sorted(members, key=names.__getitem__))}
        scores = [score(slots, turn) for turn in range(slots)]
        claims: list[tuple[Fraction, int, int, int]] = []  # score, rank, member, slot
        for i in members:
            h = xxh64(names[i][0])
            off, skip = (h >> 32) * slots >> 32, 1 + ((h & 0xFFFFFFFF) * (slots - 1) >> 32)
            for turn in range(slots):
                claims.append(
                    (Fraction(scores[turn], targets[i][2]), rank[i], i, (off + turn * skip) % slots)
                )
        claims.sort()
        self.claims: list[list[int]] = [[] for _ in range(slots)]  # by slot: members, the best claim first
        self.owner: list[int | None] = [None] * slots
        wanting = {i: -(-102 * slots * targets[i][2] // (100 * total)) for i in members}  # rounded up
        for _, _, i, slot in claims:
            self.claims[slot].append(i)
            if self.owner[slot] is None and wanting[i]:
                self.owner[slot] = i
                wanting[i] -= 1

    def order(self, key_hash: int) -> list[int]:
        """All members with a weight, the most preferred first; who is down is to be left out."""
        slot = key_hash * self.slots >> 64
        owner = self.owner[slot]
        return [] if owner is None else [owner, *(i for i in self.claims[slot] if i != owner)]
