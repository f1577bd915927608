"""One connection to the exchange: opened, read, watched and opened again until the process stops."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from producers.backoff import Backoff
from producers.clock import Clock
from producers.connection import open_connection
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
from producers.exchanges.binance.streams import Stream, open_with
from producers.instrument import Instrument
from producers.outlet import Outlet
from producers.watchdog import Watchdog
from shared.errors import ExchangeUnavailable
from shared.metrics import ServiceMetrics

_LOG = logging.getLogger(__name__)

# A connection that lived as long was a good one; the next failure waits from the beginning again.
_GOOD_AFTER_S: Final = 30.0
_STREAM_NAMES: Final = {"kline": "klines", "trade": "trades", "depth": "depth", "quote": "quotes"}


class Feed:
    """Reads the streams of some instruments.

    Args:
        streams: what this connection carries.
        instruments: by symbol.
    """

    def __init__(
        self,
        websocket_url: str,
        streams: Sequence[Stream],
        *,
        instruments: Mapping[str, Instrument],
        outlet: Outlet,
        metrics: ServiceMetrics,
        clock: Clock,
    ) -> None:
        self._url, self._subscribe_frames = open_with(websocket_url, streams)
        self._streams = streams
        self._instruments = instruments
        self._outlet = outlet
        self._metrics = metrics
        self._clock = clock
        self._stopping = asyncio.Event()
        self._connection: ClientConnection | None = None
        self._closing: asyncio.Task[None] | None = None
        self._shut_down = False
        self.watchdog = Watchdog([stream[:3] for stream in streams], time.monotonic())
        self.reconnects = 0
        self.ignored = 0
        self.received = 0

    async def run(self) -> None:
        """Carry the streams until `stop`.

        Raises:
            ExchangeRefused: this place is not served, now or ever.
        """
        backoff = Backoff(random.random)
        while not self._stopping.is_set():
            opened_at = time.monotonic()
            retry_after_s = 0.0
            try:
                reason = await self._carry()
            except ExchangeUnavailable as error:
                reason, retry_after_s = str(error), error.retry_after or 0.0
            if self._stopping.is_set():
                return
            self.reconnects += 1
            if time.monotonic() - opened_at > _GOOD_AFTER_S or self._shut_down:
                backoff.succeeded()
            delay_s = backoff.failed(retry_after_s)
            _LOG.warning("%s; connecting again in %.1f s", reason, delay_s)
            await self._pause(delay_s)

    async def stop(self) -> None:
        """Close the connection; what has been received is still read."""
        self._stopping.set()
        self._close()
        if self._closing is not None:
            await self._closing

    def judge(self) -> None:
        """Once a second: end a connection of which a stream has fallen silent."""
        if self._connection is None or self._closing is not None:
            return
        halted = frozenset(symbol for symbol, instrument in self._instruments.items() if instrument.halted)
        verdict = self.watchdog.judge(time.monotonic(), halted)
        if verdict is not None:
            _LOG.warning("%s", verdict.reason)
            self._close()

    async def _pause(self, delay_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), delay_s)
        except TimeoutError:
            return

    def _close(self) -> None:
        if self._connection is not None and self._closing is None:
            self._closing = asyncio.create_task(self._connection.close())

    async def _carry(self) -> str:
        """One connection's life; why it ended."""
        connection = await open_connection(self._url, self._subscribe_frames)
        self._connection, self._closing, self._shut_down = connection, None, False
        self.watchdog = Watchdog([stream[:3] for stream in self._streams], time.monotonic())
        _LOG.info("connected: %d streams", len(self._streams))
        reason = "the connection was cut"
        try:
            if self._stopping.is_set():
                self._close()
            await self._read(connection)
        except ConnectionClosed as closed:
            frame = closed.rcvd
            reason = f"connection closed: {frame.code} {frame.reason}".strip() if frame else str(closed)
        finally:
            self._connection = None
            connection.transport.abort()
            if not self._stopping.is_set():
                self._give_books_up(reason)
        return reason

    def _give_books_up(self, reason: str) -> None:
        """Not at an orderly stop: there the last book published stays true for its time."""
        now_ms = self._clock.message_ms()
        for symbol in dict.fromkeys(stream.symbol for stream in self._streams):
            instrument = self._instruments[symbol]
            self._outlet.perform(instrument, instrument.disconnected(reason, now_ms))

    async def _read(self, connection: ClientConnection) -> None:
        """The hot loop: receive, parse and check, step the core, publish."""
        receive, instruments, perform = connection.recv, self._instruments, self._outlet.perform
        publisher = self._outlet.publisher
        noted_ms: dict[tuple[str, str, str | None], int] = {}
        while True:
            frame = await receive(decode=False)
            now_ms = time.time_ns() // 1_000_000
            parsed = parse_frame(frame, now_ms)
            if type(parsed) is not StreamMessage:
                self._receive_other(parsed, frame)
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
                self._note(stream, message, now_ms)
            perform(instrument, instrument.receive(kind, message))
            if publisher.congested:
                await publisher.room()

    def _note(self, stream: tuple[str, str, str | None], message: dict[str, Any], now_ms: int) -> None:
        self.watchdog.heard(stream, time.monotonic())
        event_time_ms = message["event_time_ms"]
        if message["source"] == "replay":
            self._clock.replay_ms = message["received_time_ms"]
            self.watchdog.replaying()
        elif event_time_ms is not None:
            latency_ms = now_ms + self._clock.offset.offset_ms - event_time_ms
            self._metrics.latency(EXCHANGE, _STREAM_NAMES[stream[1]], "socket", now_ms, latency_ms)

    def _receive_other(self, parsed: Parsed, frame: bytes | str) -> None:
        match parsed:
            case Rejected(stream, reason):
                value = frame if isinstance(frame, bytes) else frame.encode()
                symbol = stream.partition("@")[0].upper()
                self._outlet.reject(f"websocket:{stream}", symbol, reason, value)
            case ServerShutdown():
                self._shut_down = True
                _LOG.warning("the exchange announces the end of this connection")
                self._close()
            case ControlReply(request_id, error) if error is not None:
                _LOG.warning("subscription %s refused: %s", request_id, error)
            case Ignored():
                self.ignored += 1
