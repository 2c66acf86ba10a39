"""Upstream and Target: changes in place, what survives them, and what is refused before anything changes."""

import copy
import pickle

import pytest

import lbcore
from lbcore.testing import ManualClock


def test_an_update_keeps_the_live_objects_of_targets_that_stay():
    up = lbcore.Upstream("u", ["a:1", lbcore.Target("b:1", labels={"zone": "x"})], seed=1)
    a, b = up.targets
    up.update([lbcore.Target("b:1", weight=5, labels={"zone": "y"}), "c:1"])
    assert up.targets[0] is b
    assert (b.weight, b.labels["zone"], b.index) == (5, "y", 0)
    assert (a.state, a.index, a.in_flight) == ("removed", -1, 0)
    assert {up.pick().address for _ in range(20)} == {"b:1", "c:1"}


def test_calls_survive_an_update_and_end_on_their_own_generation():
    up = lbcore.Upstream("u", ["a:1"], seed=1)
    call = up.acquire()
    up.update(["b:1"])
    old, (new,) = call.target, up.targets
    assert (old.in_flight, new.in_flight) == (1, 0)
    up.update(["a:1"])
    (again,) = up.targets
    assert again is not old
    call.done()
    call.done()
    assert (old.in_flight, again.in_flight) == (0, 0)


def test_a_target_given_is_a_specification_and_is_copied():
    spec = lbcore.Target("a:1", weight=3, data=object())
    one, two = lbcore.Upstream("one", [spec]), lbcore.Upstream("two", [spec])
    assert one.targets[0] is not spec
    assert one.targets[0].data is spec.data
    one.set_weight("a:1", 9)
    assert (spec.weight, two.targets[0].weight, one.targets[0].weight) == (3, 3, 9)
    assert spec.upstream is None and one.targets[0].upstream is one


def test_the_same_address_twice_needs_ids():
    with pytest.raises(lbcore.ConfigError) as e:
        lbcore.Upstream("u", ["a:1", "b:1", "a:1"])
    assert "targets[2]" in str(e.value) and "targets[0]" in str(e.value)
    up = lbcore.Upstream("u", [lbcore.Target("a:1", id="x"), lbcore.Target("a:1", id="y")])
    assert up["y"].index == 1


@pytest.mark.parametrize(
    "weight", [-1, 1_000_001, 1.5, float("nan"), float("inf"), "1", None, True, 10**400, [], {}]
)
def test_wrong_weights_are_refused_and_nothing_changes(weight):
    up = lbcore.Upstream("u", [lbcore.Target("a:1", weight=2), "b:1"], lbcore.policy("round_robin", phase=0))
    for change in (
        lambda: lbcore.Target("c:1", weight=weight),
        lambda: up.set_weight("a:1", weight),
        lambda: lbcore.Backend(up, weight),
    ):
        with pytest.raises(lbcore.ConfigError) as e:
            change()
        assert "weight" in str(e.value) and "0..1000000" in str(e.value)
        assert len(str(e.value)) <= 500
    assert [t.weight for t in up.targets] == [2, 1]


@pytest.mark.parametrize("address", ["", 5, None, "a\nb", "a\x00", b"a:1", "\ud800"])
def test_wrong_addresses_are_refused(address):
    up = lbcore.Upstream("u", ["a:1"])
    with pytest.raises(lbcore.ConfigError, match="address"):
        up.update(["b:1", address])
    assert [t.address for t in up.targets] == ["a:1"]


@pytest.mark.parametrize(
    "more",
    [
        {"shared": "no/slash"},
        {"shared": ""},
        {"shared": 5},
        {"when_empty": "panik"},
        {"health": "active"},
        {"failures": "OSError"},
        {"failures": (int,)},
    ],
)
def test_a_wrong_option_names_itself(more):
    with pytest.raises(lbcore.ConfigError, match=f"^{next(iter(more))}"):
        lbcore.Upstream("u", ["a:1"], **more)


@pytest.mark.parametrize("field", ["limits", "slow_start", "affinity", "levels"])
def test_an_option_of_another_kind_is_refused(field):
    with pytest.raises(lbcore.ConfigError, match=f"^{field}: 'x' is not a"):
        lbcore.Upstream("u", ["a:1"], **{field: "x"})


def test_methods_that_are_not_there_yet_say_so():
    for call in (lambda: lbcore.Target("a", scheme="https"),):
        with pytest.raises(lbcore.LbcoreError, match="not available yet"):
            call()


def test_a_key_for_a_policy_without_keys_warns_once():
    up = lbcore.Upstream("u", ["a:1"])
    with pytest.warns(lbcore.ConfigWarning, match="does not use keys"):
        up.pick("key")
    up.pick("key")  # -W error would raise here
    with pytest.raises(TypeError):
        up.pick(1.5)


def test_unknown_policies_and_parameters_name_the_nearest():
    with pytest.raises(lbcore.ConfigError, match="did you mean 'round_robin'"):
        lbcore.Upstream("u", [], "round_robbin")
    with pytest.raises(lbcore.ConfigError, match="no such parameter"):
        lbcore.policy("round_robin", phse=0)


def test_nobody_usable_says_who_and_when():
    clock = ManualClock(100)
    up = lbcore.Upstream("u", ["a:1", lbcore.Target("b:1", weight=0)], clock=clock)
    for _ in range(3):
        up.acquire().done(error=ConnectionRefusedError())
    clock.advance(4)
    with pytest.raises(lbcore.NoTarget) as e:
        up.pick()
    assert e.value.reasons == {"a:1": "ejected", "b:1": "weight 0"}
    assert e.value.retry_after == pytest.approx(6)
    assert e.value.status == 503
    assert "a:1 ejected" in str(e.value)
    with pytest.raises(lbcore.NoTarget, match="it has none"):
        lbcore.Upstream("empty", []).pick()


def test_three_failures_in_a_row_eject_and_time_brings_back():
    clock = ManualClock(0)
    up = lbcore.Upstream("u", ["a:1", "b:1"], lbcore.policy("round_robin", phase=0), clock=clock)
    a = up["a:1"]

    def fail(times):
        while times:
            call = up.acquire()
            call.done(ok=call.target is not a)
            times -= call.target is a

    fail(2)
    assert a.state == "healthy"
    fail(1)
    assert (a.state, a.until) == ("ejected", 10)
    assert {up.pick().id for _ in range(10)} == {"b:1"}
    clock.advance(10)
    assert {up.pick().id for _ in range(10)} == {"a:1", "b:1"}
    assert [(e.kind, e.target.id, e.until) for e in up.events()] == [
        ("ejected", "a:1", 10),
        ("recovered", "a:1", None),
    ]
    fail(3)
    assert a.until == pytest.approx(clock() + 20)  # the second ejection lasts twice as long
    for _ in range(5):
        up.acquire().done(ok=False)
    assert up["b:1"].state == "healthy"  # at most half


def test_health_set_by_hand_and_events():
    clock = ManualClock(5)
    up = lbcore.Upstream("u", ["a:1", "b:1"], clock=clock)
    up.set_health("a:1", False)
    up.set_health("a:1", False)
    up.set_health(up.targets[0], True)
    events = up.events()
    assert [(e.kind, e.at, e.upstream) for e in events] == [("unhealthy", 5, "u"), ("healthy", 5, "u")]
    assert events[0].target is up.targets[0]
    assert up.events() == []
    with pytest.raises(lbcore.ConfigError, match="not a target"):
        up.set_health("c:1", True)


def test_a_clock_that_lies_is_refused():
    up = lbcore.Upstream("u", ["a:1"], clock=lambda: 0)
    bad = lbcore.Upstream("u", ["a:1"], clock=(times := iter([1.0, float("nan")])).__next__)
    assert times and up.pick() and bad.pick()
    with pytest.raises(ValueError, match="clock"):
        bad.advance()
    with pytest.raises(lbcore.ConfigError, match="clock"):
        lbcore.Upstream("u", ["a:1"], clock=5)


def test_a_clock_that_stands_still_or_goes_back_is_harmless():
    clock = ManualClock(50)
    up = lbcore.Upstream("u", ["a:1", "b:1"], clock=clock)
    for _ in range(10_000):
        call = up.acquire()
        call.done(ok=call.target.id == "b:1")
    clock.set(1)
    assert up["a:1"].state == "ejected" and up.pick().id == "b:1"
    clock.set(61)
    assert {up.pick().id for _ in range(4)} == {"a:1", "b:1"}


def test_stats_and_repr():
    up = lbcore.Upstream("u", [lbcore.Target("a:1", id="x", weight=3)])
    call = up.acquire()
    stats = up.stats()
    assert (stats["n_usable"], stats["in_flight"], stats["targets"][0]["state"]) == (1, 1, "healthy")
    call.done()
    assert repr(up) == "Upstream('u', round_robin, 1 targets)"
    assert repr(up.targets[0]) == "Target('a:1', id='x', weight=3)"
    assert len(up) == 1 and list(up) == list(up.targets) and up["x"] is up[0]


@pytest.mark.parametrize(
    "address, parts", [("a:1", ("a", 1)), ("[::1]:80", ("::1", 80)), ("10.0.0.1:65535", ("10.0.0.1", 65535))]
)
def test_host_and_port(address, parts):
    t = lbcore.Target(address)
    assert (t.host, t.port) == parts


@pytest.mark.parametrize("address", ["a", "a:", ":1", "a:b", "::1", "a:65536", "a:\u0661", "a:1:2"])
def test_no_host_and_port(address):
    with pytest.raises(ValueError, match="no host and port"):
        lbcore.Target(address).port


def test_targets_pickle_and_copy_as_specifications():
    up = lbcore.Upstream("u", [lbcore.Target("a:1", id="x", weight=3, labels={"k": "v"}, data=[1])])
    for made in (pickle.loads(pickle.dumps(up.targets[0])), copy.copy(up.targets[0])):
        assert (made.address, made.id, made.weight, dict(made.labels), made.data) == (
            "a:1",
            "x",
            3,
            {"k": "v"},
            [1],
        )
        assert made.upstream is None
    with pytest.raises(TypeError):
        pickle.dumps(up)


def test_errors_pickle():
    for error in (
        lbcore.ConfigError("targets[1].weight", "wrong"),
        lbcore.NoTarget("u", status=500, retry_after=2.5, reasons={"a": "ejected"}),
        lbcore.BadRequest("a backslash"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error)
    assert pickle.loads(pickle.dumps(lbcore.NoTarget("u", retry_after=2.5))).retry_after == 2.5


def test_running_out_of_memory_changes_nothing():
    """Every allocation of an update fails once, Python's own included."""
    testcapi = pytest.importorskip("_testcapi", reason="this Python was built without its test modules")
    up = lbcore.Upstream("u", ["a:1", "b:1"], lbcore.policy("round_robin", phase=0))
    wanted = [lbcore.Target("b:1", weight=2), lbcore.Target("c:1")]
    for n in range(10_000):
        before = up.targets
        testcapi.set_nomemory(n, n + 1)
        try:
            up.update(wanted)
        except MemoryError:
            testcapi.remove_mem_hooks()
            assert up.targets is before
            assert {up.pick().address for _ in range(6)} <= {"a:1", "b:1"}
            assert [up[t.id] for t in up.targets] == list(up.targets)
        else:
            testcapi.remove_mem_hooks()
            break
    assert n > 3
    assert sorted(up.pick().address for _ in range(3)) == ["b:1", "b:1", "c:1"]
