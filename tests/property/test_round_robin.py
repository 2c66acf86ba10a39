"""The exact scheduler against its slow twin, and its promises over long runs."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from twins.round_robin import RoundRobin


def picks_of(weights, n, **how):
    up = lbcore.Upstream(
        "u",
        [lbcore.Target(f"t{i}", weight=w) for i, w in enumerate(weights)],
        lbcore.policy("round_robin", **how),
        seed=3,
    )
    return up, [up.pick().index for _ in range(n)]


def worst_prefix(weights, picks):
    """The largest distance of any prefix from n * p_i, for any target."""
    total, counts, worst = sum(weights), [0] * len(weights), Fraction(0)
    for n, i in enumerate(picks, 1):
        counts[i] += 1
        for j, w in enumerate(weights):
            worst = max(worst, abs(Fraction(n * w, total) - counts[j]))
    return worst


@given(weights=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any))
def test_from_phase_zero_every_prefix_is_within_one_pick(weights):
    _, picks = picks_of(weights, min(3 * sum(weights), 300), phase=0)
    assert worst_prefix(weights, picks) < 1


@given(weights=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any))
def test_from_any_other_phase_within_two(weights):
    _, picks = picks_of(weights, min(3 * sum(weights), 300))
    assert worst_prefix(weights, picks) < 2


def test_a_million_picks_over_a_thousand_weight_vectors():
    rng = random.Random(20)
    for _ in range(1000):
        weights = [rng.choice((1, 2, 3, 10, 99, 1000)) for _ in range(rng.randint(1, 12))]
        _, picks = picks_of(weights, 1000, phase=0)
        total, counts = sum(weights), [0] * len(weights)
        for n, i in enumerate(picks, 1):
            counts[i] += 1
            # Only the one picked can run ahead, and each lags most before it is picked.
            assert abs(n * weights[i] - counts[i] * total) < total
        for j, w in enumerate(weights):
            assert abs(1000 * w - counts[j] * total) < total


def test_a_period_gives_each_target_its_weight_exactly_and_repeats():
    weights = [75, 25, 3]
    up, _ = picks_of(weights, 0, phase=0)
    first = [up.pick().index for _ in range(sum(weights))]
    again = [up.pick().index for _ in range(sum(weights))]
    assert [first.count(i) for i in range(3)] == weights
    assert again == first


def test_seventy_five_to_twenty_five_interleaves():
    _, picks = picks_of([75, 25], 8, phase=0)
    assert [picks[:4].count(1), picks[4:].count(1)] == [1, 1]


def test_many_short_lived_workers_follow_the_weights():
    first = [0, 0, 0]
    for seed in range(3000):
        up = lbcore.Upstream(
            "u", [lbcore.Target(f"t{i}", weight=w) for i, w in enumerate((1, 2, 7))], seed=seed
        )
        first[up.pick().index] += 1
    assert all(abs(got - want) < 150 for got, want in zip(first, (300, 600, 2100), strict=True))


@pytest.mark.parametrize("change", ["weight", "health", "both"])
def test_debts_survive_three_thousand_changes(change):
    """One change every 7 picks: what a target got never leaves what it was owed by more than two picks."""
    rng = random.Random(11)
    weights = [rng.randint(1, 20) for _ in range(10)]
    up, _ = picks_of(weights, 0, phase=0)
    owed = [Fraction(0)] * 10
    healthy = [True] * 10
    for _ in range(3000):
        i = rng.randrange(10)
        before = [w if h else 0 for w, h in zip(weights, healthy, strict=True)]
        if change == "weight" or (change == "both" and rng.random() < 0.5):
            weights[i] = rng.randint(1, 20)
            up.set_weight(up.targets[i], weights[i])
        elif sum(healthy) > 1 or not healthy[i]:
            healthy[i] = not healthy[i]
            up.set_health(up.targets[i], healthy[i])
        now = [w if h else 0 for w, h in zip(weights, healthy, strict=True)]
        _spread(owed, before, now)
        for _ in range(7):
            picked = up.pick().index
            total = sum(now)
            for j, w in enumerate(now):
                owed[j] += Fraction(w, total)
            owed[picked] -= 1
            owed = [o.limit_denominator(2**40) for o in owed]
        assert max(abs(o) for o in owed) < 2


def _spread(owed, before, now):
    """What those that left were owed goes to those that stay, by share; a newcomer starts at 0."""
    left = sum(o for o, w in zip(owed, now, strict=True) if not w)
    staying = sum(w for w, was in zip(now, before, strict=True) if was)
    for j, (w, was) in enumerate(zip(now, before, strict=True)):
        owed[j] = owed[j] + left * Fraction(w, staying) if w and was else Fraction(0)


def test_a_long_period_keeps_its_promise_without_a_table():
    weights = [999_983, 524_287, 131_071, 7]
    _, picks = picks_of(weights, 20_000, phase=0)
    assert worst_prefix(weights, picks[:2000]) < 1
    total = sum(weights)
    for j, w in enumerate(weights):
        assert abs(Fraction(20_000 * w, total) - picks.count(j)) < 1


# ---- against the twin -------------------------------------------------------------------------------------------

CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("pick"), st.integers(1, 40)),
        st.tuples(st.just("weight"), st.integers(0, 5), st.integers(0, 30)),
        st.tuples(st.just("health"), st.integers(0, 5), st.booleans()),
        st.tuples(
            st.just("update"),
            st.lists(st.tuples(st.integers(0, 7), st.integers(0, 30)), max_size=6, unique_by=lambda t: t[0]),
        ),
    ),
    max_size=25,
)


class Pair:
    """The core and its twin, changed together."""

    def __init__(self, targets, seed, phase):
        self.targets = dict(targets)  # name -> weight, in order
        self.down, self.seed = set(), seed
        self.up = lbcore.Upstream("u", self._specs(), lbcore.policy("round_robin", phase=phase), seed=seed)
        self.twin = RoundRobin(self._effective(), seed, from_phase_zero=phase == 0)

    def _specs(self):
        return [lbcore.Target(f"t{name}", weight=w) for name, w in self.targets.items()]

    def _effective(self):
        return [0 if name in self.down else w for name, w in self.targets.items()]

    def _rebuild(self, old_index):
        self.twin = RoundRobin(self._effective(), self.seed, previous=self.twin, old_index=old_index)

    def pick(self, n):
        for _ in range(n):
            target, want = self.up.pick_or_none(), self.twin.pick()
            assert (target.index if target else None) == want

    def weight(self, i, w):
        if i < len(self.targets) and self.targets[name := list(self.targets)[i]] != w:
            self.targets[name] = w
            self.up.set_weight(self.up.targets[i], w)
            self._rebuild(range(len(self.targets)))

    def health(self, i, ok):
        if i >= len(self.targets) or ((name := list(self.targets)[i]) not in self.down) == ok:
            return
        (self.down.discard if ok else self.down.add)(name)
        self.up.set_health(self.up.targets[i], ok)
        self._rebuild(range(len(self.targets)))

    def update(self, targets):
        before = list(self.targets)
        self.targets = dict(targets)
        self.down &= set(self.targets)
        self.up.update(self._specs())
        self._rebuild([before.index(name) if name in before else None for name in self.targets])


@given(
    targets=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 30)), max_size=6, unique_by=lambda t: t[0]),
    seed=st.integers(0, 2**64 - 1),
    phase=st.integers(0, 1),
    changes=CHANGES,
)
def test_the_core_is_its_twin_through_any_changes(targets, seed, phase, changes):
    pair = Pair(targets, seed, phase)
    pair.pick(2 * sum(w for _, w in targets))
    for what, *how in changes:
        getattr(pair, what)(*how)
        pair.pick(3)


@pytest.mark.parametrize("n", [1024, 1025, 2000])
def test_the_core_is_its_twin_where_ties_are_shuffled_in_parts(n):
    targets = [(i, 1 + i % 3) for i in range(n)]
    pair = Pair(targets, seed=n, phase=0)
    for _ in range(40):
        assert pair.up.pick().index == pair.twin.pick()
