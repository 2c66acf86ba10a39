"""The twin of ``base/octaves.h``: the logarithm to base 2 with straight lines between the powers of two."""

from __future__ import annotations

import math


def octaves(x: float) -> float:
    """Return the exponent of ``x`` > 0 and, of the way to the next power of two, the share that lies behind."""
    mantissa, exponent = math.frexp(x)  # mantissa in [0.5, 1)
    return (exponent - 1 + 1023 + (2 * mantissa - 1)) - 1023


def of_octaves(count: float) -> float:
    """Return the number of so many octaves: as bits, so what is below the last of them is cut off."""
    shifted = count + 1023
    whole = math.floor(shifted)
    cut = math.floor((shifted - whole) * 2.0**52) / 2.0**52
    return math.ldexp(1 + cut, whole - 1023)
