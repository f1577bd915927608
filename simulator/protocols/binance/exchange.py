"""The seeded world as an `Exchange`: REST answers from the same functions that feed the streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from simulator.exchange import AggregateRow, Depth, KlineRow, Quotes, Span, TradeRow, Window
from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.exchange_info import symbol_entry
from simulator.protocols.binance.face import BinanceFace
from simulator.protocols.binance.feed import open_source
from simulator.protocols.port import Dialect, Surroundings
from simulator.world.book import slot_at
from simulator.world.feed import Source
from simulator.world.market import Market
from simulator.world.rows import kline_row, trade_rows
from simulator.world.world import World


class WorldExchange(World):
    """The seeded world as Binance's market; statuses are BREAK in a halt, else TRADING, by default."""

    dialect: Dialect = BINANCE

    def face(self, surroundings: Surroundings) -> BinanceFace:
        return BinanceFace(self, market_data_only=surroundings.market_data_only, summed=True)

    def open_source(self, name: str, after_ms: int) -> Source | None:
        return open_source(self.markets, name, after_ms)

    def klines(self, symbol: str, interval: str, offset_ms: int, span: Span, now_ms: int) -> list[KlineRow]:
        market = self.markets[symbol]
        if now_ms < market.first_trade_ms:
            return []
        bars = market.history.select(interval, offset_ms, span, now_ms)
        return [kline_row(market, bar) for bar in bars]

    def depth(self, symbol: str, limit: int, now_ms: int) -> Depth:
        market = self.markets[symbol]
        state = market.book.state(slot_at(now_ms))
        bids, asks = (
            [[market.price(price), market.quantity(lots)] for price, lots in side.levels(limit)]
            for side in (state.bids, state.asks)
        )
        return Depth(market.update_numbering.shown(state.update_id), bids, asks)

    def quotes(self, symbol: str, now_ms: int) -> Quotes:
        market = self.markets[symbol]
        (bid, bid_lots), (ask, ask_lots) = market.book.top(slot_at(now_ms))
        price, quantity = market.price, market.quantity
        return Quotes(price(bid), quantity(bid_lots), price(ask), quantity(ask_lots))

    def trades(self, symbol: str, from_id: int | None, limit: int, now_ms: int) -> list[TradeRow]:
        market = self.markets[symbol]
        before = market.trade_numbering.shift(now_ms)
        first_id = market.tape.id_after(now_ms) - limit if from_id is None else from_id + before
        # Trades of an earlier numbering are no longer in the lists.
        return trade_rows(market, market.tape.by_id(max(first_id, before + 1), limit, now_ms))

    def aggregates(self, symbol: str, from_id: int | None, span: Span, now_ms: int) -> list[AggregateRow]:
        market = self.markets[symbol]
        tape, limit = market.tape, span.limit
        until_ms = now_ms if span.end_ms is None else min(span.end_ms, now_ms)
        before = market.trade_numbering.shift(now_ms)
        if from_id is not None:
            first_id = from_id + (before or market.aggregate_offset)
        elif span.start_ms is not None:
            first_id = tape.id_after(span.start_ms - 1)
        else:
            first_id = tape.id_after(until_ms) - limit
        return [
            AggregateRow(
                row.trade_id if before else row.trade_id - market.aggregate_offset,
                row.price,
                row.quantity,
                row.trade_id,
                row.trade_id,
                row.trade_time_ms,
                row.buyer_is_maker,
            )
            for row in trade_rows(market, tape.by_id(max(first_id, before + 1), limit, until_ms))
        ]

    def window(self, symbol: str, from_ms: int, now_ms: int) -> Window:
        market = self.markets[symbol]
        if now_ms < market.first_trade_ms:
            return _NO_WINDOW
        total = market.history.over(from_ms, now_ms)
        last = market.tape.last_before(now_ms + 1)
        previous = market.tape.last_before(from_ms)
        price, quantity, quote = market.price, market.quantity, market.quote
        return Window(
            price(total.open),
            price(total.high),
            price(total.low),
            price(total.close),
            quantity(int(last.lots[0])),
            price(int(previous.price_ticks[0]) if len(previous) else 0),
            quantity(total.base),
            quote(total.quote),
            market.trade_numbering.shown(total.first_id),
            market.trade_numbering.shown(total.last_id),
            total.count,
            int(last.times_ms[0]),
        )

    def _status(self, market: Market, now_ms: int) -> str:
        usual = "TRADING" if market.halts.end_of(now_ms) is None else "BREAK"
        return self.statuses.get(market.symbol, usual)

    def symbol_entries(self, now_ms: int) -> list[Mapping[str, Any]]:
        return [
            symbol_entry(
                symbol,
                market.instrument.base_asset,
                market.instrument.quote_asset,
                tick_size=market.price(1),
                step_size=market.quantity(1),
                status=self._status(market, now_ms),
            )
            for symbol, market in self.markets.items()
        ]


_NO_WINDOW: Final = Window("0", "0", "0", "0", "0", "0", "0", "0", -1, -1, 0, 0)
