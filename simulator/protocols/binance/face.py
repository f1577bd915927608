"""Binance's endpoints and sessions over a market: a seeded world or a recording."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote

import orjson

from simulator.exchange import Exchange
from simulator.protocols.binance import rest
from simulator.protocols.binance.control import MOST_STREAMS, ControlSession
from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.manners import BinanceManners
from simulator.protocols.binance.rest import ENDPOINTS, TIME_UNITS
from simulator.protocols.binance.stream_names import well_formed
from simulator.protocols.binance.weights import Refused, WeightCounter, refusal_body
from simulator.protocols.port import Dialect, RestAnswer, RestManners, RestRequest, Verbatim

_REST: Final = "/api/v3/"


class BinanceFace:
    """`/api/v3/…`, `/ws/…`, `/stream?streams=…`.

    Args:
        market_data_only: without the endpoints that the market-data host lacks.
        summed: the exchange sums long history for some answers.
    """

    dialect: Dialect = BINANCE
    manners: RestManners = BinanceManners()

    def __init__(self, exchange: Exchange, *, market_data_only: bool, summed: bool) -> None:
        self._exchange = exchange
        self._market_data_only = market_data_only
        self._summed = summed
        self._weights = WeightCounter()

    def session(self, path: str, raw_query: str) -> ControlSession | Verbatim | None:
        # Not decoded as a form: there the plus sign of `@kline_1d@+08:00` would be a blank.
        query = dict(part.partition("=")[::2] for part in raw_query.split("&"))
        combined = path == "/stream"
        if combined:
            joined = query.get("streams", "")
        elif path == "/ws" or path.startswith("/ws/"):
            joined = path[len("/ws/") :]
        else:
            return None
        unit = unquote(query["timeUnit"]) if "timeUnit" in query else None
        if unit not in TIME_UNITS:
            refusal = rest.refusal(-1194, "Invalid value for time unit.")
            return Verbatim(refusal.status, orjson.dumps(refusal.body), headers=_weight_headers(0))
        names = [name for name in unquote(joined).split("/") if name]
        if len(names) > MOST_STREAMS or not all(well_formed(name) for name in names):
            return Verbatim(400, b"", "")
        return ControlSession(names, combined=combined, microseconds=TIME_UNITS[unit] == 1000)

    def read(
        self, path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str], now_ms: int
    ) -> RestRequest | None:
        endpoint = ENDPOINTS.get(path.removeprefix(_REST)) if path.startswith(_REST) else None
        if endpoint is None or (self._market_data_only and not endpoint.market_data):
            return None
        return RestRequest(path.removeprefix(_REST), query, headers.get("X-MBX-TIME-UNIT"), now_ms)

    def charge(self, address: str, request: RestRequest) -> tuple[Mapping[str, str], Verbatim | None]:
        weight = ENDPOINTS[request.path].weight(dict(request.query))
        charged = self._weights.charge(address, weight, time.time_ns() // 1_000_000)
        headers = _weight_headers(charged.used_weight)
        if not isinstance(charged, Refused):
            return headers, None
        body = orjson.dumps(refusal_body(charged.banned_until_ms))
        retry = {"Retry-After": str(charged.retry_after_s)}
        return headers, Verbatim(charged.status, body, headers=retry)

    def answer(self, request: RestRequest) -> RestAnswer:
        return rest.answer(self._exchange, request)

    def summed(self, request: RestRequest) -> bool:
        return self._summed and ENDPOINTS[request.path].database

    def is_ping(self, request: RestRequest) -> bool:
        return request.path == "ping"


def _weight_headers(used_weight: int) -> dict[str, str]:
    return {"X-MBX-USED-WEIGHT": str(used_weight), "X-MBX-USED-WEIGHT-1M": str(used_weight)}
