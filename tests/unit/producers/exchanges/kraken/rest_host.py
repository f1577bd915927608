"""Kraken's REST on localhost: trades `first` to `last`, one a second, and what else a client asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
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


def row(trade_id: int) -> list[Any]:
    seconds, fraction = divmod(time_ns(trade_id), 10**9)
    return ["105433.60000", "0.5", float(f"{seconds}.{fraction:09}"), "b", "l", "", trade_id]


class Host:
    """Attributes:
    gone: ids that were never issued.
    bad: ids whose rows cannot be read.
    answers: by path, status and body in place of the usual answer.
    """

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.bad: set[int] = set()
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
            case "Trades" if query["pair"] in ("XBTUSD", "ETHUSD"):
                return {"error": [], "result": self._trades(query)}
        return {"error": ["EQuery:Unknown asset pair"]}

    def _pairs(self, query: Mapping[str, str]) -> Any:
        wanted = query["pair"].split(",") if "pair" in query else [pair[0] for pair in PAIRS.values()]
        found = {key: pair for key, pair in PAIRS.items() if pair[0] in wanted}
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
        ids = [each for each in range(FIRST, LAST + 1) if each not in self.gone]
        if "since" in query:
            since = int(query["since"])
            after = LAST - (time_ns(LAST) - since) // 10**9
            ids = [each for each in ids if each >= after - 1 and time_ns(each) > since][:count]
        else:
            ids = ids[-count:]
        rows = [row(each) for each in ids]
        for each in rows:
            if each[6] in self.bad:
                each[3] = "?"
        last = time_ns(ids[-1]) if ids else int(query.get("since", 0))
        return {"XXBTZUSD": rows, "last": str(last)}
