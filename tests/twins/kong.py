"""The twin of ``policy/chash_kong.c``: a list of slots, and a walk down it one slot at a time."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence

MASK = 2**32 - 1
PRIMES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)


def _rotl(x: int, k: int) -> int:
    x &= MASK
    return ((x << k) | (x >> (32 - k))) & MASK


@functools.lru_cache(maxsize=100_000)  # examples share most of their texts
def xxh32(data: bytes, seed: int = 0) -> int:
    """XXH32 as doc/xxhash_spec.md has it, step by step."""
    p1, p2, p3, p4, p5 = PRIMES
    whole = len(data) // 16 * 16
    if whole:
        lanes = [seed + p1 + p2, seed + p2, seed, seed - p1]
        for at in range(0, whole, 16):
            for lane in range(4):
                word = int.from_bytes(data[at + 4 * lane : at + 4 * lane + 4], "little")
                lanes[lane] = _rotl(lanes[lane] + word * p2, 13) * p1
        acc = sum(_rotl(lane, k) for lane, k in zip(lanes, (1, 7, 12, 18), strict=True))
    else:
        acc = seed + p5
    acc += len(data)
    rest = data[whole:]
    for at in range(0, len(rest) // 4 * 4, 4):
        acc = _rotl(acc + int.from_bytes(rest[at : at + 4], "little") * p3, 17) * p4
    for byte in rest[len(rest) // 4 * 4 :]:
        acc = _rotl(acc + byte * p5, 11) * p1
    acc &= MASK
    acc = (acc ^ (acc >> 15)) * p2 & MASK
    acc = (acc ^ (acc >> 13)) * p3 & MASK
    return acc ^ (acc >> 16)


def host_and_port(text: str) -> tuple[str, int]:
    """``host:port`` or ``[ipv6]:port``, brackets kept; port 8000 where there is none."""
    found = re.fullmatch(r"(\[.*\]|[^:]+):([0-9]{1,5})", text, re.S)
    return (found[1], int(found[2])) if found and int(found[2]) <= 65535 else (text, 8000)


class Refused(Exception):
    """An address has tried more entries than there are slots."""


class Wheel:
    """``targets``: (address, hash_key or None, weight); ``slots[s]`` is the index of slot s's owner, or None."""

    def __init__(self, targets: Sequence[tuple[str, str | None, int]], slots: int = 10_000) -> None:
        n = max(slots, 1000)
        self.slots: list[int | None] = [None] * n
        names = [host_and_port(hash_key or address) for address, hash_key, _ in targets]
        addresses = [host_and_port(address) for address, _, _ in targets]
        total = sum(weight for *_, weight in targets)

        def order(i: int) -> tuple[bytes, int, bytes, int]:
            ip, port = addresses[i]
            return names[i][0].encode(), names[i][1], f"{ip}:{port}".encode(), i

        for i in sorted(range(len(targets)), key=order):
            weight = targets[i][2]
            if weight == 0:
                continue
            left = max(1, math.floor(weight / total * len(set(names)) * 160))
            ip, port = addresses[i]
            k = 1
            while left:
                slot = xxh32(f"{ip}::{port} {k}".encode()) % n
                if self.slots[slot] is None:
                    self.slots[slot] = i
                    left -= 1
                k += 1
                if k > n:
                    raise Refused

    def walk(self, key: bytes, usable: Callable[[int], bool]) -> Iterator[int]:
        """The owners of the slots from the key's one down, those that are usable."""
        n = len(self.slots)
        start = xxh32(key) % n
        for back in range(n):
            owner = self.slots[(start - back) % n]
            if owner is not None and usable(owner):
                yield owner

    def pick(self, key: bytes, usable: Callable[[int], bool]) -> int | None:
        """The first of them."""
        return next(self.walk(key, usable), None)
