"""Simulated connections behave as TCP's do under asyncio; aiohttp and websockets run on them unmodified."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from tests.simulation.network import Weather
from tests.simulation.world import World

PORT = 9_000
CALM = Weather(least_s=0.01, most_s=0.01, jitter_s=0.0, split=0.0)


@pytest.fixture
def world() -> Iterator[World]:
    world = World(1, weather=CALM)
    yield world
    world.close()


class Noted(asyncio.Protocol):
    """Notes what happens to it."""

    def __init__(self, world: World, *, half_open: bool = False) -> None:
        self.events: list[str] = []
        self.times_s: list[float] = []
        self.received = b""
        self._world = world
        self._half_open = half_open
        self.transport: asyncio.Transport

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.times_s.append(self._world.now_s())

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
        self._note(f"lost {type(exc).__name__}" if exc else "lost")

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")


async def _pair(world: World, *, half_open: bool = False) -> tuple[Noted, Noted]:
    """Client and server."""
    server = Noted(world, half_open=half_open)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: server, "127.0.0.1", PORT)
    _, client = await loop.create_connection(lambda: Noted(world), "127.0.0.1", PORT)
    listener.close()
    return client, server


def _run(
    world: World, steps: Callable[[Noted, Noted], object], *, half_open: bool = False
) -> tuple[Noted, Noted]:
    async def work() -> tuple[Noted, Noted]:
        client, server = await _pair(world, half_open=half_open)
        steps(client, server)
        await asyncio.sleep(5)
        return client, server

    return world.run(work())


def test_bytes_arrive_in_order_after_the_latency(world: World) -> None:
    def write(client: Noted, _: Noted) -> None:
        for number in range(9):
            client.transport.write(b"%d," % number)

    client, server = _run(world, write)
    assert server.received == b"0,1,2,3,4,5,6,7,8,"
    assert server.times_s[1] - client.times_s[0] == pytest.approx(0.01, abs=0.001)


def test_connecting_takes_a_round_trip(world: World) -> None:
    begun_s = world.now_s()
    client, server = _run(world, lambda *_: None)
    assert server.times_s[0] - begun_s == pytest.approx(0.01, abs=0.001)
    assert client.times_s[0] - begun_s == pytest.approx(0.02, abs=0.001)


def test_bytes_cut_into_pieces_are_whole() -> None:
    world = World(3, weather=Weather(split=1.0))
    sent = bytes(range(256)) * 40

    def write(client: Noted, _: Noted) -> None:
        for position in range(0, len(sent), 100):
            world.loop.call_later(position / 1e5, client.transport.write, sent[position : position + 100])

    _, server = _run(world, write)
    assert server.received == sent
    assert server.events.count("data") > 103
    world.close()


def test_nobody_listens(world: World) -> None:
    with pytest.raises(ConnectionRefusedError):
        world.run(_refused())


async def _refused() -> None:
    await asyncio.get_running_loop().create_connection(asyncio.Protocol, "localhost", 1)


def test_a_port_is_taken_once(world: World) -> None:
    async def listen_twice() -> None:
        for _ in range(2):
            await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", PORT)

    with pytest.raises(OSError, match="in use"):
        world.run(listen_twice())


def test_another_machine_is_not_known(world: World) -> None:
    with pytest.raises(socket.gaierror):
        world.run(world.loop.getaddrinfo("api.binance.com", 443))


def test_a_close_ends_both_sides_after_the_data(world: World) -> None:
    def write_and_close(client: Noted, _: Noted) -> None:
        client.transport.write(b"last")
        client.transport.close()

    client, server = _run(world, write_and_close)
    assert client.events == ["made", "lost"]
    assert server.events == ["made", "data", "end", "lost"]


def test_a_half_closed_side_still_receives(world: World) -> None:
    def steps(client: Noted, server: Noted) -> None:
        client.transport.write_eof()
        world.loop.call_later(1, server.transport.write, b"answer")
        world.loop.call_later(2, server.transport.close)

    client, server = _run(world, steps, half_open=True)
    assert client.received == b"answer"
    assert client.events == ["made", "data", "end", "lost"]
    assert server.events == ["made", "end", "lost"]


def test_writing_to_a_side_that_has_closed_is_answered_with_a_reset(world: World) -> None:
    def steps(client: Noted, server: Noted) -> None:
        client.transport.close()
        world.loop.call_later(1, server.transport.write, b"too late")

    _, server = _run(world, steps, half_open=True)
    assert server.events == ["made", "end", "lost ConnectionResetError"]


def test_a_reset_is_an_error_on_the_other_side(world: World) -> None:
    def reset(client: Noted, server: Noted) -> None:
        raw = client.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.transport.abort()

    client, server = _run(world, reset)
    assert client.events == ["made", "lost"]
    assert server.events == ["made", "lost ConnectionResetError"]


def test_a_reader_that_pauses_makes_the_writer_pause(world: World) -> None:
    block = bytes(100_000)

    def steps(client: Noted, server: Noted) -> None:
        server.transport.pause_reading()
        for _ in range(5):
            client.transport.write(block)
        world.loop.call_later(1, server.transport.resume_reading)

    client, server = _run(world, steps)
    assert client.events == ["made", "pause", "resume"]
    assert client.times_s[2] - client.times_s[1] == pytest.approx(1.0, abs=0.1)
    assert len(server.received) == 500_000


def test_an_abort_drops_what_waits_in_the_writer_s_own_buffer(world: World) -> None:
    def steps(client: Noted, server: Noted) -> None:
        server.transport.pause_reading()
        client.transport.write(bytes(1_000_000))
        client.transport.abort()
        world.loop.call_later(1, server.transport.resume_reading)

    _, server = _run(world, steps)
    assert len(server.received) == 262_144
    assert server.events[-2:] == ["end", "lost"]


def test_held_bytes_arrive_later_and_in_order(world: World) -> None:
    process = world.process("client")
    received: list[Noted] = []

    async def work() -> int:
        client, server = await _pair(world)
        received.append(server)
        world.network.hold(process, 2.0)
        client.transport.write(b"a")
        await asyncio.sleep(1)
        client.transport.write(b"b")
        await asyncio.sleep(3)
        return 0

    process.run(work)
    world.run(process.exited.wait())
    assert received[0].received == b"ab"
    assert received[0].times_s[1] - received[0].times_s[0] == pytest.approx(2.0, abs=0.1)


def test_a_held_process_is_reached_later(world: World) -> None:
    process = world.process("server")

    async def serve() -> int:
        await asyncio.get_running_loop().create_server(lambda: Noted(world), "127.0.0.1", PORT)
        await asyncio.sleep(100)
        return 0

    async def use() -> float:
        await asyncio.sleep(0.1)
        world.network.hold(process, 2.0)
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: Noted(world), "127.0.0.1", PORT
        )
        return client.times_s[0]

    process.run(serve)
    assert world.run(use()) == pytest.approx(10_002.1, abs=0.1)


def test_broken_connections_are_reset_on_both_sides(world: World) -> None:
    process = world.process("client")
    ended: list[Noted] = []

    async def work() -> int:
        ended.extend(await _pair(world))
        await asyncio.sleep(100)
        return 0

    process.run(work)
    world.loop.call_later(1, world.network.break_connections, process)
    world.run(asyncio.sleep(2))
    assert [each.events for each in ended] == [["made", "lost ConnectionResetError"]] * 2


async def _kill_server(world: World) -> str:
    """How the client of a server that is killed learns of it."""
    process = world.process("server")
    loop = asyncio.get_running_loop()

    async def serve() -> int:
        await loop.create_server(lambda: Noted(world), "127.0.0.1", PORT)
        await asyncio.sleep(100)
        return 0

    process.run(serve)
    await asyncio.sleep(0.1)
    _, client = await loop.create_connection(lambda: Noted(world), "127.0.0.1", PORT)
    process.kill()
    await asyncio.sleep(1)
    with pytest.raises(ConnectionRefusedError):
        await loop.create_connection(lambda: Noted(world), "127.0.0.1", PORT)
    return client.events[-1]


def test_the_peer_of_a_killed_process_learns_of_it_and_its_port_is_free(world: World) -> None:
    assert {world.run(_kill_server(world)) for _ in range(20)} == {"lost", "lost ConnectionResetError"}


@asynccontextmanager
async def _site(*routes: web.RouteDef) -> AsyncIterator[None]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    assert runner.addresses == [("127.0.0.1", PORT)]
    try:
        yield
    finally:
        await runner.cleanup()


def test_aiohttp_asks_and_answers(world: World) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"from": request.remote, "asked": request.query["q"]})

    async def ask() -> list[object]:
        answers: list[object] = []
        async with _site(web.get("/", answer)), aiohttp.ClientSession() as session:
            for number in range(3):
                async with session.get(f"http://127.0.0.1:{PORT}/", params={"q": str(number)}) as response:
                    answers.append(await response.json())
        return answers

    assert world.run(ask()) == [{"from": "127.0.0.1", "asked": str(number)} for number in range(3)]


def test_aiohttp_times_out_in_virtual_time(world: World) -> None:
    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(100)
        return web.Response()

    async def ask() -> None:
        async with _site(web.get("/", answer)), aiohttp.ClientSession() as session:
            await session.get(f"http://127.0.0.1:{PORT}/", timeout=aiohttp.ClientTimeout(total=5))

    with pytest.raises(TimeoutError):
        world.run(ask())
    assert world.now_s() < 10_010


async def _echo(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    async for message in connection:
        if message.data == "abort":
            assert request.transport is not None
            request.transport.abort()
            break
        await connection.send_str(message.data)
    return connection


def test_websockets_talks_to_aiohttp(world: World) -> None:
    async def talk() -> list[str | bytes]:
        async with (
            _site(web.get("/", _echo)),
            connect(f"ws://127.0.0.1:{PORT}/", compression=None) as connection,
        ):
            for number in range(100):
                await connection.send(f"frame {number}")
            return [await connection.recv() for _ in range(100)]

    assert world.run(talk()) == [f"frame {number}" for number in range(100)]


def test_websockets_closes_in_order(world: World) -> None:
    async def talk() -> int | None:
        async with _site(web.get("/", _echo)):
            connection = await connect(f"ws://127.0.0.1:{PORT}/")
            await connection.close()
            with pytest.raises(ConnectionClosedOK):
                await connection.recv()
            return connection.close_code

    assert world.run(talk()) == 1000


def test_websockets_notices_an_abort(world: World) -> None:
    async def talk() -> None:
        async with _site(web.get("/", _echo)):
            connection = await connect(f"ws://127.0.0.1:{PORT}/")
            await connection.send("abort")
            await connection.recv()

    with pytest.raises(ConnectionClosedError):
        world.run(talk())
