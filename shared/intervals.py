"""Kline intervals of fixed length, from 1s to 1d (BINANCE_SPOT.md §4.5, §9).

Open times are multiples of the interval since the epoch, UTC. `3d`, `1w` and `1M` have other calendars and
are not supported.
"""

from __future__ import annotations

from typing import Final

INTERVAL_MS: Final[dict[str, int]] = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}


def interval_ms(interval: str) -> int:
    """Length of an interval in milliseconds; KeyError for another name."""
    return INTERVAL_MS[interval]


def open_time_ms(interval: str, time_ms: int) -> int:
    """Open time of the bar that contains `time_ms`."""
    return time_ms - time_ms % INTERVAL_MS[interval]
