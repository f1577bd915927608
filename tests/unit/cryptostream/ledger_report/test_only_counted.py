"""Reports of a ledger that keeps some of its ids by number alone: never complete where that is not known."""

from __future__ import annotations

import io
from typing import Any

import pytest

from consumers.ledger_account import MAX_RANGES, Account
from consumers.ledger_incidents import SeriesIncidents
from consumers.ledger_snapshot import PartitionSnapshot, Restart, SeriesSnapshot
from cryptostream.ledger_report.claims import Claims
from cryptostream.ledger_report.output import disagreements, write_csv, write_table
from cryptostream.ledger_report.recount import Found, compare
from cryptostream.ledger_report.report import Recount, SeriesReport, Span
from cryptostream.ledger_report.survey import Survey
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from tests.builders import NOW_MS

MINUTE_MS = 60_000
FIRST = NOW_MS // MINUTE_MS
TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
BARS = LedgerSeries("binance", "BTCUSDC", "klines", "1m")
FIRST_HOUR = Span(from_ms=FIRST * MINUTE_MS, to_ms=(FIRST + 60) * MINUTE_MS)
# An account of an earlier version: the first 1,000 bars are rolled up, of which 60 are lost.
ROLLED_UP = {"floor": FIRST + 1_000, "settled": [1_000, 930, 40, 5, 5, 60, 0]}


def old_account(series: LedgerSeries = BARS, **fields: Any) -> Account:
    """1,000 bars, all stored, after those that are rolled up."""
    account = Account(series, MAX_RANGES)
    account.enter("expected", FIRST + 1_000, FIRST + 1_999, None)
    account.enter("stored", FIRST + 1_000, FIRST + 1_999, None)
    state = account.state()
    kept = {name: state[name] for name in ("sets", "incomplete", "heard", "stopped_ms", "dates")}
    return Account.of(series, kept | ROLLED_UP | fields)


def interleaved() -> Account:
    """2,000 bars, every other one stored, the others offline; all but the newest are known to be settled."""
    account = Account(BARS, 200)
    account.enter("expected", FIRST, FIRST + 1_999, None)
    for number in range(FIRST, FIRST + 2_000):
        account.enter("offline" if number % 2 else "stored", number, number, None)
    return account


def read(account: Account, span: Span | None = None) -> Claims:
    """The claims as read from a snapshot of the account."""
    snapshot = SeriesSnapshot(account.series, 1, 0, account, SeriesIncidents(), IdRanges())
    claims = Claims(span or Span(), None)
    claims.take(0, Restart(1, PartitionSnapshot(1), (snapshot,), {account.series: 1}))
    claims.end()
    return claims


def reported(claims: Claims, *recounts: Recount) -> tuple[SeriesReport, Survey, str]:
    (report,) = claims.reports()
    survey = Survey("a snapshot", [report], [], {}, [], unknown=claims.unknown(), recounts=list(recounts))
    out = io.StringIO()
    write_table(survey, out)
    return report, survey, out.getvalue()


def recounted(claims: Claims, *in_store: tuple[int, int], series: LedgerSeries = BARS) -> Recount:
    ids = IdRanges(in_store)
    found = Found(ids=ids, with_indicators=ids)
    return compare(series, claims.claimed(series), found, claims.ever_stored(series), leading_bare=False)


def test_an_hour_of_which_nothing_is_kept_by_id_is_not_called_complete() -> None:
    claims = read(old_account(), FIRST_HOUR)
    (unknown,) = claims.unknown()
    assert (unknown.series, unknown.since_ms, unknown.until_ms) == (
        (BARS,),
        None,
        (FIRST + 1_000) * MINUTE_MS,
    )
    assert unknown.why == ("older than what is kept by id, known by number alone: 1,000 expected, 60 lost")
    report, survey, text = reported(claims)
    assert (report.expected, report.lost, report.stored, report.backfilled) == (0, 0, None, None)
    assert not survey.complete and "NOT COMPLETE" in text and unknown.why in text


def test_a_time_that_is_kept_by_id_is_complete_whatever_is_known_of_the_time_before() -> None:
    claims = read(old_account(), Span(from_ms=(FIRST + 1_000) * MINUTE_MS))
    report, survey, _ = reported(claims, recounted(claims, (FIRST + 1_000, FIRST + 1_999)))
    assert (report.expected, report.stored, report.backfilled, report.lost) == (1_000, 1_000, 0, 0)
    assert survey.complete


@pytest.mark.parametrize("lost", [0, 60])
def test_of_all_time_the_numbers_are_enough_unless_some_are_lost(lost: int) -> None:
    claims = read(old_account(settled=[1_000, 990 - lost, 40, 5, 5, lost, 0]))
    report, survey, _ = reported(claims)
    assert (report.expected, report.stored, report.lost) == (2_000, 1_990 - lost, lost)
    assert bool(claims.unknown()) == bool(lost) and survey.complete == (not lost)


def test_trades_whose_time_is_not_known_may_be_of_any_time() -> None:
    assert read(old_account(TRADES), Span(from_ms=NOW_MS)).unknown()


def test_rows_that_are_known_by_number_alone_are_compared_by_it() -> None:
    claims = read(old_account())
    whole = ((FIRST, FIRST + 929), (FIRST + 1_000, FIRST + 1_999))
    outcome = recounted(claims, *whole)
    assert (outcome.agrees, outcome.checked, outcome.by_number) == (True, 1_930, 930)
    assert list(disagreements(outcome)) == [
        "BTCUSDC klines 1m: 930 in the store were compared by their number alone"
    ]
    fewer = recounted(claims, (FIRST, FIRST + 900), whole[1])
    assert (fewer.agrees, fewer.fewer, fewer.missing.count) == (False, 29, 0)
    # What was counted as lost or excused may have been stored since; beyond that they are too many.
    assert recounted(claims, (FIRST, FIRST + 1_999)).agrees
    more = recounted(claims, (FIRST - 10, FIRST + 1_999))
    assert (more.agrees, more.more, more.unclaimed.count) == (False, 10, 0)
    _, survey, text = reported(claims, fewer, more)
    assert "29 claimed by number alone are not in the store" in text
    assert "10 in the store are more than were claimed by number alone" in text
    out = io.StringIO()
    write_csv(Survey("", survey.series, [], {}, [], recounts=[fewer]), out)
    assert out.getvalue().endswith(",29,0,0\n")


def test_rows_that_are_kept_by_id_are_compared_by_id_all_the_same() -> None:
    claims = read(old_account())
    outcome = recounted(claims, (FIRST, FIRST + 929), (FIRST + 1_001, FIRST + 2_000))
    assert (outcome.missing.count, outcome.unclaimed.count) == (1, 1)


def test_for_a_time_without_a_number_it_is_said_that_nothing_was_compared() -> None:
    claims = read(interleaved(), FIRST_HOUR)
    outcome = recounted(claims, *((n, n) for n in range(FIRST, FIRST + 60, 2)))
    assert (outcome.agrees, outcome.uncompared, outcome.by_number) == (True, True, 30)
    report, survey, text = reported(claims, outcome)
    assert (report.expected, report.lost) == (60, 0)  # that none is lost is known by id
    assert (report.stored, report.offline, report.halted) == (None, None, None)
    assert not survey.complete and "not all of the store could be compared" in text
    assert claims.unknown() == [] and reported(claims)[1].complete


def test_rows_that_may_have_expired_are_not_missing_by_number() -> None:
    claims = read(old_account())
    asked = claims.claimed(BARS)
    ids = IdRanges([(FIRST + 1_000, FIRST + 1_999)])
    for expired, uncompared in ((FIRST + 500, True), (FIRST + 999, False)):
        outcome = compare(
            BARS,
            type(asked)(asked.stored, IdRanges(), expired, asked.only_counted, asked.counted),
            Found(ids=ids, with_indicators=ids),
            asked.stored,
            leading_bare=False,
        )
        assert (outcome.agrees, outcome.expired, outcome.uncompared) == (True, 930, uncompared)


@pytest.mark.parametrize(("series", "of_the_hour"), [(TRADES, (3_600, 200, 1_800)), (BARS, (60, 60, 30))])
def test_twelve_thousand_repairs_hide_neither_a_lost_hour_nor_a_row(
    series: LedgerSeries, of_the_hour: tuple[int, int, int]
) -> None:
    account = Account(series, MAX_RANGES)
    count = 12_000
    for number in range(count):
        first = FIRST + 2 * number
        account.enter("expected", first, first + 1, FIRST * MINUTE_MS + 2_000 * number)
        if number >= 100:
            account.enter("stored", first, first + 1, None)
        account.enter("repaired", first, first, None)
    claims = read(Account.of(series, account.state()), FIRST_HOUR)
    report, survey, _ = reported(claims)
    assert (report.expected, report.lost, report.backfilled) == of_the_hour
    assert not survey.complete
    claims = read(account)
    stored = (FIRST + 200, FIRST + 2 * count - 1)
    assert recounted(claims, stored, series=series).agrees
    without_one = recounted(claims, (stored[0] + 1, stored[1]), series=series)
    assert without_one.missing.count == 1


def test_undated_trades_that_are_only_counted_make_only_the_time_of_their_row_unknown() -> None:
    account = Account(TRADES, 100)
    account.enter("expected", 0, 9, NOW_MS)
    for number in range(0, 2_000, 2):
        account.enter("lost", number, number, None)
    assert account.rolled_up.floor > 10
    minute_ms = NOW_MS - NOW_MS % MINUTE_MS
    (unknown,) = read(account, Span(from_ms=minute_ms)).unknown()
    assert unknown.until_ms == minute_ms + MINUTE_MS
    later = read(account, Span(from_ms=minute_ms + MINUTE_MS)).unknown()
    assert not any("known by number alone" in each.why for each in later)
