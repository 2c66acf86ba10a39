"""The twin of ``policy/jump.c``: the loop of the paper, in its doubles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .rng import MASK, splitmix

TRIES = 64


def jump(key: int, n: int) -> int:
    """The bucket of ``key`` among ``n``: each jump's length is drawn by a generator that the key seeds."""
    bucket, following = 0, 0
    while following < n:
        bucket = following
        key = (key * 2862933555777941757 + 1) & MASK
        following = int((bucket + 1) * (float(2**31) / float((key >> 33) + 1)))
    return bucket


def tries(number: int, n: int) -> Iterator[int]:
    """The buckets that are tried for one number, usable or not."""
    for _ in range(TRIES):
        yield jump(number, n)
        number = splitmix(number)[1]


def pick(number: int, usable: Sequence[bool]) -> int | None:
    """The first usable one; after the last try the core's own rule, by the number; None if nobody is usable."""
    if not any(usable):
        return None
    among = [i for i, yes in enumerate(usable) if yes]
    return next((i for i in tries(number, len(usable)) if usable[i]), among[number % len(among)])
