"""The events of Coinbase's streams, from the world's sources (COINBASE_KRAKEN.md §2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from simulator.protocols.coinbase.names import STATUS, parse
from simulator.protocols.coinbase.wire import Decimals, envelope
from simulator.protocols.instants import rfc3339, rfc3339_ms, trade_ns
from simulator.protocols.truth import closed_bars
from simulator.world.book import Level, changes, published_ms
from simulator.world.feed import SlotSource, Source, Timed, Trade, TradeSource
from simulator.world.market import Market

BATCH_MS: Final = 250
_STATUS_MS: Final = 5_000
_DAY_MS: Final = 86_400_000
BARS: Final = "kline_"


def open_source(markets: Mapping[str, Market], name: str, after_ms: int) -> Source | None:
    """The source of a stream; None for names that stay silent."""
    channel, product = parse(name)
    if name == STATUS:
        return _StatusSource(tuple(markets.values()), after_ms)
    market = markets.get(product)
    if market is None:
        return None
    if channel.startswith(BARS):
        return closed_bars(market, channel.removeprefix(BARS), after_ms)
    match channel:
        case "market_trades":
            return TradeSource(
                market, after_ms, lambda trades: _trades(market, trades), batch_ms=BATCH_MS, at_end=True
            )
        case "level2":
            return _BookSource(market, after_ms)
        case _:
            return _TickerSource(market, after_ms)


def trade_entries(market: Market, trades: Iterable[Trade]) -> list[dict[str, str]]:
    """Trades as the channel shows them: the side is the maker's."""
    decimals = Decimals(market)
    return [
        {
            "product_id": market.symbol,
            "trade_id": str(market.trade_numbering.shown(trade.tape_id)),
            "price": decimals.price(trade.price_ticks),
            "size": decimals.quantity(trade.lots),
            "time": rfc3339(trade_ns(trade.time_ms)),
            "side": "BUY" if trade.buyer_is_maker else "SELL",
        }
        for trade in trades
    ]


def _trades(market: Market, trades: Sequence[Trade]) -> dict[str, Any]:
    due_ms = (trades[-1].time_ms // BATCH_MS + 1) * BATCH_MS
    # The newest first, as in the snapshot.
    entries = trade_entries(market, reversed(trades))
    return envelope("market_trades", due_ms, [{"type": "update", "trades": entries}])


def level_entries(
    market: Market, time_ms: int, bids: Iterable[Level], asks: Iterable[Level]
) -> list[dict[str, str]]:
    """Levels as the channel shows them; a quantity of 0 removes one."""
    decimals, event_time = Decimals(market), rfc3339_ms(time_ms)
    return [
        {
            "side": side,
            "event_time": event_time,
            "price_level": decimals.price(ticks),
            "new_quantity": decimals.quantity(lots),
        }
        for side, levels in (("bid", bids), ("offer", asks))
        for ticks, lots in levels
    ]


class _BookSource(SlotSource):
    """All changes of the book."""

    def __init__(self, market: Market, after_ms: int) -> None:
        super().__init__(market, after_ms)
        self._state = self.first_state

    def payload(self) -> Mapping[str, Any] | None:
        state, before = self.market.book.state(self.slot), self._state
        self._state = state
        bids, asks = changes(before.bids, state.bids), changes(before.asks, state.asks)
        if not bids and not asks:
            return None
        time_ms = published_ms(self.slot)
        updates = level_entries(
            self.market, time_ms, sorted(bids.items(), reverse=True), sorted(asks.items())
        )
        event = {"type": "update", "product_id": self.market.symbol, "updates": updates}
        return envelope("l2_data", time_ms, [event])


class _TickerSource(SlotSource):
    """Best prices when they change; its day begins at midnight UTC."""

    def __init__(self, market: Market, after_ms: int) -> None:
        super().__init__(market, after_ms)
        self._sent: object = None

    def payload(self) -> Mapping[str, Any] | None:
        time_ms = published_ms(self.slot)
        top = self.market.book.top(self.slot)
        if top == self._sent or not self.market.opened(time_ms):
            return None
        self._sent = top
        event = {"type": "update", "tickers": [ticker_entry(self.market, top, time_ms)]}
        return envelope("ticker", time_ms, [event])


def ticker_entry(market: Market, top: tuple[Level, Level], time_ms: int) -> dict[str, str]:
    """The entry of the ticker channel at a time."""
    decimals = Decimals(market)
    (bid, bid_lots), (ask, ask_lots) = top
    begin_ms = time_ms - time_ms % _DAY_MS
    day = market.running.at(begin_ms, begin_ms + _DAY_MS, time_ms)
    low, high = decimals.price(day.low), decimals.price(day.high)
    return {
        "type": "ticker",
        "product_id": market.symbol,
        "price": decimals.price(day.close),
        "volume_24_h": decimals.quantity(day.base),
        "low_24_h": low,
        "high_24_h": high,
        "low_52_w": low,
        "high_52_w": high,
        "price_percent_chg_24_h": f"{Decimal(100 * (day.close - day.open)) / day.open:.8f}",
        "best_bid": decimals.price(bid),
        "best_ask": decimals.price(ask),
        "best_bid_quantity": decimals.quantity(bid_lots),
        "best_ask_quantity": decimals.quantity(ask_lots),
    }


class _StatusSource:
    """All products, every five seconds and whenever one is halted or goes on."""

    def __init__(self, markets: Sequence[Market], after_ms: int) -> None:
        self._markets = markets
        self._after_ms = after_ms

    def until(self, until_ms: int) -> Iterator[Timed]:
        while (due_ms := self._next_ms()) <= until_ms:
            self._after_ms = due_ms
            yield due_ms, 0, status_message(self._markets, {}, due_ms, "update")

    def _next_ms(self) -> int:
        edges = [edge for market in self._markets if (edge := market.halts.next_change(self._after_ms))]
        return min(((self._after_ms // _STATUS_MS + 1) * _STATUS_MS, *edges))


def status_of(market: Market, statuses: Mapping[str, str], time_ms: int) -> str:
    """A product's status: offline in a halt, else online, unless set otherwise."""
    usual = "online" if market.halts.end_of(time_ms) is None else "offline"
    return statuses.get(market.symbol, usual)


def status_message(
    markets: Iterable[Market], statuses: Mapping[str, str], time_ms: int, kind: str
) -> dict[str, Any]:
    """A message of the status channel; `kind` is "snapshot" or "update"."""
    products = [_status_entry(market, status_of(market, statuses, time_ms)) for market in markets]
    return envelope("status", time_ms, [{"type": kind, "products": products}])


def _status_entry(market: Market, status: str) -> dict[str, str]:
    instrument, decimals = market.instrument, Decimals(market)
    return {
        "product_type": "SPOT",
        "id": market.symbol,
        "base_currency": instrument.base_asset,
        "quote_currency": instrument.quote_asset,
        "base_increment": decimals.quantity(1),
        "quote_increment": decimals.price(1),
        "display_name": f"{instrument.base_asset}/{instrument.quote_asset}",
        "status": status,
        "status_message": "",
        "min_market_funds": "1",
    }
