"""From a connection's frames to the instruments, and from them to Kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from websockets.exceptions import ConnectionClosed

from producers.clock import Clock
from producers.connection import Link, frame_refused, why_closed
from producers.exchanges.binance.parse import (
    EXCHANGE,
    ControlReply,
    Ignored,
    Parsed,
    Rejected,
    ServerShutdown,
    StreamMessage,
    parse_frame,
)
from producers.instrument import Instrument
from producers.outlet import Outlet
from producers.overlap import StreamId
from producers.rollover import Take
from shared.metrics import ServiceMetrics

_LOG = logging.getLogger(__name__)

# Frames of one stream on one connection whose ids or times are out of bounds, before the next one is opened.
_LIES: Final = 3
# Names of streams that are counted so; a connection carries 200, and what it calls them may be anything.
_LIARS: Final = 1_000

_STREAM_NAMES: Final = {"kline": "klines", "trade": "trades", "depth": "depth", "quote": "quotes"}


class FrameReader:
    """Reads connections to their end, one after another or two at a time through a merge.

    Args:
        instruments: by symbol.
        announced: called when the exchange says that it will end a connection.
        distrusted: called with the reason when a stream of one says again and again what cannot be.

    Attributes:
        received: messages that went to the instruments.
        ignored: frames that are not ours to carry.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        outlet: Outlet,
        metrics: ServiceMetrics,
        clock: Clock,
        *,
        announced: Callable[[Link], None],
        distrusted: Callable[[Link, str], None],
    ) -> None:
        self._instruments = instruments
        self._outlet = outlet
        self._metrics = metrics
        self._clock = clock
        self._announced = announced
        self._distrusted = distrusted
        self.received = 0
        self.ignored = 0
        self._live = False  # an event was heard that is no recording's

    async def read(self, link: Link) -> str:
        """The hot loop: receive, parse and check, step the core, publish; why the connection ended."""
        frames, instruments, perform = link.frames, self._instruments, self._outlet.perform
        publisher, clock = self._outlet.publisher, self._clock
        noted_ms: dict[StreamId, int] = {}
        try:
            while True:
                if not frames:
                    await link.more()
                frame = frames.popleft()
                now_ms = time.time_ns() // 1_000_000
                parsed = parse_frame(frame, now_ms, now_ms + clock.ahead_ms)
                if type(parsed) is not StreamMessage:
                    parsed = await self._with_time_asked(parsed, frame, now_ms)
                    if type(parsed) is not StreamMessage:
                        self._receive_other(parsed, frame, link)
                        if publisher.congested:
                            await publisher.room()
                        continue
                kind, message = parsed
                symbol = message["symbol"]
                instrument = instruments.get(symbol)
                if instrument is None:
                    self.ignored += 1
                    continue
                if message["source"] != "stream":
                    if self._live:
                        self._receive_other(_of_a_recording(symbol, kind), frame, link)
                        continue
                else:
                    self._live = True
                self.received += 1
                stream = (symbol, kind, message["interval"] if kind == "kline" else None)
                if noted_ms.get(stream) != now_ms:
                    # At most once a millisecond and stream: enough for pace and latency, and free in a flood.
                    noted_ms[stream] = now_ms
                    self._note(link, stream, message, now_ms)
                perform(instrument, instrument.receive(kind, message))
                if publisher.congested:
                    await publisher.room()
        except ConnectionClosed as closed:
            return self._ended(closed)

    async def read_through(self, link: Link, take: Take) -> str:
        """The loop of a rollover: `take` says what goes on; why the connection ended."""
        frames, publisher, clock = link.frames, self._outlet.publisher, self._clock
        try:
            while True:
                if not frames:
                    await link.more()
                frame = frames.popleft()
                now_ms = time.time_ns() // 1_000_000
                parsed = parse_frame(frame, now_ms, now_ms + clock.ahead_ms)
                if type(parsed) is not StreamMessage:
                    parsed = await self._with_time_asked(parsed, frame, now_ms)
                    if type(parsed) is not StreamMessage:
                        self._receive_other(parsed, frame, link)
                        if publisher.congested:
                            await publisher.room()
                        continue
                kind, message = parsed
                if self._live and message["source"] != "stream":
                    self._receive_other(_of_a_recording(message["symbol"], kind), frame, link)
                    continue
                stream = (message["symbol"], kind, message["interval"] if kind == "kline" else None)
                self._note(link, stream, message, now_ms)
                self.pass_on(take(stream, parsed))
                if publisher.congested:
                    await publisher.room()
        except ConnectionClosed as closed:
            return self._ended(closed)

    def pass_on(self, messages: Iterable[StreamMessage]) -> None:
        """Take what comes out of a merge."""
        for kind, message in messages:
            self.received += 1
            instrument = self._instruments[message["symbol"]]
            self._outlet.perform(instrument, instrument.receive(kind, message))

    def _ended(self, closed: ConnectionClosed) -> str:
        """Why it did; a frame that was not taken is nowhere, and leaves a letter without content."""
        reason = why_closed(closed)
        if frame_refused(closed):
            self._outlet.reject("websocket:", "", reason, b"")
        return reason

    def _note(self, link: Link, stream: StreamId, message: dict[str, Any], now_ms: int) -> None:
        now_s = time.monotonic()
        link.watchdog.heard(stream, now_s)
        event_time_ms = message["event_time_ms"]
        if message["source"] == "replay":
            self._clock.replay_ms = message["received_time_ms"]
            link.watchdog.replaying()
        elif event_time_ms is not None:
            self._clock.receive_event(now_s, event_time_ms)
            latency_ms = self._clock.exchange_ms() - event_time_ms
            self._metrics.latency(EXCHANGE, _STREAM_NAMES[stream[1]], "socket", now_ms, latency_ms)

    async def _with_time_asked(self, parsed: Parsed, frame: bytes | str, now_ms: int) -> Parsed:
        """What the frame is once the exchange was asked for its clock, if its time lies beyond that."""
        if type(parsed) is Rejected and parsed.ahead:
            parsed = parse_frame(frame, now_ms, self._clock.latest_ms())
        if type(parsed) is Rejected and parsed.ahead:
            parsed = parse_frame(frame, now_ms, await self._clock.ask_latest_ms())
        return parsed

    def _receive_other(self, parsed: Parsed, frame: bytes | str, link: Link) -> None:
        match parsed:
            case Rejected(stream, reason, field):
                value = frame if isinstance(frame, bytes) else frame.encode()
                symbol = stream.partition("@")[0].upper()
                self._outlet.reject(f"websocket:{stream}", symbol, reason, value)
                if field:
                    self._out_of_bounds(link, stream, reason)
            case ServerShutdown():
                self._announced(link)
            case ControlReply(request_id, error) if error is not None:
                _LOG.warning("subscription %s refused: %s", request_id, error)
            case Ignored():
                self.ignored += 1

    def _out_of_bounds(self, link: Link, stream: str, reason: str) -> None:
        if len(link.lies) >= _LIARS:
            link.lies.clear()
        link.lies[stream] = link.lies.get(stream, 0) + 1
        if link.lies[stream] % _LIES == 0:
            self._distrusted(link, f"{stream} says again and again what cannot be: {reason}")


def _of_a_recording(symbol: str, kind: str) -> Rejected:
    """Believed, it would stop the clocks of a live stream: a recording's time is that of its messages."""
    return Rejected(f"{symbol.lower()}@{kind}", "receivedTime: a recording's event in a live stream")
