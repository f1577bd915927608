"""One series of the completeness ledger: its sets of ids, and the counts that follow. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from consumers.rolled_up import NOTED, REASONS, RolledUp
from consumers.trade_dates import MINUTE_MS, TradeDates
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
# Rows count every id of the sets, also those that nobody has dated.
_ANY_ID: Final = (0, _INT64_MAX)
_LOST_RANGES_SHOWN: Final = 1_000
# Rows that one event may change, the newest ones: the minutes of ten weeks.
_MAX_ROWS: Final = 100_000
# Kinds by which a producer reports the exchange's progress.
_HEARD: Final = frozenset(("expected", "halted", "offline", "lost", "incomplete", "gap"))

# Of all sets of a series together: a range is two integers of some 36 bytes, so they stay under 7 MB.
MAX_RANGES: Final = 80_000
# The sets that ids are added to, by the kind of the event. Lost ids were issued, whether or not they were
# expected before; incomplete ones, and bars whose values their trades contradict (`different`), count as lost
# although they are stored. Other kinds (gap, late, unsynced) and other revised bars change no set; their
# outcome is reported apart.
_ENTERED: Final[dict[str, tuple[str, ...]]] = {
    "expected": ("expected",),
    "lost": ("expected",),
    "incomplete": ("expected", "incomplete"),
    "different": ("expected", "different"),
    "corrected": ("corrected",),
    "stored": ("stored", "_accounted"),
    "repaired": ("repaired",),
    "halted": ("halted", "_accounted"),
    "offline": ("offline", "_accounted"),
    "duplicate": ("duplicates",),
}
# Kinds of ids that were issued.
ISSUED: Final = frozenset(kind for kind, names in _ENTERED.items() if "expected" in names)
_WRONG: Final = ("incomplete", "different", "corrected")
# Kinds that tell a loss of ids whatever settled them before.
_REOPENING: Final = ("incomplete", "different")
SETS: Final = ("expected", "stored", "repaired", "halted", "offline", "duplicates")


class Totals(NamedTuple):
    """Counts of a series; `lost_ranges` in the ledger's units (open times for klines), the newest last."""

    expected: int
    stored: int
    backfilled: int
    halted: int
    offline: int
    lost: int
    duplicates: int
    lost_ranges: tuple[tuple[int, int], ...] = ()

    def plus(self, counts: Sequence[int]) -> Totals:
        return Totals._make((*map(int.__add__, self[:-1], counts), self.lost_ranges))


class MinuteRow(NamedTuple):
    """Counts of the ids of a period, in the order of the `ledger` measurement's columns."""

    expected: int
    stored: int
    backfilled: int
    halted: int
    lost: int
    duplicates: int


def period_ms(series: LedgerSeries) -> int:
    """Length of the period that one row of a series covers: a minute, or the bar's length if longer."""
    return max(series.unit, MINUTE_MS)


class Account:
    """One series.

    Attributes:
        expected, stored, repaired, halted, offline, duplicates: ids by events. Beyond `heard`, `expected`
            holds bars that were issued by the exchange's clock alone.
        heard: the newest id that a producer has reported; None before the first.
        incomplete: ids that are lost in part: nothing accounts for them, also if they are stored.
        different: bars whose values their trades contradict: nothing accounts for them either, unless they
            are `corrected`, whichever is known first.
        stopped_ms: when the producer was stopped; None while it carries the series, or is dead.
        dates: of trades.
        rolled_up: what is known only by counts, once the sets have more than `max_ranges` ranges together.
    """

    def __init__(self, series: LedgerSeries, max_ranges: int) -> None:
        self.series = series
        self.max_ranges = max_ranges
        self.expected = IdRanges()
        self.stored = IdRanges()
        self.repaired = IdRanges()
        self.halted = IdRanges()
        self.offline = IdRanges()
        self.duplicates = IdRanges()
        self.incomplete = IdRanges()
        self.different = IdRanges()
        self.corrected = IdRanges()
        self._accounted = IdRanges()  # stored, halted or offline, and neither incomplete nor wrong
        self._sets = self._by_name()
        self.rolled_up = RolledUp()
        self.heard: int | None = None
        self.stopped_ms: int | None = None
        self.dates = TradeDates()

    def enter(self, kind: str, first: int, last: int, event_time_ms: int | None) -> IdRanges:
        """Apply an event; the periods (`period_ms`) whose rows it may have changed."""
        if kind == "stopped":
            self.stopped_ms = first * self.series.unit
            return IdRanges()
        if kind in _HEARD and (self.heard is None or last > self.heard):
            self.heard, self.stopped_ms = last, None
        if kind in _REOPENING:
            self.rolled_up.reopen(self.expected, first, last)
        names = _ENTERED.get(kind, ())
        kept = self._kept(names, first, last) if names else ()
        trades = self.series.stream == "trades"
        time_ms = event_time_ms if trades and kind in ISSUED else None
        # As nearly always: no id after the dated ones is known, so that none leaves their last minute.
        follows = time_ms is not None and first > self.dates.last >= self._last()
        periods = IdRanges()
        for begin, end in kept:
            for name in names:
                self._sets[name].add(begin, end)
            self._excuse_no_stored(begin, end)
            if kind == "corrected":
                # As if they were stored now; the next line takes back what is still incomplete.
                self._account_for(begin, end)
            self._accept_no_wrong(begin, end)
            if not follows:
                periods.update(self._periods(begin, end))
            if time_ms is not None:
                # Ids dated by their neighbours leave that minute, and undated ids up to the next dated one
                # get a minute: all of these rows change.
                self.dates.add(begin, end, time_ms)
                periods.update(self._periods(begin, end + 1))
        self.rolled_up.bound(self._sets, self.max_ranges)
        return periods

    def _kept(self, names: Sequence[str], first: int, last: int) -> list[tuple[int, int]]:
        """Those of the ids that may be added to these sets: all that are not counted without a range."""
        rolled = self.rolled_up
        if not rolled:
            return [(first, last)]
        kept = IdRanges([(first, last)])
        if first < self._floor:
            kept.remove(first, self._floor - 1)
            kept.update(IdRanges(self.expected.within(first, min(last, self._floor - 1))))
        for name in NOTED:
            end = rolled.noted_from[name]
            if name in names and first < end:
                kept.remove(first, end - 1)
                begin, end = max(first, rolled.noted_to[name]), min(last, end - 1)
                if begin <= end:
                    kept.update(self.unaccounted(IdRanges(self.expected.within(begin, end))))
        if any(name in REASONS for name in names):
            for begin, end in rolled.settled.within(first, last):
                kept.remove(begin, end)
        return list(kept)

    def _excuse_no_stored(self, first: int, last: int) -> None:
        """Stored ids are neither halted nor offline, whichever event came first."""
        for begin, end in list(self.stored.within(first, last)):
            self.halted.remove(begin, end)
            self.offline.remove(begin, end)

    def _account_for(self, first: int, last: int) -> None:
        for ids in (self.stored, self.halted, self.offline, self.rolled_up.settled):
            self._accounted.update(IdRanges(ids.within(first, last)))

    def _accept_no_wrong(self, first: int, last: int) -> None:
        """Nothing accounts for incomplete ids and wrong bars, whichever event came first."""
        for begin, end in (*self.incomplete.within(first, last), *self.wrong(first, last)):
            self._accounted.remove(begin, end)

    def wrong(self, first: int = _INT64_MIN, last: int = _INT64_MAX) -> IdRanges:
        """Bars whose values their trades contradict, and that are not corrected; of these ids."""
        different = IdRanges(self.different.within(first, last))
        return different.difference(IdRanges(self.corrected.within(first, last))) if different else different

    def expect_to(self, last: int) -> IdRanges:
        """Expect bars up to `last`, closed by the exchange's clock; the periods whose rows change."""
        newest = self.expected.last
        if self.heard is None or newest is None or self.stopped_ms is not None or last <= newest:
            return IdRanges()
        self.expected.add(newest + 1, last)
        return self._periods(newest + 1, last)

    def unheard(self) -> IdRanges:
        """Bars issued by the exchange's clock that no producer has reported and nothing accounts for; whether
        they can be fetched is unknown."""
        if self.heard is None:
            return IdRanges()
        return self.unaccounted(IdRanges(self.expected.within(self.heard + 1, _INT64_MAX)))

    def unaccounted(self, ids: IdRanges) -> IdRanges:
        """Those of these ids that are neither stored whole nor excused."""
        return ids.difference(self._accounted)

    def issued_between(self, from_ms: int | None, to_ms: int | None) -> IdRanges:
        """Trades of a time, `to_ms` excluded; undated ones as in the rows."""
        return self.dates.between(from_ms, to_ms, self._issued())

    def times_of(self, first: int, last: int) -> tuple[int, int] | None:
        """Begin and end of the known time of these trades, undated ones as in the rows."""
        return self.dates.times_of(first, last, self._issued())

    def _issued(self) -> tuple[int, int] | None:
        """The lowest and the highest expected id."""
        first = next(self.expected.within(_INT64_MIN, _INT64_MAX), None)
        return None if first is None or self.expected.last is None else (first[0], self.expected.last)

    def _last(self) -> int:
        """The highest known id, 0 if there is none."""
        return max(ids.last or 0 for ids in self._sets.values())

    @property
    def _floor(self) -> int:
        return self.rolled_up.floor

    def only_counted(self) -> IdRanges:
        """See `RolledUp.only_counted`."""
        return self.rolled_up.only_counted(self.expected)

    def row(self, period: int) -> tuple[int, MinuteRow] | None:
        """Begin of a period (ms) and its counts; None if no id is known to have been in it, or if it is only
        counted whether some are stored: the row that was written stays."""
        step_ms = period_ms(self.series)
        if self.series.stream == "trades":
            ids = self.dates.ids_of(period * step_ms, _ANY_ID)
        else:
            unit = self.series.unit
            ids = [(period * step_ms // unit, ((period + 1) * step_ms - 1) // unit)]
        rolled = self.rolled_up
        if ids is None or any(
            first < self._floor or rolled.settled.intersection_count(first, last) for first, last in ids
        ):
            return None
        counts = [self._counts(*part) for part in ids] or [self._counts(0, -1)]
        expected, stored, backfilled, halted, _, lost, duplicates = map(sum, zip(*counts, strict=True))
        return period * step_ms, MinuteRow(expected, stored, backfilled, halted, lost, duplicates)

    def _counts(self, first: int, last: int) -> tuple[int, ...]:
        """Counts of the ids `first` to `last`, in the order of `Totals`."""
        lost = sum(
            end - begin + 1 - self._accounted.intersection_count(begin, end)
            for begin, end in self.expected.within(first, last)
        )
        return (
            self.expected.intersection_count(first, last),
            self.stored.intersection_count(first, last),
            self.repaired.intersection_count(first, last),
            self.halted.intersection_count(first, last),
            self.offline.intersection_count(first, last),
            lost,
            self.duplicates.intersection_count(first, last),
        )

    def totals(self) -> Totals:
        unit, lost = self.series.unit, self.unaccounted(self.expected)
        sets = self.expected, self.stored, self.repaired, self.halted, self.offline, lost, self.duplicates
        shown = tuple((first * unit, last * unit) for first, last in list(lost)[-_LOST_RANGES_SHOWN:])
        rolled = Totals._make((*self.rolled_up.counts.values(), shown))
        return rolled.plus([ids.id_count() for ids in sets])

    def _periods(self, first: int, last: int) -> IdRanges:
        step_ms = period_ms(self.series)
        if self.series.stream == "trades":
            minutes = self.dates.minutes_of(first, last, _ANY_ID)
            return IdRanges((minute_ms // step_ms,) * 2 for minute_ms in minutes)
        unit = self.series.unit
        last_period = last * unit // step_ms
        return IdRanges([(max(first * unit // step_ms, last_period - _MAX_ROWS + 1), last_period)])

    def _by_name(self) -> dict[str, IdRanges]:
        sets = {name: getattr(self, name) for name in (*SETS, *_WRONG)}
        return {**sets, "_accounted": self._accounted}

    def _account_again(self) -> None:
        """Derive the accounted ids from the other sets."""
        self._accounted.remove(_INT64_MIN, _INT64_MAX)
        self._account_for(_INT64_MIN, _INT64_MAX)
        self._accept_no_wrong(_INT64_MIN, _INT64_MAX)

    def merge(self, other: Account) -> IdRanges:
        """Add what another reader has counted of this series; the periods whose rows are then others.

        As if one account had received the events of both, in an unknown order, but for ids that either has
        rolled up: those may count as lost although the other has them as stored. A series counts as stopped
        only if it is by the account that heard of newer ids.
        """
        ours, theirs = self._all_periods(), other._all_periods()
        for name in (*SETS, *_WRONG):
            self._sets[name].update(other._sets[name])
        self.rolled_up.add(other.rolled_up, self._sets)
        for first, last in self.stored:
            self._excuse_no_stored(first, last)
        self._account_again()
        self.rolled_up.cut(self._sets)
        if self.heard == other.heard and None in (self.stopped_ms, other.stopped_ms):
            self.stopped_ms = None
        elif other.heard is not None and (self.heard is None or other.heard > self.heard):
            self.heard, self.stopped_ms = other.heard, other.stopped_ms
        self.dates.merge(other.dates)
        self.rolled_up.bound(self._sets, self.max_ranges)
        if self.series.stream != "trades":
            return IdRanges(part for first, last in ours for part in theirs.within(first, last))
        # Undated ids may have moved from any minute to any other.
        for periods in (theirs, self._all_periods()):
            ours.update(periods)
        return ours

    def _all_periods(self) -> IdRanges:
        periods = IdRanges()
        for ids in self._sets.values():
            for first, last in ids:
                periods.update(self._periods(first, last))
        return periods

    # -- snapshots -------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {
            "sets": {name: getattr(self, name).distances() for name in SETS},
            **{name: getattr(self, name).distances() for name in _WRONG},
            **self.rolled_up.state(),
            "heard": self.heard,
            "stopped_ms": self.stopped_ms,
            "dates": self.dates.state(),
        }

    @classmethod
    def of(cls, series: LedgerSeries, state: dict[str, Any]) -> Account:
        """Inverse of `state`. Raises LookupError, TypeError or ValueError for other values."""
        account = cls(series, MAX_RANGES)
        for name in SETS:
            setattr(account, name, IdRanges.of_distances(state["sets"][name]))
        account.rolled_up = RolledUp.of(state)
        for name in _WRONG:
            # Snapshots of earlier versions have none.
            setattr(account, name, IdRanges.of_distances(state.get(name, ())))
        account._account_again()
        account._sets = account._by_name()
        account.heard, account.stopped_ms = state["heard"], state["stopped_ms"]
        account.dates = TradeDates.of(state["dates"])
        return account
