"""A WebSocket connection that hands over all frames that have come, not one at a time.

`ClientConnection.recv` takes a coroutine, a lock and an assembler for each frame. An exchange's frames are
whole messages that come dozens at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event

# Frames received and not yet read; above it the socket is not read, so TCP holds the exchange back. Longer
# queues are slower: the frames fall out of the processor's caches before they are parsed.
_QUEUED_FRAMES: Final = 1_024


class FrameConnection(ClientConnection):
    """One that is read by `frames` and `more`; `recv` gives nothing.

    Attributes:
        frames: payloads of the messages that have come, oldest first; take them from the left.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.frames: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._held_back = False
        self._arrival: asyncio.Future[None] | None = None
        super().connection_made(transport)

    def process_event(self, event: Event) -> None:
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.fin and not self._parts:
            self.frames.append(bytes(event.data))
        else:
            self._parts.append(bytes(event.data))
            if not event.fin:
                return
            self.frames.append(b"".join(self._parts))
            self._parts.clear()
        if len(self.frames) > _QUEUED_FRAMES and not self._held_back:
            self._held_back = True
            self.transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wake()

    async def more(self) -> None:
        """Wait until `frames` has some.

        Raises:
            ConnectionClosed: the connection has ended and all that it brought was taken.
        """
        while not self.frames:
            if self.connection_lost_waiter.done():
                raise self.protocol.close_exc from self.recv_exc
            if self._held_back:
                self._held_back = False
                self.transport.resume_reading()
            self._arrival = self.loop.create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
