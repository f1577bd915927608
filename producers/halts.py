"""When the exchange was closed for a symbol, by its own word (`Rest.statuses`). Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from producers.exchanges.rest_port import TRADING
from shared.id_ranges import IdRanges

# Longest time between two polls of the status: a halt may have begun one poll before it was seen.
_SLACK_MS: Final = 240_000
_SPANS: Final = 1_000


class _Span(NamedTuple):
    """A halt by polls of the status.

    Attributes:
        after_ms: the halt may have begun from here on; 0 if there was no earlier poll.
        first_ms, last_ms: the first and the last poll that said closed.
        before_ms: the poll that said open again; of a halt that goes on, the newest poll.
    """

    after_ms: int
    first_ms: int
    last_ms: int
    before_ms: int


class Halts:
    """Spans of time in which the status was not TRADING.

    Attributes:
        status: the newest one; None before the first.
    """

    def __init__(self) -> None:
        self._spans: deque[_Span] = deque(maxlen=_SPANS)
        self._open: _Span | None = None  # the halt that goes on
        self._latest_ms: int | None = None  # the newest poll
        self.status: str | None = None
        self._recorded: Sequence[tuple[int, int]] = ()

    @property
    def halted(self) -> bool:
        return self._open is not None

    def receive_status(self, status: str, time_ms: int) -> None:
        """Take the status of `Rest.statuses` at `time_ms`."""
        latest_ms, self._latest_ms = self._latest_ms, time_ms
        self.status = status
        if status != TRADING:
            if self._open is None:
                # Closed at the first poll: its begin is unknown.
                after_ms = 0 if latest_ms is None else max(latest_ms, time_ms - _SLACK_MS)
                self._open = _Span(after_ms, time_ms, time_ms, time_ms)
            self._open = self._open._replace(last_ms=time_ms, before_ms=time_ms)
        elif self._open is not None:
            self._spans.append(self._open._replace(before_ms=time_ms))
            self._open = None

    def receive_recorded(self, spans: Sequence[tuple[int, int]]) -> None:
        """Take when a recorded exchange has no bars: first and last millisecond of each span, in order."""
        self._recorded = spans

    def seen_closed(self, first_ms: int, last_ms: int) -> bool:
        """Whether a poll between these times, both inclusive, said closed."""
        return any(
            (span.first_ms if span.after_ms else 0) <= last_ms and span.before_ms >= first_ms
            for span in self._seen()
        )

    def halted_bars(self, first: int, last: int, interval_ms: int) -> IdRanges:
        """Bars with open times `first` to `last` that may fall into a halt, by `open time // interval`."""
        bars = IdRanges()
        for span in self._seen():
            begin = max(first, span.after_ms - span.after_ms % interval_ms)
            end = min(last, span.before_ms + (_SLACK_MS if span is self._open else 0))
            if begin <= end:
                bars.add(begin // interval_ms, end // interval_ms)
        self._add_recorded(bars, first, last, interval_ms)
        return bars

    def closed_bars(self, first: int, last: int, interval_ms: int) -> IdRanges:
        """Bars that surely fall into a halt: seen closed before and after, or absent from a recording."""
        bars = IdRanges()
        for span in self._seen():
            begin = max(first // interval_ms, -(-span.first_ms // interval_ms))
            end = min(last // interval_ms, span.last_ms // interval_ms - 1)
            if begin <= end:
                bars.add(begin, end)
        self._add_recorded(bars, first, last, interval_ms)
        return bars

    def _add_recorded(self, bars: IdRanges, first: int, last: int, interval_ms: int) -> None:
        """Add bars that open in a gap of a recording, which is known to the millisecond."""
        for begin_ms, end_ms in self._recorded:
            if begin_ms > last:
                break
            begin, end = -(-max(first, begin_ms) // interval_ms), min(last, end_ms) // interval_ms
            if begin <= end:
                bars.add(begin, end)

    def _seen(self) -> Iterator[_Span]:
        yield from self._spans
        if self._open is not None:
            yield self._open
