"""Which series and which time a report is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consumers.ledger_events import LedgerSeries

MINUTE_MS: Final = 60_000
_MS: Final = 10**6


@dataclass(frozen=True, slots=True)
class Span:
    """A choice of series and time; the ledger dates trades by minutes, so the time is whole minutes.

    Attributes:
        from_ms: inclusive, None from the beginning.
        to_ms: exclusive, None to the end.
    """

    symbol: str | None = None
    stream: str | None = None
    interval: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None

    @classmethod
    def of(
        cls,
        symbol: str | None = None,
        stream: str | None = None,
        interval: str | None = None,
        *,
        from_ns: int | None = None,
        to_ns: int | None = None,
    ) -> Span:
        """A span whose times are widened to whole minutes."""
        return cls(
            symbol.upper() if symbol else None,
            stream,
            interval,
            None if from_ns is None else from_ns // _MS // MINUTE_MS * MINUTE_MS,
            None if to_ns is None else -(-to_ns // _MS // MINUTE_MS) * MINUTE_MS,
        )

    @property
    def timed(self) -> bool:
        return self.from_ms is not None or self.to_ms is not None

    @property
    def from_ns(self) -> int | None:
        return None if self.from_ms is None else self.from_ms * _MS

    @property
    def to_ns(self) -> int | None:
        return None if self.to_ms is None else self.to_ms * _MS

    def holds(self, series: LedgerSeries) -> bool:
        return (
            self.symbol in (None, series.symbol)
            and self.stream in (None, series.stream)
            and self.interval in (None, series.interval)
        )

    def holds_time(self, time_ms: int) -> bool:
        after = self.from_ms is None or time_ms >= self.from_ms
        return after and (self.to_ms is None or time_ms < self.to_ms)

    def overlaps(self, from_ms: int | None, to_ms: int | None) -> bool:
        """Whether some of a time may be asked for; None for an end that is open."""
        begins = to_ms is None or self.from_ms is None or to_ms > self.from_ms
        return begins and (from_ms is None or self.to_ms is None or from_ms < self.to_ms)
