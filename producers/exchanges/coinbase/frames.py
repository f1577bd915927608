"""Coinbase's Advanced Trade WebSocket to the messages of the contract: the only module that knows its frames.

Pure, one per connection, whose messages it counts. Source: COINBASE_KRAKEN.md §2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from producers.exchanges.coinbase.products import Product
from producers.exchanges.coinbase.trades import EXCHANGE, trade_of
from producers.exchanges.fields import (
    OF_FOREIGN_VALUES,
    choice_of,
    field_of,
    list_of,
    name_of,
    object_of,
    reason,
    whole_of,
)
from producers.exchanges.frame_types import Ignored, Rejected, StreamMessage
from producers.exchanges.rfc3339 import time_ns
from producers.exchanges.stream_events import (
    BooksBroken,
    BookUpdate,
    Heartbeat,
    StreamEvent,
    Subscribed,
    SubscriptionRefused,
)
from producers.exchanges.values import decimal_text
from shared.errors import InvalidMessage
from shared.message_checks import are_levels
from shared.messages import DepthMessage, Levels
from shared.models import SCHEMA_VERSION
from shared.shortened import OF_NAME, quoted, shortened

_LATEST_MS: Final = 2**63 // 1_000_000 - 1
# The documents show `bid` only; the wire calls the other side `offer` (§2.3).
_IS_BID: Final[Mapping[str, bool]] = {"bid": True, "offer": False, "ask": False}
_IS_SNAPSHOT: Final[Mapping[str, bool]] = {"snapshot": True, "update": False}
_BOOK: Final = "l2_data"


class CoinbaseFrames:
    """The parser of one connection.

    Args:
        products: those that the connection carries, by the symbol that was asked for.
    """

    def __init__(self, products: Mapping[str, Product]) -> None:
        # One product may be streamed for two symbols: `BTC-USD` for itself and for `BTC-USDC`.
        self._symbols: dict[str, list[str]] = {}
        for symbol, product in products.items():
            self._symbols.setdefault(product.streamed_as, []).append(symbol)
        for symbol in products:
            self._symbols.setdefault(symbol, [symbol])
        self._next: int | None = None  # sequence_num of the next message; None before the first one
        self._newest: Any = None  # `timestamp` of the newest message
        # What a jump before it has broken, and its number: a frame with a time ahead is given again at once.
        self._broken_by: tuple[int, list[StreamEvent]] | None = None
        self._carried: set[tuple[str, str]] = set()
        self._channels: dict[str, Callable[[dict[str, Any], int, int], list[StreamEvent]]] = {
            "market_trades": self._trades,
            _BOOK: self._books,
            "heartbeats": _heartbeat,
            "subscriptions": self._subscriptions,
        }

    def parse(self, frame: bytes | str, now_ms: int, latest_ms: int = _LATEST_MS) -> list[StreamEvent]:
        """Read one frame, which may hold many trades and levels.

        Args:
            now_ms: receive time.
            latest_ms: times after this lie beyond the exchange's clock.
        """
        try:
            # Its decimals are strings, so that a fast decoder loses nothing.
            message = object_of("frame", orjson.loads(frame))
        except orjson.JSONDecodeError as error:
            return self._uncounted("", f"not JSON: {error}")
        except InvalidMessage as error:
            return self._uncounted("", str(error))
        if message.get("type") == "error":
            return [*self._count_error(message), _refusal(message)]
        events = self._read(message, now_ms, latest_ms)
        return self._with_broken(message, events)

    def _with_broken(self, message: dict[str, Any], events: list[StreamEvent]) -> list[StreamEvent]:
        """Say again what a frame has broken, if its events are asked for again with a later clock."""
        before, self._broken_by = self._broken_by, None
        if any(type(event) is Rejected and event.ahead for event in events):
            number = message["sequence_num"]
            if before is not None and before[0] == number:
                events = [*before[1], *events]
            self._broken_by = number, [event for event in events if type(event) is BooksBroken]
        elif before is not None and before[0] == message.get("sequence_num"):
            events = [*before[1], *events]
        return events

    def _read(self, message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:
        channel = message.get("channel")
        try:
            broken, late = self._count(whole_of(message, "sequence_num"), message.get("timestamp"))
        except InvalidMessage as error:
            told = self._uncounted if error.field == "sequence_num" else _unreadable
            return told(shortened(channel, OF_NAME), str(error))
        if late and channel != "market_trades":
            return [Ignored(f"{shortened(channel, OF_NAME)}: late or repeated")]
        reader = self._channels.get(channel) if type(channel) is str else None
        if reader is None:
            return [*broken, Ignored(shortened(channel, OF_NAME))]
        try:
            return [*broken, *reader(message, now_ms, latest_ms)]
        except OF_FOREIGN_VALUES as error:
            said = reason(error)
            if channel == _BOOK:
                return _unreadable(_BOOK, said)
            return [*broken, Rejected(shortened(channel, OF_NAME), said)]

    def _count_error(self, message: dict[str, Any]) -> list[StreamEvent]:
        """What an error's number shows to be missing. One without a number is not among those counted; an
        old one is a refusal nevertheless."""
        if "sequence_num" not in message:
            return []
        try:
            # It may have no time; then it leaves that of the message before it.
            sent = message.get("timestamp") or self._newest
            broken, _ = self._count(whole_of(message, "sequence_num"), sent)
        except InvalidMessage as error:
            told = self._uncounted if error.field == "sequence_num" else _unreadable
            return told("error", str(error))
        return broken

    def _uncounted(self, stream: str, said: str) -> list[StreamEvent]:
        """A frame without a readable number: it was the next one, and is not missing a second time."""
        if self._next is not None:
            self._next += 1
        return _unreadable(stream, said)

    def _count(self, number: int, timestamp: Any) -> tuple[list[StreamEvent], bool]:
        """Follow the connection's counter: what is broken by a jump, and whether the message is an old one.

        An old message may be one that a jump has missed. Trades have ids of their own, and are taken; a
        change of a book is out of its order by then.
        """
        expected, newest = self._next, self._newest
        if expected is not None and number < expected:
            if time_ns("timestamp", timestamp) <= time_ns("timestamp", newest):
                return [], True
            broken = f"the connection's counter fell from {expected - 1} to {number}"
        elif expected is None or number == expected:
            broken = ""
        else:
            last = number - 1
            missing = f"message {last} is" if last == expected else f"messages {expected}–{last} are"
            broken = f"{missing} missing on the connection"
        self._next, self._newest = number + 1, timestamp
        return [BooksBroken(None, broken)] if broken else [], False

    def _trades(self, message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:
        sent_ms = _sent_us(message, latest_ms) // 1000
        rejected: list[StreamEvent] = []
        trades: list[StreamMessage] = []
        for each in list_of("events", field_of(message, "events")):
            try:
                event = object_of("event", each)
                rows = list_of("trades", field_of(event, "trades"))
            except InvalidMessage as error:
                rejected.append(Rejected("market_trades", str(error)))
                continue
            # A subscription begins with earlier trades: when these were sent says nothing about the stream.
            event_ms = None if event.get("type") == "snapshot" else sent_ms
            for fields in rows:
                # One that cannot be read must not cost the others.
                try:
                    trades += self._of_one(object_of("trade", fields), now_ms, event_ms, latest_ms)
                except OF_FOREIGN_VALUES as error:
                    ahead = isinstance(error, InvalidMessage) and error.field == "trade_time_ms"
                    field = "trade_time_ms" if ahead else ""
                    rejected.append(Rejected("market_trades", reason(error), field, ahead))
        # The newest comes first on the wire.
        trades.sort(key=lambda parsed: (parsed.message["symbol"], parsed.message["trade_id"]))
        return [*rejected, *trades]

    def _of_one(
        self, fields: dict[str, Any], now_ms: int, event_ms: int | None, latest_ms: int
    ) -> list[StreamMessage]:
        """The trade, under each symbol that was asked for."""
        return [
            StreamMessage(
                "trade",
                trade_of(fields, symbol, now_ms, source="stream", event_ms=event_ms, latest_ms=latest_ms),
            )
            for symbol in self._symbols_of(fields)
        ]

    def _books(self, message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:
        event_us = _sent_us(message, latest_ms)
        events: list[StreamEvent] = []
        for each in list_of("events", field_of(message, "events")):
            event = object_of("event", each)
            name_of(event, "product_id")
            try:
                symbols = self._symbols_of(event)
            except InvalidMessage as error:
                events.append(Rejected(_BOOK, str(error)))  # none of our books
                continue
            try:
                is_snapshot = choice_of(event, "type", _IS_SNAPSHOT)
                bids, asks = _levels(list_of("updates", field_of(event, "updates")))
            except OF_FOREIGN_VALUES as error:
                said = reason(error)
                events += [BooksBroken(symbol, f"a message cannot be read: {said}") for symbol in symbols]
                events.append(Rejected(_BOOK, said))
                continue
            for symbol in symbols:
                depth: DepthMessage = {
                    "schema": SCHEMA_VERSION,
                    "exchange": EXCHANGE,
                    "symbol": symbol,
                    "event_time_ms": event_us // 1000,
                    "received_time_ms": now_ms,
                    "source": "stream",
                    "kind": "snapshot" if is_snapshot else "diff",
                    "first_update_id": 0,
                    "final_update_id": 0,
                    "bids": bids,
                    "asks": asks,
                }
                events.append(BookUpdate(depth, event_us))
        return events

    def _subscriptions(self, message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:  # noqa: ARG002
        """The channels that are carried now; each reply names all of them again."""
        carried: set[tuple[str, str]] = set()
        rejected: list[StreamEvent] = []
        for event in list_of("events", field_of(message, "events")):
            listed = object_of("subscriptions", field_of(object_of("event", event), "subscriptions"))
            for name, products in listed.items():
                channel = shortened(name, OF_NAME)
                # Of a channel that cannot be read nothing new is known.
                if type(products) is not list:
                    rejected.append(Rejected("subscriptions", f"{channel}: {quoted(products)} is not a list"))
                    carried |= {pair for pair in self._carried if pair[0] == channel}
                    continue
                for product in products:
                    symbols = self._symbols.get(product, [product]) if type(product) is str else []
                    carried |= {(channel, shortened(each, OF_NAME)) for each in symbols}
        new, self._carried = carried - self._carried, carried
        return [*rejected, *(Subscribed(channel, symbol) for channel, symbol in sorted(new))]

    def _symbols_of(self, fields: dict[str, Any]) -> list[str]:
        product = name_of(fields, "product_id")
        symbols = self._symbols.get(product)
        if symbols is None:
            raise InvalidMessage("product_id", product, "a product of this connection")
        return symbols


def _unreadable(stream: str, said: str) -> list[StreamEvent]:
    """A frame of which nobody knows whose book it was about."""
    return [BooksBroken(None, f"a frame cannot be read: {said}"), Rejected(stream, said)]


def _sent_us(message: dict[str, Any], latest_ms: int) -> int:
    """The time of the envelope, not beyond the exchange's clock."""
    return min(time_ns("timestamp", field_of(message, "timestamp")) // 1000, latest_ms * 1000)


def _levels(updates: list[Any]) -> tuple[Levels, Levels]:
    """Bids and asks of a book's `updates`."""
    try:
        levels = [[update["price_level"], update["new_quantity"]] for update in updates]
        are_bids = [_IS_BID[update["side"]] for update in updates]
    except (LookupError, TypeError):
        return _levels_one_by_one(updates)
    # All at once: one by one, which tells what is wrong, takes four times as long.
    if not are_levels(levels):
        return _levels_one_by_one(updates)
    bid_count = are_bids.count(True)
    if all(are_bids[:bid_count]):
        return levels[:bid_count], levels[bid_count:]
    rows = list(zip(are_bids, levels, strict=True))
    return [level for is_bid, level in rows if is_bid], [level for is_bid, level in rows if not is_bid]


def _levels_one_by_one(updates: list[Any]) -> tuple[Levels, Levels]:
    bids: Levels = []
    asks: Levels = []
    for update in updates:
        side = bids if choice_of(update, "side", _IS_BID) else asks
        side.append(
            [
                decimal_text("price_level", update["price_level"]),
                decimal_text("new_quantity", update["new_quantity"]),
            ]
        )
    return bids, asks


def _heartbeat(message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:  # noqa: ARG001
    return [Heartbeat()]


def _refusal(message: dict[str, Any]) -> StreamEvent:
    said = ", ".join(shortened(message[name]) for name in ("message", "reason") if message.get(name))
    return SubscriptionRefused("", "", f"coinbase refuses a subscription: {said or 'no reason given'}")
