"""The bar that indicators are computed from."""

from __future__ import annotations

from typing import NamedTuple


class Bar(NamedTuple):
    """One bar of one series; a series has them in order and without a hole.

    Attributes:
        open_time_ms: milliseconds since the epoch, UTC; carried along, never used in a computation.
        open, high, low, close: prices in the quote asset, low ≤ open, close ≤ high.
        volume: traded quantity in the base asset, ≥ 0.
    """

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
