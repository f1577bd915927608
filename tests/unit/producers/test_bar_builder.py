"""Bars built from trades: exact, final only when no trade can change them, in any order of arrival."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers import bar_builder
from producers.bar_builder import BarBuilder, BarEffect, FinalBar, RevisedBar, Unproved
from producers.bar_sums import REMEMBERED_MS
from shared.messages import KlineMessage, check
from shared.trade_ids import number
from tests.builders import NOW_MS, trade

INTERVALS = ("1s", "1m", "5m")
HOUR_MS = NOW_MS - NOW_MS % 3_600_000


def at(trade_id: int, ms: int, price: str = "100", quantity: str = "1", **fields: Any) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=HOUR_MS + ms, price=price, quantity=quantity, **fields)


def builder(*intervals: str) -> BarBuilder:
    """A builder that has seen trade 0 at the very end of the hour before."""
    bars = BarBuilder("kraken", "BTC/USD", intervals or ("1s",))
    bars.begin(0, HOUR_MS - 1, HOUR_MS, "99")
    return bars


def final(effects: list[BarEffect], interval: str = "1s") -> list[KlineMessage]:
    return [each.bar for each in effects if isinstance(each, FinalBar) and each.bar["interval"] == interval]


def opened(effects: list[BarEffect], interval: str = "1s") -> list[int]:
    return [bar["open_time_ms"] - HOUR_MS for bar in final(effects, interval)]


def test_a_bar_has_the_sums_of_its_trades() -> None:
    bars = builder()
    for each in (
        at(1, 10, "100.10", "0.50000000"),
        at(2, 20, "100.30", "0.25000000", buyer_is_maker=True),
        at(3, 999, "100.20", "1.00000000"),
    ):
        assert bars.receive(each) == []
    (effect,) = bars.receive(at(4, 1_000))
    assert isinstance(effect, FinalBar)
    check("kline", effect.bar)
    assert effect.bar == effect.bar | {
        "exchange": "kraken",
        "symbol": "BTC/USD",
        "interval": "1s",
        "open_time_ms": HOUR_MS,
        "close_time_ms": HOUR_MS + 999,
        "event_time_ms": HOUR_MS + 1_000,
        "open": "100.10",
        "high": "100.30",
        "low": "100.10",
        "close": "100.20",
        "base_volume": "1.75000000",
        "quote_volume": "175.3250000000",
        "trade_count": 3,
        "taker_buy_base_volume": "1.50000000",
        "taker_buy_quote_volume": "150.2500000000",
        "first_trade_id": 1,
        "last_trade_id": 3,
        "closed": True,
    }


def test_an_interval_without_trades_is_flat_at_the_last_close() -> None:
    bars = builder()
    effects = bars.receive(at(1, 2_500, "101")) + bars.receive(at(2, 4_100, "102"))
    assert opened(effects) == [0, 1_000, 2_000, 3_000]
    shapes = [
        (bar["open"], bar["close"], bar["trade_count"], bar["first_trade_id"]) for bar in final(effects)
    ]
    assert shapes == [("99", "99", 0, -1), ("99", "99", 0, -1), ("101", "101", 1, 1), ("101", "101", 0, -1)]
    for bar in final(effects):
        check("kline", bar)


def test_the_clock_ends_a_bar_after_its_grace_and_not_before() -> None:
    bars = builder()
    bars.receive(at(1, 10))
    assert bars.tick(HOUR_MS + 1_000 + bar_builder.GRACE_MS - 1, 0) == []
    assert opened(bars.tick(HOUR_MS + 1_000 + bar_builder.GRACE_MS, 0)) == [0]
    assert bars.final_to_ms == HOUR_MS + 1_000


def test_no_bar_is_final_while_a_trade_below_is_missing() -> None:
    bars = builder()
    bars.receive(at(1, 10))
    assert bars.receive(at(3, 2_500)) == []
    assert bars.tick(HOUR_MS + 60_000, 0) == []
    assert [(hole.first, hole.last) for hole in bars.holes] == [(2, 2)]
    effects = bars.receive(at(2, 900, "105"))
    assert opened(effects)[:3] == [0, 1_000, 2_000]
    assert (final(effects)[0]["close"], final(effects)[0]["trade_count"]) == ("105", 2)


def test_an_id_that_was_never_issued_is_missed_by_no_bar() -> None:
    bars = builder()
    bars.receive(at(1, 10))
    bars.receive(at(4, 1_500))
    assert bars.never_issued(2, 2) == []
    assert opened(bars.never_issued(3, 3)) == [0]


def test_a_lost_trade_leaves_the_bars_unproved_that_it_may_belong_to() -> None:
    bars = builder(*INTERVALS)
    bars.receive(at(1, 61_500))
    bars.receive(at(4, 64_500))
    effects = bars.lost(2, 3) + bars.receive(at(5, 300_000))
    unproved = [each for each in effects if isinstance(each, Unproved)]
    seconds = [61_000, 62_000, 63_000, 64_000]
    expected = {("1s", ms) for ms in seconds} | {("1m", 60_000), ("5m", 0)}
    assert {(each.interval, each.first - HOUR_MS) for each in unproved} == expected
    assert not {bar["open_time_ms"] - HOUR_MS for bar in final(effects)} & set(seconds)
    # Each hole narrows by what is found of it.
    bars.receive(at(8, 303_500))
    effects = bars.receive(at(7, 303_100)) + bars.lost(6, 6) + bars.receive(at(9, 305_000))
    unproved = [each for each in effects if isinstance(each, Unproved) and each.interval == "1s"]
    assert [each.first - HOUR_MS for each in unproved] == [300_000, 301_000, 302_000, 303_000]


def test_bars_that_the_clock_has_closed_are_unproved_too_if_a_lost_trade_may_belong_to_them() -> None:
    bars = builder("1s", "5m")
    bars.receive(at(1, 1_500))
    bars.tick(HOUR_MS + 9_000, 0)
    assert bars.final_to_ms == HOUR_MS + 7_000
    bars.receive(at(3, 10_500))
    effects = bars.lost(2, 2)
    assert effects[0] == Unproved("1s", HOUR_MS + 1_000, HOUR_MS + 6_000)
    effects += bars.receive(at(4, 300_000))
    unproved = [each for each in effects[1:] if isinstance(each, Unproved)]
    expected = {("1s", ms) for ms in (7_000, 8_000, 9_000, 10_000)} | {("5m", 0)}
    assert {(each.interval, each.first - HOUR_MS) for each in unproved} == expected
    assert [(each.last - each.first) for each in unproved] == [0] * 5


def test_a_lost_trade_leaves_no_bar_unproved_that_is_not_built() -> None:
    bars = BarBuilder("kraken", "BTC/USD", ("1s",))
    bars.begin(0, HOUR_MS - 5_000, HOUR_MS, "99")
    bars.tick(HOUR_MS + 4_000, 0)
    bars.receive(at(2, 4_500))
    assert bars.lost(1, 1)[0] == Unproved("1s", HOUR_MS, HOUR_MS + 1_000)


def test_a_late_trade_revises_its_bars_and_the_flat_ones_after_it() -> None:
    bars = builder("1s", "1m")
    bars.receive(at(1, 100))
    bars.tick(HOUR_MS + 6_000, 0)  # 4 s are final
    effects = bars.receive(at(2, 1_500, "103"))
    revised = [each for each in effects if isinstance(each, RevisedBar)]
    assert [each.trade_id for each in revised] == [2] * len(effects)
    bars_after = [each.bar for each in revised]
    shapes = [(bar["open_time_ms"] - HOUR_MS, bar["close"], bar["trade_count"]) for bar in bars_after]
    assert shapes == [(1_000, "103", 1), (2_000, "103", 0), (3_000, "103", 0)]
    effects = bars.receive(at(3, 60_000))
    (minute,) = final(effects, "1m")
    assert (minute["close"], minute["trade_count"]) == ("103", 2)
    assert final(effects)[0]["open"] == "103"


def test_a_trade_too_late_to_revise_leaves_its_bar_unproved() -> None:
    bars = builder()
    bars.receive(at(1, 100))
    bars.tick(HOUR_MS + REMEMBERED_MS + 10_000, 0)
    assert bars.receive(at(2, 200)) == [Unproved("1s", HOUR_MS, HOUR_MS)]


def test_a_trade_that_is_known_changes_nothing() -> None:
    bars = builder()
    bars.receive(at(1, 10))
    assert bars.receive(at(1, 10)) == []
    assert bars.receive(at(0, 5)) == []
    assert final(bars.receive(at(2, 1_000)))[0]["trade_count"] == 1


def test_bars_that_began_before_the_first_known_trade_are_not_built() -> None:
    bars = BarBuilder("coinbase", "BTC-USD", INTERVALS)
    effects = bars.receive(at(500, 90_300))
    for trade_id in range(1, 600):
        effects += bars.receive(at(500 + trade_id, 90_300 + trade_id * 1_000))
    assert (opened(effects)[0], opened(effects, "1m")[0], opened(effects, "5m")) == (
        91_000,
        120_000,
        [300_000],
    )


def test_flat_bars_begin_with_the_newest_trade_before_the_first_bar() -> None:
    bars = BarBuilder("kraken", "BTC/USD", ("1s",))
    bars.begin(0, HOUR_MS + 100, HOUR_MS + 200, "99")
    # In the second that is not built, and the second one not in order.
    assert bars.receive(at(2, 800, "101")) == bars.receive(at(1, 700, "100")) == []
    bars.tick(HOUR_MS + 4_000, NOW_MS)
    effects = bars.tick(HOUR_MS + 5_000, NOW_MS)
    assert [bar["open"] for bar in final(effects)] == ["101"]
    # A late one corrects those that are final, up to the first with trades.
    bars.receive(at(4, 4_100, "103"))
    (revised, *_, fixed) = bars.receive(at(3, 900, "102"))
    assert isinstance(revised, RevisedBar)
    assert (revised.bar["open_time_ms"], revised.bar["close"], revised.trade_id) == (
        HOUR_MS + 1_000,
        "102",
        3,
    )
    assert isinstance(fixed, FinalBar | RevisedBar)
    assert fixed.bar["close"] == "102"


def test_a_numbering_that_begins_anew_lacks_what_lies_below_its_first_trade() -> None:
    bars = builder()
    bars.receive(at(1, 10))
    assert bars.receive(at(3, 1_500, epoch=1)) == []
    assert [hole[:2] for hole in bars.holes] == [(number(1, 1), number(1, 2))]
    bars.receive(at(2, 1_400, epoch=1))
    assert opened(bars.receive(at(1, 1_300, epoch=1))) == [0]
    assert opened(bars.receive(at(4, 2_500, epoch=1))) == [1_000]
    assert number(1, 7) > number(0, 1)


def test_a_numbering_that_begins_anew_with_its_first_trade_lacks_none() -> None:
    bars = builder()
    bars.receive(at(1, 10))
    assert opened(bars.receive(at(1, 1_500, epoch=1))) == [0]
    assert bars.holes == ()


def test_trades_that_are_issued_and_not_known_are_missing() -> None:
    bars = builder()
    bars.receive(at(1, 10))
    bars.issued(1, 5_000)
    assert bars.holes == ()
    bars.issued(3, 5_000)
    assert bars.tick(HOUR_MS + 60_000, HOUR_MS + 60_000) == []
    assert bars.receive(at(2, 20)) == []
    bars_of = final(bars.receive(at(3, 1_500)), "1s")
    assert [bar["trade_count"] for bar in bars_of][:3] == [2, 1, 0]


def test_the_running_bar_has_all_trades_up_to_now() -> None:
    bars = builder(*INTERVALS)
    for trade_id, ms in enumerate((100, 59_000, 61_000, 62_100, 62_200), 1):
        bars.receive(at(trade_id, ms, f"{100 + trade_id}"))
    running = {name: bars.running(name, 5) for name in INTERVALS}
    assert [bar and bar["trade_count"] for bar in running.values()] == [2, 3, 5]
    five = running["5m"]
    assert five is not None
    assert (five["open"], five["close"], five["closed"]) == ("101", "105", False)
    check("kline", five)


def test_after_a_night_bars_come_an_hour_at_a_time() -> None:
    bars = builder()
    first = bars.receive(at(1, 10_000_000))
    assert len(first) == bar_builder.MOST_PASSED_MS // 1_000
    rest = []
    while more := bars.tick(HOUR_MS, 0):
        rest += more
    assert opened(first + rest) == list(range(0, 10_000_000, 1_000))


@pytest.mark.parametrize("limit", ["MOST_HOLES", "MOST_SECONDS"])
def test_what_waits_for_missing_trades_is_bounded(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(bar_builder, limit, 3)
    bars = builder()
    effects = []
    for trade_id in range(2, 30, 2):
        effects += bars.receive(at(trade_id, trade_id * 1_000))
    assert len(bars.holes) <= 3
    assert any(isinstance(each, Unproved) for each in effects)


TRADES = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(1, 500), st.integers(1, 400), st.booleans()),
    min_size=1,
    max_size=25,
)


@given(TRADES, st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_any_order_of_arrival_gives_the_bars_of_the_sorted_trades(found: Any, random: Any) -> None:
    last_ms = 40_000
    moments = sorted(found)
    trades = [
        at(trade_id, ms, f"{price / 100:.2f}", f"{quantity / 1000:.3f}", buyer_is_maker=maker)
        for trade_id, (ms, price, quantity, maker) in enumerate(moments, 1)
    ]
    trades.append(at(len(trades) + 1, last_ms))
    # Without the clock nothing is final before all below it is there: the order cannot matter.
    shuffled = trades[:]
    random.shuffle(shuffled)
    bars = builder("1s", "1m")
    effects = [effect for each in shuffled for effect in bars.receive(each)]
    assert not any(isinstance(each, RevisedBar | Unproved) for each in effects)
    assert opened(effects) == list(range(0, last_ms, 1_000))
    close = "99"
    for bar in final(effects):
        own = [
            each for each in trades if bar["open_time_ms"] <= each["trade_time_ms"] <= bar["close_time_ms"]
        ]
        prices = [Decimal(each["price"]) for each in own] or [Decimal(close)]
        close = own[-1]["price"] if own else close
        assert (Decimal(bar["high"]), Decimal(bar["low"])) == (max(prices), min(prices))
        assert (bar["open"], bar["close"]) == (own[0]["price"] if own else close, close)
        assert Decimal(bar["base_volume"]) == sum(Decimal(each["quantity"]) for each in own)
        quote = sum(Decimal(each["price"]) * Decimal(each["quantity"]) for each in own)
        assert Decimal(bar["quote_volume"]) == quote
        assert bar["trade_count"] == len(own)


@pytest.mark.thorough
@given(TRADES, st.randoms(use_true_random=False), st.lists(st.integers(0, 30_000), max_size=6))
@settings(max_examples=120)
def test_with_late_trades_the_last_version_of_each_bar_is_exact(found: Any, random: Any, clocks: Any) -> None:
    """Times may be out of the order of ids, and the clock may end bars before their trades come."""
    trades = [
        at(trade_id, ms, f"{price / 100:.2f}", f"{quantity / 1000:.3f}", buyer_is_maker=maker)
        for trade_id, (ms, price, quantity, maker) in enumerate(found, 1)
    ]
    events = [*trades, *sorted(clocks)]
    random.shuffle(events)
    bars = builder("1s", "5m")
    effects: list[BarEffect] = []
    for event in events:
        effects += bars.tick(HOUR_MS + event, 0) if isinstance(event, int) else bars.receive(event)
    effects += bars.tick(HOUR_MS + 300_000 + bar_builder.GRACE_MS, 0)
    assert not any(isinstance(each, Unproved) for each in effects)
    newest = {
        (each.bar["interval"], each.bar["open_time_ms"]): each.bar
        for each in effects
        if isinstance(each, FinalBar | RevisedBar)
    }
    assert len(newest) == 301
    for interval in ("1s", "5m"):
        close = "99"
        for (_, open_ms), bar in sorted(((k, v) for k, v in newest.items() if k[0] == interval), key=_key):
            own = [each for each in trades if open_ms <= each["trade_time_ms"] <= bar["close_time_ms"]]
            opening, close = (own[0]["price"], own[-1]["price"]) if own else (close, close)
            assert (bar["open"], bar["close"], bar["trade_count"]) == (opening, close, len(own))
            assert Decimal(bar["base_volume"]) == sum(Decimal(each["quantity"]) for each in own)


def _key(item: tuple[tuple[str, int], KlineMessage]) -> tuple[str, int]:
    return item[0]
