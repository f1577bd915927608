"""A WebSocket connection that gives all received frames at once.

`ClientConnection.recv` costs a coroutine, a lock and an assembler for each frame, and the library's parser a
generator step for each header field. An exchange's frames are whole messages that arrive dozens at a time:
these are cut out of the socket's data here, and all else goes to the library, frame by frame.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import OPEN, Event

# Unread frames; above this the socket is not read, so that TCP slows the exchange. Longer queues are slower:
# the frames leave the processor's caches before they are parsed.
_QUEUED_FRAMES: Final = 1_024
# 1,024 of the longest frames would take 900 MB.
_QUEUED_BYTES: Final = 8 * 2**20
# Last fragment and text, with nothing reserved set (RFC 6455 §5.2): a whole message.
_WHOLE_TEXT: Final = 0x81
# Of such a message whose length has two bytes: nearly all of an exchange's.
_USUAL_HEAD: Final = b"\x81\x7e"
_END_OF_HEAD: Final = b"\r\n\r\n"


def payload_span(data: bytes, position: int) -> tuple[int, int]:
    """Start and end of the payload of the server's frame at `position` (RFC 6455 §5.2).

    Both are beyond the end of `data` if the header itself is incomplete.
    """
    start = position + 2
    if start > len(data):
        return start, start
    length = data[position + 1]
    if length < 126:
        return start, start + length
    # The mask bit, which a server must not set, gives a length beyond the caller's bound.
    size = 2 if length == 126 else 8 if length == 127 else 0
    start += size
    if not size:
        return start, start + (1 << 63)
    return start, start + (int.from_bytes(data[start - size : start]) if start <= len(data) else 0)


class FrameConnection(ClientConnection):
    """Read it by `frames` and `more`; `recv` gives nothing.

    Attributes:
        frames: payloads of received messages, oldest first; take them from the left.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.frames: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._head: bytes | None = b""  # of the HTTP answer, until its end
        self._tail = b""  # an incomplete frame
        self._held_back = False
        self._arrival: asyncio.Future[None] | None = None
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            data = self._shake_hands(self._head, data)
        if self.protocol.state is not OPEN:
            self._pass_to_library(data)
            return
        data, self._tail = self._tail + data, b""
        position, size, longest = 0, len(data), self.protocol.max_message_size or sys.maxsize
        append, whole = self.frames.append, not self._parts
        while position < size:
            if whole and data[position : position + 2] == _USUAL_HEAD and position + 4 <= size:
                start = position + 4
                end = start + (data[position + 2] << 8 | data[position + 3])
                if end <= size and end - start <= longest:
                    append(data[start:end])
                    position = end
                    continue
            start, end = payload_span(data, position)
            if end - start > longest:
                self._pass_to_library(data[position:])  # which raises the protocol error
                return
            if end > size:
                self._tail = data[position:]
                break
            if whole and data[position] == _WHOLE_TEXT:
                append(data[start:end])
            else:
                super().data_received(data[position:end])
                whole = not self._parts
                if self.protocol.state is not OPEN:
                    self._pass_to_library(data[end:])
                    break
            position = end
        self._received()

    def _shake_hands(self, head: bytes, data: bytes) -> bytes:
        """Pass the HTTP answer's head to the library; the data after it."""
        answer = head + data
        found = answer.find(_END_OF_HEAD)
        self._head = answer if found < 0 else None
        end = len(data) if found < 0 else found + len(_END_OF_HEAD) - len(head)
        super().data_received(data[:end])
        return data[end:]

    def _pass_to_library(self, data: bytes) -> None:
        data, self._tail = self._tail + data, b""
        if data:
            super().data_received(data)

    def process_event(self, event: Event) -> None:
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.fin and not self._parts:
            self.frames.append(bytes(event.data))
        else:
            if event.data or not self._parts:
                self._parts.append(bytes(event.data))
            if not event.fin:
                return
            self.frames.append(b"".join(self._parts))
            self._parts.clear()
        self._received()

    def _received(self) -> None:
        if not self._held_back and (
            len(self.frames) > _QUEUED_FRAMES or sum(map(len, self.frames)) > _QUEUED_BYTES
        ):
            self._held_back = True
            self.transport.pause_reading()
        if self.frames:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wake()

    async def more(self) -> None:
        """Wait until `frames` has some.

        Raises:
            ConnectionClosed: the connection has ended and all its messages were taken.
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
