"""When the exchange was closed for a symbol, as far as exchangeInfo said so (BINANCE_SPOT.md §10)."""

from __future__ import annotations

from collections import deque
from typing import Final

from shared.id_ranges import IdRanges

TRADING: Final = "TRADING"
# Status is polled, so a halt may have begun or ended up to one poll earlier or later than seen.
_SLACK_MS: Final = 240_000
_SPANS: Final = 1_000


class Halts:
    """Spans of time in which the status was another than TRADING."""

    def __init__(self) -> None:
        self._spans: deque[tuple[int, int]] = deque(maxlen=_SPANS)
        self._since_ms: int | None = None
        self._asked = False
        self._latest_ms = 0

    @property
    def halted(self) -> bool:
        return self._since_ms is not None

    def receive_status(self, status: str, time_ms: int) -> None:
        """Take the status of exchangeInfo at `time_ms`."""
        self._latest_ms = time_ms
        if status != TRADING and self._since_ms is None:
            # Closed already when first asked: nobody knows since when.
            self._since_ms = time_ms - _SLACK_MS if self._asked else 0
        elif status == TRADING and self._since_ms is not None:
            self._spans.append((self._since_ms, time_ms + _SLACK_MS))
            self._since_ms = None
        self._asked = True

    def halted_bars(self, first: int, last: int, interval_ms: int) -> IdRanges:
        """Bars with open times `first` to `last` that fall into a halt, as ids `open time // interval`."""
        bars = IdRanges()
        spans = list(self._spans)
        if self._since_ms is not None:
            spans.append((self._since_ms, self._latest_ms + _SLACK_MS))
        for begin_ms, end_ms in spans:
            begin = max(first, begin_ms - begin_ms % interval_ms)
            end = min(last, end_ms)
            if begin <= end:
                bars.add(begin // interval_ms, end // interval_ms)
        return bars
