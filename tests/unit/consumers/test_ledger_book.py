"""A series whose events lie on two partitions: neither's snapshot hides or replaces what the other knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.ledger_account import Account
from consumers.ledger_book import LedgerBook
from consumers.ledger_snapshot import Restart, fingerprint, restart
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.messages import LedgerMessage
from tests.builders import NOW_MS, ledger
from tests.unit.consumers.test_ledger_snapshot import EVENTS, no_rows_wait

TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
BEFORE, AFTER = 1, 7
Log = list[LedgerMessage]
Records = dict[bytes, bytes]


def event(kind: str, first: int, last: int, **fields: Any) -> LedgerMessage:
    return ledger(kind=kind, first=first, last=last, count=last - first + 1, **fields)


def start_of(records: Records, log: Log) -> Restart:
    return restart(records, 0, len(log), lambda offset: fingerprint(log[offset]))


def book_of(
    logs: dict[int, Log], records: dict[int, Records], order: Sequence[int] = (BEFORE, AFTER)
) -> LedgerBook:
    """What a reader of these partitions knows, which takes them in this order."""
    book = LedgerBook()
    starts = {number: start_of(records.get(number, {}), logs[number]) for number in order}
    for number, start in starts.items():
        book.assign(number, start)
    for number, start in starts.items():
        for offset in range(start.offset, len(logs[number])):
            book.receive(number, offset, logs[number][offset])
    return book


def snapshots(number: int, log: Log, records: Records | None = None) -> Records:
    """Those of a consumer that has this partition alone."""
    book = book_of({number: log}, {number: records or {}}, (number,))
    return {key: value for _, key, value in book.snapshots(no_rows_wait)}


@pytest.mark.parametrize("order", [(BEFORE, AFTER), (AFTER, BEFORE)])
@pytest.mark.parametrize("both", [False, True])
def test_a_snapshot_of_one_partition_hides_no_event_of_another(both: bool, order: tuple[int, int]) -> None:
    old: Log = [event(kind, n, n) for n in range(100) for kind in ("expected", "stored")]
    new: Log = [event("expected", 100, 119), event("stored", 100, 114)]
    records = {BEFORE: snapshots(BEFORE, old)}
    if both:
        records[AFTER] = snapshots(AFTER, new)
    totals = book_of({BEFORE: old, AFTER: new}, records, order).ledger.totals()[TRADES]
    assert (totals.expected, totals.stored, totals.lost) == (120, 115, 5)
    assert totals.lost_ranges == ((115, 119),)


def facts(book: LedgerBook) -> Any:
    def dated(account: Account) -> list[tuple[int, int, int]]:
        return sorted((*account.dates._days, *account.dates._minutes))

    return {
        series: (
            book.ledger.totals()[series],
            book.ledger.account(series).incomplete,
            book.ledger.account(series).heard,
            dated(book.ledger.account(series)),
            book.incidents_of(series).late,
        )
        for series in sorted(book.ledger.series())
    }


@settings(max_examples=60)
@given(EVENTS, EVENTS, st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_wherever_the_snapshots_end_two_partitions_say_what_all_events_say(
    old: Log, new: Log, end: int, new_end: int, turned: bool
) -> None:
    records = {BEFORE: snapshots(BEFORE, old[:end]), AFTER: snapshots(AFTER, new[:new_end])}
    order = (AFTER, BEFORE) if turned else (BEFORE, AFTER)
    logs = {BEFORE: old, AFTER: new}
    assert facts(book_of(logs, records, order)) == facts(book_of(logs, {}))


SOMETIMES_UNDATED = st.lists(
    st.builds(
        lambda kind, first, length, minute: event(
            kind,
            first,
            first + length,
            event_time_ms=None if minute is None else NOW_MS + 60_000 * minute,
        ),
        st.sampled_from(("expected", "expected", "stored", "lost", "duplicate")),
        st.integers(0, 30),
        st.integers(0, 5),
        st.one_of(st.none(), st.integers(0, 3)),
    ),
    max_size=10,
)
MINUTES = range(NOW_MS // 60_000 - 1, NOW_MS // 60_000 + 5)


@given(SOMETIMES_UNDATED, SOMETIMES_UNDATED)
def test_rows_of_minutes_that_two_consumers_wrote_in_part_are_written_again(old: Log, new: Log) -> None:
    records = {BEFORE: snapshots(BEFORE, old), AFTER: snapshots(AFTER, new)}
    stored: dict[int, Any] = {}
    for number, log in ((BEFORE, old), (AFTER, new)):
        alone = book_of({number: log}, {}, (number,))
        for series in alone.ledger.series():
            stored |= dict(alone.ledger.rows(series, MINUTES))
    book = book_of({BEFORE: old, AFTER: new}, records)
    for series, periods in book.ledger.take_changed().items():
        for first, last in periods:
            stored |= dict(book.ledger.rows(series, range(first, last + 1)))
    for series in book.ledger.series():
        now = dict(book.ledger.rows(series, MINUTES))
        assert {at: row for at, row in stored.items() if any(row)} == {
            at: row for at, row in now.items() if any(row)
        }


def test_of_bars_the_rows_of_periods_that_both_know_are_written_again() -> None:
    def bars(first: int, last: int) -> LedgerMessage:
        times = NOW_MS - NOW_MS % 60_000 + first * 60_000, NOW_MS - NOW_MS % 60_000 + last * 60_000
        return event("expected", *times, stream="klines", interval="1m")

    old, new = [bars(0, 5)], [bars(4, 9)]
    records = {BEFORE: snapshots(BEFORE, old), AFTER: snapshots(AFTER, new)}
    ((_, periods),) = book_of({BEFORE: old, AFTER: new}, records).ledger.take_changed().items()
    assert list(periods) == [(NOW_MS // 60_000 + 4, NOW_MS // 60_000 + 5)]


def test_a_partition_that_goes_takes_no_series_along_that_another_has_too() -> None:
    old, new = [event("expected", 1, 9)], [event("expected", 10, 12), event("expected", 1, 1, symbol="ETH")]
    book = book_of({BEFORE: old, AFTER: new}, {})
    assert [series.symbol for series in book.revoke(AFTER)] == ["ETH"]
    assert book.ledger.totals()[TRADES].expected == 12
    assert book.revoke(BEFORE) == [TRADES] and book.ledger.series() == []


def test_series_that_lie_on_several_partitions_are_named() -> None:
    new = [event("expected", 10, 12), event("expected", 1, 1, symbol="ETH")]
    book = book_of({BEFORE: [event("expected", 1, 9)], AFTER: new}, {})
    assert book.separated() == {(BEFORE, AFTER): [TRADES]}
    assert book_of({BEFORE: [], AFTER: new}, {}).separated() == {}


@pytest.mark.parametrize(
    ("ours", "theirs", "stopped_ms"),
    [
        ((10, None), (20, None), None),
        ((10, 5), (20, None), None),
        ((10, None), (20, 5), 5),
        ((20, 5), (10, None), 5),
        ((20, None), (20, 5), None),
        ((None, None), (20, 5), 5),
    ],
)
def test_a_series_is_stopped_if_it_is_by_who_heard_last(
    ours: tuple[int | None, int | None], theirs: tuple[int | None, int | None], stopped_ms: int | None
) -> None:
    one, other = Account(TRADES, 100), Account(TRADES, 100)
    (one.heard, one.stopped_ms), (other.heard, other.stopped_ms) = ours, theirs
    one.merge(other)
    assert (one.heard, one.stopped_ms) == (max(filter(None, (ours[0], theirs[0]))), stopped_ms)


@pytest.mark.parametrize("turned", [False, True])
def test_what_was_rolled_up_counts_for_one_account_and_is_no_smaller_loss(turned: bool) -> None:
    def filled(first: int, count: int, max_ranges: int) -> Account:
        account = Account(TRADES, max_ranges)
        for n in range(count):
            account.enter("expected", first + 3 * n, first + 3 * n + 1, None)
            account.enter("stored", first + 3 * n, first + 3 * n, None)
        return account

    old, new = filled(0, 40, 10), filled(1_000, 40, 1_000)
    assert old._floor > 0
    one, other = (new, old) if turned else (old, new)
    one.max_ranges = 1_000
    one.merge(other)
    assert one.totals()[:6] == (160, 80, 0, 0, 0, 80)
    # The same account in two snapshots is one.
    again = filled(0, 40, 10)
    again.merge(filled(0, 40, 10))
    assert again.totals()[:6] == (80, 40, 0, 0, 0, 40)
    kept = IdRanges(again.expected.within(0, again._floor - 1))
    assert again.unaccounted(kept) == kept


@pytest.mark.parametrize("turned", [False, True])
def test_a_bar_that_the_other_account_saw_corrected_is_no_loss_and_one_that_it_saw_differ_is(
    turned: bool,
) -> None:
    bars = LedgerSeries("binance", "BTCUSDC", "klines", "1m")

    def account(*kinds: str) -> Account:
        found = Account(bars, 1_000)
        for kind in kinds:
            found.enter(kind, 5, 5, None)
        return found

    for kinds, lost in ((("corrected",), 0), (("expected",), 1)):
        pair = account("expected", "stored", "different"), account(*kinds)
        one, other = reversed(pair) if turned else pair
        one.merge(other)
        assert one.totals().lost == lost


@pytest.mark.parametrize("turned", [False, True])
def test_undated_trades_of_one_account_move_to_the_dates_of_the_other(turned: bool) -> None:
    minute_ms = NOW_MS - NOW_MS % 60_000

    def account(dated: bool) -> Account:
        found = Account(TRADES, 1_000)
        if not dated:
            found.dates.hear(minute_ms)
        found.enter("expected", 1, 5, minute_ms + 60_000 if dated else None)
        return found

    pair = account(dated=False), account(dated=True)
    one, other = reversed(pair) if turned else pair
    one.enter("expected", 6, 9, None)
    changed = one.merge(other)
    rows = {
        at: found[1] for first, last in changed for at in range(first, last + 1) if (found := one.row(at))
    }
    assert {at - minute_ms // 60_000: row.expected for at, row in rows.items()} == {0: 0, 1: 9}
