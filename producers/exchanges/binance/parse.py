"""Binance's spot wire format to the messages of the contract: the only module that knows its letters.

Pure: frames and REST rows in, checked messages out. Source: BINANCE_SPOT.md §2.5, §3, §4, §8.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from producers.exchanges.frame_types import (
    LATEST_MS,
    ControlReply,
    Ignored,
    Parsed,
    Rejected,
    ServerShutdown,
    StreamMessage,
)
from shared.errors import InvalidMessage
from shared.intervals import INTERVAL_MS
from shared.message_checks import CHECKS_OF_FOREIGN, is_decimal
from shared.messages import DepthMessage, KlineMessage, QuoteMessage, Source, TradeMessage
from shared.models import SCHEMA_VERSION
from shared.shortened import OF_NAME, quoted, shortened

EXCHANGE: Final = "binance"

# A recorder's clock may be wrong by minutes; other times of an event are checked against its event time.
_RECORDER_MS: Final = 600_000
_EVENT_MS: Final = 10_000
# A trade's event follows within milliseconds, under load within seconds (BINANCE_SPOT.md §4.2).
TRADE_DELAY_MS: Final = 600_000
# Ids whose values are bounded.
_BOUNDED_IDS: Final = frozenset(
    ("trade_id", "first_trade_id", "last_trade_id", "first_update_id", "final_update_id", "update_id")
)
# What a value of an unexpected type can raise, nested values included.
_OF_FOREIGN_VALUES: Final = (
    *(InvalidMessage, LookupError, TypeError, AttributeError),
    *(ValueError, ArithmeticError, RecursionError),
)
_ZERO: Final = re.compile(r"0{1,20}(?:\.0{1,20})?")


class TimeAhead(InvalidMessage):
    """A time beyond the exchange's clock."""

    def __init__(self, field: str, time_ms: int, latest_ms: int) -> None:
        super().__init__(field, time_ms, f"a time up to {latest_ms}, the latest by the exchange's clock")


class TimeBehind(InvalidMessage):
    """A trade time long before the time of its event."""

    def __init__(self, field: str, time_ms: int, event_ms: int) -> None:
        minutes = TRADE_DELAY_MS // 60_000
        super().__init__(field, time_ms, f"a time within {minutes} minutes before its event ({event_ms} ms)")


def parse_frame(frame: bytes | str, now_ms: int, latest_ms: int = LATEST_MS - 1) -> tuple[Parsed]:
    """Read one frame of a combined connection, which has one event: a `Parser`.

    Args:
        now_ms: receive time; the envelope's `receivedTime`, which our simulator adds in replay, overrides it
            and makes the source `replay`.
        latest_ms: times after this lie beyond the exchange's clock; a replay has the recording's bound.
    """
    try:
        envelope = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        return (Rejected("", f"not JSON: {error}"),)
    if type(envelope) is not dict:
        return (Rejected("", "not a JSON object"),)
    event = envelope.get("data")
    if type(event) is not dict:
        return (_without_event(envelope),)
    kind = event.get("e")
    reader = _READERS.get(kind) if type(kind) is str else None
    if reader is None:
        # Quotes have neither type nor time; the stream's name identifies them (BINANCE_SPOT.md §4.8).
        stream = envelope.get("stream")
        if "e" in event or type(stream) is not str or not stream.endswith("@bookTicker"):
            return (_of_no_reader(stream, event),)
        reader = _read_quote
    received_ms = envelope.get("receivedTime")
    try:
        if received_ms is None:
            parsed = reader(event, now_ms, "stream", latest_ms)
        else:
            parsed = reader(event, received_ms, "replay", _latest_of_replay(event, received_ms))
        CHECKS_OF_FOREIGN[parsed.kind](parsed.message)
    except _OF_FOREIGN_VALUES as error:
        return (_rejected(_stream_of(envelope), error, live=received_ms is None),)
    return (parsed,)


def _stream_of(envelope: dict[str, Any]) -> str:
    return shortened(envelope.get("stream", ""), OF_NAME)


def _symbol_of(stream: str) -> str:
    return stream.partition("@")[0].upper()


def _rejected(stream: str, error: Exception, *, live: bool) -> Rejected:
    if isinstance(error, TimeAhead | TimeBehind):
        ahead = live and isinstance(error, TimeAhead)
        return Rejected(stream, str(error), error.field, ahead, _symbol_of(stream))
    field = error.field if isinstance(error, InvalidMessage) and error.field in _BOUNDED_IDS else ""
    return Rejected(stream, _reason(error), field, symbol=_symbol_of(stream))


def _latest_of_replay(event: dict[str, Any], received_ms: int) -> int:
    event_time = event.get("E")
    latest_ms = received_ms + _RECORDER_MS
    return min(latest_ms, in_ms(event_time) + _EVENT_MS) if type(event_time) is int else latest_ms


def _of_no_reader(stream: Any, event: dict[str, Any]) -> Parsed:
    """An event of a kind that is not used here, or one that is used and has lost its type."""
    kind = event.get("e")
    if type(kind) is str:
        return ServerShutdown() if kind == "serverShutdown" else Ignored(shortened(kind, OF_NAME))
    # Partial books come without a type, too (BINANCE_SPOT.md §4.10).
    if (
        "e" in event
        or type(stream) is not str
        or stream.endswith(("@trade", "@depth@100ms"))
        or "@kline_" in stream
    ):
        name = shortened(stream, OF_NAME)
        return Rejected(name, "an event without a type", symbol=_symbol_of(name))
    return Ignored(shortened(stream, OF_NAME))


def _reason(error: Exception) -> str:
    match error:
        case KeyError():
            return f"field {quoted(error.args[0])} is missing"
        case InvalidMessage():
            return str(error)
        case _:
            return f"a field of the wrong type: {shortened(error)}"


def _without_event(envelope: dict[str, Any]) -> Parsed:
    if envelope.get("e") == "serverShutdown":
        return ServerShutdown()
    # Two shapes of errors are known, wrapped and bare (BINANCE_SPOT.md §3.1).
    error = envelope.get("error", envelope if "code" in envelope else None)
    if type(error) is dict:
        said = f"{shortened(error.get('msg'))} (code {shortened(error.get('code'), OF_NAME)})"
        return ControlReply(shortened(envelope.get("id"), OF_NAME), said)
    if "result" in envelope:
        return ControlReply(shortened(envelope.get("id"), OF_NAME), None)
    if type(envelope.get("e")) is str:
        return Ignored(shortened(envelope["e"], OF_NAME))
    stream = _stream_of(envelope)
    return Rejected(stream, "neither an event nor a control reply", symbol=_symbol_of(stream))


def in_ms(time: int) -> int:
    """A time of the exchange in milliseconds, given in ms or µs (BINANCE_SPOT.md §2.4).

    Raises:
        InvalidMessage: later than 2262 in either unit.
    """
    if time < LATEST_MS:
        return time
    if time >= LATEST_MS * 1000:
        raise InvalidMessage("time", time, "a time before 2262 in milliseconds or microseconds")
    return time // 1000


def _up_to(field: str, time: int, latest_ms: int) -> int:
    """`in_ms`; TimeAhead if the time lies beyond the exchange's clock."""
    time_ms = in_ms(time)
    if time_ms > latest_ms:
        raise TimeAhead(field, time_ms, latest_ms)
    return time_ms


def _read_trade(event: dict[str, Any], received_ms: int, source: Source, latest_ms: int) -> StreamMessage:
    event_ms, trade_ms = event["E"], event["T"]
    if event_ms > latest_ms:
        event_ms = _up_to("event_time_ms", event_ms, latest_ms)
    if trade_ms > latest_ms:
        trade_ms = _up_to("trade_time_ms", trade_ms, latest_ms)
    if event_ms - trade_ms > TRADE_DELAY_MS:
        raise TimeBehind("trade_time_ms", trade_ms, event_ms)
    message: TradeMessage = {
        "schema": SCHEMA_VERSION,
        "exchange": EXCHANGE,
        "symbol": event["s"],
        "event_time_ms": event_ms,
        "received_time_ms": received_ms,
        "source": source,
        "trade_id": event["t"],
        "price": event["p"],
        "quantity": event["q"],
        "trade_time_ms": trade_ms,
        "buyer_is_maker": event["m"],
    }
    return StreamMessage("trade", message)


def _read_depth(event: dict[str, Any], received_ms: int, source: Source, latest_ms: int) -> StreamMessage:
    message: DepthMessage = {
        "schema": SCHEMA_VERSION,
        "exchange": EXCHANGE,
        "symbol": event["s"],
        "event_time_ms": _up_to("event_time_ms", event["E"], latest_ms),
        "received_time_ms": received_ms,
        "source": source,
        "kind": "diff",
        "first_update_id": event["U"],
        "final_update_id": event["u"],
        "bids": event["b"],
        "asks": event["a"],
    }
    first, last = message["first_update_id"], message["final_update_id"]
    # Other types fail their own check; comparing nested values may fail, and quote them at any length.
    if type(first) is int and type(last) is int and last < first:
        raise InvalidMessage("final_update_id", last, f"at least first_update_id ({first})")
    return StreamMessage("depth", message)


def _read_quote(event: dict[str, Any], received_ms: int, source: Source, latest_ms: int) -> StreamMessage:  # noqa: ARG001
    bid_price, bid_quantity = _side("bid_price", event["b"], event["B"])
    ask_price, ask_quantity = _side("ask_price", event["a"], event["A"])
    message: QuoteMessage = {
        "schema": SCHEMA_VERSION,
        "exchange": EXCHANGE,
        "symbol": event["s"],
        "event_time_ms": None,
        "received_time_ms": received_ms,
        "source": source,
        "update_id": event["u"],
        "bid_price": bid_price,
        "bid_quantity": bid_quantity,
        "ask_price": ask_price,
        "ask_quantity": ask_quantity,
    }
    return StreamMessage("quote", message)


def _side(field: str, price: Any, quantity: Any) -> tuple[Any, Any]:
    """Price and quantity of one side; (None, None) for an empty side, which the exchange gives as 0."""
    if price is None or quantity is None:
        raise InvalidMessage(field, None, "a decimal string")
    if (_is_zero(price) and is_decimal(quantity)) or (_is_zero(quantity) and is_decimal(price)):
        return None, None
    return price, quantity


def _is_zero(decimal: str) -> bool:
    # The first character decides nearly always: this stream is the busiest.
    return type(decimal) is str and decimal[:1] == "0" and _ZERO.fullmatch(decimal) is not None


def _read_kline(event: dict[str, Any], received_ms: int, source: Source, latest_ms: int) -> StreamMessage:
    bar = event["k"]
    interval = bar["i"]
    open_time_ms = _up_to("open_time_ms", bar["t"], latest_ms)
    closed_ms = close_time_ms(interval, open_time_ms)
    if bar["x"] is True and closed_ms > latest_ms:
        raise TimeAhead("close_time_ms", closed_ms, latest_ms)
    message: KlineMessage = {
        "schema": SCHEMA_VERSION,
        "exchange": EXCHANGE,
        "symbol": event["s"],
        "event_time_ms": _up_to("event_time_ms", event["E"], latest_ms),
        "received_time_ms": received_ms,
        "source": source,
        "interval": interval,
        "open_time_ms": open_time_ms,
        "close_time_ms": closed_ms,
        "open": bar["o"],
        "high": bar["h"],
        "low": bar["l"],
        "close": bar["c"],
        "base_volume": bar["v"],
        "quote_volume": bar["q"],
        "trade_count": bar["n"],
        "taker_buy_base_volume": bar["V"],
        "taker_buy_quote_volume": bar["Q"],
        "first_trade_id": bar["f"],
        "last_trade_id": bar["L"],
        "closed": bar["x"],
    }
    return StreamMessage("kline", message)


_READERS: Final[dict[str, Callable[[dict[str, Any], int, Source, int], StreamMessage]]] = {
    "trade": _read_trade,
    "depthUpdate": _read_depth,
    "kline": _read_kline,
}


def close_time_ms(interval: str, open_time_ms: int) -> int:
    """Last millisecond of a bar, computed: the wire's value differs by unit (BINANCE_SPOT.md §2.4)."""
    step = INTERVAL_MS.get(interval)
    if step is None:
        raise InvalidMessage("interval", interval, "an interval of fixed length")
    if open_time_ms % step:
        raise InvalidMessage("open_time_ms", open_time_ms, f"a multiple of {interval}")
    return open_time_ms + step - 1
