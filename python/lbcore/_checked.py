"""Whether a value is what a setting wants: errors name the field, the value and what is allowed."""

from __future__ import annotations

from lbcore.errors import ConfigError


def number(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Raise ConfigError unless ``value`` is a number in ``low..high``; a truth value is none."""
    kind = "a whole number" if whole else "a number"
    fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not fits or not low <= value <= high:  # type: ignore[operator]
        raise ConfigError(name, f"{shown(value)} is not {kind} in {low:g}..{high:g}")


def flag(name: str, value: object) -> None:
    """Raise ConfigError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise ConfigError(name, f"{shown(value)} is not True or False")


def shown(value: object) -> str:
    """The value for a message, in at most 80 characters."""
    text = repr(value) if not isinstance(value, int) or -(10**30) < value < 10**30 else "a huge number"
    return text if len(text) <= 80 else text[:77] + "..."
