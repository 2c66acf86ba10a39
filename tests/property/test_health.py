"""Health through the Python interface against its twins: states, times, ejections and events after each step."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from lbcore.healthrules import ActiveChecks, Health, Outlier, PassiveChecks
from lbcore.testing import ManualClock
from twins.checks import Checks, suffices
from twins.outcome import Outcome, outcome_of
from twins.outlier import Fleet, ns

CALLS = 40  # begun on each target before anything happens: outcomes come while a target is out, too
STEPS = (0.0, 0.5, 2.5, 5.0, 10.0, 12.5, 35.0, 300.0)


class Refusal(Exception):
    """What a client library raises that is no OSError."""


FAULTS = {
    None: None,
    "connect": ConnectionRefusedError(),
    "timeout": TimeoutError(),
    "refusal": Refusal(),
    "cancelled": GeneratorExit(),
}
ENDINGS = st.tuples(
    st.sampled_from((None, None, None, True, False)),
    st.sampled_from((*FAULTS, "connect", "timeout")),
    st.sampled_from((None, 200, 302, 404, 429, 500, 502, 503)),
)


def ended(ok, fault, status):
    """The twin's word for ``done(ok=, error=, status=)``."""
    if ok is None and fault is None and status is None:
        return Outcome(ok=True)  # done() and no more: it went well
    if fault == "refusal":
        return Outcome(ok, "connect", status)
    return outcome_of(ok, FAULTS[fault], status)


class Twin:
    """An upstream as its three twins make it: detectors, checks, and what is said by hand."""

    def __init__(self, health, n):
        self.health = health
        self.fleet = Fleet(health.outlier, n)
        self.checks = [Checks(health.passive) for _ in range(n)]
        self.held = [0] * n  # until; 0: it is not
        self.down = [False] * n  # by hand, until it is well by hand
        self.draining = [0] * n
        self.disabled = [False] * n
        self.events = []

    def tell(self, kind, i, until=None, cause=None, failures=0, status=None):
        self.events.append((kind, i, until, cause, failures, status))

    def ejected(self, i, cause):
        rule = self.health.outlier
        failures = 1 if cause == "half_open" else getattr(rule, cause, 0)
        self.tell("ejected", i, self.fleet.targets[i].until_ns, cause, failures)

    def advance(self, now):
        """Judge the interval, end what is over."""
        over = [t.until_ns is not None and now >= t.until_ns for t in self.fleet.targets]
        for i, cause in self.fleet.advance(now):
            self.ejected(i, cause)
        for i in range(len(over)):
            if over[i]:
                self.tell("recovered", i)
            if self.held[i] and now >= self.held[i]:
                self.held[i] = 0
                self.tell("released", i)

    def report(self, i, outcome, pause, status, now):
        cause = self.fleet.report(i, outcome, now)
        if cause is not None:
            self.ejected(i, cause)
        self.count(i, outcome, self.health.passive)
        if pause is not None and status in (None, 429, 503):
            until = now + ns(min(max(pause, 0), self.health.max_hold))
            if until > max(now, self.held[i]):
                if not self.held[i]:
                    self.tell("held", i, until, status=outcome.status)  # None: the call's end says nothing
                self.held[i] = until

    def count(self, i, outcome, rule):
        change = None if rule is None else self.checks[i].report(outcome, rule)
        if change is not None and not self.down[i]:
            self.tell("unhealthy" if change == "fell" else "healthy", i)

    def set_health(self, i, ok, hold, now):
        was_out = self.down[i] or not self.checks[i].takes_traffic
        if not ok:
            if hold:
                self.down[i] = True
            else:
                self.checks[i].set(False)
            if not was_out:
                self.tell("unhealthy", i)
            return
        t = self.fleet.targets[i]
        if t.until_ns is not None:
            t.until_ns = now
            t.recover(now)
            t.trial = 0
            self.tell("recovered", i)
        if self.held[i]:
            self.held[i] = 0
            self.tell("released", i)
        self.down[i] = False
        self.checks[i].set(True)
        if was_out:
            self.tell("healthy", i)

    def drain(self, i, deadline, now):
        until = None if deadline is None else now + ns(deadline)
        if not self.draining[i]:
            self.tell("draining", i, until)
        self.draining[i] = until or -1

    def undrain(self, i):
        if self.draining[i]:
            self.tell("undrained", i)
        self.draining[i] = 0

    def disable(self, i, disabled):
        if self.disabled[i] != disabled:
            self.tell("disabled" if disabled else "enabled", i)
        self.disabled[i] = disabled

    def state(self, i):
        if self.disabled[i]:
            return "disabled"
        if self.down[i] or not self.checks[i].takes_traffic:
            return "unhealthy"
        if self.fleet.targets[i].until_ns is not None:
            return "ejected"
        if self.held[i]:
            return "held"
        return "draining" if self.draining[i] else "healthy"

    def back(self, i):
        """When it is back by itself; None: it is not out, or does not come back so."""
        if self.disabled[i] or self.down[i] or not self.checks[i].takes_traffic or self.draining[i]:
            return None
        return max(self.fleet.targets[i].until_ns or 0, self.held[i]) or None

    def until(self, i):
        found = self.fleet.targets[i].until_ns or self.held[i] or self.draining[i]
        return found if found > 0 else None


class Pair:
    """An upstream and its twin."""

    def __init__(self, health, weights):
        self.clock = ManualClock(1000.0)
        self.up = lbcore.Upstream(
            "u",
            [lbcore.Target(f"t{i}:1", weight=w, labels={"n": str(i)}) for i, w in enumerate(weights)],
            health=health,
            clock=self.clock,
            failures=Refusal,
            seed=1,
        )
        self.weights = weights
        self.twin = Twin(health, len(weights))
        self.twin.fleet.judged = ns(1000.0) // ns(health.outlier.interval)
        self.calls = [
            [self.up.acquire(within=self.up.subset(n=str(i))) for _ in range(CALLS)]
            for i in range(len(weights))
        ]

    @property
    def now(self):
        return ns(self.clock.now)

    def step(self, op):
        kind, *args = op
        if kind == "wait":
            self.clock.advance(args[0])
        else:
            i = args[0] % len(self.weights)
            getattr(self, kind)(i, self.up.targets[i], *args[1:])
        self.up.advance()
        self.twin.advance(self.now)
        self.compare()

    def call(self, i, target, ending, pause, done):
        if not self.calls[i]:
            return
        call, (ok, fault, status) = self.calls[i].pop(), ending
        if done:
            call.done(ok, status, FAULTS[fault], None, pause)
        else:
            ok = None
            call.report(status, FAULTS[fault], None, pause)
            call.done()
        self.twin.report(i, ended(ok, fault, status), pause, status, self.now)

    def check(self, i, target, ending):
        ok, fault, status = ending
        self.up.checked(target, ok=ok, error=FAULTS[fault], status=status)
        outcome = ended(ok, fault, status)
        if ok is False and fault is None and status is None:
            outcome = Outcome(fault="garbled")
        self.twin.count(i, outcome, self.twin.health.active)

    def set(self, i, target, ok, hold):
        self.up.set_health(target, ok, hold)
        self.twin.set_health(i, ok, hold, self.now)

    def drain(self, i, target, deadline):
        if deadline == 0:
            target.undrain()
            self.twin.undrain(i)
        else:
            target.drain(deadline)
            self.twin.drain(i, deadline, self.now)

    def serve(self, i, target, on):
        (target.enable if on else target.disable)()
        self.twin.disable(i, not on)

    def compare(self):
        up, twin = self.up, self.twin
        assert [t.state for t in up] == [twin.state(i) for i in range(len(up))]
        untils = [None if t.until is None else ns(t.until) for t in up]
        assert untils == [twin.until(i) for i in range(len(up))]
        told, twin.events = twin.events, []
        events = up.events()
        assert all(ns(e.at) == self.now for e in events)
        seen = [
            (e.kind, e.target.index, None if e.until is None else ns(e.until), e.cause, e.failures, e.status)
            for e in events
        ]
        assert sorted(seen, key=repr) == sorted(told, key=repr)
        healthy = [w for i, w in enumerate(self.weights) if twin.state(i) == "healthy"]
        serves = suffices(self.twin.health.threshold, sum(healthy), sum(self.weights)) and any(healthy)
        if twin.health.outlier.half_open:  # a target on trial takes few calls, and has many
            return
        assert (up.pick_or_none() is not None) == serves
        if not serves:
            with pytest.raises(lbcore.NoTarget) as nobody:
                up.pick()
            back = [b for b in map(twin.back, range(len(up))) if b is not None]
            assert nobody.value.retry_after == ((min(back) - self.now) / 1e9 if back else None)
            assert nobody.value.reasons == {
                t.id: twin.state(i) if twin.state(i) != "healthy" else "below the threshold"
                for i, t in enumerate(up)
            }

    def end(self):
        for calls in self.calls:
            for call in calls:
                call.done(error=GeneratorExit())


SOME = Outlier(
    consecutive_5xx=3, consecutive_gateway_failure=2, consecutive_local_origin_failure=2, base_ejection_time=5
)
RULES = {
    "default": Health(),
    "envoy": Health(outlier=dataclasses.replace(Outlier.envoy(), max_ejection_percent=100)),
    "streaks": Health(outlier=SOME, max_hold=20),
    "not enforced": Health(outlier=dataclasses.replace(SOME, enforcing_consecutive_gateway_failure=0)),
    "everybody": Health(outlier=dataclasses.replace(SOME, max_ejection_percent=100, max_ejection_time=12)),
    "half open": Health(outlier=dataclasses.replace(SOME, half_open=1, half_open_successes=2)),
    "rates": Health(
        outlier=dataclasses.replace(
            SOME,
            consecutive_5xx=0,
            success_rate_minimum_hosts=2,
            success_rate_request_volume=2,
            success_rate_stdev_factor=700,
            max_ejection_percent=100,
        )
    ),
    "percentage": Health(
        outlier=dataclasses.replace(
            SOME,
            failure_percentage_threshold=50,
            failure_percentage_minimum_hosts=1,
            failure_percentage_request_volume=2,
            base_ejection_time=7,
        )
    ),
    "kong": Health(
        outlier=Outlier(consecutive_local_origin_failure=0),
        passive=PassiveChecks(
            healthy_successes=2, unhealthy_http_failures=2, unhealthy_tcp_failures=2, unhealthy_timeouts=1
        ),
        active=ActiveChecks(
            healthy_successes=1, unhealthy_http_failures=2, unhealthy_tcp_failures=1, unhealthy_timeouts=2
        ),
        threshold=30,
        max_hold=0,
    ),
    "all": Health(
        outlier=SOME,
        passive=PassiveChecks(unhealthy_http_failures=2),
        active=ActiveChecks(healthy_successes=1),
    ),
}
WHO = st.integers(0, 6)
PAUSES = st.sampled_from((None, None, None, 0, 0.5, 7, 15.5, 60, 3600, -3))
CALL = st.tuples(st.just("call"), WHO, ENDINGS, PAUSES, st.booleans())
BAD = st.tuples(
    st.just("call"),
    st.integers(0, 1),
    st.sampled_from(((None, None, 503), (None, "connect", None), (None, "timeout", None), (None, None, 500))),
    st.none(),
    st.just(True),
)
OPS = st.lists(
    st.one_of(
        CALL,
        CALL,
        BAD,
        BAD,
        st.tuples(st.just("wait"), st.sampled_from(STEPS)),
        st.tuples(st.just("check"), WHO, ENDINGS),
        st.tuples(st.just("set"), WHO, st.booleans(), st.booleans()),
        st.tuples(st.just("drain"), WHO, st.sampled_from((None, 0, 0, 30.0))),
        st.tuples(st.just("serve"), WHO, st.booleans()),
    ),
    max_size=60,
)


@pytest.mark.parametrize("rule", RULES)
@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=6), ops=OPS)
def test_states_times_and_events_are_the_twins(rule, weights, ops):
    pair = Pair(RULES[rule], weights)
    try:
        for op in ops:
            pair.step(op)
    finally:
        pair.end()
