"""What an upstream judges its targets by: every field has its range, and an error names it."""

import dataclasses
import http
import pathlib
import pickle

import pytest

from lbcore.errors import ConfigError
from lbcore.healthrules import ActiveChecks, Health, Outlier, PassiveChecks

PLACES = {
    Outlier: "health.outlier",
    PassiveChecks: "health.passive",
    ActiveChecks: "health.active",
    Health: "health",
}
STREAK = 2**20 - 1
CHECKS = {  # Kong's schema
    "healthy_successes": (0, 255),
    "unhealthy_http_failures": (0, 255),
    "unhealthy_tcp_failures": (0, 255),
    "unhealthy_timeouts": (0, 255),
}
WHOLE = {
    Outlier: {
        "consecutive_5xx": (0, STREAK),
        "consecutive_gateway_failure": (0, STREAK),
        "consecutive_local_origin_failure": (0, STREAK),
        "max_ejection_percent": (0, 100),
        "enforcing_consecutive_5xx": (0, 100),
        "enforcing_consecutive_gateway_failure": (0, 100),
        "enforcing_consecutive_local_origin_failure": (0, 100),
        "enforcing_success_rate": (0, 100),
        "enforcing_failure_percentage": (0, 100),
        "success_rate_minimum_hosts": (0, 2**20),
        "success_rate_request_volume": (0, STREAK),
        "success_rate_stdev_factor": (0, 1_000_000),
        "failure_percentage_threshold": (0, 100),
        "failure_percentage_minimum_hosts": (0, 2**20),
        "failure_percentage_request_volume": (0, STREAK),
        "half_open": (0, STREAK),
        "half_open_successes": (1, STREAK),
    },
    PassiveChecks: CHECKS,
    ActiveChecks: {**CHECKS, "concurrency": (1, 2**31), "port": (1, 65535)},
    Health: {},
}
NUMBERS = {
    Outlier: {
        "interval": (0.001, 86400),
        "base_ejection_time": (0.001, 86400),
        "max_ejection_time": (10.0, 86400),  # not below the base
        "max_ejection_time_jitter": (0, 86400),
    },
    PassiveChecks: {},
    ActiveChecks: {
        "timeout": (0, 65535),
        "jitter": (0, 1),
        "healthy_interval": (0, 65535),
        "unhealthy_interval": (0, 65535),
    },
    Health: {"threshold": (0, 100), "max_hold": (0, 86400)},
}
FLAGS = {
    Outlier: ("split_external_local_origin_errors", "always_eject_one_host"),
    PassiveChecks: (),
    ActiveChecks: ("https_verify_certificate",),
    Health: (),
}
LISTS = ("healthy_http_statuses", "unhealthy_http_statuses")
OTHERS = {  # field: values that are refused
    (ActiveChecks, "type"): ["udp", "HTTP", "", None, 5],
    (ActiveChecks, "http_path"): ["", "health", "/a b", "/a\r\nX: 1", "/é", None, 5],
    (ActiveChecks, "http_method"): ["", "GE T", "GET\r\n", None, 5],
    (ActiveChecks, "body_match"): ["", b"ok", 5],
    (ActiveChecks, "https_sni"): ["", b"a", 5],
    (ActiveChecks, "grpc_service"): [None, b"a", 5],
    (ActiveChecks, "headers"): [None, "a: b", [("a", "b")], {5: "a"}, {"": "a"}, {"a b": "c"}, {"a:": "c"}],
    (Health, "outlier"): [True, "passive", {}, PassiveChecks()],
    (Health, "passive"): [True, "on", Outlier()],
    (Health, "active"): [True, PassiveChecks()],
}
RANGES = [
    (kind, name, *bounds, whole)
    for table, whole in ((WHOLE, True), (NUMBERS, False))
    for kind, fields in table.items()
    for name, bounds in fields.items()
]


def refused(kind, name, value, **others):
    with pytest.raises(ConfigError) as caught:
        kind(**{name: value}, **others)
    (problem,) = caught.value.problems
    return problem


def test_every_field_is_in_a_table_of_this_test():
    for kind in PLACES:
        known = {*WHOLE[kind], *NUMBERS[kind], *FLAGS[kind]} | {n for k, n in OTHERS if k is kind}
        if kind in (PassiveChecks, ActiveChecks):
            known |= {*LISTS}
        assert {f.name for f in dataclasses.fields(kind)} == known


@pytest.mark.parametrize(("kind", "name", "low", "high", "whole"), RANGES)
def test_a_number_out_of_range_is_named(kind, name, low, high, whole):
    step = 1 if whole else 0.0005
    others = {"max_ejection_time": 86400} if name == "base_ejection_time" else {}
    for value in (low, high):
        assert getattr(kind(**{name: value}, **others), name) == value
    wrong = [low - step, high + step, -1, 10**40, True, "5", float("nan"), float("inf"), [5]]
    wrong += [low + 0.5] if whole else []
    wrong += [None] if name != "port" else []
    for value in wrong:
        problem = refused(kind, name, value, **others)
        assert problem.field == f"{PLACES[kind]}.{name}"
        assert f"number in {low:g}..{high:g}" in problem.reason


def test_the_longest_ejection_is_not_shorter_than_the_base():
    problem = refused(Outlier, "base_ejection_time", 301)
    assert problem.field == "health.outlier.max_ejection_time"
    assert problem.reason == "300.0 is not a number in 301..86400"


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in FLAGS.items() for name in names])
def test_a_flag_is_true_or_false(kind, name):
    for value in (True, False):
        assert getattr(kind(**{name: value}), name) is value
    for value in (0, 1, None, "yes"):
        problem = refused(kind, name, value)
        assert problem.field == f"{PLACES[kind]}.{name}"
        assert "not True or False" in problem.reason


@pytest.mark.parametrize(("kind", "name"), OTHERS)
def test_other_values_are_named_too(kind, name):
    for value in OTHERS[kind, name]:
        problem = refused(kind, name, value)
        assert problem.field == f"{PLACES[kind]}.{name}"
        assert problem.reason


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "\0", 5, None])
def test_a_header_cannot_smuggle_another(value):
    assert (
        refused(ActiveChecks, "headers", {"X-A": "b", "X-Probe": value}).field
        == "health.active.headers['X-Probe']"
    )


@pytest.mark.parametrize("kind", [PassiveChecks, ActiveChecks])
@pytest.mark.parametrize("name", LISTS)
def test_statuses_are_any_iterable_of_them(kind, name):
    for value in ([200, 599], {200: 1, 599: 1}, (s for s in (200, 599)), (http.HTTPStatus.OK, 599)):
        assert getattr(kind(**{name: value}), name) == (200, 599)
    assert getattr(kind(**{name: ()}), name) == ()
    assert all(type(s) is int for s in getattr(kind(**{name: [http.HTTPStatus.OK]}), name))
    field = f"{PLACES[kind]}.{name}"
    for status in (0, 99, 600, -1, 200.0, "200", None, True, 10**40):
        problem = refused(kind, name, [200, status])
        assert problem.field == f"{field}[1]"
        assert "100..599" in problem.reason
    for value in (None, 5, "200", b"\xc8", True):
        assert refused(kind, name, value).field == field
    assert refused(kind, name, iter(lambda: 200, None)).reason == "more than 500 statuses"


def test_the_defaults_are_the_written_ones():
    assert Health() == Health(outlier=Outlier(), passive=None, active=None, threshold=0, max_hold=60)
    outlier = Outlier()
    assert (outlier.consecutive_5xx, outlier.consecutive_local_origin_failure) == (0, 3)
    assert (outlier.base_ejection_time, outlier.interval, outlier.max_ejection_time) == (10, 10, 300)
    assert (outlier.max_ejection_percent, outlier.always_eject_one_host) == (50, True)
    passive, active = PassiveChecks(), ActiveChecks()
    assert passive.healthy_http_statuses == (*range(200, 209), 226, *range(300, 309))
    assert passive.unhealthy_http_statuses == (429, 500, 503)
    assert active.healthy_http_statuses == (200, 302)
    assert active.unhealthy_http_statuses == (429, 404, 500, 501, 502, 503, 504, 505)
    assert (active.type, active.timeout, active.concurrency, active.http_path) == ("http", 1, 10, "/")


def test_envoys_defaults_are_envoys():
    assert dataclasses.asdict(Outlier.envoy()) == {
        "consecutive_5xx": 5,
        "consecutive_gateway_failure": 5,
        "consecutive_local_origin_failure": 5,
        "split_external_local_origin_errors": False,
        "interval": 10,
        "base_ejection_time": 30,
        "max_ejection_time": 300,
        "max_ejection_time_jitter": 0,
        "max_ejection_percent": 10,
        "always_eject_one_host": False,
        "enforcing_consecutive_5xx": 100,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_success_rate": 100,
        "enforcing_failure_percentage": 0,
        "success_rate_minimum_hosts": 5,
        "success_rate_request_volume": 100,
        "success_rate_stdev_factor": 1900,
        "failure_percentage_threshold": 85,
        "failure_percentage_minimum_hosts": 5,
        "failure_percentage_request_volume": 50,
        "half_open": 0,
        "half_open_successes": 1,
    }
    assert dataclasses.replace(Outlier.envoy(), half_open=1).half_open == 1


def test_kongs_checks_come_without_outlier_detection():
    active, passive = ActiveChecks(healthy_interval=5), PassiveChecks(unhealthy_timeouts=2)
    health = Health.kong(active=active, passive=passive, threshold=20)
    assert health == Health(outlier=None, passive=passive, active=active, threshold=20, max_hold=0)
    assert Health.kong() == Health(outlier=None, max_hold=0)
    with pytest.raises(ConfigError, match=r"health\.threshold"):
        Health.kong(threshold=101)


OFF = Outlier(consecutive_local_origin_failure=0)


@pytest.mark.parametrize(
    ("part", "is_on"),
    [
        (Outlier(), True),
        (Outlier.envoy(), True),
        (OFF, False),
        (Outlier(split_external_local_origin_errors=False), False),
        (dataclasses.replace(OFF, half_open=5), False),
        (dataclasses.replace(OFF, consecutive_5xx=1), True),
        (dataclasses.replace(OFF, consecutive_gateway_failure=1), True),
        (dataclasses.replace(OFF, success_rate_minimum_hosts=1), True),
        (dataclasses.replace(OFF, failure_percentage_threshold=1), True),
        (PassiveChecks(), False),
        (PassiveChecks(healthy_successes=5), False),
        (PassiveChecks(unhealthy_http_failures=1), True),
        (PassiveChecks(unhealthy_tcp_failures=1), True),
        (PassiveChecks(unhealthy_timeouts=1), True),
        (ActiveChecks(unhealthy_http_failures=1), False),
        (ActiveChecks(healthy_interval=0.5), True),
        (ActiveChecks(unhealthy_interval=5), True),
        (Health(), True),
        (Health.kong(), False),
        (Health(outlier=OFF, max_hold=0), False),
        (Health(outlier=OFF), True),
        (Health.kong(threshold=1), True),
        (Health.kong(passive=PassiveChecks()), False),
        (Health.kong(passive=PassiveChecks(unhealthy_timeouts=1)), True),
        (Health.kong(active=ActiveChecks(healthy_interval=1)), True),
    ],
)
def test_what_can_take_nobody_out_is_off(part, is_on):
    assert part.is_on is is_on


def test_rules_are_values():
    health = Health(
        active=ActiveChecks(headers={"X-Probe": "1"}), passive=PassiveChecks(healthy_http_statuses=[200])
    )
    assert pickle.loads(pickle.dumps(health)) == health
    headers = {"X-Probe": "1"}
    active = ActiveChecks(headers=headers)
    headers["X-Probe"] = "2"
    assert active.headers == {"X-Probe": "1"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        health.threshold = 5


# ---- docs/howto/health.md --------------------------------------------------------------------------------------


def rows(*header):
    """The rows of the page's table with this header, as cells."""
    page = (pathlib.Path(__file__).parent.parent / "docs" / "howto" / "health.md").read_text()
    table = page.split(f"| {' | '.join(header)} |\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def test_the_page_has_every_field_of_outlier_detection_with_its_defaults():
    table = {name: (ours, envoys) for name, ours, envoys, _ in rows("field", "default", "Envoy's", "meaning")}
    ours, envoys = dataclasses.asdict(Outlier()), dataclasses.asdict(Outlier.envoy())
    assert table == {f"`{name}`": (str(ours[name]), str(envoys[name])) for name in ours}


def ranges(text):
    spans = [span.split("-") for span in text.split()]
    return tuple(n for span in spans for n in range(int(span[0]), int(span[-1]) + 1))


def test_the_page_has_every_field_of_the_checks_with_its_defaults():
    active, passive = dataclasses.asdict(ActiveChecks()), dataclasses.asdict(PassiveChecks())
    both = rows("field of both", "active", "passive", "meaning")
    for name, of_active, of_passive, _ in both:
        read = ranges if "statuses" in name else int
        assert read(of_active) == active[name.strip("`")]
        assert read(of_passive) == passive[name.strip("`")]
    assert {name.strip("`") for name, *_ in both} == {*passive}
    alone = {
        name.strip("`"): default for name, default, _ in rows("field of active checks", "default", "meaning")
    }
    assert alone == {name: str(default) for name, default in active.items() if name not in passive}
