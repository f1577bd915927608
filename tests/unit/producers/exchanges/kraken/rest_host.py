"""Kraken's REST on localhost: trades `first` to `last`, one a second, and what else a client asks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from tests.builders import NOW_MS

FIRST, LAST = 1, 200_000
PAIRS = {
    "XXBTZUSD": ("XBTUSD", "XBT/USD", 1, "online"),
    "XETHZUSD": ("ETHUSD", "ETH/USD", 2, "maintenance"),
}


def time_ns(trade_id: int) -> int:
    """The newest one is of now."""
    return (NOW_MS - (LAST - trade_id) * 1_000) * 1_000_000 + 123


def row(trade_id: int, at_ns: int | None = None) -> list[Any]:
    seconds, fraction = divmod(time_ns(trade_id) if at_ns is None else at_ns, 10**9)
    return ["105433.60000", "0.5", float(f"{seconds}.{fraction:09}"), "b", "l", "", trade_id]


class Host:
    """Attributes:
    pairs: by REST's key, both names, places of the price, and status.
    gone: ids that were never issued.
    bad: ids whose rows cannot be read.
    times: by id, time in nanoseconds of all trades, in place of the usual ones.
    answers: by path, status and body in place of the usual answer.
    """

    def __init__(self) -> None:
        self.pairs = dict(PAIRS)
        self.gone: set[int] = set()
        self.bad: set[int] = set()
        self.times: dict[int, int] = {}
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Host]:
        async def answered(request: web.Request) -> web.Response:
            path, query = request.match_info["path"], dict(request.query)
            self.asked.append((path, query))
            status, body = self.answers.get(path) or (200, orjson.dumps(self._answer(path, query)))
            return web.Response(status=status, body=body, content_type="application/json")

        application = web.Application()
        application.router.add_get("/0/public/{path}", answered)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    def _answer(self, path: str, query: Mapping[str, str]) -> Any:
        match path:
            case "Time":
                return {"error": [], "result": {"unixtime": NOW_MS // 1_000}}
            case "AssetPairs":
                return self._pairs(query)
            case "Trades" if query["pair"] in self._names():
                return {"error": [], "result": self._trades(query)}
        return {"error": ["EQuery:Unknown asset pair"]}

    def _names(self) -> list[str]:
        return [pair[0] for pair in self.pairs.values()]

    def _pairs(self, query: Mapping[str, str]) -> Any:
        wanted = query["pair"].split(",") if "pair" in query else self._names()
        found = {key: pair for key, pair in self.pairs.items() if pair[0] in wanted}
        if len(found) < len(wanted):
            return {"error": ["EQuery:Unknown asset pair"]}
        return {
            "error": [],
            "result": {
                key: {
                    "altname": altname,
                    "wsname": wsname,
                    "pair_decimals": places,
                    "lot_decimals": 8,
                    "status": status,
                }
                for key, (altname, wsname, places, status) in found.items()
            },
        }

    def _trades(self, query: Mapping[str, str]) -> Any:
        count = int(query["count"])
        since = int(query["since"]) if "since" in query else None
        ids: Sequence[int] = range(FIRST, LAST + 1)
        if self.times:
            ids = sorted(self.times, key=self.time_ns)
        begin = max(0, len(ids) - count - len(self.gone))
        if since is not None:
            begin = bisect_right(ids, since, key=self.time_ns)
        ids = [each for each in ids[begin : begin + count + len(self.gone)] if each not in self.gone]
        ids = ids[-count:] if since is None else ids[:count]
        rows = [row(each, self.time_ns(each)) for each in ids]
        for each in rows:
            if each[6] in self.bad:
                each[3] = "?"
        last = self.time_ns(ids[-1]) if ids else since or 0
        return {"XXBTZUSD": rows, "last": str(last)}

    def time_ns(self, trade_id: int) -> int:
        return self.times[trade_id] if self.times else time_ns(trade_id)
