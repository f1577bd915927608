"""One side of a simulated connection: an asyncio transport with a window, latency, half-close and resets."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.loop import OWNER, Handle, Owner

if TYPE_CHECKING:
    from tests.simulation.network import Network

Address = tuple[str, int]
HOST: Final = "127.0.0.1"
# What both kernels hold of bytes that the reader has not taken; more waits in the transport's own buffer.
_KERNELS_BYTES: Final = 262_144
# asyncio's own marks.
_HIGH_BYTES: Final = 65_536
# Bytes written within so short a time leave together.
_BURST_S: Final = 0.000_05
_NO_LINGER: Final = struct.pack("ii", 1, 0)

# What arrives in place of bytes: the end of what the other side sends, and its reset.
_END: Final = b""
_RESET: Final = None


class SimulatedSocket:
    """What code asks a socket for."""

    family: Final = socket.AF_INET
    type: Final = socket.SOCK_STREAM
    proto: Final = socket.IPPROTO_TCP

    def __init__(self, local: Address, remote: Address | None) -> None:
        self._local = local
        self._remote = remote
        self._options: dict[tuple[int, int], Any] = {}

    @property
    def resets(self) -> bool:
        """Whether closing it resets the connection (SO_LINGER of no time)."""
        return bool(self._options.get((socket.SOL_SOCKET, socket.SO_LINGER)) == _NO_LINGER)

    def fileno(self) -> int:
        return -1

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int, _length: int = 0) -> Any:
        return self._options.get((level, option), 0)

    def getsockname(self) -> Address:
        return self._local

    def getpeername(self) -> Address:
        if self._remote is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._remote


class Transport(asyncio.Transport):
    """One side of a connection.

    Attributes:
        number: of all transports, in the order in which they were made.
        local: our address.
        latency_s: least time of bytes on their way.
        owner: the process that it belongs to.
        context: in which its protocol is called.
        held_until_s: nothing arrives before.
    """

    def __init__(self, network: Network, local: Address, remote: Address, latency_s: float) -> None:
        super().__init__()
        self._network = network
        self._loop = network.loop
        self.number = network.next_number()
        self.local = local
        self.latency_s = latency_s
        self.owner: Owner = OWNER.get()
        self.context = contextvars.copy_context()
        self.held_until_s = 0.0
        self._jitter_s = network.weather.jitter_s
        self._socket = SimulatedSocket(local, remote)
        self._extra = {"sockname": local, "peername": remote, "socket": self._socket}
        self._protocol: asyncio.Protocol | None = None
        self._peer: Transport | None = None
        # What is on its way to us, or has come while we do not read: when it is due, and the bytes.
        self._coming: deque[tuple[float, bytearray | bytes | None]] = deque()
        self._arrival: Handle | None = None
        self._last_burst_s = -1.0  # when the newest of it was written
        self._reading = True
        # Bytes written that the other side has not taken.
        self._untaken = 0
        self._high, self._low = _HIGH_BYTES, _HIGH_BYTES // 4
        self._protocol_paused = False
        self._closing = False
        self._ended = False  # we send no more
        self._lost = False  # the protocol has been told, or will be soon
        self._refused = False  # a reset has come: writing fails
        self._lost_when_written = False
        self._dead = False  # with its process

    def join(self, peer: Transport) -> None:
        """Connect two sides."""
        self._peer, peer._peer = peer, self

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Give it its protocol."""
        self.set_protocol(protocol)
        self.owner = OWNER.get()
        self.context = contextvars.copy_context()
        protocol.connection_made(self)
        self._expect()

    # -- asyncio's interface ---------------------------------------------------------------------------

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol), "the simulated network gives bytes to a Protocol"
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._expect()

    def get_write_buffer_size(self) -> int:
        return max(0, self._untaken - _KERNELS_BYTES)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = _HIGH_BYTES if low is None else 4 * low
        self._high, self._low = high, high // 4 if low is None else low
        self._pause_if_full()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._ended and not self._closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._lost or self._closing or not data:
            return
        if self._refused:
            self._lose(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
            return
        self._untaken += len(data)
        assert self._peer is not None
        self._peer._send(data)
        if self._untaken > _KERNELS_BYTES:
            self._pause_if_full()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._ended:
            self._end()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._end_for_good()
        if self.get_write_buffer_size():
            self._lost_when_written = True
        else:
            self._lose(None)

    def abort(self) -> None:
        self._force(None)

    # -- towards the other side ------------------------------------------------------------------------

    def _end(self) -> None:
        """We send no more."""
        if not self._ended:
            self._ended = True
            if self._peer is not None:
                self._peer._send(_END)

    def _end_for_good(self) -> None:
        """We neither send nor read any more. With bytes that nobody has read a kernel resets a connection."""
        if self._peer is None:
            return
        if self._coming and self._coming[0][0] <= self._loop.now_s and self._coming[0][1]:
            self._coming.clear()
            self._ended = True
            self._peer._send(_RESET)
        else:
            self._end()

    def _force(self, error: Exception | None) -> None:
        """Close without writing what waits in our buffer."""
        if self._lost:
            return
        peer = self._peer
        if peer is not None:
            if self._socket.resets:
                peer._send(_RESET)
            else:
                peer._cut_off(self.get_write_buffer_size())
                self._end_for_good()
        self._closing = self._ended = True
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        """Tell the protocol that the connection has ended."""
        if self._lost:
            return
        self._closing = self._lost = True
        self._network.abandoned(self)
        self._loop.call_soon(self._tell_lost, error, context=self.context)

    def _tell_lost(self, error: Exception | None) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(error)
        if self._arrival is None:
            self._answer_with_reset()

    def _pause_if_full(self) -> None:
        if not self._protocol_paused and self.get_write_buffer_size() > self._high:
            self._protocol_paused = True
            if self._protocol is not None:
                self._protocol.pause_writing()

    def _taken(self, count: int) -> None:
        """The other side has read so many bytes."""
        self._untaken -= count
        if (self._protocol_paused or self._lost_when_written) and self.get_write_buffer_size() <= self._low:
            self._loop.call_soon(self._written, context=self.context)

    def _written(self) -> None:
        waiting = self.get_write_buffer_size()
        if self._protocol_paused and waiting <= self._low:
            self._protocol_paused = False
            if self._protocol is not None and not self._lost:
                self._protocol.resume_writing()
        if self._lost_when_written and not waiting:
            self._lose(None)

    # -- what arrives ----------------------------------------------------------------------------------

    def _send(self, data: bytes | bytearray | memoryview | None) -> None:
        """Take something that the other side sends now."""
        now_s, coming = self._loop.now_s, self._coming
        if self._dead:
            if data and self._peer is not None and not self._peer._refused:
                self._peer._send(_RESET)
            return
        if data and now_s - self._last_burst_s < _BURST_S and coming and type(coming[-1][1]) is bytearray:
            coming[-1][1].extend(data)
            return
        random = self._network.random.random
        due_s = now_s + self.latency_s + random() * self._jitter_s
        if coming:
            due_s = max(due_s, coming[-1][0])
        self._last_burst_s = now_s if data else -1.0
        if data and len(data) > 1 and random() < self._network.weather.split:
            first = 1 + int(random() * (len(data) - 1))
            coming.append((due_s, bytes(data[:first])))
            due_s += random() * self._jitter_s
            data = data[first:]
        coming.append((due_s, bytearray(data) if data else _END if data is not None else _RESET))
        if data is _RESET:
            self._loop.call_at(due_s, self._refuse, context=self.context)
        self._expect()

    def _cut_off(self, count: int) -> None:
        """So many of the newest bytes were never sent."""
        while count > 0 and self._coming and self._coming[-1][1]:
            due_s, data = self._coming.pop()
            assert data is not None
            if len(data) > count:
                self._coming.append((due_s, data[:-count]))
            count -= len(data)

    def hold_until(self, until_s: float) -> None:
        """Nothing arrives before a time, on either side."""
        for side in (self, self._peer):
            if side is not None:
                side.held_until_s = max(side.held_until_s, until_s)

    def _expect(self) -> None:
        """Set the time of the next arrival."""
        if self._arrival is None and self._coming and self._reading and self._protocol is not None:
            due_s = max(self._coming[0][0], self.held_until_s)
            self._arrival = self._loop.call_at(due_s, self._arrive, context=self.context)

    def _arrive(self) -> None:
        self._arrival = None
        coming, now_s = self._coming, self._loop.now_s
        if self._lost:
            self._answer_with_reset()
            return
        if self._closing or not self._reading:
            return
        assert self._protocol is not None
        if now_s >= self.held_until_s and coming and coming[0][0] <= now_s:
            if coming[0][1]:
                self._protocol.data_received(self._pieces(now_s))
            elif coming.popleft()[1] is _RESET:
                self._ended = True
                self._lose(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))
            elif not self._protocol.eof_received():
                self.close()
        self._expect()

    def _pieces(self, now_s: float) -> bytes:
        """All bytes that have arrived, which the other side learns."""
        coming = self._coming
        data = bytes(coming.popleft()[1] or _END)
        while coming and coming[0][0] <= now_s and coming[0][1]:
            data += coming.popleft()[1] or _END
        assert self._peer is not None
        self._peer._taken(len(data))
        return data

    def _answer_with_reset(self) -> None:
        """Bytes have come that nobody will read."""
        unread = any(data for _, data in self._coming)
        self._coming.clear()
        if unread and self._peer is not None and not self._peer._lost:
            self._peer._send(_RESET)

    def _refuse(self) -> None:
        """A reset has come: what is still unread can be read, but nothing written."""
        self._refused = True
        if self._closing and not self._lost:
            self._lose(None)

    # -- faults ----------------------------------------------------------------------------------------

    def break_off(self) -> None:
        """Reset both sides."""
        for side in (self, self._peer):
            if side is not None and not side._lost:
                side._coming.clear()
                side._refused = True
                side._send(_RESET)

    def die(self, delay_s: float, *, reset: bool) -> None:
        """Our process is dead: its kernel ends the connection `delay_s` from now."""
        self._closing = self._ended = self._lost = self._dead = True
        self._network.abandoned(self)
        self._coming.clear()
        peer = self._peer
        if peer is not None and not peer._lost:
            peer._cut_off(self.get_write_buffer_size())
            self._loop.call_later(
                delay_s, peer._send, _RESET if reset else _END, context=contextvars.Context()
            )
