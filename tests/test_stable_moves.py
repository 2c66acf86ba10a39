"""What the native consistent hash promises about keys that move: ``benches/moves.py`` on a few fleets, and its limits
shown to be able to fail."""

import pytest

import lbcore
import moves


@pytest.mark.parametrize("kind", moves.WEIGHTS)
@pytest.mark.parametrize("n", [3, 12, 80])
def test_moves_and_shares_stay_within_their_limits(n, kind):
    figures = moves.measure(n, kind, seed=1000 + n)
    assert figures.share <= moves.MOST_SHARE
    assert {c: figures.extra[c] for c in moves.HELD if figures.extra[c] > moves.MOST_EXTRA} == {}
    assert figures.extra["down"] == 0
    assert figures.orderless


def test_a_thousand_targets():
    weights = {f"10.1.{i // 250}.{i % 250}:80": 1 + i % 8 for i in range(1000)}
    before = moves.owners(moves.upstream(weights))
    del weights["10.1.2.17:80"]
    after = moves.owners(moves.upstream(weights))
    assert moves.extra(before, after) <= moves.MOST_EXTRA
    assert moves.peak(after, weights) <= moves.MOST_SHARE


def test_a_target_that_comes_back_gets_its_keys_back():
    up = moves.upstream({f"t{i}:80": 1 + i for i in range(5)}, 1009)
    before = moves.owners(up)
    for target in up.targets:
        up.set_health(target, False)
        after = moves.owners(up)
        assert all(b != target.id for b in after)
        assert moves.extra_down(before, after, target.id) == 0
        assert len({b for a, b in zip(before, after, strict=True) if a == target.id}) == 4  # to all others
        up.set_health(target, True)
        assert moves.owners(up) == before


def test_extra_moves_are_counted():
    """Eight slots; b leaves, and its two go to a and c: two moves.  Any move besides is extra."""
    before = ["a", "a", "a", "b", "b", "c", "c", "c"]
    assert moves.least_possible(before, ["a", "a", "a", "a", "c", "c", "c", "c"]) == 2
    assert moves.extra(before, ["a", "a", "a", "a", "c", "c", "c", "c"]) == 0
    assert (
        moves.extra(before, ["c", "a", "a", "a", "a", "c", "c", "c"]) == 100 / 8
    )  # three, of which one is extra
    assert moves.extra_down(before, ["a", "a", "c", "a", "c", "c", "c", "c"], "b") == 100 / 8


def test_an_uneven_table_is_seen():
    assert moves.peak(["a"] * 300 + ["b"] * 200, {"a": 1, "b": 1}) == 1.2
    assert moves.peak(["a"] * 30 + ["b"] * 20, {"a": 1, "b": 1}) == 1  # too few slots to say


def test_slots_that_are_no_prime_are_refused_with_the_nearest():
    with pytest.raises(lbcore.ConfigError, match=r"policy\.slots: 65536 is not a prime .* 65521 and 65537"):
        lbcore.policy("hash", slots=65536)
    with pytest.raises(lbcore.ConfigError, match=r"policy\.slots"):
        lbcore.policy("hash_bounded", factor=2, slots=1000)


def test_a_target_may_own_no_slot_and_still_serve():
    up = moves.upstream({"heavy:80": 1_000_000, "light:80": 1}, 101)
    assert set(moves.owners(up)) == {"heavy:80"}
    up.set_health("heavy:80", False)
    assert set(moves.owners(up)) == {"light:80"}
