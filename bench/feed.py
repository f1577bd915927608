"""A feed of Binance that is never the bottleneck: prepared frames, written to the sockets in large pieces.

`python -m bench.feed COUNT [--symbols N] [--intervals 1s,1m] [--books N] [--aggregated]` answers REST and the
subscriptions of one client, on any number of connections. Once it has connected, each market's frames up to
the first change of its book are sent; when the client has asked for `--books` snapshots, and for nothing more
for two seconds, the COUNT frames follow at once. It prints a line with its port, one when all is ready, and
one with the time of the first of them.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from bench.feed_answers import rest_answer
from bench.frames import FRAMES_PER_DIFF, INTERVALS, SYMBOL, frames, second_before, symbols_of

_SETTLE_S: Final = 2.0  # without a request: a client's start is over
# The requests of a hundred symbols' start, on a busy machine.
_READY_S: Final = 180.0
# Between the line that says so and the first byte: a reader takes its marks.
_MARK_S: Final = 1.0
_PIECE: Final = 65_536
_BUFFERED: Final = 4 * 2**20
_LARGEST_REQUEST: Final = 2**20
_BAR: Final = b"@kline_"


def framed(payload: bytes) -> bytes:
    """An unmasked WebSocket text frame (RFC 6455 §5.2)."""
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", 0x81, length) + payload
    if length < 65_536:
        return struct.pack("!BBH", 0x81, 126, length) + payload
    return struct.pack("!BBQ", 0x81, 127, length) + payload


def pieces(payloads: Iterator[bytes]) -> Iterator[bytes]:
    """Whole frames, so many at a time: a frame of the library's own may come between them."""
    size, held = 0, []
    for payload in payloads:
        held.append(framed(payload))
        size += len(held[-1])
        if size >= _PIECE:
            yield b"".join(held)
            size, held = 0, []
    if held:
        yield b"".join(held)


def in_turn(markets: Sequence[Iterator[bytes]]) -> Iterator[bytes]:
    """One frame of each market after the other, while all have some."""
    for row in zip(*markets, strict=False):
        yield from row


class NotReady(Exception):
    """The client has not subscribed to everything, or does not come to the end of its start."""


class Feed:
    """The markets at their start, and what follows.

    Args:
        count: of the frames that follow, of all markets.
        intervals: of bars.
        books: snapshots that the client has to ask for.
        aggregated: see `frames`.
    """

    def __init__(
        self, count: int, symbols: Sequence[str], intervals: Sequence[str], books: int, *, aggregated: bool
    ) -> None:
        self._count = count
        self._symbols = symbols
        self._intervals = intervals
        self._books = books
        self._aggregated = aggregated
        self._begin_ms: int | None = None
        self._connections: dict[str, ServerConnection] = {}  # by symbol
        # Endpoints, symbols and intervals that were asked for, and when the last one was new. A client that
        # asks again does not start any more: it looks for what has been silent since.
        self._asked: set[tuple[str, str, str]] = set()
        self._new_s = time.monotonic()
        # Frames of trades, quotes and changes of the book, each of which is one record on Kafka. Updates of
        # an open bar may be passed over while the bars before it are asked for.
        self._records = 0
        self._sending: asyncio.Task[None] | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answer(self, _: ServerConnection, request: Request) -> Response | None:
        """REST; None for a handshake."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        target = urlsplit(request.path)
        self._note(target.path.rsplit("/", 1)[-1], parse_qs(target.query))
        body = orjson.dumps(rest_answer(target.path, target.query, self._begin_ms, self._symbols))
        headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body))})
        headers["Connection"] = "close"
        headers["X-MBX-USED-WEIGHT-1M"] = "1"
        return Response(HTTPStatus.OK, "OK", headers, body)

    async def serve(self, connection: ServerConnection) -> None:
        """One connection: its subscriptions; the frames begin with the first."""
        path = connection.request.path if connection.request else ""
        self._subscribe(connection, parse_qs(urlsplit(path).query).get("streams", [""])[0].split("/"))
        if self._sending is None:
            # In a moment's time, so that no bar is over before it is asked for.
            self._begin_ms = time.time_ns() // 1_000_000 + 1_000
            self._sending = asyncio.create_task(self._send(self._begin_ms))
            self._sending.add_done_callback(self._sent)
        try:
            async for message in connection:
                asked = orjson.loads(message)
                self._subscribe(connection, asked.get("params", []))
                await connection.send(orjson.dumps({"result": None, "id": asked["id"]}), text=True)
        except ConnectionClosed:
            pass

    def _sent(self, sending: asyncio.Task[None]) -> None:
        if (error := sending.exception()) is not None:
            self.ended.set_exception(error)

    def _note(self, endpoint: str, query: Mapping[str, list[str]]) -> None:
        key = (endpoint, query.get("symbol", [""])[0], query.get("interval", [""])[0])
        if key not in self._asked:
            self._asked.add(key)
            self._new_s = time.monotonic()

    def _subscribe(self, connection: ServerConnection, names: Sequence[str]) -> None:
        self._new_s = time.monotonic()
        for name in filter(None, names):
            symbol = unquote(name).split("@")[0].upper()
            self._connections.setdefault(symbol, connection)

    async def _send(self, begin_ms: int) -> None:
        each = FRAMES_PER_DIFF + -(-self._count // len(self._symbols))
        markets = {
            symbol: frames(
                each,
                begin_ms,
                number,
                symbol=symbol,
                intervals=self._intervals,
                aggregated=self._aggregated,
            )
            for number, symbol in enumerate(self._symbols, start=1)
        }
        await self._quiet(0)
        if missing := set(self._symbols) - set(self._connections):
            raise NotReady(f"nothing was subscribed of {', '.join(sorted(missing))}")
        for symbol, market in markets.items():
            if "1s" in self._intervals:
                # A client that asks REST for the seconds before passes over updates of the open one.
                await self._connections[symbol].send(second_before(begin_ms, symbol), text=True)
            for frame in islice(market, FRAMES_PER_DIFF):
                await self._connections[symbol].send(frame, text=True)
        prepared = await asyncio.to_thread(self._prepared, markets)
        await self._quiet(self._books)
        _say({"settled": True, "records": self._records})
        await asyncio.sleep(_MARK_S)
        _say({"sending_at": time.monotonic()})
        await asyncio.gather(*(_write(connection, blob) for connection, blob in prepared))
        _say({"sent_at": time.monotonic()})

    def _prepared(self, markets: Mapping[str, Iterator[bytes]]) -> list[tuple[ServerConnection, list[bytes]]]:
        """The pieces of each connection; COUNT frames in all."""
        whole, rest = divmod(self._count, len(self._symbols))
        shares = {symbol: whole + (number < rest) for number, symbol in enumerate(self._symbols)}

        def counted(payloads: Iterator[bytes]) -> Iterator[bytes]:
            for payload in payloads:
                self._records += _BAR not in payload
                yield payload

        found = []
        for connection in dict.fromkeys(self._connections[symbol] for symbol in self._symbols):
            own = [symbol for symbol in self._symbols if self._connections[symbol] is connection]
            due = sum(shares[symbol] for symbol in own)
            payloads = islice(in_turn([markets[each] for each in own]), due)
            found.append((connection, list(pieces(counted(payloads)))))
        return found

    async def _quiet(self, books: int) -> None:
        """Until the client has asked for so many books, and for nothing new since."""
        give_up = time.monotonic() + _READY_S
        while time.monotonic() - self._new_s < _SETTLE_S or self._books_asked() < books:
            if time.monotonic() > give_up:
                asked = f"{self._books_asked()} of {books} books"
                raise NotReady(f"the client is not ready after {_READY_S:.0f} s: {asked}")
            await asyncio.sleep(0.1)

    def _books_asked(self) -> int:
        return sum(endpoint == "depth" for endpoint, _, _ in self._asked)


async def _write(connection: ServerConnection, blob: Sequence[bytes]) -> None:
    for piece in blob:
        connection.transport.write(piece)
        await connection.drain()


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


async def _main(
    count: int, symbols: Sequence[str], intervals: Sequence[str], books: int, aggregated: bool
) -> None:
    feed = Feed(count, symbols, intervals, books, aggregated=aggregated)
    async with listening(feed) as server:
        _say({"port": next(iter(server.sockets)).getsockname()[1]})
        try:
            await feed.ended
        except NotReady as why:
            _say({"not_ready": str(why)})


def stream_names(symbols: Sequence[str] = (SYMBOL,), intervals: Sequence[str] = INTERVALS) -> list[str]:
    """Streams of which there are frames."""
    kinds = ["trade", "depth@100ms", "bookTicker", *(f"kline_{interval}" for interval in intervals)]
    return [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in kinds]


def first_frames(symbols: int, intervals: Sequence[str]) -> int:
    """Frames that come before those that are counted."""
    return symbols * (FRAMES_PER_DIFF + ("1s" in intervals))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--symbols", type=int, default=1)
    parser.add_argument("--intervals", default=",".join(INTERVALS))
    parser.add_argument("--books", type=int, default=0)
    parser.add_argument("--aggregated", action="store_true")
    asked = parser.parse_args()
    symbols, intervals = symbols_of(asked.symbols), asked.intervals.split(",")
    asyncio.run(_main(asked.count, symbols, intervals, asked.books, asked.aggregated))


if __name__ == "__main__":
    main()
