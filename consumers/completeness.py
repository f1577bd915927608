"""The completeness ledger: sets of id ranges per series, and from them what is lost (DESIGN §5.3).

Pure. Fed with the messages of `pipeline.ledger`, in any order, any number of times: applying a range twice
changes nothing. Kline ids are `open_time_ms // interval_ms`; trade ids are the exchange's.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import Final, NamedTuple

from consumers.ledger_events import LedgerSeries
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.messages import LedgerMessage

MINUTE_MS: Final = 60_000
KEPT_MINUTES_MS: Final = 7 * 24 * 60 * MINUTE_MS
# A range is two integers of some 36 bytes: six sets of so many stay under 5 MB a series.
MAX_RANGES: Final = 10_000
_LOST_RANGES_SHOWN: Final = 1_000
_INT64_MIN: Final = -(2**63)
_COUNTED_STREAMS: Final = frozenset(("klines", "trades"))


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


class Minute(NamedTuple):
    """A minute of a series; `minute_ms` is its start."""

    series: LedgerSeries
    minute_ms: int


class MinuteRow(NamedTuple):
    """Counts of the ids whose time lies in the minute, as the `ledger` measurement has them."""

    expected: int
    stored: int
    backfilled: int
    halted: int
    lost: int
    duplicates: int


class CompletenessLedger:
    """All series of a deployment.

    Bounded: minutes more than 7 days before a series' newest are dropped. Where a set of a series has more
    than `max_ranges` ranges, its older half is settled: counted into the totals and forgotten, and later
    events about those ids are ignored.
    """

    def __init__(self, max_ranges: int = MAX_RANGES) -> None:
        self._max_ranges = max_ranges
        self._accounts: dict[LedgerSeries, _Account] = {}
        self._changed: dict[Minute, None] = {}

    def receive(self, message: LedgerMessage) -> str | None:
        """Enter an event; the reason if it makes no sense and was left out."""
        reason = refusal(message)
        if reason is not None or message["stream"] not in _COUNTED_STREAMS:
            return reason
        interval = message["interval"] or ""
        series = LedgerSeries(message["exchange"], message["symbol"], message["stream"], interval)
        account = self._accounts.get(series)
        if account is None:
            account = self._accounts[series] = _Account(series, self._max_ranges)
        first, last = message["first"] // series.unit, message["last"] // series.unit
        arrival_ms = message["received_time_ms"] - message["received_time_ms"] % MINUTE_MS
        for minute_ms in account.enter(message["kind"], first, last, message["event_time_ms"], arrival_ms):
            self._changed[Minute(series, minute_ms)] = None
        return None

    def take_changed(self) -> list[Minute]:
        """Minutes whose rows may have changed since the last call."""
        changed = list(self._changed)
        self._changed.clear()
        return changed

    def rows(self, minutes: Iterable[Minute]) -> dict[Minute, MinuteRow]:
        """The rows of these minutes. Ids on their way to the store count as lost until it has them."""
        rows = {}
        for minute in minutes:
            account = self._accounts.get(minute.series)
            ids = account.ids_of(minute.minute_ms) if account else None
            if account and ids:
                rows[minute] = account.row(*ids)
        return rows

    def forget(self, series: LedgerSeries) -> None:
        """Drop a series that another consumer counts now."""
        self._accounts.pop(series, None)

    def ranges(self, series: LedgerSeries) -> dict[str, IdRanges]:
        """A series' sets, not to be changed: expected, stored, repaired, halted, offline, duplicates.

        What is settled is no longer in them.
        """
        account = self._accounts[series]
        return {
            "expected": account.expected,
            "stored": account.stored,
            "repaired": account.repaired,
            "halted": account.halted,
            "offline": account.offline,
            "duplicates": account.duplicates,
        }

    def totals(self) -> dict[LedgerSeries, Totals]:
        return {series: account.totals() for series, account in self._accounts.items()}


def refusal(message: LedgerMessage) -> str | None:
    """Why a ledger message that is right in form cannot be applied; None if it can."""
    if message["first"] > message["last"]:
        return f"range {message['first']}–{message['last']} ends before it begins"
    if message["stream"] == "klines" and message["interval"] not in INTERVAL_MS:
        return f"interval {message['interval']!r} is not one of {', '.join(INTERVAL_MS)}"
    if message["stream"] != "klines" and message["interval"] is not None:
        return f"stream {message['stream']} has no interval, but the event names {message['interval']!r}"
    return None


class _Account:
    """One series."""

    def __init__(self, series: LedgerSeries, max_ranges: int) -> None:
        self.series = series
        self.max_ranges = max_ranges
        self.expected = IdRanges()
        self.stored = IdRanges()
        self.repaired = IdRanges()
        self.halted = IdRanges()
        self.offline = IdRanges()
        self.duplicates = IdRanges()
        self.accounted = IdRanges()  # stored, halted or offline
        self.floor = _INT64_MIN  # ids below are settled
        self.settled = Totals(0, 0, 0, 0, 0, 0, 0)
        # Trades only: (first id, last id, minute), by first id.
        self.minutes: list[tuple[int, int, int]] = []
        self.by_minute: dict[int, tuple[int, int, int]] = {}
        self.newest_minute_ms = _INT64_MIN

    def enter(
        self, kind: str, first: int, last: int, event_time_ms: int | None, arrival_ms: int
    ) -> list[int]:
        """Apply an event that was received in minute `arrival_ms`; the minutes that it touches."""
        first = max(first, self.floor)
        if first > last:
            return []
        match kind:
            case "expected" | "lost":
                # What is said to be lost was issued, whether or not someone expected it before.
                entered = [self.expected]
            case "stored":
                entered = [self.stored, self.accounted]
            case "repaired":
                entered = [self.repaired]
            case "halted":
                entered = [self.halted, self.accounted]
            case "offline":
                entered = [self.offline, self.accounted]
            case "duplicate":
                entered = [self.duplicates]
            case _:  # gap, late, revised, unsynced: what they lead to is entered by other events
                return []
        for ids in entered:
            ids.add(first, last)
        if kind == "expected" and event_time_ms is not None and self.series.stream == "trades":
            self._date(first, last, event_time_ms - event_time_ms % MINUTE_MS, arrival_ms)
        touched = self._touched(first, last, arrival_ms)
        if max(ids.range_count() for ids in self._sets()) > self.max_ranges:
            self._settle()
        return touched

    def ids_of(self, minute_ms: int) -> tuple[int, int] | None:
        """First and last id whose time lies in the minute; None if there is none or it is too old."""
        if minute_ms <= self.newest_minute_ms - KEPT_MINUTES_MS:
            return None
        if self.series.stream == "trades":
            dated = self.by_minute.get(minute_ms)
            return dated[:2] if dated else None
        unit = self.series.unit
        first, last = -(-minute_ms // unit), (minute_ms + MINUTE_MS - 1) // unit
        return (first, last) if first <= last else None

    def row(self, first: int, last: int) -> MinuteRow:
        return MinuteRow(
            self.expected.intersection_count(first, last),
            self.stored.intersection_count(first, last),
            self.repaired.intersection_count(first, last),
            self.halted.intersection_count(first, last),
            self._lost(first, last),
            self.duplicates.intersection_count(first, last),
        )

    def totals(self) -> Totals:
        before, unit = self.settled, self.series.unit
        lost = self.expected.difference(self.accounted)
        return Totals(
            before.expected + len(self.expected),
            before.stored + len(self.stored),
            before.backfilled + len(self.repaired),
            before.halted + len(self.halted),
            before.offline + len(self.offline),
            before.lost + len(lost),
            before.duplicates + len(self.duplicates),
            tuple((first * unit, last * unit) for first, last in list(lost)[-_LOST_RANGES_SHOWN:]),
        )

    def _lost(self, first: int, last: int) -> int:
        return sum(
            end - begin + 1 - self.accounted.intersection_count(begin, end)
            for begin, end in self.expected.within(first, last)
        )

    def _sets(self) -> tuple[IdRanges, ...]:
        return (
            self.expected,
            self.stored,
            self.repaired,
            self.halted,
            self.offline,
            self.duplicates,
            self.accounted,
        )

    def _go_on(self, minute_ms: int, arrival_ms: int) -> None:
        """An id has this time; a time of the future makes nothing old."""
        self.newest_minute_ms = max(self.newest_minute_ms, min(minute_ms, arrival_ms + MINUTE_MS))

    def _date(self, first: int, last: int, minute_ms: int, arrival_ms: int) -> None:
        """Note that these trade ids lie in a minute (an `expected` event never crosses one)."""
        if minute_ms <= self.newest_minute_ms - KEPT_MINUTES_MS:
            return
        dated = self.by_minute.get(minute_ms)
        if dated is not None:
            if dated[0] <= first and last <= dated[1]:
                return
            self.minutes.remove(dated)
            first, last = min(first, dated[0]), max(last, dated[1])
        self.by_minute[minute_ms] = (first, last, minute_ms)
        insort(self.minutes, (first, last, minute_ms))
        if minute_ms > self.newest_minute_ms:
            self._go_on(minute_ms, arrival_ms)
            kept_from_ms = self.newest_minute_ms - KEPT_MINUTES_MS
            # By time, not by id: one minute of the future must not keep all that have lower ids.
            for old_ms in [kept for kept in self.by_minute if kept <= kept_from_ms]:
                self.minutes.remove(self.by_minute.pop(old_ms))

    def _touched(self, first: int, last: int, arrival_ms: int) -> list[int]:
        if self.series.stream == "trades":
            index = max(bisect_right(self.minutes, (first, last, 0)) - 1, 0)
            touched = []
            while index < len(self.minutes) and self.minutes[index][0] <= last:
                if self.minutes[index][1] >= first:
                    touched.append(self.minutes[index][2])
                index += 1
            return touched
        unit = self.series.unit
        last_ms = last * unit - last * unit % MINUTE_MS
        self._go_on(last_ms, arrival_ms)
        # A bar's minute is that of its open time; in between there are no ids for intervals beyond 1m.
        begin_ms = max(first * unit, self.newest_minute_ms - KEPT_MINUTES_MS + MINUTE_MS)
        step = max(unit, MINUTE_MS)
        begin_ms = -(-begin_ms // step) * step if unit > MINUTE_MS else begin_ms - begin_ms % MINUTE_MS
        return list(range(begin_ms, last_ms + 1, step))

    def _settle(self) -> None:
        """Count the older half of the ids for good and forget their ranges."""
        largest = max(self._sets(), key=IdRanges.range_count)
        floor = list(largest)[largest.range_count() // 2][0]
        below = (self.floor, floor - 1)
        before = self.settled
        self.settled = Totals(
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
        self.floor = floor
