"""The ticker family of REST (BINANCE_SPOT.md §8.7, §8.8)."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any, Final

from simulator.exchange import Exchange, Window

_DAY_MS: Final = 86_400_000
_AVERAGE_MS: Final = 5 * 60_000
_EIGHT_PLACES: Final = Decimal("1.00000000")


def last_price(exchange: Exchange, symbol: str, now_ms: int) -> dict[str, Any] | None:
    """Price of the newest trade; None if there is none."""
    rows = exchange.trades(symbol, None, 1, now_ms)
    return {"symbol": symbol, "price": rows[-1].price} if rows else None


def best_quotes(exchange: Exchange, symbol: str, now_ms: int) -> dict[str, Any] | None:
    quotes = exchange.quotes(symbol, now_ms)
    if quotes is None:
        return None
    return {
        "symbol": symbol,
        "bidPrice": quotes.bid,
        "bidQty": quotes.bid_quantity,
        "askPrice": quotes.ask,
        "askQty": quotes.ask_quantity,
    }


def average_price(exchange: Exchange, symbol: str, now_ms: int, scale: int) -> dict[str, Any]:
    window = exchange.window(symbol, now_ms - _AVERAGE_MS + 1, now_ms)
    return {"mins": 5, "price": _weighted_average(window), "closeTime": window.last_time_ms * scale}


def day(exchange: Exchange, symbol: str, now_ms: int, *, mini: bool, scale: int) -> dict[str, Any]:
    """Rolling 24 hours; times in ms × `scale`."""
    window = exchange.window(symbol, now_ms - _DAY_MS, now_ms)
    ends = {
        "openTime": (now_ms - _DAY_MS) * scale,
        "closeTime": now_ms * scale,
        "firstId": window.first_trade_id,
        "lastId": window.last_trade_id,
        "count": window.trade_count,
    }
    prices = {
        "openPrice": window.open,
        "highPrice": window.high,
        "lowPrice": window.low,
        "lastPrice": window.last,
        "volume": window.base_volume,
        "quoteVolume": window.quote_volume,
    }
    if mini:
        return {"symbol": symbol, **prices, **ends}
    quotes = best_quotes(exchange, symbol, now_ms) or {}
    change = Decimal(window.last) - Decimal(window.open)
    opened = Decimal(window.open)
    return {
        "symbol": symbol,
        "priceChange": str(change),
        "priceChangePercent": str((change / opened * 100).quantize(Decimal("0.001"))) if opened else "0.000",
        "weightedAvgPrice": _weighted_average(window),
        "prevClosePrice": window.previous,
        "lastQty": window.last_quantity,
        **{name: text for name, text in quotes.items() if name != "symbol"},
        **prices,
        **ends,
    }


def _weighted_average(window: Window) -> str:
    volume = Decimal(window.base_volume)
    if not volume:
        return window.last
    with localcontext(prec=40):
        return str((Decimal(window.quote_volume) / volume).quantize(_EIGHT_PLACES))
