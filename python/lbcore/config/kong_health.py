"""Kong's ``healthchecks`` record, of an upstream of its declarative configuration or Admin API, as a :class:`Health`.

Source  Kong's schema of upstreams: its names, defaults and ranges.  Kong counts outcomes and nothing else: there is no
        outlier detection, and ``Retry-After`` is not listened to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from lbcore.config import validate
from lbcore.config.model import HeaderName, HeaderValue, PreciseHostname
from lbcore.config.plain import parts
from lbcore.engine import ActiveChecks, Health, PassiveChecks
from lbcore.errors import ConfigError

Seconds = Annotated[float, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=0, le=255)]
Statuses = Annotated[tuple[Annotated[int, Meta(ge=100, le=999)], ...], Meta(max_length=900)]
Kind = Literal["tcp", "http", "https", "grpc", "grpcs"]

OURS = re.compile(r"\b((?:un)?healthy)_")  # healthy_interval is Kong's healthy.interval
LAST_STATUS = 599  # no answer with a higher one is passed on or counted here: nothing is lost without them


class _Record(Struct, gc=False, forbid_unknown_fields=True):
    """A field that is not Kong's is a mistake there, too."""


class ActiveHealthy(_Record):
    interval: Seconds = 0.0
    http_statuses: Statuses = (200, 302)
    successes: Count = 0


class ActiveUnhealthy(_Record):
    interval: Seconds = 0.0
    http_statuses: Statuses = (429, 404, 500, 501, 502, 503, 504, 505)
    tcp_failures: Count = 0
    timeouts: Count = 0
    http_failures: Count = 0


class Active(_Record):
    type: Kind = "http"
    timeout: Seconds = 1.0
    concurrency: Annotated[int, Meta(ge=1, le=2**31)] = 10
    http_path: Annotated[str, Meta(max_length=4096, pattern=r"^/[!-~]*\Z",
                                   description="a path: / and visible ASCII characters")] = "/"  # fmt: skip
    https_sni: PreciseHostname | None = None
    https_verify_certificate: bool = True
    headers: dict[HeaderName, Annotated[tuple[HeaderValue, ...], Meta(max_length=64)]] = {}
    healthy: ActiveHealthy = field(default_factory=ActiveHealthy)
    unhealthy: ActiveUnhealthy = field(default_factory=ActiveUnhealthy)


class PassiveHealthy(_Record):
    http_statuses: Statuses = (*range(200, 209), 226, *range(300, 309))
    successes: Count = 0


class PassiveUnhealthy(_Record):
    http_statuses: Statuses = (429, 500, 503)
    tcp_failures: Count = 0
    timeouts: Count = 0
    http_failures: Count = 0


class Passive(_Record):
    type: Kind = "http"  # Kong reads it nowhere: outcomes say what they are
    healthy: PassiveHealthy = field(default_factory=PassiveHealthy)
    unhealthy: PassiveUnhealthy = field(default_factory=PassiveUnhealthy)


class Healthchecks(_Record):
    active: Active = field(default_factory=Active)
    passive: Passive = field(default_factory=Passive)
    threshold: Annotated[float, Meta(ge=0, le=100)] = 0.0


def read(data: Any) -> tuple[Health | None, list[validate.Fault]]:
    """What ``data``, the value of ``healthchecks``, says; or None and all that is wrong, by its path in there.

    Checks that Kong's defaults leave off are off.  In Kong active checks of type ``tcp`` are for
    streams, and the others for HTTP: who knows what the upstream is for switches those of the other kind off.
    """
    record, faults = validate.read({} if data is None else data, Healthchecks)
    if record is None:
        return None, faults
    try:
        return health_of(record), []
    except ConfigError as error:  # what ranges do not say, such as nan
        field = OURS.sub(r"\1.", error.problems[0].field.removeprefix("health."))
        return None, [validate.Fault(parts(field), error.problems[0].reason)]


def health_of(record: Healthchecks) -> Health:
    """Kong's record in the words of :class:`Health`."""
    active, passive = record.active, record.passive
    return Health.kong(
        active=ActiveChecks(
            type=active.type,
            timeout=active.timeout,
            concurrency=active.concurrency,
            jitter=0.0,
            http_path=active.http_path,
            headers={name: ", ".join(values) for name, values in active.headers.items()},
            https_sni=active.https_sni,
            https_verify_certificate=active.https_verify_certificate,
            healthy_interval=active.healthy.interval,
            unhealthy_interval=active.unhealthy.interval,
            **_counts(active.healthy, active.unhealthy),
        ),
        passive=PassiveChecks(**_counts(passive.healthy, passive.unhealthy)),
        threshold=record.threshold,
    )


def _counts(
    healthy: ActiveHealthy | PassiveHealthy, unhealthy: ActiveUnhealthy | PassiveUnhealthy
) -> dict[str, Any]:
    return {
        "healthy_http_statuses": _known(healthy.http_statuses),
        "healthy_successes": healthy.successes,
        "unhealthy_http_statuses": _known(unhealthy.http_statuses),
        "unhealthy_http_failures": unhealthy.http_failures,
        "unhealthy_tcp_failures": unhealthy.tcp_failures,
        "unhealthy_timeouts": unhealthy.timeouts,
    }


def _known(statuses: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(status for status in statuses if status <= LAST_STATUS))
