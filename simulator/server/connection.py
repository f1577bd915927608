"""One client's WebSocket: its queue, pings, limits and end (BINANCE_SPOT.md §2, §3)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from simulator.protocol.control import ControlSession, FrameLimit
from simulator.protocol.envelopes import Outgoing
from simulator.server.hub import Hub

logger = logging.getLogger(__name__)

# Not yet written: at 5,000 trades a second a client may fall a minute behind before it is dropped.
_MOST_WAITING_BYTES: Final = 64 * 2**20
_CLOSE_SECONDS: Final = 2.0
_LARGEST_FRAME: Final = 65_536


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """Seconds, real ones whatever the world's speed.

    Attributes:
        announce_shutdown: send serverShutdown before a connection ends of age.
    """

    ping_interval: float = 20.0
    pong_timeout: float = 60.0
    age: float = 86_400.0
    announce_shutdown: bool = False


class Connection:
    """A listener of the hub on a socket."""

    def __init__(self, session: ControlSession, rules: ConnectionRules, *, microseconds: bool) -> None:
        self.session = session
        self.microseconds = microseconds
        self._rules = rules
        self._socket = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=_LARGEST_FRAME, timeout=_CLOSE_SECONDS
        )
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._writing = False
        self._wake = asyncio.Event()
        self._limit = FrameLimit()
        # Payloads of pings not yet answered, and when each was sent.
        self._pings: dict[bytes, float] = {}
        self._ended = asyncio.Event()
        self._reason: tuple[int, bytes] = (WSCloseCode.OK, b"")

    def put(self, frame: bytes) -> None:
        self._waiting_bytes += len(frame)
        if self._waiting_bytes > _MOST_WAITING_BYTES:
            self._frames.clear()
            self._end(WSCloseCode.POLICY_VIOLATION, b"Slow reader")
            return
        self._frames.append(frame)
        self._wake.set()

    @property
    def waiting(self) -> int:
        return 0 if self._ended.is_set() else len(self._frames) + self._writing

    async def serve(self, request: web.Request, hub: Hub) -> web.WebSocketResponse:
        """Speak with the client until one side ends it."""
        await self._socket.prepare(request)
        hub.join(self)
        work = [
            asyncio.create_task(step)
            for step in (self._write(), self._read(hub), self._keep_alive(), self._ended.wait())
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ended.set()
            hub.leave(self)
            for task in work:
                task.cancel()
            for result in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, ConnectionError):
                    logger.error("connection ended by %s: %s", type(result).__name__, result)
            await self._close(request)
        return self._socket

    def end(self) -> None:
        """Close the connection because the server stops."""
        self._end(WSCloseCode.GOING_AWAY, b"")

    def _end(self, code: int, reason: bytes) -> None:
        if not self._ended.is_set():
            self._reason = (code, reason)
            self._ended.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames:
                self._writing = True
                frame = self._frames.popleft()
                await self._socket.send_frame(frame, WSMsgType.TEXT)
                self._waiting_bytes -= len(frame)
                self._writing = False

    async def _read(self, hub: Hub) -> None:
        while True:
            message = await self._socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            if self._limit.exceeded(time.monotonic()):
                self._end(WSCloseCode.POLICY_VIOLATION, b"Too many requests")
                return
            match message.type:
                case WSMsgType.PING:
                    await self._socket.pong(message.data)
                case WSMsgType.PONG:
                    self._answered(bytes(message.data))
                case WSMsgType.TEXT:
                    self.put(self.session.receive(message.data))
                    hub.subscriptions_changed()
                case _:
                    self._end(WSCloseCode.UNSUPPORTED_DATA, b"Text frames only")
                    return

    def _answered(self, payload: bytes) -> None:
        # A pong to a later ping answers the earlier ones too (RFC 6455 §5.5.3).
        if payload in self._pings:
            while next(iter(self._pings)) != payload:
                del self._pings[next(iter(self._pings))]
            del self._pings[payload]

    async def _keep_alive(self) -> None:
        born = last_ping = time.monotonic()
        while True:
            now = time.monotonic()
            oldest = next(iter(self._pings.values()), now)
            if now - oldest >= self._rules.pong_timeout:
                self._end(WSCloseCode.POLICY_VIOLATION, b"Pong timeout")
                return
            if now - born >= self._rules.age:
                await self._announce_shutdown()
                self._end(WSCloseCode.GOING_AWAY, b"")
                return
            if now - last_ping >= self._rules.ping_interval:
                payload = str(time.time_ns() // 1_000_000).encode()
                self._pings[payload] = last_ping = now
                await self._socket.ping(payload)
            await asyncio.sleep(
                max(
                    0.001,
                    min(
                        oldest + self._rules.pong_timeout,
                        born + self._rules.age,
                        last_ping + self._rules.ping_interval,
                    )
                    - now,
                )
            )

    async def _announce_shutdown(self) -> None:
        if self._rules.announce_shutdown:
            event = Outgoing("!serverShutdown", {"e": "serverShutdown", "E": time.time_ns() // 1_000_000})
            await self._socket.send_frame(
                event.encoded(combined=self.session.combined, microseconds=self.microseconds), WSMsgType.TEXT
            )

    async def _close(self, request: web.Request) -> None:
        code, reason = self._reason
        try:
            await asyncio.wait_for(self._socket.close(code=code, message=reason), _CLOSE_SECONDS)
        except (TimeoutError, ConnectionError):
            # A reader so slow that not even the close frame goes out.
            if request.transport is not None:
                request.transport.abort()
