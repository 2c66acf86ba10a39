"""The twin of ``health/outcome.h``: how a call or a probe ended, and what that comes to."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """``ok``: the caller's own word; ``fault``: "connect", "timeout", "garbled"; ``status``: of HTTP; or None."""

    ok: bool | None = None
    fault: str | None = None
    status: int | None = None


def ending(outcome: Outcome) -> str:
    """One of nothing, success, status, failed, connect, timeout: the caller's word first, then what was seen."""
    ok, fault, status = outcome
    if ok is True:
        return "success"
    if status is not None:
        return "status" if ok is None and fault is None else "failed"
    if fault == "garbled":
        return "failed"
    if fault == "timeout":
        return "timeout"
    return "connect" if fault == "connect" or ok is False else "nothing"


def outcome_of(
    ok: bool | None = None, error: BaseException | None = None, status: int | None = None
) -> Outcome:
    """What ``call.done(ok=, error=, status=)`` says: an OSError is a fault (TimeoutError a time-out), another error
    without ``ok`` is no outcome, whatever the status."""
    if isinstance(error, OSError):
        return Outcome(ok, "timeout" if isinstance(error, TimeoutError) else "connect", status)
    return Outcome() if error is not None and ok is None else Outcome(ok, None, status)
