"""A feed of Kraken or Coinbase that is never the bottleneck: prepared frames, written in large pieces.

`python -m bench.venue_feed EXCHANGE FILE START_MS [--settle S]` speaks the simulator's protocol, answers REST
with the market's state at its start, and `--settle` seconds after the first subscription sends the whole file
at once. It prints a line with its port, one when all is settled, one with the time of the first byte, one at
the end.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from bench.feed import framed
from bench.venue_frames import PATH, face_of, read, retimed, world_of
from simulator.outgoing import Outgoing
from simulator.protocols.coinbase.wire import numbered
from simulator.protocols.port import Session, Verbatim

# A client's clock takes messages of up to 10 s ahead of it.
_SPAN_S: Final = 8.0
_PIECE: Final = 65_536
_BUFFERED: Final = 4 * 2**20
# Between the line that says so and the first byte: a reader takes its marks.
_MARK_S: Final = 1.0
_LARGEST_REQUEST: Final = 2**20


class Feed:
    """The market at its start, and what follows.

    Args:
        settle_s: after the first subscription.
    """

    def __init__(self, exchange: str, frames: Sequence[bytes], start_ms: int, settle_s: float) -> None:
        self._exchange = exchange
        self._frames = frames
        self._start_ms = start_ms
        self._settle_s = settle_s
        self._face = face_of(world_of(exchange, start_ms), start_ms)
        # The first client that subscribes has the frames, and if it goes before they begin, the next one; one
        # that comes later would have other numbers.
        self._turn = asyncio.Lock()
        self._begun = False

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """REST; None for a handshake."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        target = urlsplit(request.path)
        now_ms = self._start_ms
        query = parse_qsl(target.query)
        asked = self._face.read(target.path, query, {}, now_ms)
        if asked is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "no such endpoint\n")
        # Its clock goes on, its trades do not: they would be those to come.
        if asked.path.lower().endswith("time"):
            asked = self._face.read(target.path, query, {}, time.time_ns() // 1_000_000) or asked
        answered = self._face.answer(asked)
        body = orjson.dumps(answered.body)
        headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body))})
        headers["Connection"] = "close"
        for name, value in answered.headers.items():
            headers[name] = value
        return Response(answered.status, "OK", headers, body)

    async def serve(self, connection: ServerConnection) -> None:
        """One client: its subscriptions, then the frames."""
        path = connection.request.path if connection.request else PATH[self._exchange]
        session = self._face.session(path, "")
        if session is None or isinstance(session, Verbatim):
            return
        for frame in session.opening():
            await connection.send(frame, text=True)
        subscribed = asyncio.Event()
        sending = asyncio.create_task(self._send(connection, session, subscribed))
        try:
            async for message in connection:
                for frame in session.replies(str(message)):
                    await connection.send(frame, text=True)
                if session.streams:
                    subscribed.set()
        except ConnectionClosed:
            pass
        finally:
            sending.cancel()

    async def _send(self, connection: ServerConnection, session: Session, subscribed: asyncio.Event) -> None:
        await subscribed.wait()
        async with self._turn:
            if self._begun:
                return
            try:
                await self._send_all(connection, session)
            except (asyncio.CancelledError, ConnectionClosed):
                if self._begun:
                    _say({"not_ready": "the client has gone in the middle of the frames"})
                raise
        # Clients would take the silence for a dead line.
        while True:
            await asyncio.sleep(1.0)
            for frame in session.beat(quiet=True):
                await connection.send(frame, text=True)

    async def _send_all(self, connection: ServerConnection, session: Session) -> None:
        began = time.monotonic()
        while time.monotonic() - began < self._settle_s:
            for frame in session.beat(quiet=True):
                await connection.send(frame, text=True)
            await asyncio.sleep(min(1.0, self._settle_s))
        # Made in a moment's time: a second for 40,000 frames.
        begin_ms = time.time_ns() // 1_000_000 + 1_000
        following = retimed(self._frames, self._start_ms, begin_ms, _SPAN_S)
        if self._exchange == "coinbase":
            following = (numbered(frame, _reserved(session)) for frame in following)
        blob = b"".join(framed(frame) for frame in following)
        self._begun = True
        _say({"settled": True})
        await asyncio.sleep(_MARK_S)
        _say({"sending_at": time.monotonic()})
        transport = connection.transport
        for start in range(0, len(blob), _PIECE):
            transport.write(blob[start : start + _PIECE])
            await connection.drain()
        _say({"sent_at": time.monotonic()})


def _reserved(session: Session) -> int:
    """The next number of a connection's count."""
    event = Outgoing("", {})
    session.number(event)
    return next(iter(event.numbers.values()))


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()


def listening(feed: Feed) -> serve:
    """A server of a feed, on a port of its own."""
    return serve(
        feed.serve,
        "127.0.0.1",
        0,
        process_request=feed.answer,
        compression=None,
        ping_interval=None,
        max_size=_LARGEST_REQUEST,
        write_limit=_BUFFERED,
    )


async def _main(feed: Feed) -> None:
    async with listening(feed) as server:
        _say({"port": next(iter(server.sockets)).getsockname()[1]})
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("exchange", choices=tuple(PATH))
    parser.add_argument("frames", type=Path)
    parser.add_argument("start_ms", type=int)
    parser.add_argument("--settle", type=float, default=2.0)
    asked = parser.parse_args()
    asyncio.run(_main(Feed(asked.exchange, read(asked.frames), asked.start_ms, asked.settle)))


if __name__ == "__main__":
    main()
