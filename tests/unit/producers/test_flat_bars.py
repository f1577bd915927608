"""Flat bars repeat the price before them, of whichever trade that is, or count as unproved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from producers import bar_sums
from producers.bar_builder import BarBuilder, BarEffect, RevisedBar, Unproved
from producers.bar_sums import REMEMBERED_MS
from producers.built_bars import BarEvent, BuiltBars
from producers.effects import LedgerEvent, Publish
from producers.start_positions import StartPosition, klines_series
from shared.topics import klines_topic
from tests.builders import trade

# A whole hour.
T = 1_785_765_600_000
SECOND, MINUTE = 1_000, 60_000
LATE_MS = REMEMBERED_MS + 180_000


def at(trade_id: int, after_ms: int, price: str, **fields: Any) -> Any:
    return trade(
        exchange="kraken",
        symbol="BTC/USD",
        trade_id=trade_id,
        trade_time_ms=T + after_ms,
        price=price,
        **fields,
    )


def begun(begin_ms: int, *intervals: str, price: str | None = "100") -> BarBuilder:
    """A builder that has seen trade 0, five minutes before it begins."""
    bars = BarBuilder("kraken", "BTC/USD", intervals)
    bars.begin(0, T + begin_ms - 5 * MINUTE, T + begin_ms, price)
    return bars


def shown(effects: Sequence[BarEffect], interval: str = "1m") -> list[tuple[str, int, str]]:
    """Kind, seconds after T, and closing price or seconds of the last one."""
    found: list[tuple[str, int, str]] = []
    for each in effects:
        if isinstance(each, Unproved):
            if each.interval == interval:
                found.append(("Unproved", (each.first - T) // SECOND, f"{(each.last - T) // SECOND}"))
        elif each.bar["interval"] == interval:
            found.append((type(each).__name__, (each.bar["open_time_ms"] - T) // SECOND, each.bar["close"]))
    return found


def published(events: Sequence[BarEvent], interval: str) -> list[tuple[int, str]]:
    """In which minute after T each closed bar opens, and its closing price."""
    return [
        ((effect.message["open_time_ms"] - T) // MINUTE, effect.message["close"])
        for _, effect in events
        if isinstance(effect, Publish) and effect.topic == klines_topic(interval)
    ]


def test_the_first_bars_have_the_price_of_the_part_before_them_that_is_not_built() -> None:
    bars = begun(30 * SECOND, "1m")
    assert bars.receive(at(1, 40 * SECOND, "106")) == []
    effects = bars.receive(at(2, 5 * MINUTE, "107"))
    assert shown(effects) == [("FinalBar", second, "106") for second in (60, 120, 180, 240)]


def test_after_a_restart_quiet_bars_of_all_intervals_have_one_price() -> None:
    known = {klines_series("kraken", "BTC/USD", "1m"): StartPosition(T + 7 * MINUTE)}
    bars = BuiltBars("kraken", "BTC/USD", ["1m", "15m"])
    bars.begin(known, T + 68 * MINUTE, warm=True)
    rows = [at(1, 3 * MINUTE, "100"), at(2, 8 * MINUTE + 10, "106"), at(3, 58 * MINUTE, "107")]
    events = bars.receive_history(T + 8 * MINUTE, rows)
    assert published(events, "1m") == [(minute, "106") for minute in range(8, 58)]
    assert published(events, "15m") == [(15, "106"), (30, "106")]


def test_a_late_trade_of_the_part_before_the_first_bar_stays_its_newest_one() -> None:
    bars = begun(10 * SECOND, "1m")
    bars.receive(at(1, 20 * SECOND, "101"))
    bars.tick(T + 40 * SECOND, 0)
    bars.receive(at(2, 15 * SECOND, "102"))
    assert bars.tick(T + 70 * SECOND, 0) == []
    assert shown(bars.tick(T + 3 * MINUTE + 2_000, 0)) == [("FinalBar", 60, "102"), ("FinalBar", 120, "102")]


def test_the_bar_before_counts_more_than_a_higher_id_in_an_earlier_one() -> None:
    """As it does without a restart between them."""
    rows = [at(100, -2, "98"), at(101, -1_001, "97"), at(102, 2_500, "99")]
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    bars.begin({}, T, warm=False)
    events = bars.receive_history(T, rows)
    assert published(events, "1s") == [(0, "98"), (0, "98")]


def test_a_trade_too_late_to_revise_leaves_no_flat_bar_at_the_price_before_it() -> None:
    bars = begun(0, "1m")
    bars.receive(at(1, 1_000, "10"))
    bars.tick(T + LATE_MS + 62_000, 0)
    assert shown(bars.receive(at(2, 61_000, "20"))) == [
        ("Unproved", 60, "60"),
        ("Unproved", 120, "180"),
        # These are young enough to be corrected.
        ("RevisedBar", 240, "20"),
        ("RevisedBar", 300, "20"),
    ]
    assert shown(bars.tick(T + LATE_MS + 182_000, 0)) == [("FinalBar", 360, "20"), ("FinalBar", 420, "20")]


def test_flat_bars_are_unproved_up_to_the_first_one_with_trades() -> None:
    bars = begun(0, "1m")
    bars.receive(at(1, 1_000, "10"))
    bars.receive(at(2, 3 * MINUTE, "15"))
    bars.tick(T + LATE_MS + 4 * MINUTE, 0)
    effects = bars.receive(at(3, 61_000, "20"))
    assert shown(effects) == [("Unproved", 60, "60"), ("Unproved", 120, "120")]
    # A bar that is unproved has a trade as well.
    assert shown(bars.receive(at(4, 2_000, "21"))) == [("Unproved", 0, "0")]
    assert shown(bars.tick(T + LATE_MS + 5 * MINUTE, 0)) == [("FinalBar", 480, "15")]


def test_a_trade_too_late_to_revise_that_does_not_close_its_bar_changes_no_flat_one() -> None:
    bars = begun(0, "1m")
    bars.receive(at(1, 1_000, "10"))
    bars.tick(T + LATE_MS, 0)
    assert shown(bars.receive(at(3, 3_000, "30")))[:2] == [("Unproved", 0, "0"), ("Unproved", 60, "60")]
    assert bars.receive(at(2, 2_000, "20")) == []
    assert shown(bars.tick(T + LATE_MS + MINUTE, 0)) == [("FinalBar", 240, "30")]


def test_flat_bars_are_unproved_if_a_trade_of_before_the_begin_comes_too_late() -> None:
    bars = begun(0, "1m")
    bars.tick(T + LATE_MS + 2_000, 0)
    effects = bars.receive(at(1, -10, "101"))
    assert shown(effects) == [("Unproved", 0, "120"), ("RevisedBar", 180, "101"), ("RevisedBar", 240, "101")]


def test_flat_bars_that_had_no_price_are_given_when_a_late_trade_has_one() -> None:
    bars = begun(0, "1m", price=None)
    assert bars.tick(T + 3 * MINUTE + 2_000, 0) == []
    effects = bars.receive(at(1, 70_000, "101"))
    assert shown(effects) == [("RevisedBar", second, "101") for second in (60, 120)]
    assert shown(bars.tick(T + 4 * MINUTE + 2_000, 0)) == [("FinalBar", 180, "101")]


def test_a_late_trade_at_the_same_price_changes_no_flat_bar() -> None:
    bars = begun(0, "1m")
    bars.tick(T + LATE_MS, 0)
    assert shown(bars.receive(at(1, 1_000, "100"))) == [("Unproved", 0, "0")]


def test_a_bar_whose_trades_are_lost_is_not_given_when_another_one_comes_late() -> None:
    bars = begun(0, "1s")
    bars.receive(at(1, 500, "101"))
    bars.receive(at(3, 900, "102"))
    bars.lost(2, 2)
    effects = bars.tick(T + 4_000, 0)
    assert shown(effects, "1s") == [("Unproved", 0, "0"), ("FinalBar", 1, "102")]
    # The bar lacks trade 2 as before; the flat one after it is known.
    assert shown(bars.receive(at(4, 950, "103")), "1s") == [("RevisedBar", 1, "103")]


def test_flat_bars_are_unproved_while_their_price_may_be_that_of_a_lost_trade() -> None:
    bars = begun(0, "1s")
    bars.receive(at(1, 1_500, "101"))
    # The trade after the lost one is of an earlier second: it does not close the bar.
    bars.receive(at(3, 900, "102"))
    effects = bars.lost(2, 2) + bars.tick(T + 4_000, 0) + bars.tick(T + 5_000, 0)
    assert shown(effects, "1s") == [("Unproved", 1, "1"), ("Unproved", 2, "2")]
    effects = bars.receive(at(4, 3_500, "103")) + bars.tick(T + 7_000, 0)
    assert shown(effects, "1s") == [("FinalBar", 3, "103"), ("FinalBar", 4, "103")]


def test_flat_bars_that_are_final_are_unproved_if_their_price_may_be_that_of_a_lost_trade() -> None:
    bars = begun(0, "1s")
    bars.receive(at(1, 1_500, "101"))
    bars.tick(T + 6_000, 0)
    bars.receive(at(3, 900, "102"))
    assert shown(bars.lost(2, 2), "1s") == [("Unproved", 1, "3")]


def test_a_bar_that_a_late_trade_was_of_is_no_flat_one() -> None:
    bars = begun(0, "1s")
    bars.tick(T + 7_000, 0)
    effects = bars.receive(at(1, 3_500, "101"))
    assert shown(effects, "1s") == [("RevisedBar", 3, "101"), ("RevisedBar", 4, "101")]
    effects = bars.receive(at(2, 1_500, "102"))
    assert shown(effects, "1s") == [("RevisedBar", 1, "102"), ("RevisedBar", 2, "102")]


def test_a_flat_bar_that_may_have_had_a_lost_trade_is_not_given_when_its_price_is_known() -> None:
    bars = begun(0, "1s")
    bars.receive(at(1, 1_500, "101"))
    bars.receive(at(3, 3_500, "103"))
    assert shown(bars.lost(2, 2) + bars.tick(T + 7_000, 0), "1s") == [
        *(("Unproved", second, f"{second}") for second in (1, 2, 3)),
        ("FinalBar", 4, "103"),
    ]
    assert bars.receive(at(4, 1_700, "102")) == []


def test_bars_with_trades_that_nobody_remembers_are_taken_for_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bar_sums, "MOST_TRADED", 2)
    bars = begun(0, "1m")
    for minute in range(1, 5):
        bars.receive(at(minute, minute * MINUTE, "10"))
    bars.tick(T + LATE_MS + 5 * MINUTE, 0)
    # Of minutes 1 and 2 it is not known any more that they have trades.
    assert shown(bars.receive(at(5, 0, "20"))) == [("Unproved", 0, "0"), ("Unproved", 60, "120")]


def test_flat_bars_published_at_another_price_are_incomplete_and_later_ones_right() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1m"])
    bars.begin({}, T, warm=False)
    bars.receive_history(T, [at(100, -5, "10")])
    bars.receive_history(T, ())
    bars.tick(T + LATE_MS + 2_000, T, lambda *_: True)
    events = bars.receive(at(101, 61_000, "20"))
    entries = [
        (effect.kind, (effect.first - T) // MINUTE, (effect.last - T) // MINUTE)
        for _, effect in events
        if isinstance(effect, LedgerEvent)
    ]
    assert entries == [("incomplete", 1, 1), ("incomplete", 2, 2), ("revised", 3, 3), ("revised", 4, 4)]
    events = bars.tick(T + LATE_MS + MINUTE + 2_000, T, lambda *_: True)
    assert published(events, "1m") == [(5, "20")]


def test_a_late_trade_is_in_the_bars_of_each_interval_once() -> None:
    """They share no sums."""
    bars = begun(0, "1s", "1m", "5m")
    bars.tick(T + 5 * MINUTE + 2_000, 0)
    bars.receive(at(1, 4 * MINUTE + 59_000, "101"))
    effects = bars.receive(at(2, 4 * MINUTE + 59_500, "102"))
    revised = [each.bar for each in effects if isinstance(each, RevisedBar)]
    assert [(bar["interval"], bar["trade_count"]) for bar in revised] == [("1s", 2), ("1m", 2), ("5m", 2)]


@pytest.mark.parametrize("prices", ["aaaa", "abab", "aabb", "abba"])
def test_no_version_of_a_bar_is_given_twice_in_a_row(prices: str) -> None:
    """Trades of a silent stream come over REST one by one, under the flat bars that the clock has closed."""
    price_of = {"a": "100", "b": "101"}
    bars = begun(0, "1s")
    effects = bars.tick(T + 40 * SECOND, T + 40 * SECOND)
    effects += bars.receive(at(6, 22_500, "100"))  # the next connection's, which shows the hole
    for number, letter in enumerate(prices, 1):
        effects += bars.receive(at(number, number * 3_000 + 500, price_of[letter]))
    given: dict[int, tuple[str, int]] = {}
    for each in effects:
        if isinstance(each, Unproved):
            continue
        version = each.bar["close"], each.bar["trade_count"]
        assert given.get(each.bar["open_time_ms"]) != version
        given[each.bar["open_time_ms"]] = version
    wanted = [price_of[letter] for letter in "a" + prices]
    assert [given[T + second * SECOND][0] for second in (1, 4, 7, 10, 13)] == wanted


def test_of_two_trades_that_come_too_late_the_one_with_the_higher_number_closes_their_bar() -> None:
    bars = begun(0, "1s")
    bars.receive(at(1, 400_000, "98"))
    bars.receive(at(3, 100_500, "98"))
    effects = bars.receive(at(2, 100_400, "99"))
    assert [each for each in effects if isinstance(each, RevisedBar)] == []
