"""The feed of Kraken and Coinbase goes to whoever is connected when its frames are sent."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect

from bench import venue_feed
from bench.venue_feed import Feed, listening
from bench.venue_frames import PATH, frames
from bench.venue_path import opening

START_MS = 1_785_767_100_000
FRAMES = 20
_SETTLE_S = 0.3
_DEADLINE_S = 20.0


async def _counted(connection: ClientConnection) -> int:
    """Frames of the market that come, but for the snapshots of a subscription."""
    found = 0
    while found < FRAMES:
        message = orjson.loads(await connection.recv(decode=False))
        found += message.get("channel") in {"trade", "book", "ticker"} and message.get("type") != "snapshot"
    return found


async def _subscribed(port: int) -> ClientConnection:
    connection = await connect(f"ws://127.0.0.1:{port}{PATH['kraken']}", proxy=None, compression=None)
    for request in opening("kraken"):
        await connection.send(request.decode())
    await connection.recv()
    return connection


@pytest.mark.thorough
def test_a_client_that_connects_again_before_the_frames_has_them_all() -> None:
    async def run() -> int:
        feed = Feed("kraken", list(frames("kraken", START_MS, FRAMES)), START_MS, _SETTLE_S)
        async with listening(feed) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            first = await _subscribed(port)
            await asyncio.sleep(_SETTLE_S / 3)
            second = await _subscribed(port)
            await first.close()
            async with asyncio.timeout(_DEADLINE_S):
                return await _counted(second)

    assert asyncio.run(run()) == FRAMES


def test_a_client_that_goes_in_the_middle_of_them_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[dict[str, Any]]:
        said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        monkeypatch.setattr(venue_feed, "_say", said.put_nowait)
        feed = Feed("kraken", list(frames("kraken", START_MS, FRAMES)), START_MS, _SETTLE_S)
        async with listening(feed) as server, asyncio.timeout(_DEADLINE_S):
            first = await _subscribed(next(iter(server.sockets)).getsockname()[1])
            lines = [await said.get()]
            await first.close()
            return [*lines, await said.get()]

    settled, end = asyncio.run(run())
    assert settled == {"settled": True} and "gone" in end["not_ready"]
