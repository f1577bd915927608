"""A small exchange for the tests of producers: a few endpoints, frames on demand, time that stands still."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson
from aiohttp import WSMsgType, web

T = TypeVar("T")
MINUTE_MS = 60_000


def bar_row(open_time_ms: int) -> list[Any]:
    """A finished bar of `/api/v3/klines`; its close tells which one it is."""
    close = f"{100 + open_time_ms // MINUTE_MS % 1000}.00000000"
    return [
        open_time_ms,
        "100.00000000",
        "2000.00000000",
        "1.00000000",
        close,
        "1.00000000",
        open_time_ms + MINUTE_MS - 1,
        "100.00000000",
        3,
        "0.50000000",
        "50.00000000",
        "0",
    ]


class FakeExchange:
    """Its time moves only when told to. Use `fake_exchange`; methods may be called from any thread."""

    symbol = "BTCUSDC"

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.trades: list[dict[str, Any]] = []
        self.update_id = 1_000
        self.without_history = False
        self.requests: list[str] = []
        self.port = 0
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()

    # --- what the tests do -------------------------------------------------------------------------------

    def close_bar(self, *, streamed: bool = True) -> int:
        """Let one minute pass; its bar is finished. Its open time."""
        open_time_ms = self.now_ms - self.now_ms % MINUTE_MS
        self.now_ms = open_time_ms + MINUTE_MS + 5
        if streamed:
            row = bar_row(open_time_ms)
            letters = dict(
                zip(("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B"), row, strict=True)
            )
            bar = {**letters, "s": self.symbol, "i": "1m", "f": 1, "L": 3, "x": True}
            self._send("kline_1m", {"e": "kline", "E": self.now_ms, "s": self.symbol, "k": bar})
        return open_time_ms

    def trade(self, *, streamed: bool = True) -> int:
        """One trade; its id."""
        trade_id = 5_000 + len(self.trades)
        self.trades.append(
            {
                "id": trade_id,
                "price": "100.00000000",
                "qty": "1.00000000",
                "quoteQty": "100.00000000",
                "time": self.now_ms,
                "isBuyerMaker": False,
                "isBestMatch": True,
            }
        )
        if streamed:
            event = {"e": "trade", "E": self.now_ms, "s": self.symbol, "t": trade_id, "T": self.now_ms}
            self._send("trade", {**event, "p": "100.00000000", "q": "1.00000000", "m": False, "M": True})
        return trade_id

    def change_book(self, *, lost: int = 0) -> int:
        """One diff; with `lost` > 0 so many update ids before it are never sent. Its update id."""
        first = self.update_id + 1 + lost
        self.update_id = first
        event = {"e": "depthUpdate", "E": self.now_ms, "s": self.symbol, "U": first, "u": first}
        self._send("depth@100ms", {**event, "b": [["99.00000000", "1.00000000"]], "a": []})
        return self.update_id

    def frame(self, text: str) -> None:
        """Send anything."""
        self._call(self._broadcast(text))

    def frames(self, frames: Iterable[bytes]) -> None:
        """Send anything, as binary frames."""
        self._call(self._broadcast_all(frames), timeout_s=120)

    def cut(self) -> None:
        """End all connections."""
        self._call(self._cut())

    @property
    def connected(self) -> int:
        return len(self._sockets)

    def environment(self, bootstrap_servers: str) -> dict[str, str]:
        """Settings of a producer that uses this exchange."""
        return {
            "BINANCE_REST_URL": f"http://127.0.0.1:{self.port}",
            "BINANCE_WS_URL": f"ws://127.0.0.1:{self.port}",
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "SYMBOLS": self.symbol,
            "INTERVALS": "1m",
            "WARMUP_BARS": "5",
        }

    # --- how it answers ----------------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            async for message in socket:
                assert message.type is WSMsgType.TEXT
        finally:
            self._sockets.discard(socket)
        return socket

    async def _rest(self, request: web.Request) -> web.Response:
        path, query = request.match_info["path"], request.query
        self.requests.append(path)
        match path:
            case "time":
                answer: Any = {"serverTime": self.now_ms}
            case "exchangeInfo" if f'"{self.symbol}"' not in query.get("symbols", f'"{self.symbol}"'):
                return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
            case "exchangeInfo":
                answer = {"rateLimits": [], "symbols": [{"symbol": self.symbol, "status": "TRADING"}]}
            case "klines":
                first, last = int(query["startTime"]), int(query["endTime"])
                times = range(-(-first // MINUTE_MS) * MINUTE_MS, min(last, self.now_ms) + 1, MINUTE_MS)
                answer = [bar_row(time) for time in times][:1000]
            case "depth":
                sides = {"bids": [["99.00000000", "1.00000000"]], "asks": [["101.00000000", "1.00000000"]]}
                answer = {"lastUpdateId": self.update_id, **sides}
            case "historicalTrades" if not self.without_history:
                first, limit = int(query["fromId"]), int(query["limit"])
                answer = [trade for trade in self.trades if trade["id"] >= first][:limit]
            case "trades":
                answer = self.trades[-1000:]
            case "aggTrades":
                since_ms, until_ms = int(query["startTime"]), int(query["endTime"])
                answer = [
                    {"a": trade["id"], "f": trade["id"], "l": trade["id"]}
                    for trade in self.trades
                    if since_ms <= trade["time"] <= until_ms
                ][: int(query["limit"])]
            case "ticker/price":
                answer = [{"symbol": self.symbol, "price": "100.00000000"}]
            case "ticker/24hr" if "symbols" in query:
                newest = self.trades[-1]["id"] if self.trades else -1
                answer = [{"symbol": self.symbol, "lastId": newest}]
            case _:
                return web.Response(status=404)
        return web.Response(
            body=orjson.dumps(answer),
            content_type="application/json",
            headers={"X-MBX-USED-WEIGHT-1M": "10"},
        )

    def _send(self, stream: str, data: dict[str, Any]) -> None:
        name = f"{self.symbol.lower()}@{stream}"
        self._call(self._broadcast(orjson.dumps({"stream": name, "data": data}).decode()))

    async def _broadcast(self, text: str) -> None:
        for socket in list(self._sockets):
            await socket.send_str(text)

    async def _broadcast_all(self, frames: Iterable[bytes]) -> None:
        # Those that are there now: a producer opens another one where it hears what cannot be.
        sockets = list(self._sockets)
        for frame in frames:
            for socket in sockets:
                await socket.send_bytes(frame)

    async def _cut(self) -> None:
        for socket in list(self._sockets):
            await socket.close()

    def _call(self, work: Coroutine[Any, Any, T], timeout_s: float = 60) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    async def _serve(self) -> Callable[[], Coroutine[Any, Any, None]]:
        application = web.Application()
        application.router.add_get("/stream", self._stream)
        application.router.add_get("/api/v3/{path:.+}", self._rest)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner.cleanup


Exchange = TypeVar("Exchange", bound=FakeExchange)


@contextmanager
def serving(exchange: Exchange) -> Iterator[Exchange]:
    """Run an exchange on a free port."""
    loop = exchange._loop
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    cleanup = asyncio.run_coroutine_threadsafe(exchange._serve(), loop).result(10)
    try:
        yield exchange
    finally:
        asyncio.run_coroutine_threadsafe(cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def fake_exchange(now_ms: int) -> Iterator[FakeExchange]:
    """A running exchange on a free port."""
    with serving(FakeExchange(now_ms)) as running:
        yield running
