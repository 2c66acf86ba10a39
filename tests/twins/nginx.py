"""The twins of nginx's five policies: each rule as it is told, in lists and loops.

Members are indices into ``weights``, the configured ones.  A member that is not ``up`` keeps what it has: its points on
the ring, its part of the sum of weights and its current weight.
"""

from __future__ import annotations

import bisect
import ipaddress
import itertools
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction

TRIES = 21  # members that a key may name before round robin decides


class Smooth:
    """``policy/smooth_nginx.c``: everybody gains its weight, the richest is chosen and pays them all."""

    def __init__(self, weights: Sequence[int]) -> None:
        self.weights = list(weights)
        self.up = [True] * len(self.weights)
        self.current = [0] * len(self.weights)

    def usable(self) -> list[int]:
        """Return who may be picked."""
        return [i for i, weight in enumerate(self.weights) if weight > 0 and self.up[i]]

    def turn(self, candidates: Sequence[int]) -> int | None:
        """Return the candidate whose turn it is; the first in the list of equal ones; None: there is none."""
        for i in candidates:
            self.current[i] += self.weights[i]
        best = max(candidates, key=lambda i: (self.current[i], -i), default=None)
        if best is not None:
            self.current[best] -= sum(self.weights[i] for i in candidates)
        return best

    def pick(self) -> int | None:
        """Return the next member."""
        return self.turn(self.usable())

    def take_over(self, previous: Smooth, old_index: Sequence[int | None]) -> None:
        """Go on from another fleet: nobody more than a round ahead or behind."""
        for i, old in enumerate(old_index):
            if old is not None:
                self.up[i] = previous.up[old]
                self.current[i] = max(-sum(self.weights), min(previous.current[old], sum(self.weights)))


class LeastConn(Smooth):
    """``policy/least_conn_nginx.c``: ``load`` arguments are the in-flight counts by member."""

    def least(self, load: Sequence[int]) -> int | None:
        """Return the least loaded for its weight; among equals by smooth turns."""
        cost = {i: Fraction(load[i], self.weights[i]) for i in self.usable()}
        return self.turn([i for i in cost if cost[i] == min(cost.values())])


class Keyed(Smooth):
    """What the keyed policies share: members by the key, then smooth turns."""

    def named(self, key: bytes) -> Iterator[int]:
        """Yield whom the key names, one try after the other, usable or not; nobody: it cannot be hashed."""
        raise NotImplementedError

    def at(self, unit: int) -> int:
        """Return the member at a unit of the line of weights."""
        unit %= sum(self.weights)
        for i, weight in enumerate(self.weights):
            if unit < weight:
                return i
            unit -= weight
        raise AssertionError

    def pick_by(self, key: bytes) -> int | None:
        """Return the member of a key."""
        for member in itertools.islice(self.named(key), TRIES):
            if member in self.usable():
                return member
        return self.pick()


class Hash(Keyed):
    """``policy/hash_nginx.c``."""

    def named(self, key: bytes) -> Iterator[int]:
        """See :class:`Keyed`."""
        total = 0
        for r in itertools.count() if key and sum(self.weights) else ():
            total += (zlib.crc32((str(r).encode() if r else b"") + key) >> 16) & 0x7FFF
            yield self.at(total)


class IpHash(Keyed):
    """``policy/ip_hash_nginx.c``."""

    @staticmethod
    def bytes_of(key: bytes) -> bytes:
        """Return what is hashed of a client; empty: it has no address."""
        if key == b"unix:":
            return bytes(3)
        try:
            address = ipaddress.ip_address(key.decode())
        except ValueError:
            return b""
        return address.packed[:3] if address.version == 4 else address.packed

    def named(self, key: bytes) -> Iterator[int]:
        """See :class:`Keyed`."""
        h = 89
        while sum(self.weights) and self.bytes_of(key):
            for byte in self.bytes_of(key):
                h = (h * 113 + byte) % 6271
            yield self.at(h)


class Ketama(Keyed):
    """``policy/ketama_nginx.c``; ``texts`` are the addresses, or what is to be hashed instead."""

    def __init__(self, weights: Sequence[int], texts: Sequence[str]) -> None:
        super().__init__(weights)
        self.texts = [text.encode() for text in texts]
        self.ring: dict[int, bytes] = {}
        for weight, text in zip(self.weights, self.texts, strict=True):
            for point in self.points(text, weight):
                self.ring.setdefault(point, text)
        self.sorted = sorted(self.ring)

    @staticmethod
    def points(text: bytes, weight: int) -> Iterator[int]:
        """Yield 160 points a unit of weight."""
        host, colon, port = text.rpartition(b":")
        if text[:5].lower() == b"unix:":
            host, port = text[5:], b""
        elif not colon or port.strip(b"0123456789"):
            host, port = text, b""
        point = 0
        for _ in range(160 * weight):
            point = zlib.crc32(host + b"\0" + port + point.to_bytes(4, "little"))
            yield point

    def pick_by(self, key: bytes) -> int | None:
        """Return the member of a key: at each point, smooth turns among the usable ones with its text."""
        if not key or sum(weight > 0 for weight in self.weights) < 2:
            return self.pick()
        start = bisect.bisect_left(self.sorted, zlib.crc32(key))
        for point in range(start, start + TRIES):
            text = self.ring[self.sorted[point % len(self.sorted)]]
            member = self.turn([i for i in self.usable() if self.texts[i] == text])
            if member is not None:
                return member
        return self.pick()
