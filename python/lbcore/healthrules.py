"""How an upstream judges its targets: by the outcomes of calls, and by probes.

Plain values, checked when they are made.  ``Upstream(health="passive")`` is ``Health()``; ``health=None`` judges nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Outlier:
    """Envoy's outlier detection, with its field names; a count or percentage of 0 switches its detector off.

    The defaults are lbcore's: three connection errors or time-outs in a row take a target out for 10 s, growing with each
    time to 300 s; half of them may be out at once, one always may; answers of any status speak for the target.
    :meth:`envoy` has Envoy's.  ``enforcing_*`` percent of the ejections that a detector asks for are carried out.
    ``half_open`` is ours: after an ejection at most so many calls at a time until ``half_open_successes`` in a row
    succeeded; one failure takes the target out again.  Durations are seconds.
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


@dataclass(frozen=True, slots=True)
class PassiveChecks:
    """Kong's passive health checks: counts of outcomes that change the state, 0 is off.

    A status in neither list does nothing.  A target that fell does not rise by itself: that takes an active check, or an
    operator.
    """

    healthy_http_statuses: tuple[int, ...] = (*range(200, 209), 226, *range(300, 309))
    healthy_successes: int = 0
    unhealthy_http_statuses: tuple[int, ...] = (429, 500, 503)
    unhealthy_http_failures: int = 0
    unhealthy_tcp_failures: int = 0
    unhealthy_timeouts: int = 0


@dataclass(frozen=True, slots=True)
class ActiveChecks:
    """Kong's active health checks, and gRPC's: who is probed, how, how often, and what counts.

    ``healthy_interval`` and ``unhealthy_interval``: seconds between probes of a target that takes traffic, and of one that
    does not; 0: no probes.  ``jitter``: each interval is longer or shorter by up to this share of it.
    ``body_match``: text that the body must have; None: any body.
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


@dataclass(frozen=True, slots=True)
class Health:
    """All that an upstream judges its targets by; a part that is None is off.

    ``threshold``: the upstream serves only while more than this percent of its weight is available (Kong's).
    ``max_hold``: seconds that a target may ask for by ``retry_after``, at most; 0: it is not listened to.
    """

    outlier: Outlier | None = field(default_factory=Outlier)
    passive: PassiveChecks | None = None
    active: ActiveChecks | None = None
    threshold: float = 0.0
    max_hold: float = 60.0
