"""How often rows of a series come, and from when on it is stale: 3 × its pace after its newest row.

| series | pace |
|---|---|
| `kline`, `indicator` | the interval; stale once the next bar is late by twice that, at most by a minute |
| `open_bar`, `kline_live`, `indicator_live` | 2 s, as the exchange updates them |
| `trade`, `quote`, `book`, `levels` | as they came lately, at least 1 s |
| `trade_summary` | as they came lately, at least the interval |
| `service`, `freshness`; `ledger` | 10 s; a minute |
| `carriage`, `instrument` | none: a row is a change |
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from consumers.tap.port import LiveRow
from consumers.tap.series import LiveKind
from shared.intervals import INTERVAL_MS

FACTOR: Final = 3
_FIXED_MS: Final = {
    "open_bar": 2_000,
    "kline_live": 2_000,
    "indicator_live": 2_000,
    "service": 10_000,
    "freshness": 10_000,
    "ledger": 60_000,
}
_LEAST_MS: Final = 1_000
_CLOSED_BARS: Final = frozenset(("kline", "indicator"))
_LATEST_BAR_MS: Final = 60_000
# Enough for a steady mean, few enough to follow a market that calms down.
_SAMPLES: Final = 32


class Pace:
    """Of one series.

    Attributes:
        newest_ms: the exchange's time of the newest row, a bar's close; None before the first.
    """

    def __init__(self, kind: LiveKind, tags: tuple[str, ...]) -> None:
        self._bar_ms = 0
        if "interval" in kind.tags:
            self._bar_ms = INTERVAL_MS.get(tags[kind.tags.index("interval")], 0)
        self._by_close = kind.name in _CLOSED_BARS and self._bar_ms > 0
        self._fixed_ms = _FIXED_MS.get(kind.name)
        self._never = kind.name in ("carriage", "instrument")
        self._least_ms = max(_LEAST_MS, self._bar_ms if kind.name == "trade_summary" else 0)
        self.newest_ms: int | None = None
        self._seconds: deque[int] = deque(maxlen=_SAMPLES)

    def add(self, rows: Sequence[LiveRow], now_ms: int) -> None:
        """Rows came; a time ahead of our clock counts as now."""
        for row in rows:
            time_ms = row.time_ns // 1_000_000 + self._bar_ms if self._by_close else row.event_ms
            time_ms = min(time_ms, now_ms)
            if self.newest_ms is None or time_ms > self.newest_ms:
                self.newest_ms = time_ms
            # Many rows within a second are one sign of life: bursts must not make a pause look long.
            if not self._seconds or time_ms >= self._seconds[-1] + _LEAST_MS:
                self._seconds.append(time_ms)

    @property
    def pace_ms(self) -> float:
        """Milliseconds between two rows."""
        if self._by_close:
            return self._bar_ms
        if self._fixed_ms is not None:
            return self._fixed_ms
        if len(self._seconds) < 2:
            return self._least_ms
        mean = (self._seconds[-1] - self._seconds[0]) / (len(self._seconds) - 1)
        return max(mean, self._least_ms)

    def stale_at(self, begun_ms: int) -> float | None:
        """When the series becomes stale if nothing comes; None for never.

        Args:
            begun_ms: since when we wait, for a series without rows.
        """
        if self._never:
            return None
        if self._by_close:
            late_ms = min((FACTOR - 1) * self._bar_ms, _LATEST_BAR_MS)
            return (begun_ms if self.newest_ms is None else self.newest_ms) + self._bar_ms + late_ms
        return (begun_ms if self.newest_ms is None else self.newest_ms) + FACTOR * self.pace_ms
