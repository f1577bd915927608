"""The bar, input of the indicators."""

from __future__ import annotations

from typing import NamedTuple


class Bar(NamedTuple):
    """One bar of a series; bars come in order and without gaps.

    Attributes:
        open_time_ms: milliseconds since the epoch, UTC; not used in computations.
        open, high, low, close: prices in the quote asset, low ≤ open, close ≤ high.
        volume: traded quantity in the base asset, ≥ 0.
    """

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
