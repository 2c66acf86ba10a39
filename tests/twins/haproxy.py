"""The twins of HAProxy's policies: its rules spelt out, with lists and scans.

A fleet is two lists: ``weights`` as configured and ``up``.  Members are indices into them.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
import zlib
from collections.abc import Iterator, Sequence

MASK = 0xFFFFFFFF
SCALE = 16  # points, or shares, a unit of weight

# ---- keys -----------------------------------------------------------------------------------------------------------


def sdbm(key: bytes) -> int:
    h = 0
    for byte in key:
        h = (byte + (h << 6) + (h << 16) - h) & MASK
    return h


def djb2(key: bytes) -> int:
    h = 5381
    for byte in key:
        h = (h * 33 + byte) & MASK
    return h


def wt6(key: bytes) -> int:
    def left(x: int, k: int) -> int:
        return (x << k | x >> (32 - k)) & MASK

    h0, h1, step0, step1 = 0xA53C965A, 0x5CA6953A, 6, 18
    for byte in key:
        h0, h1 = ~(h0 ^ byte) & MASK, ~(h1 + byte) & MASK
        h0, h1 = left(h1, step0), left(h0, step1)
        t = (h0 >> 16 ^ h1) & 0xFFFF
        step0, step1 = t & 31, t >> 11
    return h0 ^ h1


def number(key: bytes) -> int:
    """The decimal number that a key begins with, held within 64 bits, of which the low 32 count."""
    found = re.match(rb"[+-]?[0-9]+", key)
    return min(max(int(found[0]) if found else 0, -(2**63)), 2**63 - 1) & MASK


def full_hash(x: int) -> int:
    x = (x + 0x7ED55D16 + (x << 12)) & MASK
    x = x ^ 0xC761C23C ^ x >> 19
    x = (x + 0x165667B1 + (x << 5)) & MASK
    x = ((x + 0xD3A2646C) ^ x << 9) & MASK
    x = (x + 0xFD7046C5 + (x << 3)) & MASK
    x = x ^ 0xB55A4F09 ^ x >> 16
    return x * 3221225473 & MASK


def xxh32(data: bytes, seed: int) -> int:
    p1, p2, p3, p4, p5 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1

    def left(x: int, k: int) -> int:
        return (x << k | (x & MASK) >> (32 - k)) & MASK

    h, at = seed + p5, 0
    if len(data) >= 16:
        lanes = [seed + p1 + p2, seed + p2, seed, seed - p1]
        for at in range(0, len(data) - 15, 16):
            words = [int.from_bytes(data[at + 4 * i : at + 4 * i + 4], "little") for i in range(4)]
            lanes = [
                left(lane + word * p2 & MASK, 13) * p1 & MASK for lane, word in zip(lanes, words, strict=True)
            ]
        h = sum(left(lane, k) for lane, k in zip(lanes, (1, 7, 12, 18), strict=True))
        at = len(data) // 16 * 16
    h = h + len(data) & MASK
    while at + 4 <= len(data):
        h = left(h + int.from_bytes(data[at : at + 4], "little") * p3 & MASK, 17) * p4 & MASK
        at += 4
    for byte in data[at:]:
        h = left(h + byte * p5 & MASK, 11) * p1 & MASK
    h = (h ^ h >> 15) * p2 & MASK
    h = (h ^ h >> 13) * p3 & MASK
    return h ^ h >> 16


FUNCTIONS = {"sdbm": sdbm, "djb2": djb2, "wt6": wt6, "crc32": zlib.crc32, "none": number}


def key_hash(key: bytes, function: str, avalanche: bool) -> int | None:
    """None: an empty key, for which HAProxy takes turns."""
    if not key:
        return None
    h = FUNCTIONS["sdbm" if function == "default" else function](key)
    return full_hash(h) if avalanche or function == "default" else h


def source_hash(key: bytes, avalanche: bool) -> int | None:
    """None: no address."""
    try:
        packed = ipaddress.ip_address(key.decode().partition("%")[0]).packed
    except ValueError:
        return None
    h = 0
    for i in range(0, len(packed), 4):
        h ^= int.from_bytes(packed[i : i + 4], "big")
    return full_hash(h) if avalanche else h


# ---- consistent -----------------------------------------------------------------------------------------------------


def server_key(kind: str, position: int, address: str, hash_key: str | None) -> int:
    """What a server's points begin from; ``position`` counts from 0."""
    if kind in ("id", "id32"):
        n = int(hash_key) if hash_key else position + 1
        return n * 4096 if kind == "id" else full_hash(int.from_bytes(n.to_bytes(4, "little"), "big"))
    if kind == "guid":
        assert hash_key
        return xxh32(hash_key.encode(), 0)
    host, _, port = address.rpartition(":")
    ip = ipaddress.ip_address(host.strip("[]"))
    seed = full_hash(int(port)) if kind == "addr-port" else 0
    if ip.version == 6:
        return xxh32(ip.packed, seed)
    return full_hash((int.from_bytes(ip.packed, "little") + seed) & MASK)


def point(key: int, j: int) -> int:
    """The ``j``-th point of a server; HAProxy has up to 4,096."""
    first = full_hash((key + j % 4096) & MASK)
    return first if j < 4096 else full_hash((first + j // 4096) & MASK)


class Consistent:
    def __init__(
        self, weights: Sequence[int], up: Sequence[bool], keys: Sequence[int], factor: int = 0
    ) -> None:
        self.keys, self.factor = list(keys), factor
        self.turn = 0
        self.points: list[tuple[int, int]] = []
        self.change(weights, up)

    def change(self, weights: Sequence[int], up: Sequence[bool]) -> None:
        last = self.points[self.turn - 1][0] if self.turn else None
        self.shares = [w * SCALE if ok else 0 for w, ok in zip(weights, up, strict=True)]
        added = [(point(self.keys[i], j), i) for i, share in enumerate(self.shares) for j in range(share)]
        self.points = sorted(added, key=lambda p: p[0])  # stable: equal ones as they were added
        behind = [at for at, p in enumerate(self.points) if last is not None and p[0] > last]
        self.turn = behind[0] if behind else 0

    def pick(self, h: int | None, loads: Sequence[int] = ()) -> int | None:
        if not self.points:
            return None
        if h is None:
            at = self.turn
            self.turn = (at + 1) % len(self.points)
            return self.points[at][1]
        return next(self.walk(h, loads), None)

    def walk(self, h: int, loads: Sequence[int] = ()) -> Iterator[int]:
        """The owners in order of preference, once round."""
        begin = self.closest(h)
        for at in range(begin, begin + len(self.points)):
            member = self.points[at % len(self.points)][1]
            if not self.factor or loads[member] < self.slots(member, sum(loads)):
                yield member

    def closest(self, h: int) -> int:
        above = [at for at, p in enumerate(self.points) if p[0] >= h]
        after = above[0] if above else 0
        before = (after - 1) % len(self.points)
        down, up = (h - self.points[before][0]) & MASK, (self.points[after][0] - h) & MASK
        return before if down <= up else after

    def slots(self, member: int, in_flight: int) -> int:
        """How many a server may have in flight, the next request included."""
        everybody = math.ceil((in_flight + 1) * self.factor / 100)
        total, own, below = sum(self.shares), self.shares[member], sum(self.shares[:member])
        whole, crumbs = divmod(everybody, total)
        return max(1, own * whole + (below + own) * crumbs // total - below * crumbs // total)


# ---- the map --------------------------------------------------------------------------------------------------------


def make_map(weights: Sequence[int], up: Sequence[bool]) -> list[int]:
    """The members by place; what is down counts for the divisor only."""
    divisor = math.gcd(*weights)
    parts = {i: w // divisor for i, w in enumerate(weights) if w and up[i]}
    places, score, made = sum(parts.values()), dict.fromkeys(parts, 0), []
    for _ in range(places):
        for i, part in parts.items():
            score[i] += part
        best = max(parts, key=lambda i: int((score[i] + places) / places))  # of equal ones the first
        score[best] -= places
        made.append(best)
    return made


class Map:
    """Both ``hash-type map-based`` and, without keys, ``static-rr``."""

    def __init__(self, weights: Sequence[int], up: Sequence[bool]) -> None:
        self.turn = 0
        self.change(weights, up)

    def change(self, weights: Sequence[int], up: Sequence[bool]) -> None:
        self.place = make_map(weights, up)
        if self.turn >= len(self.place):
            self.turn = 0

    def pick(self, h: int | None = None) -> int | None:
        if not self.place:
            return None
        if h is not None:
            return self.place[h % len(self.place)]
        member = self.place[self.turn]
        self.turn = (self.turn + 1) % len(self.place)
        return member


# ---- roundrobin -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Server:
    share: int = 0
    rest: int = 0
    last: int = 0
    position: int = 0


class RoundRobin:
    """Three lists in order of coming; whoever is wanted is searched for."""

    def __init__(self, weights: Sequence[int]) -> None:
        self.server = [Server(w * SCALE) for w in weights]
        self.ready: list[int] = []
        self.fresh = [i for i, s in enumerate(self.server) if s.share]
        self.later: list[int] = []
        self.sum = self.round = self.now = sum(s.share for s in self.server)
        self.started = False

    def change(self, member: int, weight: int) -> None:
        """A server goes (0), comes back, or has a new weight."""
        s, share = self.server[member], weight * SCALE
        had = s.share
        if share == had:
            return
        home = next((q for q in (self.ready, self.fresh, self.later) if member in q), None)
        if home is not None:
            home.remove(member)
        s.share = share
        self.sum += share - had
        if not share:
            if not self.started:
                self.round = self.now = self.sum
        elif not had:
            left = self.sum + self.round - self.now
            s.position = self.now + left // share if left >= 0 else 2 * self.round
            self.enter(member)
        elif home is self.fresh:
            self.fresh.append(member)
        else:
            if home is self.later:
                s.position += self.round
            step = self.sum // share
            s.position = min(s.position, s.last + step)
            s.rest = 0
            if s.position < self.now + 2:
                s.position = self.now + step
            self.enter(member)

    def enter(self, member: int) -> None:
        s = self.server[member]
        if s.position >= 2 * self.round or s.position >= self.round + self.sum:
            s.position -= self.round
            self.later.append(member)
        else:
            self.ready.append(member)

    def order(self, member: int) -> int:
        s = self.server[member]
        return 256 * s.position + max(0, 4096 + s.rest - s.share) // SCALE

    def head(self) -> tuple[list[int], int] | None:
        """The queue and the member whose turn it is; min and max give the first of equal ones."""
        first = min(self.ready, key=self.order, default=None)
        if first is not None and (self.server[first].position <= self.now or not self.fresh):
            return self.ready, first
        if not self.fresh:
            return None
        member = max(self.fresh, key=lambda i: self.server[i].share)
        self.server[member].position = self.server[member].rest = 0
        return self.fresh, member

    def pick(self) -> int | None:
        if not self.sum:
            return None
        found = self.head()
        if not found:
            self.fresh, self.later = self.later, []
            self.round = self.now = self.sum
            found = self.head()
        assert found
        queue, member = found
        queue.remove(member)
        s = self.server[member]
        s.last = s.position or self.now
        s.position = s.last + self.sum // s.share
        s.rest += self.sum % s.share
        if s.rest >= s.share:  # once, also where more is left from a larger share
            s.rest -= s.share
            s.position += 1
        self.now += 1
        self.started = True
        self.enter(member)
        return member


# ---- leastconn ------------------------------------------------------------------------------------------------------


class LeastConn:
    """HAProxy's own way: one list, from which a server is taken and filed anew at the moment its load changes."""

    def __init__(self, weights: Sequence[int]) -> None:
        self.weight = list(weights)
        self.load = [0] * len(weights)
        self.filed = [i for i, w in enumerate(weights) if w]
        self.back: list[int] = []

    def key(self, member: int) -> int:
        n = self.load[member]
        return (n + 1) * 4096 // (SCALE * self.weight[member]) if n else 0

    def file(self, member: int) -> None:
        if member in self.filed:
            self.filed.remove(member)
            self.filed.append(member)

    def change(self, member: int, weight: int) -> None:
        """A server goes (0), comes back, or has a new weight: it is filed before the next pick."""
        if weight == self.weight[member]:
            return
        self.weight[member] = weight
        for queue in (self.filed, self.back):
            if member in queue:
                queue.remove(member)
        if weight:
            self.back.append(member)

    def acquire(self) -> int | None:
        self.filed += self.back
        self.back = []
        if not self.filed:
            return None
        member = min(self.filed, key=self.key)
        self.load[member] += 1
        self.file(member)
        return member

    def done(self, member: int) -> None:
        self.load[member] -= 1
        self.file(member)
