"""hash and hash_bounded against their twin."""

from hypothesis import example, given
from hypothesis import strategies as st

import lbcore
from twins.stable import Stable, xxh64

SLOTS = st.sampled_from((101, 251, 1009))
WEIGHTS = st.one_of(st.integers(0, 8), st.just(1), st.integers(0, 10**6))
TARGETS = st.lists(
    st.tuples(
        WEIGHTS,
        st.none() | st.text("abä", min_size=1, max_size=3),  # id
        st.none() | st.sampled_from(("rack 1", "rack 2", "a", "host-with-a-long-name.example.com:8080/x")),
    ),
    min_size=1,
    max_size=8,
)


def fleet(drawn):
    """Targets and what the twin knows of them; an id that occurs twice is left out."""
    targets, known = [], []
    for i, (weight, id, hash_key) in enumerate(drawn):
        address = f"10.0.0.{i}:80"
        if id in [identity for _, identity, _ in known]:
            id = None
        targets.append(lbcore.Target(address, id=id, weight=weight, hash_key=hash_key))
        known.append((hash_key or id or address, id or address, weight))
    return targets, known


def upstream(targets, slots, policy="hash"):
    return lbcore.Upstream("u", targets, lbcore.policy(policy, slots=slots))


def middle(slot, slots):
    """A key whose slot is ``slot``."""
    return lbcore.Hashed((2 * slot + 1) * 2**64 // (2 * slots))


def picked(up, key):
    target = up.pick_or_none(key)
    return target and target.index


@given(drawn=TARGETS, slots=SLOTS, down=st.sets(st.integers(0, 7)))
def test_the_table_is_its_twins(drawn, slots, down):
    """Every slot's first usable candidate, with the targets in ``down`` not usable."""
    targets, known = fleet(drawn)
    up, twin = upstream(targets, slots), Stable(known, slots)
    for target in up.targets:
        up.set_health(target, target.index not in down)
    for slot in range(slots):
        key = middle(slot, slots)
        want = [i for i in twin.order(key) if i not in down]
        assert picked(up, key) == (want[0] if want else None)


@given(drawn=TARGETS, slots=SLOTS, key=st.text(max_size=70) | st.binary(max_size=70))
def test_who_is_next_is_its_twins(drawn, slots, key):
    """One after the other goes down: the picks are the whole order of the key."""
    targets, known = fleet(drawn)
    up, twin = upstream(targets, slots, "hash_bounded"), Stable(known, slots)
    for want in twin.order(xxh64(key.encode() if isinstance(key, str) else key)):
        target = up.pick(key)
        assert target.index == want
        up.set_health(target, False)
    assert up.pick_or_none(key) is None


@given(drawn=TARGETS, changes=st.lists(st.tuples(st.integers(0, 7), WEIGHTS), max_size=6))
@example(drawn=[(1, None, None), (0, None, None)], changes=[(0, 0), (1, 1)])
def test_changes_lead_to_the_table_of_what_they_lead_to(drawn, changes):
    """No history: whatever weights were, the table is that of the weights that are."""
    targets, known = fleet(drawn)
    up = upstream(targets, 101)
    for i, weight in changes:
        if i < len(targets):
            up.set_weight(up.targets[i], weight)
            known[i] = (*known[i][:2], weight)
    twin = Stable(known, 101)
    for slot in range(101):
        assert picked(up, middle(slot, 101)) == twin.owner[slot]


@given(drawn=TARGETS, data=st.data())
def test_the_order_of_the_list_is_of_no_effect(drawn, data):
    targets, _ = fleet(drawn)
    shuffled = data.draw(st.permutations(targets))
    one, other = upstream(targets, 101), upstream(shuffled, 101)
    later = upstream(targets[:1], 101)
    later.update(shuffled)
    moved = upstream(targets, 101)
    moved.update(shuffled)
    for slot in range(101):
        key = middle(slot, 101)
        ids = {(target := up.pick_or_none(key)) and target.id for up in (one, other, later, moved)}
        assert len(ids) == 1
