"""What is to be done with a letter: whether it passes its contract by now, and where it belongs. Pure.

A letter goes where it would have gone. Its `source` becomes `backfill`: it comes late, and must not count as
fresh (DESIGN §4.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from consumers.enrich.port import Enricher
from consumers.indicators.registry import indicator_set
from consumers.ledger_events import PendingEvents
from consumers.measurements import INDICATOR, INDICATOR_LIVE, MEASUREMENTS
from consumers.points import Point, Series
from consumers.stores.storable import storable_values
from consumers.streams import STREAMS, enricher_of, streams
from cryptostream.backfill_events import backfill_events
from cryptostream.dead_letters.letter import Letter
from producers.clock import AHEAD_MS
from producers.exchanges.binance.parse import Rejected, StreamMessage, TimeAhead, parse_frame
from producers.exchanges.binance.rows import kline_of_row, trade_of_row
from shared.dead_letters import WEBSOCKET, as_json
from shared.errors import InvalidMessage, PointsRejected
from shared.intervals import INTERVAL_MS
from shared.messages import LedgerMessage, encode, message_key
from shared.shortened import shortened
from shared.topics import QUOTES, TRADES, klines_topic

_INTERVAL_OF_MS: Final = {ms: interval for interval, ms in INTERVAL_MS.items()}


class Republish(NamedTuple):
    """It passes: send it to `topic`, and then these events to the ledger."""

    topic: str
    key: bytes
    value: bytes
    events: Sequence[LedgerMessage] = ()


class StorePoint(NamedTuple):
    """A point that can be stored now; then the ledger is to know it."""

    point: Point
    events: Sequence[LedgerMessage]


class Obsolete(NamedTuple):
    """Nobody needs it any more; it counts as replayed."""

    reason: str


class StillBroken(NamedTuple):
    """It breaks the contract as before, and stays."""

    reason: str


Verdict = Republish | StorePoint | Obsolete | StillBroken

_LATE_DEPTH: Final = "a change of the order book is worth nothing late; the book has been read again since"
_LATE_OPEN_BAR: Final = "an update of an open bar, which has been overtaken"


class Judge:
    """Decides by the contracts of this version."""

    def __init__(self) -> None:
        # Only their contracts are asked, so that one indicator is as good as all.
        indicators = indicator_set(("momentum_rsi",))
        self._enrichers: dict[str, Enricher] = {
            topic: enricher_of(stream, indicators, live_interval_ms=0, rebuilt_from_store=False)
            for stream in streams(STREAMS, tuple(INTERVAL_MS), memory_broker=True)
            for topic in (*stream.topics, *filter(None, (stream.live_topic,)))
        }
        self._live_topics = {
            stream.live_topic for stream in streams(("klines",), tuple(INTERVAL_MS), memory_broker=True)
        }

    def judge(self, letter: Letter, now_ms: int) -> Verdict:
        """What is to be done with the letter; it never raises for what a letter holds."""
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
            if letter.origin.source.startswith(WEBSOCKET):
                return _frame(letter)
            return _rest_row(letter)
        except InvalidMessage as error:
            return StillBroken(str(error))

    def _record(self, letter: Letter) -> Verdict:
        topic = letter.origin.source
        enricher = self._enrichers.get(topic)
        if enricher is None:
            return StillBroken(f"it came from {topic or 'nowhere known'}, which no consumer reads")
        message = enricher.decode(topic, letter.value)
        if topic in self._live_topics:
            return Obsolete(_LATE_OPEN_BAR)
        if message.get("source") == "stream":
            message["source"] = "backfill"
        # Nobody but a stranger writes without a key; the instrument's is the one that keeps the order.
        key = letter.key or message_key(message.get("exchange", ""), message.get("symbol", ""))
        return Republish(topic, key, as_json(message))

    def _point(self, letter: Letter, now_ms: int) -> Verdict:
        point = _described(letter.value)
        try:
            storable_values(point)
        except PointsRejected as error:
            return StillBroken(error.rejected[0][1])
        enricher = self._enrichers.get(letter.origin.source)
        counted = enricher.ledger_id(point) if enricher is not None else None
        events = PendingEvents()
        if counted is not None:
            series, number = counted
            events.add(series, "stored", number, number)
        return StorePoint(point, tuple(events.messages(now_ms)))


def _frame(letter: Letter) -> Verdict:
    parsed = parse_frame(letter.value or b"", letter.time_ms, letter.time_ms + AHEAD_MS)
    if isinstance(parsed, Rejected):
        return StillBroken(parsed.reason)
    if not isinstance(parsed, StreamMessage):
        return Obsolete("it is no market data")
    message = parsed.message
    if message["source"] == "stream":
        message["source"] = "backfill"
    match parsed.kind:
        case "depth":
            verdict: Verdict = Obsolete(_LATE_DEPTH)
        case "kline" if not message["closed"]:
            verdict = Obsolete(_LATE_OPEN_BAR)
        case "kline":
            verdict = _republish(klines_topic(message["interval"]), message, backfill_events([message]))
        case "trade":
            verdict = _republish(TRADES, message, backfill_events([message]))
        case "quote":
            verdict = _republish(QUOTES, message)
    return verdict


def _rest_row(letter: Letter) -> Verdict:
    path = letter.origin.source.partition(":")[2]
    try:
        row = orjson.loads(letter.value or b"")
    except orjson.JSONDecodeError as error:
        return StillBroken(f"not JSON: {error}")
    if path == "depth":
        return Obsolete(_LATE_DEPTH)
    if path == "trades":
        trade = trade_of_row(letter.symbol, row, letter.time_ms)
        if trade["trade_time_ms"] > letter.time_ms + AHEAD_MS:
            raise TimeAhead("trade_time_ms", trade["trade_time_ms"], letter.time_ms + AHEAD_MS)
        return _republish(TRADES, trade, backfill_events([trade]))
    if path == "klines":
        kline = kline_of_row(letter.symbol, _interval_of(row), row, letter.time_ms)
        return _republish(klines_topic(kline["interval"]), kline, backfill_events([kline]))
    return StillBroken(f"rest:{path} is no source of bars or trades")


def _interval_of(row: Any) -> str:
    """The interval of a kline row: the letter does not name it, but the row has both ends of its bar."""
    if type(row) is list and len(row) > 6 and type(row[0]) is int and type(row[6]) is int:
        interval = _INTERVAL_OF_MS.get(row[6] - row[0] + 1)
        if interval is not None:
            return interval
    raise InvalidMessage("kline row", row, "a bar whose close time tells its interval")


def _republish(topic: str, message: Any, events: Sequence[LedgerMessage] = ()) -> Republish:
    return Republish(topic, message_key(message["exchange"], message["symbol"]), encode(message), events)


def _described(value: bytes | None) -> Point:
    """The point that a consumer described as JSON.

    Raises:
        InvalidMessage: it is no such description.
    """
    try:
        content = orjson.loads(value or b"")
        measurement = MEASUREMENTS[content["measurement"]]
        fields: dict[str, Any] = dict(content["fields"])
        if measurement in (INDICATOR, INDICATOR_LIVE):
            measurement = measurement.with_columns(tuple(fields))
        tags = tuple(content["tags"][name] for name in measurement.tags)
        values = tuple(fields.pop(column.name) for column in measurement.columns)
        time_ns = content["time_ns"]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidMessage("point", value, f"the description of a point ({shortened(error)})") from None
    if fields:
        raise InvalidMessage("point", next(iter(fields)), f"a column of {measurement.name}")
    return Point(Series(measurement, tags), time_ns, values)
