"""Arithmetic as in IEEE 754 and numpy, where Python raises."""

from __future__ import annotations

from math import copysign, inf, isnan, log, nan


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
