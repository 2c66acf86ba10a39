"""Pauses that targets ask for, when somebody is back, and who serves when nobody is usable."""

import email.utils
import time

import pytest

import lbcore
from health_rig import REFUSED, Rig
from lbcore.healthrules import Health, Outlier

# ---- pauses ------------------------------------------------------------------------------------------------------


def date(seconds):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


PAUSES = [  # what is said, and for how many seconds the target is held; None: not at all
    (5, 5),
    (2.5, 2.5),
    (0, None),
    (-1, None),
    (-1e300, None),
    (60, 60),
    (61, 60),  # max_hold
    (1e300, 60),
    (float("inf"), 60),
    ("7", 7),
    (" 7 ", 7),
    (b"7", 7),
    (bytearray(b"7"), 7),
    ("0", None),
    ("-7", None),
    ("7.5", None),  # RFC 9110: a whole number
    ("7s", None),
    ("", None),
    ("soon", None),
    (b"\xff\xfe", None),
    ("\u0667", None),  # a digit, but not one of HTTP
    ("9" * 400, 60),
    ("Wed, 21 Oct 2015 07:28:00 GMT", None),  # over
    ("Wed, 21 Oct 2515 07:28:00 GMT", 60),
    ("Wed, 99 Foo 2515 99:99:99 GMT", None),
    ("Wed, 21 Oct 999999999999 07:28:00 GMT", None),
]


@pytest.mark.parametrize(("said", "held"), PAUSES)
@pytest.mark.parametrize("status", [429, 503, None])
def test_a_target_that_asks_for_a_pause_is_held(said, held, status):
    rig = Rig(n=2)
    rig.call(0).done(status=status, retry_after=said)
    events = [(e.kind, e.until, e.cause, e.failures, e.status) for e in rig.up.events()]
    if held is None:
        assert (rig[0].state, events) == ("healthy", [])
        return
    assert (rig[0].state, rig[0].until) == ("held", 100.0 + held)
    assert events == [("held", 100.0 + held, None, 0, status)]
    assert {rig.up.pick() for _ in range(4)} == {rig[1]}
    rig.wait(held)
    assert (rig[0].state, rig[0].until, rig.kinds()) == ("healthy", None, ["released"])


def test_an_http_date_is_a_time_of_day():
    rig = Rig(n=2)
    rig.call(0).done(status=503, retry_after=date(30))
    assert 28 <= rig[0].until - 100 <= 30


@pytest.mark.parametrize("status", [200, 302, 400, 404, 500, 502, 504])
def test_other_answers_ask_for_no_pause(status):
    rig = Rig(n=2)
    rig.call(0).done(status=status, retry_after=5)
    assert (rig[0].state, rig.kinds()) == ("healthy", [])


@pytest.mark.parametrize("said", [True, float("nan"), [5], object()])
def test_a_pause_that_is_nothing_of_the_kind_is_the_callers_mistake(said):
    rig = Rig(n=2)
    call = rig.call(0)
    with pytest.raises(ValueError, match=r"^retry_after: "):
        call.done(status=503, retry_after=said)
    assert (rig[0].state, rig[0].in_flight) == ("healthy", 0)


def test_a_longer_pause_stays_and_is_told_once():
    rig = Rig(n=2)
    calls = [rig.call(0) for _ in range(3)]
    for call, seconds in zip(calls, (20, 5, 30), strict=True):
        call.report(status=503, retry_after=seconds)
        call.done()
    assert (rig[0].until, rig.kinds()) == (130.0, ["held"])


def test_a_pause_is_no_ejection_and_has_no_maximum_share():
    rig = Rig(n=4)
    for i in range(4):
        rig.call(i).done(status=503, retry_after=10 + i)
    assert rig.states == ["held"] * 4
    nobody = rig.nobody()
    assert (nobody.status, nobody.retry_after) == (503, 10.0)
    assert set(nobody.reasons.values()) == {"held"}
    assert rig.up.stats()["ejected"] == 0


@pytest.mark.parametrize("health", [None, Health(max_hold=0), Health.kong()])
def test_whom_nobody_listens_to(health):
    rig = Rig(health, n=2)
    rig.call(0).done(status=503, retry_after=30)
    assert (rig[0].state, rig.kinds()) == ("healthy", [])


def test_no_target_says_when_somebody_is_back():
    rig = Rig(Health(outlier=Outlier(max_ejection_percent=100)), n=4)
    assert rig.up.pick_or_none() is not None
    rig.run("rrr", 0)  # until 110
    rig.call(1).done(status=503, retry_after=4)  # until 104, but
    rig[1].disable()
    rig.call(2).done(status=429, retry_after=25)  # until 125
    rig.up.set_health(rig[3], False)
    assert rig.nobody().retry_after == 10.0
    rig.clock.advance(4.25)
    assert rig.nobody().retry_after == 5.75
    rig[0].drain()
    assert rig.nobody().retry_after == 20.75
    rig.up.set_health(rig[2], False)
    assert rig.nobody().retry_after is None


def test_who_is_ejected_and_held_is_back_when_both_are_over():
    rig = Rig(n=1)
    calls = [rig.call(0) for _ in range(4)]
    calls[0].done(status=503, retry_after=30)
    for call in calls[1:]:
        call.done(error=REFUSED)
    assert (rig[0].state, rig[0].until, rig.nobody().retry_after) == ("ejected", 110.0, 30.0)
    rig.wait(10)
    assert (rig[0].state, rig[0].until, rig.nobody().retry_after) == ("held", 130.0, 20.0)


# ---- who serves when nobody is usable ----------------------------------------------------------------------------

ALL = Health(outlier=Outlier(max_ejection_percent=100))


def picks(rig, n=60):
    keyed = rig.up.policy.keyed
    return {rig.up.pick(f"key {i}" if keyed else None).index for i in range(n)}


@pytest.mark.parametrize("policy", lbcore.policies())
@pytest.mark.parametrize("when_empty", ["fail", "panic", "least_bad"])
def test_when_empty(policy, when_empty):
    rig = Rig(ALL, n=5, policy=policy, when_empty=when_empty)
    every = picks(rig)
    for i, seconds in enumerate((30, 20, 10, 40, 5)):
        rig.call(i).done(status=503, retry_after=seconds)
    rig[4].disable()
    rig[3].drain()
    assert rig.states == ["held", "held", "held", "held", "disabled"]
    if when_empty == "fail":
        key = "key" if rig.up.policy.keyed else None
        assert rig.up.pick_or_none(key) is None
        with pytest.raises(lbcore.NoTarget) as nobody:
            rig.up.pick(key)
        assert nobody.value.retry_after == 10.0
    elif when_empty == "panic":
        assert picks(rig) <= {0, 1, 2}
        assert len(picks(rig)) >= min(len(every), 2)
    else:
        assert picks(rig) == {2}
        rig.up.set_health(rig[2], False)
        assert picks(rig) == {1}
        for i in (0, 1):
            rig.up.set_health(rig[i], False)
        assert picks(rig) <= {0, 1, 2}
    rig.wait(30)
    if when_empty != "least_bad":
        assert picks(rig) <= {0, 1, 2}
    for t in rig.up:
        t.enable()
        t.undrain()
        rig.up.set_health(t, True)
    assert picks(rig) == every
    assert rig.states == ["healthy"] * 5


def test_an_unknown_word_is_refused():
    with pytest.raises(lbcore.ConfigError, match="when_empty: 'serve' is not one of fail, panic, least_bad"):
        Rig(when_empty="serve")
