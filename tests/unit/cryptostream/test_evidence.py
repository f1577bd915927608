"""What counts as looked at, missing and unknown, series by series."""

from __future__ import annotations

import pytest

from cryptostream.embedded.evidence import (
    Known,
    PriceAges,
    Series,
    State,
    Uncarried,
    bars_to_ask_for,
    look_at_bars,
    look_at_prices,
    look_at_recorded_prices,
    look_at_trades,
    looks_at_services,
    looks_at_uncarried,
)
from shared.trade_ids import number

TRADES = Series("BTCUSDC", "trades")
BARS = Series("BTCUSDC", "klines", "1m")
QUOTES = Series("BTCUSDC", "quotes")
MINUTE = 60_000


@pytest.mark.parametrize(
    ("known", "before", "newest", "state"),
    [
        (Known(entered=50), 10, 50, State.SEEN),
        (Known(entered=60), 10, 50, State.SEEN),  # more have come since the exchange was asked
        (Known(entered=49), 10, 50, State.MISSING),
        (Known(), 10, 50, State.MISSING),  # no word of it: the stream never opened
        (Known(), None, 50, State.MISSING),
        (Known(), 10, 10, State.SEEN),  # a quiet market: nothing was traded while we listened
        (Known(), 12, 10, State.SEEN),  # we began to listen when all was over
        (Known(stored=8), 10, 10, State.MISSING),  # what was traded while we were off was not fetched
        (Known(), -1, None, State.SEEN),  # never traded at all
        (Known(stored=50), None, 50, State.SEEN),  # of an earlier run
        (Known(entered=40, stored=50), 10, 50, State.SEEN),
        (Known(entered=number(1, 30)), 5_000, 30, State.SEEN),  # ids have begun anew, and we know
        (Known(entered=5_000), 5_000, 30, State.MISSING),  # ids have begun anew, and we do not
        (Known(entered=number(1, 29)), 5_000, 30, State.MISSING),
    ],
)
def test_trades_are_held_to_the_exchanges_newest_id(known, before, newest, state):
    assert look_at_trades(TRADES, known, before, newest).state is state


def test_trades_that_nobody_spoke_of_are_named():
    look = look_at_trades(TRADES, Known(), 10, 50)
    assert str(look) == (
        "BTCUSDC trades: no word of it; the exchange has issued trades up to 50 since 10, when the run began"
    )


@pytest.mark.parametrize(
    ("known", "warm", "late"),
    [
        (Known(entered=9 * MINUTE), True, []),
        (Known(entered=7 * MINUTE), True, [8 * MINUTE, 9 * MINUTE]),
        (Known(stored=8 * MINUTE), True, [9 * MINUTE]),
        (Known(), True, [9 * MINUTE]),  # at least the newest
        (Known(), False, [7 * MINUTE, 8 * MINUTE, 9 * MINUTE]),  # those since the run began
    ],
)
def test_bars_are_due_by_the_exchanges_clock_whether_or_not_anything_came(known, warm, late):
    began_ms, last_ms = 7 * MINUTE + 1, 9 * MINUTE
    assert list(bars_to_ask_for(BARS, known, began_ms, last_ms, warm=warm)) == late


def test_bars_that_are_due_are_missing_if_the_exchange_has_them_and_unknown_if_it_is_silent():
    late = range(8 * MINUTE, 10 * MINUTE, MINUTE)
    assert look_at_bars(BARS, range(0), None).state is State.SEEN
    missing = look_at_bars(BARS, late, [8 * MINUTE])
    assert missing.state is State.MISSING and "480000" in missing.said
    unknown = look_at_bars(BARS, late, None)
    assert unknown.state is State.UNKNOWN and "unknown since 1970-01-01 00:08:00" in unknown.said
    # A halt: nobody has any.
    assert look_at_bars(BARS, late, []).state is State.SEEN


@pytest.mark.parametrize(
    ("newest_ms", "prices", "best", "answered", "state"),
    [
        (950_000, (1.0, 2.0), (3.0, 4.0), True, State.SEEN),  # young
        (900_000, (1.0, 2.0), (1.0, 2.0), True, State.SEEN),  # old, and still so
        (900_000, (1.0, 2.0), (1.5, 2.0), True, State.MISSING),
        (900_000, (1.0, 2.0), None, False, State.UNKNOWN),
        (None, None, (1.5, 2.0), True, State.MISSING),
        (None, None, None, True, State.SEEN),  # nobody offers anything
        (900_000, (None, 2.0), (None, 2.0), True, State.SEEN),  # nobody bids, still
        (900_000, (None, 2.0), (1.0, 2.0), True, State.MISSING),
    ],
)
def test_best_prices_are_judged_by_their_age_and_old_ones_by_rest(newest_ms, prices, best, answered, state):
    look, age_ms = look_at_prices(
        QUOTES, newest_ms, prices, best, began_ms=0, asked_ms=1_000_000, answered=answered
    )
    assert look.state is state
    assert age_ms == (None if newest_ms is None else 1_000_000 - newest_ms)


def test_a_run_that_has_just_begun_may_have_no_best_price_yet():
    look, _ = look_at_prices(
        QUOTES, None, None, (1.0, 2.0), began_ms=990_000, asked_ms=1_000_000, answered=True
    )
    assert look.state is State.SEEN


@pytest.mark.parametrize(
    ("newest_ms", "state"), [(1_200, State.SEEN), (1_100, State.MISSING), (None, State.MISSING)]
)
def test_the_newest_recorded_quote_must_be_in_the_store(newest_ms, state):
    assert look_at_recorded_prices(QUOTES, newest_ms, 1_234, 100).state is state


def test_a_stream_that_is_not_carried_at_the_end_is_missing_with_since_when_and_why():
    spans = [
        Uncarried(TRADES, 0, 60_000, "REST knows trade 9"),
        Uncarried(TRADES, 0, 120_000, "REST knows trade 12"),
        Uncarried(BARS, 0, 60_000, "REST has bars"),
        Uncarried(BARS, 0, 70_000, "REST has bars; carried again"),
    ]
    missing, over = looks_at_uncarried(spans)
    assert str(missing) == "BTCUSDC trades: not carried since 1970-01-01 00:00:00: REST knows trade 12"
    assert over.state is State.SEEN


def test_a_service_that_is_silent_or_never_spoke_leaves_things_unknown():
    looks = looks_at_services(
        ("producer", "consumer-trades", "consumer-book"), {"producer": 1.0, "consumer-trades": 45.0}
    )
    assert [look.state for look in looks] == [State.SEEN, State.UNKNOWN, State.UNKNOWN]
    assert "silent for 45 s" in looks[1].said and "never said a word" in looks[2].said


@pytest.mark.parametrize(
    ("first", "before", "bare", "state"),
    [
        (1_022, 1_019, True, State.MISSING),  # the first one heard is not the first one issued
        (1_020, 1_019, True, State.SEEN),
        (1_015, 1_019, True, State.SEEN),  # heard before the exchange was asked
        (1_022, 1_019, False, State.SEEN),  # an earlier run has those
        (1_022, None, True, State.SEEN),
        (5, -1, True, State.SEEN),  # a new listing: nobody knows with which id it begins
        (number(1, 1_022), 1_019, True, State.SEEN),  # ids have begun anew
    ],
)
def test_trades_before_the_first_one_heard_are_missing_too(first, before, bare, state):
    known = Known(entered=first + 5, first=first)
    newest = (first + 5) % 2**53
    assert look_at_trades(TRADES, known, before, newest, bare=bare).state is state


def test_trades_before_the_first_one_heard_are_named():
    look = look_at_trades(TRADES, Known(entered=1_022, first=1_022), 1_019, 1_022, bare=True)
    assert "trades 1020–1021 are not accounted for" in str(look)


def test_a_symbol_without_any_book_is_named_and_not_left_out():
    ages = PriceAges()
    for symbol, age_ms in (("BTCUSDC", 1_200), ("ETHUSDC", 400), ("XRPUSDC", None), ("SOLUSDC", None)):
        ages.add("quotes", symbol, 300)
        ages.add("book", symbol, age_ms)
    assert ages.in_words() == [
        "quotes 0.3 s old at most",
        "book 1.2 s old at most",
        "no book of XRPUSDC, SOLUSDC in the store yet",
    ]
