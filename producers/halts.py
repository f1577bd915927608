"""When the exchange was closed for a symbol, as far as exchangeInfo said so (BINANCE_SPOT.md §10)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from shared.id_ranges import IdRanges

TRADING: Final = "TRADING"
# Status is polled, so a halt may have begun or ended up to one poll earlier or later than seen.
_SLACK_MS: Final = 240_000
_SPANS: Final = 1_000


class Halts:
    """Spans of time in which the status was another than TRADING."""

    def __init__(self) -> None:
        # (first look that said so, first look that no longer did)
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
            self._since_ms = time_ms if self._asked else 0
        elif status == TRADING and self._since_ms is not None:
            self._spans.append((self._since_ms, time_ms))
            self._since_ms = None
        self._asked = True

    def seen_closed(self, first_ms: int, last_ms: int) -> bool:
        """Whether a look between these times, both inclusive, said closed."""
        return any(begin_ms <= last_ms and end_ms >= first_ms for begin_ms, end_ms in self._seen())

    def halted_bars(self, first: int, last: int, interval_ms: int) -> IdRanges:
        """Bars with open times `first` to `last` that fall into a halt, as ids `open time // interval`."""
        bars = IdRanges()
        for begin_ms, end_ms in self._seen():
            first_ms = max(0, begin_ms - _SLACK_MS)
            begin = max(first, first_ms - first_ms % interval_ms)
            end = min(last, end_ms + _SLACK_MS)
            if begin <= end:
                bars.add(begin // interval_ms, end // interval_ms)
        return bars

    def _seen(self) -> Iterator[tuple[int, int]]:
        yield from self._spans
        if self._since_ms is not None:
            yield self._since_ms, self._latest_ms
