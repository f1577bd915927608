"""The messages as plain dictionaries, with the checks of the hot path.

A message is a dict whose keys are the contract's names (DESIGN §4.2). Producers check before they encode,
consumers after they decode; `shared.models` says the same in pydantic, 20 times slower, and a property test
holds the two equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal, TypedDict, get_args

import orjson

from shared.errors import InvalidMessage
from shared.models import SCHEMA_VERSION, LedgerKind

Source = Literal["stream", "backfill", "replay"]
Levels = list[list[str]]


class KlineMessage(TypedDict):
    schema: int
    exchange: str
    symbol: str
    event_time_ms: int | None
    received_time_ms: int
    source: Source
    interval: str
    open_time_ms: int
    close_time_ms: int
    open: str
    high: str
    low: str
    close: str
    base_volume: str
    quote_volume: str
    trade_count: int
    taker_buy_base_volume: str
    taker_buy_quote_volume: str
    first_trade_id: int | None
    last_trade_id: int | None
    closed: bool


class TradeMessage(TypedDict):
    schema: int
    exchange: str
    symbol: str
    event_time_ms: int | None
    received_time_ms: int
    source: Source
    trade_id: int
    price: str
    quantity: str
    trade_time_ms: int
    buyer_is_maker: bool


class DepthMessage(TypedDict):
    schema: int
    exchange: str
    symbol: str
    event_time_ms: int | None
    received_time_ms: int
    source: Source
    kind: Literal["diff", "snapshot"]
    first_update_id: int
    final_update_id: int
    bids: Levels
    asks: Levels


class BookMessage(TypedDict):
    schema: int
    exchange: str
    symbol: str
    event_time_ms: int | None
    received_time_ms: int
    source: Source
    update_id: int
    bids: Levels
    asks: Levels
    synced: bool
    age_ms: int


class QuoteMessage(TypedDict):
    schema: int
    exchange: str
    symbol: str
    event_time_ms: int | None
    received_time_ms: int
    source: Source
    update_id: int
    bid_price: str
    bid_quantity: str
    ask_price: str
    ask_quantity: str


class LedgerMessage(TypedDict):
    schema: int
    exchange: str
    symbol: str
    event_time_ms: int | None
    received_time_ms: int
    source: Source
    stream: str
    interval: str | None
    kind: str
    first: int
    last: int
    count: int
    detail: str | None


AnyMessage = KlineMessage | TradeMessage | DepthMessage | BookMessage | QuoteMessage | LedgerMessage

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_is_decimal: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?").fullmatch
_SOURCES: Final = frozenset(("stream", "backfill", "replay"))
_LEDGER_STREAMS: Final = frozenset(("klines", "trades", "depth", "book", "quotes"))
_LEDGER_KINDS: Final = frozenset(get_args(LedgerKind))


def _count(message: dict[str, Any], *fields: str) -> None:
    for field in fields:
        value = message[field]
        if type(value) is not int or not 0 <= value <= _INT64_MAX:
            raise InvalidMessage(field, value, "an integer from 0 to 2^63-1")


def _int64(message: dict[str, Any], *fields: str) -> None:
    for field in fields:
        value = message[field]
        if type(value) is not int or not _INT64_MIN <= value <= _INT64_MAX:
            raise InvalidMessage(field, value, "a 64-bit integer")


def _int64_or_null(message: dict[str, Any], *fields: str) -> None:
    for field in fields:
        if message[field] is not None:
            _int64(message, field)


def _decimal(message: dict[str, Any], *fields: str) -> None:
    for field in fields:
        value = message[field]
        if type(value) is not str or not _is_decimal(value):
            raise InvalidMessage(field, value, "a decimal string")


def _flag(message: dict[str, Any], field: str) -> None:
    if type(message[field]) is not bool:
        raise InvalidMessage(field, message[field], "true or false")


def _name(message: dict[str, Any], *fields: str) -> None:
    for field in fields:
        value = message[field]
        if type(value) is not str or not 1 <= len(value) <= 64:
            raise InvalidMessage(field, value, "a name of 1 to 64 characters")


def _one_of(message: dict[str, Any], field: str, allowed: frozenset[str]) -> None:
    value = message[field]
    if type(value) is not str or value not in allowed:
        raise InvalidMessage(field, value, f"one of {', '.join(sorted(allowed))}")


def _levels(message: dict[str, Any], *fields: str) -> None:
    for field in fields:
        levels = message[field]
        if type(levels) is not list:
            raise InvalidMessage(field, levels, "a list of levels")
        for level in levels:
            if type(level) is not list or len(level) != 2:
                raise InvalidMessage(field, level, "a [price, quantity] pair")
            price, quantity = level
            if type(price) is not str or type(quantity) is not str:
                raise InvalidMessage(field, level, "a pair of decimal strings")
            if not _is_decimal(price) or not _is_decimal(quantity):
                raise InvalidMessage(field, level, "a pair of decimal strings")


def _common(message: dict[str, Any]) -> None:
    if type(message["schema"]) is not int or message["schema"] != SCHEMA_VERSION:
        raise InvalidMessage("schema", message["schema"], f"{SCHEMA_VERSION}, the schema version known here")
    _name(message, "exchange", "symbol")
    if message["event_time_ms"] is not None:
        _count(message, "event_time_ms")
    _count(message, "received_time_ms")
    _one_of(message, "source", _SOURCES)


def _check_kline(message: dict[str, Any]) -> None:
    _common(message)
    _name(message, "interval")
    _count(message, "open_time_ms", "close_time_ms", "trade_count")
    _decimal(message, "open", "high", "low", "close", "base_volume", "quote_volume")
    _decimal(message, "taker_buy_base_volume", "taker_buy_quote_volume")
    _int64_or_null(message, "first_trade_id", "last_trade_id")
    _flag(message, "closed")


def _is_good_trade(message: dict[str, Any]) -> bool:
    """The checks of a trade in one expression: trades are the most frequent messages, nearly all good."""
    schema = message["schema"]
    event_time_ms = message["event_time_ms"]
    exchange, symbol = message["exchange"], message["symbol"]
    price, quantity = message["price"], message["quantity"]
    return (
        type(schema) is int
        and schema == SCHEMA_VERSION
        and type(exchange) is str
        and 1 <= len(exchange) <= 64
        and type(symbol) is str
        and 1 <= len(symbol) <= 64
        and (event_time_ms is None or (type(event_time_ms) is int and 0 <= event_time_ms <= _INT64_MAX))
        and type(message["received_time_ms"]) is int
        and 0 <= message["received_time_ms"] <= _INT64_MAX
        and type(message["source"]) is str
        and message["source"] in _SOURCES
        and type(message["trade_id"]) is int
        and 0 <= message["trade_id"] <= _INT64_MAX
        and type(message["trade_time_ms"]) is int
        and 0 <= message["trade_time_ms"] <= _INT64_MAX
        and type(price) is str
        and _is_decimal(price) is not None
        and type(quantity) is str
        and _is_decimal(quantity) is not None
        and type(message["buyer_is_maker"]) is bool
    )


def _check_trade(message: dict[str, Any]) -> None:
    if _is_good_trade(message):
        return
    # One of these says what is wrong.
    _common(message)
    _count(message, "trade_id", "trade_time_ms")
    _decimal(message, "price", "quantity")
    _flag(message, "buyer_is_maker")


def _check_depth(message: dict[str, Any]) -> None:
    _common(message)
    _one_of(message, "kind", frozenset(("diff", "snapshot")))
    _count(message, "first_update_id", "final_update_id")
    _levels(message, "bids", "asks")


def _check_book(message: dict[str, Any]) -> None:
    _common(message)
    _count(message, "update_id")
    _int64(message, "age_ms")
    _levels(message, "bids", "asks")
    _flag(message, "synced")


def _check_quote(message: dict[str, Any]) -> None:
    _common(message)
    _count(message, "update_id")
    _decimal(message, "bid_price", "bid_quantity", "ask_price", "ask_quantity")


def _check_ledger(message: dict[str, Any]) -> None:
    _common(message)
    _one_of(message, "stream", _LEDGER_STREAMS)
    if message["interval"] is not None:
        _name(message, "interval")
    _one_of(message, "kind", _LEDGER_KINDS)
    _int64(message, "first", "last")
    _count(message, "count")
    if message["detail"] is not None and type(message["detail"]) is not str:
        raise InvalidMessage("detail", message["detail"], "a text or null")


CHECKS: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    "kline": _check_kline,
    "trade": _check_trade,
    "depth": _check_depth,
    "book": _check_book,
    "quote": _check_quote,
    "ledger": _check_ledger,
}


def check(kind: str, message: Any) -> None:
    """Hold a message to its contract.

    Args:
        kind: "kline", "trade", "depth", "book", "quote" or "ledger".

    Raises:
        InvalidMessage: naming the first field that is missing or wrong.
    """
    if type(message) is not dict:
        raise InvalidMessage(kind, message, "a JSON object")
    try:
        CHECKS[kind](message)
    except KeyError as error:
        raise InvalidMessage(str(error.args[0]), None, "there, but the message needs it") from None


def encode(message: AnyMessage) -> bytes:
    """The message's bytes on Kafka."""
    return orjson.dumps(message)


def decode(kind: str, value: bytes | None) -> Any:
    """Bytes from Kafka to a checked message.

    Raises:
        InvalidMessage: the bytes are no JSON object or break the contract of `kind`.
    """
    try:
        message = orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        raise InvalidMessage(kind, value, f"JSON ({error})") from None
    check(kind, message)
    return message


def message_key(exchange: str, symbol: str) -> bytes:
    """Record key of an instrument, which also decides its partition."""
    return f"{exchange}:{symbol}".encode()
