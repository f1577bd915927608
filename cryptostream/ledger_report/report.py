"""The report as plain values: completeness of each series, what was found, and what the store says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from consumers.ledger_events import LedgerSeries
from shared.intervals import INTERVAL_MS
from shared.messages import CARRIED_AGAIN

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """Completeness of one series.

    Attributes:
        offline: None where the source does not tell it (minute rows).
        on_their_way: expected a moment ago and not yet entered as stored; no loss.
        unknown: issued by the exchange's clock, and no producer has spoken of them: nobody has looked. None
            where the source does not tell it.
        lost_ranges: trade ids, or open times in ms; from minute rows the minutes of the lost ids.
        by_minutes: `lost_ranges` are minutes.
    """

    series: LedgerSeries
    expected: int
    stored: int
    backfilled: int
    halted: int
    offline: int | None
    lost: int
    duplicates: int
    lost_ranges: tuple[Range, ...] = ()
    on_their_way: int = 0
    by_minutes: bool = False
    unknown: int | None = None

    @staticmethod
    def order(series: LedgerSeries) -> tuple[str, int, str]:
        """Sort key: by symbol, trades first, then the intervals by length."""
        return series.symbol, INTERVAL_MS.get(series.interval, 0), series.stream


@dataclass(frozen=True, slots=True)
class Unknown:
    """What nobody has looked at, of these series (of all, where none is named).

    Attributes:
        since_ms: by the exchange's time; None since ever.
        until_ms: None up to now.
    """

    series: tuple[LedgerSeries, ...]
    since_ms: int | None
    until_ms: int | None
    why: str


class Note(NamedTuple):
    """Something that the ledger says was found; ids as in the event, time in ms if it has one."""

    series: LedgerSeries
    kind: str
    first: int
    last: int
    time_ms: int | None
    detail: str | None

    @property
    def uncarried_now(self) -> bool:
        """A stream was not carried, and no event has said that it is again."""
        return self.kind == "uncarried" and not (self.detail or "").endswith(CARRIED_AGAIN)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Ids (open times for bars, minutes where the claims are by minutes) and how many points that is."""

    count: int = 0
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Recount:
    """What the store has of a series, held against what the ledger claims.

    Attributes:
        checked: how many claimed ids were looked for.
        missing: claimed as stored, but the store has no `trade` or `kline` point.
        without_indicators: bars whose `indicator` point is missing.
        stored_twice: points whose id another point has too.
        unclaimed: points that the ledger does not know of.
        on_their_way: unclaimed, but so new that the claim may still come.
        expired: claimed, and older than the bucket keeps.
        cut_short: the store has more holes than are counted; what lies behind them was not looked at.
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

    @property
    def agrees(self) -> bool:
        wrong = (self.missing.count, self.without_indicators.count, self.stored_twice, self.unclaimed.count)
        return not any(wrong) and not self.cut_short


@dataclass(frozen=True, slots=True)
class Freshness:
    """Latency of one hop in ms, in the newest 10 s that were reported."""

    stream: str
    hop: str
    p50: float
    p95: float
    p99: float
