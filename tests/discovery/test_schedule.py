"""When a source is asked again: a table, and what holds for every sequence of answers and failures."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from lbcore.discovery.found import BACKOFF, Found
from lbcore.discovery.schedule import Schedule


class Highest:
    """Randomness that always draws the greatest."""

    def uniform(self, low, high):
        return high


class Lowest:
    def uniform(self, low, high):
        return low


def test_the_first_ask_is_at_once():
    assert Schedule(random=Random(1)).wait(123.0) == 0.0


@pytest.mark.parametrize(
    ("good_for", "after", "wait"),
    [(60, 0, 60), (60, 20, 40), (60, 60, 0), (60, 1000, 0), (0.1, 0, 0.1), (math.inf, 1e9, math.inf)],
)
def test_an_answer_is_asked_again_when_it_has_expired(good_for, after, wait):
    schedule = Schedule(random=Random(1))
    schedule.answered(1000.0, good_for)
    assert schedule.wait(1000.0 + after) == wait


@pytest.mark.parametrize(
    ("random", "waits"),
    [(Highest(), [3, 9, 27, 30, 30]), (Lowest(), [1, 1, 1, 1, 1])],
)
def test_failures_wait_ever_longer_between_the_bounds(random, waits):
    schedule, now = Schedule(BACKOFF, random=random), 0.0
    for wait in waits:
        schedule.failed(now)
        assert schedule.wait(now) == wait
        now += wait


def test_an_answer_ends_the_backoff():
    schedule = Schedule(BACKOFF, random=Highest())
    for _ in range(4):
        schedule.failed(0.0)
    schedule.answered(0.0, 60.0)
    schedule.failed(60.0)
    assert schedule.wait(60.0) == 3


def test_processes_that_one_outage_hit_do_not_come_back_together():
    schedules = [Schedule(BACKOFF, random=Random(seed)) for seed in range(100)]
    for schedule in schedules:
        for _ in range(8):
            schedule.failed(0.0)
    waits = sorted(schedule.wait(0.0) for schedule in schedules)
    assert len(set(waits)) == 100 and waits[90] - waits[10] > 5


def test_a_clock_that_goes_back_does_not_prolong_the_wait():
    schedule = Schedule(random=Random(1))
    schedule.answered(1e9, 60.0)
    assert schedule.wait(0.0) == 60.0


@given(
    steps=st.lists(st.tuples(st.sampled_from(["answered", "failed"]), st.floats(0.001, 1e6)), max_size=30),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_wait_is_in_its_range(steps, seed):
    schedule, now = Schedule(BACKOFF, random=Random(seed)), 0.0
    for kind, value in steps:
        if kind == "answered":
            schedule.answered(now, value)
            assert schedule.wait(now) == pytest.approx(value, abs=1e-6)
        else:
            schedule.failed(now)
            assert BACKOFF[0] - 1e-6 <= schedule.wait(now) <= BACKOFF[1]
        now += value


@pytest.mark.parametrize("backoff", [(0, 1), (2, 1), (1, math.inf), (-1, 1), (math.nan, 1)])
def test_a_wrong_backoff_is_refused(backoff):
    with pytest.raises(lbcore.ConfigError, match="backoff"):
        Schedule(backoff, random=Random(1))


@pytest.mark.parametrize(
    ("targets", "good_for", "field"),
    [
        ([], 1, "targets"),
        (("a:1",), 1, "targets"),
        ((), 0, "good_for"),
        ((), -1, "good_for"),
        ((), math.nan, "good_for"),
        ((), None, "good_for"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(targets, good_for, field):
    with pytest.raises(lbcore.ConfigError) as raised:
        Found(targets, good_for)
    assert raised.value.problems[0].field == field
