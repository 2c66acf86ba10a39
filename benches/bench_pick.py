"""Picks, calls and changes of an upstream."""

import pytest

import cases


@pytest.mark.parametrize("n", [10, 1_000, 100_000])
def test_pick(benchmark, n):
    benchmark(cases.settled(n).pick)


@pytest.mark.parametrize("policy", ["random", "least_conn"])
def test_pick_by(benchmark, policy):
    benchmark(cases.upstream(1_000, policy).pick)


@pytest.mark.parametrize("n", [10, 1_000])
def test_acquire_and_done(benchmark, n):
    up = cases.settled(n)
    benchmark(lambda: up.acquire().done())


@pytest.mark.parametrize("n", [10, 1_000, 100_000])
def test_set_health(benchmark, n):
    """What one change of health costs: a new View, and the schedule recorded anew."""
    up = cases.upstream(n)
    target = up.targets[n // 2]

    def flip():
        up.set_health(target, False)
        up.set_health(target, True)

    benchmark(flip)


@pytest.mark.parametrize("n", [10, 1_000, 100_000])
def test_build(benchmark, n):
    benchmark(cases.upstream, n)
