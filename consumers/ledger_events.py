"""What consumers tell the ledger: ranges of ids, gathered until the next checkpoint (DESIGN §4.2, §5.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.messages import LedgerMessage
from shared.models import SCHEMA_VERSION


class LedgerSeries(NamedTuple):
    """A counted series; `interval` is "" for all but klines."""

    exchange: str
    symbol: str
    stream: str
    interval: str = ""

    @property
    def unit(self) -> int:
        """What one id is worth in the ledger's `first` and `last`: open times for klines."""
        return INTERVAL_MS[self.interval] if self.interval else 1


class PendingEvents:
    """Sets of ids by (series, kind, detail). Memory grows with the holes in them, not with the ids."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[tuple[LedgerSeries, str, str | None], IdRanges] = {}

    def add(self, series: LedgerSeries, kind: str, first: int, last: int, detail: str | None = None) -> None:
        """Enter the ids `first` to `last`, both inclusive."""
        key = (series, kind, detail)
        ids = self._ids.get(key)
        if ids is None:
            ids = self._ids[key] = IdRanges()
        ids.add(first, last)

    def add_ranges(
        self, series: LedgerSeries, kind: str, ranges: Iterable[tuple[int, int]], detail: str | None = None
    ) -> None:
        for first, last in ranges:
            self.add(series, kind, first, last, detail)

    def update(self, other: PendingEvents) -> None:
        for (series, kind, detail), ids in other._ids.items():
            self.add_ranges(series, kind, ids, detail)

    def remove(self, series: LedgerSeries, kind: str, item: int) -> None:
        """Take one id back: the store refused its point."""
        for (of_series, of_kind, _), ids in self._ids.items():
            if of_series == series and of_kind == kind:
                ids.remove(item, item)

    def messages(self, now_ms: int) -> Iterator[LedgerMessage]:
        """One message per contiguous range."""
        for (series, kind, detail), ids in self._ids.items():
            for first, last in ids:
                yield _message(series, kind, (first, last), detail, now_ms=now_ms)

    def clear(self) -> None:
        self._ids.clear()

    def __bool__(self) -> bool:
        return any(self._ids.values())


def _message(
    series: LedgerSeries, kind: str, ids: tuple[int, int], detail: str | None, *, now_ms: int
) -> LedgerMessage:
    first, last = ids
    return {
        "schema": SCHEMA_VERSION,
        "exchange": series.exchange,
        "symbol": series.symbol,
        "event_time_ms": None,
        "received_time_ms": now_ms,
        "source": "stream",
        "stream": series.stream,
        "interval": series.interval or None,
        "kind": kind,
        "first": first * series.unit,
        "last": last * series.unit,
        "count": last - first + 1,
        "detail": detail,
    }
