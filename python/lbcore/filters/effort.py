"""How long a request may take and how often it is tried: values, and the decisions that follow from them.

Source  Gateway API v1, HTTPRouteTimeouts and HTTPRouteRetry; RFC 9110 9.2.2 for what may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from lbcore.errors import ConfigError
from lbcore.filters.checks import listed, seconds, whole

MOST_SECONDS = 99999 * 3600.0  # the longest that a Gateway API duration of one term says
MOST_ATTEMPTS = 32767  # Kong's
LONGEST_BACKOFF = 10  # times the first one

# RFC 9110 9.2.2: what may be sent twice although the first may have been done.
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None or 0: no limit.

    ``request``: from the request's arrival to the answer's end, all attempts included.  ``backend_request``: each
    attempt; at most ``request``.
    """

    request: float | None = None
    backend_request: float | None = None

    def __post_init__(self) -> None:
        if self.request is not None:
            seconds("timeouts.request", self.request, MOST_SECONDS)
        if self.backend_request is not None:
            seconds("timeouts.backend_request", self.backend_request, MOST_SECONDS)
        if self.request and self.backend_request and self.backend_request > self.request:
            raise ConfigError(
                "timeouts.backend_request",
                f"{self.backend_request!r} is longer than timeouts.request, {self.request!r}",
            )

    def left(self, elapsed: float) -> float | None:
        """Seconds that the next attempt may take, ``elapsed`` seconds after the request's arrival.

        None: no limit.  0: the time is over, the answer is 504.
        """
        limit = self.backend_request or None
        if not self.request:
            return limit
        rest = max(0.0, self.request - elapsed)
        return rest if limit is None else min(limit, rest)


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed attempt is repeated.

    ``codes``: statuses 400..599 that are retried, whatever the method.  ``attempts``: retries after the first attempt,
    0 for none.  ``backoff``: seconds before the first retry; each later one waits twice as long as the one before, and
    none more than 10 times as long as the first.
    """

    codes: Iterable[int] = ()
    attempts: int = 2
    backoff: float = 0.025

    def __post_init__(self) -> None:
        codes = listed("retry.codes", self.codes)
        for i, code in enumerate(codes):
            whole(f"retry.codes[{i}]", code, 400, 599)
        object.__setattr__(self, "codes", frozenset(cast(tuple[int, ...], codes)))
        whole("retry.attempts", self.attempts, 0, MOST_ATTEMPTS)
        seconds("retry.backoff", self.backoff, MOST_SECONDS)

    def again(self, n_retries: int, method: str, status: int | None = None, *, sent: bool = True) -> bool:
        """True if the attempt is to be repeated, after ``n_retries`` retries.

        ``status``: of the backend's answer; None where there was none: the connection failed or the time was over.
        Then ``sent=False`` says that the backend cannot have seen the request, which is repeated whatever its method;
        otherwise only an idempotent one is.
        """
        if n_retries >= self.attempts:
            return False
        if status is not None:
            return status in cast(frozenset[int], self.codes)
        return not sent or method in IDEMPOTENT

    def wait(self, n_retries: int) -> float:
        """Seconds to wait before the next retry, after ``n_retries`` retries."""
        return self.backoff * (1 << n_retries if n_retries < 4 else LONGEST_BACKOFF)
