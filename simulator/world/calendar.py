"""Open times of bars: all of Binance's intervals, in UTC or shifted by a time zone (BINANCE_SPOT.md §9)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from shared.intervals import INTERVAL_MS

_DAY_MS: Final = 86_400_000
# (length, open time of one bar): weeks open on Mondays, and the epoch was a Thursday; three-day bars have
# days since the epoch mod 3 == 1.
_LONG: Final = {"3d": (3 * _DAY_MS, _DAY_MS), "1w": (7 * _DAY_MS, 4 * _DAY_MS)}
INTERVALS: Final = (*INTERVAL_MS, *_LONG, "1M")


def bar_open(interval: str, time_ms: int, offset_ms: int = 0) -> int:
    """Open time of the bar that contains a time.

    Args:
        offset_ms: the time zone's offset from UTC; bars follow its local time.
    """
    local = time_ms + offset_ms
    if interval == "1M":
        moment = datetime.fromtimestamp(local // 1000, UTC)
        return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1000 - offset_ms
    length, phase = _LONG.get(interval) or (INTERVAL_MS[interval], 0)
    return local - (local - phase) % length - offset_ms


def bar_end(interval: str, open_ms: int, offset_ms: int = 0) -> int:
    """Open time of the next bar."""
    if interval == "1M":
        # Any instant of the following month: 32 days after a first day.
        return bar_open(interval, open_ms + 32 * _DAY_MS, offset_ms)
    return open_ms + (_LONG[interval][0] if interval in _LONG else INTERVAL_MS[interval])


def is_beside(interval: str, open_time_ms: int) -> bool:
    """Whether a bar opens beside the grid of its interval, as in archives of early 2018."""
    # Longer intervals have no fixed grid (BINANCE_SPOT.md §9).
    step = INTERVAL_MS.get(interval)
    return step is not None and open_time_ms % step != 0


def bar_edges(interval: str, first_open: int, count: int, offset_ms: int = 0) -> list[int]:
    """Open times of `count` consecutive bars and the end of the last: `count` + 1 times."""
    edges = [first_open]
    for _ in range(count):
        edges.append(bar_end(interval, edges[-1], offset_ms))
    return edges


def opens_before(interval: str, open_ms: int, count: int, offset_ms: int = 0) -> int:
    """Open time of the bar `count` bars before the one that opens at `open_ms`."""
    if interval in _LONG or interval in INTERVAL_MS:
        length = bar_end(interval, open_ms, offset_ms) - open_ms
        return open_ms - count * length
    for _ in range(count):
        open_ms = bar_open(interval, open_ms - 1, offset_ms)
    return open_ms
