"""The simulated network beside the operating system's: protocols are told the same, in the same order."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.simulation.network import Weather
from tests.simulation.world import World

# Between steps on the real network: on a busy machine the first ones may be too short.
STEPS_S = 0.01, 0.03, 0.3
LINGER = struct.pack("ii", 1, 0)


class Told(asyncio.Protocol):
    """What a protocol is told; data that comes in several pieces counts once."""

    def __init__(self, *, half_open: bool) -> None:
        self.events: list[str] = []
        self.received = b""
        self.transport: asyncio.Transport
        self._half_open = half_open

    def _note(self, event: str) -> None:
        if self.events[-1:] != [event]:
            self.events.append(event)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._note("data")

    def eof_received(self) -> bool:
        self._note("end")
        return self._half_open

    def connection_lost(self, exc: Exception | None) -> None:
        # Whether a write meets the reset first, or a read, is a race of the kernel's.
        self._note(
            "lost by an error" if isinstance(exc, ConnectionError) else "lost" if exc is None else repr(exc)
        )

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")


@dataclass
class Pair:
    """Both sides of a connection, and steps one after another."""

    client: Told
    server: Told
    steps: list[Callable[[], object]]

    def then(self, *steps: Callable[[], object]) -> None:
        self.steps += steps

    def reset(self, side: Told) -> None:
        """Abort with a reset."""
        side.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        side.transport.abort()


Case = Callable[[Pair], None]


def closes(pair: Pair) -> None:
    pair.then(lambda: pair.client.transport.write(b"x" * 1000), pair.client.transport.close)


def closes_after_unread_data(pair: Pair) -> None:
    pair.then(
        pair.client.transport.pause_reading,
        lambda: pair.server.transport.write(b"never read"),
        pair.client.transport.close,
        lambda: pair.server.transport.write(b"more"),
        lambda: pair.server.transport.write(b"more"),
    )


def aborts(pair: Pair) -> None:
    pair.then(lambda: pair.server.transport.write(b"x"), pair.server.transport.abort)


def resets(pair: Pair) -> None:
    pair.then(lambda: pair.client.transport.write(b"x"), lambda: pair.reset(pair.client))


def resets_a_reader_that_has_paused(pair: Pair) -> None:
    pair.then(
        pair.server.transport.pause_reading,
        lambda: pair.client.transport.write(b"x"),
        lambda: pair.reset(pair.client),
        pair.server.transport.resume_reading,
    )


def half_closes(pair: Pair) -> None:
    pair.then(
        pair.client.transport.write_eof,
        lambda: pair.server.transport.write(b"answer"),
        pair.server.transport.close,
    )


def both_close(pair: Pair) -> None:
    def close() -> None:
        pair.client.transport.close()
        pair.server.transport.close()

    pair.then(close)


def writes_to_who_has_closed(pair: Pair) -> None:
    pair.then(
        pair.client.transport.close,
        lambda: pair.server.transport.write(b"too late"),
        lambda: pair.server.transport.write(b"too late"),
        lambda: pair.server.transport.write(b"too late"),
    )


def writes_more_than_is_read(pair: Pair) -> None:
    pair.then(
        pair.server.transport.pause_reading,
        lambda: pair.client.transport.write(bytes(12 * 2**20)),
        pair.server.transport.resume_reading,
    )


def closes_with_a_full_buffer(pair: Pair) -> None:
    pair.then(
        pair.server.transport.pause_reading,
        lambda: pair.client.transport.write(bytes(12 * 2**20)),
        pair.client.transport.close,
        pair.server.transport.resume_reading,
    )


def closes_twice_and_writes_after(pair: Pair) -> None:
    def step() -> None:
        pair.client.transport.close()
        pair.client.transport.close()
        pair.client.transport.write(b"ignored")

    pair.then(step)


def pauses_across_the_end(pair: Pair) -> None:
    pair.then(
        pair.server.transport.pause_reading,
        lambda: pair.client.transport.write(b"last"),
        pair.client.transport.close,
        pair.server.transport.resume_reading,
    )


CASES: tuple[Case, ...] = (
    closes, closes_after_unread_data, aborts, resets, resets_a_reader_that_has_paused, half_closes,
    both_close, writes_to_who_has_closed, writes_more_than_is_read, closes_with_a_full_buffer,
    closes_twice_and_writes_after, pauses_across_the_end,
)  # fmt: skip


async def _told(case: Case, half_open: bool, step_s: float) -> list[object]:
    loop = asyncio.get_running_loop()
    server = Told(half_open=half_open)
    listener = await loop.create_server(lambda: server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    _, client = await loop.create_connection(lambda: Told(half_open=half_open), "127.0.0.1", port)
    await asyncio.sleep(step_s)
    pair = Pair(client, server, [])
    case(pair)
    for step in pair.steps:
        step()
        await asyncio.sleep(step_s)
    told = -1
    while told != (  # noqa: ASYNC110 - until nothing happens any more
        told := len(client.received) + len(server.received) + len(client.events + server.events)
    ):
        await asyncio.sleep(10 * step_s)
    ended = [len(client.received), len(server.received), client.events, server.events]
    listener.close()
    for side in (client, server):
        if not side.transport.is_closing():
            side.transport.abort()
    await asyncio.sleep(step_s)
    return ended


@pytest.mark.parametrize("half_open", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_protocols_are_told_the_same(case: Case, half_open: bool) -> None:
    world = World(7, weather=Weather(split=0.3))
    simulated = world.run(_told(case, half_open, 1.0))
    world.close()
    real = [asyncio.run(_told(case, half_open, STEPS_S[0]))]
    for step_s in STEPS_S[1:]:
        if simulated not in real:
            real.append(asyncio.run(_told(case, half_open, step_s)))
    assert simulated == real[-1]
