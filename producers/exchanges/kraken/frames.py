"""Kraken's WebSocket v2 to the messages of the contract: the only module that knows its frames.

Pure, one per connection. Source: COINBASE_KRAKEN.md §4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from producers.exchanges.fields import (
    OF_FOREIGN_VALUES,
    choice_of,
    field_of,
    list_of,
    name_of,
    object_of,
    reason,
    whole,
    whole_of,
)
from producers.exchanges.frame_types import ControlReply, Ignored, Rejected, StreamMessage
from producers.exchanges.kraken.lanes import Book, Ticker, Trade, usual
from producers.exchanges.kraken.pairs import Pair, pair_of_instrument, pairs_of_instruments
from producers.exchanges.rfc3339 import time_ns
from producers.exchanges.stream_events import (
    BooksBroken,
    BookUpdate,
    Heartbeat,
    Listed,
    StreamEvent,
    Subscribed,
    SubscriptionRefused,
    TradingStatus,
)
from producers.exchanges.values import NotJson, decode_exact, padded
from shared.errors import InvalidMessage
from shared.message_checks import CHECKS_OF_FOREIGN
from shared.messages import DepthMessage, Levels, QuoteMessage, TradeMessage
from shared.models import SCHEMA_VERSION
from shared.shortened import OF_NAME, shortened

EXCHANGE: Final = "kraken"
_HEAD: Final = 64
_CHANNEL: Final = re.compile(r'\s*\{\s*"channel"\s*:\s*"([a-z]{1,20})"')

# The taker's side, as Kraken sends it: of a taker who sells the buyer was the maker (§1).
_BUYER_IS_MAKER: Final[Mapping[str, bool]] = {"sell": True, "buy": False}
_LARGEST_CHECKSUM: Final = 2**32 - 1
_LATEST_MS: Final = 2**63 // 1_000_000 - 1
# In which the whole exchange trades (§4.1).
_TRADING: Final = "online"


class KrakenFrames:
    """The parser of one connection.

    Args:
        pairs: by symbol, those that the connection carries; the channel `instrument` refreshes them.
    """

    def __init__(self, pairs: Mapping[str, Pair]) -> None:
        self._pairs = dict(pairs)
        self._quote_id = 0  # quotes have none: the time in microseconds, made to rise
        self._channels: dict[str, Callable[[dict[str, Any], int, int], list[StreamEvent]]] = {
            "trade": self._trades,
            "book": self._books,
            "ticker": self._quotes,
            "instrument": self._instruments,
            "status": self._status,
            "heartbeat": _heartbeat,
        }

    def parse(self, frame: bytes | str, now_ms: int, latest_ms: int = _LATEST_MS) -> list[StreamEvent]:
        """Read one frame, which may hold many trades and books.

        Args:
            now_ms: receive time.
            latest_ms: times after this lie beyond the exchange's clock.
        """
        said = usual(frame, self._pairs)
        if isinstance(said, Book):
            return [_book_update(said, now_ms, latest_ms, is_snapshot=False)]
        if isinstance(said, Trade):
            if said.time_ms <= latest_ms:
                return [StreamMessage("trade", _trade_message(said, now_ms))]
        elif said is not None:
            return [self._quote(said, now_ms)]
        return self.parse_by_field(frame, now_ms, latest_ms)

    def parse_by_field(self, frame: bytes | str, now_ms: int, latest_ms: int) -> list[StreamEvent]:
        """The long way of `parse`, for frames of any form, with the reason for what cannot be read."""
        try:
            message = object_of("frame", decode_exact(frame))
        except (NotJson, InvalidMessage) as error:
            return _unreadable(_channel_of(frame), str(error))
        channel = message.get("channel")
        if channel is None:
            return [_reply(message)]
        reader = self._channels.get(channel) if type(channel) is str else None
        if reader is None:
            return [Ignored(shortened(channel, OF_NAME))]
        try:
            return reader(message, now_ms, latest_ms)
        except OF_FOREIGN_VALUES as error:
            return _unreadable(shortened(channel, OF_NAME), reason(error))

    def _trades(self, message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        is_snapshot = message.get("type") == "snapshot"
        for fields in list_of("data", field_of(message, "data")):
            # One that cannot be read must not cost the others.
            try:
                trade = self._trade(object_of("trade", fields), now_ms, latest_ms)
                CHECKS_OF_FOREIGN["trade"](trade)  # type: ignore[arg-type]  # a TypedDict is a dict
                if is_snapshot:
                    trade["event_time_ms"] = None  # nothing has happened now
            except OF_FOREIGN_VALUES as error:
                ahead = isinstance(error, InvalidMessage) and error.field == "trade_time_ms"
                events.append(Rejected("trade", reason(error), "trade_time_ms" if ahead else "", ahead))
            else:
                events.append(StreamMessage("trade", trade))
        return sorted(events, key=_trade_order)

    def _trade(self, fields: dict[str, Any], now_ms: int, latest_ms: int) -> TradeMessage:
        symbol = name_of(fields, "symbol")
        pair = self._pair_of(symbol)
        trade_ms = time_ns("timestamp", field_of(fields, "timestamp")) // 1_000_000
        if trade_ms > latest_ms:
            raise InvalidMessage(
                "trade_time_ms", trade_ms, f"a time up to {latest_ms}, the latest by the exchange's clock"
            )
        trade_id = whole_of(fields, "trade_id")
        price = padded("price", field_of(fields, "price"), pair.price_places)
        quantity = padded("qty", field_of(fields, "qty"), pair.quantity_places)
        sells = choice_of(fields, "side", _BUYER_IS_MAKER)
        return _trade_message(Trade(symbol, trade_id, price, quantity, trade_ms, sells), now_ms)

    def _books(self, message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:
        is_snapshot = choice_of(message, "type", {"snapshot": True, "update": False})
        events: list[StreamEvent] = []
        for fields in list_of("data", field_of(message, "data")):
            symbol = name_of(object_of("book", fields), "symbol")
            try:
                events.append(self._book(symbol, fields, now_ms, latest_ms, is_snapshot=is_snapshot))
            except OF_FOREIGN_VALUES as error:
                said = f"a message cannot be read: {reason(error)}"
                events += [BooksBroken(symbol, said), Rejected("book", reason(error))]
        return events

    def _book(
        self, symbol: str, fields: dict[str, Any], now_ms: int, latest_ms: int, *, is_snapshot: bool
    ) -> BookUpdate:
        pair = self._pair_of(symbol)
        stated = fields.get("timestamp")
        # Snapshots of some servers have no time.
        event_us = now_ms * 1000 if stated is None and is_snapshot else time_ns("timestamp", stated) // 1000
        checksum = fields.get("checksum")
        bids, asks = _levels(pair, fields.get("bids", ())), _levels(pair, fields.get("asks", ()))
        if checksum is not None or not is_snapshot:
            checksum = whole("checksum", checksum, _LARGEST_CHECKSUM)
        said = Book(symbol, bids, asks, checksum, event_us)
        return _book_update(said, now_ms, latest_ms, is_snapshot=is_snapshot)

    def _quotes(self, message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:  # noqa: ARG002
        events: list[StreamEvent] = []
        for fields in list_of("data", field_of(message, "data")):
            try:
                symbol = name_of(object_of("ticker", fields), "symbol")
                pair = self._pair_of(symbol)
                bid, ask = _best(pair, fields, "bid"), _best(pair, fields, "ask")
            except OF_FOREIGN_VALUES as error:
                events.append(Rejected("ticker", reason(error)))
            else:
                events.append(self._quote(Ticker(symbol, *bid, *ask), now_ms))
        return events

    def _quote(self, said: Ticker, now_ms: int) -> StreamMessage:
        self._quote_id = max(self._quote_id + 1, now_ms * 1000)
        quote: QuoteMessage = {
            "schema": SCHEMA_VERSION,
            "exchange": EXCHANGE,
            "symbol": said.symbol,
            "event_time_ms": None,
            "received_time_ms": now_ms,
            "source": "stream",
            "update_id": self._quote_id,
            "bid_price": said.bid,
            "bid_quantity": said.bid_quantity,
            "ask_price": said.ask,
            "ask_quantity": said.ask_quantity,
        }
        return StreamMessage("quote", quote)

    def _instruments(self, message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:  # noqa: ARG002
        events: list[StreamEvent] = []
        for fields in pairs_of_instruments(field_of(message, "data")):
            symbol = fields.get("symbol") if type(fields) is dict else None
            known = self._pairs.get(symbol) if type(symbol) is str else None
            if known is None:
                continue  # one of a thousand that nobody asked for, in whatever form
            try:
                pair = pair_of_instrument(fields)._replace(rest_name=known.rest_name)
            except OF_FOREIGN_VALUES as error:
                events.append(Rejected("instrument", reason(error), symbol=known.symbol))
                continue
            self._pairs[known.symbol] = pair
            events += [Listed(pair.symbol, pair), TradingStatus(pair.symbol, pair.status, pair.trading)]
        return events

    def _status(self, message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:  # noqa: ARG002
        events: list[StreamEvent] = []
        for each in list_of("data", field_of(message, "data")):
            try:
                system = name_of(object_of("status", each), "system")
            except OF_FOREIGN_VALUES as error:
                events.append(Rejected("status", reason(error)))
            else:
                events.append(TradingStatus(None, system, system == _TRADING))
        return events

    def _pair_of(self, symbol: str) -> Pair:
        pair = self._pairs.get(symbol)
        if pair is None:
            raise InvalidMessage("symbol", symbol, "a pair of this connection")
        return pair


def _channel_of(frame: bytes | str) -> str:
    """The channel with which a frame begins that is no JSON as a whole; "" if it does not say."""
    head = frame[:_HEAD] if isinstance(frame, str) else str(frame[:_HEAD], "ascii", "replace")
    found = _CHANNEL.match(head)
    return found[1] if found else ""


def _unreadable(stream: str, said: str) -> list[StreamEvent]:
    """A frame that cannot be read; unless it is of another channel, nobody knows whose book it was about."""
    if stream not in ("", "book"):
        return [Rejected(stream, said)]
    return [BooksBroken(None, f"a frame cannot be read: {said}"), Rejected(stream, said)]


def _trade_message(said: Trade, now_ms: int) -> TradeMessage:
    return {
        "schema": SCHEMA_VERSION,
        "exchange": EXCHANGE,
        "symbol": said.symbol,
        "event_time_ms": said.time_ms,
        "received_time_ms": now_ms,
        "source": "stream",
        "trade_id": said.trade_id,
        "price": said.price,
        "quantity": said.quantity,
        "trade_time_ms": said.time_ms,
        "buyer_is_maker": said.sells,
    }


def _book_update(said: Book, now_ms: int, latest_ms: int, *, is_snapshot: bool) -> BookUpdate:
    symbol, bids, asks, checksum, event_us = said
    event_us = min(event_us, latest_ms * 1000)
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
    return BookUpdate(depth, event_us, checksum)


def _levels(pair: Pair, rows: Any) -> Levels:
    price_places, quantity_places = pair.price_places, pair.quantity_places
    return [
        [padded("price", row["price"], price_places), padded("qty", row["qty"], quantity_places)]
        for row in rows
    ]


def _best(pair: Pair, fields: dict[str, Any], side: str) -> tuple[str | None, str | None]:
    """Price and quantity of one side; (None, None) for an empty one."""
    price, quantity = field_of(fields, side), field_of(fields, f"{side}_qty")
    if price is None or quantity is None:
        return None, None
    texts = (padded(side, price, pair.price_places), padded(f"{side}_qty", quantity, pair.quantity_places))
    return texts if texts[0].strip("0.") and texts[1].strip("0.") else (None, None)


def _trade_order(event: StreamEvent) -> tuple[str, int]:
    """Trades of a frame by symbol and id; what was rejected comes first."""
    if isinstance(event, StreamMessage):
        return event.message["symbol"], event.message["trade_id"]
    return "", 0


def _heartbeat(message: dict[str, Any], now_ms: int, latest_ms: int) -> list[StreamEvent]:  # noqa: ARG001
    return [Heartbeat()]


def _reply(message: dict[str, Any]) -> StreamEvent:
    """The acknowledgement of a subscription, of which there is one for each symbol, or another reply."""
    method, request_id = message.get("method"), shortened(message.get("req_id", ""), OF_NAME)
    error = message.get("error")
    if method == "subscribe":
        result = message.get("result")
        of = result if type(result) is dict else message
        channel, symbol = shortened(of.get("channel", ""), OF_NAME), shortened(of.get("symbol", ""), OF_NAME)
        if message.get("success") is True:
            return Subscribed(channel, symbol)
        said = shortened(error) if error is not None else "no reason given"
        about = f"the subscription of {symbol}" if symbol else "a subscription"
        return SubscriptionRefused(channel, symbol, f"kraken refuses {about}: {said}")
    if error is not None or message.get("success") is False:
        return ControlReply(request_id, shortened(error) if error is not None else "no reason given")
    if type(method) is str:
        return Heartbeat() if method == "pong" else ControlReply(request_id, None)
    return Rejected("", "neither a channel's message nor a reply")
