"""The twin of ``health/checks.c``: Kong's counters and states, one target.

::

    checks = Checks(passive)                    # PassiveChecks or ActiveChecks: any object with Kong's counts and lists
    checks.report(outcome_of(status=503))       # -> "fell", "rose" or None
    checks.takes_traffic; checks.state

Active and passive checks of a target share state and counters: ``report(outcome, rule)`` counts by another rule.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from .outcome import Outcome, ending

LIMITS = {
    "success": "healthy_successes",
    "http": "unhealthy_http_failures",
    "tcp": "unhealthy_tcp_failures",
    "timeout": "unhealthy_timeouts",
}
KINDS = {"success": "success", "failed": "http", "connect": "tcp", "timeout": "timeout"}


class Checks:
    """Four counters and a state."""

    def __init__(self, rule: Any) -> None:
        self.rule = rule
        self.set(True)

    def set(self, healthy: bool) -> None:
        """By hand."""
        self.state = "healthy" if healthy else "unhealthy"
        self.counters = dict.fromkeys(LIMITS, 0)

    @property
    def takes_traffic(self) -> bool:
        """Whether it is healthy or mostly healthy."""
        return self.state in ("healthy", "mostly_healthy")

    def report(self, outcome: Outcome, rule: Any = None) -> str | None:
        """Count an outcome; "fell" or "rose" if it takes traffic no more, or again."""
        before = self.takes_traffic
        rule = self.rule if rule is None else rule
        kind = self._kind(outcome, rule)
        if kind is not None:
            self._count(kind, getattr(rule, LIMITS[kind]))
        if self.takes_traffic == before:
            return None
        return "rose" if self.takes_traffic else "fell"

    def _kind(self, outcome: Outcome, rule: Any) -> str | None:
        what = ending(outcome)
        if what != "status":
            return KINDS.get(what)
        if outcome.status in rule.healthy_http_statuses:
            return "success"
        return "http" if outcome.status in rule.unhealthy_http_statuses else None

    def _count(self, kind: str, limit: int) -> None:
        reported = "healthy" if kind == "success" else "unhealthy"
        if limit == 0 or self.state == reported:
            return
        for other in self.counters:
            if (other == "success") != (kind == "success"):
                self.counters[other] = 0
        self.counters[kind] += 1
        if self.counters[kind] >= limit:
            self.state = reported
        elif self.state in ("healthy", "unhealthy"):
            self.state = f"mostly_{self.state}"


def suffices(percent: float, available: int, total: int) -> bool:
    """Whether more than ``percent`` of the weight is available."""
    return total > 0 and Fraction(available * 100, total) > Fraction(percent)
