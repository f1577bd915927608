"""Coinbase's endpoints and sessions over a seeded world."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

import orjson

from simulator.protocols.budgets import Budgets
from simulator.protocols.coinbase import rest
from simulator.protocols.coinbase.dialect import COINBASE
from simulator.protocols.coinbase.feed import BATCH_MS, open_source
from simulator.protocols.coinbase.rest import endpoint_of
from simulator.protocols.coinbase.session import CoinbaseSession, FarLevels
from simulator.protocols.instants import rfc3339_ms
from simulator.protocols.port import (
    Dialect,
    RestAnswer,
    RestManners,
    RestRequest,
    Surroundings,
    Verbatim,
)
from simulator.world.feed import Source
from simulator.world.world import World

_SOCKET: Final = "/"
# Public requests of an address (COINBASE_KRAKEN.md §3.1): 8 a second, bursts of 20.
_BURST: Final = 20
_A_SECOND: Final = 8.0
# Levels of each side that nobody reaches: a real snapshot of BTC-USD has 46,000 rows and 5 MB.
FAR_LEVELS: Final = 22_500


class CoinbaseManners:
    """Refusals of both hosts are JSON with a message; proxies answer in HTML."""

    only_paths: Mapping[str, tuple[str, ...]] = {
        "time_jump": ("brokerage/time", "time"),
        "rest_behind": (
            "market/products/{id}/ticker",
            "market/products/{id}/candles",
            "products/{id}/trades",
            "products/{id}/candles",
        ),
    }

    def error(self, status: int) -> Verbatim:
        if status in (502, 504):
            return Verbatim(status, b"<html><body><h1>%d</h1></body></html>\r\n" % status, "text/html")
        return Verbatim(status, orjson.dumps({"message": f"Error {status}"}))

    def limited(self, kind: str, retry_after_s: float, now_ms: int) -> Verbatim:  # noqa: ARG002
        return Verbatim(429, b'{"message":"Public rate limit exceeded"}')

    def with_server_time(self, answer: RestAnswer, offset_ms: int) -> RestAnswer:
        body: Any = answer.body
        if not isinstance(body, dict) or not body.keys() & {"epoch", "epochMillis"}:
            return answer
        if "epoch" in body:
            now_ms = round(body["epoch"] * 1000) + offset_ms
            return replace(answer, body={"iso": rfc3339_ms(now_ms, 3), "epoch": now_ms / 1000})
        now_ms = int(body["epochMillis"]) + offset_ms
        iso = rfc3339_ms(now_ms // 1000 * 1000, 0).replace(".Z", "Z")
        told = {"iso": iso, "epochSeconds": str(now_ms // 1000), "epochMillis": str(now_ms)}
        return replace(answer, body=told)

    def without_open_row(self, answer: RestAnswer, from_ms: int, until_ms: float) -> RestAnswer:
        if answer.klines is None:
            return answer
        symbol, interval, rows = answer.klines
        # Only the newest row can be open; it comes first.
        if not rows or not from_ms <= rows[-1].close_time_ms < until_ms:
            return answer
        body: Any = answer.body
        body = {"candles": body["candles"][1:]} if isinstance(body, dict) else body[1:]
        return replace(answer, body=body, klines=(symbol, interval, rows[:-1]))


class CoinbaseFace:
    """The root is the WebSocket; `/api/v3/brokerage/market/…` and `/products/…` are REST.

    Args:
        far_levels: levels of each side of a book that nobody reaches.
    """

    dialect: Dialect = COINBASE
    manners: RestManners = CoinbaseManners()

    def __init__(self, world: World, surroundings: Surroundings, far_levels: int) -> None:
        self._world = world
        self._surroundings = surroundings
        self._far = FarLevels(world, far_levels)
        self._numbers = count(1)
        self._budgets = Budgets(_BURST, _A_SECOND)

    def session(self, path: str, raw_query: str) -> CoinbaseSession | None:  # noqa: ARG002
        if path != _SOCKET:
            return None
        return CoinbaseSession(self._world, self._surroundings, self._far, next(self._numbers))

    def read(
        self,
        path: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],  # noqa: ARG002
        now_ms: int,
    ) -> RestRequest | None:
        found = endpoint_of(path)
        return found and RestRequest(found[0], query, None, now_ms, found[1])

    def charge(self, address: str, request: RestRequest) -> tuple[Mapping[str, str], Verbatim | None]:  # noqa: ARG002
        if self._budgets.spend(address, time.monotonic()):
            return {}, None
        return {}, self.manners.limited("rest_429", 1.0, 0)

    def answer(self, request: RestRequest) -> RestAnswer:
        return rest.answer(self._world, request)

    def summed(self, request: RestRequest) -> bool:
        return request.path.endswith(("candles", "trades", "ticker"))

    def is_ping(self, request: RestRequest) -> bool:
        return request.path.endswith("time")


class CoinbaseWorld(World):
    """The seeded world as Coinbase's market."""

    dialect: Dialect = COINBASE
    numbers_books = False
    batch_ms = BATCH_MS

    def face(self, surroundings: Surroundings) -> CoinbaseFace:
        far_levels = FAR_LEVELS if surroundings.far_levels is None else surroundings.far_levels
        return CoinbaseFace(self, surroundings, far_levels)

    def open_source(self, name: str, after_ms: int) -> Source | None:
        return open_source(self.markets, name, after_ms)
