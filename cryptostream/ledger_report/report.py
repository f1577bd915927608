"""The report as plain values: which series and time, their completeness, notes, the recount."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.intervals import INTERVAL_MS
from shared.ledger import KINDS_OF_TIMES, LedgerSeries
from shared.messages import CARRIED_AGAIN, SYNCED_AGAIN

MINUTE_MS: Final = 60_000
_MS: Final = 10**6
# A producer says once a minute what is not carried; one that was killed does not say that it is again.
_SAID_AGAIN_MS: Final = 3 * MINUTE_MS
_UNFOLLOWED: Final = "nothing was expected or reported since, also not in the time asked for"

Range = tuple[int, int]


def name_of(series: LedgerSeries, *, several: bool = False) -> str:
    """Symbol, stream and interval, like "BTCUSDC klines 1m".

    Args:
        several: there are several exchanges, so that the name says which one is meant.
    """
    symbol = f"{series.exchange}:{series.symbol}" if several else series.symbol
    return " ".join(filter(None, (symbol, series.stream, series.interval)))


@dataclass(frozen=True, slots=True)
class Span:
    """Selects series and time, in whole minutes, since the ledger dates trades by minutes.

    Attributes:
        from_ms: inclusive, None from the beginning.
        to_ms: exclusive, None to the end.
    """

    symbol: str | None = None
    stream: str | None = None
    interval: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    exchange: str | None = None

    @classmethod
    def of(
        cls,
        symbol: str | None = None,
        stream: str | None = None,
        interval: str | None = None,
        *,
        exchange: str | None = None,
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
            exchange,
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
            self.exchange in (None, series.exchange)
            and self.symbol in (None, series.symbol)
            and self.stream in (None, series.stream)
            and self.interval in (None, series.interval)
        )

    def overlaps(self, from_ms: int | None, to_ms: int | None) -> bool:
        """Whether a time overlaps this one; None for an open end."""
        begins = to_ms is None or self.from_ms is None or to_ms > self.from_ms
        return begins and (from_ms is None or self.to_ms is None or from_ms < self.to_ms)


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """Completeness of one series.

    Attributes:
        stored, backfilled, halted, offline, duplicates: None if it is not known for this time; minute rows
            never tell `offline`.
        on_their_way: expected a moment ago and not stored yet; no loss.
        unknown: issued by the exchange's clock, and not reported by any producer. None if the source does
            not tell it.
        different: how many of the lost are stored bars whose values their trades contradict; minute rows do
            not tell them apart.
        lost_ranges: trade ids, or open times in ms; from minute rows the minutes of the lost ids.
        by_minutes: `lost_ranges` are minutes.
    """

    series: LedgerSeries
    expected: int
    stored: int | None
    backfilled: int | None
    halted: int | None
    offline: int | None
    lost: int
    duplicates: int | None
    lost_ranges: tuple[Range, ...] = ()
    on_their_way: int = 0
    by_minutes: bool = False
    unknown: int | None = None
    different: int = 0

    @staticmethod
    def order(series: LedgerSeries) -> tuple[str, str, int, str]:
        """Sort key: by exchange and symbol, trades first, then the intervals by length."""
        return series.exchange, series.symbol, INTERVAL_MS.get(series.interval, 0), series.stream


@dataclass(frozen=True, slots=True)
class Unknown:
    """A time of these series (of all, if none is named) that is not covered by any report.

    Attributes:
        since_ms: by the exchange's time; None if it has no beginning.
        until_ms: None until now.
    """

    series: tuple[LedgerSeries, ...]
    since_ms: int | None
    until_ms: int | None
    why: str


def unfollowed(ends: Mapping[LedgerSeries, int | None]) -> list[Unknown]:
    """What is unknown of a time that begins after all of its series end, by instrument.

    Args:
        ends: until when each series was followed, ms; None if that is not known.
    """
    found: dict[tuple[str, str], list[LedgerSeries]] = {}
    for series in sorted(ends, key=SeriesReport.order):
        found.setdefault((series.exchange, series.symbol), []).append(series)
    return [
        Unknown(tuple(of), max(filter(None, map(ends.get, of)), default=None), None, _UNFOLLOWED)
        for of in found.values()
    ]


def uncarried_to_ms(last_ms: int, as_of_ms: int | None) -> int | None:
    """The end, itself not included, of a time in which a stream was not carried; None if it goes on.

    Args:
        last_ms: when it was said last that the stream is not carried.
        as_of_ms: the exchange's time of the report; None if it is not known.
    """
    has_gone_on = as_of_ms is None or last_ms >= as_of_ms - _SAID_AGAIN_MS
    return None if has_gone_on else last_ms + 1


class Note(NamedTuple):
    """A finding in the ledger; ids as in the event, time in ms if it has one."""

    series: LedgerSeries
    kind: str
    first: int
    last: int
    time_ms: int | None
    detail: str | None

    @property
    def begin_ms(self) -> int | None:
        """The exchange's time at which it begins; None if that is not known."""
        return self.first if self._is_of_times else self.time_ms

    @property
    def end_ms(self) -> int | None:
        """The end of that time, as far as this event tells it; itself not included."""
        last_ms = self.last if self._is_of_times else self.time_ms
        return None if last_ms is None else last_ms + 1

    @property
    def _is_of_times(self) -> bool:
        return self.kind in KINDS_OF_TIMES or self.series.interval != ""

    @property
    def goes_on(self) -> bool:
        """The stream was not carried, or the book not synced, and this event does not end that."""
        if self.kind == "uncarried":
            return not (self.detail or "").endswith(CARRIED_AGAIN)
        return self.kind == "unsynced" and not (self.detail or "").startswith(SYNCED_AGAIN)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A number of points, and their ids (open times for bars, minutes if the claims are by minutes)."""

    count: int = 0
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Recount:
    """The points of a series in the store, compared with the ledger's claims.

    Attributes:
        checked: the number of claimed ids.
        missing: claimed as stored, but the store has no `trade` or `kline` point.
        without_indicators: bars whose `indicator` point is missing.
        stored_twice: points whose id another point has too.
        unclaimed: points that the ledger does not claim.
        on_their_way: unclaimed, but so new that the claim may still come.
        expired: claimed, but older than the bucket's retention.
        cut_short: the store has more holes than are counted; later ids were not compared.
        by_number: points of ids that the ledger has only counted.
        fewer: so many of these the store lacks at least, by the number that was counted.
        more: so many the store has too many at least.
        uncompared: for the queried time there is no such number.
        perhaps_late: bars without indicators that are so old that it is not known whether they were late.
    """

    series: LedgerSeries
    checked: int
    missing: Shortfall = Shortfall()
    without_indicators: Shortfall = Shortfall()
    stored_twice: int = 0
    unclaimed: Shortfall = Shortfall()
    on_their_way: int = 0
    expired: int = 0
    by_minutes: bool = False
    cut_short: bool = False
    by_number: int = 0
    fewer: int = 0
    more: int = 0
    uncompared: bool = False
    perhaps_late: int = 0

    @property
    def agrees(self) -> bool:
        wrong = (self.missing.count, self.without_indicators.count, self.stored_twice, self.unclaimed.count)
        return not any((*wrong, self.fewer, self.more)) and not self.cut_short


@dataclass(frozen=True, slots=True)
class Freshness:
    """Latency of one hop of an exchange's data in ms, in the newest 10 s that were reported."""

    exchange: str
    stream: str
    hop: str
    p50: float
    p95: float
    p99: float
