"""ring_hash, maglev, bounded loads, weighted_clusters and edf against their twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from twins import envoy

SEEDS = st.integers(0, 2**64 - 1)
OCTET = st.integers(0, 255)
PORT = st.integers(1, 65535)
ADDRESSES = st.one_of(
    st.builds("10.0.{}.{}:{}".format, OCTET, OCTET, PORT),
    st.builds("[2001:db8::{:x}]:{}".format, st.integers(0, 65535), PORT),
    st.builds("/run/app-{}.sock".format, st.integers(0, 99)),
    st.sampled_from(["10.0.0.1:9", "10.0.0.1:10", "10.0.0.1:80"]),  # order by bytes; and the same text twice
)
HASH_KEYS = st.one_of(st.none(), st.text("abc-\u00e9\u672c", min_size=1, max_size=40))
KEYS = st.one_of(
    st.text(max_size=40).filter(lambda s: not any(0xD800 <= ord(c) < 0xE000 for c in s)),
    st.binary(max_size=80),
    st.integers(0, 2**70),
    st.integers(0, 2**64 - 1).map(lbcore.Hashed),
)


@st.composite
def fleets(draw, largest=12, extremes=(1, 10, 128)):
    """Targets and which of them are down; weights up to one of the extremes."""
    n = draw(st.integers(1, largest))
    most = draw(st.sampled_from(extremes))
    targets = [
        lbcore.Target(
            draw(ADDRESSES),
            id=f"t{i}",
            weight=draw(st.one_of(st.integers(1, most), st.sampled_from([1, most]))),
            hash_key=draw(HASH_KEYS),
        )
        for i in range(n)
    ]
    return targets, draw(st.lists(st.booleans(), min_size=n, max_size=n))


def text_of(target):
    return (target.hash_key or target.address).encode()


def key_bytes(key):
    return key if isinstance(key, bytes) else str(int(key) if isinstance(key, int) else key).encode()


def hash_of(key):
    return int(key) if isinstance(key, lbcore.Hashed) else envoy.xxh64(key_bytes(key))


def upstream(policy, fleet, **params):
    targets, down = fleet
    up = lbcore.Upstream("u", targets, lbcore.policy(policy, **params), seed=1)
    for target, is_down in zip(up.targets, down, strict=True):
        up.set_health(target, not is_down)
    usable = [i for i, is_down in enumerate(down) if not is_down]
    return up, usable, [(text_of(targets[i]), targets[i].weight) for i in usable]


# ---- ring and table ---------------------------------------------------------------------------------------------


@given(
    fleet=fleets(extremes=(1, 10, 128, 1_000_000)),
    sizes=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    function=st.sampled_from(["XX_HASH", "MURMUR_HASH_2"]),
    keys=st.lists(KEYS, min_size=1, max_size=30),
)
def test_ring_hash_is_its_twin(fleet, sizes, function, keys):
    minimum, maximum = sorted(sizes)
    up, usable, hosts = upstream(
        "ring_hash", fleet, minimum_ring_size=minimum, maximum_ring_size=maximum, hash_function=function
    )
    if not usable:
        assert all(up.pick_or_none(key) is None for key in keys)
        return
    point = envoy.xxh64 if function == "XX_HASH" else envoy.murmur_point
    twin = envoy.Ring(hosts, minimum, maximum, point)
    assert [up.pick(key).index for key in keys] == [usable[twin.pick(hash_of(key))] for key in keys]


@given(
    fleet=fleets(largest=80, extremes=(1, 10, 128, 1_000_000)),
    size=st.sampled_from([2, 3, 5, 7, 13, 61, 251, 1021]),
    keys=st.lists(KEYS, min_size=1, max_size=30),
)
def test_maglev_is_its_twin(fleet, size, keys):
    up, usable, hosts = upstream("maglev", fleet, table_size=size)
    if not usable:
        assert all(up.pick_or_none(key) is None for key in keys)
        return
    twin = envoy.Maglev(hosts, size)
    assert [up.pick(key).index for key in keys] == [usable[twin.pick(hash_of(key))] for key in keys]


@given(
    fleet=fleets(largest=6),
    policy=st.sampled_from(["ring_hash", "maglev"]),
    factor=st.integers(100, 300),
    script=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 20)), max_size=60),
)
def test_bounded_loads_are_their_twin(fleet, policy, factor, script):
    """Of each step: the key, whether a call ends (or a target's health changes) after it, and which."""
    small = {"table_size": 251} if policy == "maglev" else {"maximum_ring_size": 1024}
    up, usable, hosts = upstream(policy, fleet, hash_balance_factor=factor, **small)
    targets, down = fleet[0], list(fleet[1])
    twin, load, calls = None, [0] * len(targets), []
    for key, what, which in script:
        if usable:
            twin = twin or (envoy.Maglev(hosts, 251) if policy == "maglev" else envoy.Ring(hosts, 1024, 1024))
            h = envoy.xxh64(str(key).encode())
            place = envoy.bounded(twin.pick(h), h, hosts, [load[i] for i in usable], sum(load), factor)
            calls.append(up.acquire(key))
            assert calls[-1].target.index == usable[place]
            load[usable[place]] += 1
        if what == 0 and calls:
            call = calls.pop(which % len(calls))
            load[call.target.index] -= 1
            call.done(ok=True)
        elif what == 1 and which < len(targets):
            down[which] = not down[which]
            up.set_health(up.targets[which], not down[which])
            usable = [i for i, is_down in enumerate(down) if not is_down]
            hosts, twin = [(text_of(targets[i]), targets[i].weight) for i in usable], None
    for call in calls:
        call.done(ok=True)


@pytest.mark.parametrize("policy", ["ring_hash", "maglev"])
@given(fleet=fleets(largest=6), swap=st.permutations(range(6)))
def test_an_update_of_the_same_targets_moves_no_key(policy, fleet, swap):
    """And the texts alone decide, not the ids; Maglev does not look at the order either."""
    up, _, _ = upstream(policy, fleet)
    before = [up.pick_or_none(k) for k in range(60)]
    up.update(fleet[0])
    assert [up.pick_or_none(k) for k in range(60)] == before
    if policy == "maglev" and len({text_of(t) for t in fleet[0]}) == len(fleet[0]):
        up.update([fleet[0][i] for i in swap if i < len(fleet[0])])
        assert [up.pick_or_none(k) for k in range(60)] == before


def test_sizes_that_cannot_be_are_refused():
    for params, reason in (
        (
            {"minimum_ring_size": 1025, "maximum_ring_size": 1024},
            "minimum_ring_size: 1025 is above maximum_ring_size, 1024",
        ),
        ({"hash_balance_factor": 99}, "hash_balance_factor: 99 is neither 0 (no bound) nor in 100..1000000"),
        ({"hash_function": "SHA"}, "'SHA' is not one of 'XX_HASH', 'MURMUR_HASH_2'"),
    ):
        with pytest.raises(lbcore.ConfigError) as e:
            lbcore.policy("ring_hash", **params)
        assert reason in str(e.value)
    for size, prime in ((4, 3), (65536, 65537), (1000, 997), (24, 23), (5000010, 5000011)):
        with pytest.raises(lbcore.ConfigError) as e:
            lbcore.policy("maglev", table_size=size)
        assert f"table_size: {size} is not a prime; the nearest one in 2..5000011 is {prime}" in str(e.value)
    with pytest.raises(lbcore.ConfigError):
        lbcore.policy("maglev", hash_balance_factor=1)


# ---- weighted clusters ------------------------------------------------------------------------------------------


@given(
    weights=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    down=st.lists(st.booleans(), min_size=8, max_size=8),
    keys=st.lists(st.one_of(KEYS, st.integers(0, 2**64).map(str), st.just("007"), st.just("")), max_size=30),
)
def test_weighted_clusters_is_its_twin(weights, down, keys):
    fleet = [lbcore.Target(f"t{i}", weight=w) for i, w in enumerate(weights)], down[: len(weights)]
    up, _, _ = upstream("weighted_clusters", fleet)
    for key in keys:
        target = up.pick_or_none(key)
        number = str(int(key)).encode() if isinstance(key, lbcore.Hashed) else key_bytes(key)
        want = envoy.weighted_clusters(number, weights, [not d for d in down[: len(weights)]])
        assert (target.index if target else None) == want


def test_health_moves_only_the_keys_of_the_cluster_that_is_down():
    up, _, _ = upstream(
        "weighted_clusters",
        ([lbcore.Target(f"t{i}", weight=w) for i, w in enumerate((5, 1, 3, 2))], [False] * 4),
    )
    before = [up.pick(k).index for k in range(1100)]
    up.set_health("t2", False)
    after = [up.pick(k).index for k in range(1100)]
    assert all(b == a for b, a in zip(before, after, strict=True) if b != 2)
    moved = [a for b, a in zip(before, after, strict=True) if b == 2]
    assert len(moved) == 300
    assert all(abs(moved.count(i) - 300 * w / 8) < 40 for i, w in ((0, 5), (1, 1), (3, 2)))


# ---- edf --------------------------------------------------------------------------------------------------------

WEIGHTS = st.lists(st.one_of(st.integers(0, 6), st.integers(0, 1_000_000)), min_size=1, max_size=8)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["weight", "health", "update"]),
        st.integers(0, 7),
        st.integers(0, 12),
        st.integers(0, 40),
    ),
    max_size=6,
)


def edf(weights, seed, phase=1):
    targets = [lbcore.Target(f"t{i}", weight=w) for i, w in enumerate(weights)]
    return lbcore.Upstream("u", targets, lbcore.policy("edf", phase=phase), seed=seed)


def follow(up, twin, n):
    for _ in range(n):
        target = up.pick_or_none()
        assert (target.index if target else None) == twin.pick()


@given(weights=WEIGHTS, seed=SEEDS, phase=st.integers(0, 1), changes=CHANGES)
def test_edf_is_its_twin(weights, seed, phase, changes):
    up, twin = edf(weights, seed, phase), envoy.Edf(weights, seed if phase else None)
    follow(up, twin, 60)
    down = [False] * len(weights)
    for number, (what, i, weight, turns) in enumerate(changes):
        i %= len(weights)
        old_index = list(range(len(weights)))
        if what == "weight":
            weights = [*weights[:i], weight, *weights[i + 1 :]]
            up.set_weight(up.targets[i], weight)
        elif what == "health":
            down[i] = not down[i]
            up.set_health(up.targets[i], not down[i])
        else:  # member i goes, a newcomer comes first
            keep = [t for t in up.targets if t.index != i]
            old_index = [None, *(t.index for t in keep)]
            weights = [weight, *(weights[t.index] for t in keep)]
            down = [False, *(down[t.index] for t in keep)]
            specs = [lbcore.Target(t.address, weight=w) for t, w in zip(keep, weights[1:], strict=True)]
            up.update([lbcore.Target(f"new {number}", weight=weight), *specs])
        effective = [0 if d else w for d, w in zip(down, weights, strict=True)]
        twin = envoy.Edf(effective, previous=twin, old_index=old_index)
        follow(up, twin, turns)


@given(weights=st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(any), seed=SEEDS)
def test_edf_is_a_schedule_by_earliest_deadline(weights, seed):
    up = edf(weights, seed)
    assert envoy.explained(weights, [up.pick().index for _ in range(2 * sum(weights) + 3)])


@given(weights=st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(any))
def test_edf_gives_everybody_its_weight_in_every_unit(weights):
    up = edf(weights, 1, phase=0)
    for _ in range(3):
        picks = [up.pick().index for _ in range(sum(weights))]
        assert [picks.count(i) for i in range(len(weights))] == weights


def test_equal_weights_rotate_from_a_place_of_the_seed():
    firsts = set()
    for seed in range(40):
        up = edf([3] * 5, seed)
        picks = [up.pick().index for _ in range(15)]
        assert picks == [(picks[0] + i) % 5 for i in range(15)]
        firsts.add(picks[0])
    assert firsts == set(range(5))


# ---- the twin's own parts ---------------------------------------------------------------------------------------


def test_the_mersenne_twister_is_the_standard_one():
    """The 10,000th number of C++'s std::mt19937, as its standard states it."""
    mt = envoy.Mt19937(5489)
    assert [mt.next() for _ in range(10_000)][-1] == 4123659995


def test_a_schedule_that_is_none_is_not_explained():
    assert envoy.explained([2, 1], [0, 1, 0, 0, 1, 0])
    assert envoy.explained([2, 1], [1, 0, 0, 0, 1])
    assert not envoy.explained([2, 1], [0, 0, 0, 0])
    assert not envoy.explained([2, 1], [0, 1, 1])
    assert not envoy.explained([1, 1, 0], [0, 1, 2])
    assert not envoy.explained([3, 1], [0, 1, 0, 1])
