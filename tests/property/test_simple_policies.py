"""random and least_conn against their twins."""

from hypothesis import given
from hypothesis import strategies as st

import lbcore
from twins.least_conn import LeastConn
from twins.random import Alias, Random
from twins.rng import Rng

WEIGHTS = st.lists(st.integers(0, 1000), min_size=1, max_size=12)
SEEDS = st.integers(0, 2**64 - 1)


def upstream(policy, weights, seed):
    return lbcore.Upstream(
        "u", [lbcore.Target(f"t{i}", weight=w) for i, w in enumerate(weights)], policy, seed=seed
    )


@given(weights=WEIGHTS, seed=SEEDS)
def test_random_is_its_twin(weights, seed):
    up, twin, rng = upstream("random", weights, seed), Random(weights), Rng(seed)
    for _ in range(50):
        target = up.pick_or_none()
        assert (target.index if target else None) == twin.pick(rng)


@given(weights=WEIGHTS)
def test_the_alias_table_is_exact(weights):
    total = sum(weights)
    assert all(chance * total == weights[i] for i, chance in Alias(weights).chances().items())


@given(weights=WEIGHTS, seed=SEEDS, ends=st.lists(st.integers(0, 30), max_size=60))
def test_least_conn_is_its_twin(weights, seed, ends):
    """``ends``: after each acquire, the open call that ends (if there are so many)."""
    up, twin, rng = upstream("least_conn", weights, seed), LeastConn(weights, seed), Rng(seed)
    load, calls = [0] * len(weights), []
    for end in ends:
        want = twin.pick(load, rng)
        if want is None:
            assert up.pick_or_none() is None
            continue
        calls.append(up.acquire())
        assert calls[-1].target.index == want
        load[want] += 1
        if end < len(calls):
            call = calls.pop(end)
            load[call.target.index] -= 1
            call.done()
    for call in calls:
        call.done()


def test_least_conn_above_the_flat_scan():
    weights = [1 + i % 7 for i in range(1500)]
    up, twin, rng = upstream("least_conn", weights, 5), LeastConn(weights, 5), Rng(5)
    load, calls = [0] * len(weights), []
    for _ in range(2000):
        calls.append(up.acquire())
        assert calls[-1].target.index == twin.pick(load, rng)
        load[calls[-1].target.index] += 1
    for call in calls:
        call.done()


def test_ties_of_least_conn_go_round():
    up = upstream("least_conn", [1] * 5, 1)
    got = []
    for _ in range(10):
        with up.acquire() as call:
            got.append(call.target.index)
    assert sorted(got[:5]) == sorted(got[5:]) == [0, 1, 2, 3, 4]
