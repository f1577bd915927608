"""A WebSocket connection that hands over all frames that have come, not one at a time.

`ClientConnection.recv` takes a coroutine, a lock and an assembler for each frame, and the library's parser
a step of a generator for each field of its header. An exchange's frames are whole messages that come dozens
at a time: those are cut out of what the socket gave, and all else goes to the library, frame by frame.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import OPEN, Event

# Frames received and not yet read; above it the socket is not read, so TCP holds the exchange back. Longer
# queues are slower: the frames fall out of the processor's caches before they are parsed.
_QUEUED_FRAMES: Final = 1_024
# Decoded they take up to 30 times as much, one at a time; 1,024 of the longest would be 900 MB.
_QUEUED_BYTES: Final = 8 * 2**20
# Last fragment and text, with nothing reserved set (RFC 6455 §5.2): a whole message.
_WHOLE_TEXT: Final = 0x81
_END_OF_HEAD: Final = b"\r\n\r\n"


def payload_span(data: bytes, position: int) -> tuple[int, int]:
    """Where the payload of the server's frame that begins at `position` begins and ends (RFC 6455 §5.2).

    Both are beyond the end of `data` where the header itself is cut.
    """
    start = position + 2
    if start > len(data):
        return start, start
    length = data[position + 1]
    if length < 126:
        return start, start + length
    # The mask bit, which a server must not set, makes a length of its own that the caller's bound refuses.
    size = 2 if length == 126 else 8 if length == 127 else 0
    start += size
    if not size:
        return start, start + (1 << 63)
    return start, start + (int.from_bytes(data[start - size : start]) if start <= len(data) else 0)


class FrameConnection(ClientConnection):
    """One that is read by `frames` and `more`; `recv` gives nothing.

    Attributes:
        frames: payloads of the messages that have come, oldest first; take them from the left.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.frames: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._head: bytes | None = b""  # of the HTTP answer, until its end
        self._tail = b""  # a frame that has not come whole
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
        while position < size:
            start, end = payload_span(data, position)
            if end - start > longest or self.protocol.state is not OPEN:
                self._pass_to_library(data[position:])  # which says what is wrong with it
                return
            if end > size:
                self._tail = data[position:]
                break
            if data[position] == _WHOLE_TEXT and not self._parts:
                self.frames.append(data[start:end])
            else:
                super().data_received(data[position:end])
            position = end
        self._received()

    def _shake_hands(self, head: bytes, data: bytes) -> bytes:
        """Pass on what belongs to the HTTP answer's head; what is left of the data."""
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
