"""Events and their lines: each kind, in order, fair over upstreams; what was lost is said."""

import asyncio
import logging
import pathlib
import re

import pytest

import lbcore
from lbcore import observe
from lbcore.engine import Engine, Spec, TargetSpec, UpstreamSpec
from lbcore.observe.lines import _CAUSES, _WORDS
from lbcore.testing import ManualClock
from loops import run

KINDS = {
    "ejected": "target a:1 of api ejected 10 s: 3 connection errors or time-outs in a row",
    "recovered": "target a:1 of api back from its ejection",
    "unhealthy": "target a:1 of api unhealthy",
    "healthy": "target a:1 of api healthy",
    "held": "target a:1 of api held 30 s: 429",
    "released": "target a:1 of api back from its hold",
    "draining": "target a:1 of api draining for at most 5 s",
    "drained": "target a:1 of api drained",
    "undrained": "target a:1 of api no longer draining",
    "disabled": "target a:1 of api disabled",
    "enabled": "target a:1 of api enabled",
}
LOUD = {"ejected", "unhealthy", "held"}


@pytest.fixture
def clock():
    return ManualClock(100)


@pytest.fixture
def up(clock):
    return lbcore.Upstream("api", ["a:1"], clock=clock)


def live_through_everything(up, clock):
    t = up.targets[0]
    for _ in range(3):
        up.acquire().done(error=ConnectionRefusedError())
    clock.advance(10)
    up.advance()
    up.set_health(t, False)
    up.set_health(t, True)
    up.acquire().done(status=429, retry_after="30")
    clock.advance(30)
    up.advance()
    t.drain(5)
    t.undrain()
    t.disable()
    t.enable()


def test_every_kind_has_its_line(up, clock, caplog):
    with caplog.at_level(logging.INFO, "lbcore"):
        live_through_everything(up, clock)
        assert observe.log_events(up) == len(KINDS)
        assert observe.log_events(up) == 0
    assert caplog.messages == list(KINDS.values())
    assert {r.name for r in caplog.records} == {"lbcore"}
    loud = {kind for kind, r in zip(KINDS, caplog.records, strict=True) if r.levelno == logging.WARNING}
    assert loud == LOUD


def test_no_kind_and_no_cause_is_without_words():
    binding = (pathlib.Path(__file__).parent.parent / "src/lbcore/bind/health.pxi").read_text()
    kinds, causes = (
        set(re.findall(r'"(\w+)"', re.search(rf"{name} = \((.*?)\)", binding, re.S)[1]))
        for name in ("EVENT_KINDS", "CAUSES")
    )
    assert set(_WORDS) == set(KINDS) == kinds
    assert set(_CAUSES) == causes


@pytest.mark.parametrize(
    "rule, calls, why",
    [
        ({"consecutive_5xx": 2}, [{"status": 500}] * 2, "2 answers of 500 and above in a row"),
        ({"consecutive_gateway_failure": 1}, [{"status": 503}], "1 answers of 502, 503 or 504 in a row"),
        (
            {"consecutive_local_origin_failure": 4},
            [{"error": TimeoutError()}] * 4,
            "4 connection errors or time-outs in a row",
        ),
    ],
)
def test_why_it_was_ejected(clock, rule, calls, why):
    up = lbcore.Upstream("api", ["a:1"], health=lbcore.Health(outlier=lbcore.Outlier(**rule)), clock=clock)
    for call in calls:
        up.acquire().done(**call)
    (event,) = observe.events(up)
    assert observe.line_of(event) == f"target a:1 of api ejected 10 s: {why}"


def test_an_ejection_that_ends_unwatched_is_told_at_the_next_look(up, clock):
    for _ in range(3):
        up.acquire().done(error=OSError())
    assert [e.kind for e in observe.events(up)] == ["ejected"]
    clock.advance(10)
    assert [(e.kind, e.at) for e in observe.events(up)] == [("recovered", 110)]


def test_a_target_that_was_removed_has_no_address_any_more(up):
    up.targets[0].disable()
    up.update(["b:1"])
    (event,) = observe.events(up)
    assert observe.line_of(event) == "a removed target of api disabled"


def test_nobody_keeps_the_others_waiting_and_what_is_lost_is_said_once(clock, caplog):
    noisy, quiet = (
        lbcore.Upstream("noisy", ["a:1"], clock=clock),
        lbcore.Upstream("quiet", ["b:1"], clock=clock),
    )
    for _ in range(500):
        noisy["a:1"].disable()
        noisy["a:1"].enable()
    quiet["b:1"].disable()
    with caplog.at_level(logging.INFO, "lbcore"):
        assert observe.log_events([noisy, quiet]) == 257
        observe.log_events([noisy, quiet])
    assert caplog.messages[-1] == "target b:1 of quiet disabled"
    lost = [m for m in caplog.messages if "lost" in m]
    assert lost == ["744 earlier changes of targets of noisy were lost: nobody took them"]
    assert noisy.events_dropped == 744


def test_an_engine_is_followed_until_cancelled(caplog):
    engine = Engine(Spec(upstreams=(UpstreamSpec("api", (TargetSpec("a:1"),)),)))
    (up,) = engine.upstreams.values()

    async def main():
        task = asyncio.create_task(observe.follow(engine, every=1.0))
        up.targets[0].disable()
        await asyncio.sleep(0.5)
        up.targets[0].enable()
        await asyncio.sleep(1.0)
        task.cancel()

    with caplog.at_level(logging.INFO, "lbcore"):
        run(main())
    assert [m.split()[-1] for m in caplog.messages] == ["disabled", "enabled"]
