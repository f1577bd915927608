"""Viewers without a browser, in a process of their own: they ask for what the market screen asks for, and
acknowledge each frame at once.

    python -m bench.dashboard.viewers URL SYMBOL COUNT SECONDS
"""

from __future__ import annotations

import asyncio
import sys
import time
from statistics import quantiles
from typing import Any, Final

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

# As `web/src/screens/market/model.ts` and `web/src/page/health.ts`.
_INDICATOR: Final = {"columns": ["momentum_rsi"]}
# What is said of the exchange as it happens; the others are old by their nature.
_TIMED: Final = frozenset(("open_bar", "trade", "quote", "levels"))
_WARM_S: Final = 3.0


def wishes(symbol: str) -> list[dict[str, Any]]:
    """The subscriptions of a market screen."""
    of = {"exchange": "binance", "symbol": symbol}
    bars = {**of, "interval": "1m"}
    return [
        {"id": 1, "series": "service"},
        {"id": 2, "series": "freshness"},
        {"id": 3, "series": "carriage"},
        {"id": 4, "series": "kline", **bars, "last": 1500},
        {"id": 5, "series": "open_bar", **bars},
        {"id": 6, "series": "trade", **of, "last": 100},
        {"id": 7, "series": "quote", **of},
        {"id": 8, "series": "levels", **of, "last": 1},
        {"id": 9, "series": "indicator", **bars, **_INDICATOR, "last": 1500},
        {"id": 10, "series": "indicator_live", **bars, **_INDICATOR},
    ]


class Viewer:
    """
    Attributes:
        frames, bytes: since the warm-up.
        ages_ms: of the newest thing of each frame, when it arrived.
    """

    def __init__(self, wished: list[dict[str, Any]]) -> None:
        self._wished = wished
        self._timed = {str(wish["id"]) for wish in wished if wish["series"] in _TIMED}
        self.frames = self.bytes = 0
        self.ages_ms: list[float] = []

    async def watch(self, url: str, seconds: float) -> None:
        """View for so long after the warm-up."""
        protocol = Subprotocol("cryptostream.v1")
        async with connect(url, subprotocols=[protocol], max_size=None, compression=None) as socket:
            await socket.send(orjson.dumps({"subscribe": self._wished}).decode())
            begin_s = time.monotonic() + _WARM_S
            while (now_s := time.monotonic()) < begin_s + seconds:
                await self._frame(socket, warm=now_s >= begin_s)

    async def _frame(self, socket: ClientConnection, *, warm: bool) -> None:
        text = await socket.recv(decode=False)
        message = orjson.loads(text)
        number = message.get("frame")
        if number is None:
            return
        now_ms = time.time() * 1000
        await socket.send(b'{"ack":%d,"painted_ms":%.1f}' % (number, now_ms), text=True)
        if warm:
            self.frames += 1
            self.bytes += len(text)
            ages = [age for each, age in message.get("ages", {}).items() if each in self._timed]
            self.ages_ms += [age + now_ms - message["server_time_ms"] for age in ages]


async def _watch(url: str, symbol: str, count: int, seconds: float) -> dict[str, float]:
    viewers = [Viewer(wishes(symbol)) for _ in range(count)]
    async with asyncio.TaskGroup() as group:
        for viewer in viewers:
            group.create_task(viewer.watch(url, seconds))
            await asyncio.sleep(0.01)
    parts = quantiles([age for viewer in viewers for age in viewer.ages_ms], n=100)
    return {
        "frames_per_s": sum(viewer.frames for viewer in viewers) / count / seconds,
        "kb_per_s": sum(viewer.bytes for viewer in viewers) / count / seconds / 1e3,
        "p50": parts[49],
        "p99": parts[98],
    }


def main() -> None:
    url, symbol, count, seconds = sys.argv[1:]
    found = asyncio.run(_watch(url, symbol, int(count), float(seconds)))
    print(orjson.dumps(found).decode())


if __name__ == "__main__":
    main()
