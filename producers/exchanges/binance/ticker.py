"""The 24-hour ticker of Binance's REST interface. Pure. Source: BINANCE_SPOT.md §8.8."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from producers.exchanges.binance.parse import in_ms
from producers.exchanges.rest_port import DayTicker
from shared.errors import InvalidMessage

_LONGEST_DECIMAL: Final = 64


def ticker_of_body(symbol: str, body: Any) -> DayTicker:
    """Read `/api/v3/ticker/24hr?symbol=…`.

    Raises:
        InvalidMessage: another symbol, or a field that is missing, of another type or no number.
    """
    if type(body) is not dict:
        raise InvalidMessage("ticker", body, "a JSON object")
    if body.get("symbol") != symbol:
        raise InvalidMessage("symbol", body.get("symbol"), f"{symbol}, which was asked for")
    close_time = body.get("closeTime")
    if type(close_time) is not int or close_time <= 0:
        raise InvalidMessage("closeTime", close_time, "a time in ms or µs")
    return DayTicker(
        symbol,
        last_price=_decimal(body, "lastPrice"),
        change=_decimal(body, "priceChange"),
        change_percent=_decimal(body, "priceChangePercent"),
        high=_decimal(body, "highPrice"),
        low=_decimal(body, "lowPrice"),
        base_volume=_decimal(body, "volume"),
        quote_volume=_decimal(body, "quoteVolume"),
        weighted_average_price=_decimal(body, "weightedAvgPrice"),
        close_time_ms=in_ms(close_time),
    )


def _decimal(body: dict[str, Any], name: str) -> Decimal:
    text = body.get(name)
    # Digits only: Decimal itself accepts "NaN", "1_000" and digits of any script.
    if type(text) is str and len(text) <= _LONGEST_DECIMAL and text.isascii() and "_" not in text:
        try:
            value = Decimal(text)
        except InvalidOperation:
            pass
        else:
            if value.is_finite():
                return value
    raise InvalidMessage(name, text, "a decimal string")
