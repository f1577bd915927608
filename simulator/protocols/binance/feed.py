"""The events of Binance's streams (BINANCE_SPOT.md §4), from the world's sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.protocols.binance.stream_names import StreamName, parse_stream_name
from simulator.world.bars import Bar
from simulator.world.book import changes, published_ms, update_id
from simulator.world.feed import SlotSource, Source, Trade, TradeSource
from simulator.world.kline_feed import KlineSource
from simulator.world.market import Market


def open_source(markets: Mapping[str, Market], name: str, after_ms: int) -> Source | None:
    """The source of a stream; None for names that stay silent."""
    stream = parse_stream_name(name)
    market = markets.get(stream.symbol) if stream else None
    if stream is None or market is None:
        return None
    match stream.kind:
        case "trade":
            return TradeSource(market, after_ms, lambda trades: _trade(market, trades[0]))
        case "aggTrade":
            return TradeSource(market, after_ms, lambda trades: _aggregate(market, trades[0]))
        case "kline":
            interval = stream.interval
            return KlineSource(
                market, interval, stream.offset_ms, after_ms,
                lambda bar, time_ms, closed: _kline(market, interval, bar, time_ms, closed=closed),
            )  # fmt: skip
        case _:
            return _BookSource(market, stream, after_ms)


def _trade(market: Market, trade: Trade) -> dict[str, Any]:
    return {
        "e": "trade",
        # The event has the millisecond of the trade, so that stream and REST always agree.
        "E": trade.time_ms,
        "s": market.symbol,
        "t": market.trade_numbering.shown(trade.tape_id),
        "p": market.price(trade.price_ticks),
        "q": market.quantity(trade.lots),
        "T": trade.time_ms,
        "m": trade.buyer_is_maker,
        "M": True,
    }


def _aggregate(market: Market, trade: Trade) -> dict[str, Any]:
    shown = market.trade_numbering.shown(trade.tape_id)
    return {
        "e": "aggTrade",
        "E": trade.time_ms,
        "s": market.symbol,
        "a": market.aggregate_id(trade.tape_id),
        "p": market.price(trade.price_ticks),
        "q": market.quantity(trade.lots),
        "f": shown,
        "l": shown,
        "T": trade.time_ms,
        "m": trade.buyer_is_maker,
        "M": True,
    }


def _kline(market: Market, interval: str, bar: Bar, time_ms: int, *, closed: bool) -> dict[str, Any]:
    price, quantity, quote = market.price, market.quantity, market.quote
    return {
        "e": "kline",
        "E": time_ms,
        "s": market.symbol,
        "k": {
            "t": bar.open_ms,
            "T": bar.end_ms - 1,
            "s": market.symbol,
            "i": interval,
            "f": market.trade_numbering.shown(bar.first_id),
            "L": market.trade_numbering.shown(bar.last_id),
            "o": price(bar.open),
            "c": price(bar.close),
            "h": price(bar.high),
            "l": price(bar.low),
            "v": quantity(bar.base),
            "n": bar.count,
            "x": closed,
            "q": quote(bar.quote),
            "V": quantity(bar.buy_base),
            "Q": quote(bar.buy_quote),
            "B": "0",
        },
    }


class _BookSource(SlotSource):
    def __init__(self, market: Market, stream: StreamName, after_ms: int) -> None:
        super().__init__(market, after_ms, stream.pace_slots)
        self._stream = stream
        self._state = self.first_state
        self._sent_id = self._state.update_id
        self._sent_top: object = None

    def payload(self) -> Mapping[str, Any] | None:
        match self._stream.kind:
            case "bookTicker":
                return self._ticker()
            case "partial":
                return self._partial()
            case _:
                return self._diff()

    def _diff(self) -> dict[str, Any] | None:
        # Every level touched since the last diff, with its present quantity: also one that changed and
        # changed back, since a snapshot taken in between shows the change.
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        state = self._state
        for slot in range(state.slot + 1, self.slot + 1):
            later = self.market.book.state(slot)
            bids |= changes(state.bids, later.bids)
            asks |= changes(state.asks, later.asks)
            state = later
        self._state = state
        if not bids and not asks:
            return None
        first_id, self._sent_id = self._sent_id + 1, state.update_id
        shown_first, shown_last = self.market.update_numbering.span(first_id, self._sent_id)
        return {
            "e": "depthUpdate",
            "E": published_ms(self.slot),
            "s": self.market.symbol,
            "U": shown_first,
            "u": shown_last,
            "b": self._levels(sorted(bids.items(), reverse=True)),
            "a": self._levels(sorted(asks.items())),
        }

    def _partial(self) -> dict[str, Any] | None:
        state = self.market.book.state(self.slot)
        count = self._stream.levels
        top = (state.bids.levels(count), state.asks.levels(count))
        if top == self._sent_top:
            return None
        self._sent_top = top
        return {
            "lastUpdateId": self.market.update_numbering.shown(state.update_id),
            "bids": self._levels(top[0]),
            "asks": self._levels(top[1]),
        }

    def _ticker(self) -> dict[str, Any] | None:
        bid, ask = self.market.book.top(self.slot)
        if (bid, ask) == self._sent_top:
            return None
        self._sent_top = (bid, ask)
        price, quantity = self.market.price, self.market.quantity
        return {
            "u": self.market.update_numbering.shown(update_id(self.slot)),
            "s": self.market.symbol,
            "b": price(bid[0]),
            "B": quantity(bid[1]),
            "a": price(ask[0]),
            "A": quantity(ask[1]),
        }

    def _levels(self, levels: Any) -> list[list[str]]:
        price, quantity = self.market.price, self.market.quantity
        return [[price(ticks), quantity(lots)] for ticks, lots in levels]
