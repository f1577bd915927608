"""Arithmetic as in IEEE 754 and numpy, where Python raises, or depends on its version."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from math import copysign, inf, isnan, log, nan


def added_in_order(values: Iterable[float]) -> float:
    """The sum from first to last, each addition rounded."""
    total = 0.0
    for value in values:
        total += value
    return total


# The same on every Python: from 3.12 on `sum` carries rounding errors along, so that the last bits differ. A
# series' state may outlive the interpreter that began it. In 3.11 `sum` does what the loop does, in half the
# time.
sum_in_order: Callable[[Iterable[float]], float] = added_in_order if sys.version_info >= (3, 12) else sum


def over_zero(numerator: float) -> float:
    """numerator / 0.0: NaN for 0/0, else ±inf. Callers write `a / b if b else over_zero(a)`."""
    if numerator == 0.0 or isnan(numerator):
        return nan
    return copysign(inf, numerator)


def logarithm(value: float) -> float:
    """Natural logarithm; -inf of zero, NaN below it."""
    if value > 0.0:
        return log(value)
    return -inf if value == 0.0 else nan
