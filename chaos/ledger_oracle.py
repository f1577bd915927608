"""The claims of the services on `pipeline.ledger`, as sets of ids: to follow a run, and to verify it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from shared.id_ranges import IdRanges
from shared.ledger import KINDS_OF_TIMES, LedgerSeries
from shared.messages import LedgerMessage

_EXCUSES: Final = frozenset(("halted", "offline"))
# Detail of a `gap`: bars without trades, which the exchange does not issue.
NO_TRADES: Final = "no trades"
_COUNTED: Final = frozenset(("klines", "trades"))


class Hole(NamedTuple):
    """Expected ids `first` to `last` of a series that are not stored."""

    series: LedgerSeries
    first: int
    last: int


class Claims:
    """Sets of ids by series and kind, and by `NO_TRADES`; ids of bars are open times divided by the interval.

    Attributes:
        events: number of events by (stream, kind).
    """

    def __init__(self) -> None:
        self.events: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._ids: defaultdict[LedgerSeries, defaultdict[str, IdRanges]] = defaultdict(
            lambda: defaultdict(IdRanges)
        )

    def receive(self, message: LedgerMessage) -> None:
        self.events[message["stream"], message["kind"]] += 1
        if message["stream"] in _COUNTED and message["kind"] not in KINDS_OF_TIMES:
            interval = message["interval"] or ""
            series = LedgerSeries(message["exchange"], message["symbol"], message["stream"], interval)
            first, last = message["first"] // series.unit, message["last"] // series.unit
            self._ids[series][message["kind"]].add(first, last)
            if message["detail"] == NO_TRADES:
                self._ids[series][NO_TRADES].add(first, last)

    def series(self) -> tuple[LedgerSeries, ...]:
        return tuple(self._ids)

    def ids(self, series: LedgerSeries, kind: str) -> IdRanges:
        return self._ids[series][kind]

    def missing(self, series: LedgerSeries) -> IdRanges:
        """Expected, not stored, and not excused."""
        kinds = self._ids[series]
        left = kinds["expected"].difference(kinds["stored"])
        for excuse in _EXCUSES:
            left = left.difference(kinds[excuse])
        return left

    def altered_bars(self) -> dict[tuple[str, str], IdRanges]:
        """Bars reported as revised or incomplete, by symbol and interval."""
        return {
            (series.symbol, series.interval): IdRanges(
                [*self._ids[series]["revised"], *self._ids[series]["incomplete"]]
            )
            for series in self.series()
            if series.stream == "klines"
        }

    def holes(self) -> Iterator[Hole]:
        """Awaited ids below a stored one; ids above are still on their way to the store."""
        for series in self.series():
            newest = max((last for _, last in self._ids[series]["stored"]), default=None)
            if newest is not None:
                for first, last in self._awaited(series):
                    if first < newest:
                        yield Hole(series, first, min(last, newest))

    def awaited_count(self) -> int:
        """Ids that may still be stored: missing, not lost."""
        return sum(self._awaited(series).id_count() for series in self.series())

    def _awaited(self, series: LedgerSeries) -> IdRanges:
        return self.missing(series).difference(self._ids[series]["lost"])
