"""The seeded world as an `Exchange`: REST answers from the same functions that feed the streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from simulator.exchange import AggregateRow, Depth, KlineRow, Quotes, Span, TradeRow, Window
from simulator.protocol.exchange_info import symbol_entry
from simulator.world.bars import Bar
from simulator.world.book import slot_at
from simulator.world.feed import WorldFeed
from simulator.world.halts import Halts
from simulator.world.market import Market
from simulator.world.numbering import numbering_at
from simulator.world.trade_tape import Trades


class WorldExchange:
    """Markets of several symbols from one seed.

    Args:
        clock_start_ms: where the streams begin, `start_ms` or later: a later part of the same world.
        halts: by symbol, when it is in BREAK.
        listed_ms: by symbol, when it is listed, where that is not years ago.
        trade_restarts_ms, update_restarts_ms: by symbol, when ids begin again at 1.

    Attributes:
        feed: what is streamed of them.
        statuses: exchangeInfo's status by symbol; where nothing is set, BREAK in a halt, else TRADING.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        seed: int,
        start_ms: int,
        rate: float,
        *,
        clock_start_ms: int | None = None,
        halts: Mapping[str, Halts] | None = None,
        listed_ms: Mapping[str, int] | None = None,
        trade_restarts_ms: Mapping[str, Sequence[int]] | None = None,
        update_restarts_ms: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self._trade_restarts_ms = trade_restarts_ms or {}
        self._update_restarts_ms = update_restarts_ms or {}
        self.seed = seed
        self.start_ms = start_ms
        self.clock_start_ms = start_ms if clock_start_ms is None else max(start_ms, clock_start_ms)
        self._markets = {
            symbol: Market(
                symbol,
                seed,
                start_ms,
                rate,
                (halts or {}).get(symbol),
                listed_ms=(listed_ms or {}).get(symbol),
                trade_restarts_ms=self._trade_restarts_ms.get(symbol, ()),
                update_restarts_ms=self._update_restarts_ms.get(symbol, ()),
            )
            for symbol in symbols
        }
        self.feed = WorldFeed(self._markets, self.clock_start_ms)
        self.statuses: dict[str, str] = {}

    @property
    def symbols(self) -> Sequence[str]:
        return tuple(self._markets)

    def numbering(self, record: str, symbol: str, time_ms: int) -> int:
        """How often the ids of trades ("trade") or of the book ("depth") have begun anew up to a time."""
        restarts = self._trade_restarts_ms if record == "trade" else self._update_restarts_ms
        return numbering_at(restarts.get(symbol, ()), time_ms)

    def klines(self, symbol: str, interval: str, offset_ms: int, span: Span, now_ms: int) -> list[KlineRow]:
        market = self._markets[symbol]
        if now_ms < market.first_trade_ms:
            return []
        bars = market.history.select(interval, offset_ms, span, now_ms)
        return [_kline_row(market, bar) for bar in bars]

    def depth(self, symbol: str, limit: int, now_ms: int) -> Depth:
        market = self._markets[symbol]
        state = market.book.state(slot_at(now_ms))
        bids, asks = (
            [[market.price(price), market.quantity(lots)] for price, lots in side.levels(limit)]
            for side in (state.bids, state.asks)
        )
        return Depth(market.update_numbering.shown(state.update_id), bids, asks)

    def quotes(self, symbol: str, now_ms: int) -> Quotes:
        market = self._markets[symbol]
        (bid, bid_lots), (ask, ask_lots) = market.book.top(slot_at(now_ms))
        price, quantity = market.price, market.quantity
        return Quotes(price(bid), quantity(bid_lots), price(ask), quantity(ask_lots))

    def trades(self, symbol: str, from_id: int | None, limit: int, now_ms: int) -> list[TradeRow]:
        market = self._markets[symbol]
        before = market.trade_numbering.shift(now_ms)
        first_id = market.tape.id_after(now_ms) - limit if from_id is None else from_id + before
        # Of an earlier numbering nothing is in the lists any more.
        return _trade_rows(market, market.tape.by_id(max(first_id, before + 1), limit, now_ms))

    def aggregates(self, symbol: str, from_id: int | None, span: Span, now_ms: int) -> list[AggregateRow]:
        market = self._markets[symbol]
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
            for row in _trade_rows(market, tape.by_id(max(first_id, before + 1), limit, until_ms))
        ]

    def window(self, symbol: str, from_ms: int, now_ms: int) -> Window:
        market = self._markets[symbol]
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
            for symbol, market in self._markets.items()
        ]


_NO_WINDOW: Final = Window("0", "0", "0", "0", "0", "0", "0", "0", -1, -1, 0, 0)


def _kline_row(market: Market, bar: Bar) -> KlineRow:
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


def _trade_rows(market: Market, trades: Trades) -> list[TradeRow]:
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
