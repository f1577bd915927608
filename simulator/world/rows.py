"""Bars and trades of a market as rows with decimals, of 8 places."""

from __future__ import annotations

from simulator.exchange import KlineRow, TradeRow
from simulator.world.bars import Bar
from simulator.world.feed import trades_of
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
    return [
        TradeRow(
            market.trade_numbering.shown(trade.tape_id),
            market.price(trade.price_ticks),
            market.quantity(trade.lots),
            market.quote(trade.price_ticks * trade.lots),
            trade.time_ms,
            trade.buyer_is_maker,
        )
        for trade in trades_of(trades)
    ]
