"""From a connection's frames to the instruments, and from them to Kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from websockets.exceptions import ConnectionClosed

from producers.clock import Clock
from producers.connection import Link, why_closed
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

_STREAM_NAMES: Final = {"kline": "klines", "trade": "trades", "depth": "depth", "quote": "quotes"}


class FrameReader:
    """Reads connections to their end, one after another or two at a time through a merge.

    Args:
        instruments: by symbol.
        announced: called when the exchange says that it will end a connection.

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
        announced: Callable[[Link], None],
    ) -> None:
        self._instruments = instruments
        self._outlet = outlet
        self._metrics = metrics
        self._clock = clock
        self._announced = announced
        self.received = 0
        self.ignored = 0

    async def read(self, link: Link) -> str:
        """The hot loop: receive, parse and check, step the core, publish; why the connection ended."""
        frames, instruments, perform = link.frames, self._instruments, self._outlet.perform
        publisher = self._outlet.publisher
        noted_ms: dict[StreamId, int] = {}
        try:
            while True:
                if not frames:
                    await link.more()
                frame = frames.popleft()
                now_ms = time.time_ns() // 1_000_000
                parsed = parse_frame(frame, now_ms)
                if type(parsed) is not StreamMessage:
                    self._receive_other(parsed, frame, link)
                    continue
                kind, message = parsed
                symbol = message["symbol"]
                instrument = instruments.get(symbol)
                if instrument is None:
                    self.ignored += 1
                    continue
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
            return why_closed(closed)

    async def read_through(self, link: Link, take: Take) -> str:
        """The loop of a rollover: `take` says what goes on; why the connection ended."""
        frames, publisher = link.frames, self._outlet.publisher
        try:
            while True:
                if not frames:
                    await link.more()
                frame = frames.popleft()
                now_ms = time.time_ns() // 1_000_000
                parsed = parse_frame(frame, now_ms)
                if type(parsed) is not StreamMessage:
                    self._receive_other(parsed, frame, link)
                    continue
                kind, message = parsed
                stream = (message["symbol"], kind, message["interval"] if kind == "kline" else None)
                self._note(link, stream, message, now_ms)
                self.pass_on(take(stream, parsed))
                if publisher.congested:
                    await publisher.room()
        except ConnectionClosed as closed:
            return why_closed(closed)

    def pass_on(self, messages: Iterable[StreamMessage]) -> None:
        """Take what comes out of a merge."""
        for kind, message in messages:
            self.received += 1
            instrument = self._instruments[message["symbol"]]
            self._outlet.perform(instrument, instrument.receive(kind, message))

    def _note(self, link: Link, stream: StreamId, message: dict[str, Any], now_ms: int) -> None:
        link.watchdog.heard(stream, time.monotonic())
        event_time_ms = message["event_time_ms"]
        if message["source"] == "replay":
            self._clock.replay_ms = message["received_time_ms"]
            link.watchdog.replaying()
        elif event_time_ms is not None:
            latency_ms = now_ms + self._clock.offset.offset_ms - event_time_ms
            self._metrics.latency(EXCHANGE, _STREAM_NAMES[stream[1]], "socket", now_ms, latency_ms)

    def _receive_other(self, parsed: Parsed, frame: bytes | str, link: Link) -> None:
        match parsed:
            case Rejected(stream, reason):
                value = frame if isinstance(frame, bytes) else frame.encode()
                symbol = stream.partition("@")[0].upper()
                self._outlet.reject(f"websocket:{stream}", symbol, reason, value)
            case ServerShutdown():
                self._announced(link)
            case ControlReply(request_id, error) if error is not None:
                _LOG.warning("subscription %s refused: %s", request_id, error)
            case Ignored():
                self.ignored += 1
