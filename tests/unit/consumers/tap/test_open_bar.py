"""The open bar is the exchange's last update with all trades since, whichever comes first."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from consumers.tap.open_bar import BarRow, OpenBar, Trade
from shared.messages import KlineMessage, TradeMessage
from tests.builders import kline, trade

STEP = 60_000
START = 1_785_767_100_000 // STEP * STEP


def trade_at(trade_id: int, at_ms: int, price: str = "100", quantity: str = "0.5") -> TradeMessage:
    return trade(
        trade_id=trade_id,
        trade_time_ms=START + at_ms,
        price=price,
        quantity=quantity,
        buyer_is_maker=trade_id % 3 == 0,
    )


def bar_of(trades: list[TradeMessage], open_ms: int, before: str = "100", **fields: Any) -> KlineMessage:
    """The exchange's bar of these trades, which are all of its time."""
    prices = [Decimal(each["price"]) for each in trades] or [Decimal(before)]
    quantities = [Decimal(each["quantity"]) for each in trades]
    taken = [0 if each["buyer_is_maker"] else 1 for each in trades]
    quote = [price * quantity for price, quantity in zip(prices, quantities, strict=False)]
    return kline(
        open_time_ms=START + open_ms,
        open=str(prices[0]),
        high=str(max(prices)),
        low=str(min(prices)),
        close=str(prices[-1]),
        base_volume=str(sum(quantities, Decimal(0))),
        quote_volume=str(sum(quote, Decimal(0))),
        taker_buy_base_volume=str(sum((a * b for a, b in zip(quantities, taken, strict=True)), Decimal(0))),
        taker_buy_quote_volume=str(sum((a * b for a, b in zip(quote, taken, strict=False)), Decimal(0))),
        trade_count=len(trades),
        first_trade_id=trades[0]["trade_id"] if trades else None,
        last_trade_id=trades[-1]["trade_id"] if trades else None,
        **({"closed": False} | fields),
    )


def row_of(message: KlineMessage) -> tuple[int, tuple[Any, ...]]:
    names = ("open", "high", "low", "close", "base_volume", "quote_volume")
    taker = ("taker_buy_base_volume", "taker_buy_quote_volume")
    values = (*(float(message[name]) for name in (*names, *taker)), message["trade_count"])  # type: ignore[literal-required]
    return message["open_time_ms"], values


def shown(rows: list[BarRow]) -> list[tuple[int, tuple[Any, ...]]]:
    return [(row.open_time_ms, row.values) for row in rows]


def bar_with(*messages: KlineMessage | TradeMessage) -> OpenBar:
    bar = OpenBar(STEP)
    for message in messages:
        tell(bar, message)
    return bar


def tell(bar: OpenBar, message: Any) -> None:
    if "trade_id" in message:
        bar.trade(Trade.of(message))
    else:
        bar.update(message)


def test_without_an_update_there_is_no_bar() -> None:
    assert bar_with(trade_at(1, 0), trade_at(2, 10)).take() == []


def test_a_trade_after_the_update_moves_the_bar() -> None:
    trades = [trade_at(7, 0, "100"), trade_at(8, 5, "103.5"), trade_at(9, 9, "99.25", "0.125")]
    bar = bar_with(bar_of(trades[:1], 0), *trades[1:])
    assert shown(bar.take()) == [row_of(bar_of(trades, 0))]
    assert bar.take() == []


def test_trades_that_the_update_has_are_not_added_again() -> None:
    trades = [trade_at(number, number) for number in range(4)]
    bar = bar_with(*trades, bar_of(trades[:3], 0))
    assert shown(bar.take()) == [row_of(bar_of(trades, 0))]


def test_behind_a_missing_trade_the_bar_waits_for_the_next_update() -> None:
    trades = [trade_at(number, number) for number in range(5)]
    bar = bar_with(bar_of(trades[:1], 0), trades[2], trades[3])
    assert shown(bar.take()) == [row_of(bar_of(trades[:1], 0))]
    bar.update(bar_of(trades[:3], 0))
    assert shown(bar.take()) == [row_of(bar_of(trades[:4], 0))]


def test_a_missing_trade_that_comes_late_moves_the_bar() -> None:
    trades = [trade_at(number, number) for number in range(4)]
    bar = bar_with(bar_of(trades[:1], 0), trades[2], trades[3], trades[1])
    assert shown(bar.take()) == [row_of(bar_of(trades, 0))]


def test_a_trade_of_the_next_bar_begins_it_and_completes_the_one_before() -> None:
    first, second = [trade_at(1, 0), trade_at(2, 59_999)], [trade_at(3, 60_000, "107")]
    bar = bar_with(bar_of(first[:1], 0), first[1], *second)
    assert shown(bar.take()) == [row_of(bar_of(first, 0)), row_of(bar_of(second, STEP))]


def test_a_closed_bar_ends_the_open_one() -> None:
    first = [trade_at(1, 0), trade_at(2, 59_999)]
    bar = bar_with(bar_of(first, 0), bar_of(first, 0, closed=True))
    assert bar.take() == [] and bar.newest() is None
    bar.trade(Trade.of(trade_at(3, 61_000)))
    assert shown(bar.take()) == [row_of(bar_of([trade_at(3, 61_000)], STEP))]


def test_an_update_without_trades_shows_the_price_before_until_the_first_trade() -> None:
    before = trade_at(4, -10, "99")
    bar = bar_with(bar_of([before], -STEP, closed=True), bar_of([], 0, before="99"))
    assert shown(bar.take()) == [row_of(bar_of([], 0, before="99"))]
    bar.trade(Trade.of(trade_at(5, 30, "101")))
    assert shown(bar.take()) == [row_of(bar_of([trade_at(5, 30, "101")], 0))]


def test_an_older_update_changes_nothing() -> None:
    trades = [trade_at(number, number * 1_000) for number in range(3)]
    newer = bar_of(trades, 0, event_time_ms=START + 3_000)
    older = bar_of(trades[:1], 0, event_time_ms=START + 1_000)
    bar = bar_with(newer, older, bar_of(trades, -STEP))
    assert shown(bar.take()) == [row_of(newer)]


def test_where_ids_begin_anew_the_next_update_is_awaited() -> None:
    trades = [trade_at(number, number) for number in range(100, 103)]
    bar = bar_with(bar_of(trades, 0))
    bar.take()
    tell(bar, trade_at(1, 500) | {"epoch": 1})
    assert bar.take() == []
    again = bar_of([trade_at(1, 500)], 0, event_time_ms=START + 600)
    bar.update(again)
    tell(bar, trade_at(2, 700) | {"epoch": 1})
    assert shown(bar.take()) == [row_of(bar_of([trade_at(1, 500), trade_at(2, 700)], 0))]


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[TradeMessage], list[tuple[str, int]]]:
    """Trades over some minutes, and in which order they and the exchange's updates are told.

    A step is ("trade", index) or ("update", count): the exchange's bar after so many trades.
    """
    gaps = draw(st.lists(st.integers(0, 45_000), min_size=2, max_size=25))
    at_ms, trades = 0, []
    for number, gap in enumerate(gaps):
        at_ms += gap
        price = draw(st.decimals("90", "110", places=2))
        quantity = draw(st.decimals("0.00000001", "3", places=8))
        trades.append(trade_at(10 + number, at_ms, str(price), str(quantity)))
    counts = sorted(draw(st.sets(st.integers(1, len(trades)), min_size=1)))
    steps: list[tuple[str, int]] = []
    told = 0
    while told < len(trades) or counts:
        if counts and (told == len(trades) or draw(st.booleans())):
            steps.append(("update", counts.pop(0)))
        else:
            steps.append(("trade", told))
            told += 1
    return trades, steps


def test_a_late_update_of_an_ended_bar_leaves_the_open_one_last() -> None:
    trades = [trade_at(0, 0), trade_at(1, 1), trade_at(2, 60_000)]
    bar = bar_with(*trades, bar_of(trades[:1], 0))
    opened = row_of(bar_of(trades[2:], 60_000))
    assert shown(bar.take())[-1] == opened
    bar.update(bar_of(trades[:2], 0))
    assert shown(bar.take()) == [row_of(bar_of(trades[:2], 0)), opened]
    assert bar.take() == []


def exchange_bar(trades: list[TradeMessage]) -> KlineMessage:
    """The exchange's open bar after these trades."""
    newest_ms = trades[-1]["trade_time_ms"]
    open_ms = newest_ms - newest_ms % STEP
    inside = [each for each in trades if each["trade_time_ms"] >= open_ms]
    return bar_of(inside, open_ms - START, event_time_ms=newest_ms)


@given(markets())
def test_every_row_is_a_true_bar_and_the_last_one_has_all_trades(
    market: tuple[list[TradeMessage], list[tuple[str, int]]],
) -> None:
    trades, steps = market
    # Bars of every prefix of the trades: what may be shown.
    true = {row_of(exchange_bar(trades[: count + 1])) for count in range(len(trades))}
    bar = OpenBar(STEP)
    newest: tuple[int, tuple[Any, ...]] | None = None
    for kind, number in steps:
        tell(bar, trades[number] if kind == "trade" else exchange_bar(trades[:number]))
        for row in shown(bar.take()):
            assert row in true
            newest = row
    assert newest == row_of(exchange_bar(trades))
