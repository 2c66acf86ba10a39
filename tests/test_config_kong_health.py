"""Kong's healthchecks: its defaults, ranges and names."""

import math

import pytest

from lbcore.config import kong_health
from lbcore.config.plain import written
from lbcore.healthrules import ActiveChecks, Health, PassiveChecks


def test_without_anything_it_is_kongs_defaults_and_off():
    for data in (None, {}, {"active": {}, "passive": {"unhealthy": {}}}, {"active": None}):
        health, faults = kong_health.read(data)
        assert (health, faults) == (
            Health.kong(active=ActiveChecks(jitter=0.0), passive=PassiveChecks()),
            [],
        )
        assert not health.is_on and health.outlier is None


def test_every_field():
    health, faults = kong_health.read(
        {
            "active": {
                "type": "https",
                "timeout": 2.5,
                "concurrency": 3,
                "http_path": "/status",
                "https_sni": "api.example.com",
                "https_verify_certificate": False,
                "headers": {"x-probe": ["a", "b"]},
                "healthy": {"interval": 5, "http_statuses": [200, 204, 999], "successes": 2},
                "unhealthy": {
                    "interval": 1,
                    "http_statuses": [500, 500, 600],
                    "tcp_failures": 1,
                    "timeouts": 2,
                    "http_failures": 3,
                },
            },
            "passive": {
                "type": "tcp",
                "healthy": {"http_statuses": [], "successes": 255},
                "unhealthy": {"http_statuses": [429], "tcp_failures": 4, "timeouts": 5, "http_failures": 6},
            },
            "threshold": 33.3,
        }
    )
    assert faults == []
    assert health == Health.kong(
        active=ActiveChecks(
            type="https",
            timeout=2.5,
            concurrency=3,
            jitter=0.0,
            http_path="/status",
            headers={"x-probe": "a, b"},
            https_sni="api.example.com",
            https_verify_certificate=False,
            healthy_interval=5.0,
            healthy_http_statuses=(200, 204),
            healthy_successes=2,
            unhealthy_interval=1.0,
            unhealthy_http_statuses=(500,),
            unhealthy_tcp_failures=1,
            unhealthy_timeouts=2,
            unhealthy_http_failures=3,
        ),
        passive=PassiveChecks(
            healthy_http_statuses=(),
            healthy_successes=255,
            unhealthy_http_statuses=(429,),
            unhealthy_tcp_failures=4,
            unhealthy_timeouts=5,
            unhealthy_http_failures=6,
        ),
        threshold=33.3,
    )


def nested(path, value):
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


RANGES = {  # reference/kong.md 1.6
    "active.timeout": (0, 65535),
    "active.concurrency": (1, 2**31),
    "active.healthy.interval": (0, 65535),
    "active.healthy.successes": (0, 255),
    "active.unhealthy.interval": (0, 65535),
    "active.unhealthy.tcp_failures": (0, 255),
    "active.unhealthy.timeouts": (0, 255),
    "active.unhealthy.http_failures": (0, 255),
    "passive.healthy.successes": (0, 255),
    "passive.unhealthy.tcp_failures": (0, 255),
    "passive.unhealthy.timeouts": (0, 255),
    "passive.unhealthy.http_failures": (0, 255),
    "threshold": (0, 100),
}


@pytest.mark.parametrize("path", RANGES)
def test_ranges(path):
    low, high = RANGES[path]
    for value in (low, high):
        assert kong_health.read(nested(path, value))[0] is not None
    for value in (low - 1, high + 1, math.inf, math.nan, True, "1", [1], {}):
        health, (fault,) = kong_health.read(nested(path, value))
        assert health is None
        assert written(fault.path) == path
        assert f"in {low}..{high:g}" in fault.reason or f"in {low}..{high}" in fault.reason


WRONG = [
    ({"active": {"type": "udp"}}, "active.type", "'udp' is not one of"),
    ({"passive": {"type": 5}}, "passive.type", "5 is not one of"),
    ({"active": {"http_path": "health"}}, "active.http_path", "'health' is not a path"),
    ({"active": {"https_sni": "a b"}}, "active.https_sni", "'a b' is not a host name"),
    ({"active": {"https_verify_certificate": "no"}}, "active.https_verify_certificate", "'no' is not true or false"),
    ({"active": {"headers": {"x": "a"}}}, "active.headers.x", "'a' is not a list"),
    ({"active": {"headers": {"x y": ["a"]}}}, "active.headers['x y']", "the key"),
    ({"active": {"headers": {"x": ["\u2713"]}}}, "active.headers.x", "is not a header's value"),
    ({"active": {"healthy": {"http_statuses": [200, 99]}}}, "active.healthy.http_statuses[1]", "in 100..999"),
    ({"passive": {"unhealthy": {"http_statuses": [1000]}}}, "passive.unhealthy.http_statuses[0]", "in 100..999"),
    ({"passive": {"unhealthy": {"http_statuses": 500}}}, "passive.unhealthy.http_statuses", "500 is not a list"),
    ({"passive": {"healthy": {"interval": 5}}}, "passive.healthy.interval", "is not known"),
    ({"passive": {"unhealthy": {"tcp_failure": 5}}}, "passive.unhealthy.tcp_failure", "did you mean tcp_failures?"),
    ({"actve": {}}, "actve", "did you mean active?"),
    ({"active": 5}, "active", "5 is not an object"),
    ([], "", "a list is not an object"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "path", "reason"), WRONG)
def test_wrong(data, path, reason):
    health, (fault,) = kong_health.read(data)
    assert health is None
    assert written(fault.path) == path
    assert reason in fault.reason


def test_all_that_is_wrong_at_once():
    _, faults = kong_health.read({"active": {"timeout": -1, "healthy": {"successes": 256}}, "threshold": 101})
    assert [written(fault.path) for fault in faults] == [
        "active.timeout",
        "active.healthy.successes",
        "threshold",
    ]
