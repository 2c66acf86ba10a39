"""Health through the Python interface: each transition of each detector, checks, what is said by hand."""

import asyncio

import pytest

import lbcore
from health_rig import LATE, REFUSED, Rig
from lbcore.healthrules import ActiveChecks, Health, Outlier, PassiveChecks

OFF = Outlier(consecutive_local_origin_failure=0)


# ---- the detectors that count in a row ---------------------------------------------------------------------------

FIVE = {"consecutive_5xx": 3}
GATE = {"consecutive_gateway_failure": 2}
LOCAL = {"consecutive_local_origin_failure": 3}
WHOLE = {"split_external_local_origin_errors": False}
IN_A_ROW = [  # the detectors that are on; the calls; who ejects
    ({}, "bgrtRFfb4", None),
    (FIVE, "bb", None),
    (FIVE, "bbb", "consecutive_5xx"),
    (FIVE, "bgb", "consecutive_5xx"),
    (FIVE, "bbobb", None),
    (FIVE, "bb4bb", None),  # every answer below 500 is a success
    (FIVE, "bbsbb", None),
    (FIVE, "bbObb", None),  # ok= goes before status and error
    (FIVE, "bbR", "consecutive_5xx"),  # an answer began
    (FIVE, "bbf", "consecutive_5xx"),
    (FIVE, "bbxxb", "consecutive_5xx"),  # neither counts nor clears
    (FIVE, "bbccb", "consecutive_5xx"),
    (FIVE, "bbrrb", "consecutive_5xx"),  # failures without an answer are counted by themselves
    (FIVE, "rrrrr", None),
    ({**FIVE, **WHOLE}, "brt", "consecutive_5xx"),
    (GATE, "g", None),
    (GATE, "gg", "consecutive_gateway_failure"),
    (GATE, "gbg", None),  # another 5xx ends the row
    (GATE, "gog", None),
    (GATE, "g9g", None),
    (GATE, "grg", "consecutive_gateway_failure"),
    (GATE, "gxg", "consecutive_gateway_failure"),
    ({**GATE, **WHOLE}, "gr", "consecutive_gateway_failure"),
    (LOCAL, "rr", None),
    (LOCAL, "rrr", "consecutive_local_origin_failure"),
    (LOCAL, "rtF", "consecutive_local_origin_failure"),
    (LOCAL, "rrorr", None),
    (LOCAL, "rrbrr", None),  # an answer, whatever it says
    (LOCAL, "rrRrr", None),
    (LOCAL, "rrxcr", "consecutive_local_origin_failure"),
    ({**LOCAL, **WHOLE}, "rrrrr", None),  # not used
    ({**GATE, "consecutive_5xx": 2}, "gg", "consecutive_gateway_failure"),  # it goes first
    ({**GATE, "consecutive_5xx": 2, "enforcing_consecutive_gateway_failure": 0}, "gg", "consecutive_5xx"),
    ({**FIVE, "enforcing_consecutive_5xx": 0}, "bbbbbb", None),
    ({**LOCAL, "enforcing_consecutive_local_origin_failure": 0}, "rrrrrr", None),
    ({**FIVE, "max_ejection_percent": 0}, "bbb", "consecutive_5xx"),  # one always may
    ({**FIVE, "max_ejection_percent": 19, "always_eject_one_host": False}, "bbbb", None),
    ({**FIVE, "max_ejection_percent": 20, "always_eject_one_host": False}, "bbb", "consecutive_5xx"),
]


@pytest.mark.parametrize(("fields", "ends", "cause"), IN_A_ROW)
def test_failures_in_a_row(fields, ends, cause):
    rig = Rig(Health(outlier=Outlier(**{"consecutive_local_origin_failure": 0, **fields})))
    rig.run(ends)
    assert rig.states == ["ejected" if cause else "healthy", *["healthy"] * 4]
    events = rig.up.events()
    assert [(e.kind, e.target, e.at, e.until, e.cause, e.failures, e.status) for e in events] == (
        [("ejected", rig[0], 100.0, 110.0, cause, fields[cause], None)] if cause else []
    )
    assert rig[0].until == (110.0 if cause else None)
    assert {rig.up.pick() for _ in range(10)} == set(rig.up.targets[1 if cause else 0 :])


def test_ejections_grow_to_their_maximum_and_shrink_by_good_conduct():
    rig = Rig(Health(outlier=Outlier(max_ejection_time=25)))
    lengths = []
    for _ in range(5):
        rig.run("rrr")
        lengths.append(rig[0].until - rig.clock.now)
        rig.wait(lengths[-1] - 0.001)
        assert rig[0].state == "ejected"
        rig.wait(0.001)
        assert (rig[0].state, rig[0].until) == ("healthy", None)
    assert lengths == [10, 20, 25, 25, 25]
    assert rig.kinds() == ["ejected", "recovered"] * 5
    rig.wait(35)  # three intervals in service take three of four steps off
    rig.run("rrr")
    assert rig[0].until - rig.clock.now == 20


def test_an_ejection_clears_the_row_and_outcomes_meanwhile_do_not_eject_again():
    rig = Rig()
    calls = [rig.call(0) for _ in range(9)]
    for call in calls[:8]:
        call.done(error=REFUSED)
    assert rig.kinds() == ["ejected"]
    rig.wait(10)
    calls[8].done(error=REFUSED)
    assert rig[0].state == "healthy"


def test_half_of_them_at_most():
    rig = Rig(n=4)
    for i in range(4):
        rig.run("rrr", i)
    assert rig.states == ["ejected", "ejected", "healthy", "healthy"]


def test_jitter_is_drawn_and_enforcing_is_a_share():
    rig = Rig(Health(outlier=Outlier(max_ejection_time_jitter=5, max_ejection_percent=100)), n=20)
    for i in range(20):
        rig.run("rrr", i)
    lengths = {t.until - 100 for t in rig.up}
    assert len(lengths) > 10 and min(lengths) >= 10 and max(lengths) <= 15
    some = Rig(
        Health(outlier=Outlier(enforcing_consecutive_local_origin_failure=50, max_ejection_percent=100)),
        n=200,
    )
    for i in range(200):
        some.run("rrr", i)
    assert 60 < some.states.count("ejected") < 140


# ---- the detectors that compare ----------------------------------------------------------------------------------

RATE = Outlier(
    consecutive_local_origin_failure=0, success_rate_minimum_hosts=5, success_rate_request_volume=10
)
PERCENT = Outlier(
    consecutive_local_origin_failure=0,
    failure_percentage_threshold=40,
    failure_percentage_minimum_hosts=3,
    failure_percentage_request_volume=10,
)
COMPARED = [  # the rule; the calls of each target; who is ejected at the interval's end
    (RATE, ["o" * 10] * 5 + ["o" * 5 + "b" * 5], [5]),
    (RATE, ["o" * 10] * 5 + ["o" * 9], []),  # too few calls are not compared
    (RATE, ["o" * 10] * 3 + ["b" * 10], []),  # too few targets
    (RATE, ["b" * 10] * 6, []),  # nobody is worse than the others
    (RATE, ["o" * 10] * 5 + ["r" * 10], []),  # no answers: counted elsewhere
    (PERCENT, ["o" * 10, "o" * 10, "o" * 6 + "b" * 4], [2]),
    (PERCENT, ["o" * 10, "o" * 10, "o" * 7 + "b" * 3], []),
    (PERCENT, ["o" * 10, "o" * 10, "b" * 9], []),
    (PERCENT, ["o" * 10, "b" * 10], []),
    (PERCENT, ["O" * 10, "O" * 10, "f" * 10], [2]),
    (PERCENT, ["b" * 10, "b" * 10, "b" * 10, "o" * 10], [0, 1]),  # half of them at most
]


@pytest.mark.parametrize(("rule", "calls", "out"), COMPARED)
def test_targets_are_compared_at_the_end_of_an_interval(rule, calls, out):
    rig = Rig(Health(outlier=rule), n=len(calls))
    for i, ends in enumerate(calls):
        rig.run(ends, i)
    rig.wait(9.999)
    assert set(rig.states) == {"healthy"}
    rig.wait(0.001)
    assert [i for i, state in enumerate(rig.states) if state == "ejected"] == out
    cause = "success_rate" if rule is RATE else "failure_percentage"
    assert [(e.kind, e.cause, e.failures) for e in rig.up.events()] == [("ejected", cause, 0)] * len(out)
    rig.wait(10)  # an interval without calls ejects nobody, and the ejections are over
    assert set(rig.states) == {"healthy"}


def test_who_is_back_at_the_end_of_an_interval_is_judged_like_the_others():
    rule = Outlier(consecutive_5xx=2, failure_percentage_threshold=50, failure_percentage_minimum_hosts=1,
                   failure_percentage_request_volume=2, base_ejection_time=5)  # fmt: skip
    rig = Rig(Health(outlier=rule))
    rig.run("bb")
    rig.wait(10)
    assert [(e.kind, e.cause) for e in rig.up.events()] == [
        ("ejected", "consecutive_5xx"),
        ("recovered", None),
        ("ejected", "failure_percentage"),
    ]


# ---- half open ---------------------------------------------------------------------------------------------------

BREAKER = Outlier(consecutive_5xx=2, half_open=1, half_open_successes=2)


def on_trial(**more):
    rig = Rig(Health(outlier=BREAKER), n=2, **more)
    rig.run("bb")
    rig.wait(10)
    rig.up.events()
    return rig


def test_a_target_on_trial_takes_so_many_calls_at_a_time_and_closes_after_enough_successes():
    rig = on_trial()
    first = rig.call(0)
    assert {rig.up.pick() for _ in range(6)} == {rig[1]}
    with pytest.raises(lbcore.NoTarget) as nobody:
        rig.call(0)
    assert nobody.value.retry_after is None
    first.done(status=200)
    rig.call(0).done(status=404)  # an answer
    assert {rig.up.pick() for _ in range(6)} == {rig[0], rig[1]}
    calls = [rig.call(0), rig.call(0)]
    assert [call.done(status=200) for call in calls] == [None, None]
    assert rig.kinds() == []


@pytest.mark.parametrize("end", ["b", "g", "r", "t", "F", "R"])
def test_one_failure_on_trial_ejects_again_and_for_longer(end):
    rig = on_trial()
    rig.run("o")
    rig.run(end)
    (event,) = rig.up.events()
    assert (event.kind, event.cause, event.failures, event.until) == ("ejected", "half_open", 1, 130.0)
    rig.wait(20)
    rig.run("o")  # all successes are needed again
    held = rig.call(0)
    assert {rig.up.pick() for _ in range(4)} == {rig[1]}
    held.done()


def test_what_says_nothing_is_no_trial_and_being_well_by_hand_ends_it():
    rig = on_trial()
    rig.run("x")
    rig.run("c")
    held = rig.call(0)
    assert {rig.up.pick() for _ in range(4)} == {rig[1]}
    held.done()
    rig.run("r")
    rig.up.set_health(rig[0], True)
    assert rig[0].state == "healthy"
    calls = [rig.call(0), rig.call(0)]
    assert all(call.done() is None for call in calls)


# ---- Kong's checks -----------------------------------------------------------------------------------------------

COUNTS = {
    "healthy_successes": 2,
    "unhealthy_http_failures": 3,
    "unhealthy_tcp_failures": 2,
    "unhealthy_timeouts": 2,
}
STATES = [
    ("", "healthy", []),
    ("oo", "healthy", []),
    ("gg", "healthy", []),
    ("ggg", "unhealthy", ["unhealthy"]),
    ("gg4g", "unhealthy", ["unhealthy"]),  # 404 is in neither list
    ("g9b", "unhealthy", ["unhealthy"]),
    ("gRf", "unhealthy", ["unhealthy"]),  # an answer began, or was no good
    ("gogg", "healthy", []),
    ("rr", "unhealthy", ["unhealthy"]),
    ("rF", "unhealthy", ["unhealthy"]),
    ("tt", "unhealthy", ["unhealthy"]),
    ("rtg", "healthy", []),  # kinds are not added up
    ("rxcr", "unhealthy", ["unhealthy"]),
    ("ror", "healthy", []),
    ("rsr", "healthy", []),
    ("rOr", "healthy", []),
    ("rro", "unhealthy", ["unhealthy"]),
    ("rroo", "healthy", ["unhealthy", "healthy"]),
    ("rrogo", "unhealthy", ["unhealthy"]),
    ("rrogoo", "healthy", ["unhealthy", "healthy"]),
    ("rro4o", "healthy", ["unhealthy", "healthy"]),
]


@pytest.mark.parametrize(("ends", "state", "kinds"), STATES)
def test_passive_checks(ends, state, kinds):
    rig = Rig(Health.kong(passive=PassiveChecks(**COUNTS)))
    rig.run(ends)
    assert (rig[0].state, rig.kinds()) == (state, kinds)
    assert rig.up.takes_traffic(rig[0]) == (state == "healthy")
    rig.wait(3600)
    assert rig[0].state == state  # nothing ends by itself
    if state == "unhealthy":
        rig.up.set_health(rig[0], True)
        assert (rig[0].state, rig.kinds()) == ("healthy", ["healthy"])


CHECKED = [  # the outcome of a probe; after how many of it the target falls; None: never
    ({"status": 200}, None),
    ({"status": 302}, None),
    ({"status": 404}, 3),
    ({"status": 429}, 3),
    ({"status": 500}, 3),
    ({"status": 201}, None),  # in neither list
    ({"status": 599}, None),
    ({"ok": True}, None),
    ({"ok": False}, 3),  # an answer that is none
    ({"ok": False, "status": 200}, 3),  # a body without the text
    ({"ok": False, "error": REFUSED}, 2),
    ({"error": REFUSED}, 2),
    ({"error": OSError()}, 2),
    ({"error": LATE}, 2),
    ({"error": LATE, "status": 200}, 3),
    ({"error": ZeroDivisionError()}, None),
    ({"error": asyncio.CancelledError()}, None),
    ({}, None),
]


@pytest.mark.parametrize(("outcome", "n"), CHECKED)
def test_active_checks(outcome, n):
    rig = Rig(Health.kong(active=ActiveChecks(**COUNTS)))
    for i in range(1, 5):
        rig.up.checked(rig[0], **outcome)
        assert (rig[0].state == "unhealthy") == (n is not None and i >= n)
    rig.up.checked(rig[0], status=200)
    assert rig[0].state == ("unhealthy" if n else "healthy")
    rig.up.checked(rig[0], ok=True)
    assert rig[0].state == "healthy"
    assert rig.kinds() == (["unhealthy", "healthy"] if n else [])
    assert rig.states[1:] == ["healthy"] * 4


def test_probes_and_calls_count_into_the_same_counters_by_limits_of_their_own():
    rig = Rig(
        Health.kong(
            active=ActiveChecks(healthy_successes=1, unhealthy_tcp_failures=5),
            passive=PassiveChecks(unhealthy_tcp_failures=2),
        )
    )
    rig.up.checked(rig[0], error=REFUSED)
    rig.run("r")
    assert rig[0].state == "unhealthy"
    rig.up.checked(rig[0], status=200)
    assert rig[0].state == "healthy"


def test_a_probe_of_whom_is_gone_says_nothing():
    rig = Rig(Health.kong(active=ActiveChecks(unhealthy_tcp_failures=1)))
    gone = rig[0]
    rig.up.update(list(rig.up.targets[1:]))
    rig.up.checked(gone, error=REFUSED)
    rig.up.checked(lbcore.Target("10.0.0.9:80"), error=REFUSED)
    assert rig.kinds() == []


def test_the_upstream_serves_above_its_threshold():
    rig = Rig(Health.kong(threshold=40))
    for i in range(2):
        rig.up.set_health(rig[i], False)
        assert rig.up.pick_or_none() is not None
    rig.up.set_health(rig[2], False)  # 40 percent are not more than 40
    nobody = rig.nobody()
    assert (nobody.status, nobody.retry_after) == (503, None)
    assert list(nobody.reasons.values()) == ["unhealthy"] * 3 + ["below the threshold"] * 2
    rig.up.set_weight(rig[4], 2)
    assert rig.up.pick().index in (3, 4)
    rig.up.set_weight(rig[4], 0)
    assert rig.up.pick_or_none() is None
    rig.up.set_health(rig[0], True)
    assert rig.up.pick().index in (0, 3)


# ---- by hand -----------------------------------------------------------------------------------------------------


def test_disabled_until_enabled_as_far_as_health_allows():
    rig = Rig(n=2)
    rig[0].disable()
    rig[0].disable()
    assert (rig.states, rig.kinds()) == (["disabled", "healthy"], ["disabled"])
    rig.up.set_health(rig[0], False)
    rig[0].enable()
    assert (rig.states, rig.kinds()) == (["unhealthy", "healthy"], ["unhealthy", "enabled"])
    rig.up.set_health(rig[0], True)
    assert (rig.states, rig.kinds()) == (["healthy", "healthy"], ["healthy"])
    rig[0].enable()
    assert rig.kinds() == []


def test_down_by_hand_until_a_check_says_otherwise_unless_it_is_to_hold():
    rig = Rig(Health.kong(active=ActiveChecks(healthy_successes=1, unhealthy_http_failures=1)))
    rig.up.set_health(rig[0], False)
    rig.up.checked(rig[0], status=200)
    assert (rig[0].state, rig.kinds()) == ("healthy", ["unhealthy", "healthy"])
    rig.up.set_health(rig[0], False, hold=True)
    for status in (200, 500, 200):
        rig.up.checked(rig[0], status=status)
        assert rig[0].state == "unhealthy"
    assert rig.kinds() == ["unhealthy"]
    rig.up.set_health(rig[0], True)
    assert (rig[0].state, rig.kinds()) == ("healthy", ["healthy"])


def test_well_by_hand_ends_an_ejection_and_a_pause():
    rig = Rig(n=2)
    calls = [rig.call(0) for _ in range(4)]
    calls[0].done(status=503, retry_after=30)
    for call in calls[1:]:
        call.done(error=REFUSED)
    rig.up.events()
    rig.up.set_health(rig[0], True)
    assert (rig[0].state, rig[0].until) == ("healthy", None)
    assert rig.kinds() == ["recovered", "released"]


# ---- what speaks against a target --------------------------------------------------------------------------------


class TransportError(Exception):
    """As httpx has them: no OSError."""


class ConnectError(TransportError):
    pass


class DecodingError(Exception):
    pass


@pytest.mark.parametrize(
    ("failures", "raised", "blamed"),
    [
        ((), ConnectError, False),
        (TransportError, ConnectError, True),
        ((TransportError,), ConnectError, True),
        ((TransportError, DecodingError), DecodingError, True),
        (TransportError, DecodingError, False),
        (TransportError, ConnectionResetError, True),  # OSError always
        (TransportError, TimeoutError, True),
        (TransportError, asyncio.CancelledError, False),
        (TransportError, KeyboardInterrupt, False),
    ],
)
def test_failures_are_exceptions_besides_oserror(failures, raised, blamed):
    rig = Rig(n=1, failures=failures, when_empty="panic")
    for _ in range(3):
        with pytest.raises(raised), rig.up.acquire():
            raise raised
    assert rig[0].state == ("ejected" if blamed else "healthy")
    assert rig[0].in_flight == 0
    assert rig.up.failures == (failures if isinstance(failures, tuple) else (failures,))


@pytest.mark.parametrize("failures", [5, "OSError", (5,), [TransportError, 5]])
def test_failures_that_are_no_exceptions_are_refused(failures):
    with pytest.raises((lbcore.ConfigError, TypeError), match="failures"):
        Rig(failures=failures)


def test_health_none_judges_nobody():
    rig = Rig(None)
    rig.run("rrrrrtttttbbbbbggggg")
    assert (rig.states, rig.kinds(), rig.up.health) == (["healthy"] * 5, [], None)
    rig.up.set_health(rig[0], False)  # one's own word counts
    assert rig[0].state == "unhealthy"


def test_what_it_was_given_is_there_to_see():
    assert Rig().up.health == Health()
    rule = Health.kong(threshold=5)
    assert Rig(rule).up.health is rule
    for bad in ("active", 5, True, OFF, {}):
        with pytest.raises(lbcore.ConfigError, match=r"^health: "):
            Rig(bad)
