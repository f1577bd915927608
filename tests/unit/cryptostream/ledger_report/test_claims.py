from __future__ import annotations

import time
from typing import Any

import pytest

from consumers.ledger_account import Account
from consumers.ledger_incidents import SeriesIncidents
from consumers.ledger_snapshot import PartitionSnapshot, Restart, SeriesSnapshot
from cryptostream.ledger_report.claims import Claims
from cryptostream.ledger_report.report import Note, SeriesReport, Span
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.messages import AS_TRADES_SAY, LedgerMessage
from tests.builders import NOW_MS, ledger

MINUTE_MS = 60_000
FIRST_MS = NOW_MS - NOW_MS % MINUTE_MS
TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
BARS = LedgerSeries("binance", "BTCUSDC", "klines", "1m")


def claims_of(*events: LedgerMessage, span: Span | None = None, expiry_ns: int | None = None) -> Claims:
    claims = Claims(span or Span(), expiry_ns)
    for event in events:
        claims.receive(event)
    claims.end()
    return claims


def bars(kind: str, first: int, last: int, **fields: Any) -> LedgerMessage:
    """An event about minutes, counted from FIRST_MS."""
    return ledger(
        stream="klines",
        interval="1m",
        kind=kind,
        first=FIRST_MS + first * MINUTE_MS,
        last=FIRST_MS + last * MINUTE_MS,
        **fields,
    )


def only(claims: Claims) -> SeriesReport:
    (report,) = claims.reports()
    return report


def a_minute(minute: int, symbol: str = "BTCUSDC") -> list[LedgerMessage]:
    """A bar and ten trades of a minute, all stored."""
    fields: dict[str, Any] = {"symbol": symbol, "first": minute * 10, "last": minute * 10 + 9}
    return [
        bars("expected", minute, minute, symbol=symbol),
        bars("stored", minute, minute, symbol=symbol),
        ledger(**fields, event_time_ms=FIRST_MS + minute * MINUTE_MS + 30),
        ledger(**fields, kind="stored"),
    ]


def since(minute: int, **names: Any) -> Span:
    return Span.of(from_ns=(FIRST_MS + minute * MINUTE_MS) * 10**6, **names)


def test_what_is_neither_stored_nor_excused_is_lost() -> None:
    report = only(
        claims_of(
            ledger(kind="expected", first=1, last=100),
            ledger(kind="stored", first=1, last=60),
            ledger(kind="repaired", first=50, last=60),
            ledger(kind="offline", first=61, last=70),
            ledger(kind="halted", first=71, last=80),
            ledger(kind="duplicate", first=3, last=4),
        )
    )
    assert (report.expected, report.stored, report.backfilled, report.offline) == (100, 60, 11, 10)
    assert (report.halted, report.duplicates, report.lost) == (10, 2, 20)
    assert report.lost_ranges == ((81, 100),)


def test_a_stored_bar_without_all_of_its_trades_is_lost_and_a_note_says_why() -> None:
    claims = claims_of(
        bars("expected", 0, 9),
        bars("incomplete", 3, 4, count=2, detail="published without trades"),
        bars("stored", 0, 9),
    )
    report = only(claims)
    begin, end = FIRST_MS + 3 * MINUTE_MS, FIRST_MS + 4 * MINUTE_MS
    assert (report.stored, report.lost, report.lost_ranges) == (10, 2, ((begin, end),))
    assert [(note.kind, note.first, note.last, note.detail) for note in claims.notes()] == [
        ("incomplete", begin, end, "published without trades")
    ]


def test_a_stored_bar_that_its_trades_contradict_is_lost_and_what_they_say_is_kept() -> None:
    claims = claims_of(
        bars("expected", 0, 9),
        bars("stored", 0, 9),
        bars("revised", 3, 3, detail="trades say close 1"),
        bars("revised", 5, 5, detail="trades say close 2"),
        bars("revised", 5, 5, detail=AS_TRADES_SAY),
        bars("revised", 7, 7, detail="trade 7 came after its end"),
    )
    report = only(claims)
    at = FIRST_MS + 3 * MINUTE_MS
    assert (report.stored, report.lost, report.different, report.lost_ranges) == (10, 1, 1, ((at, at),))
    (number,) = (first for first, _ in claims.wrong(report.series))
    assert number == at // MINUTE_MS
    assert claims.trades_say(report.series)[number] == "trades say close 1"


def test_what_is_expected_after_the_end_of_the_topic_is_not_asked_for() -> None:
    claims = claims_of(ledger(kind="expected", first=1, last=10), ledger(kind="stored", first=1, last=8))
    assert claims.undecided
    claims.receive(ledger(kind="expected", first=11, last=20))
    claims.receive(ledger(kind="stored", first=9, last=15))
    assert not claims.undecided
    report = only(claims)
    assert (report.expected, report.stored, report.lost) == (10, 10, 0)
    assert list(claims.stored(TRADES)) == [(1, 15)]


def test_a_span_of_time_cuts_bars_by_their_open_time_and_trades_by_their_minute() -> None:
    span = Span.of(
        "btcusdc", from_ns=(FIRST_MS + MINUTE_MS + 5) * 10**6, to_ns=(FIRST_MS + 3 * MINUTE_MS) * 10**6
    )
    claims = claims_of(
        bars("expected", 0, 9),
        bars("stored", 0, 1),
        *(
            ledger(first=minute * 10, last=minute * 10 + 9, event_time_ms=FIRST_MS + minute * MINUTE_MS + 30)
            for minute in range(5)
        ),
        ledger(kind="stored", first=0, last=24),
        span=span,
    )
    trades, klines = claims.reports()
    assert (trades.expected, trades.stored, trades.lost_ranges) == (20, 15, ((25, 29),))
    second = FIRST_MS + 2 * MINUTE_MS
    assert (klines.expected, klines.stored, klines.lost_ranges) == (2, 1, ((second, second),))


def test_only_the_series_asked_for_are_counted() -> None:
    events = (bars("expected", 0, 1), ledger(), ledger(symbol="ETHUSDC"))
    assert claims_of(*events, span=Span("BTCUSDC")).series == [BARS, TRADES]
    assert claims_of(*events, span=Span(stream="klines", interval="1m")).series == [BARS]
    assert claims_of(*events, span=Span(interval="1h")).series == []


def test_a_span_that_a_stream_was_not_carried_is_noted_and_counts_no_ids() -> None:
    claims = claims_of(
        ledger(stream="trades", kind="uncarried", first=5, last=9, count=0, detail="REST has newer trades"),
    )
    assert [(note.kind, note.detail) for note in claims.notes()] == [("uncarried", "REST has newer trades")]
    assert claims.reports() == []


def test_gaps_and_unsynced_spans_are_noted_and_late_bars_have_no_indicators() -> None:
    claims = claims_of(
        *(ledger(kind="gap", first=n, last=n, detail=f"hole {n}") for n in range(30)),
        ledger(stream="depth", kind="unsynced", first=5, last=9, detail="update id 6 is missing"),
        bars("late", 4, 5),
    )
    assert claims.note_counts()[TRADES, "gap"] == 30
    gaps = [note for note in claims.notes() if note.kind == "gap"]
    assert (len(gaps), gaps[-1].detail) == (20, "hole 29")
    assert [note.detail for note in claims.notes() if note.kind == "unsynced"] == ["update id 6 is missing"]
    assert claims.without_indicators(BARS).id_count() == 2


def test_trades_dated_before_the_oldest_kept_may_have_expired() -> None:
    claims = claims_of(
        ledger(first=1, last=10, event_time_ms=FIRST_MS),
        ledger(first=11, last=20, event_time_ms=FIRST_MS + MINUTE_MS),
        expiry_ns=MINUTE_MS * 1_000_000 - 1,
    )
    assert claims.as_of_ms == FIRST_MS + MINUTE_MS
    assert claims.expired(TRADES) == 10
    # Bars of a minute are kept for ever.
    assert claims.expired(BARS) < 0


@pytest.mark.parametrize("set_by_s", [-86_400, 8 * 86_400, 30 * 86_400])
def test_a_clock_of_ours_lets_no_claim_expire(monkeypatch: pytest.MonkeyPatch, set_by_s: int) -> None:
    true_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() + set_by_s * 10**9)
    claims = claims_of(ledger(first=1, last=10, event_time_ms=FIRST_MS), expiry_ns=7 * 86_400 * 10**9)
    assert claims.expired(TRADES) < 0


def test_an_event_that_makes_no_sense_is_left_out() -> None:
    assert claims_of(ledger(first=9, last=1), ledger(stream="klines", interval="7m")).series == []


@pytest.mark.thorough
def test_more_holes_than_are_kept_are_counted_all_the_same() -> None:
    claims = Claims(Span(), None)
    claims.receive(ledger(kind="expected", first=0, last=400_000))
    for number in range(0, 300_000, 2):
        claims.receive(ledger(kind="stored", first=number, last=number))
    claims.end()
    report = only(claims)
    assert (report.expected, report.stored, report.lost) == (400_001, 150_000, 250_001)


def test_bars_that_nobody_spoke_of_are_unknown_and_trades_of_that_producer_too() -> None:
    claims = claims_of(
        bars("expected", 0, 1),
        bars("stored", 0, 1),
        ledger(first=1, last=9),
        ledger(kind="stored", first=1, last=9),
        ledger(symbol="ETHUSDC", first=1, last=1, event_time_ms=FIRST_MS + 10 * MINUTE_MS),
        ledger(symbol="ETHUSDC", kind="stored", first=1, last=1),
        span=Span("BTCUSDC"),
    )
    assert claims.as_of_ms == FIRST_MS + 10 * MINUTE_MS
    assert not claims.undecided  # nothing of it is on its way
    trades, klines = claims.reports()
    assert (klines.expected, klines.stored, klines.lost, klines.unknown) == (9, 2, 0, 7)
    assert (trades.lost, trades.unknown) == (0, 0)
    since_ms = FIRST_MS + 2 * MINUTE_MS
    assert [(unknown.series, unknown.since_ms) for unknown in claims.unknown()] == [
        ((BARS,), since_ms),
        ((TRADES,), since_ms),
    ]


def test_a_producer_that_stopped_in_good_order_leaves_nothing_unknown() -> None:
    claims = claims_of(
        bars("expected", 0, 1),
        bars("stored", 0, 1),
        bars("stopped", 2, 2),
        ledger(symbol="ETHUSDC", first=1, last=1, event_time_ms=FIRST_MS + 10 * MINUTE_MS),
        span=Span("BTCUSDC"),
    )
    assert (only(claims).expected, only(claims).unknown, claims.unknown()) == (2, 0, [])


def test_series_on_two_partitions_are_counted_and_not_called_complete() -> None:
    claims = Claims(Span("BTCUSDC"), None)
    for partition, symbol, first, last in (
        (1, "BTCUSDC", 1, 9),
        (1, "ETHUSDC", 1, 9),
        (7, "BTCUSDC", 10, 12),
    ):
        for offset, kind in enumerate(("expected", "stored")):
            claims.receive(ledger(symbol=symbol, kind=kind, first=first, last=last), partition, offset)
    claims.end()
    assert (only(claims).expected, only(claims).lost) == (12, 0)
    (unknown,) = claims.unknown()
    assert (unknown.series, unknown.since_ms, unknown.until_ms) == ((TRADES,), None, None)
    assert unknown.why == (
        "events are on partitions 1 and 7, and which were first is not known; stop producers and consumers,"
        " then run: cryptostream topics --rebuild pipeline.ledger"
    )


def test_of_two_partitions_the_later_word_says_what_is_not_carried_now() -> None:
    def said(first: int, last: int, detail: str) -> LedgerMessage:
        return ledger(kind="uncarried", first=FIRST_MS + first, last=FIRST_MS + last, count=0, detail=detail)

    claims = Claims(Span(), None)
    claims.receive(said(50, 60, "no trade"), 7, 0)
    claims.receive(said(1, 9, "no trade; carried again"), 1, 0)
    (note,) = claims.uncarried_now()
    assert note.first == FIRST_MS + 50


def test_a_stream_that_is_not_carried_is_named_until_it_is_again() -> None:
    def span_of(last: int, detail: str) -> LedgerMessage:
        return ledger(
            kind="uncarried", first=FIRST_MS, last=FIRST_MS + last * MINUTE_MS, count=0, detail=detail
        )

    events = [span_of(0, "no trade"), span_of(1, "no trade"), span_of(2, "no trade")]
    (open_now,) = claims_of(*events).uncarried_now()
    assert (open_now.first, open_now.last, open_now.detail) == (
        FIRST_MS,
        FIRST_MS + 2 * MINUTE_MS,
        "no trade",
    )
    over = claims_of(*events, span_of(3, "no trade; carried again"))
    assert over.uncarried_now() == []
    assert over.note_counts()[TRADES, "uncarried"] == 1


def not_carried(first: int, last: int, detail: str) -> LedgerMessage:
    """A report of minutes, counted from FIRST_MS, in which trades were not carried."""
    begin_ms, end_ms = FIRST_MS + first * MINUTE_MS, FIRST_MS + last * MINUTE_MS
    return ledger(kind="uncarried", first=begin_ms, last=end_ms, count=0, detail=detail)


def until(minute: int) -> Span:
    return Span.of(to_ns=(FIRST_MS + minute * MINUTE_MS) * 10**6)


def test_a_stream_that_has_not_been_carried_since_before_a_time_is_not_carried_in_it() -> None:
    events = [not_carried(0, minute, "no trade") for minute in range(120)]
    for span in (since(60), since(300), until(60), until(1)):
        claims = claims_of(*events, span=span)
        assert [note.first for note in claims.uncarried_now()] == [FIRST_MS], span
        assert [note.kind for note in claims.notes()] == ["uncarried"]
        assert claims.note_counts() == {(TRADES, "uncarried"): 1}
    before = claims_of(*events, span=until(0))
    assert (before.uncarried_now(), before.notes()) == ([], [])


def test_a_stream_that_is_carried_again_was_not_carried_in_each_time_that_overlaps() -> None:
    over = not_carried(0, 90, "no trade; carried again")
    for span, seen in ((since(60), 1), (since(90), 1), (since(91), 0), (until(1), 1), (until(0), 0)):
        claims = claims_of(over, span=span)
        assert (len(claims.notes()), claims.uncarried_now()) == (seen, []), span


def test_a_stream_that_a_killed_producer_left_uncarried_is_carried_by_a_later_word() -> None:
    claims = claims_of(
        not_carried(0, 2, "no trade"), not_carried(50, 60, "no trade; carried again"), span=until(5)
    )
    assert ([note.last for note in claims.notes()], claims.uncarried_now()) == (
        [FIRST_MS + 2 * MINUTE_MS],
        [],
    )
    assert claims_of(not_carried(0, 2, "no trade"), not_carried(50, 60, "no"), span=since(10)).notes() == [
        Note(
            TRADES,
            "uncarried",
            FIRST_MS + 50 * MINUTE_MS,
            FIRST_MS + 60 * MINUTE_MS,
            FIRST_MS + 50 * MINUTE_MS,
            "no",
        )
    ]


def test_a_stream_of_which_nobody_says_any_more_that_it_is_not_carried_was_not_until_that_was_said() -> None:
    # The producer was killed, and started again: the stream is carried, and nothing had to be said.
    said = [not_carried(0, minute, "no trade") for minute in range(6)]
    killed = [*said, bars("expected", 0, 59), bars("stored", 0, 59)]
    for span, seen in ((Span(), 1), (since(5), 1), (since(30), 0)):
        assert len(claims_of(*killed, span=span).uncarried_now()) == seen, span
    # A minute between two words is no end.
    goes_on = [*said, bars("expected", 0, 6), bars("stored", 0, 6)]
    assert len(claims_of(*goes_on, span=since(6)).uncarried_now()) == 1


def test_a_book_is_unsynced_in_each_time_from_its_first_word_to_that_which_ends_it() -> None:
    def word(minute: int, detail: str) -> LedgerMessage:
        at_ms = FIRST_MS + minute * MINUTE_MS
        return ledger(stream="depth", kind="unsynced", first=7, last=9, event_time_ms=at_ms, detail=detail)

    lost, found = word(0, "update id 8 is missing"), word(90, "synced again after 5400000 ms")
    for span, seen in ((since(60), 1), (until(1), 1), (until(0), 0)):
        assert [note.detail for note in claims_of(lost, span=span).notes()] == [lost["detail"]] * seen, span
    for span, seen in ((since(60), 2), (since(91), 0), (until(60), 1), (until(0), 0)):
        assert len(claims_of(lost, found, span=span).notes()) == seen, span


def test_a_gap_of_bars_is_noted_in_each_time_that_it_reaches_into() -> None:
    gap = bars("gap", 0, 9, detail="no connection")
    for span, seen in ((since(5), 1), (since(9), 1), (since(10), 0), (until(1), 1), (until(0), 0)):
        assert len(claims_of(gap, span=span).notes()) == seen, span


def test_events_that_were_deleted_uncounted_are_unknown_for_the_time_they_were_of() -> None:
    claims = Claims(Span(), None)
    claims.take(0, Restart(5, PartitionSnapshot(offset=3, heard_ms=FIRST_MS), uncovered=True))
    claims.receive(ledger(first=1, last=9, received_time_ms=FIRST_MS + 77), 0, 5)
    claims.end()
    (unknown,) = claims.unknown()
    assert (unknown.series, unknown.since_ms, unknown.until_ms) == ((TRADES,), FIRST_MS, FIRST_MS + 77)
    later = Claims(Span.of(from_ns=(FIRST_MS + MINUTE_MS) * 10**6), None)
    later.take(0, Restart(5, PartitionSnapshot(offset=3, heard_ms=FIRST_MS), uncovered=True))
    later.receive(ledger(first=1, last=9, received_time_ms=FIRST_MS + 77), 0, 5)
    later.receive(ledger(first=10, last=19, event_time_ms=FIRST_MS + 2 * MINUTE_MS), 0, 6)
    later.end()
    assert later.unknown() == []


def test_a_time_after_the_newest_report_is_unknown_and_its_series_are_shown() -> None:
    claims = claims_of(*a_minute(0), *a_minute(1), span=since(60))
    assert not claims.looked_at
    assert [(report.series, report.expected) for report in claims.reports()] == [(TRADES, 0), (BARS, 0)]
    (unknown,) = claims.unknown()
    assert (unknown.series, unknown.since_ms) == ((TRADES, BARS), FIRST_MS + 2 * MINUTE_MS)


def test_a_time_before_a_series_began_has_nothing_of_it() -> None:
    before = Span.of(to_ns=FIRST_MS * 10**6)
    claims = claims_of(*a_minute(0), span=before)
    assert (claims.reports(), claims.unknown(), claims.looked_at) == ([], [], False)
    # One that began later is not shown beside one that was there.
    other = claims_of(
        *a_minute(0), *a_minute(5, "ETHUSDC"), span=Span.of(to_ns=(FIRST_MS + MINUTE_MS) * 10**6)
    )
    assert [(report.series, report.expected) for report in other.reports()] == [(TRADES, 10), (BARS, 1)]
    assert other.looked_at


def test_of_a_series_that_stopped_before_the_time_asked_for_nothing_is_known_there() -> None:
    stop_ms = FIRST_MS + MINUTE_MS
    stopped = [
        *a_minute(0),
        bars("stopped", 1, 1),
        ledger(kind="stopped", first=stop_ms, last=stop_ms, count=0),
    ]
    goes_on = [event for minute in range(10) for event in a_minute(minute, "ETHUSDC")]
    alone = claims_of(*stopped, *goes_on, span=since(5, symbol="BTCUSDC"))
    (unknown,) = alone.unknown()
    assert (alone.looked_at, unknown.series, unknown.since_ms) == (False, (TRADES, BARS), stop_ms)
    # It is shown beside those that go on, and is no fault: nothing was expected of it.
    of_all = claims_of(*stopped, *goes_on, span=since(5))
    assert (of_all.looked_at, of_all.unknown()) == (True, [])
    assert {report.series.symbol for report in of_all.reports()} == {"BTCUSDC", "ETHUSDC"}


def test_a_time_without_a_trade_in_which_bars_went_on_was_looked_at() -> None:
    events = [*a_minute(0), bars("expected", 1, 9), bars("stored", 1, 9)]
    claims = claims_of(*events, span=since(5, stream="trades"))
    assert (only(claims).expected, claims.looked_at, claims.unknown()) == (0, True, [])


def test_trades_without_a_date_are_shown_and_prove_nothing_of_a_time() -> None:
    claims = claims_of(ledger(event_time_ms=None), span=since(5))
    (unknown,) = claims.unknown()
    assert (claims.looked_at, unknown.series, unknown.since_ms) == (False, (TRADES,), None)


def test_bars_whose_first_ids_were_rolled_up_began_at_an_unknown_time() -> None:
    account = Account(BARS, 4)
    for number in range(0, 20, 2):
        account.enter("expected", number + 10**8, number + 10**8, None)
    claims = Claims(Span.of(to_ns=FIRST_MS * 10**6), None)
    snapshot = SeriesSnapshot(BARS, 0, 0, account, SeriesIncidents(), IdRanges())
    claims.take(0, Restart(0, PartitionSnapshot(), series=(snapshot,)))
    claims.end()
    assert claims.begun == [BARS]
