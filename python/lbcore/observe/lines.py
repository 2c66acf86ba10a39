"""Events as lines of the logger ``lbcore``: one a change, in words.

::

    target 10.0.0.1:8080 of api ejected 10 s: 3 connection errors or time-outs in a row
    target 10.0.0.1:8080 of api held 30 s: 429
    target 10.0.0.1:8080 of api drained
"""

from __future__ import annotations

import asyncio
import logging

from lbcore._core import Event
from lbcore.observe.queues import Source, taken, upstreams_of

log = logging.getLogger("lbcore")

# Kind -> what is said of it, and how loud: what takes a target out against its operator's will is a warning.
_WORDS = {
    "ejected": ("ejected", logging.WARNING),
    "recovered": ("back from its ejection", logging.INFO),
    "unhealthy": ("unhealthy", logging.WARNING),
    "healthy": ("healthy", logging.INFO),
    "held": ("held", logging.WARNING),
    "released": ("back from its hold", logging.INFO),
    "draining": ("draining", logging.INFO),
    "drained": ("drained", logging.INFO),
    "undrained": ("no longer draining", logging.INFO),
    "disabled": ("disabled", logging.INFO),
    "enabled": ("enabled", logging.INFO),
}

# The detector -> why, of `failures` in a row where it counts.
_CAUSES = {
    "consecutive_5xx": "{} answers of 500 and above in a row",
    "consecutive_gateway_failure": "{} answers of 502, 503 or 504 in a row",
    "consecutive_local_origin_failure": "{} connection errors or time-outs in a row",
    "success_rate": "its success rate is below the others'",
    "failure_percentage": "too many of its calls failed",
    "half_open": "its trial failed",
}


def line_of(event: Event) -> str:
    """The event in words; times in seconds."""
    who = f"target {event.target.address}" if event.target is not None else "a removed target"
    said = f"{who} of {event.upstream} {_WORDS[event.kind][0]}"
    if event.until is not None:
        said += f" {'for at most ' if event.kind == 'draining' else ''}{event.until - event.at:.4g} s"
    why = _why(event)
    return f"{said}: {why}" if why else said


def _why(event: Event) -> str:
    if event.cause is not None:
        return _CAUSES[event.cause].format(event.failures)
    if event.kind == "held":
        return str(event.status) if event.status is not None else "it asked for a pause"
    return ""


def log_events(source: Source) -> int:
    """Write one line for each change since the last time; returns how many.  Never waits; costs little if nothing was.

    Events that were lost because nobody took them in time are said once, with their number.
    """
    n = 0
    for upstream in upstreams_of(source):
        before = upstream.events_dropped
        for event in taken(upstream):
            log.log(_WORDS[event.kind][1], "%s", line_of(event))
            n += 1
        lost = upstream.events_dropped - before
        if lost:
            log.warning(
                "%d earlier changes of targets of %s were lost: nobody took them", lost, upstream.name
            )
    return n


async def follow(source: Source, every: float = 1.0) -> None:
    """Log events every ``every`` seconds until cancelled; an engine's reloads are followed."""
    while True:
        log_events(source)
        await asyncio.sleep(every)
