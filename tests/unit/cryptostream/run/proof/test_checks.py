"""What counts as looked at, missing and unknown, series by series."""

from __future__ import annotations

from typing import Any

import pytest

from cryptostream.run.proof.checks import (
    KnownIds,
    PriceAges,
    Series,
    Status,
    Uncarried,
    check_bars,
    check_prices,
    check_read,
    check_recorded_prices,
    check_services,
    check_trades,
    check_uncarried,
    overdue_bars,
)
from shared.trade_ids import number

TRADES = Series("BTCUSDC", "trades")
BARS = Series("BTCUSDC", "klines", "1m")
QUOTES = Series("BTCUSDC", "quotes")
MINUTE = 60_000


@pytest.mark.parametrize(
    ("known", "before", "newest", "state"),
    [
        (KnownIds(entered=50), 10, 50, Status.OK),
        (KnownIds(entered=60), 10, 50, Status.OK),  # more have come since the exchange was asked
        (KnownIds(entered=49), 10, 50, Status.MISSING),
        (KnownIds(), 10, 50, Status.MISSING),  # no word of it: the stream never opened
        (KnownIds(), None, 50, Status.MISSING),
        (KnownIds(), 10, 10, Status.OK),  # a quiet market: nothing was traded while we listened
        (KnownIds(), 12, 10, Status.OK),  # we began to listen when all was over
        (KnownIds(stored=8), 10, 10, Status.MISSING),  # what was traded while we were off was not fetched
        (KnownIds(), -1, None, Status.OK),  # never traded at all
        (KnownIds(stored=50), None, 50, Status.OK),  # of an earlier run
        (KnownIds(entered=40, stored=50), 10, 50, Status.OK),
        (KnownIds(entered=number(1, 30)), 5_000, 30, Status.OK),  # ids have begun anew, and we know
        (KnownIds(entered=5_000), 5_000, 30, Status.MISSING),  # ids have begun anew, and we do not
        (KnownIds(entered=number(1, 29)), 5_000, 30, Status.MISSING),
    ],
)
def test_trades_are_held_to_the_exchanges_newest_id(
    known: Any, before: int | None, newest: int | None, state: Any
) -> None:
    assert check_trades(TRADES, known, before, newest).status is state


def test_trades_that_nobody_spoke_of_are_named() -> None:
    result = check_trades(TRADES, KnownIds(), 10, 50)
    assert str(result) == (
        "BTCUSDC trades: no event of it; the exchange has issued trades up to 50 since 10, when the run began"
    )


@pytest.mark.parametrize(
    ("known", "warm", "late"),
    [
        (KnownIds(entered=9 * MINUTE), True, []),
        (KnownIds(entered=7 * MINUTE), True, [8 * MINUTE, 9 * MINUTE]),
        (KnownIds(stored=8 * MINUTE), True, [9 * MINUTE]),
        (KnownIds(), True, [9 * MINUTE]),  # at least the newest
        (KnownIds(), False, [7 * MINUTE, 8 * MINUTE, 9 * MINUTE]),  # those since the run began
    ],
)
def test_bars_are_due_by_the_exchanges_clock_whether_or_not_anything_came(
    known: Any, warm: bool, late: Any
) -> None:
    began_ms, last_ms = 7 * MINUTE + 1, 9 * MINUTE
    assert list(overdue_bars(BARS, known, began_ms, last_ms, warm=warm)) == late


def test_bars_that_are_due_are_missing_if_the_exchange_has_them_and_unknown_if_it_is_silent() -> None:
    late = range(8 * MINUTE, 10 * MINUTE, MINUTE)
    assert check_bars(BARS, range(0), None).status is Status.OK
    missing = check_bars(BARS, late, [8 * MINUTE])
    assert missing.status is Status.MISSING and "480000" in missing.detail
    unknown = check_bars(BARS, late, None)
    assert unknown.status is Status.UNKNOWN and "unknown since 1970-01-01 00:08:00" in unknown.detail
    # A halt: nobody has any.
    assert check_bars(BARS, late, []).status is Status.OK


@pytest.mark.parametrize(
    ("newest_ms", "prices", "best", "answered", "state"),
    [
        (950_000, (1.0, 2.0), (3.0, 4.0), True, Status.OK),  # young
        (900_000, (1.0, 2.0), (1.0, 2.0), True, Status.OK),  # old, and still so
        (900_000, (1.0, 2.0), (1.5, 2.0), True, Status.MISSING),
        (900_000, (1.0, 2.0), None, False, Status.UNKNOWN),
        (None, None, (1.5, 2.0), True, Status.MISSING),
        (None, None, None, True, Status.OK),  # nobody offers anything
        (900_000, (None, 2.0), (None, 2.0), True, Status.OK),  # nobody bids, still
        (900_000, (None, 2.0), (1.0, 2.0), True, Status.MISSING),
    ],
)
def test_best_prices_are_checked_by_their_age_and_old_ones_by_rest(
    newest_ms: int | None, prices: Any, best: Any, answered: bool, state: Any
) -> None:
    result, age_ms = check_prices(
        QUOTES, newest_ms, prices, best, began_ms=0, asked_ms=1_000_000, answered=answered
    )
    assert result.status is state
    assert age_ms == (None if newest_ms is None else 1_000_000 - newest_ms)


def test_a_run_that_has_just_begun_may_have_no_best_price_yet() -> None:
    result, _ = check_prices(
        QUOTES, None, None, (1.0, 2.0), began_ms=990_000, asked_ms=1_000_000, answered=True
    )
    assert result.status is Status.OK


@pytest.mark.parametrize(
    ("newest_ms", "state"), [(1_200, Status.OK), (1_100, Status.MISSING), (None, Status.MISSING)]
)
def test_the_newest_recorded_quote_must_be_in_the_store(newest_ms: int | None, state: Any) -> None:
    assert check_recorded_prices(QUOTES, newest_ms, 1_234, 100).status is state


def test_a_stream_that_is_not_carried_at_the_end_is_missing_with_since_when_and_why() -> None:
    spans = [
        Uncarried(TRADES, 0, 60_000, "REST knows trade 9"),
        Uncarried(TRADES, 0, 120_000, "REST knows trade 12"),
        Uncarried(BARS, 0, 60_000, "REST has bars"),
        Uncarried(BARS, 0, 70_000, "REST has bars; carried again"),
    ]
    missing, over = check_uncarried(spans)
    assert str(missing) == "BTCUSDC trades: not carried since 1970-01-01 00:00:00: REST knows trade 12"
    assert over.status is Status.OK


def test_a_service_that_is_silent_or_never_spoke_leaves_things_unknown() -> None:
    results = check_services(
        ("producer", "consumer-trades", "consumer-book"), {"producer": 1.0, "consumer-trades": 45.0}
    )
    assert [result.status for result in results] == [Status.OK, Status.UNKNOWN, Status.UNKNOWN]
    assert "silent for 45 s" in results[1].detail and "never reported" in results[2].detail


@pytest.mark.parametrize(
    ("first", "before", "bare", "state"),
    [
        (1_022, 1_019, True, Status.MISSING),  # the first one heard is not the first one issued
        (1_020, 1_019, True, Status.OK),
        (1_015, 1_019, True, Status.OK),  # heard before the exchange was asked
        (1_022, 1_019, False, Status.OK),  # an earlier run has those
        (1_022, None, True, Status.OK),
        (5, -1, True, Status.OK),  # a new listing: nobody knows with which id it begins
        (number(1, 1_022), 1_019, True, Status.OK),  # ids have begun anew
    ],
)
def test_trades_before_the_first_one_heard_are_missing_too(
    first: Any, before: int | None, bare: bool, state: Any
) -> None:
    known = KnownIds(entered=first + 5, first=first)
    newest = (first + 5) % 2**53
    assert check_trades(TRADES, known, before, newest, bare=bare).status is state


def test_trades_before_the_first_one_heard_are_named() -> None:
    result = check_trades(TRADES, KnownIds(entered=1_022, first=1_022), 1_019, 1_022, bare=True)
    assert "trades 1020–1021 are not accounted for" in str(result)


def test_a_symbol_without_any_book_is_named_and_not_left_out() -> None:
    ages = PriceAges()
    for symbol, age_ms in (("BTCUSDC", 1_200), ("ETHUSDC", 400), ("XRPUSDC", None), ("SOLUSDC", None)):
        ages.add("quotes", symbol, 300)
        ages.add("book", symbol, age_ms)
    assert ages.in_words() == [
        "quotes 0.3 s old at most",
        "book 1.2 s old at most",
        "no book of XRPUSDC, SOLUSDC in the store yet",
    ]


def test_topics_that_were_not_read_to_their_ends_leave_the_run_unknown() -> None:
    topics = ("pipeline.ledger", "pipeline.metrics")
    assert [each.status for each in check_read(topics, {}, {})] == [Status.OK] * 2
    unread, metrics = check_read(topics, {"pipeline.ledger": "broker down"}, {})
    assert (unread.status, metrics.status) == (Status.UNKNOWN, Status.OK)
    assert str(unread) == (
        "pipeline.ledger: unknown: not read to its end (broker down), so that what was entered last is not"
        " counted; see the broker's log, and once it answers: cryptostream ledger"
    )


def test_events_that_cannot_be_read_may_tell_of_a_loss() -> None:
    refused = {"pipeline.ledger": (2, "first: 3 is after last")}
    (result,) = check_read(("pipeline.ledger",), {}, refused)
    assert result.status is Status.UNKNOWN
    assert result.detail == (
        "unknown: 2 of its events cannot be read (first: 3 is after last) and may tell of a loss;"
        " see the dead letters"
    )
