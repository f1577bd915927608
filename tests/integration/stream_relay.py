"""A WebSocket relay between an exchange and its clients that can stop carrying streams."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import orjson
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class StreamRelay:
    """Passes every frame on, but for those of streams whose names end in one of `withheld`.

    Attributes:
        opened: connections so far.
    """

    def __init__(self, websocket_url: str) -> None:
        self._upstream = websocket_url
        self.withheld: frozenset[str] = frozenset()
        self.opened = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def _relay(self, client: ServerConnection) -> None:
        assert client.request is not None
        self.opened += 1
        with suppress(ConnectionClosed, OSError):
            async with connect(self._upstream + client.request.path, max_size=None) as exchange:
                async for frame in exchange:
                    stream = orjson.loads(frame).get("stream", "")
                    if not stream.endswith(tuple(self.withheld)):
                        await client.send(frame)

    async def _serve(self, ready: threading.Event, stopped: asyncio.Event) -> None:
        async with serve(self._relay, "127.0.0.1", 0, close_timeout=0.2) as server:
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stopped.wait()


@contextmanager
def relaying(websocket_url: str) -> Iterator[StreamRelay]:
    """A running relay to an exchange."""
    relay, ready = StreamRelay(websocket_url), threading.Event()
    loop, stopped = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(relay._serve(ready, stopped)), daemon=True
    )
    thread.start()
    assert ready.wait(10)
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        loop.close()
