"""One client's WebSocket: its queue, pings, limits and end, whatever the protocol."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from simulator.faults.connection import ConnectionFaults
from simulator.faults.script import Fault
from simulator.faults.targets import strikes
from simulator.outgoing import Outgoing
from simulator.protocols.port import Session
from simulator.server.hub import Hub

logger = logging.getLogger(__name__)

# Unwritten bytes: at 5,000 trades a second a client may fall a minute behind before it is dropped.
_MOST_WAITING_BYTES: Final = 64 * 2**20
_CLOSE_SECONDS: Final = 2.0
_BEAT_SECONDS: Final = 1.0
_LARGEST_FRAME: Final = 65_536
# SO_LINGER for no time: closing such a socket resets the connection.
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """Seconds, real ones whatever the world's speed.

    Attributes:
        announce_shutdown: send serverShutdown before a connection ends of age.
        shutdown_lead: how long before.
    """

    ping_interval: float = 20.0
    pong_timeout: float = 60.0
    age: float = 86_400.0
    announce_shutdown: bool = False
    shutdown_lead: float = 0.0


class Connection:
    """A listener of the hub on a socket.

    Attributes:
        struck_by: the last fault that ends or silences it.
        leaving: a fault has announced its end.
    """

    def __init__(self, session: Session, rules: ConnectionRules, hub: Hub) -> None:
        self.session = session
        self.struck_by: Fault | None = None
        self.leaving = False
        self._rules = rules
        self._hub = hub
        self._socket = web.WebSocketResponse(
            autoping=False,
            autoclose=False,
            compress=False,
            max_msg_size=_LARGEST_FRAME,
            timeout=_CLOSE_SECONDS,
        )
        self._transport: asyncio.Transport | None = None
        # Event (None: something else), its frame, and time of queueing.
        self._queue: deque[tuple[Outgoing | None, bytes, float]] = deque()
        self._waiting_bytes = 0
        self._writing = False
        self._wake = asyncio.Event()
        self._quiet = True
        self._spoken_to = False
        self._muted_by: list[Fault] = []
        self._faults = ConnectionFaults()
        # Payloads of unanswered pings, and when each was sent.
        self._pings: dict[bytes, float] = {}
        self._ended = asyncio.Event()
        self._reason: tuple[int, bytes] = (WSCloseCode.OK, b"")
        born = time.monotonic()
        self._dies_s = born + rules.age
        self._announced_s = self._dies_s - rules.shutdown_lead if rules.announce_shutdown else math.inf
        self._plan_changed = asyncio.Event()

    def number(self, event: Outgoing) -> None:
        # Of a stream that has fallen silent nothing is sent that could be counted.
        if not self._muted(event.stream):
            self.session.number(event)

    def put(self, event: Outgoing) -> None:
        now = time.monotonic()
        if self._ended.is_set() or self._faults.silent_for(now) or self._muted(event.stream):
            self._hub.lost(event, self)
            return
        frame = self.session.frame(event)
        if frame is None:
            self._hub.lost(event, self)
            return
        if self._waiting_bytes + len(frame) > _MOST_WAITING_BYTES:
            self._hub.lost(event, self)
            self._end(WSCloseCode.POLICY_VIOLATION, b"Slow reader")
            return
        self._enqueue(event, frame, now)

    def strike(self, fault: Fault) -> None:
        """Suffer a fault of connections."""
        now = time.monotonic()
        if fault.kind != "slow":
            self.struck_by = fault
        match fault.kind:
            case "drop":
                self._end(WSCloseCode.ABNORMAL_CLOSURE, b"")
                self._reset()
            case "silent":
                self._faults.silence(fault, now)
                self._throw_away_queue()
            case "mute":
                self._muted_by.append(fault)
            case "slow":
                self._faults.slow_down(fault, now)
            case "shutdown":
                self.leaving = True
                self._announced_s, self._dies_s = now, now + fault.options["lead"]
                self._plan_changed.set()
            case _:
                self._end(WSCloseCode.GOING_AWAY, b"")

    def _muted(self, stream: str) -> bool:
        if not self._muted_by:
            return False
        target = self._hub.dialect.target_of(stream)
        return target is not None and any(strikes(fault, target) for fault in self._muted_by)

    @property
    def waiting(self) -> int:
        return 0 if self._ended.is_set() else len(self._queue) + self._writing

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the client until one side ends the connection."""
        await self._socket.prepare(request)
        self._transport = request.transport
        self._hub.join(self)
        self._say(self.session.opening())
        work = [
            asyncio.create_task(step)
            for step in (self._write(), self._read(), self._keep_alive(), self._beat(), self._ended.wait())
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ended.set()
            self._hub.leave(self)
            self._throw_away_queue()
            for task in work:
                task.cancel()
            for result in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, ConnectionError):
                    logger.error("connection ended by %s: %s", type(result).__name__, result)
            await self._close()
        return self._socket

    def end(self) -> None:
        """Close the connection because the server stops."""
        self._end(WSCloseCode.GOING_AWAY, b"")

    def _end(self, code: int, reason: bytes) -> None:
        if not self._ended.is_set():
            self._reason = (code, reason)
            self._ended.set()

    def _enqueue(self, event: Outgoing | None, frame: bytes, now: float) -> None:
        self._waiting_bytes += len(frame)
        self._queue.append((event, frame, now))
        self._quiet = False
        self._wake.set()

    def _say(self, frames: Sequence[bytes]) -> None:
        """Send frames that are no events."""
        for frame in frames:
            self._enqueue(None, frame, time.monotonic())

    def _throw_away_queue(self) -> None:
        while self._queue:
            event, frame, _ = self._queue.popleft()
            self._waiting_bytes -= len(frame)
            if event is not None:
                self._hub.lost(event, self)

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                waiting = self._queue[0]
                if self._faults.slowed_by is not None:
                    await self._crawl(*waiting)
                    if not self._queue or self._queue[0] is not waiting:
                        continue  # it was thrown away meanwhile
                _, frame, _ = self._queue.popleft()
                self._waiting_bytes -= len(frame)
                self._writing = True
                await self._socket.send_frame(frame, WSMsgType.TEXT)
                self._writing = False

    async def _crawl(self, event: Outgoing | None, frame: bytes, queued: float) -> None:
        """Wait as long as a slow connection takes for a frame."""
        fault, now = self._faults.slowed_by, time.monotonic()
        wait_s = self._faults.wait_s(len(frame), queued, now)
        if wait_s and fault is not None and event is not None:
            self._hub.delayed(event, fault)
            await asyncio.sleep(wait_s)

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            silent_s = self._faults.silent_for(time.monotonic())
            if silent_s and message.type is not WSMsgType.PONG:
                # Half-open: not even a close is answered.
                if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                    await asyncio.sleep(silent_s)
                    return
                continue
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            now = time.monotonic()
            exceeds = self.session.limit is not None and self.session.limit.exceeded(now)
            self._hub.arrivals.heard(now, exceeds=exceeds)
            if exceeds:
                self._end(WSCloseCode.POLICY_VIOLATION, b"Too many requests")
                return
            match message.type:
                case WSMsgType.PING:
                    await self._socket.pong(message.data)
                case WSMsgType.PONG:
                    self._answered(bytes(message.data))
                case WSMsgType.TEXT:
                    self._spoken_to = True
                    wrong = self.session.subscribes(message.data) and self._hub.misheard()
                    self._say(self.session.replies(message.data, wrong=wrong))
                    self._hub.subscriptions_changed()
                case _:
                    self._end(WSCloseCode.UNSUPPORTED_DATA, b"Text frames only")
                    return

    async def _beat(self) -> None:
        """What is sent each second, and the end of who does not say what it wants."""
        born = time.monotonic()
        while self.session.beats or self.session.deadline_s is not None:
            self._quiet = True
            await asyncio.sleep(_BEAT_SECONDS)
            now = time.monotonic()
            deadline_s = self.session.deadline_s
            if deadline_s is not None and not self._spoken_to and now - born >= deadline_s:
                self._end(WSCloseCode.POLICY_VIOLATION, b"No subscription")
            if not self._faults.silent_for(now):
                self._say(self.session.beat(quiet=self._quiet))
        await self._ended.wait()

    def _answered(self, payload: bytes) -> None:
        # A pong to a later ping answers the earlier ones too (RFC 6455 §5.5.3).
        if payload in self._pings:
            while next(iter(self._pings)) != payload:
                del self._pings[next(iter(self._pings))]
            del self._pings[payload]

    async def _keep_alive(self) -> None:
        last_ping = time.monotonic()
        while True:
            now = time.monotonic()
            oldest = next(iter(self._pings.values()), now)
            if now - oldest >= self._rules.pong_timeout:
                self._end(WSCloseCode.POLICY_VIOLATION, b"Pong timeout")
                return
            if now >= self._announced_s:
                self._announced_s = math.inf
                await self._announce_shutdown()
            if now >= self._dies_s:
                self._end(WSCloseCode.GOING_AWAY, b"")
                return
            if now - last_ping >= self._rules.ping_interval:
                last_ping = now
                await self._ping(now)
            next_s = min(
                oldest + self._rules.pong_timeout,
                self._announced_s,
                self._dies_s,
                last_ping + self._rules.ping_interval,
            )
            try:
                await asyncio.wait_for(self._plan_changed.wait(), max(0.001, next_s - now))
            except TimeoutError:
                continue
            self._plan_changed.clear()

    async def _ping(self, now: float) -> None:
        if not self._faults.silent_for(now):
            payload = str(time.time_ns() // 1_000_000).encode()
            self._pings[payload] = now
            await self._socket.ping(payload)

    async def _announce_shutdown(self) -> None:
        farewell = self.session.farewell()
        if farewell is not None:
            await self._socket.send_frame(farewell, WSMsgType.TEXT)

    def _reset(self) -> None:
        """Break the TCP connection; unwritten frames are lost."""
        if self._transport is not None:
            raw = self._transport.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    async def _close(self) -> None:
        code, reason = self._reason
        if code == WSCloseCode.ABNORMAL_CLOSURE:
            return  # reset already
        try:
            await asyncio.wait_for(self._socket.close(code=code, message=reason), _CLOSE_SECONDS)
        except (TimeoutError, ConnectionError):
            # The reader is too slow even for the close frame.
            if self._transport is not None:
                self._transport.abort()
