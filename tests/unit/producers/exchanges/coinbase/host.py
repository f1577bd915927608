"""Coinbase's REST over HTTP: the simulated market on a time of the test's, and answers made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from producers.exchanges.coinbase.rest import CoinbaseRest
from producers.exchanges.port import Addresses
from tests.unit.simulator.protocols.market import Market

BTC, XRP = "BTC-USD", "XRP-USD"
MARKET = "/api/v3/brokerage/market/"


class Host:
    """Advanced Trade's and Exchange's hosts in one.

    Attributes:
        made: by path, changes the answer's body, or gives a status and a body.
        asked: paths with their queries, in order.
        rejected: what the client set aside.
    """

    def __init__(self, seconds: float = 60.0, **market: Any) -> None:
        self.market = Market("coinbase", (BTC, XRP), **market)
        self.market.run(seconds)
        self.made: dict[str, Callable[[Any], Any]] = {}
        self.asked: list[str] = []
        self.rejected: list[tuple[str, str, str, bytes]] = []

    @property
    def now_ms(self) -> int:
        return self.market.now_ms

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Addresses]:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answered)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        try:
            yield Addresses(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", f"http://localhost:{port}")
        finally:
            await runner.cleanup()

    @asynccontextmanager
    async def rest(self) -> AsyncIterator[CoinbaseRest]:
        async with self.served() as addresses:
            rest = CoinbaseRest(
                addresses, lambda: self.now_ms, lambda *letter: self.rejected.append(letter), share=100.0
            )
            try:
                yield rest
            finally:
                await rest.close()

    def run(self, work: Callable[[CoinbaseRest], Any]) -> Any:
        """The result of `work` with a client."""

        async def carried() -> Any:
            async with self.rest() as rest:
                return await work(rest)

        return asyncio.run(carried())

    async def _answered(self, request: web.Request) -> web.Response:
        self.asked.append(str(request.rel_url))
        pairs = list(request.rel_url.query.items())
        asked = self.market.face.read(request.path, pairs, {}, self.now_ms)
        status, body = 404, b'{"message":"NotFound"}'
        if asked is not None:
            answer = self.market.face.answer(asked)
            status, body = answer.status, orjson.dumps(answer.body)
        change = self.made.get(request.path)
        if change is not None:
            made = change(orjson.loads(body))
            status, body = made if type(made) is tuple else (status, orjson.dumps(made))
        return web.Response(status=status, body=body, content_type="application/json")
