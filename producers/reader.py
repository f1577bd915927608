"""Reads a connection's frames: parses them, steps the instruments and runs their effects."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from websockets.exceptions import ConnectionClosed

from producers import rollover
from producers.clock import Clock
from producers.connection import Connection, frame_refused, why_closed
from producers.effect_runner import EffectRunner
from producers.exchanges.frame_types import (
    ControlReply,
    Ignored,
    Rejected,
    ServerShutdown,
    StreamMessage,
)
from producers.exchanges.lane_port import NO_LANES, Lanes, Take
from producers.exchanges.rest_port import TRADING
from producers.exchanges.stream_events import (
    BooksBroken,
    BookUpdate,
    StreamEvent,
    Subscribed,
    SubscriptionRefused,
    TradingStatus,
)
from producers.instrument import Instrument
from producers.overlap import StreamId
from shared.metrics import ServiceMetrics

_LOG = logging.getLogger(__name__)

# Out-of-bounds frames of one stream on one connection before the next one is opened.
_OUT_OF_BOUNDS: Final = 3
# Stream names counted; a connection carries 200, but bad frames may have any name.
_COUNTED_STREAMS: Final = 1_000

_QUOTE: Final = b'"'
# What is alone in its frame and can be no time ahead.
_WHOLE: Final = (StreamMessage, BookUpdate)
_STREAM_NAMES: Final = {"kline": "klines", "trade": "trades", "depth": "depth", "quote": "quotes"}


class FrameReader:
    """Reads connections to their end, one after another or two at a time through a merge.

    Args:
        instruments: by symbol.
        announced: called when the exchange announces the end of a connection.
        distrusted: called with the reason when a stream repeatedly has impossible content.
        lanes: short ways of usual frames, of connections that are read alone.

    Attributes:
        received: number of messages passed to the instruments.
        ignored: number of frames of streams that were not subscribed.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        runner: EffectRunner,
        metrics: ServiceMetrics,
        clock: Clock,
        *,
        announced: Callable[[Connection], None],
        distrusted: Callable[[Connection, str], None],
        lanes: Lanes = NO_LANES,
    ) -> None:
        self._instruments = instruments
        self._runner = runner
        self._metrics = metrics
        self._clock = clock
        self._announced = announced
        self._distrusted = distrusted
        self._name_at = lanes.name_at
        self._short_ways: dict[bytes, tuple[StreamId, Take]] = {
            head: (lane.stream[:3], runner.short_way(instruments[lane.stream.symbol], lane))
            for head, lane in lanes.by_head.items()
        }
        self.received = 0
        self.ignored = 0
        self._live = False  # a live event was received

    async def read(self, connection: Connection, take: rollover.Take | None = None) -> str:
        """The hot loop: receive, parse and check, step the core, publish; why the connection ended.

        Args:
            take: in a rollover, the merge of both connections: what it returns is passed on.
        """
        frames, parse = connection.frames, connection.parse
        publisher, clock, time_ns = self._runner.publisher, self._clock, time.time_ns
        records, letters = publisher.held_back
        noted_ms: dict[StreamId, int] = {}
        noted_head_ms: dict[bytes, int] = {}
        # A merge needs each message as such.
        name_at, short_ways = self._name_at, self._short_ways if take is None else {}
        try:
            while True:
                if records or letters:
                    await publisher.room()
                if not frames:
                    await connection.more()
                frame = frames.popleft()
                now_ms = time_ns() // 1_000_000
                latest_ms = now_ms + clock.ahead_ms
                end = frame.find(_QUOTE, name_at)
                head = frame[:end]
                short_way = short_ways.get(head)
                if short_way is not None:
                    stream, run_taken = short_way
                    taken = run_taken(frame, end, now_ms, latest_ms)
                    if taken is not None:
                        self.received += 1
                        if noted_head_ms.get(head) != now_ms:
                            noted_head_ms[head] = now_ms
                            self._note_event(connection, stream, taken[1], now_ms)
                        continue
                events = parse(frame, now_ms, latest_ms)
                if len(events) != 1 or type(events[0]) not in _WHOLE:
                    events = await self._with_time_asked(events, frame, now_ms, connection)
                self._receive(events, frame, now_ms, connection, noted_ms, take)
        except ConnectionClosed as closed:
            return self._ended(closed, connection)

    def _receive(  # noqa: PLR0917 - the loop's names
        self,
        events: Sequence[StreamEvent],
        frame: bytes,
        now_ms: int,
        connection: Connection,
        noted_ms: dict[StreamId, int],
        take: rollover.Take | None,
    ) -> None:
        """Take what a frame says; the long way."""
        for event in events:
            if type(event) is BookUpdate:
                self._receive_book(event, connection, noted_ms)
                continue
            if type(event) is not StreamMessage:
                self._receive_other(event, frame, connection)
                continue
            kind, message = event
            symbol = message["symbol"]
            instrument = self._instruments.get(symbol)
            if instrument is None or (message["source"] != "stream" and self._live):
                self._leave_out(event, frame, connection)
                continue
            stream = (symbol, kind, message["interval"] if kind == "kline" else None)
            if noted_ms.get(stream) != now_ms:
                # Once a millisecond and stream: enough for pace and latency, cheap under load.
                noted_ms[stream] = now_ms
                self._note(connection, stream, message, now_ms)
            if take is None:
                self.received += 1
                self._runner.run(instrument, instrument.receive(kind, message))
            else:
                self.pass_on(take(stream, event))

    def pass_on(self, messages: Iterable[StreamMessage]) -> None:
        """Step the instruments with the messages of a merge."""
        for kind, message in messages:
            self.received += 1
            instrument = self._instruments[message["symbol"]]
            self._runner.run(instrument, instrument.receive(kind, message))

    def _leave_out(self, event: StreamMessage, frame: bytes, connection: Connection) -> None:
        """A message of a symbol that was not subscribed, or a recording's among live ones."""
        symbol = event.message["symbol"]
        if symbol in self._instruments:
            self._receive_other(_of_a_recording(symbol, event.kind), frame, connection)
        else:
            self.ignored += 1

    def _ended(self, closed: ConnectionClosed, connection: Connection) -> str:
        """Why it ended. A frame that was too long was not received: its dead letter has no content."""
        reason = why_closed(closed, connection.plan)
        if frame_refused(closed):
            self._runner.rejections.reject("websocket:", "", reason, b"")
        return reason

    def _note(
        self, connection: Connection, stream: StreamId, message: Mapping[str, Any], now_ms: int
    ) -> None:
        if message["source"] == "replay":
            connection.watchdog.heard(stream, time.monotonic())
            self._clock.replay_ms = message["received_time_ms"]
            connection.watchdog.replaying()
            return
        self._note_event(connection, stream, message["event_time_ms"], now_ms)

    def _note_event(
        self, connection: Connection, stream: StreamId, event_time_ms: int | None, now_ms: int
    ) -> None:
        """Note an event of a live stream."""
        now_s = time.monotonic()
        connection.watchdog.heard(stream, now_s)
        self._live = True
        if event_time_ms is not None:
            self._clock.receive_event(now_s, event_time_ms)
            latency_ms = self._clock.exchange_ms() - event_time_ms
            exchange = self._instruments[stream[0]].exchange
            self._metrics.latency(exchange, _STREAM_NAMES[stream[1]], "socket", now_ms, latency_ms)

    async def _with_time_asked(
        self, events: Sequence[StreamEvent], frame: bytes, now_ms: int, connection: Connection
    ) -> Sequence[StreamEvent]:
        """Parse again with a fresh exchange clock if a time of the frame lies beyond the known one."""
        connection.watchdog.heard_frame(time.monotonic())
        if _is_ahead(events):
            events = connection.parse(frame, now_ms, self._clock.latest_ms())
        if _is_ahead(events):
            try:
                latest_ms = await self._clock.ask_latest_ms()
            except asyncio.CancelledError:
                connection.frames.appendleft(frame)  # a rollover reads the connection on
                raise
            events = connection.parse(frame, now_ms, latest_ms)
        # The good trades of a frame say nothing about those of it that cannot be read: the doubt comes last.
        return sorted(events, key=_is_rejected)

    def _receive_book(
        self, update: BookUpdate, connection: Connection, noted_ms: dict[StreamId, int]
    ) -> None:
        message = update.message
        symbol = message["symbol"]
        instrument = self._instruments.get(symbol)
        now_s = time.monotonic()
        if instrument is None:
            connection.watchdog.heard_frame(now_s)
            self.ignored += 1
            return
        self.received += 1
        stream: StreamId = (symbol, "depth", None)
        now_ms = message["received_time_ms"]
        if noted_ms.get(stream) != now_ms:
            noted_ms[stream] = now_ms
            self._note(connection, stream, message, now_ms)
        connection.lag.note(now_s, self._clock.exchange_ms() - update.event_us // 1000)
        self._runner.run(instrument, instrument.receive_book(update, connection))

    def _receive_other(self, event: StreamEvent, frame: bytes, connection: Connection) -> None:
        match event:
            case Rejected(stream, reason, field, _, symbol):
                for instrument in self._of(None, connection):
                    instrument.doubt_trades()
                self._runner.rejections.reject(f"websocket:{stream}", symbol, reason, frame)
                if field:
                    self._out_of_bounds(connection, stream, reason)
            case ServerShutdown():
                self._announced(connection)
            case ControlReply(request_id, error) if error is not None:
                _LOG.warning("subscription %s refused: %s", request_id, error)
            case Ignored():
                self.ignored += 1
            case BooksBroken():
                self._receive_broken(event, connection)
            case Subscribed(channel, symbol):
                connection.acknowledge(channel, symbol)
            case SubscriptionRefused():
                self._refused(event, connection)
            case TradingStatus():
                self._receive_status(event, connection)

    def _receive_broken(self, broken: BooksBroken, connection: Connection) -> None:
        for instrument in self._of(broken.symbol, connection):
            if broken.symbol is None:
                instrument.doubt_trades()  # what was lost may have been trades
            effects = instrument.distrust_book(broken.reason, connection, self._clock.message_ms())
            self._runner.run(instrument, effects)

    def _of(self, symbol: str | None, connection: Connection) -> list[Instrument]:
        """The instrument of a symbol; of None all that the connection carries."""
        carried = dict.fromkeys(stream.symbol for stream in connection.plan.streams)
        return [self._instruments[each] for each in carried if symbol in (None, each)]

    def _refused(self, refusal: SubscriptionRefused, connection: Connection) -> None:
        _LOG.warning("%s", refusal.reason)
        books = {(each.name, each.symbol) for each in connection.plan.streams if each.kind == "depth"}
        if (refusal.channel, refusal.symbol) not in books and refusal.channel:
            return
        for instrument in self._of(refusal.symbol or None, connection):
            effects = instrument.refuse_book(refusal.reason, connection, self._clock.message_ms())
            self._runner.run(instrument, effects)

    def _receive_status(self, status: TradingStatus, connection: Connection) -> None:
        """Take a symbol's status; that of the whole exchange says something of each only if it is closed."""
        if status.symbol is None and status.trading:
            return
        for instrument in self._of(status.symbol, connection):
            was_halted = instrument.halted
            said = TRADING if status.trading else status.status
            instrument.receive_status(said, self._clock.exchange_ms())
            if instrument.halted != was_halted:
                _LOG.warning("%s: the exchange says %s", instrument.symbol, status.status)

    def _out_of_bounds(self, connection: Connection, stream: str, reason: str) -> None:
        if len(connection.out_of_bounds) >= _COUNTED_STREAMS:
            connection.out_of_bounds.clear()
        connection.out_of_bounds[stream] = connection.out_of_bounds.get(stream, 0) + 1
        if connection.out_of_bounds[stream] % _OUT_OF_BOUNDS == 0:
            self._distrusted(connection, f"{stream} repeatedly has impossible content: {reason}")


def _is_ahead(events: Sequence[StreamEvent]) -> bool:
    return any(type(event) is Rejected and event.ahead for event in events)


def _is_rejected(event: StreamEvent) -> bool:
    return type(event) is Rejected


def _of_a_recording(symbol: str, kind: str) -> Rejected:
    """Its time, which recordings run by, would stop the clocks of a live stream."""
    reason = "receivedTime: a recording's event in a live stream"
    return Rejected(f"{symbol.lower()}@{kind}", reason, symbol=symbol)
