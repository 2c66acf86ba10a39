"""chash_kong against its twin, and what the scheme promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from twins.kong import Refused, Wheel, host_and_port, xxh32

HOSTS = st.sampled_from(
    ["10.0.0.1", "10.0.0.2", "10.0.0.10", "[::1]", "[2001:db8::7]", "a", "ab", "b.example"]
)
ADDRESSES = st.builds("{}:{}".format, HOSTS, st.sampled_from([80, 81, 800, 8000, 10000])) | HOSTS
NAMES = st.none() | st.sampled_from(["svc:80", "svc:443", "a:80", "10.0.0.1"])
TARGETS = st.lists(
    st.tuples(ADDRESSES, NAMES, st.integers(0, 3) | st.integers(0, 1_000_000)),
    min_size=1,
    max_size=7,
    unique_by=lambda t: t[0],
)
SLOTS = st.sampled_from([10, 1000, 1009, 4096, 10_000])
KEYS = [f"key {i}" for i in range(40)] + ["", "0", "é", "x" * 99]


def upstream(targets, slots):
    members = [lbcore.Target(a, hash_key=name, weight=w) for a, name, w in targets]
    return lbcore.Upstream("u", members, lbcore.policy("chash_kong", slots=slots))


def same_picks(up, wheel, usable):
    for key in KEYS:
        got, want = up.pick_or_none(key), wheel.pick(key.encode(), usable.__getitem__)
        assert (got.index if got else None) == want


@given(
    targets=TARGETS,
    slots=SLOTS,
    down=st.sets(st.integers(0, 6)),
    more=st.tuples(st.integers(0, 6), st.integers(0, 9)),
)
def test_it_is_its_twin(targets, slots, down, more):
    try:
        wheel = Wheel(targets, slots)
    except Refused:
        with pytest.raises(lbcore.ConfigError, match="slots"):
            upstream(targets, slots)
        return
    up = upstream(targets, slots)
    for i, target in enumerate(up.targets):
        up.set_health(target, i not in down)
    same_picks(up, wheel, [w > 0 and i not in down for i, (_, _, w) in enumerate(targets)])

    i, weight = more[0] % len(targets), more[1]
    changed = [(a, name, weight if j == i else w) for j, (a, name, w) in enumerate(targets)]
    try:
        wheel = Wheel(changed, slots)
    except Refused:
        with pytest.raises(lbcore.ConfigError):
            up.set_weight(up.targets[i], weight)
        return
    up.set_weight(up.targets[i], weight)
    same_picks(up, wheel, [w > 0 and j not in down for j, (_, _, w) in enumerate(changed)])


@given(targets=TARGETS, order=st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(targets, order):
    shuffled = list(targets)
    order.shuffle(shuffled)
    # "10.0.0.1" and "10.0.0.1:8000" are one address to Kong: of such twins the first in the list comes first.
    if len({host_and_port(address) for address, *_ in targets}) == len(targets):
        one, two = upstream(targets, 10_000), upstream(shuffled, 10_000)
        for key in KEYS:
            a, b = one.pick_or_none(key), two.pick_or_none(key)
            assert (a and a.address) == (b and b.address)


def test_a_target_down_moves_only_its_own_keys():
    up = upstream([(f"10.0.0.{i}:80", None, 100) for i in range(1, 11)], 65536)
    keys = [f"user-{i}" for i in range(5000)]
    before = {key: up.pick(key) for key in keys}
    lost = up.targets[3]
    up.set_health(lost, False)
    for key in keys:
        assert up.pick(key) is before[key] or before[key] is lost
    up.set_health(lost, True)
    assert all(up.pick(key) is before[key] for key in keys)


def test_a_fleet_that_does_not_fit_leaves_everything_as_it_was():
    fleet = [lbcore.Target(f"10.0.0.{i}:80") for i in range(100)]
    up = lbcore.Upstream("u", fleet[:5], lbcore.policy("chash_kong", slots=1000))
    before = [up.pick(key) for key in KEYS]
    with pytest.raises(lbcore.ConfigError) as refused:
        up.update(fleet)
    assert refused.value.problems[0].field == "targets"
    assert "100 do not fit on 1000 slots" in str(refused.value)
    assert len(str(refused.value)) <= 500
    assert [up.pick(key) for key in KEYS] == before


@given(number=st.integers(0, 2**32 - 1))
def test_a_hash_stands_for_xxh32_of_the_key(number):
    up = upstream([("10.0.0.1:80", None, 1), ("10.0.0.2:80", None, 2), ("10.0.0.3:80", None, 3)], 10_000)
    text = f"{number:x}"
    assert up.pick(text) is up.pick(lbcore.Hashed(xxh32(text.encode())))
