"""The twins of health against the sentences of their references: what compares the core with them rests on them."""

import dataclasses
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcore.healthrules import Outlier, PassiveChecks
from twins.checks import Checks, suffices
from twins.outcome import Outcome, ending, outcome_of
from twins.outlier import RATE, Fleet, Target, judge, ns

OK, BAD, REFUSED = outcome_of(status=200), outcome_of(status=500), outcome_of(error=ConnectionRefusedError())
RATES = dataclasses.replace(Outlier.envoy(), failure_percentage_threshold=0)


@pytest.mark.parametrize(
    ("outcome", "what"),
    [
        (outcome_of(), "nothing"),
        (outcome_of(error=ValueError()), "nothing"),
        (outcome_of(error=ValueError(), status=503), "nothing"),
        (outcome_of(ok=True), "success"),
        (outcome_of(ok=True, status=503), "success"),
        (outcome_of(status=503), "status"),
        (outcome_of(ok=False, status=200), "failed"),
        (outcome_of(error=TimeoutError(), status=200), "failed"),
        (Outcome(fault="garbled"), "failed"),
        (outcome_of(error=TimeoutError()), "timeout"),
        (outcome_of(error=ConnectionResetError()), "connect"),
        (outcome_of(ok=False), "connect"),
        (outcome_of(ok=False, error=ValueError()), "connect"),
    ],
)
def test_what_the_end_of_a_call_comes_to(outcome, what):
    assert ending(outcome) == what


def test_the_default_ejects_after_three_and_for_longer_each_time():
    fleet = Fleet(Outlier(), 4)
    now, lengths = 0, []
    for _ in range(32):
        causes = [fleet.report(0, REFUSED, now) for _ in range(3)]
        assert causes == [None, None, "consecutive_local_origin_failure"]
        lengths.append(fleet.targets[0].until_ns - now)
        now = fleet.targets[0].until_ns
        fleet.advance(now)
    assert lengths == [ns(min(10 * i, 300)) for i in range(1, 33)]
    assert fleet.targets[0].multiplier == 31  # "while backoff * base < max + base"
    fleet.report(0, OK, now)
    now += ns(30 * 10)
    for _ in range(3):
        fleet.report(0, REFUSED, now)
    assert fleet.targets[0].until_ns - now == ns(20)  # thirty intervals in service took thirty off


def test_at_most_half_and_always_one():
    fleet = Fleet(Outlier(), 3)
    for i in range(3):
        for _ in range(3):
            fleet.report(i, REFUSED, 0)
    assert fleet.ejected == [0]
    fleet = Fleet(Outlier.envoy(), 9)
    for _ in range(5):
        assert fleet.report(0, BAD, 0) is None  # "10% ejects nobody in a cluster of 9"
    fleet = Fleet(Outlier.envoy(), 10)
    assert [fleet.report(0, BAD, 0) for _ in range(5)][-1] == "consecutive_5xx"


def test_gateway_errors_that_are_not_enforced_eject_as_5xx():
    fleet = Fleet(Outlier.envoy(), 10)
    causes = [fleet.report(0, outcome_of(status=503), 0) for _ in range(5)]
    assert causes == [None] * 4 + ["consecutive_5xx"]
    fleet = Fleet(dataclasses.replace(Outlier.envoy(), enforcing_consecutive_gateway_failure=100), 10)
    assert [fleet.report(0, REFUSED, 0) for _ in range(5)][-1] == "consecutive_gateway_failure"


def test_a_breaker_closes_after_its_successes_and_opens_at_a_failure():
    fleet = Fleet(Outlier(half_open=1, half_open_successes=2), 4)
    for _ in range(3):
        fleet.report(0, REFUSED, 0)
    fleet.advance(ns(10))
    assert fleet.targets[0].trial == 2
    assert fleet.report(0, OK, ns(10)) is None
    assert fleet.report(0, REFUSED, ns(10)) == "half_open"
    assert fleet.targets[0].until_ns == ns(30)
    fleet.advance(ns(30))
    for _ in range(2):
        fleet.report(0, OK, ns(30))
    assert fleet.targets[0].trial == 0
    assert fleet.report(0, REFUSED, ns(30)) is None


def test_success_rates_are_judged_at_the_end_of_their_interval():
    fleet = Fleet(RATES, 10)
    for i in range(10):
        for k in range(100):
            fleet.report(i, BAD if i == 7 and k % 2 else OK, ns(5))
    assert fleet.advance(ns(9.999)) == []
    assert fleet.advance(ns(10)) == [(7, "success_rate")]
    assert fleet.advance(ns(10)) == []


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=12),
    st.integers(0, 3000),
    st.integers(0, 8),
    st.integers(0, 150),
)
def test_judging_is_what_envoy_writes_in_doubles(counts, factor, hosts, volume):
    rule = dataclasses.replace(
        RATES,
        success_rate_stdev_factor=factor,
        success_rate_minimum_hosts=hosts,
        success_rate_request_volume=volume,
    )
    targets = []
    for calls, ok in counts:
        targets.append(Target(rule))
        targets[-1].calls[0], targets[-1].successes[0] = calls, min(calls, ok)
    asked = judge(rule, targets, 0)
    rates = {
        i: 100 * t.successes[0] / t.calls[0]
        for i, t in enumerate(targets)
        if t.calls[0] and t.calls[0] >= volume
    }
    if not hosts or len(rates) < hosts:
        assert not any(asked)
        return
    threshold = statistics.fmean(rates.values()) - factor / 1000 * statistics.pstdev(rates.values())
    for i, rate in rates.items():
        if not math.isclose(rate, threshold, abs_tol=100 * 20 / RATE):
            assert ("success_rate" in asked[i]) == (rate < threshold)


CHECKS = PassiveChecks(
    healthy_successes=2, unhealthy_http_failures=3, unhealthy_tcp_failures=2, unhealthy_timeouts=2
)


@pytest.mark.parametrize(
    ("reports", "state", "told"),
    [
        ("", "healthy", None),
        ("o", "healthy", None),
        ("b", "mostly_healthy", None),
        ("bbb", "unhealthy", "fell"),
        ("bb4b", "unhealthy", "fell"),  # a status in neither list does nothing
        ("bbrb", "unhealthy", "fell"),
        ("bbr", "mostly_healthy", None),  # kinds are not added up
        ("rr", "unhealthy", "fell"),
        ("tt", "unhealthy", "fell"),
        ("rt", "mostly_healthy", None),
        ("bbobb", "mostly_healthy", None),
        ("bboo", "healthy", None),
        ("bbbo", "mostly_unhealthy", None),
        ("bbb4o", "mostly_unhealthy", None),
        ("bbbobo", "mostly_unhealthy", None),
        ("bbboo", "healthy", "rose"),
        ("bbbobbb", "unhealthy", None),
    ],
)
def test_kongs_states(reports, state, told):
    checks, change = Checks(CHECKS), None
    outcomes = {
        "o": OK,
        "b": BAD,
        "4": outcome_of(status=404),
        "r": REFUSED,
        "t": outcome_of(error=TimeoutError()),
    }
    for report in reports:
        change = checks.report(outcomes[report])
    assert (checks.state, change) == (state, told)


def test_without_a_limit_for_successes_failures_need_not_be_in_a_row():
    checks = Checks(PassiveChecks(unhealthy_http_failures=3))
    assert [checks.report(o) for o in (BAD, OK, BAD, OK, BAD, OK)] == [None] * 4 + ["fell", None]
    assert checks.state == "unhealthy"
    checks.set(True)
    assert checks.takes_traffic and not any(checks.counters.values())


def test_the_upstream_serves_above_its_threshold():
    assert [suffices(50, n, 100) for n in (0, 50, 51)] == [False, False, True]
    assert suffices(0, 1, 10) and not suffices(0, 0, 0) and not suffices(7, 7, 100)
