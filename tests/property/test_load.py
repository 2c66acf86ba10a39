"""The load-aware policies against their twins, and what they promise of errors, newcomers and odd latencies."""

import collections
import inspect
import math
import pathlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from lbcore.testing import ManualClock
from twins import load as twins
from twins.load import Model, Places
from twins.rng import Rng

HOLD_NS = 1_000_000_000  # what the engine does with a failed call of a load-aware policy

SEEDS = st.integers(0, 2**64 - 1)
WEIGHTS = st.lists(st.integers(0, 20), min_size=1, max_size=12)
CASES = {
    "first": [{}],
    "p2c": [{}],
    "least_request": [
        {},
        {"choices": 5},
        {"active_request_bias": 0},
        {"choices": 3, "active_request_bias": 4},
    ],
    "peak_ewma": [{}, {"decay": 0.5, "choices": 4}],
    "adaptive": [{}, {"gain": 1, "tau": 0.25}, {"gain": 0}, {"gain": 100, "tau": 0.001}, {"tau": 3600}],
}
TWINS = {
    "first": twins.First,
    "p2c": twins.P2c,
    "least_request": twins.LeastRequest,
    "peak_ewma": twins.PeakEwma,
    "adaptive": twins.Adaptive,
}
every_case = pytest.mark.parametrize(
    ("policy", "params"), [(policy, params) for policy, cases in CASES.items() for params in cases]
)


def maker(policy, params, seed):
    """What makes the twin of one View after the other."""
    twin = TWINS[policy]
    known = inspect.signature(twin).parameters
    given_ = {name.removeprefix("active_request_"): value for name, value in params.items()}

    def make(weights, previous):
        carried = {"seed": seed, "previous": previous}
        return twin(weights, **given_, **{name: value for name, value in carried.items() if name in known})

    return make


class Pair:
    """An upstream and its model, which must agree after every step."""

    def __init__(self, policy, params, weights, seed):
        self.clock = ManualClock(1.0)
        targets = [lbcore.Target(f"t{i}", weight=w) for i, w in enumerate(weights)]
        self.up = lbcore.Upstream(
            "u", targets, lbcore.policy(policy, **params), health=None, seed=seed, clock=self.clock
        )
        self.model = Model(
            maker(policy, params, seed), weights, seed, now_ns=self.now(), hold_ns=HOLD_NS, ticks=True
        )
        self.weights = list(weights)
        self.calls = []

    def now(self):
        return int(self.clock.now * 1e9)

    def acquire(self):
        want = self.model.acquire(self.now())
        if want is None:
            assert self.up.pick_or_none() is None
            return
        call = self.up.acquire()
        assert call.target.index == want
        self.calls.append(call)

    def pick(self):
        target = self.up.pick_or_none()
        assert (target.index if target else None) == self.model.pick(self.now())

    def done(self, i, latency, failed=False):
        """The open call number ``i``, counted round, ends."""
        if self.calls:
            call = self.calls.pop(i % len(self.calls))
            call.done(ok=not failed, latency=latency)
            self.model.done(call.target.index, self.now(), int(latency * 1e9), failed)

    def reweigh(self, i, weight):
        self.weights[i % len(self.weights)] = weight
        self.up.set_weight(self.up.targets[i % len(self.weights)], weight)
        self.model.reweigh(self.weights)

    def end(self):
        for call in self.calls:
            call.done()


LATENCIES = st.sampled_from([0.0, 1e-9, 0.01, 0.02, 0.05, 1.0, 100.0]) | st.floats(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("acquire")),
        st.tuples(st.just("acquire")),
        st.tuples(st.just("pick")),
        st.tuples(st.just("done"), st.integers(0, 20), LATENCIES, st.booleans()),
        st.tuples(st.just("done"), st.integers(0, 20), LATENCIES),
        st.tuples(st.just("advance"), st.sampled_from([0.001, 0.04, 0.1, 1.0, 30.0])),
        st.tuples(st.just("reweigh"), st.integers(0, 11), st.integers(0, 5)),
    ),
    max_size=60,
)


@every_case
@given(weights=WEIGHTS, seed=SEEDS, steps=STEPS)
def test_every_pick_is_the_twins(policy, params, weights, seed, steps):
    pair = Pair(policy, params, weights, seed)
    for name, *arguments in steps:
        getattr(pair.clock if name == "advance" else pair, name)(*arguments)
    pair.end()


@every_case
def test_large_fleets(policy, params):
    """Above what adaptive scans; and exactly as many."""
    for n in (128, 129, 400):
        pair = Pair(policy, params, [1 + i % 7 for i in range(n)], 5)
        for i in range(400):
            pair.acquire()
            pair.clock.advance(0.002)
            if i % 3:
                pair.done(i * 7, 0.01 * (1 + i % 5), failed=i % 11 == 0)
        pair.end()


@pytest.mark.parametrize(
    ("policy", "n"),
    [("adaptive", 20), ("adaptive", 128), ("adaptive", 200), ("peak_ewma", 20), ("peak_ewma", 200)],
)
def test_the_digests_of_the_c_tests_are_the_twins(policy, n):
    """``play`` of tests/core/test_load.c, ticks included."""
    weights, seed = [1 + i % 5 for i in range(n)], 20240614
    twin, places, load = maker(policy, {}, seed)(weights, None), Places(n), [0] * n
    picks, rng, opened, digest = Rng(seed + 1), Rng(seed), [0] * 64, 0
    for i in range(3000):
        member, place = twin.pick(load, places, picks), opened[i % 64]
        digest = (digest * 6364136223846793005 + member) % 2**64
        load[member] += 1
        if i >= 64:
            now_ns, latency_ns = 10**9 + i * 10**6, 10**6 * (1 + place % 7) + rng.below(3_000_000)
            load[place] -= 1
            twin.observe(places, place, now_ns, latency_ns, rng.below(50) == 0)
            if i % 20 == 0:
                twin.tick(places, now_ns)
        opened[i % 64] = member
    text = (pathlib.Path(__file__).parent.parent / "core/test_load.c").read_text()
    assert f'{{"{policy}", {n}, 0x{digest:016X}}}' in text


# ---- promises ----------------------------------------------------------------------------------------------------


def upstream(policy, weights, **more):
    clock = ManualClock(1.0)
    targets = [lbcore.Target(f"t{i}", weight=w) for i, w in enumerate(weights)]
    return lbcore.Upstream("u", targets, policy, health=None, seed=3, clock=clock, **more), clock


def serve(up, clock, n, answer, every=0.005):
    """``n`` calls, one at a time; ``answer(index)`` is the latency and whether it failed."""
    counts = collections.Counter()
    for _ in range(n):
        call = up.acquire()
        latency, failed = answer(call.target.index)
        counts[call.target.index] += 1
        clock.advance(every)
        call.done(ok=not failed, latency=latency)
    return counts


@pytest.mark.parametrize("policy", ["p2c", "least_request"])
def test_draws_follow_the_weights_while_nothing_is_in_flight(policy):
    """The weight is not counted twice: 5 standard deviations."""
    up, clock = upstream(policy, [1, 2, 3, 10])
    counts = serve(up, clock, 16_000, lambda _: (0.01, False))
    for i, weight in enumerate((1, 2, 3, 10)):
        assert abs(counts[i] - 1000 * weight) < 5 * (1000 * weight) ** 0.5


def test_a_larger_bias_takes_from_the_heavy():
    """Held calls go in the ratio weight^(1/bias): 1 to 4 becomes 1 to 2."""
    up, _ = upstream(lbcore.policy("least_request", active_request_bias=2), [1, 4])
    calls = [up.acquire() for _ in range(3000)]
    assert abs(sum(call.target.index for call in calls) - 2000) < 10
    for call in calls:
        call.done()


@pytest.mark.parametrize("policy", ["peak_ewma", "adaptive"])
def test_the_slow_target_gets_less(policy):
    up, clock = upstream(policy, [1, 1, 1, 1])
    counts = serve(up, clock, 2000, lambda i: (0.2 if i == 2 else 0.01, False))
    assert counts[2] < 60


def test_an_error_counts_as_slow_in_peak_ewma():
    """A target that fails at once does not look fast."""
    up, clock = upstream("peak_ewma", [1, 1, 1, 1])
    counts = serve(up, clock, 2000, lambda i: (0.0001, True) if i == 1 else (0.01, False))
    assert counts[1] < 10


def test_a_newcomer_of_peak_ewma_is_tried_but_not_flooded():
    up, clock = upstream("peak_ewma", [1, 1, 1])
    serve(up, clock, 300, lambda _: (0.01, False))
    up.update([*(lbcore.Target(f"t{i}") for i in range(3)), lbcore.Target("new")])
    calls = [up.acquire() for _ in range(60)]
    assert sum(call.target.id == "new" for call in calls) == 1
    for call in calls:
        call.done(latency=0.01)
    calls = [up.acquire() for _ in range(60)]
    assert 5 < sum(call.target.id == "new" for call in calls) < 25
    for call in calls:
        call.done()


@pytest.mark.parametrize("policy", ["peak_ewma", "adaptive"])
@pytest.mark.parametrize("odd", [float("-inf"), float("inf"), float("nan"), -1.0, 0.0, 5e-324, 1e-9])
def test_one_odd_latency_starves_and_favours_nobody(policy, odd):
    """Refused, taught nothing, or forgotten after 40 s of 10 ms for all: shares within 10 % of equal."""
    up, clock = upstream(policy, [1, 1, 1, 1])
    odd_told = False
    for _ in range(4000):
        calls = [up.acquire() for _ in range(4)]
        for call in calls:
            latency = 0.010
            if call.target.index == 2 and not odd_told:
                odd_told, latency = True, odd
            try:
                call.done(latency=latency)
            except ValueError:
                assert not 0 <= latency <= 1e9
        clock.advance(0.01)
    counts = collections.Counter(up.pick().index for _ in range(10_000))
    assert all(abs(counts[i] - 2500) < 250 for i in range(4)), counts


@pytest.mark.parametrize("policy", ["peak_ewma", "adaptive"])
def test_a_clock_that_stands_still_or_goes_back_stops_nobody(policy):
    up, clock = upstream(policy, [1, 2, 3])
    for i in range(3000):
        with up.acquire():
            clock.set(1.0 + (i % 7 == 6) * 0.01 - (i % 11 == 5) * 0.5)
    assert {up.pick().index for _ in range(300)} <= {0, 1, 2}


def test_adaptive_forgets_nobody_at_one_call_at_a_time():
    """Equal targets with noise: everybody is tried again and again."""
    up, clock = upstream("adaptive", [1, 1, 1, 1])
    turn = iter(range(10**6))
    counts = serve(up, clock, 20_000, lambda i: (0.010 + 0.0001 * ((next(turn) * 7919) % 100), False))
    assert min(counts.values()) > 1000, counts


NOISE = {
    "uniform": lambda rng: rng.uniform(0.010, 0.020),
    "exponential": lambda rng: 1e-6 + rng.expovariate(100),
    "log-normal": lambda rng: rng.lognormvariate(math.log(0.010), 1.27),  # deviation twice the mean
}


@pytest.mark.parametrize("noise", NOISE)
def test_adaptive_leaves_no_equal_target_alone(noise):
    """One call at a time for ten minutes: nobody waits longer than 7 tau, nobody has less than a fifth of its share."""
    up, clock = upstream("adaptive", [1, 1, 1, 1])
    rng, counts, last, longest = random.Random(7), collections.Counter(), [clock.now] * 4, 0.0
    for _ in range(30_000):
        call = up.acquire()
        member = call.target.index
        counts[member] += 1
        longest, last[member] = max(longest, clock.now - last[member]), clock.now
        clock.advance(0.02)
        call.done(latency=NOISE[noise](rng))
    longest = max(longest, *(clock.now - moment for moment in last))
    assert longest < 7 * 3.0
    assert min(counts.values()) > 30_000 / 4 / 5, counts


def test_adaptive_finds_out_that_a_target_has_recovered():
    """At one call at a time, when nothing but trying can tell."""
    up, clock = upstream("adaptive", [1, 1, 1, 1])
    counts = serve(up, clock, 4000, lambda i: (0.2 if i == 2 else 0.01, False))
    assert counts[2] < 20
    serve(up, clock, 6000, lambda _: (0.01, False))
    counts = serve(up, clock, 4000, lambda _: (0.01, False))
    assert abs(counts[2] - 1000) < 50, counts


def test_adaptive_counts_who_fails_at_once_as_busy():
    """A held call a second, and half of the others' traffic would be 1,000."""
    up, clock = upstream("adaptive", [1, 1, 1, 1])
    counts = serve(up, clock, 4000, lambda i: (0.0001, True) if i == 1 else (0.01, False))
    assert 1 <= counts[1] <= 22


def test_adaptive_splits_evenly_where_everybody_fails_or_is_slow():
    for latency, failed in ((0.0001, True), (500.0, True), (500.0, False)):
        up, clock = upstream("adaptive", [1, 1, 1, 1])
        counts = serve(up, clock, 4000, lambda _, answer=(latency, failed): answer)
        assert all(abs(counts[i] - 1000) < 50 for i in range(4)), (latency, failed, counts)


def test_adaptive_is_tried_evenly_again_after_a_long_silence():
    up, clock = upstream("adaptive", [1, 1, 1, 1])
    serve(up, clock, 2000, lambda i: (0.2 if i == 2 else 0.01, False))
    clock.advance(86_400)
    assert sorted(up.pick().index for _ in range(4)) == [0, 1, 2, 3]


def test_adaptive_holds_calls_by_weight_whatever_the_weights():
    """The twin agrees up to the largest weight, and what is held follows the weights while nothing is known."""
    weights = [1, 1_000_000, 7, 999_983, 250_000]
    pair = Pair("adaptive", {}, weights, 11)
    for _ in range(2000):
        pair.acquire()
    held = collections.Counter(call.target.index for call in pair.calls)
    assert all(abs(held[i] - 2000 * weights[i] / sum(weights)) < 2 for i in range(5)), held
    for i in range(1500):
        pair.done(i * 7, 0.001 * (1 + i % 50), failed=i % 13 == 0)
        pair.clock.advance(0.01)
        pair.acquire()
    pair.end()


@pytest.mark.parametrize("wrong", [float("nan"), -1, 0.5, 5, "1", True])
def test_a_bias_out_of_range_is_refused(wrong):
    with pytest.raises(lbcore.ConfigError) as refused:
        lbcore.policy("least_request", active_request_bias=wrong)
    assert "active_request_bias" in str(refused.value)
