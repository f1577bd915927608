"""Records of `pipeline.ledger`, their series, and events pending for a checkpoint (DESIGN §4.2, §5.3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Self, cast

from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.messages import LedgerMessage, Source
from shared.models import SCHEMA_VERSION, LedgerKind, LedgerStream

# Kinds whose first and last are times, in ms, and that count no ids.
KINDS_OF_TIMES: Final = frozenset(("uncarried", "stopped"))


class LedgerSeries(NamedTuple):
    """A counted series; `interval` is "" for all but klines."""

    exchange: str
    symbol: str
    stream: LedgerStream
    interval: str = ""

    @classmethod
    def of(cls, message: LedgerMessage) -> Self:
        """The series that a record is about."""
        return cls(message["exchange"], message["symbol"], message["stream"], message["interval"] or "")

    @classmethod
    def named(cls, exchange: str, symbol: str, stream: str, interval: str) -> Self:
        """The series with these tags of the store, which were checked by the ledger's consumer."""
        return cls(exchange, symbol, cast(LedgerStream, stream), interval)

    @classmethod
    def of_stream(cls, exchange: str, symbol: str, stream: str) -> Self:
        """The series of a stream that is named with its interval, like "klines 1m"."""
        name, _, interval = stream.partition(" ")
        return cls.named(exchange, symbol, name, interval)

    @property
    def unit(self) -> int:
        """Distance of neighbouring ids in `first` and `last`, which are open times for klines."""
        return INTERVAL_MS[self.interval] if self.interval else 1


def ledger_record(
    series: LedgerSeries,
    kind: LedgerKind,
    first: int,
    last: int,
    *,
    event_time_ms: int | None,
    received_time_ms: int,
    source: Source,
    detail: str | None = None,
) -> LedgerMessage:
    """A record about the ids `first` to `last`, both inclusive (open times for klines)."""
    return {
        "schema": SCHEMA_VERSION,
        "exchange": series.exchange,
        "symbol": series.symbol,
        "event_time_ms": event_time_ms,
        "received_time_ms": received_time_ms,
        "source": source,
        "stream": series.stream,
        "interval": series.interval or None,
        "kind": kind,
        "first": first,
        "last": last,
        "count": 0 if kind in KINDS_OF_TIMES else (last - first) // series.unit + 1,
        "detail": detail,
    }


class PendingEvents:
    """A consumer's ledger events of its next checkpoint: sets of ids by (series, kind, detail).

    Memory grows with the holes in them, not with the ids.
    """

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: defaultdict[tuple[LedgerSeries, LedgerKind, str | None], IdRanges] = defaultdict(IdRanges)

    def add(
        self, series: LedgerSeries, kind: LedgerKind, first: int, last: int, detail: str | None = None
    ) -> None:
        """Add the ids `first` to `last`, both inclusive."""
        self._ids[series, kind, detail].add(first, last)

    def add_ranges(
        self,
        series: LedgerSeries,
        kind: LedgerKind,
        ranges: Iterable[tuple[int, int]],
        detail: str | None = None,
    ) -> None:
        for first, last in ranges:
            self.add(series, kind, first, last, detail)

    def update(self, other: PendingEvents) -> None:
        for (series, kind, detail), ids in other._ids.items():
            self.add_ranges(series, kind, ids, detail)

    def remove(self, series: LedgerSeries, kind: LedgerKind, item: int) -> None:
        """Remove one id, whose point the store rejected."""
        for (of_series, of_kind, _), ids in self._ids.items():
            if of_series == series and of_kind == kind:
                ids.remove(item, item)

    def messages(self, now_ms: int) -> Iterator[LedgerMessage]:
        """One message per contiguous range."""
        for (series, kind, detail), ids in self._ids.items():
            for first, last in ids:
                yield ledger_record(
                    series,
                    kind,
                    first * series.unit,
                    last * series.unit,
                    event_time_ms=None,
                    received_time_ms=now_ms,
                    source="stream",
                    detail=detail,
                )

    def clear(self) -> None:
        self._ids.clear()

    def __bool__(self) -> bool:
        return any(self._ids.values())
