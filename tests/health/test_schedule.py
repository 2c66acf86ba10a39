"""When probes are due: time is an argument."""

import itertools
import logging
import random
import time

import pytest
from fakes import FakeEngine, FakeTarget, FakeUpstream, checks

from lbcore.errors import LbcoreError
from lbcore.health.schedule import Outcome, Scheduler, Unprobeable

GOOD = Outcome(ok=True)
BAD = Outcome(error=ConnectionRefusedError())
SEED = random.randrange(2**32)


async def nobody(target):
    raise AssertionError("the schedule runs nothing")


def scheduler(source, prepare=lambda upstream, checks: nobody, period=0.25, seed=SEED):
    print(f"seed {seed}")
    return Scheduler(source, prepare, random=random.Random(seed), period=period)


def run(schedule, until, start=0.0, outcome=lambda probe: GOOD, takes=0.0, step=0.125):
    """Tick every ``step`` seconds of ``[start, until)``, end each probe after ``takes``; the probes as (time, id)."""
    seen, ends = [], []
    for i in range(round((until - start) / step)):
        now = start + i * step
        for end, probe in [e for e in ends if e[0] <= now]:
            schedule.finish(probe, outcome(probe), end)
            ends.remove((end, probe))
        for probe in schedule.tick(now):
            seen.append((now, probe.target.id))
            ends.append((now + takes, probe))
            if not takes:
                schedule.finish(probe, outcome(probe), now)
                ends.pop()
    return seen


def times(seen, id):
    return [now for now, who in seen if who == id]


def gaps(seen, id):
    at = times(seen, id)
    return [b - a for a, b in itertools.pairwise(at)]


def three(**settings):
    return FakeUpstream(["a:1", "b:1", "c:1"], checks(**settings))


def test_the_first_probes_are_spread_over_one_interval():
    up = FakeUpstream([f"t{i}:1" for i in range(100)], checks(concurrency=100))
    seen = run(scheduler(up), 20.0)
    first = [min(times(seen, t.id)) for t in up.targets]
    assert max(first) <= 10.0
    per_second = [sum(i < now <= i + 1 for now in first) for i in range(10)]
    assert all(8 <= n <= 12 for n in per_second), per_second


def test_each_side_has_its_interval():
    up = three()
    up.down = {"b:1"}
    seen = run(scheduler(up), 60.0)
    assert set(gaps(seen, "a:1")) == {10.0}
    assert set(gaps(seen, "b:1")) == {2.0}


@pytest.mark.parametrize(
    ("settings", "probed"),
    [
        ({"healthy_interval": 0.0}, {"b:1"}),
        ({"unhealthy_interval": 0.0}, {"a:1", "c:1"}),
        ({"healthy_interval": 0.0, "unhealthy_interval": 0.0}, set()),
    ],
)
def test_an_interval_of_0_is_off(settings, probed):
    up = three(**settings)
    up.down = {"b:1"}
    seen = run(scheduler(up), 30.0)
    assert {id for _, id in seen} == probed
    assert bool(up.asked) == bool(probed)


def test_no_active_checks_no_probes():
    up = three()
    up.health = None
    assert run(scheduler(up), 30.0) == []


def test_jitter_moves_each_interval_by_up_to_its_share():
    up = FakeUpstream(["a:1"], checks(jitter=0.25))
    found = gaps(run(scheduler(up), 2000.0), "a:1")
    assert all(7.5 <= gap <= 12.625 for gap in found), "ticks come every 0.125 s"
    assert min(found) < 8.5
    assert max(found) > 11.5
    assert abs(sum(found) / len(found) - 10) < 0.5


def test_the_same_seed_gives_the_same_probes():
    def once():
        return run(scheduler(three(jitter=0.3), seed=7), 100.0)

    assert once() == once()


def test_who_falls_is_asked_again_within_an_interval_of_its_new_side():
    up = three(healthy_interval=60.0)
    schedule = scheduler(up)
    seen = run(schedule, 60.0)
    up.down.add("a:1")  # by calls
    later = run(schedule, 70.0, start=60.0)
    planned = times(seen, "a:1")[0] + 60.0
    assert times(later, "a:1")[0] <= min(planned, 60.0 + 2.0 + 0.25)


def test_who_falls_by_its_probe_is_asked_again_after_the_other_interval():
    up = FakeUpstream(["a:1"], checks())
    up.on_heard = lambda: up.down.add("a:1")
    seen = run(scheduler(up), 30.0, outcome=lambda probe: BAD)
    assert set(gaps(seen, "a:1")) == {2.0}


def test_who_rises_keeps_what_was_planned():
    up = FakeUpstream(["a:1"], checks())
    up.down = {"a:1"}
    schedule = scheduler(up)
    seen = run(schedule, 9.0)
    up.down.clear()
    later = run(schedule, 30.0, start=9.0)
    assert later[0][0] - seen[-1][0] == 2.0
    assert set(gaps(later, "a:1")) == {10.0}


def test_a_side_without_checks_ends_what_was_planned():
    up = FakeUpstream(["a:1"], checks(unhealthy_interval=0.0))
    schedule = scheduler(up)
    run(schedule, 11.0)
    up.down.add("a:1")
    assert run(schedule, 50.0, start=11.0) == []


def test_a_new_target_is_probed_at_once():
    up = three()
    schedule = scheduler(up)
    run(schedule, 20.0)
    up.update([*up.targets, FakeTarget("d:1")])
    assert times(run(schedule, 21.0, start=20.0), "d:1") == [20.0]


def test_a_target_with_another_address_is_a_new_one():
    """As the core has it: the live target stays the same object, and its address changes."""
    up = three()
    schedule = scheduler(up)
    run(schedule, 20.0)
    up.readdress("elsewhere:1")
    assert times(run(schedule, 20.5, start=20.0), "a:1") == [20.0]


def test_a_disabled_target_is_not_probed_and_an_enabled_one_at_once():
    up = three()
    up.targets[0].state = "disabled"
    schedule = scheduler(up)
    assert times(run(schedule, 30.0), "a:1") == []
    up.targets[0].state = "healthy"
    assert times(run(schedule, 31.0, start=30.0), "a:1") == [30.0]


@pytest.mark.parametrize("state", ["draining", "held", "ejected", "unhealthy"])
def test_who_may_serve_again_is_probed(state):
    up = three()
    up.targets[0].state = state
    assert times(run(scheduler(up), 30.0), "a:1")


@pytest.mark.parametrize(
    "change", ["removed", "replaced", "readdressed", "upstream gone", "checks changed", "taken over"]
)
def test_what_a_probe_of_another_target_says_is_dropped(change):
    up = FakeUpstream(["a:1"], checks())
    engine = FakeEngine(up)
    schedule = scheduler(engine)
    [probe] = [p for i in range(100) for p in schedule.tick(i * 0.125)]
    match change:
        case "removed":
            up.update([])
        case "replaced":
            up.update([FakeTarget("a:1")])
        case "readdressed":
            up.readdress("b:1")
        case "upstream gone":
            engine.reload()
        case "checks changed":
            up.health = FakeUpstream([], checks(timeout=3.0)).health
        case "taken over":
            up.prober = False
    if change not in ("removed", "replaced", "readdressed"):  # these need no look
        schedule.tick(30.0)
    schedule.finish(probe, GOOD, 30.0)
    assert up.heard == []


def test_a_slow_probe_does_not_delay_the_others():
    up = three(timeout=1000.0)
    schedule = scheduler(up)
    seen = []
    for i in range(800):
        for probe in schedule.tick(i * 0.125):
            seen.append((i * 0.125, probe.target.id))
            if probe.target.id != "a:1":  # which never ends
                schedule.finish(probe, GOOD, i * 0.125)
    assert len(times(seen, "a:1")) == 1
    assert set(gaps(seen, "b:1")) == set(gaps(seen, "c:1")) == {10.0}


def test_at_most_concurrency_probes_are_in_flight_and_the_most_overdue_is_next():
    up = FakeUpstream([f"t{i}:1" for i in range(20)], checks(concurrency=3))
    schedule = scheduler(up)
    order, in_flight = [], []
    for i in range(80):  # one ends every 0.5 s: 20 s for all of them
        in_flight += schedule.tick(i * 0.25)
        assert len(in_flight) <= 3
        if i % 2 and in_flight:
            probe = in_flight.pop(0)
            order.append(probe.target.id)
            schedule.finish(probe, GOOD, i * 0.25)
    assert sorted(order[:20]) == sorted(t.id for t in up.targets), "each once before anyone twice"
    assert order[:20] == [t.id for t in up.targets], "in the order in which they were due"


def test_who_waits_for_a_place_and_goes_does_not_keep_it():
    """Two wait; the first goes; the second must have the place that becomes free."""
    up = three(concurrency=1)
    schedule = scheduler(up)
    [probe] = schedule.tick(0.0) or schedule.tick(20.0)
    assert schedule.tick(20.0) == []
    waiting = [t for t in up.targets if t is not probe.target]
    up.update([t for t in up.targets if t is not waiting[0]])
    schedule.finish(probe, GOOD, 20.125)
    assert [p.target for i in range(4) for p in schedule.tick(20.25 + i * 0.25)] == waiting[1:]


def test_each_upstream_has_its_own_concurrency():
    one, other = three(concurrency=1), FakeUpstream(["d:1"], checks(concurrency=1), name="other")
    schedule = scheduler(FakeEngine(one, other))
    assert sorted(p.upstream.name for p in (*schedule.tick(0.0), *schedule.tick(20.0))) == ["api", "other"]


def test_after_a_pause_each_is_probed_once():
    up = three()
    schedule = scheduler(up)
    run(schedule, 20.0)
    seen = run(schedule, 1005.0, start=1000.0)
    assert sorted(id for _, id in seen) == ["a:1", "b:1", "c:1"]


def test_a_probe_that_takes_longer_than_its_interval_is_followed_by_the_next_without_overlap():
    up = FakeUpstream(["a:1"], checks(healthy_interval=1.0))
    assert set(gaps(run(scheduler(up), 30.0, takes=3.0), "a:1")) == {3.0}


def test_reloads_are_followed_within_one_look():
    one, other = three(), FakeUpstream(["x:1"], checks(), name="other")
    engine = FakeEngine(one)
    schedule = scheduler(engine)
    run(schedule, 20.0)
    engine.reload(other)
    seen = run(schedule, 40.0, start=20.0)
    assert {id for _, id in seen} == {"x:1"}
    assert 20.0 <= seen[0][0] <= 30.0


def test_one_worker_probes_and_another_takes_over_within_two_intervals():
    up = three()
    up.prober = False
    schedule = scheduler(up)
    assert run(schedule, 100.0) == []
    assert up.asked == 50, "each min(intervals), 2 s"
    up.prober = True
    seen = run(schedule, 112.0, start=100.0)
    assert {id for _, id in seen} == {"a:1", "b:1", "c:1"}
    assert seen[0][0] <= 102.0 + 10.0


def test_what_cannot_be_checked_is_said_once_and_the_rest_is_checked(caplog):
    bad, good = FakeUpstream(["x:1"], checks(), name="bad"), three()

    def prepare(upstream, checks):
        if upstream is bad:
            raise LbcoreError("no")
        return nobody

    seen = run(scheduler(FakeEngine(bad, good), prepare), 20.0)
    assert {id for _, id in seen} == {"a:1", "b:1", "c:1"}
    assert [r.getMessage() for r in caplog.records] == ["bad: not checked: no"]


def test_what_has_no_address_is_told_and_logged_once(caplog):
    up = FakeUpstream(["nowhere"], checks())
    up.on_heard = lambda: up.down.add("nowhere")
    outcome = Outcome(error=Unprobeable("target 'nowhere' has no host and port"))
    run(scheduler(up), 100.0, outcome=lambda probe: outcome)
    assert up.heard == [("nowhere", Unprobeable)]
    assert len(caplog.records) == 1
    assert "has no host and port" in caplog.text


def test_an_upstream_that_raises_is_probed_again():
    up = FakeUpstream(["a:1"], checks())

    def fail():
        raise RuntimeError

    up.on_heard = fail
    schedule = scheduler(up)
    for begin in (0.0, 20.0, 40.0):
        [probe] = schedule.tick(begin) or schedule.tick(begin + 10.0)
        with pytest.raises(RuntimeError):
            schedule.finish(probe, GOOD, begin + 10.0)
    assert len(up.heard) == 3


def test_one_line_for_each_change(caplog):
    caplog.set_level(logging.DEBUG, "lbcore")
    up = FakeUpstream(["a:1"], checks(healthy_http_statuses=(200,), unhealthy_http_statuses=(500,)))
    outcomes = iter([Outcome(status=s) for s in (200, 200, 500, 404, 500, 404, 200, 200)] + [BAD, BAD])
    run(scheduler(up), 100.0, outcome=lambda probe: next(outcomes))
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "api: a:1 fails its checks: status 500"),
        ("INFO", "api: a:1 passes its checks again"),
        ("WARNING", "api: a:1 fails its checks: ConnectionRefusedError"),
    ]
    assert len(up.heard) == 10


def test_next_tick_is_the_next_look_or_what_is_due_before():
    schedule = scheduler(FakeUpstream(["a:1"], checks()), period=1000.0)
    [probe] = schedule.tick(0.0) or schedule.tick(schedule.next_tick())
    assert schedule.next_tick() == 1000.0, "nothing while all is in flight"
    schedule.finish(probe, GOOD, 10.0)
    assert schedule.next_tick() == probe.started + 10.0


class Twin:
    """The obvious schedule: all due times, sorted anew whenever somebody asks; the first phases are given."""

    def __init__(self, phases, interval, concurrency):
        self.due = {id: (due, place) for place, (id, due) in enumerate(phases.items())}
        self.interval, self.concurrency, self.flying = interval, concurrency, {}
        self.n_planned = len(phases)

    def tick(self, now):
        ready = sorted(
            (when, id) for id, when in self.due.items() if when[0] <= now and id not in self.flying
        )
        begun = [id for _, id in ready[: self.concurrency - len(self.flying)]]
        self.flying.update(dict.fromkeys(begun, now))
        return begun

    def finish(self, id, now):
        self.n_planned += 1
        self.due[id] = (max(now, self.flying.pop(id) + self.interval), self.n_planned)


@pytest.mark.parametrize("seed", [SEED + i for i in range(20)])
def test_the_twin_probes_the_same_at_the_same_times(seed):
    print(f"seed {seed}")
    rng = random.Random(seed)
    up = FakeUpstream(
        [f"t{i}:1" for i in range(rng.randrange(1, 30))], checks(concurrency=rng.randrange(1, 5))
    )
    takes = {t.id: rng.randrange(0, 160) / 8 for t in up.targets}  # up to two intervals: they queue
    schedule = scheduler(up, seed=seed)
    begun = schedule.tick(0.0)
    phases = {
        item[2].target.id: item[2].due for item in sorted(schedule._queue._heap, key=lambda item: item[1])
    }
    twin = Twin(
        {**dict.fromkeys((p.target.id for p in begun), 0.0), **phases}, 10.0, up.health.active.concurrency
    )
    ours, flying = [(0.0, p.target.id) for p in begun], [(takes[p.target.id], p) for p in begun]
    obvious = [(0.0, id) for id in twin.tick(0.0)]
    for i in range(1, 4000):
        now = i / 8
        for end, probe in [e for e in flying if e[0] <= now]:
            flying.remove((end, probe))
            schedule.finish(probe, GOOD, now)
            twin.finish(probe.target.id, now)
        for probe in schedule.tick(now):
            ours.append((now, probe.target.id))
            flying.append((now + takes[probe.target.id], probe))
        obvious += [(now, id) for id in twin.tick(now)]
        assert ours == obvious


def test_the_cost_of_a_tick_does_not_grow_with_targets_that_are_not_due():
    """Counted in calls of takes_traffic: a look asks each target once, another tick nobody."""
    up = FakeUpstream([f"t{i}:1" for i in range(1000)], checks(healthy_interval=10_000.0))
    asked = []
    takes_traffic = up.takes_traffic
    up.takes_traffic = lambda target: asked.append(target) or takes_traffic(target)
    schedule = scheduler(up)
    schedule.tick(0.0)
    assert len(asked) == 1000
    schedule.tick(0.1)
    assert len(asked) == 1000


def test_the_schedule_reads_no_clock(monkeypatch):
    monkeypatch.setattr(time, "monotonic", None)
    run(scheduler(three()), 20.0)


def test_who_stops_probing_lets_another_worker_probe():
    up = three()
    schedule = scheduler(up)
    schedule.tick(0.0)
    schedule.end()
    assert up.gave_up
    assert run(schedule, 1012.0, start=1000.0) != [], "a stop is no end: it may begin again"


def test_who_did_not_probe_gives_nothing_up():
    up = three()
    up.prober = False
    schedule = scheduler(up)
    schedule.tick(0.0)
    schedule.end()
    assert not up.gave_up
