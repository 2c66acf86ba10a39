"""The twin of ``base/decay.c``: exp(-x), bit for bit; the table and the constants come from 60 decimal digits."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

with localcontext() as _digits:
    _digits.prec = 60
    POWERS = [float(Decimal(2) ** (Decimal(-j) / 64)) for j in range(64)]
    _step = Decimal(2).ln() / 64
    STEPS_PER_UNIT = float(1 / _step)
    STEP_HIGH = math.floor(float(_step) * 2**40) / 2**40
    STEP_LOW = float(_step - Decimal(STEP_HIGH))


def decay(x: float) -> float:
    """Return exp(-x) within 3e-16 of it; 1 where x is not above 0, 0 above 700."""
    if not x > 0:
        return 1.0
    if x > 700:
        return 0.0
    n = round(x * STEPS_PER_UNIT)
    r = (x - n * STEP_HIGH) - n * STEP_LOW
    square = r * r
    series = square * ((0.5 - r * (1 / 6)) + square * (1 / 24 - r * (1 / 120))) - r
    whole = POWERS[n % 64] * 2.0 ** -(n // 64)
    return whole + whole * series


def decay_between(earlier_ns: int, later_ns: int, rate: float) -> float:
    """Return what is left after the time between two moments; 1 where the later one is not later."""
    return decay(float(later_ns - earlier_ns) * rate) if later_ns > earlier_ns else 1.0
