"""Bars and trades of a market as rows with decimals, of 8 places."""

from __future__ import annotations

from simulator.exchange import KlineRow, TradeRow
from simulator.world.bars import Bar
from simulator.world.market import Market
from simulator.world.trade_tape import Trades


def kline_row(market: Market, bar: Bar) -> KlineRow:
    """A bar with the ids and decimals that clients see."""
    price, quantity, quote = market.price, market.quantity, market.quote
    return KlineRow(
        bar.open_ms,
        price(bar.open),
        price(bar.high),
        price(bar.low),
        price(bar.close),
        quantity(bar.base),
        bar.end_ms - 1,
        quote(bar.quote),
        bar.count,
        quantity(bar.buy_base),
        quote(bar.buy_quote),
    )


def trade_rows(market: Market, trades: Trades) -> list[TradeRow]:
    """Trades with the ids and decimals that clients see."""
    columns = zip(
        trades.times_ms.tolist(),
        trades.price_ticks.tolist(),
        trades.lots.tolist(),
        trades.buyer_is_maker.tolist(),
        strict=True,
    )
    return [
        TradeRow(
            market.trade_numbering.shown(trades.first_id + index),
            market.price(price),
            market.quantity(lots),
            market.quote(price * lots),
            time_ms,
            maker,
        )
        for index, (time_ms, price, lots, maker) in enumerate(columns)
    ]
