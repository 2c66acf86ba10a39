"""jump against its twin, and what the scheme promises."""

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from twins.jump import pick, tries

NUMBERS = st.integers(0, 2**64 - 1)
KEYS = range(2000)


def shards(n, weight=1):
    return [lbcore.Target(f"shard-{i}", weight=weight) for i in range(n)]


@given(n=st.integers(1, 40), numbers=st.lists(NUMBERS, max_size=30), down=st.sets(st.integers(0, 39)))
def test_it_is_its_twin(n, numbers, down):
    up = lbcore.Upstream("u", shards(n, 7), "jump")
    for i in down & set(range(n)):  # by health and by weight: the number stays either way
        if i % 2:
            up.set_health(up.targets[i], False)
        else:
            up.set_weight(up.targets[i], 0)
    usable = [i not in down for i in range(n)]
    for number in numbers:
        got = up.pick_or_none(lbcore.Hashed(number))
        assert (got.index if got else None) == pick(number, usable)


@given(number=NUMBERS, n=st.integers(1, 1000))
def test_a_bucket_more_takes_only_for_itself(number, n):
    before, after = (next(tries(number, m)) for m in (n, n + 1))
    assert after in (before, n)


def test_a_target_appended_takes_its_part_and_no_other_moves():
    up = lbcore.Upstream("u", shards(9), "jump")
    before = {key: up.pick(key).index for key in KEYS}
    up.update(shards(10))
    moved = [key for key in KEYS if up.pick(key).index != before[key]]
    assert all(up.pick(key).index == 9 for key in moved)
    assert abs(len(moved) - 200) < 5 * 13.5  # a tenth of 2,000, 5 sigma
    up.update(shards(9))
    assert all(up.pick(key).index == before[key] for key in KEYS)


def test_a_target_down_moves_only_its_own_keys():
    up = lbcore.Upstream("u", shards(10), "jump")
    before = {key: up.pick(key) for key in KEYS}
    lost = up.targets[3]
    up.set_health(lost, False)
    for key in KEYS:
        assert up.pick(key) is before[key] or before[key] is lost
    assert len({up.pick(key) for key in KEYS if before[key] is lost}) == 9
    up.set_health(lost, True)
    assert all(up.pick(key) is before[key] for key in KEYS)


def test_weights_that_differ_are_refused_with_the_way_out():
    targets = [lbcore.Target("a", weight=0), lbcore.Target("b", weight=4), lbcore.Target("c", weight=5)]
    with pytest.raises(lbcore.ConfigError) as refused:
        lbcore.Upstream("u", targets, "jump")
    assert refused.value.problems[0].field == "targets[2].weight"
    assert "5 is not the 4 of targets[1]" in str(refused.value)
    assert "policy 'hash'" in str(refused.value)
    up = lbcore.Upstream("u", shards(3), "jump")
    with pytest.raises(lbcore.ConfigError):
        up.set_weight(up.targets[1], 2)
    assert up.targets[1].weight == 1


def test_shares_are_even():
    up = lbcore.Upstream("u", shards(10), "jump")
    counts = collections.Counter(up.pick(f"key {i}").index for i in range(20_000))
    assert all(abs(counts[i] - 2000) < 5 * 42.5 for i in range(10))  # 5 sigma of a binomial
