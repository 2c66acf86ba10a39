"""How an upstream judges its targets: by the outcomes of calls, and by probes.

Plain values, checked when they are made; every error names the field, the value and what is allowed.
``Upstream(health="passive")`` is ``Health()``; ``health=None`` judges nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from lbcore._checked import flag, number, shown
from lbcore.errors import ConfigError

MOST_IN_A_ROW = 2**20 - 1
MOST_HOSTS = 2**20
DAY = 86400
SHORTEST = 0.001

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH = re.compile(r"/[!-~]*")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class Outlier:
    """Envoy's outlier detection, with its field names; a count or percentage of 0 switches its detector off.

    The defaults are lbcore's: three connection errors or time-outs in a row take a target out for 10 s, growing
    with each time to 300 s; half of them may be out at once, one always may; answers of any status speak for the
    target.  :meth:`envoy` has Envoy's.  ``enforcing_*`` percent of the ejections that a detector asks for are
    carried out.  With ``split_external_local_origin_errors`` failures without an answer are counted by themselves;
    without it they count as answers of 503, and ``consecutive_local_origin_failure`` is not used.
    ``half_open`` is ours: after an ejection at most so many calls at a time until ``half_open_successes`` in a row
    succeeded; one failure takes the target out again.  Durations are seconds.  Raises ConfigError.
    """

    consecutive_5xx: int = 0
    consecutive_gateway_failure: int = 0
    consecutive_local_origin_failure: int = 3
    split_external_local_origin_errors: bool = True
    interval: float = 10.0
    base_ejection_time: float = 10.0
    max_ejection_time: float = 300.0
    max_ejection_time_jitter: float = 0.0
    max_ejection_percent: int = 50
    always_eject_one_host: bool = True
    enforcing_consecutive_5xx: int = 100
    enforcing_consecutive_gateway_failure: int = 100
    enforcing_consecutive_local_origin_failure: int = 100
    enforcing_success_rate: int = 100
    enforcing_failure_percentage: int = 100
    success_rate_minimum_hosts: int = 0
    success_rate_request_volume: int = 100
    success_rate_stdev_factor: int = 1900
    failure_percentage_threshold: int = 0
    failure_percentage_minimum_hosts: int = 5
    failure_percentage_request_volume: int = 50
    half_open: int = 0
    half_open_successes: int = 1

    def __post_init__(self) -> None:
        for name, (low, high) in _OUTLIER_COUNTS.items():
            number(f"health.outlier.{name}", getattr(self, name), low, high, whole=True)
        for name in ("split_external_local_origin_errors", "always_eject_one_host"):
            flag(f"health.outlier.{name}", getattr(self, name))
        number("health.outlier.interval", self.interval, SHORTEST, DAY)
        number("health.outlier.base_ejection_time", self.base_ejection_time, SHORTEST, DAY)
        number("health.outlier.max_ejection_time", self.max_ejection_time, self.base_ejection_time, DAY)
        number("health.outlier.max_ejection_time_jitter", self.max_ejection_time_jitter, 0, DAY)

    @classmethod
    def envoy(cls) -> Outlier:
        """Envoy's own defaults; ``dataclasses.replace`` changes some of them."""
        return cls(
            consecutive_5xx=5,
            consecutive_gateway_failure=5,
            consecutive_local_origin_failure=5,
            split_external_local_origin_errors=False,
            base_ejection_time=30.0,
            max_ejection_percent=10,
            always_eject_one_host=False,
            enforcing_consecutive_gateway_failure=0,
            enforcing_failure_percentage=0,
            success_rate_minimum_hosts=5,
            failure_percentage_threshold=85,
        )

    @property
    def is_on(self) -> bool:
        """Whether any detector is."""
        local = self.split_external_local_origin_errors and self.consecutive_local_origin_failure
        in_a_row = self.consecutive_5xx or self.consecutive_gateway_failure or local
        return bool(in_a_row or self.success_rate_minimum_hosts or self.failure_percentage_threshold)


_OUTLIER_COUNTS = {
    "consecutive_5xx": (0, MOST_IN_A_ROW),
    "consecutive_gateway_failure": (0, MOST_IN_A_ROW),
    "consecutive_local_origin_failure": (0, MOST_IN_A_ROW),
    "max_ejection_percent": (0, 100),
    "enforcing_consecutive_5xx": (0, 100),
    "enforcing_consecutive_gateway_failure": (0, 100),
    "enforcing_consecutive_local_origin_failure": (0, 100),
    "enforcing_success_rate": (0, 100),
    "enforcing_failure_percentage": (0, 100),
    "success_rate_minimum_hosts": (0, MOST_HOSTS),
    "success_rate_request_volume": (0, MOST_IN_A_ROW),
    "success_rate_stdev_factor": (0, 1_000_000),
    "failure_percentage_threshold": (0, 100),
    "failure_percentage_minimum_hosts": (0, MOST_HOSTS),
    "failure_percentage_request_volume": (0, MOST_IN_A_ROW),
    "half_open": (0, MOST_IN_A_ROW),
    "half_open_successes": (1, MOST_IN_A_ROW),
}


@dataclass(frozen=True, slots=True)
class PassiveChecks:
    """Kong's passive health checks: counts of outcomes that change the state, 0 is off.

    A status in neither list does nothing.  A target that fell does not rise by itself: that takes an active check,
    or an operator.  With ``healthy_successes=0`` successes are not counted and clear no failures either: then the
    failures need not be in a row.  ``*_http_statuses``: any iterable of whole numbers in 100..599.
    Raises ConfigError.
    """

    healthy_http_statuses: tuple[int, ...] = (*range(200, 209), 226, *range(300, 309))
    healthy_successes: int = 0
    unhealthy_http_statuses: tuple[int, ...] = (429, 500, 503)
    unhealthy_http_failures: int = 0
    unhealthy_tcp_failures: int = 0
    unhealthy_timeouts: int = 0

    def __post_init__(self) -> None:
        _check_counts("health.passive", self)

    @property
    def is_on(self) -> bool:
        """Whether any failure is counted."""
        return bool(self.unhealthy_http_failures or self.unhealthy_tcp_failures or self.unhealthy_timeouts)


@dataclass(frozen=True, slots=True)
class ActiveChecks:
    """Kong's active health checks, and gRPC's: who is probed, how, how often, and what counts.

    ``healthy_interval`` and ``unhealthy_interval``: seconds between probes of a target that takes traffic, and of
    one that does not; 0: no probes.  ``jitter``: each interval is longer or shorter by up to this share of it.
    ``body_match``: text that the body must have; None: any body.  ``port``: where to probe; None: the target's own.
    Raises ConfigError.
    """

    type: Literal["http", "https", "tcp", "grpc", "grpcs"] = "http"
    timeout: float = 1.0
    concurrency: int = 10
    jitter: float = 0.1
    http_path: str = "/"
    http_method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body_match: str | None = None
    https_sni: str | None = None
    https_verify_certificate: bool = True
    grpc_service: str = ""
    port: int | None = None
    healthy_interval: float = 0.0
    healthy_http_statuses: tuple[int, ...] = (200, 302)
    healthy_successes: int = 0
    unhealthy_interval: float = 0.0
    unhealthy_http_statuses: tuple[int, ...] = (429, 404, *range(500, 506))
    unhealthy_http_failures: int = 0
    unhealthy_tcp_failures: int = 0
    unhealthy_timeouts: int = 0

    def __post_init__(self) -> None:
        if self.type not in _PROBES:
            raise ConfigError("health.active.type", f"{shown(self.type)} is not one of {', '.join(_PROBES)}")
        number("health.active.timeout", self.timeout, 0, 65535)
        number("health.active.concurrency", self.concurrency, 1, 2**31, whole=True)
        number("health.active.jitter", self.jitter, 0, 1)
        number("health.active.healthy_interval", self.healthy_interval, 0, 65535)
        number("health.active.unhealthy_interval", self.unhealthy_interval, 0, 65535)
        if self.port is not None:
            number("health.active.port", self.port, 1, 65535, whole=True)
        flag("health.active.https_verify_certificate", self.https_verify_certificate)
        _check_counts("health.active", self)
        self._check_request()

    def _check_request(self) -> None:
        _text("health.active.http_path", self.http_path, _PATH, "a path: / and visible ASCII characters")
        _text("health.active.http_method", self.http_method, _TOKEN, "a method's name")
        _text("health.active.grpc_service", self.grpc_service, None, "text")
        for name in ("body_match", "https_sni"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise ConfigError(f"health.active.{name}", f"{shown(value)} is not text, nor None")
        if not isinstance(self.headers, Mapping):
            raise ConfigError("health.active.headers", f"{shown(self.headers)} is not a mapping")
        for name, value in self.headers.items():
            _text("health.active.headers", name, _TOKEN, "a header's name")
            _text(f"health.active.headers[{name!r}]", value, _VALUE, "a header's value")
        object.__setattr__(self, "headers", dict(self.headers))

    @property
    def is_on(self) -> bool:
        """Whether anybody is probed."""
        return self.healthy_interval > 0 or self.unhealthy_interval > 0


_PROBES = ("http", "https", "tcp", "grpc", "grpcs")
_COUNTS = ("healthy_successes", "unhealthy_http_failures", "unhealthy_tcp_failures", "unhealthy_timeouts")


def _check_counts(place: str, checks: PassiveChecks | ActiveChecks) -> None:
    """What both kinds of checks have: Kong's counts, and lists of statuses, which become tuples."""
    for name in _COUNTS:
        number(f"{place}.{name}", getattr(checks, name), 0, 255, whole=True)
    for name in ("healthy_http_statuses", "unhealthy_http_statuses"):
        object.__setattr__(checks, name, _statuses(f"{place}.{name}", getattr(checks, name)))


def _statuses(name: str, value: object) -> tuple[int, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ConfigError(name, f"{shown(value)} is not a list of statuses")
    statuses = tuple(islice(value, 501))
    if len(statuses) > 500:
        raise ConfigError(name, "more than 500 statuses")
    for i, status in enumerate(statuses):
        number(f"{name}[{i}]", status, 100, 599, whole=True)
    return tuple(int(status) for status in statuses)


def _text(name: str, value: object, form: re.Pattern[str] | None, wanted: str) -> None:
    if not isinstance(value, str) or (form is not None and not form.fullmatch(value)):
        raise ConfigError(name, f"{shown(value)} is not {wanted}")


@dataclass(frozen=True, slots=True)
class Health:
    """All that an upstream judges its targets by; a part that is None is off.

    ``threshold``: the upstream serves only while more than this percent of its weight is available (Kong's).
    ``max_hold``: seconds that a target may ask for by ``retry_after``, at most; 0: it is not listened to.
    Raises ConfigError.
    """

    outlier: Outlier | None = field(default_factory=Outlier)
    passive: PassiveChecks | None = None
    active: ActiveChecks | None = None
    threshold: float = 0.0
    max_hold: float = 60.0

    def __post_init__(self) -> None:
        for name, kind in (("outlier", Outlier), ("passive", PassiveChecks), ("active", ActiveChecks)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise ConfigError(f"health.{name}", f"{shown(value)} is not {kind.__name__}(...), nor None")
        number("health.threshold", self.threshold, 0, 100)
        number("health.max_hold", self.max_hold, 0, DAY)

    @classmethod
    def kong(
        cls,
        *,
        active: ActiveChecks | None = None,
        passive: PassiveChecks | None = None,
        threshold: float = 0.0,
    ) -> Health:
        """Kong's health checks and nothing else: no outlier detection, and ``Retry-After`` is not listened to."""
        return cls(outlier=None, passive=passive, active=active, threshold=threshold, max_hold=0.0)

    @property
    def is_on(self) -> bool:
        """Whether anything here can take a target, or the upstream, out of service."""
        parts = [part for part in (self.outlier, self.passive, self.active) if part is not None]
        return self.threshold > 0 or self.max_hold > 0 or any(part.is_on for part in parts)
