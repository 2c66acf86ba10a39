"""When a source is asked again.  Pure: the time is an argument, the randomness is handed in."""

from __future__ import annotations

import math
from random import Random

from lbcore.discovery.found import BACKOFF
from lbcore.errors import ConfigError


class Schedule:
    """The next ask of one source: at once, then when its answer has expired, or after a failure ever later.

    After a failure it waits between ``first`` seconds and three times the wait before, at most ``most`` ("decorrelated
    jitter"): the waits grow, and the processes that one outage hit do not come back together.
    """

    def __init__(self, backoff: tuple[float, float] = BACKOFF, *, random: Random) -> None:
        self.first, self.most = backoff
        if not 0 < self.first <= self.most < math.inf:
            raise ConfigError("backoff", f"{backoff!r} is not (first, most) seconds with 0 < first <= most")
        self._random = random
        self._from, self._for = 0.0, 0.0
        self._backoff = self.first

    def answered(self, now: float, good_for: float) -> None:
        """An answer came at ``now``, good for so many seconds."""
        self._from, self._for = now, good_for
        self._backoff = self.first

    def failed(self, now: float) -> None:
        """No answer came."""
        self._backoff = self._random.uniform(self.first, min(self.most, 3 * self._backoff))
        self._from, self._for = now, self._backoff

    def wait(self, now: float) -> float:
        """Seconds until it is due; 0 if it is.  Never longer than was planned, also if the clock went back."""
        return max(0.0, min(self._for, self._from + self._for - now))
