"""All frames that have come, in order and whole, and the end of a connection after the last of them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from producers.frames import FrameConnection, payload_span
from tests.virtual_time import run_virtually

Served = Callable[[ServerConnection], Awaitable[None]]


async def read_all(served: Served, pause_s: float = 0.0) -> tuple[list[bytes], int]:
    """What a client reads to the end of the connection, and the most frames that it held at once."""
    async with serve(served, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        connection = await connect(
            f"ws://127.0.0.1:{port}", create_connection=FrameConnection, compression=None
        )
        assert isinstance(connection, FrameConnection)
        read, most = [], 0
        await asyncio.sleep(pause_s)
        with pytest.raises(ConnectionClosed):
            while True:
                await connection.more()
                most = max(most, len(connection.frames))
                while connection.frames:
                    read.append(connection.frames.popleft())
        return read, most


def test_frames_come_in_order_and_the_end_after_the_last_of_them() -> None:
    async def served(socket: ServerConnection) -> None:
        for number in range(5_000):
            await socket.send(str(number))

    read, _ = asyncio.run(read_all(served))
    assert read == [str(number).encode() for number in range(5_000)]


def test_messages_in_fragments_are_put_together_and_binary_ones_are_taken() -> None:
    async def served(socket: ServerConnection) -> None:
        await socket.send(["first ", "second ", "third"])
        await socket.send(b"whole")
        await socket.ping()
        await socket.send(["a", "b"])

    read, _ = asyncio.run(read_all(served))
    assert read == [b"first second third", b"whole", b"ab"]


def test_a_reader_that_does_not_read_holds_the_sender_back() -> None:
    sent = 0
    payload = "x" * 1_000

    async def served(socket: ServerConnection) -> None:
        nonlocal sent
        for sent in range(1, 60_001):  # noqa: B007
            await socket.send(payload)

    async def work() -> None:
        reading = asyncio.create_task(read_all(served, pause_s=1.0))
        await asyncio.sleep(0.9)
        # Sixty megabytes do not fit into the sockets' buffers; the rest was not even sent.
        assert 0 < sent < 60_000
        read, most = await reading
        assert len(read) == 60_000
        assert most < 10_000

    run_virtually(work())


def test_one_that_is_cancelled_while_it_waits_loses_nothing() -> None:
    async def served(socket: ServerConnection) -> None:
        await asyncio.sleep(0.2)
        await socket.send("late")
        await socket.wait_closed()

    async def work() -> None:
        async with serve(served, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}", create_connection=FrameConnection) as connection:
                assert isinstance(connection, FrameConnection)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(connection.more(), 0.05)
                await connection.more()
                assert list(connection.frames) == [b"late"]

    run_virtually(work())


def text(payload: bytes, first: int = 0x81) -> bytes:
    """A frame as a server sends it, with the shortest length that fits."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2) + payload
    return bytes((first, 127)) + size.to_bytes(8) + payload


async def read_raw(pieces: Sequence[bytes], max_size: int = 900_000) -> tuple[list[bytes], int | None]:
    """What a client reads of bytes that come in these pieces, the first with the handshake's answer.

    Also the code with which it closed the connection, if it did.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"Sec-WebSocket-Key: (\S+)", head)
        assert found is not None
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(found[1] + guid, usedforsecurity=False).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + pieces[0]
        )
        for piece in pieces[1:]:
            await writer.drain()
            await asyncio.sleep(0.001)
            writer.write(piece)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connection = await connect(
            url, create_connection=FrameConnection, compression=None, max_size=max_size
        )
        assert isinstance(connection, FrameConnection)
        read = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await connection.more()
                while connection.frames:
                    read.append(connection.frames.popleft())
        return read, None if closed.value.sent is None else closed.value.sent.code


PAYLOADS = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 300, b"e" * 70_000, b"f"]


def test_frames_cut_at_any_byte_are_put_together() -> None:
    short = b"".join(text(payload) for payload in (b"", b"ab", b"c" * 126))
    for cut in range(len(short) + 1):
        assert asyncio.run(read_raw([short[:cut], short[cut:]]))[0] == [b"", b"ab", b"c" * 126], cut
    long = b"".join(map(text, PAYLOADS))
    pieces = [long[start : start + 50] for start in range(0, 1_000, 50)]
    assert asyncio.run(read_raw([*pieces, long[1_000:]]))[0] == PAYLOADS


def test_control_frames_and_fragments_between_whole_messages_keep_their_places() -> None:
    stream = b"".join(
        text(payload, first)
        for payload, first in (
            (b"1", 0x81),
            (b"ping", 0x89),
            (b"2", 0x81),
            (b"3", 0x01),
            (b"pong", 0x8A),
            (b"4", 0x80),
            (b"5", 0x81),
            (b"\x03\xe8bye", 0x88),
        )
    )
    for cut in range(len(stream)):
        read, code = asyncio.run(read_raw([stream[:cut], stream[cut:]]))
        assert (read, code) == ([b"1", b"2", b"34", b"5"], 1000), cut


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        pytest.param(text(b"x" * 1_001), 1009, id="a message longer than the bound"),
        pytest.param(bytes((0x81, 127)) + (1 << 62).to_bytes(8), 1009, id="a length that nobody has"),
        pytest.param(bytes((0x81, 0x81)) + b"maskx", 1002, id="a masked frame"),
        pytest.param(text(b"x", 0xC1), 1002, id="a reserved bit"),
        pytest.param(text(b"x", 0x01) + text(b"y"), 1002, id="a new message within a fragmented one"),
        pytest.param(text(b"x", 0x80), 1002, id="a fragment that continues nothing"),
    ],
)
def test_a_frame_against_the_protocol_ends_the_connection_after_what_came_before(
    wrong: bytes, code: int
) -> None:
    read, said = asyncio.run(read_raw([text(b"good"), wrong, text(b"after")], max_size=1_000))
    assert (read, said) == ([b"good"], code)


def test_a_span_beyond_the_data_says_that_the_frame_is_not_whole() -> None:
    frame = text(b"x" * 300)
    for known in range(len(frame)):
        assert payload_span(frame[:known], 0)[1] > known
    assert payload_span(frame, 0) == (4, 304)
