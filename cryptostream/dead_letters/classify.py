"""Classifies a dead letter: does it pass its contract now, and which topic or store does it go to? Pure.

The destination is the original one. `source` becomes `backfill`: the message is late and must not count
towards freshness (DESIGN §4.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson

from consumers.enrich.port import Enricher
from consumers.indicators.registry import indicator_set
from consumers.stores.storable import storable_values
from consumers.streams import STREAMS, enricher_of, streams
from cryptostream.dead_letters.dead_letter_topic import DeadLetter, Numberings
from cryptostream.dead_letters.described_point import read_point
from cryptostream.dead_letters.numbering import set_numbering
from cryptostream.dead_letters.outcomes import (
    LATE_OPEN_BAR,
    Obsolete,
    Outcome,
    Republish,
    StillBroken,
    StorePoint,
)
from cryptostream.dead_letters.stored_versions import of_no_use
from cryptostream.repair.fetch import backfill_events
from producers.clock import AHEAD_MS
from producers.exchanges.frame_types import Rejected, StreamMessage
from producers.exchanges.port import Exchange
from producers.exchanges.registry import EXCHANGES
from shared.dead_letters import WEBSOCKET, as_json
from shared.errors import InvalidMessage, PointsRejected
from shared.intervals import INTERVAL_MS
from shared.ledger import PendingEvents
from shared.messages import LedgerMessage, encode, message_key
from shared.shown import shown
from shared.topics import QUOTES, TRADES, klines_topic

_LATE_DEPTH: Final = "a change of the order book is worth nothing late; the book has been read again since"


class Classifier:
    """Classifies by the contracts of this version.

    Args:
        numberings: the newest numbering of trade ids, by key; a symbol that is not in it has the first alone.
    """

    def __init__(self, numberings: Numberings = MappingProxyType({})) -> None:
        self._numberings = numberings
        # Only the contracts are used, which do not depend on the indicators: one is enough.
        indicators = indicator_set(("momentum_rsi",))
        self._enrichers: dict[str, Enricher] = {
            topic: enricher_of(stream, indicators, live_interval_ms=0, rebuilt_from_store=False)
            for stream in streams(STREAMS, tuple(INTERVAL_MS), memory_broker=True)
            for topic in (*stream.topics, *filter(None, (stream.live_topic,)))
        }
        self._live_topics = {
            stream.live_topic for stream in streams(("klines",), tuple(INTERVAL_MS), memory_broker=True)
        }

    def classify(self, letter: DeadLetter, now_ms: int) -> Outcome:
        """The outcome for a dead letter; never raises, whatever its content."""
        if letter.origin.whole_bytes >= 0:
            return StillBroken(
                f"only the beginning of {letter.origin.whole_bytes:,} bytes is kept"
                f" (sha256 {letter.origin.sha256})"
            )
        try:
            if letter.origin.is_point:
                return self._point(letter, now_ms)
            if not letter.origin.from_exchange:
                return self._record(letter)
            return _of_exchange(letter, self._numberings)
        except InvalidMessage as error:
            return StillBroken(str(error))

    def _record(self, letter: DeadLetter) -> Outcome:
        topic = letter.origin.source
        enricher = self._enrichers.get(topic)
        if enricher is None:
            return StillBroken(f"it came from {topic or 'nowhere known'}, which no consumer reads")
        message = enricher.decode(topic, letter.value)
        if topic in self._live_topics:
            return Obsolete(LATE_OPEN_BAR)
        if message.get("source") == "stream":
            message["source"] = "backfill"
        # A record without a key is not from our producers; the instrument's key keeps the order.
        key = letter.key or message_key(message.get("exchange", ""), message.get("symbol", ""))
        return Republish(topic, key, as_json(message))

    def _point(self, letter: DeadLetter, now_ms: int) -> Outcome:
        point = read_point(letter.value)
        try:
            storable_values(point)
        except PointsRejected as error:
            return StillBroken(error.rejected[0][1])
        useless = of_no_use(point.series.measurement)
        if useless is not None:
            return useless
        enricher = self._enrichers.get(letter.origin.source)
        counted = enricher.ledger_id(point) if enricher is not None else None
        events = PendingEvents()
        if counted is not None:
            series, number = counted
            if number < 0:
                raise InvalidMessage("trade_id", number, "a trade's number")
            if series.interval and letter.origin.source != klines_topic(series.interval):
                raise InvalidMessage("interval", series.interval, f"that of {letter.origin.source}")
            events.add(series, "stored", number, number)
        return StorePoint(point, tuple(events.messages(now_ms)))


def _of_exchange(letter: DeadLetter, numberings: Numberings) -> Outcome:
    exchange = EXCHANGES.get(letter.exchange)
    if exchange is None:
        return StillBroken(f"its key names no exchange that is known here: {shown(letter.key_text)}")
    if letter.origin.source.startswith(WEBSOCKET):
        return _frame(exchange, letter, numberings)
    return _rest_row(exchange, letter, numberings)


def _frame(exchange: Exchange, letter: DeadLetter, numberings: Numberings) -> Outcome:
    events = exchange.parser()(letter.value or b"", letter.time_ms, letter.time_ms + AHEAD_MS)
    for event in events:
        if isinstance(event, Rejected):
            return StillBroken(event.reason)
    messages = [event for event in events if isinstance(event, StreamMessage)]
    for kind, message in messages:
        if kind == "trade":
            set_numbering(message, letter, numberings)
    outcomes = [_of_event(kind, message) for kind, message in messages]
    passing = [outcome for outcome in outcomes if isinstance(outcome, Republish)]
    if not passing:
        return outcomes[0] if outcomes else Obsolete("it is no market data")
    first, *others = passing
    return first._replace(
        events=[event for outcome in passing for event in outcome.events],
        more=[outcome[:3] for outcome in others],
    )


def _of_event(kind: str, message: Any) -> Outcome:
    if message["source"] == "stream":
        message["source"] = "backfill"
    match kind:
        case "kline" if message["closed"]:
            return _republish(klines_topic(message["interval"]), message, backfill_events([message]))
        case "kline":
            return Obsolete(LATE_OPEN_BAR)
        case "trade":
            return _republish(TRADES, message, backfill_events([message]))
        case "quote":
            return _republish(QUOTES, message)
        case _:
            return Obsolete(_LATE_DEPTH)


def _rest_row(exchange: Exchange, letter: DeadLetter, numberings: Numberings) -> Outcome:
    path = letter.origin.source.partition(":")[2]
    try:
        row = orjson.loads(letter.value or b"")
    except orjson.JSONDecodeError as error:
        return StillBroken(f"not JSON: {error}")
    latest_ms = letter.time_ms + AHEAD_MS
    read = exchange.read_row(path, letter.symbol, row, letter.time_ms, latest_ms)
    if read is None:
        return Obsolete(_LATE_DEPTH)
    kind, message = read
    if kind == "trade":
        set_numbering(message, letter, numberings)
    return _of_event(kind, message)


def _republish(topic: str, message: Any, events: Sequence[LedgerMessage] = ()) -> Republish:
    return Republish(topic, message_key(message["exchange"], message["symbol"]), encode(message), events)
