"""Which keys a change of targets or policy moves: counted on a sample, with both states built aside."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence

from lbcore._core import Upstream

SAMPLE = 4096  # keys


def drawn_keys(n: int, ip: bool, seed: int) -> list[str]:
    """Texts of 16 digits, or IPv4 addresses, the same for the same seed."""
    draw = random.Random(seed)
    return [address(draw.getrandbits(32)) if ip else f"{draw.getrandbits(64):016x}" for _ in range(n)]


def address(number: int) -> str:
    """The IPv4 address of a number, of which the low 32 bits count."""
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def places_moved(before: Sequence[Hashable], after: Sequence[Hashable]) -> list[int]:
    """The places at which the picks are not the same."""
    return [i for i, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]


def least_moves(before: Sequence[Hashable], after: Sequence[Hashable]) -> int:
    """How many picks must differ, as the shares are not the same."""
    return sum((Counter(before) - Counter(after)).values())


def share_moved(before: Upstream, after: Upstream) -> float | None:
    """The share (0..1) of keys whose target is another one afterwards; None if either policy places no keys.

    Of the policies, targets and weights alone: for targets that are all healthy.  The sample are addresses, which every
    policy by key takes.  A key without a target is one that has moved.
    """
    if not (before.policy.keyed and after.policy.keyed):
        return None
    keys = drawn_keys(SAMPLE, True, 0)
    was, now = (_ids(upstream, keys) for upstream in (before, after))
    return len(places_moved(was, now)) / SAMPLE


def _ids(upstream: Upstream, keys: list[str]) -> list[str | None]:
    targets = upstream.targets
    return [None if i < 0 else targets[i].id for i in upstream.pick_keys(keys)]
