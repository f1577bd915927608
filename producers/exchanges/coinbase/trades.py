"""A trade of Coinbase, which the stream and both REST interfaces give with the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from producers.exchanges.fields import choice_of, field_of, whole_of
from producers.exchanges.rfc3339 import time_ns
from producers.exchanges.values import decimal_text
from shared.errors import InvalidMessage
from shared.message_checks import CHECKS_OF_FOREIGN
from shared.messages import Source, TradeMessage
from shared.models import SCHEMA_VERSION

EXCHANGE: Final = "coinbase"

# The maker's side (COINBASE_KRAKEN.md §1): the aggressor's is the opposite. REST writes it small.
_BUYER_IS_MAKER: Final[Mapping[str, bool]] = {"BUY": True, "SELL": False, "buy": True, "sell": False}


def trade_of(
    fields: dict[str, Any],
    symbol: str,
    received_ms: int,
    *,
    source: Source,
    event_ms: int | None,
    latest_ms: int,
) -> TradeMessage:
    """A checked trade.

    Args:
        symbol: as we publish it.
        event_ms: the exchange's time of the message; None over REST.
        latest_ms: times after this lie beyond the exchange's clock.

    Raises:
        InvalidMessage: it breaks the contract; the field is `trade_time_ms` if the time lies ahead.
    """
    trade_ms = time_ns("time", field_of(fields, "time")) // 1_000_000
    if trade_ms > latest_ms:
        raise InvalidMessage(
            "trade_time_ms", trade_ms, f"a time up to {latest_ms}, the latest by the exchange's clock"
        )
    trade: TradeMessage = {
        "schema": SCHEMA_VERSION,
        "exchange": EXCHANGE,
        "symbol": symbol,
        "event_time_ms": event_ms,
        "received_time_ms": received_ms,
        "source": source,
        "trade_id": whole_of(fields, "trade_id"),
        "price": decimal_text("price", field_of(fields, "price")),
        "quantity": decimal_text("size", field_of(fields, "size")),
        "trade_time_ms": trade_ms,
        "buyer_is_maker": choice_of(fields, "side", _BUYER_IS_MAKER),
    }
    CHECKS_OF_FOREIGN["trade"](trade)  # type: ignore[arg-type]  # a TypedDict is a dict
    return trade
