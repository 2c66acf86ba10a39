"""The twin of ``health/outlier.c`` and ``window.c``: Envoy's five detectors and the half-open trial.

::

    fleet = Fleet(rule, 5)                      # rule: an Outlier, or any object with its fields
    fleet.advance(now_ns)                       # what is over ends; an interval that has ended is judged
    fleet.report(2, outcome_of(status=503), now_ns)     # -> the cause that ejected target 2, or None
    fleet.targets[2].until_ns                   # whole nanoseconds, as all times here; None: in service

``Fleet`` is the upstream around the detectors: it asks whether an ejection is enforced, and whether one more may go.
It draws no numbers: a detector is enforced or not (0 or 100 percent), and nothing is added as jitter.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from statistics import pvariance
from typing import Any

from .outcome import Outcome, ending

ORDER = ("half_open", "consecutive_gateway_failure", "consecutive_5xx", "consecutive_local_origin_failure",
         "success_rate", "failure_percentage")  # fmt: skip
STREAKS = ORDER[1:4]
GATEWAY = (502, 503, 504)
RATE = 2**20  # success rates are whole numbers of so many parts


def ns(seconds: float) -> int:
    """Whole nanoseconds."""
    return round(seconds * 10**9)


class Target:
    """What is known of one target."""

    def __init__(self, rule: Any) -> None:
        self.rule = rule
        self.streak = dict.fromkeys(STREAKS, 0)
        self.calls: Counter[int] = Counter()  # by interval
        self.successes: Counter[int] = Counter()
        self.until_ns: int | None = None
        self.multiplier = 0
        self.recovered_ns = 0
        self.trial = 0

    # ---- counting

    def count(self, outcome: Outcome, now_ns: int) -> set[str]:
        """Return the detectors that ask for its ejection now."""
        what = ending(outcome)
        if what == "nothing":
            return set()
        local = what in ("connect", "timeout")
        status = {"success": 200, "failed": max(outcome.status or 0, 500)}.get(what, outcome.status)
        if local and self.rule.split_external_local_origin_errors:
            asked = self._add("consecutive_local_origin_failure")
        else:
            if not local:
                self.streak["consecutive_local_origin_failure"] = 0
            asked = self._answer(503 if local else status, now_ns)
        return asked | self._try(local, 503 if local else status)

    def _add(self, name: str) -> set[str]:
        limit = getattr(self.rule, name)
        self.streak[name] += 1 if limit else 0
        if limit == 0 or self.streak[name] < limit or self.until_ns is not None:
            return set()
        self.streak[name] = 0
        return {name}

    def _answer(self, status: int, now_ns: int) -> set[str]:
        interval = now_ns // ns(self.rule.interval)
        self.calls[interval] += 1
        self.successes[interval] += status < 500
        if status < 500:
            self.streak["consecutive_5xx"] = self.streak["consecutive_gateway_failure"] = 0
            return set()
        if status in GATEWAY:
            return self._add("consecutive_gateway_failure") | self._add("consecutive_5xx")
        self.streak["consecutive_gateway_failure"] = 0
        return self._add("consecutive_5xx")

    def _try(self, local: bool, status: int) -> set[str]:
        if not self.rule.half_open or not self.trial or self.until_ns is not None:
            return set()
        rule = self.rule
        minded = rule.consecutive_5xx or rule.success_rate_minimum_hosts or rule.failure_percentage_threshold
        minded = minded or (rule.consecutive_gateway_failure and status in GATEWAY)
        if not (local or (status >= 500 and minded)):
            self.trial -= 1
            return set()
        self.trial = rule.half_open_successes
        return {"half_open"}

    # ---- out and back

    def eject(self, now_ns: int) -> bool:
        """Take it out for base * multiplier; the multiplier lost one for each interval in service since."""
        if self.until_ns is not None:
            return False
        base, longest = ns(self.rule.base_ejection_time), ns(self.rule.max_ejection_time)
        in_service = max(0, now_ns - self.recovered_ns) // ns(self.rule.interval)
        self.multiplier = max(0, self.multiplier - in_service)
        if self.multiplier * base < longest + base:
            self.multiplier += 1
        self.until_ns = now_ns + min(base * self.multiplier, longest)
        self.trial = self.rule.half_open_successes if self.rule.half_open else 0
        return True

    def recover(self, now_ns: int) -> bool:
        """Put it back if its time is over."""
        if self.until_ns is None or now_ns < self.until_ns:
            return False
        self.until_ns = None
        self.recovered_ns = now_ns
        self.streak = dict.fromkeys(STREAKS, 0)
        return True


def judge(rule: Any, targets: list[Target], interval: int) -> list[set[str]]:
    """Which of the two statistical detectors ask for each target, by the calls of this interval."""
    asked: list[set[str]] = [set() for _ in targets]
    counts = [
        (i, t.calls[interval], t.successes[interval])
        for i, t in enumerate(targets)
        if t.until_ns is None and t.calls[interval]
    ]
    rates = {i: ok * RATE // n for i, n, ok in counts if n >= rule.success_rate_request_volume}
    if rates and rule.success_rate_minimum_hosts and len(rates) >= rule.success_rate_minimum_hosts:
        mean = Fraction(sum(rates.values()), len(rates))
        factor = Fraction(rule.success_rate_stdev_factor, 1000)
        for i, rate in rates.items():  # rate < mean - factor * deviation, squared: no root, exact
            below = mean - rate
            if below > 0 and below**2 > factor**2 * pvariance(map(Fraction, rates.values())):
                asked[i].add("success_rate")
    failed = {i: Fraction(n - ok, n) for i, n, ok in counts if n >= rule.failure_percentage_request_volume}
    if failed and rule.failure_percentage_threshold and len(failed) >= rule.failure_percentage_minimum_hosts:
        for i, share in failed.items():
            if share * 100 >= rule.failure_percentage_threshold:
                asked[i].add("failure_percentage")
    return asked


class Fleet:
    """The targets of an upstream."""

    def __init__(self, rule: Any, n: int) -> None:
        self.rule = rule
        self.targets = [Target(rule) for _ in range(n)]
        self.judged = 0

    @property
    def ejected(self) -> list[int]:
        """Who is out."""
        return [i for i, t in enumerate(self.targets) if t.until_ns is not None]

    def may(self) -> bool:
        """Whether one more may go."""
        out = len(self.ejected)
        share = Fraction(100 * (out + 1), len(self.targets))
        return share <= self.rule.max_ejection_percent or (self.rule.always_eject_one_host and out == 0)

    def follow(self, i: int, asked: set[str], now_ns: int) -> str | None:
        """Eject target ``i`` by the first detector that is enforced, if one more may go."""
        for cause in ORDER:
            if cause in asked and getattr(self.rule, f"enforcing_{cause}", 100) == 100:
                return cause if self.may() and self.targets[i].eject(now_ns) else None
        return None

    def report(self, i: int, outcome: Outcome, now_ns: int) -> str | None:
        """A call on target ``i`` ended."""
        return self.follow(i, self.targets[i].count(outcome, now_ns), now_ns)

    def advance(self, now_ns: int) -> list[tuple[int, str]]:
        """End what is over, then judge the last interval, once; return who was ejected and why."""
        for target in self.targets:
            target.recover(now_ns)
        interval = now_ns // ns(self.rule.interval)
        judges = self.rule.success_rate_minimum_hosts or self.rule.failure_percentage_threshold
        if not judges or interval <= self.judged:
            return []
        self.judged = interval
        asked = judge(self.rule, self.targets, interval - 1)
        causes = [(i, self.follow(i, asked[i], now_ns)) for i in range(len(self.targets))]
        return [(i, cause) for i, cause in causes if cause is not None]
