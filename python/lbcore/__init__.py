"""lbcore: the load-balancing and routing engine that Python gateways, proxies and clients embed.

The names below are the public ones.  Importing costs the extension and the exceptions only; the engine and the
configuration formats come with their first use.
"""

from __future__ import annotations

from lbcore._core import (
    Answer,
    Backend,
    Call,
    Event,
    Hashed,
    Match,
    Param,
    Policy,
    Regex,
    Route,
    Router,
    Split,
    Subset,
    Target,
    Upstream,
    hash_bytes,
    hashes,
    policies,
    policy,
)
from lbcore._core import core_version as __version__
from lbcore.errors import (
    BadRequest,
    ConfigError,
    ConfigWarning,
    LbcoreError,
    NoKey,
    NoRoute,
    NoTarget,
    Problem,
)

TYPE_CHECKING = (
    False  # what type checkers read as True; importing typing would double the cost of importing lbcore
)
if TYPE_CHECKING:
    from typing import Any

    from lbcore.affinity import Affinity
    from lbcore.config import load
    from lbcore.engine import Engine
    from lbcore.healthrules import ActiveChecks, Health, Outlier, PassiveChecks
    from lbcore.keys import KeySource
    from lbcore.options import Levels, Limits, Shared, SlowStart

__all__ = [
    "ActiveChecks",
    "Affinity",
    "Answer",
    "Backend",
    "BadRequest",
    "Call",
    "ConfigError",
    "ConfigWarning",
    "Engine",
    "Event",
    "Hashed",
    "Health",
    "KeySource",
    "LbcoreError",
    "Levels",
    "Limits",
    "Match",
    "NoKey",
    "NoRoute",
    "NoTarget",
    "Outlier",
    "Param",
    "PassiveChecks",
    "Policy",
    "Problem",
    "Regex",
    "Route",
    "Router",
    "Shared",
    "SlowStart",
    "Split",
    "Subset",
    "Target",
    "Upstream",
    "__version__",
    "hash_bytes",
    "hashes",
    "load",
    "policies",
    "policy",
]

_LATER = {
    "ActiveChecks": "lbcore.healthrules",
    "Affinity": "lbcore.affinity",
    "Engine": "lbcore.engine",
    "Health": "lbcore.healthrules",
    "KeySource": "lbcore.keys",
    "Levels": "lbcore.options",
    "Limits": "lbcore.options",
    "Outlier": "lbcore.healthrules",
    "PassiveChecks": "lbcore.healthrules",
    "Shared": "lbcore.options",
    "SlowStart": "lbcore.options",
    "load": "lbcore.config",
}


_ROOMS = ("adapters", "aio", "discovery", "filters", "health", "observe", "testing")  # as attributes


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        from importlib import import_module

        return import_module(f"lbcore.{name}")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(_LATER[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
