"""All frames that have come, in order and whole, and the end of a connection after the last of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from producers.frames import FrameConnection

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

    asyncio.run(work())


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

    asyncio.run(work())
