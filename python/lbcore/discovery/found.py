"""What a source is, what it answers, and the simplest one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from lbcore._core import Target
from lbcore.errors import ConfigError

LEAST_SECONDS = 0.001  # between two asks, so that no source makes a follower spin
BACKOFF = (1.0, 30.0)  # seconds until a source that failed is asked again: the first time, and at most


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: ``targets``, good for ``good_for`` seconds (0.001 or more; ``math.inf``: for ever).

    Raises :class:`ConfigError`.
    """

    targets: tuple[Target, ...]
    good_for: float

    def __post_init__(self) -> None:
        if not (isinstance(self.targets, tuple) and all(isinstance(t, Target) for t in self.targets)):
            raise ConfigError("targets", "is not a tuple of Target")
        if not (isinstance(self.good_for, (int, float)) and self.good_for >= LEAST_SECONDS):
            raise ConfigError(
                "good_for", f"{self.good_for!r} is not a number of seconds, {LEAST_SECONDS} or more"
            )


class Source(Protocol):
    """Whatever knows targets.  One object serves one follower at a time; its repr names it in the log.

    A source may have ``backoff = (first, most)``, in seconds, in place of (1, 30): when it is asked again after a
    failure.
    """

    async def resolve(self) -> Found:
        """Ask now.  Raise any ``Exception`` if there is no answer: its text is logged when it changes."""


class Static:
    """Targets that stand; made by :func:`static`."""

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self._found = Found(targets, math.inf)

    async def resolve(self) -> Found:
        """The targets, good for ever."""
        return self._found

    def __repr__(self) -> str:
        return f"static({len(self._found.targets)} targets)"


def static(targets: Iterable[Target | str]) -> Static:
    """A source whose answer never changes: to stand beside others, and for tests.

    >>> static(["10.0.0.1:8080", "10.0.0.2:8080"])
    static(2 targets)
    """
    return Static(tuple(Target(t) if isinstance(t, str) else t for t in targets))
