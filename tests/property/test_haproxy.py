"""HAProxy's policies against their twins: random fleets, servers that go and come back, keys of any bytes."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from twins import haproxy as twin

WEIGHTS = st.lists(st.integers(0, 30), min_size=1, max_size=8)
KEYS = st.lists(st.binary(max_size=20), max_size=12)
FUNCTIONS = st.sampled_from(["default", "sdbm", "djb2", "wt6", "crc32", "none"])
FLIPS = st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=4)
CHANGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 30) | st.booleans()), max_size=12)
ADDRESSES = st.ip_addresses().map(str)


def address(i: int) -> str:
    return f"10.{i}.200.{i * 7}:{8000 + i}" if i % 3 else f"[2001:db8::{i}:1]:{8000 + i}"


def upstream(policy, weights, hash_keys=None, **params):
    targets = [
        lbcore.Target(address(i), weight=w, hash_key=hash_keys[i] if hash_keys else None)
        for i, w in enumerate(weights)
    ]
    return lbcore.Upstream("u", targets, lbcore.policy(policy, **params), health=None)


def index(target):
    return None if target is None else target.index


class Fleet:
    """An upstream and the picture that a twin needs of it."""

    def __init__(self, up):
        self.up = up
        self.weights = [t.weight for t in up.targets]
        self.healthy = [True] * len(self.weights)

    def flip(self, i, healthy):
        i %= len(self.weights)
        self.healthy[i] = healthy
        self.up.set_health(self.up.targets[i], healthy)

    def change(self, i, to):
        """Health where ``to`` is a bool, else a weight; returns the member and what it now weighs."""
        i %= len(self.weights)
        if isinstance(to, bool):
            self.flip(i, to)
        else:
            self.weights[i] = to
            self.up.set_weight(self.up.targets[i], to)
        return i, self.weights[i] if self.healthy[i] else 0


# ---- hashing --------------------------------------------------------------------------------------------------------


@given(WEIGHTS, KEYS, FUNCTIONS, st.booleans(), FLIPS, st.data())
def test_consistent_hashing_is_its_twin(weights, keys, function, avalanche, flips, data):
    kind = data.draw(st.sampled_from(["id", "id32", "addr", "addr-port", "guid"]))
    if kind == "guid":
        given_keys = [f"srv-{i * i}-of-a-long-name" for i in range(len(weights))]
    else:
        ids = st.lists(st.integers(1000, 2**31 - 1), min_size=8, max_size=8, unique=True)
        given_keys = [str(n) if data.draw(st.booleans()) else None for n in data.draw(ids)][: len(weights)]
    up = upstream("chash_haproxy", weights, given_keys, function=function, avalanche=avalanche, hash_key=kind)
    begins = [twin.server_key(kind, i, address(i), given_keys[i]) for i in range(len(weights))]
    fleet = Fleet(up)
    model = twin.Consistent(weights, fleet.healthy, begins)
    for flip in [*flips, None]:
        for key in [*keys, b"", b""]:
            assert index(up.pick_or_none(key)) == model.pick(twin.key_hash(key, function, avalanche))
        if flip:
            fleet.flip(*flip)
            model.change(weights, fleet.healthy)


@given(
    WEIGHTS,
    st.integers(101, 400),
    st.lists(st.tuples(st.sampled_from([b"a", b"bb", b"hot"]), st.integers(0, 20))),
)
def test_bounded_loads_are_their_twin(weights, factor, steps):
    """``steps``: a key, and which open call ends then (if there are so many)."""
    up = upstream("chash_haproxy", weights, hash_balance_factor=factor)
    model = twin.Consistent(
        weights, [True] * len(weights), [4096 * (i + 1) for i in range(len(weights))], factor
    )
    calls, loads = [], [0] * len(weights)
    for key, end in steps:
        want = model.pick(twin.key_hash(key, "default", False), loads)
        if want is None:
            assert up.pick_or_none(key) is None
            continue
        calls.append(up.acquire(key))
        assert calls[-1].target.index == want
        loads[want] += 1
        if end < len(calls):
            call = calls.pop(end)
            loads[call.target.index] -= 1
            call.done()
    for call in calls:
        call.done()


def test_points_beyond_haproxys_largest_weight():
    weights = [300, 4000, 1]
    model = twin.Consistent(weights, [True] * 3, [4096, 8192, 12288])
    up = upstream("chash_haproxy", weights, function="crc32")
    picks = [up.pick(f"key {i}").index for i in range(40)]
    assert picks == [model.pick(twin.key_hash(b"key %d" % i, "crc32", False)) for i in range(40)]


@given(
    WEIGHTS,
    st.lists(st.lists(st.binary(max_size=12) | ADDRESSES.map(str.encode)), max_size=3),
    FLIPS,
    st.data(),
)
def test_source_is_its_twin(weights, rounds, flips, data):
    consistent, avalanche = data.draw(st.booleans()), data.draw(st.booleans())
    up = upstream(
        "source_haproxy", weights, type="consistent" if consistent else "map-based", avalanche=avalanche
    )
    fleet = Fleet(up)
    begins = [4096 * (i + 1) for i in range(len(weights))]
    model = (
        twin.Consistent(weights, fleet.healthy, begins) if consistent else twin.Map(weights, fleet.healthy)
    )
    for keys in rounds:
        for key in [*keys, b"not an address"]:
            assert index(up.pick_or_none(key)) == model.pick(twin.source_hash(key, avalanche))
        if flips:
            fleet.flip(*flips.pop())
            model.change(weights, fleet.healthy)


@given(st.ip_addresses(), st.booleans())
def test_every_spelling_of_an_address_is_one_key(ip, avalanche):
    up = upstream("source_haproxy", [7, 5, 11], avalanche=avalanche)
    spellings = [str(ip)]
    if ip.version == 6:
        spellings += [ip.exploded, str(ip).upper(), f"{ip}%eth0"]
        spellings.append(f"{ip.exploded[:30]}{ipaddress.IPv4Address(int(ip) & twin.MASK)}")
    h = twin.source_hash(str(ip).encode(), avalanche)
    want = twin.make_map([7, 5, 11], [True] * 3)[h % 23]
    assert {up.pick(spelling).index for spelling in spellings} == {want}


NO_ADDRESSES = [
    *("1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2..4", " 1.2.3.4", "1.2.3.4 ", "a.b.c.d", ""),
    *(":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::12345", "::g", "1:2:3:4:5:6:7::8:9"),
    *("1.2.3.4::", "::1.2.3", "1:2:3:4:5:6:7:1.2.3.4", "%eth0", "1:", ":1", "[::1]", "1.2.3.4:80"),
]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_takes_turns(text):
    up = upstream("source_haproxy", [1, 1, 1])
    assert [up.pick(text.encode()).index for _ in range(4)] == [0, 1, 2, 0]


# ---- the map and the orders -----------------------------------------------------------------------------------------


@given(WEIGHTS, KEYS, FUNCTIONS.filter(lambda f: f != "default"), st.booleans(), FLIPS)
def test_map_based_hashing_is_its_twin(weights, keys, function, avalanche, flips):
    up = upstream("map_haproxy", weights, function=function, avalanche=avalanche)
    fleet = Fleet(up)
    model = twin.Map(weights, fleet.healthy)
    for flip in [*flips, None]:
        for key in [*keys, b"", b""]:
            assert index(up.pick_or_none(key)) == model.pick(twin.key_hash(key, function, avalanche))
        if flip:
            fleet.flip(*flip)
            model.change(weights, fleet.healthy)


@given(
    st.lists(st.integers(0, 30) | st.integers(0, 400), min_size=1, max_size=12), CHANGES, st.integers(0, 40)
)
def test_static_rr_is_its_twin(weights, changes, n):
    fleet = Fleet(upstream("static_rr_haproxy", weights))
    model = twin.Map(weights, fleet.healthy)
    for change in [*changes, None]:
        for _ in range(n if change else len(model.place) + 3):
            assert index(fleet.up.pick_or_none()) == model.pick()
        if change:
            fleet.change(*change)
            model.change(fleet.weights, fleet.healthy)


@given(WEIGHTS, CHANGES, st.lists(st.integers(0, 40), min_size=13, max_size=13))
def test_roundrobin_is_its_twin(weights, changes, counts):
    """``counts``: picks before each change; without picks between them, several changes meet."""
    fleet, model = Fleet(upstream("roundrobin_haproxy", weights)), twin.RoundRobin(weights)
    for change, n in zip([*changes, None], counts, strict=False):
        for _ in range(n if change else 3 * sum(fleet.weights)):
            assert index(fleet.up.pick_or_none()) == model.pick()
        if change:
            model.change(*fleet.change(*change))


@given(st.lists(st.integers(0, 30) | st.integers(0, 3000), min_size=1, max_size=6))
def test_roundrobin_gives_everybody_its_share_of_a_round(weights):
    up = upstream("roundrobin_haproxy", weights)
    picks = [up.pick().index for _ in range(2 * sum(weights))]
    assert all(abs(picks.count(i) - 2 * weight) <= 2 for i, weight in enumerate(weights))


@given(
    WEIGHTS,
    st.lists(
        st.tuples(st.just("pick"), st.just(0), st.just(0))
        | st.tuples(st.just("done"), st.integers(0, 20), st.booleans())
        | st.tuples(st.just("change"), st.integers(0, 7), st.integers(0, 30) | st.booleans()),
        max_size=80,
    ),
)
def test_leastconn_is_its_twin(weights, steps):
    """Calls that end in any order, well or not: the order is the one of a queue that sees each event at once."""
    fleet, model = Fleet(upstream("leastconn_haproxy", weights)), twin.LeastConn(weights)
    calls = []
    for what, i, to in steps:
        if what == "pick":
            want = model.acquire()
            if want is None:
                assert fleet.up.pick_or_none() is None
                continue
            calls.append(fleet.up.acquire())
            assert calls[-1].target.index == want
        elif what == "done" and calls:
            call = calls.pop(i % len(calls))
            call.done(ok=to)
            model.done(call.target.index)
        elif what == "change":
            model.change(*fleet.change(i, to))
    for call in calls:
        call.done()


def test_leastconn_notices_what_nobody_reports():
    """A cancelled call, and a pick that no call follows: filed at the next pick."""
    up = upstream("leastconn_haproxy", [1, 1, 1])
    calls = [up.acquire() for _ in range(3)]
    assert [call.target.index for call in calls] == [0, 1, 2]
    calls[2].done(error=KeyboardInterrupt())
    calls[0].done()
    assert up.pick().index == 0  # filed when it ended; 2 only now
    assert up.pick().index == 2
    assert up.pick().index == 0
    calls[1].done()


# ---- what is refused ------------------------------------------------------------------------------------------------


def refused(policy, targets, field, *words, **params):
    with pytest.raises(lbcore.ConfigError) as e:
        lbcore.Upstream("u", targets, lbcore.policy(policy, **params))
    assert all(word in str(e.value) for word in (field, *words)), str(e.value)


@pytest.mark.parametrize(
    "wrong", ["a.example:80", "10.0.0.1:99999", "10.0.0.1:x", "[::1", "[::1]80", "unix:s"]
)
@pytest.mark.parametrize("kind", ["addr", "addr-port"])
def test_an_address_that_is_none_is_refused(wrong, kind):
    targets = [lbcore.Target("10.0.0.1:80"), lbcore.Target(wrong)]
    refused("chash_haproxy", targets, "targets[1].address", wrong, "IP address", hash_key=kind)


@pytest.mark.parametrize("same", [["10.0.0.1", "10.0.0.1:", "[10.0.0.1]:0"], ["::1", "[::1]", "[::1]:0"]])
def test_without_a_port_it_is_0(same):
    picks = []
    for text in same:
        targets = [lbcore.Target(text), lbcore.Target("10.0.0.2:80"), lbcore.Target("10.0.0.3:80")]
        up = lbcore.Upstream("u", targets, lbcore.policy("chash_haproxy", hash_key="addr-port"))
        picks.append([up.pick(f"key {i}").index for i in range(50)])
    assert picks[0] == picks[1] == picks[2]
    assert set(picks[0]) == {0, 1, 2}


@pytest.mark.parametrize("wrong", ["0", "x", "1x", "-1", "2147483648", "99999999999999999999999"])
def test_an_id_that_is_none_is_refused(wrong):
    targets = [lbcore.Target("a"), lbcore.Target("b", hash_key=wrong)]
    for kind in ("id", "id32"):
        refused("chash_haproxy", targets, "targets[1].hash_key", wrong, "1..2147483647", hash_key=kind)
    refused("source_haproxy", targets, "targets[1].hash_key", wrong, type="consistent")


@pytest.mark.parametrize(
    ("first", "second", "wrong"), [("7", "7", 1), ("7", "007", 1), ("2", None, 0), (None, "1", 1)]
)
def test_one_id_for_two_is_refused(first, second, wrong):
    """The second would have the first's points, and nothing else: it would never be picked."""
    targets = [lbcore.Target("a", hash_key=first), lbcore.Target("b", hash_key=second), lbcore.Target("c")]
    value = (first, second)[wrong]
    words = (f"targets[{wrong}].hash_key", f'"{value}"', f"targets[{1 - wrong}]")
    for kind in ("id", "id32"):
        refused("chash_haproxy", targets, *words, hash_key=kind)
    refused("source_haproxy", targets, *words, type="consistent")
    twice = [lbcore.Target(t, hash_key=k) for t, k in (("a", "x"), ("b", "y"), ("c", "x"))]
    refused("chash_haproxy", twice, "targets[2].hash_key", '"x"', "targets[0]", hash_key="guid")


def test_a_missing_guid_is_refused():
    targets = [lbcore.Target("a", hash_key="x"), lbcore.Target("b")]
    refused("chash_haproxy", targets, "targets[1].hash_key", "no guid", hash_key="guid")


def test_too_much_is_refused_also_where_it_is_down():
    refused("chash_haproxy", [lbcore.Target("a", weight=4097)], "targets[0].weight", "4097", "4096")
    many = [lbcore.Target(f"t{i}", weight=4096) for i in range(1025)]
    refused("chash_haproxy", many, "targets", "points")
    two = [lbcore.Target("a", weight=2**19), lbcore.Target("b", weight=2**19 + 1)]
    for policy in ("map_haproxy", "static_rr_haproxy", "source_haproxy"):
        refused(policy, two, "targets", "1048577", "1048576")
    up = lbcore.Upstream("u", two[:1], "map_haproxy")
    up.set_health(up.targets[0], False)
    with pytest.raises(lbcore.ConfigError):
        up.update(two)
    assert len(up.targets) == 1


@pytest.mark.parametrize("factor", [1, 100])
def test_a_bound_below_the_fair_share_is_refused(factor):
    with pytest.raises(lbcore.ConfigError, match=r"hash_balance_factor.*101"):
        lbcore.policy("chash_haproxy", hash_balance_factor=factor)
