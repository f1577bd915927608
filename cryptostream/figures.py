"""Figures for people: prices as they were quoted, what is computed with digits enough. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, log10
from typing import Final

# Of what is computed: fewer would hide a move of an indicator.
LEAST_DIGITS: Final = 5
# Numbers smaller than this are written with an exponent: people do not count zeros.
_SMALLEST_PLAIN: Final = 1e-4
# A float has no more than 17 digits; so far behind the point they are noise for all but the tiniest prices.
_MOST_DECIMALS: Final = 30


def decimals_of(value: float) -> int:
    """How many decimals the shortest form of a number has: those of a price as it was quoted."""
    mantissa, _, exponent = repr(value).partition("e")
    fraction = mantissa.partition(".")[2].rstrip("0")
    return min(_MOST_DECIMALS, max(0, len(fraction) - int(exponent or 0)))


def common_decimals(values: Iterable[float]) -> int:
    """The decimals with which each of these can be written, and compared by eye."""
    return max(map(decimals_of, values), default=0)


def price(value: float | None, decimals: int = 0) -> str:
    """A price with all its decimals, and as many more as its instrument is quoted with."""
    if value is None:
        return "–"
    return f"{value:,.{max(decimals, decimals_of(value))}f}"


def decimals_for(size: float, digits: int) -> int:
    """How many decimals a number of this size needs to show so many digits."""
    return max(0, digits - 1 - floor(log10(size))) if size else 0


def computed(value: float | None, decimals: int | None = None, digits: int = LEAST_DIGITS) -> str:
    """A computed value with at least so many significant digits, or all if it has fewer.

    Args:
        decimals: those of its column; a value that they would leave with fewer digits gets its own.
    """
    if value is None:
        return "–"
    size = abs(value)
    needed = min(decimals_for(size, digits), decimals_of(value))
    if decimals is not None and needed <= decimals:
        return f"{value:,.{decimals}f}"
    return f"{value:,.{needed}f}" if size >= _SMALLEST_PLAIN or not size else _with_exponent(value, digits)


def _with_exponent(value: float, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
