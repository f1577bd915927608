"""Kraken's endpoints and sessions over a seeded world."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

from simulator.protocols.budgets import Budgets
from simulator.protocols.instants import rfc3339_ms
from simulator.protocols.kraken import rest
from simulator.protocols.kraken.dialect import KRAKEN
from simulator.protocols.kraken.feed import open_source
from simulator.protocols.kraken.rest import ENDPOINTS, PREFIX, market_of
from simulator.protocols.kraken.session import KrakenSession
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

_SOCKET: Final = "/v2"
_HTML: Final = "text/html"
# About one public request a second, after a burst: the choice of this simulator (no page names a figure).
_BURST: Final = 20
_A_SECOND: Final = 1.0


class KrakenManners:
    """Kraken's own refusals have status 200 and an `error`; the others come from the proxy before it."""

    only_paths: Mapping[str, tuple[str, ...]] = {
        "time_jump": ("Time",),
        "rest_behind": ("Trades", "OHLC"),
    }

    def error(self, status: int) -> Verbatim:
        if status == 503:
            return Verbatim(200, b'{"error":["EService:Unavailable"]}')
        if status == 500:
            return Verbatim(200, b'{"error":["EGeneral:Internal error"]}')
        return Verbatim(status, b"<html><body><h1>%d</h1></body></html>\r\n" % status, _HTML)

    def limited(self, kind: str, retry_after_s: float, now_ms: int) -> Verbatim:  # noqa: ARG002
        return Verbatim(200, b'{"error":["EGeneral:Too many requests"]}')

    def with_server_time(self, answer: RestAnswer, offset_ms: int) -> RestAnswer:
        result: Any = answer.body.get("result")
        if not isinstance(result, dict) or "unixtime" not in result:
            return answer
        moved = (result["unixtime"] * 1000 + offset_ms) // 1000
        shifted = {**result, "unixtime": moved, "rfc1123": rfc3339_ms(moved * 1000, 3)}
        return replace(answer, body={**answer.body, "result": shifted})

    def without_open_row(self, answer: RestAnswer, from_ms: int, until_ms: float) -> RestAnswer:
        if answer.klines is None:
            return answer
        symbol, interval, rows = answer.klines
        # Only the newest row can be open.
        if not rows or not from_ms <= rows[-1].close_time_ms < until_ms:
            return answer
        result = {
            name: rows_[:-1] if isinstance(rows_, list) else rows_
            for name, rows_ in answer.body["result"].items()
        }
        body = {**answer.body, "result": result}
        return replace(answer, body=body, klines=(symbol, interval, rows[:-1]))


class KrakenFace:
    """`/v2` and `/0/public/…`."""

    dialect: Dialect = KRAKEN
    manners: RestManners = KrakenManners()

    def __init__(self, world: World, surroundings: Surroundings) -> None:
        self._world = world
        self._surroundings = surroundings
        self._numbers = count(1)
        self._budgets = Budgets(_BURST, _A_SECOND)

    def session(self, path: str, raw_query: str) -> KrakenSession | None:  # noqa: ARG002
        if path != _SOCKET:
            return None
        return KrakenSession(self._world, self._surroundings, next(self._numbers))

    def read(
        self,
        path: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],  # noqa: ARG002
        now_ms: int,
    ) -> RestRequest | None:
        name = path.removeprefix(PREFIX)
        if not path.startswith(PREFIX) or name not in ENDPOINTS:
            return None
        market = market_of(self._world, dict(query).get("pair", ""))
        return RestRequest(name, query, None, now_ms, market.symbol if market else "")

    def charge(self, address: str, request: RestRequest) -> tuple[Mapping[str, str], Verbatim | None]:  # noqa: ARG002
        if self._budgets.spend(address, time.monotonic()):
            return {}, None
        return {}, self.manners.limited("rest_429", 1.0, 0)

    def answer(self, request: RestRequest) -> RestAnswer:
        return rest.answer(self._world, request)

    def summed(self, request: RestRequest) -> bool:
        return request.path in ("OHLC", "Trades")

    def is_ping(self, request: RestRequest) -> bool:
        return request.path == "SystemStatus"


class KrakenWorld(World):
    """The seeded world as Kraken's market."""

    dialect: Dialect = KRAKEN
    numbers_books = False

    def face(self, surroundings: Surroundings) -> KrakenFace:
        return KrakenFace(self, surroundings)

    def open_source(self, name: str, after_ms: int) -> Source | None:
        return open_source(self.markets, name, after_ms)
