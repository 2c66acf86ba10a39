"""Envoy's schemes, slow and obviously right: ring, Maglev table, bounded loads, hash policies, levels, EDF.

The twins of ``policy/ring_hash.c``, ``maglev.c``, ``envoy_bounded.c``, ``weighted_clusters.c``, ``edf.c`` and
``hash/combine.h``.  Python's floats are the doubles that Envoy computes with.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from .rng import Rng

MASK = 2**64 - 1

# ---- hash functions ---------------------------------------------------------------------------------------------

P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def rotl(x: int, k: int) -> int:
    """Rotate 64 bits to the left."""
    return ((x << k) | (x >> (64 - k))) & MASK


def le(data: bytes) -> int:
    """Return the little endian number."""
    return int.from_bytes(data, "little")


def _round(lane: int, word: int) -> int:
    return rotl((lane + word * P2) & MASK, 31) * P1 & MASK


def xxh64(data: bytes, seed: int = 0) -> int:
    """Return XXH64, after its specification."""
    at = 0
    if len(data) < 32:
        h = (seed + P5) & MASK
    else:
        lanes = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        while len(data) - at >= 32:
            lanes = [_round(lane, le(data[at + 8 * i : at + 8 * i + 8])) for i, lane in enumerate(lanes)]
            at += 32
        h = sum(rotl(lane, k) for lane, k in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            h = ((h ^ _round(0, lane)) * P1 + P4) & MASK
    h = (h + len(data)) & MASK
    while len(data) - at >= 8:
        h = (rotl(h ^ _round(0, le(data[at : at + 8])), 27) * P1 + P4) & MASK
        at += 8
    if len(data) - at >= 4:
        h = (rotl(h ^ le(data[at : at + 4]) * P1 & MASK, 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        h = rotl(h ^ byte * P5 & MASK, 11) * P1 & MASK
    h = (h ^ h >> 33) * P2 & MASK
    h = (h ^ h >> 29) * P3 & MASK
    return h ^ h >> 32


def murmur2(data: bytes, seed: int) -> int:
    """Return MurmurHash64A; the bytes after the last whole word count as one little endian word."""
    m = 0xC6A4A7935BD1E995
    h = seed ^ len(data) * m & MASK
    whole = len(data) // 8 * 8
    for at in range(0, whole, 8):
        k = le(data[at : at + 8]) * m & MASK
        h = (h ^ (k ^ k >> 47) * m & MASK) * m & MASK
    if data[whole:]:
        h = (h ^ le(data[whole:])) * m & MASK
    h = (h ^ h >> 47) * m & MASK
    return h ^ h >> 47


class Mt19937:
    """The 32-bit Mersenne Twister, seeded by one word; all words are renewed at once."""

    def __init__(self, seed: int) -> None:
        self.words = [seed & 0xFFFFFFFF]
        for i in range(1, 624):
            before = self.words[-1]
            self.words.append((1812433253 * (before ^ before >> 30) + i) & 0xFFFFFFFF)
        self.at = 624

    def next(self) -> int:
        """Return the next 32-bit number."""
        if self.at == 624:
            w = self.words
            for i in range(624):
                y = w[i] & 0x80000000 | w[(i + 1) % 624] & 0x7FFFFFFF
                w[i] = w[(i + 397) % 624] ^ y >> 1 ^ (0x9908B0DF if y & 1 else 0)
            self.at = 0
        y = self.words[self.at]
        self.at += 1
        y ^= y >> 11
        y ^= y << 7 & 0x9D2C5680
        y ^= y << 15 & 0xEFC60000
        return y ^ y >> 18

    def below(self, k: int) -> int:
        """Return one of ``0..k-1``."""
        while (x := self.next() // (2**32 // k)) >= k:
            pass
        return x


# ---- hash policies ----------------------------------------------------------------------------------------------


def values_hash(values: Sequence[bytes]) -> int:
    """Return the hash of a part that was sent several times: sorted, each hash the seed of the next."""
    h = 0
    for value in sorted(values):
        h = xxh64(value, h)
    return h


def combine(parts: Iterable[tuple[Sequence[bytes], bool]]) -> int | None:
    """Return the hash of a request; ``parts``: the values of each part (none: not sent), and whether it is terminal."""
    h = None
    for values, terminal in parts:
        if values:
            h = values_hash(values) ^ (0 if h is None else rotl(h, 1))
        if terminal and h is not None:
            break
    return h


# ---- ring and table: hosts are (text, weight), usable ones only, in the order of the list -----------------------

Host = tuple[bytes, int]


def shares(hosts: Sequence[Host]) -> list[float]:
    """Return the normalised weights."""
    total = sum(weight for _, weight in hosts)
    return [weight / total for _, weight in hosts]


def murmur_point(data: bytes) -> int:
    """Return a point of a MURMUR_HASH_2 ring."""
    return murmur2(data, 0xC70F6907)


class Ring:
    """All points, sorted."""

    def __init__(
        self,
        hosts: Sequence[Host],
        minimum: int = 1024,
        maximum: int = 8388608,
        point: Callable[[bytes], int] = xxh64,
    ) -> None:
        share = shares(hosts)
        scale = min(math.ceil(min(share) * minimum) / min(share), float(maximum))
        current = target = 0.0
        points = []
        for i, (text, _) in enumerate(hosts):
            target += scale * share[i]
            number = 0
            while current < target:
                points.append((point(b"%s_%d" % (text, number)), i))
                number += 1
                current += 1
        self.points = sorted(points, key=lambda p: p[0])  # stable: of equal ones the first added is first
        self.hashes = [h for h, _ in self.points]

    def pick(self, h: int, step: int = 0) -> int:
        """Return a host: the first point at or after ``h``, and ``step`` further."""
        return self.points[(bisect.bisect_left(self.hashes, h) + step) % len(self.points)][1]


class Maglev:
    """The table, a slot at a time."""

    def __init__(self, hosts: Sequence[Host], size: int = 65537) -> None:
        share = shares(hosts)
        order = sorted(range(len(hosts)), key=lambda i: hosts[i][0])
        offset = [xxh64(text) % size for text, _ in hosts]
        skip = [xxh64(text, 1) % (size - 1) + 1 for text, _ in hosts]
        tried, target = [0] * len(hosts), [0.0] * len(hosts)
        slots: list[int | None] = [None] * size
        filled = iteration = 0
        while filled < size:
            iteration += 1
            for i in order:
                if filled == size or iteration * share[i] < target[i]:
                    continue
                target[i] += max(share)
                while slots[at := (offset[i] + skip[i] * tried[i]) % size] is not None:
                    tried[i] += 1
                slots[at] = i
                filled += 1
        self.slots = slots

    def pick(self, h: int, step: int = 0) -> int:
        """Return the host of a slot; a further step changes the hash by exclusive or with -step."""
        host = self.slots[(h ^ -step & MASK) % len(self.slots)]
        assert host is not None
        return host


def bounded(
    first: int, h: int, hosts: Sequence[Host], calls: Sequence[int], all_calls: int, factor: int
) -> int:
    """Return who takes a call; ``calls`` are those in flight by host, ``all_calls`` those of the whole cluster."""
    slots = ((all_calls + 1) * factor + 99) // 100
    load = [n / max(math.ceil(slots * share), 1) for n, share in zip(calls, shares(hosts), strict=True)]
    if load[first] <= 1:
        return first
    order, mt = list(range(len(hosts))), Mt19937(h)
    for i in range(len(hosts)):
        j = i + mt.below(len(hosts) - i)
        order[i], order[j] = order[j], order[i]
    others = [i for i in order if i != first]
    for i in others:
        if load[i] <= 1:
            return i
    return min([first, *others], key=lambda i: load[i])  # of equal ones the first


def weighted_clusters(key: bytes, weights: Sequence[int], usable: Sequence[bool]) -> int | None:
    """Return the member for a key; one that is down hands its keys to the others by weight."""
    left = [w if up else 0 for w, up in zip(weights, usable, strict=True)]
    if not any(left):
        return None
    is_number = key.isdigit() and int(key) <= MASK
    number = int(key) if is_number else xxh64(key)
    chosen = [i for i, w in enumerate(weights) for _ in range(w)][number % sum(weights)]
    if left[chosen]:
        return chosen
    again = xxh64(number.to_bytes(8, "little")) % sum(left)
    return [i for i, w in enumerate(left) for _ in range(w)][again]


# ---- priorities and panic ---------------------------------------------------------------------------------------


def level_of(h: int, levels: Sequence[tuple[int, int]]) -> int:
    """Return the priority level of a hash; ``levels``: (healthy hosts, all hosts) of each."""
    health = [min(100, 140 * healthy // n) for healthy, n in levels]
    total = min(100, sum(health))
    loads, left = [], 100
    for percent in health:
        loads.append(min(left, percent * 100 // total))
        left -= loads[-1]
    loads[next(i for i, percent in enumerate(health) if percent)] += left
    return next(i for i in range(len(loads)) if h % 100 + 1 <= sum(loads[: i + 1]))


def is_panic(healthy: int, n: int, threshold: int, availability: int) -> bool:
    """Whether all hosts of a level count as healthy; ``availability``: min(100, sum of all levels' health)."""
    return 100 * healthy / n < threshold and availability < 100


# ---- earliest deadline first ------------------------------------------------------------------------------------


class Edf:
    """A list of (deadline, order of insertion, member), deadlines as fractions; whoever is least is next."""

    def __init__(
        self,
        weights: Sequence[int],
        seed: int | None = None,
        *,
        previous: Edf | None = None,
        old_index: Sequence[int | None] = (),
    ) -> None:
        """With ``previous``: ``old_index[i]`` is where member i was; without a seed from phase 0."""
        self.weights = list(weights)
        usable = [i for i, w in enumerate(weights) if w > 0]
        self.now, self.inserted = Fraction(0), 0
        if previous is not None:
            self.now, self.inserted = previous.now, previous.inserted
        elif seed is not None:
            rng = Rng(seed)
            first = rng.below(len(usable)) if usable else 0
            usable = usable[first:] + usable[:first]
            self.now = Fraction(rng.below(2**20), 2**20)
        self.entries: list[tuple[Fraction, int, int]] = []
        for i in usable:
            old = old_index[i] if previous is not None else None
            if previous is not None and old is not None and previous.weights[old] == weights[i]:
                deadline, order, _ = next(e for e in previous.entries if e[2] == old)
                self.entries.append((deadline, order, i))
            else:
                self._insert(i)

    def _insert(self, member: int) -> None:
        """Due at the first multiple of 1/w after now."""
        w = self.weights[member]
        self.entries.append((Fraction(math.floor(self.now * w) + 1, w), self.inserted, member))
        self.inserted += 1

    def pick(self) -> int | None:
        """Return the next member."""
        if not self.entries:
            return None
        first = min(self.entries)
        self.entries.remove(first)
        self.now, _, member = first
        self._insert(member)
        return member


def explained(weights: Sequence[int], picks: Sequence[int]) -> bool:
    """Whether the picks are a stretch of a schedule by earliest deadline, with ties in any order.

    Member i is due at each multiple of 1/w_i.  A stretch begins at some moment of the first unit of time, where some
    of those that are due may have been served before it; all who are due at a moment come before those of the next.
    """
    moments = sorted({Fraction(k, w) for w in weights if w for k in range(1, w + 1)})
    due = [{i for i, w in enumerate(weights) if w and (t * w).denominator == 1} for t in moments]
    return any(_runs(due, start, picks) for start in range(len(moments)))


def _runs(due: Sequence[set[int]], start: int, picks: Sequence[int]) -> bool:
    """Whether the picks begin among those due at ``start``: whoever of them does not come now was served before."""
    at, left, first = start, set(due[start]), True
    for pick in picks:
        if pick not in left:
            if left and not first:
                return False
            at, left, first = (at + 1) % len(due), set(due[(at + 1) % len(due)]), False
            if pick not in left:
                return False
        left.discard(pick)
    return True
