"""The events of Kraken's streams, from the world's sources (COINBASE_KRAKEN.md §4.2, §4.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from simulator.outgoing import JsonNumber
from simulator.protocols.instants import rfc3339, rfc3339_ms, trade_ns
from simulator.protocols.kraken.names import INSTRUMENT, StreamName, parse
from simulator.protocols.kraken.wire import Decimals
from simulator.protocols.truth import closed_bars
from simulator.world.book import BookState, Level, Side, changes, published_ms
from simulator.world.feed import SlotSource, Source, Timed, Trade, TradeSource
from simulator.world.market import Market

# Trades of one message lie within so many ms of each other.
_BATCH_MS: Final = 10
_DAY_MS: Final = 86_400_000


def open_source(markets: Mapping[str, Market], name: str, after_ms: int) -> Source | None:
    """The source of a stream; None for names that stay silent."""
    stream = parse(name)
    if name == INSTRUMENT:
        return _InstrumentSource(tuple(markets.values()), after_ms)
    market = markets.get(stream.symbol)
    return _source(market, stream, after_ms) if market else None


def _source(market: Market, stream: StreamName, after_ms: int) -> Source | None:
    match stream.kind:
        case "trade":
            decimals = Decimals(market)
            return TradeSource(
                market,
                after_ms,
                lambda trades: message("trade", "update", trade_entries(market, decimals, trades)),
                batch_ms=_BATCH_MS,
            )
        case "book":
            return _BookSource(market, after_ms, int(stream.detail))
        case "ticker":
            return _TickerSource(market, after_ms, on_trades=stream.detail == "trades")
        case "kline":
            return closed_bars(market, stream.detail, after_ms)
        case _:
            return None


def message(channel: str, kind: str, data: Any) -> dict[str, Any]:
    """A frame's payload; `kind` is "snapshot" or "update"."""
    return {"channel": channel, "type": kind, "data": data}


def trade_entries(market: Market, decimals: Decimals, trades: Sequence[Trade]) -> list[dict[str, Any]]:
    """Trades as the channel shows them; the side is the taker's."""
    return [
        {
            "symbol": market.symbol,
            "side": "sell" if trade.buyer_is_maker else "buy",
            "price": decimals.price(trade.price_ticks),
            "qty": decimals.quantity(trade.lots),
            "ord_type": order_type(trade.lots),
            "trade_id": market.trade_numbering.shown(trade.tape_id),
            "timestamp": rfc3339(trade_ns(trade.time_ms)),
        }
        for trade in trades
    ]


def order_type(lots: int) -> str:
    """The taker's order: the world does not know it, so its size decides."""
    return "limit" if lots % 2 else "market"


def book_snapshot(market: Market, depth: int, state: BookState, time_ms: int) -> dict[str, Any]:
    """The whole book of a depth as the channel's first message."""
    decimals = Decimals(market)
    asks, bids = state.asks.levels(depth), state.bids.levels(depth)
    entry = {
        "symbol": market.symbol,
        "bids": [decimals.level(level) for level in bids],
        "asks": [decimals.level(level) for level in asks],
        "checksum": decimals.checksum(asks, bids),
        "timestamp": rfc3339_ms(time_ms),
    }
    return message("book", "snapshot", [entry])


class _BookSource(SlotSource):
    """Changes within a depth. What better prices push out of it gets no message: clients cut it off."""

    def __init__(self, market: Market, after_ms: int, depth: int) -> None:
        super().__init__(market, after_ms)
        self._depth = depth
        self._decimals = Decimals(market)
        self._state = self.first_state

    def payload(self) -> Mapping[str, Any] | None:
        state, before = self.market.book.state(self.slot), self._state
        self._state = state
        bids = self._changes(before.bids, state.bids)
        asks = self._changes(before.asks, state.asks)
        if not bids and not asks:
            return None
        decimals = self._decimals
        entry = {
            "symbol": self.market.symbol,
            "bids": [decimals.level(level) for level in sorted(bids, reverse=True)],
            "asks": [decimals.level(level) for level in sorted(asks)],
            "checksum": decimals.checksum(state.asks.levels(10), state.bids.levels(10)),
            "timestamp": rfc3339_ms(published_ms(self.slot)),
        }
        return message("book", "update", [entry])

    def _changes(self, before: Side, now: Side) -> list[Level]:
        found = changes(self._cut(before), self._cut(now))
        if 0 in found.values():
            there = set(now.prices.tolist())
            # Still in the book, but no longer within the depth.
            return [(price, lots) for price, lots in found.items() if lots or price not in there]
        return list(found.items())

    def _cut(self, side: Side) -> Side:
        return Side(side.prices[: self._depth], side.lots[: self._depth])


class _TickerSource(SlotSource):
    """Best prices when they change, or after trades; its day begins at midnight UTC."""

    def __init__(self, market: Market, after_ms: int, *, on_trades: bool) -> None:
        super().__init__(market, after_ms)
        self._on_trades = on_trades
        self._sent: object = None

    def payload(self) -> Mapping[str, Any] | None:
        time_ms = published_ms(self.slot)
        top = self.market.book.top(self.slot)
        moved = self.market.tape.id_after(time_ms) if self._on_trades else top
        if moved == self._sent or not self.market.opened(time_ms):
            return None
        self._sent = moved
        return message("ticker", "update", [ticker_entry(self.market, top, time_ms)])


def ticker_entry(market: Market, top: tuple[Level, Level], time_ms: int) -> dict[str, Any]:
    """The entry of the ticker channel at a time."""
    decimals = Decimals(market)
    (bid, bid_lots), (ask, ask_lots) = top
    begin_ms = time_ms - time_ms % _DAY_MS
    day = market.running.at(begin_ms, begin_ms + _DAY_MS, time_ms)
    change = day.close - day.open
    sign = "-" if change < 0 else ""
    return {
        "symbol": market.symbol,
        "bid": decimals.price(bid),
        "bid_qty": decimals.quantity(bid_lots),
        "ask": decimals.price(ask),
        "ask_qty": decimals.quantity(ask_lots),
        "last": decimals.price(day.close),
        "volume": decimals.quantity(day.base),
        "vwap": decimals.price(day.quote // day.base if day.base else day.close),
        "low": decimals.price(day.low),
        "high": decimals.price(day.high),
        "change": JsonNumber(sign + decimals.price(abs(change))),
        "change_pct": JsonNumber(f"{Decimal(100 * change) / day.open:.2f}"),
        "timestamp": rfc3339_ms(time_ms),
    }


class _InstrumentSource:
    """Statuses of pairs when they change."""

    def __init__(self, markets: Sequence[Market], after_ms: int) -> None:
        self._markets = markets
        self._after_ms = after_ms

    def until(self, until_ms: int) -> Iterator[Timed]:
        found = []
        for market in self._markets:
            edge = market.halts.next_change(self._after_ms)
            while edge is not None and edge <= until_ms:
                found.append((edge, market))
                edge = market.halts.next_change(edge)
        self._after_ms = max(self._after_ms, until_ms)
        for time_ms, market in sorted(found, key=lambda item: item[0]):
            halted = market.halts.end_of(time_ms) is not None
            pair = pair_entry(market, "maintenance" if halted else "online")
            yield time_ms, 0, message("instrument", "update", {"assets": [], "pairs": [pair]})


def pair_entry(market: Market, status: str) -> dict[str, Any]:
    """A pair of the instrument channel."""
    instrument, decimals = market.instrument, Decimals(market)
    return {
        "symbol": market.symbol,
        "base": instrument.base_asset,
        "quote": instrument.quote_asset,
        "status": status,
        "qty_precision": 8,
        "qty_increment": JsonNumber("0.00000001"),
        "price_precision": instrument.price_decimals,
        "price_increment": decimals.price(1),
        "cost_precision": 5,
        "cost_min": JsonNumber("0.50"),
        "qty_min": decimals.quantity(1),
        "marginable": False,
        "has_index": True,
    }


def asset_entry(asset: str) -> dict[str, Any]:
    """An asset of the instrument channel."""
    return {
        "id": asset,
        "status": "enabled",
        "precision": 10,
        "precision_display": 5,
        "borrowable": False,
        "collateral_value": JsonNumber("1.00"),
    }
