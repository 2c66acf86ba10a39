"""One-route changes of large tables: CPU time of this thread, which other work on the machine does not move.

Run by ``make bench``; ``python benches/bench_change.py`` prints what 50 changes a second take of a core.
"""

from __future__ import annotations

import random
import time

import pytest

import lbcore

PER_SECOND = 50


def table(n: int) -> list[lbcore.Route]:
    """Prefixes of four segments, as large tables have them."""
    return [
        lbcore.Route(f"r{i}", hosts=[f"h{i % 1000}.example"], path=f"/svc{i // 1000}/v1/r{i}")
        for i in range(n)
    ]


def changed(router: lbcore.Router, turn: int, rng: random.Random) -> lbcore.Router:
    """A route somewhere is replaced."""
    i = rng.randrange(len(router))
    new = lbcore.Route(f"n{turn}", hosts=[f"h{i % 1000}.example"], path=f"/svc/v2/r{turn}")
    return router.changed(removed=[i], added=[(new, i)])


def share_of_a_core(n: int, turns: int = 1_000) -> float:
    """CPU seconds that ``PER_SECOND`` changes take, tables of one's own included."""
    rng = random.Random(1)
    router = lbcore.Router(table(n), seed=1)
    begun = time.thread_time()
    for turn in range(turns):
        router = changed(router, turn, rng)
    return (time.thread_time() - begun) / turns * PER_SECOND


@pytest.mark.parametrize("n", [10_000, 100_000])
def test_one_change(benchmark, n):
    rng = random.Random(1)
    router = lbcore.Router(table(n), seed=1)
    benchmark.group = "change"
    benchmark(lambda: changed(router, 0, rng))


if __name__ == "__main__":
    for size in (10_000, 100_000):
        print(f"{size:7} routes: {PER_SECOND} changes/s take {share_of_a_core(size):.2%} of a core")
