"""One series of the completeness ledger: its sets of ids, and what follows from them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from consumers.ledger_events import LedgerSeries
from consumers.trade_dates import MINUTE_MS, TradeDates
from shared.id_ranges import IdRanges

_INT64_MIN: Final = -(2**63)
_LOST_RANGES_SHOWN: Final = 1_000
# Rows that one event may cause, the newest ones: a row a minute of ten weeks.
_MAX_ROWS: Final = 100_000
# Kinds by which a producer says how far the exchange has come.
_HEARD: Final = frozenset(("expected", "halted", "offline", "lost", "gap"))

# A range is two integers of some 36 bytes: seven sets of so many stay under 6 MB a series.
MAX_RANGES: Final = 10_000
# The sets that ids are added to, by the kind of the event. What is said to be lost was issued, whether or not
# someone expected it before. Of a gap, what came late, was revised or unsynced, others say what it led to.
_ENTERED: Final[dict[str, tuple[str, ...]]] = {
    "expected": ("expected",),
    "lost": ("expected",),
    "stored": ("stored", "_accounted"),
    "repaired": ("repaired",),
    "halted": ("halted", "_accounted"),
    "offline": ("offline", "_accounted"),
    "duplicate": ("duplicates",),
}
SETS: Final = ("expected", "stored", "repaired", "halted", "offline", "duplicates")


class Totals(NamedTuple):
    """How a series stands; `lost_ranges` in the ledger's units (open times for klines), the newest last."""

    expected: int
    stored: int
    backfilled: int
    halted: int
    offline: int
    lost: int
    duplicates: int
    lost_ranges: tuple[tuple[int, int], ...] = ()


class MinuteRow(NamedTuple):
    """Counts of the ids whose time lies in the minute, as the `ledger` measurement has them."""

    expected: int
    stored: int
    backfilled: int
    halted: int
    lost: int
    duplicates: int


def slot_ms(series: LedgerSeries) -> int:
    """Rows of a series lie so far apart: a minute, or the bar's length where that is longer."""
    return max(series.unit, MINUTE_MS)


class Account:
    """One series.

    Attributes:
        expected, stored, repaired, halted, offline, duplicates: what events have said. Bars that only the
            exchange's clock says were issued are in `expected` too, beyond `heard`.
        heard: the newest id of which a producer has spoken; None before the first.
        stopped_ms: when the producer ended in good order; None while it carries the series, or is dead.
        dates: of trades.
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
        self._accounted = IdRanges()  # stored, halted or offline
        self._floor = _INT64_MIN  # ids below are settled
        self._settled = Totals(0, 0, 0, 0, 0, 0, 0)
        self.heard: int | None = None
        self.stopped_ms: int | None = None
        self.dates = TradeDates()

    def enter(self, kind: str, first: int, last: int, event_time_ms: int | None) -> IdRanges:
        """Apply an event; the slots (`slot_ms`) whose rows it may have changed."""
        if kind == "stopped":
            self.stopped_ms = first * self.series.unit
            return IdRanges()
        if kind in _HEARD and (self.heard is None or last > self.heard):
            self.heard, self.stopped_ms = last, None
        first = max(first, self._floor)
        if first > last:
            return IdRanges()
        entered = [getattr(self, name) for name in _ENTERED.get(kind, ())]
        if not entered:
            return IdRanges()
        for ids in entered:
            ids.add(first, last)
        self._excuse_no_stored(first, last)
        slots = self._slots(first, last)
        if kind == "expected" and event_time_ms is not None and self.series.stream == "trades":
            # Ids that were dated by what followed them leave that minute, and what nobody has dated up to the
            # next one gets a minute: all of these rows change.
            self.dates.add(first, last, event_time_ms)
            slots.update(self._slots(first, last + 1))
        if max(ids.range_count() for ids in entered) > self.max_ranges:
            self._settle()
        return slots

    def _excuse_no_stored(self, first: int, last: int) -> None:
        """What is stored after all needs no excuse, whichever was said first."""
        for begin, end in list(self.stored.within(first, last)):
            self.halted.remove(begin, end)
            self.offline.remove(begin, end)

    def expect_to(self, last: int) -> IdRanges:
        """The exchange's clock says that bars up to `last` are closed; the slots whose rows this changes."""
        newest = self.expected.last
        if self.heard is None or newest is None or self.stopped_ms is not None or last <= newest:
            return IdRanges()
        self.expected.add(newest + 1, last)
        return self._slots(newest + 1, last)

    def unheard(self) -> IdRanges:
        """Bars that were issued by the exchange's clock, of which no producer has spoken and that nothing
        accounts for: whether they can be had, nobody has looked."""
        if self.heard is None:
            return IdRanges()
        return IdRanges(self.expected.within(self.heard + 1, 2**63 - 1)).difference(self._accounted)

    def row(self, slot: int) -> tuple[int, MinuteRow] | None:
        """Begin of a slot's minute and its counts; None if no id has ever lain in it, as far as is known."""
        step_ms = slot_ms(self.series)
        if self.series.stream == "trades":
            ids = self.dates.ids_of(slot * step_ms)
        else:
            unit = self.series.unit
            ids = [(slot * step_ms // unit, ((slot + 1) * step_ms - 1) // unit)]
        if ids is None:
            return None
        counts = [self._counts(*part) for part in ids] or [self._counts(0, -1)]
        return slot * step_ms, MinuteRow(*(sum(of_kind) for of_kind in zip(*counts, strict=True)))

    def _counts(self, first: int, last: int) -> MinuteRow:
        return MinuteRow(
            self.expected.intersection_count(first, last),
            self.stored.intersection_count(first, last),
            self.repaired.intersection_count(first, last),
            self.halted.intersection_count(first, last),
            self._lost(first, last),
            self.duplicates.intersection_count(first, last),
        )

    def totals(self) -> Totals:
        before, unit = self._settled, self.series.unit
        lost = self.expected.difference(self._accounted)
        return Totals(
            before.expected + self.expected.id_count(),
            before.stored + self.stored.id_count(),
            before.backfilled + self.repaired.id_count(),
            before.halted + self.halted.id_count(),
            before.offline + self.offline.id_count(),
            before.lost + lost.id_count(),
            before.duplicates + self.duplicates.id_count(),
            tuple((first * unit, last * unit) for first, last in list(lost)[-_LOST_RANGES_SHOWN:]),
        )

    def _lost(self, first: int, last: int) -> int:
        return sum(
            end - begin + 1 - self._accounted.intersection_count(begin, end)
            for begin, end in self.expected.within(first, last)
        )

    def _slots(self, first: int, last: int) -> IdRanges:
        step_ms = slot_ms(self.series)
        if self.series.stream == "trades":
            return IdRanges((minute_ms // step_ms,) * 2 for minute_ms in self.dates.minutes_of(first, last))
        unit = self.series.unit
        last_slot = last * unit // step_ms
        return IdRanges([(max(first * unit // step_ms, last_slot - _MAX_ROWS + 1), last_slot)])

    def _sets(self) -> Iterator[IdRanges]:
        yield self._accounted
        for name in SETS:
            yield getattr(self, name)

    def _settle(self) -> None:
        """Count the older half of the ids for good and forget their ranges."""
        largest = max(self._sets(), key=IdRanges.range_count)
        floor = list(largest)[largest.range_count() // 2][0]
        below = (self._floor, floor - 1)
        before = self._settled
        self._settled = Totals(
            before.expected + self.expected.intersection_count(*below),
            before.stored + self.stored.intersection_count(*below),
            before.backfilled + self.repaired.intersection_count(*below),
            before.halted + self.halted.intersection_count(*below),
            before.offline + self.offline.intersection_count(*below),
            before.lost + self._lost(*below),
            before.duplicates + self.duplicates.intersection_count(*below),
        )
        for ids in self._sets():
            ids.remove(*below)
        self._floor = floor

    # -- snapshots -------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that the events so far have left, as JSON can hold it."""
        return {
            "sets": {name: getattr(self, name).distances() for name in SETS},
            "floor": self._floor,
            "settled": self._settled[:-1],
            "heard": self.heard,
            "stopped_ms": self.stopped_ms,
            "dates": self.dates.state(),
        }

    @classmethod
    def of(cls, series: LedgerSeries, state: dict[str, Any]) -> Account:
        """The counterpart of `state`. Raises LookupError, TypeError, ValueError if it is none."""
        account = cls(series, MAX_RANGES)
        for name in SETS:
            setattr(account, name, IdRanges.of_distances(state["sets"][name]))
        for ids in (account.stored, account.halted, account.offline):
            account._accounted.update(ids)
        account._floor = state["floor"]
        account._settled = Totals(*state["settled"])
        account.heard, account.stopped_ms = state["heard"], state["stopped_ms"]
        account.dates = TradeDates.of(state["dates"])
        return account
