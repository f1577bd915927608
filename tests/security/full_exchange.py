"""exchangeInfo of an exchange as large as Binance's: about 18 MB for 3,000 symbols."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from simulator.protocols.binance.exchange_info import exchange_info, symbol_entry

# As many as each symbol of Binance is in: half of what it says of a symbol is their names.
_GROUPS = [f"TRD_GRP_{number:03}" for number in range(1, 260)]


class FullExchange:
    """
    Attributes:
        longest: body that was sent, bytes.
    """

    def __init__(self, count: int) -> None:
        self.longest = 0
        self._entries = {
            name: {
                **symbol_entry(
                    name,
                    name.removesuffix("USDC"),
                    "USDC",
                    tick_size="0.01",
                    step_size="0.01",
                    status="TRADING",
                ),
                "permissionSets": [["SPOT", "MARGIN", *_GROUPS]],
            }
            for name in (f"S{number}USDC" for number in range(count))
        }

    async def answer(self, request: web.Request) -> web.Response:
        asked = request.query.get("symbols")
        names = list(self._entries) if asked is None else orjson.loads(asked)
        if not set(names) <= self._entries.keys():
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        entries: list[Any] = [self._entries[name] for name in names]
        body = orjson.dumps(exchange_info(entries, 0))
        self.longest = max(self.longest, len(body))
        return web.Response(body=body, content_type="application/json")


@asynccontextmanager
async def serving(count: int) -> AsyncIterator[tuple[str, FullExchange]]:
    exchange = FullExchange(count)
    application = web.Application()
    application.router.add_get("/api/v3/exchangeInfo", exchange.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", exchange
    finally:
        await runner.cleanup()
