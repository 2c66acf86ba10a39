"""What an upstream can be told besides its targets and its policy.

Plain values, checked when they are made; every error names the field, the value and what is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lbcore._checked import number as _number
from lbcore._checked import shown as _shown
from lbcore.errors import ConfigError

MOST_WEIGHT = 1_000_000
STEPS = 16
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Fast facts: a target over a limit is passed over at the pick.

    ``in_flight``: calls on one target at a time; None: any number.
    ``bound``: a target takes a call only while it has fewer than ``ceil(bound * (calls in all + 1) * its share) +
    margin``; None: the policy's own (``hash_bounded``), or none.
    ``error_hold``: seconds for which a failed call stays counted, where the policy looks at loads.
    ``retry_percent`` and ``retry_per_second``: retries that ``attempts`` may make, of the first tries of the last 10 s,
    and besides.
    """

    in_flight: int | None = None
    bound: float | None = None
    margin: int = 2
    error_hold: float = 1.0
    retry_percent: int = 20
    retry_per_second: int = 10

    def __post_init__(self) -> None:
        if self.in_flight is not None:
            _number("limits.in_flight", self.in_flight, 1, 2**31 - 1, whole=True)
        if self.bound is not None:
            _number("limits.bound", self.bound, 1, 100)
        _number("limits.margin", self.margin, 0, MOST_WEIGHT, whole=True)
        _number("limits.error_hold", self.error_hold, 0, 3600)
        _number("limits.retry_percent", self.retry_percent, 0, 1000, whole=True)
        _number("limits.retry_per_second", self.retry_per_second, 0, MOST_WEIGHT, whole=True)


@dataclass(frozen=True, slots=True)
class Levels:
    """How priorities and localities share the load, and when health is no longer believed.

    ``overprovisioning``: percent; a priority level's health is ``min(100, overprovisioning * usable / all)``, and what
    it lacks spills over to the next.  ``spill=False``: a level serves alone while anybody in it is usable (backups).
    ``panic``: while all levels together are below 100, one with less than this percent usable serves with all.
    ``locality``: the label that names a target's place; ``weights`` by its value, others have ``default_weight``.
    """

    overprovisioning: int = 140
    panic: int = 0
    spill: bool = True
    locality: str | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    default_weight: int = 1

    def __post_init__(self) -> None:
        _number("levels.overprovisioning", self.overprovisioning, 100, MOST_WEIGHT, whole=True)
        _number("levels.panic", self.panic, 0, 100, whole=True)
        if not isinstance(self.spill, bool):
            raise ConfigError("levels.spill", f"{_shown(self.spill)} is not True or False")
        if self.locality is not None and (not isinstance(self.locality, str) or not self.locality):
            raise ConfigError("levels.locality", f"{_shown(self.locality)} is not the name of a label")
        if not isinstance(self.weights, Mapping):
            raise ConfigError("levels.weights", f"{_shown(self.weights)} is not a mapping")
        for name, weight in self.weights.items():
            _number(f"levels.weights[{name!r}]", weight, 0, MOST_WEIGHT, whole=True)
        _number("levels.default_weight", self.default_weight, 0, MOST_WEIGHT, whole=True)


@dataclass(frozen=True, slots=True)
class SlowStart:
    """A target that comes, or comes back, begins with little and has all of its weight after ``window`` seconds.

    Keyed policies place keys by the configured weights: with them nobody starts slowly.
    Its weight is multiplied by ``max(min_percent / 100, (age / window) ** (1 / aggression))``, in 16 steps.
    Source: Envoy's slow start.
    """

    window: float
    aggression: float = 1.0
    min_percent: float = 10.0

    def __post_init__(self) -> None:
        _number("slow_start.window", self.window, 0.001, 86400)
        _number("slow_start.aggression", self.aggression, 0.01, 100)
        _number("slow_start.min_percent", self.min_percent, 0, 100)

    @property
    def steps(self) -> tuple[int, ...]:
        """The factor of each sixteenth of the window, in 65536ths: that of its beginning."""
        least = self.min_percent / 100
        factors = (max(least, (i / STEPS) ** (1 / self.aggression)) for i in range(STEPS))
        return tuple(min(65536, max(1, round(65536 * factor))) for factor in factors)


@dataclass(frozen=True, slots=True)
class Shared:
    """State that the worker processes of a host share: in-flight calls, health, turns of schedules, drains.

    ``name``: 1 to 64 of ``A-Z a-z 0-9 . _ -``; all who give the same name on one host, as one user, share.
    ``shared_dir``: where its file is; None: ``/dev/shm`` where there is one, else the directory of temporary files.
    ``max_targets`` and ``max_workers``: its capacity, the same for all (the file is sparse: what is unused costs nothing).
    """

    name: str
    shared_dir: str | None = None
    max_targets: int = 16384
    max_workers: int = 64

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ConfigError("shared", f"{_shown(self.name)} is not a name of 1 to 64 of A-Z a-z 0-9 . _ -")
        if self.shared_dir is not None and (not isinstance(self.shared_dir, str) or not self.shared_dir):
            raise ConfigError("shared.shared_dir", f"{_shown(self.shared_dir)} is not the path of a directory")
        _number("shared.max_targets", self.max_targets, 16, 2**20, whole=True)
        _number("shared.max_workers", self.max_workers, 1, 64, whole=True)

    @property
    def directory(self) -> str:
        """The directory that is meant."""
        if self.shared_dir is not None:
            return self.shared_dir
        if os.path.isdir("/dev/shm"):  # noqa: S108: memory, where /tmp may be a disk
            return "/dev/shm"  # noqa: S108
        import tempfile

        return tempfile.gettempdir()
