"""What an upstream is given: the last good answer, only changes, and never so that it can no longer serve."""

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from lbcore.discovery.found import Found
from lbcore.discovery.membership import Membership
from lbcore.testing import ManualClock


def found(*targets):
    return Found(tuple(t if isinstance(t, lbcore.Target) else lbcore.Target(t) for t in targets), 1.0)


def ids(up):
    return [t.id for t in up.targets]


def upstream(*targets, **options):
    return lbcore.Upstream("api", targets, clock=ManualClock(), seed=1, **options)


def eject(up, *wanted):
    """Three connection errors in a row for each of ``wanted``."""
    for id in wanted:
        for _ in range(3):
            up.acquire(exclude=[t for t in up.targets if t.id != id]).done(error=ConnectionError())
        assert up[id].state == "ejected"


# ---- what was stays -----------------------------------------------------------------------------------------------


def test_the_first_answer_replaces_what_the_upstream_began_with():
    up = upstream("seed:1")
    assert Membership(up, ["dns"]).answer(0, found("a:1", "b:1"))
    assert ids(up) == ["a:1", "b:1"]


def test_a_failure_keeps_what_was_and_says_so():
    up = upstream("seed:1")
    members = Membership(up, ["dns"])
    error = lbcore.LbcoreError("SERVFAIL")
    assert not members.failure(0, error) and members.error is error
    assert ids(up) == ["seed:1"]
    members.answer(0, found("a:1"))
    assert members.error is None
    members.failure(0, error)
    assert ids(up) == ["a:1"]


def test_the_same_answer_changes_nothing():
    up = upstream()
    members = Membership(up, ["dns"])
    assert members.answer(0, found("a:1", lbcore.Target("b:1", labels={"x": "1", "y": "2"})))
    up.set_weight("a:1", 7)  # until the next update
    assert not members.answer(0, found("a:1", lbcore.Target("b:1", labels={"y": "2", "x": "1"})))
    assert up["a:1"].weight == 7


@pytest.mark.parametrize(
    "changed",
    [
        {"weight": 2},
        {"priority": 1},
        {"labels": {"a": "b"}},
        {"data": object()},
        {"hash_key": "k"},
    ],
)
def test_every_change_of_a_target_is_given(changed):
    up = upstream()
    members = Membership(up, ["file"])
    members.answer(0, found(lbcore.Target("b:1"), lbcore.Target("a:1", id="a")))
    assert members.answer(0, found(lbcore.Target("b:1"), lbcore.Target("a:1", id="a", **changed)))
    assert all(getattr(up["a"], field) == value for field, value in changed.items())
    assert members.answer(0, found(lbcore.Target("b:1"), lbcore.Target("c:1", id="a")))
    assert up["a"].address == "c:1"


def test_targets_that_somebody_else_replaced_come_back_with_the_next_answer():
    """A reload of the configuration, for one."""
    up = upstream()
    members = Membership(up, ["dns"])
    members.answer(0, found("a:1"))
    up.update(["seed:1"])
    assert members.answer(0, found("a:1"))
    assert ids(up) == ["a:1"]


def test_what_the_upstream_refuses_changes_nothing():
    up = upstream()
    members = Membership(up, ["one", "two"])
    members.answer(0, found("a:1"))
    members.answer(1, found("b:1"))
    with pytest.raises(lbcore.ConfigError, match="a:1"):
        members.answer(1, found("a:1"))
    assert ids(up) == ["a:1", "b:1"]
    assert members.answer(0, found("c:1")) and ids(up) == ["c:1", "b:1"]


def test_an_answer_of_another_kind_is_an_error():
    with pytest.raises(TypeError, match="not a Found"):
        Membership(upstream(), ["x"]).answer(0, ["a:1"])


def test_an_upstream_is_all_its_sources_together_once_all_were_asked():
    up = upstream("seed:1")
    members = Membership(up, ["one", "two"])
    assert not members.answer(0, found("a:1")) and not members.complete
    assert ids(up) == ["seed:1"]
    assert members.failure(1, lbcore.LbcoreError("down")) and members.complete
    assert ids(up) == ["a:1"]
    members.answer(1, found("b:1"))
    assert ids(up) == ["a:1", "b:1"]


ANSWERS = st.one_of(
    st.none(),
    st.lists(st.sampled_from("abcdef"), max_size=4, unique=True).map(lambda names: [f"{n}:1" for n in names]),
)


@given(first=ANSWERS, second=ANSWERS, rest=st.lists(st.tuples(st.booleans(), ANSWERS), max_size=25))
def test_after_any_sequence_the_targets_are_the_last_good_answers(first, second, rest):
    """The twin: two variables.  None is a failure; the second source's targets have ids of their own."""
    up = upstream("seed:1")
    members = Membership(up, ["one", "two"])
    last = [None, None]
    for is_second, answer in [(False, first), (True, second), *rest]:
        if answer is None:
            members.failure(is_second, lbcore.LbcoreError("no answer"))
            continue
        last[is_second] = [f"{'two' if is_second else 'one'}@{address}" for address in answer]
        targets = [lbcore.Target(id.split("@")[1], id=id) for id in last[is_second]]
        members.answer(is_second, found(*targets))
    expected = [*(last[0] or ()), *(last[1] or ())] if last != [None, None] else ["seed:1"]
    assert ids(up) == expected


# ---- state is kept by identity ------------------------------------------------------------------------------------


def test_those_who_stay_keep_calls_in_flight_and_ejections():
    up = upstream()
    members = Membership(up, ["dns"])
    members.answer(0, found("a:1", "b:1", "c:1"))
    call = up.acquire(exclude=["b:1", "c:1"])
    eject(up, "b:1")
    members.answer(0, found("d:1", "b:1", "a:1"))
    assert (up["a:1"].in_flight, up["b:1"].state, up["d:1"].state) == (1, "ejected", "healthy")
    call.done()
    assert up["a:1"].in_flight == 0


def test_a_call_ends_well_although_its_target_has_gone():
    up = upstream()
    members = Membership(up, ["dns"])
    members.answer(0, found("a:1"))
    call = up.acquire()
    members.answer(0, found("b:1"))
    call.done(error=ConnectionError())
    assert up["b:1"].in_flight == 0 and up.pick().id == "b:1"


# ---- "no live upstreams" ------------------------------------------------------------------------------------------


def test_when_only_the_ejected_stay_they_are_given_another_chance():
    up = upstream()
    members = Membership(up, ["dns"])
    members.answer(0, found("a:1", "b:1", "c:1", "d:1"))
    eject(up, "a:1", "b:1")
    members.answer(0, found("a:1", "b:1"))
    assert [t.state for t in up.targets] == ["healthy", "healthy"] and up.pick()


def test_ejections_stand_as_long_as_somebody_else_serves():
    up = upstream()
    members = Membership(up, ["dns"])
    members.answer(0, found("a:1", "b:1", "c:1", "d:1"))
    eject(up, "a:1", "b:1")
    members.answer(0, found("a:1", "b:1", "c:1"))
    assert [t.state for t in up.targets] == ["ejected", "ejected", "healthy"]
    members.answer(0, found("a:1", "b:1", "new:1"))
    assert [t.state for t in up.targets] == ["ejected", "ejected", "healthy"]


def test_a_newcomer_of_weight_zero_serves_nobody():
    up = upstream()
    members = Membership(up, ["dns"])
    members.answer(0, found("a:1", "b:1"))
    eject(up, "a:1")
    members.answer(0, found("a:1", lbcore.Target("new:1", weight=0)))
    assert up.pick().id == "a:1"


def test_an_upstream_that_was_judged_down_as_a_whole_stays_so():
    up = upstream()
    members = Membership(up, ["dns"])
    members.answer(0, found("a:1"))
    eject(up, "a:1")  # one always may be
    members.answer(0, found(lbcore.Target("a:1", weight=2)))
    assert up["a:1"].state == "ejected" and up.pick_or_none() is None


def test_what_an_active_check_or_an_operator_took_out_stays_out():
    up = upstream()
    members = Membership(up, ["dns"])
    members.answer(0, found("a:1", "b:1", "c:1"))
    up.set_health("a:1", False)
    eject(up, "b:1")
    members.answer(0, found("a:1", "b:1"))
    assert [t.state for t in up.targets] == ["unhealthy", "healthy"]


def test_no_pick_fails_while_the_one_address_of_a_name_changes():
    """nginx/nginx#1656: a request that began before the change found all peers of another generation, and failed."""
    up = lbcore.Upstream("api", ["10.0.0.1:80"])
    members = Membership(up, ["dns"])
    stop, failed, n_picks = threading.Event(), [], []

    def pick():
        n = 0
        while not stop.is_set():
            try:
                with up.acquire() as call:
                    n += call.target.address in ("10.0.0.1:80", "10.0.0.2:80")
            except lbcore.NoTarget as error:
                failed.append(error)
        n_picks.append(n)

    threads = [threading.Thread(target=pick) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(2000):
        members.answer(0, found(f"10.0.0.{i % 2 + 1}:80"))
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not failed and all(n_picks)


@given(
    sets=st.lists(
        st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True), min_size=1, max_size=12
    ),
    ejected=st.lists(st.sampled_from("abcdef"), max_size=12),
)
def test_no_change_of_membership_makes_an_upstream_that_serves_one_that_does_not(sets, ejected):
    up = upstream()
    members = Membership(up, ["dns"])
    for i, names in enumerate(sets):
        before = up.pick_or_none()
        members.answer(0, found(*(f"{n}:1" for n in names)))
        if before is not None or i == 0:
            assert up.pick_or_none() is not None
        for name in ejected[i : i + 3]:
            if f"{name}:1" in ids(up):
                for _ in range(3):
                    call = up.pick_or_none(exclude=[t for t in up.targets if t.id != f"{name}:1"])
                    if call is not None:
                        up.acquire(exclude=[t for t in up.targets if t.id != f"{name}:1"]).done(
                            error=ConnectionError()
                        )


# ---- what is logged -----------------------------------------------------------------------------------------------


def test_one_line_for_each_change_of_state_and_none_for_a_poll(caplog):
    caplog.set_level(logging.INFO, "lbcore")
    members = Membership(upstream("seed:1"), ["dns(api.test:80)"])
    for _ in range(3):
        members.failure(0, lbcore.LbcoreError("SERVFAIL"))
    for _ in range(3):
        members.failure(0, lbcore.LbcoreError("no answer within 5 s"))
    for _ in range(3):
        members.answer(0, found("a:1", "b:1"))
    members.answer(0, found("b:1"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "api: dns(api.test:80): SERVFAIL; its targets stay as they were"),
        ("WARNING", "api: dns(api.test:80): no answer within 5 s; its targets stay as they were"),
        ("INFO", "api: targets now 2 (2 new, 1 gone) by dns(api.test:80)"),
        ("INFO", "api: dns(api.test:80) answers again"),
        ("INFO", "api: targets now 1 (0 new, 1 gone) by dns(api.test:80)"),
    ]


def test_a_bug_in_a_source_is_logged_with_its_place(caplog):
    members = Membership(upstream(), ["mine"])
    try:
        {}["x"]
    except KeyError as error:
        members.failure(0, error)
    (record,) = caplog.records
    assert "KeyError('x')" in record.getMessage() and record.exc_info
