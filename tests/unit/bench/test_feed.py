"""A client of the feed has all of its frames, whole, on whatever connections it asked for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import orjson
import pytest
from websockets.asyncio.client import connect

from bench.feed import Feed, NotReady, first_frames, in_turn, listening, pieces, stream_names
from bench.frames import SYMBOL, symbols_of
from producers.frames import payload_span


def test_a_piece_ends_where_a_frame_ends() -> None:
    payloads = [bytes([65 + number % 26]) * (number % 700) for number in range(3_000)]
    cut = list(pieces(iter(payloads)))
    assert len(cut) > 10
    found = []
    for piece in cut:
        position = 0
        while position < len(piece):
            start, position = payload_span(piece, position)
            found.append(piece[start:position])
        assert position == len(piece)
    assert found == payloads


def test_markets_take_turns() -> None:
    assert list(in_turn([iter([b"a1", b"a2"]), iter([b"b1", b"b2"])])) == [b"a1", b"b1", b"a2", b"b2"]


@pytest.mark.thorough
def test_a_client_has_all_frames_of_all_its_connections_after_the_first_ones() -> None:
    count, symbols, intervals = 100, symbols_of(3), ("1s", "1m")

    async def read(port: int, names: list[str], subscribed: bool) -> list[bytes]:
        path = "/stream" if subscribed else f"/stream?streams={'/'.join(names)}"
        async with connect(f"ws://127.0.0.1:{port}{path}", proxy=None, compression=None) as connection:
            if subscribed:
                request = {"method": "SUBSCRIBE", "params": names, "id": 1}
                await connection.send(orjson.dumps(request), text=True)
                assert orjson.loads(await connection.recv()) == {"result": None, "id": 1}
            found = []
            with suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(5.0):
                        found.append(await connection.recv(decode=False))
            return found

    async def run() -> list[bytes]:
        feed = Feed(count, symbols, intervals, 0, aggregated=False)
        async with listening(feed) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            parts = stream_names(symbols[:1], intervals), stream_names(symbols[1:], intervals)
            found = await asyncio.gather(read(port, parts[0], False), read(port, parts[1], True))
            return [*found[0], *found[1]]

    sent = asyncio.run(run())
    assert len(sent) == first_frames(len(symbols), intervals) + count
    assert {orjson.loads(frame)["stream"].split("@")[0].upper() for frame in sent} == set(symbols)


def test_a_client_that_asks_for_too_few_streams_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.feed._SETTLE_S", 0.1)

    async def run() -> None:
        feed = Feed(100, symbols_of(2), ("1m",), 0, aggregated=False)
        async with listening(feed) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            url = f"ws://127.0.0.1:{port}/stream?streams={SYMBOL.lower()}@trade"
            async with connect(url, proxy=None, compression=None), asyncio.timeout(10.0):
                await feed.ended

    with pytest.raises(NotReady, match="COIN001USDT"):
        asyncio.run(run())
