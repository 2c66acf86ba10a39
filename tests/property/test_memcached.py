"""ketama_libmemcached against its twin, and what the scheme promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from twins.memcached import Ketama, digests, one_at_a_time, words

ADDRESSES = st.builds(
    "{}:{}".format,
    st.sampled_from(["10.0.0.1", "10.0.0.2", "cache", "[::1]"]),
    st.sampled_from([1, 11211, 11212]),
)
NAMES = st.none() | st.sampled_from(["one", "two:11211", "10.0.0.1"])
WEIGHTS = st.integers(0, 5) | st.integers(0, 1_000_000)
FLEETS = st.lists(st.tuples(ADDRESSES, NAMES, WEIGHTS), min_size=1, max_size=6, unique_by=lambda t: t[0])
KEYS = [f"key {i}" for i in range(40)] + ["", "0", "é", "x" * 250]


def upstream(targets, weighted):
    members = [lbcore.Target(a, hash_key=name, weight=w) for a, name, w in targets]
    return lbcore.Upstream("u", members, lbcore.policy("ketama_libmemcached", weighted=weighted))


def same_picks(up, twin, usable):
    """Where nobody usable owns a point, the core goes on by its own rule."""
    for key in KEYS:
        got, want = up.pick_or_none(key), twin.pick(key.encode(), usable.__getitem__)
        if want is not None:
            assert got.index == want
        else:
            assert usable[got.index] if got else not any(usable)


@given(targets=FLEETS, weighted=st.booleans(), down=st.sets(st.integers(0, 5)))
def test_it_is_its_twin(targets, weighted, down):
    if not weighted:
        targets = [(address, name, min(weight, 1)) for address, name, weight in targets]
    up, twin = upstream(targets, weighted), Ketama(targets, weighted)
    for i, target in enumerate(up.targets):
        up.set_health(target, i not in down)
    same_picks(up, twin, [w > 0 and i not in down for i, (_, _, w) in enumerate(targets)])
    targets = [
        (address, name, weight and weight + weighted * i) for i, (address, name, weight) in enumerate(targets)
    ]
    targets = [(address, name, min(weight, 1_000_000)) for address, name, weight in targets]
    up.update([lbcore.Target(a, hash_key=name, weight=w) for a, name, w in targets])
    same_picks(
        up, Ketama(targets, weighted), [w > 0 and i not in down for i, (_, _, w) in enumerate(targets)]
    )


@given(weight=st.integers(1, 1_000_000), rest=st.integers(0, 10_000_000), n=st.integers(1, 100_000))
def test_points_are_about_160_a_server(weight, rest, n):
    """Single precision loses at most one digest, and not the scale."""
    exact = weight * 40 * n / (weight + rest)
    assert abs(digests(weight, weight + rest, n) - exact) <= 1 + exact * 2**-21


@given(number=st.integers(0, 2**64 - 1), weighted=st.booleans())
def test_a_hash_stands_for_the_hash_of_the_key(number, weighted):
    up = upstream([("a:1", None, 1), ("b:1", None, 1), ("c:1", None, 1)], weighted)
    text = f"{number:x}"
    hashed = words(text.encode())[0] if weighted else one_at_a_time(text.encode())
    assert up.pick(text) is up.pick(lbcore.Hashed(hashed))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_target_down_moves_only_its_own_keys(weighted):
    up = upstream([(f"10.0.0.{i}:11211", None, 3) for i in range(1, 11)], weighted)
    keys = [f"user-{i}" for i in range(5000)]
    before = {key: up.pick(key) for key in keys}
    lost = up.targets[3]
    up.set_health(lost, False)
    for key in keys:
        assert up.pick(key) is before[key] or before[key] is lost
    up.set_health(lost, True)
    assert all(up.pick(key) is before[key] for key in keys)


def test_plain_ketama_refuses_weights_that_it_would_ignore():
    up = upstream([("a:1", None, 2), ("b:1", None, 0), ("c:1", None, 2)], False)
    before = [up.pick(key) for key in KEYS]
    with pytest.raises(lbcore.ConfigError) as refused:
        up.set_weight(up.targets[2], 3)
    assert refused.value.problems[0].field == "targets[2].weight"
    assert "set weighted" in str(refused.value)
    assert [up.pick(key) for key in KEYS] == before
    up.set_weight(up.targets[2], 0)
    assert all(up.pick(key).index == 0 for key in KEYS)
