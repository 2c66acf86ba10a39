"""nginx's policies against their twins: random fleets, members going down and up, weights that change, any keys."""

import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lbcore
from twins.nginx import Hash, IpHash, Ketama, LeastConn, Smooth

WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=8)
FLIPS = st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=6)
KEYS = st.binary(max_size=20) | st.binary(min_size=60, max_size=200) | st.just(b"")
ADDRESSES = st.ip_addresses().map(str)
DAMAGED = st.tuples(ADDRESSES, st.integers(0, 40), st.text("0123456789abcdefF.:%g/ ", max_size=3)).map(
    lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
)


def texts_of(n):
    return [f"10.0.0.{i}:80" for i in range(n)]


def upstream(policy, weights, texts=None):
    """``texts``: what is hashed; other targets may have the same."""
    targets = [
        lbcore.Target(f"10.0.0.{i}:80", weight=weight, hash_key=texts[i] if texts else None)
        for i, weight in enumerate(weights)
    ]
    return lbcore.Upstream("u", targets, policy, health=None)


def index_of(target):
    return target.index if target else None


def flip(up, twin, flips):
    for i, ok in flips:
        if i < len(up):
            up.set_health(up.targets[i], ok)
            twin.up[i] = ok


@given(weights=WEIGHTS, rounds=st.lists(st.tuples(FLIPS, st.integers(0, 30)), max_size=5))
def test_smooth_nginx_is_its_twin(weights, rounds):
    up, twin = upstream("smooth_nginx", weights), Smooth(weights)
    for flips, n in rounds:
        flip(up, twin, flips)
        for _ in range(n):
            assert index_of(up.pick_or_none()) == twin.pick()


@given(
    fleets=st.lists(
        st.dictionaries(st.integers(0, 9), st.integers(0, 20), min_size=1, max_size=6), min_size=1, max_size=6
    ),
    flips=FLIPS,
)
@example(fleets=[{0: 1, 1: 20}, {1: 20}, {0: 1, 1: 1, 2: 1}], flips=[])
def test_current_weights_stay_with_those_that_stay(fleets, flips):
    up = twin = before = None
    for fleet in fleets:
        targets = [lbcore.Target(f"t{name}", weight=weight) for name, weight in fleet.items()]
        if up is None:
            up = lbcore.Upstream("u", targets, "smooth_nginx", health=None)
        else:
            up.update(targets)
        previous, twin = twin, Smooth(list(fleet.values()))
        if previous is not None:
            if before != list(fleet.items()):
                places = {name: i for i, (name, _) in enumerate(before)}
                twin.take_over(previous, [places.get(name) for name in fleet])
            else:
                twin = previous
        before = list(fleet.items())
        flip(up, twin, flips)
        for _ in range(7):
            assert index_of(up.pick_or_none()) == twin.pick()


@pytest.mark.parametrize("reordered", [False, True])
def test_more_than_a_round_ahead(reordered):
    """Members that go down at the worst moments: one comes to be 13 ahead of a round of 12.  That stays as it is while
    the fleet does, as in nginx; another order of it is another fleet."""
    names, weights = "abcd", [1, 1, 1, 9]
    up = lbcore.Upstream(
        "u",
        [lbcore.Target(n, weight=w) for n, w in zip(names, weights, strict=True)],
        "smooth_nginx",
        health=None,
    )
    twin = Smooth(weights)
    for n, usable in [(3, "abcd"), (4, "bcd"), (3, "cd"), (1, "acd"), (5, "abd"), (2, "ad"), (4, "bd"), (1, "cd"),
                      (1, "bcd")]:  # fmt: skip
        flip(up, twin, [(i, name in usable) for i, name in enumerate(names)])
        for _ in range(n):
            assert up.pick().index == twin.pick()
    assert twin.current == [-11, -4, 2, 13]
    flip(up, twin, [(i, True) for i in range(4)])
    if reordered:
        up.update([lbcore.Target(n, weight=w) for n, w in zip("bacd", weights, strict=True)])
        previous, twin = twin, Smooth(weights)
        twin.take_over(previous, [1, 0, 2, 3])
        assert twin.current == [-4, -11, 2, 12]
    for _ in range(24):
        assert up.pick().index == twin.pick()


@given(
    weights=WEIGHTS,
    program=st.lists(st.integers(0, 30) | st.tuples(st.integers(0, 7), st.booleans()), max_size=80),
)
def test_least_conn_nginx_is_its_twin(weights, program):
    """A number: acquire, then end that call of those still open; a pair: a target goes down or comes up."""
    up, twin = upstream("least_conn_nginx", weights), LeastConn(weights)
    calls, load = [], [0] * len(weights)
    for step in program:
        if isinstance(step, tuple):
            flip(up, twin, [step])
            continue
        want = twin.least(load)
        if want is None:
            assert up.pick_or_none() is None
            continue
        calls.append(up.acquire())
        assert calls[-1].target.index == want
        load[want] += 1
        if step < len(calls):
            ended = calls.pop(step)
            load[ended.target.index] -= 1
            ended.done()


@pytest.mark.parametrize(("policy", "twin_of"), [("hash_nginx", Hash), ("ip_hash_nginx", IpHash)])
@given(
    weights=st.lists(st.integers(0, 20), min_size=1, max_size=8),
    rounds=st.lists(st.tuples(FLIPS, st.lists(KEYS | ADDRESSES.map(str.encode), max_size=12)), max_size=4),
)
@example(weights=[0, 0], rounds=[([], [b"10.0.0.1"])])
@example(weights=[20, 1], rounds=[([(0, False)], [b"unix:"] * 3)])
def test_a_plain_hash_is_its_twin(policy, twin_of, weights, rounds):
    up, twin = upstream(policy, weights), twin_of(weights)
    for flips, keys in rounds:
        flip(up, twin, flips)
        for key in keys:
            assert index_of(up.pick_or_none(key)) == twin.pick_by(key)


@given(key=ADDRESSES | DAMAGED | st.just("fe80::1%eth0"))
def test_what_is_an_address(key):
    """Hashed if Python's own reader takes it, else in turn: the first member comes first."""
    weights = [1, 1000]
    assert upstream("ip_hash_nginx", weights).pick(key).index == IpHash(weights).pick_by(key.encode())


FEW_TEXTS = st.sampled_from(
    [
        "10.0.0.1:80",
        "10.0.0.1",
        "10.0.0.1:",
        "[::1]:80",
        "::1",
        "unix:/a:80",
        "UNIX:/a:80",
        "/a:80",
        "a:b80",
        ":7",
    ]
)


@given(
    fleet=st.lists(st.tuples(st.integers(0, 3), FEW_TEXTS), min_size=1, max_size=7),
    rounds=st.lists(st.tuples(FLIPS, st.lists(KEYS, max_size=12)), max_size=4),
)
def test_ketama_nginx_is_its_twin(fleet, rounds):
    """Targets may share a text: then they share its points, by smooth turns."""
    weights, texts = [weight for weight, _ in fleet], [text for _, text in fleet]
    up, twin = upstream("ketama_nginx", weights, texts), Ketama(weights, texts)
    for flips, keys in rounds:
        flip(up, twin, flips)
        for key in keys:
            assert index_of(up.pick_or_none(key)) == twin.pick_by(key)


@given(
    weights=st.lists(st.integers(1, 4), min_size=2, max_size=5), keys=st.lists(KEYS, min_size=1, max_size=30)
)
def test_a_ring_follows_weights_and_texts(weights, keys):
    """A change of either makes another ring; coming back gives the first one again."""
    n = len(weights)
    up, keyed = upstream("ketama_nginx", weights), [key for key in keys if key]
    at_first = [up.pick(key).index for key in keyed]
    up.set_weight(up.targets[0], weights[0] + 1)
    heavier = Ketama([weights[0] + 1, *weights[1:]], texts_of(n))
    assert [up.pick(key).index for key in keyed] == [heavier.pick_by(key) for key in keyed]
    renamed = [lbcore.Target(f"10.0.0.{i}:80", weight=w, hash_key=f"name {i}") for i, w in enumerate(weights)]
    up.update(renamed)
    other = Ketama(weights, [f"name {i}" for i in range(n)])
    assert [up.pick(key).index for key in keyed] == [other.pick_by(key) for key in keyed]
    up.update([lbcore.Target(text, weight=w) for text, w in zip(texts_of(n), weights, strict=True)])
    assert [up.pick(key).index for key in keyed] == at_first


def test_hashed_keys_stand_for_the_schemes_hash():
    weights, key = [3, 1, 2], b"some key"
    crc = zlib.crc32(key)
    for policy in ("ketama_nginx", "hash_nginx"):
        up = upstream(policy, weights)
        assert up.pick(lbcore.Hashed(crc)) is up.pick(key) is up.pick(lbcore.Hashed(crc + 2**32))
    assert [upstream("ip_hash_nginx", weights).pick(lbcore.Hashed(h)).index for h in (0, 2, 3, 4, 5, 6)] == [
        0, 0, 1, 2, 2, 0,
    ]  # fmt: skip


def test_a_ring_that_is_too_large_is_refused():
    with pytest.raises(lbcore.ConfigError) as e:
        upstream("ketama_nginx", [104_857, 1])
    assert "targets" in str(e.value) and "104858" in str(e.value) and "104857" in str(e.value)
    assert upstream("ketama_nginx", [1_000_000]).pick("k").index == 0  # alone: it needs no ring
