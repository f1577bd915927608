"""The messages as plain dictionaries: their types, and their bytes on Kafka.

A message is a dict with the contract's names as keys (DESIGN §4.2). `shared.models` declares it; the checks
of `shared.message_checks` are made from the models. The types here repeat them for the type checker, which
cannot run code; a test compares the two. Producers check before they encode, consumers after they decode.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired, TypedDict

import orjson

from shared.errors import InvalidMessage
from shared.message_checks import CHECKS
from shared.message_forms import IS_USUAL
from shared.models import LedgerKind, LedgerStream

Source = Literal["stream", "backfill", "replay"]
Levels = list[list[str]]


class _Message(TypedDict):
    schema: int
    exchange: str
    symbol: str
    event_time_ms: int | None
    received_time_ms: int
    source: Source


class KlineMessage(_Message):
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


class TradeMessage(_Message):
    trade_id: int
    price: str
    quantity: str
    trade_time_ms: int
    buyer_is_maker: bool
    epoch: NotRequired[int]


class DepthMessage(_Message):
    kind: Literal["diff", "snapshot"]
    first_update_id: int
    final_update_id: int
    bids: Levels
    asks: Levels


class BookMessage(_Message):
    update_id: int
    bids: Levels
    asks: Levels
    synced: bool
    age_ms: int


class QuoteMessage(_Message):
    update_id: int
    bid_price: str | None
    bid_quantity: str | None
    ask_price: str | None
    ask_quantity: str | None


class LedgerMessage(_Message):
    stream: LedgerStream
    interval: str | None
    kind: LedgerKind
    first: int
    last: int
    count: int
    detail: str | None


# How the detail of the last `uncarried` event of a span ends.
CARRIED_AGAIN: Final = "; carried again"
# How the detail of a `revised` event begins that names what the trades of a closed bar contradict, and of one
# that says that the bar was published again as its trades have it.
TRADES_SAY: Final = "trades say "
AS_TRADES_SAY: Final = "published again, as its trades say"
# How the detail of the `unsynced` event begins that ends a span.
SYNCED_AGAIN: Final = "synced again"

AnyMessage = KlineMessage | TradeMessage | DepthMessage | BookMessage | QuoteMessage | LedgerMessage


def check(kind: str, message: Any) -> None:
    """Check a message against its contract.

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
        raise InvalidMessage(str(error.args[0])) from None


def encode(message: AnyMessage) -> bytes:
    """The message's bytes on Kafka."""
    return orjson.dumps(message)


def to_keep(value: bytes) -> bytes:
    """A copy in no more memory than needed, for messages that wait in great numbers.

    The bytes from `encode` occupy a block of 4 kB or more as long as they live.
    """
    return bytes(memoryview(value))


def decode(kind: str, value: bytes | None) -> Any:
    """Bytes from Kafka to a checked message.

    Raises:
        InvalidMessage: the bytes are not a JSON object, or break the contract of `kind`.
    """
    is_usual = IS_USUAL.get(kind)
    if is_usual is not None and value is not None and is_usual(value):
        return orjson.loads(value)
    return decode_by_field(kind, value)


def decode_by_field(kind: str, value: bytes | None) -> Any:
    """As `decode`, which gives the same; the long way, which knows every form."""
    try:
        message = orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        raise InvalidMessage(kind, value, f"JSON ({error})") from None
    check(kind, message)
    return message


def message_key(exchange: str, symbol: str) -> bytes:
    """Record key of an instrument, which decides its partition."""
    return f"{exchange}:{symbol}".encode()
