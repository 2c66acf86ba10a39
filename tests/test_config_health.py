"""Health in the short form: the fields of the classes, each bad value with its field and place."""

import dataclasses

import pytest

import lbcore
from lbcore.config import read
from lbcore.config.model import ShortActive, ShortHealth, ShortOutlier, ShortPassive
from lbcore.config.validate import read as checked
from lbcore.healthrules import ActiveChecks, Health, Outlier, PassiveChecks

TEXT = """\
lbcore: 1
listeners: {web: {protocol: http, port: 8080}}
upstreams:
  plain: {targets: ["a:1"]}
  word: {targets: ["a:1"], health: passive}
  off: {targets: ["a:1"], health: none, when_empty: panic}
  kong:
    targets: ["a:1", "b:1"]
    when_empty: least_bad
    health:
      outlier: none
      passive: {unhealthy_http_failures: 3, healthy_http_statuses: [200, 204]}
      active:
        type: https
        timeout: 2.5
        http_path: /healthz
        headers: {x-probe: "yes"}
        healthy_interval: 5
        unhealthy_interval: 1
        healthy_successes: 2
        unhealthy_timeouts: 3
      threshold: 20
      max_hold: 0
  envoy:
    targets: ["a:1"]
    health:
      outlier: {consecutive_5xx: 5, base_ejection_time: 30, half_open: 1, always_eject_one_host: false}
  empty: {targets: ["a:1"], health: {}}
  nulls: {targets: ["a:1"], health: {outlier: null, passive: null}}
routes:
  - {name: all, backends: [plain, word, "off", kong, envoy, empty, nulls]}
"""


def test_what_it_says():
    found = {upstream.name: upstream for upstream in read(TEXT).upstreams}
    assert (found["plain"].health, found["plain"].when_empty) == ("passive", "fail")
    assert found["word"].health == "passive"
    assert (found["off"].health, found["off"].when_empty) == (None, "panic")
    assert found["kong"].when_empty == "least_bad"
    assert found["kong"].health == Health(
        outlier=None,
        passive=PassiveChecks(unhealthy_http_failures=3, healthy_http_statuses=(200, 204)),
        active=ActiveChecks(
            type="https",
            timeout=2.5,
            http_path="/healthz",
            headers={"x-probe": "yes"},
            healthy_interval=5.0,
            unhealthy_interval=1.0,
            healthy_successes=2,
            unhealthy_timeouts=3,
        ),
        threshold=20.0,
        max_hold=0.0,
    )
    assert found["envoy"].health == Health(
        outlier=Outlier(consecutive_5xx=5, base_ejection_time=30.0, half_open=1, always_eject_one_host=False)
    )
    assert found["empty"].health == found["nulls"].health == Health()


def test_what_it_says_is_what_is_built():
    engine = lbcore.load(TEXT)
    assert engine.upstreams["plain"].health == Health()
    assert engine.upstreams["off"].health is None
    assert engine.upstreams["kong"].health.active.http_path == "/healthz"
    for _ in range(6):
        with engine.upstreams["off"].acquire() as call:
            call.report(error=ConnectionRefusedError())
    assert engine.upstreams["off"].targets[0].state == "healthy"


def test_a_reload_that_changes_it_makes_the_upstream_anew_and_no_other():
    engine = lbcore.load(TEXT)
    before = dict(engine.upstreams)
    changes = engine.reload(TEXT.replace("threshold: 20", "threshold: 30"))
    assert changes.changed == ("upstream kong",)
    assert engine.upstreams["kong"].health.threshold == 30
    assert [name for name in before if engine.upstreams[name] is not before[name]] == ["kong"]


HEALTH = "upstreams.kong.health."
OUTLIER = "upstreams.envoy.health.outlier."
WRONG = [  # the edit, then the field, a part of the reason, and the line
    ("health: none", "health: off", "upstreams.off.health", "'off' is not one of none, passive", 6),
    ("health: none", "health: 5", "upstreams.off.health", "5 is not one of none, passive", 6),
    ("when_empty: panic", "when_empty: serve", "upstreams.off.when_empty",
     "'serve' is not one of fail, least_bad, panic", 6),
    ("outlier: none", "outlier: off", f"{HEALTH}outlier", "'off' is not none", 11),
    ("outlier: none", "outliers: none", f"{HEALTH}outliers", "did you mean outlier?", 11),
    ("unhealthy_http_failures: 3", "unhealthy_http_failure: 3", f"{HEALTH}passive.unhealthy_http_failure",
     "did you mean unhealthy_http_failures?", 12),
    ("unhealthy_http_failures: 3", "unhealthy_http_failures: 256", f"{HEALTH}passive.unhealthy_http_failures",
     "256 is not a whole number in 0..255", 12),
    ("[200, 204]", "[200, 99]", f"{HEALTH}passive.healthy_http_statuses[1]", "99 is not a whole number in 100", 12),
    ("[200, 204]", "200", f"{HEALTH}passive.healthy_http_statuses", "200 is not a list", 12),
    ("[200, 204]", str([200] * 501), f"{HEALTH}passive.healthy_http_statuses", "501 entries; at most 500", 12),
    ("type: https", "type: udp", f"{HEALTH}active.type", "'udp' is not one of", 14),
    ("timeout: 2.5", "timeout: .inf", f"{HEALTH}active.timeout", "inf is not a number in 0..65535", 15),
    ("timeout: 2.5", "timeout: .nan", f"{HEALTH}active.timeout", "nan is not a number in 0..65535", 15),
    ("/healthz", "health", f"{HEALTH}active.http_path", "'health' is not a path", 16),
    ('{x-probe: "yes"}', '{"x probe": "yes"}', f"{HEALTH}active.headers['x probe']", "the key", 17),
    ('{x-probe: "yes"}', '{x-probe: "\u2713"}', f"{HEALTH}active.headers.x-probe", "is not a header's value", 17),
    ("healthy_interval: 5", "healthy_interval: -1", f"{HEALTH}active.healthy_interval", "-1 is not a number", 18),
    ("threshold: 20", "threshold: 101", f"{HEALTH}threshold", "101 is not a number in 0..100", 22),
    ("threshold: 20", "treshold: 20", f"{HEALTH}treshold", "did you mean threshold?", 22),
    ("max_hold: 0", "max_hold: .nan", f"{HEALTH}max_hold", "nan is not a number in 0..86400", 23),
    ("consecutive_5xx: 5", "consecutive_5xx: 1048576", f"{OUTLIER}consecutive_5xx", "in 0..1048575", 27),
    ("base_ejection_time: 30", "base_ejection_time: 400", f"{OUTLIER}max_ejection_time",
     "300.0 is not a number in 400..86400", 27),
    ("half_open: 1", "half_open: 1, max_ejection_time: 20", f"{OUTLIER}max_ejection_time",
     "20.0 is not a number in 30..86400", 27),
    ("always_eject_one_host: false", "always_eject_one_host: 0", f"{OUTLIER}always_eject_one_host",
     "0 is not true or false", 27),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "field", "reason", "line"), WRONG)
def test_wrong(old, new, field, reason, line):
    assert TEXT.count(old) >= 1, old
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load(TEXT.replace(old, new, 1))
    (problem,) = caught.value.problems
    assert (problem.field, problem.line) == (field, line)
    assert reason in problem.reason and problem.column > 0


def test_all_at_once():
    text = TEXT
    edits = {
        "timeout: 2.5": "timeout: -1",
        "threshold: 20": "threshold: x",
        "[200, 204]": "[1]",
        "half_open: 1": "a: 1",
    }
    for old, new in edits.items():
        text = text.replace(old, new)
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load(text)
    assert [p.line for p in caught.value.problems] == [12, 15, 22, 27]


def test_health_is_no_place_for_a_null_that_means_something():
    assert read(TEXT.replace("health: none", "health: null")).upstreams[2].health == "passive"


@pytest.mark.parametrize(
    ("model", "make"),
    [
        (ShortOutlier, Outlier),
        (ShortPassive, PassiveChecks),
        (ShortActive, ActiveChecks),
        (ShortHealth, Health),
    ],
)
def test_fields_and_ranges_are_those_of_the_classes(model, make):
    """Each value at and around the edges of every range: the form and the class agree."""
    assert set(model.__struct_fields__) == {field.name for field in dataclasses.fields(make)}
    edges = (-1, 0, 0.001, 0.5, 1, 1.5, 10, 100, 101, 255, 256, 300, 65535, 65536, 86400, 86401)
    more = (
        10**6,
        10**6 + 1,
        2**20 - 1,
        2**20,
        2**20 + 1,
        2**31,
        2**31 + 1,
        True,
        False,
        "x",
        "/",
        "",
        "http",
    )
    lists = ([], [99], [100, 599], [600], [True], [1.5], [200] * 500, [200] * 501)
    rest = {"max_ejection_time": 86400.0} if make is Outlier else {}
    for name in model.__struct_fields__:
        for value in (*edges, *more, *lists):
            if name == "base_ejection_time" or not isinstance(value, (int, float, str, list)):
                continue
            given = {**({} if name == "max_ejection_time" else rest), name: value}
            found, _ = checked(given, model)
            if name == "https_sni" and value in ("/", ""):  # the form wants a host's name
                continue
            try:
                make(**given)
            except lbcore.ConfigError:
                if name != "max_ejection_time":  # the class knows the other's value, too
                    assert found is None, (name, value)
            else:
                assert found is not None, (name, value)
