"""The messages as plain dictionaries, with the checks of the hot path.

A message is a dict whose keys are the contract's names (DESIGN §4.2). Producers check before they encode,
consumers after they decode; `shared.models` says the same in pydantic, 20 times slower, and a property test
holds the two equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal, NotRequired, TypedDict, get_args

import orjson

from shared.errors import InvalidMessage
from shared.models import SCHEMA_VERSION, LedgerKind
from shared.trade_ids import EPOCH_SPAN, MAX_EPOCH

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
    epoch: NotRequired[int]


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
    bid_price: str | None
    bid_quantity: str | None
    ask_price: str | None
    ask_quantity: str | None


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


# How the detail of the last `uncarried` event of a span ends.
CARRIED_AGAIN: Final = "; carried again"

AnyMessage = KlineMessage | TradeMessage | DepthMessage | BookMessage | QuoteMessage | LedgerMessage

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
# Possessive: what is no decimal is not tried again with fewer digits.
_DECIMAL: Final = r"[0-9]{1,20}+(?:\.[0-9]{1,20}+)?+"
is_decimal: Final = re.compile(_DECIMAL).fullmatch
_are_decimals: Final = re.compile(f"{_DECIMAL}(?:,{_DECIMAL})*+").fullmatch
_is_json_of_levels: Final = re.compile(rf'\[(?:\["{_DECIMAL}","{_DECIMAL}"\],?+)*+\]'.encode()).fullmatch


def _are_levels(levels: Any) -> bool:
    """Whether a value is a list of [price, quantity] pairs of decimal strings; a diff has up to hundreds."""
    if type(levels) is not list:
        return False
    try:
        # Shape and decimals in one pass over the JSON, which takes a fraction of looking at each level.
        return _is_json_of_levels(orjson.dumps(levels)) is not None
    except orjson.JSONEncodeError:
        return False


# Rule: the condition on `value` under which it holds, and how it is called in an error. Exact types are
# compared, since for Python a bool is an int.
_RULES: Final[dict[str, tuple[str, str]]] = {
    "schema": (
        f"type(value) is int and value == {SCHEMA_VERSION}",
        f"{SCHEMA_VERSION}, the known schema version",
    ),
    "name": ("type(value) is str and 1 <= len(value) <= 64", "a name of 1 to 64 characters"),
    "name or null": ("value is None or type(value) is str and 1 <= len(value) <= 64", "a name, or null"),
    "text or null": ("value is None or type(value) is str", "a text, or null"),
    "count": (f"type(value) is int and 0 <= value <= {_INT64_MAX}", "an integer from 0 to 2^63-1"),
    "id": (f"type(value) is int and 0 <= value < {EPOCH_SPAN}", "an integer from 0 to 2^53-1"),
    "id, -1 or null": (
        f"value is None or type(value) is int and -1 <= value < {EPOCH_SPAN}",
        "an integer from -1 to 2^53-1, or null",
    ),
    "epoch": (f"type(value) is int and 0 <= value <= {MAX_EPOCH}", f"a numbering from 0 to {MAX_EPOCH}"),
    "count or null": (
        f"value is None or type(value) is int and 0 <= value <= {_INT64_MAX}",
        "an integer from 0 to 2^63-1, or null",
    ),
    "int64": (f"type(value) is int and {_INT64_MIN} <= value <= {_INT64_MAX}", "a 64-bit integer"),
    "decimal": ("type(value) is str and is_decimal(value)", "a decimal string"),
    "decimal or null": (
        "value is None or type(value) is str and is_decimal(value)",
        "a decimal string, or null",
    ),
    "flag": ("value is True or value is False", "true or false"),
    "levels": ("are_levels(value)", "a list of [price, quantity] pairs of decimal strings"),
    "source": ("type(value) is str and value in SOURCES", "stream, backfill or replay"),
    "depth kind": ("type(value) is str and value in DEPTH_KINDS", "diff or snapshot"),
    "ledger stream": ("type(value) is str and value in LEDGER_STREAMS", "a stream that the ledger knows"),
    "ledger kind": ("type(value) is str and value in LEDGER_KINDS", "a kind that the ledger knows"),
}
_NAMES: Final[dict[str, Any]] = {
    "is_decimal": is_decimal,
    "are_decimals": _are_decimals,
    "are_levels": _are_levels,
    "InvalidMessage": InvalidMessage,
    "SOURCES": frozenset(get_args(Source)),
    "DEPTH_KINDS": frozenset(("diff", "snapshot")),
    "LEDGER_STREAMS": frozenset(("klines", "trades", "depth", "book", "quotes")),
    "LEDGER_KINDS": frozenset(get_args(LedgerKind)),
}

_COMMON: Final = {
    "schema": "schema",
    "exchange": "name",
    "symbol": "name",
    "event_time_ms": "count or null",
    "received_time_ms": "count",
    "source": "source",
}
_DECIMALS: Final = frozenset(("decimal", "decimal or null"))
# May be left out.
_OPTIONAL: Final = frozenset(("epoch",))
# The contract of each kind of message: field and rule.
FIELDS: Final[dict[str, dict[str, str]]] = {
    "kline": {
        **_COMMON,
        "interval": "name",
        **dict.fromkeys(("open_time_ms", "close_time_ms", "trade_count"), "count"),
        **dict.fromkeys(("open", "high", "low", "close", "base_volume", "quote_volume"), "decimal"),
        **dict.fromkeys(("taker_buy_base_volume", "taker_buy_quote_volume"), "decimal"),
        **dict.fromkeys(("first_trade_id", "last_trade_id"), "id, -1 or null"),
        "closed": "flag",
    },
    "trade": {
        **_COMMON,
        "trade_id": "id",
        "trade_time_ms": "count",
        **dict.fromkeys(("price", "quantity"), "decimal"),
        "buyer_is_maker": "flag",
        "epoch": "epoch",
    },
    "depth": {
        **_COMMON,
        "kind": "depth kind",
        **dict.fromkeys(("first_update_id", "final_update_id"), "id"),
        **dict.fromkeys(("bids", "asks"), "levels"),
    },
    "book": {
        **_COMMON,
        "update_id": "id",
        **dict.fromkeys(("bids", "asks"), "levels"),
        "synced": "flag",
        "age_ms": "int64",
    },
    "quote": {
        **_COMMON,
        "update_id": "id",
        **dict.fromkeys(("bid_price", "bid_quantity", "ask_price", "ask_quantity"), "decimal or null"),
    },
    "ledger": {
        **_COMMON,
        "stream": "ledger stream",
        "interval": "name or null",
        "kind": "ledger kind",
        **dict.fromkeys(("first", "last"), "int64"),
        "count": "count",
        "detail": "text or null",
    },
}


def _compiled(fields: dict[str, str]) -> Callable[[dict[str, Any]], None]:
    """One function that holds a message to its fields' rules, unrolled: twice as fast as a loop over them."""
    decimals = [field for field, rule in fields.items() if rule in _DECIMALS]
    lines = ["def check_fields(message):"]
    for field, rule in fields.items():
        if field in _OPTIONAL:
            lines += [f"    if {field!r} in message:", *_held_to(field, rule, "        ")]
        elif rule not in _DECIMALS:
            lines += _held_to(field, rule, "    ")
    if decimals:
        # All in one pass, as with levels; which of them is wrong, or null, is asked only where one is.
        values = ", ".join(f"message[{field!r}]" for field in decimals)
        lines += [
            "    try:",
            f"        joined = ','.join(({values},))",
            f"        sound = joined.count(',') == {len(decimals) - 1} and are_decimals(joined) is not None",
            "    except TypeError:",
            "        sound = False",
            "    if not sound:",
            *(line for field in decimals for line in _held_to(field, fields[field], "        ")),
        ]
    made: dict[str, Any] = {}
    exec("\n".join(lines), dict(_NAMES), made)  # from the two tables above, as namedtuple does
    function: Callable[[dict[str, Any]], None] = made["check_fields"]
    return function


def _held_to(field: str, rule: str, indent: str) -> list[str]:
    condition, expected = _RULES[rule]
    return [
        f"{indent}value = message[{field!r}]",
        f"{indent}if not ({condition}):",
        f"{indent}    raise InvalidMessage({field!r}, value, {expected!r})",
    ]


CHECKS: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    kind: _compiled(fields) for kind, fields in FIELDS.items()
}
# The same for a message just made from another's fields: what its maker has put in needs no check.
_OWN: Final = frozenset(("schema", "exchange", "source", "epoch"))
CHECKS_OF_FOREIGN: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    kind: _compiled({field: rule for field, rule in fields.items() if field not in _OWN})
    for kind, fields in FIELDS.items()
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


def to_keep(value: bytes) -> bytes:
    """The same bytes in no more memory than they need: for what waits in great numbers.

    Those that `encode` gives take a block of 4 kB and more each as long as they live.
    """
    return bytes(memoryview(value))


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
