"""A fake exchange that trades without end, a world minute each second, and ends its connections of age."""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import time
from collections import deque
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from tests.integration.fake_exchange import MINUTE_MS, FakeExchange, bar_row

_TICK_S: Final = 0.01
_DIFF_EVERY: Final = 10  # ticks: 100 ms
_WORLD_SPEED: Final = 60


class BusyExchange(FakeExchange):
    """Carries all streams of its symbol; each connection lags behind by a time of its own.

    Args:
        trades_per_s: how many trades a second.
        age_s: after how long a connection is closed; 0 for never.
        lead_s: how long before it is announced.
        lag_s: how far a connection may be behind.
    """

    def __init__(
        self, now_ms: int, *, trades_per_s: int, age_s: float = 0.0, lead_s: float = 0.0, lag_s: float = 0.0
    ) -> None:
        super().__init__(now_ms)
        self.opened = 0
        self.streamed = 0
        self.dealing = True
        self._trades_per_s = trades_per_s
        self._age_s, self._lead_s, self._lag_s = age_s, lead_s, lag_s
        self._random = random.Random(7)
        self._queues: dict[web.WebSocketResponse, deque[tuple[float, str]]] = {}
        self._dealer: concurrent.futures.Future[None] | None = None

    def deal(self) -> None:
        """Begin to trade."""
        self._dealer = asyncio.run_coroutine_threadsafe(self._deal(), self._loop)

    def pause(self) -> None:
        """Trade no more; everything issued is sent when this returns."""
        self.dealing = False
        assert self._dealer is not None
        self._dealer.result(10)
        deadline = time.monotonic() + 10
        while any(self._queues.values()) and time.monotonic() < deadline:
            time.sleep(0.01)

    async def _deal(self) -> None:
        begun_s, begun_ms = time.monotonic(), self.now_ms
        bar_ms = self.now_ms - self.now_ms % MINUTE_MS
        dealt, tick = 0, 0
        while self.dealing:
            elapsed_s = time.monotonic() - begun_s
            self.now_ms = begun_ms + int(elapsed_s * 1000) * _WORLD_SPEED
            while bar_ms + MINUTE_MS <= self.now_ms:
                self._put("kline_1m", self._bar(bar_ms, closed=True))
                bar_ms += MINUTE_MS
            for _ in range(int(elapsed_s * self._trades_per_s) - dealt):
                dealt += 1
                self._put("trade", self._new_trade())
            if tick % _DIFF_EVERY == 0:
                self._put("depth@100ms", self._diff())
                self._put("kline_1m", self._bar(bar_ms, closed=False))
                sides = {"b": "99.0", "B": "1.0", "a": "101.0", "A": "1.0"}
                self._put("bookTicker", {"u": self.update_id, "s": self.symbol, **sides})
            tick += 1
            await asyncio.sleep(_TICK_S)

    def _new_trade(self) -> dict[str, Any]:
        trade_id = 5_000 + len(self.trades)
        row = {"id": trade_id, "price": "100.0", "qty": "1.0", "quoteQty": "100.0", "time": self.now_ms}
        self.trades.append({**row, "isBuyerMaker": False, "isBestMatch": True})
        event = {"e": "trade", "E": self.now_ms, "s": self.symbol, "t": trade_id, "T": self.now_ms}
        return {**event, "p": "100.0", "q": "1.0", "m": False, "M": True}

    def _diff(self) -> dict[str, Any]:
        first, self.update_id = self.update_id + 1, self.update_id + 3
        ids = {"E": self.now_ms, "s": self.symbol, "U": first, "u": self.update_id}
        return {"e": "depthUpdate", **ids, "b": [["99.0", "1.0"]], "a": []}

    def _bar(self, open_time_ms: int, *, closed: bool) -> dict[str, Any]:
        letters = zip(
            ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B"), bar_row(open_time_ms), strict=True
        )
        bar = {**dict(letters), "s": self.symbol, "i": "1m", "f": 1, "L": 3, "x": closed}
        return {"e": "kline", "E": self.now_ms, "s": self.symbol, "k": bar}

    def _put(self, stream: str, data: dict[str, Any]) -> None:
        text = orjson.dumps({"stream": f"{self.symbol.lower()}@{stream}", "data": data}).decode()
        self.streamed += bool(self._queues)
        for queue in self._queues.values():
            queue.append((time.monotonic(), text))

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=0.5)
        await socket.prepare(request)
        self.opened += 1
        self._sockets.add(socket)
        self._queues[socket] = deque()
        writer = asyncio.create_task(self._write(socket, self._queues[socket]))
        try:
            async for message in socket:
                assert message.type is WSMsgType.TEXT
        finally:
            self._sockets.discard(socket)
            self._queues.pop(socket, None)
            writer.cancel()
        return socket

    async def _write(self, socket: web.WebSocketResponse, queue: deque[tuple[float, str]]) -> None:
        lag_s, born_s = self._random.uniform(0, self._lag_s), time.monotonic()
        announced = False
        while True:
            now_s = time.monotonic()
            if self._age_s and not announced and now_s - born_s >= self._age_s - self._lead_s:
                announced = True
                event = {"e": "serverShutdown", "E": self.now_ms}
                await socket.send_str(orjson.dumps({"stream": "!serverShutdown", "data": event}).decode())
            if self._age_s and now_s - born_s >= self._age_s:
                await socket.close(code=1001)
                return
            while queue and queue[0][0] + lag_s <= now_s:
                await socket.send_str(queue.popleft()[1])
            await asyncio.sleep(_TICK_S / 2)
