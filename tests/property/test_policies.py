"""Contract of every selection policy: a new one is born tested."""

import collections
import contextlib
import hashlib
import itertools

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore

SEEDS = st.integers(0, 2**64 - 1)
every_policy = pytest.mark.parametrize("policy", lbcore.policies())

# Failover order is no share of the load: one target serves and the others stand by.
every_spreading_policy = pytest.mark.parametrize(
    "policy", [name for name in lbcore.policies() if name != "first"]
)


KEYED = {name for name, policy in lbcore.policies().items() if policy.keyed}


def upstream(policy, weights, seed, **more):
    """Some schemes refuse fleets that they cannot hold: such an example says nothing."""
    targets = [lbcore.Target(f"10.0.{i // 250}.{i % 250}:80", weight=w) for i, w in enumerate(weights)]
    try:
        return lbcore.Upstream("u", targets, policy, seed=seed, **more)
    except lbcore.ConfigError as refused:
        hypothesis.reject() if hypothesis.currently_in_test_context() else pytest.skip(str(refused))


def keys(policy):
    """Arguments of one pick after the other: addresses, for some schemes hash nothing else, drawn over all of them."""
    for i in itertools.count():
        yield (".".join(map(str, hashlib.md5(b"%d" % i).digest()[:4])),) if policy in KEYED else ()


@every_policy
@given(
    weights=st.lists(st.integers(0, 1000), max_size=12),
    flips=st.lists(st.tuples(st.integers(0, 11), st.booleans()), max_size=30),
    seed=SEEDS,
)
def test_only_usable_targets_are_picked(policy, weights, flips, seed):
    up, key = upstream(policy, weights, seed), keys(policy)
    usable = [w > 0 for w in weights]
    for i, state in flips:
        if i < len(weights):
            up.set_health(up.targets[i], state)
            usable[i] = state and weights[i] > 0
        if any(usable):
            assert usable[up.pick(*next(key)).index]
        else:
            with pytest.raises(lbcore.NoTarget):
                up.pick(*next(key))
            assert up.pick_or_none(*next(key)) is None


@every_policy
@given(weights=st.lists(st.integers(0, 20), min_size=1, max_size=8), seed=SEEDS, n=st.integers(1, 200))
def test_the_same_seed_gives_the_same_picks(policy, weights, seed, n):
    one, two = (upstream(policy, weights, seed) for _ in range(2))
    for i, key in zip(range(n), keys(policy), strict=False):
        a, b = one.pick_or_none(*key), two.pick_or_none(*key)
        assert (a and a.index) == (b and b.index)
        if i % 7 == 3:
            for up in (one, two):
                with contextlib.suppress(lbcore.ConfigError):  # schemes that refuse a fleet: both do
                    up.set_weight(up.targets[i % len(weights)], i % 5)


@every_spreading_policy
@given(weights=st.lists(st.integers(1, 50), min_size=1, max_size=10), seed=SEEDS)
def test_every_usable_target_is_reached(policy, weights, seed):
    if policy in KEYED:  # in some schemes a target far lighter than the mean owns nothing
        weights = [1 + weight % 8 for weight in weights]
    up = upstream(policy, weights, seed)
    calls = [up.acquire(*key) for _, key in zip(range(60 * sum(weights)), keys(policy), strict=False)]
    counts = collections.Counter(call.target.index for call in calls)
    assert set(counts) == set(range(len(weights)))
    for call in calls:
        call.done()
    assert up.stats()["in_flight"] == 0


@every_spreading_policy
def test_shares_follow_the_weights(policy):
    weights = [1, 2, 3, 10]
    up = upstream(policy, [10 * w for w in weights], seed=7)  # tens, for the rings with few points a unit
    calls = [up.acquire(*key) for _, key in zip(range(16_000), keys(policy), strict=False)]
    for i, weight in enumerate(weights):
        share = sum(call.target.index == i for call in calls)
        within = 5 * (1000 * weight) ** 0.5
        if policy in KEYED:  # points are few: 40 of weight 1 say the share to a sixth, and this allows two
            within = 350 * weight
        assert abs(share - 1000 * weight) < within
    for call in calls:
        call.done()


@pytest.mark.parametrize("policy", sorted(KEYED))
@given(n=st.integers(2, 8), weight=st.integers(1, 8), seeds=st.tuples(SEEDS, SEEDS))
def test_a_key_keeps_its_target(policy, n, weight, seeds):
    """Whatever else is picked in between, in whichever process: the seed has no part in it."""
    one, other = (upstream(policy, [weight] * n, seed) for seed in seeds)
    given_ = list(itertools.islice(keys(policy), 40))
    homes = [one.pick(*key).index for key in given_]
    assert [one.pick(*key).index for key in reversed(given_)] == homes[::-1]
    assert [other.pick(*key).index for key in given_] == homes


@every_policy
def test_a_policy_describes_itself(policy):
    described = lbcore.policies()[policy]
    assert described.name == policy
    assert described.summary.endswith(".")
    for p in described.parameters:
        assert p.doc.endswith(".")
        if p.words:
            wrong_values = ("wrong", 7, None)
        else:
            assert p.min <= p.default <= p.max
            wrong_values = (p.min - 1, p.max + 1, float("nan"), "1", None, True)
        for wrong in wrong_values:
            with pytest.raises(lbcore.ConfigError) as e:
                lbcore.policy(policy, **{p.name: wrong})
            assert f"policy.{p.name}" in str(e.value)
            assert (
                f"{p.min:g}" if not p.words else "True" if p.range.startswith("True") else p.words[0]
            ) in str(e.value)


@every_spreading_policy
def test_one_hundred_thousand_targets(policy):
    up = upstream(policy, [1 + i % 10 for i in range(100_000)], seed=1)
    key, down = keys(policy), up.targets[5]
    narrow = policy in (
        "hash_nginx",
        "ip_hash_nginx",
    )  # nginx's numbers end at 32,767 and at 6,270 units of weight
    assert len({up.pick(*next(key)).index for _ in range(1000)}) > (500 if narrow else 900)
    up.set_health(down, False)
    assert all(up.pick(*next(key)) is not down for _ in range(1000))
