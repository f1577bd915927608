"""REST over HTTP: weights, the exchange's answers, and what faults make of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import orjson
from aiohttp import web

from simulator.faults.requests import (
    Disturbance,
    RequestFaults,
    Verbatim,
    with_server_time,
    without_open_row,
)
from simulator.faults.tally import Tally
from simulator.protocol import rest
from simulator.protocol.rest import ENDPOINTS, RestAnswer, RestRequest
from simulator.protocol.weights import LIMIT_PER_MINUTE, Refused, WeightCounter
from simulator.recordings.player import Player
from simulator.server.truth_log import TruthLog
from simulator.world.exchange import WorldExchange

_JSON: Final = "application/json"


class RestService:
    """Answers `/api/v3/…`.

    Args:
        faults: None when nothing is scripted.
        now_ms: the market's time.
        market_data_only: without the endpoints that the market-data host lacks.

    Attributes:
        first_asked_ms: market's time of the first request that was more than a ping; None: none was.
    """

    def __init__(
        self,
        exchange: WorldExchange | Player,
        log: TruthLog,
        tally: Tally,
        faults: RequestFaults,
        now_ms: Callable[[], int],
        *,
        market_data_only: bool,
    ) -> None:
        self._exchange = exchange
        self._log = log
        self._tally = tally
        self._faults = faults
        self._now_ms = now_ms
        self._market_data_only = market_data_only
        self._weights = WeightCounter()
        self.first_asked_ms: int | None = None
        # History is summed here, one request at a time, while the streams go on.
        self._database = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")

    def close(self) -> None:
        self._database.shutdown(cancel_futures=True)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        path = request.match_info["path"]
        endpoint = ENDPOINTS.get(path)
        if endpoint is None or (self._market_data_only and not endpoint.market_data):
            return web.Response(status=404)
        query = [(name, value) for name, value in request.query.items()]
        wall_ms = time.time_ns() // 1_000_000
        charged = self._weights.charge(request.remote or "", endpoint.weight(dict(query)), wall_ms)
        if isinstance(charged, Refused):
            return _refused(charged)
        weight = _weight_headers(charged.used_weight)
        if path != "ping" and self.first_asked_ms is None:
            self.first_asked_ms = self._now_ms()
        asked = RestRequest(path, query, request.headers.get("X-MBX-TIME-UNIT"), self._now_ms())
        disturbance = self._faults.meet(asked)
        if disturbance is None:
            return _json(self._skewed(asked, await self._of_exchange(asked)), weight)
        return await self._disturbed(request, asked, disturbance, weight)

    async def _of_exchange(self, asked: RestRequest) -> RestAnswer:
        exchange = self._exchange
        if ENDPOINTS[asked.path].database and isinstance(exchange, WorldExchange):
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._database, rest.answer, exchange, asked)
        else:
            answer = rest.answer(exchange, asked)
        if answer.trades:
            self._log.answered_trades(*answer.trades)
        if answer.klines:
            self._log.answered_klines(*answer.klines, now_ms=asked.now_ms)
        return answer

    def _skewed(self, asked: RestRequest, answer: RestAnswer) -> RestAnswer:
        skewed, fault = self._faults.skew(asked, answer)
        if fault is not None:
            self._tally.hit(fault, "rest")
        return skewed

    async def _disturbed(
        self, request: web.Request, asked: RestRequest, disturbance: Disturbance, weight: Mapping[str, str]
    ) -> web.StreamResponse:
        fault = disturbance.fault
        if disturbance.first:
            self._tally.fired(fault)
        else:
            self._tally.goes_on(fault)
        self._tally.hit(fault, "rest")
        if disturbance.instead is not None:
            return _verbatim(disturbance.instead, weight)
        if disturbance.dead:
            return _broken(request)
        now_ms = asked.now_ms
        if disturbance.age_ms:
            asked = RestRequest(asked.path, asked.query, asked.time_unit, now_ms - disturbance.age_ms)
        answer = self._skewed(asked, await self._of_exchange(asked))
        answer = without_open_row(answer, asked.now_ms, now_ms)
        answer = with_server_time(answer, disturbance.offset_ms)
        if disturbance.cut:
            return await _cut(request, answer, weight)
        await asyncio.sleep(disturbance.hold_s)
        return _json(answer, weight)


def refused_unit() -> web.Response:
    """The answer to a WebSocket of an unknown time unit."""
    return _json(rest.refusal(-1194, "Invalid value for time unit."), _weight_headers(0))


def _json(answer: RestAnswer, headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        status=answer.status,
        body=orjson.dumps(answer.body),
        content_type=_JSON,
        headers={**headers, **answer.headers},
    )


def _verbatim(answer: Verbatim, headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type,
        headers={**headers, **answer.headers},
    )


async def _cut(request: web.Request, answer: RestAnswer, headers: Mapping[str, str]) -> web.StreamResponse:
    """Announce the whole body, send half of it, break the connection."""
    body = orjson.dumps(answer.body)
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_type = _JSON
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _broken(request: web.Request) -> web.StreamResponse:
    """No answer: the connection ends."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _weight_headers(used_weight: int) -> dict[str, str]:
    return {"X-MBX-USED-WEIGHT": str(used_weight), "X-MBX-USED-WEIGHT-1M": str(used_weight)}


def _refused(refused: Refused) -> web.Response:
    if refused.banned_until_ms is None:
        text = (
            f"Too much request weight used; current limit is {LIMIT_PER_MINUTE} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
    else:
        text = (
            f"Way too much request weight used; IP banned until {refused.banned_until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
    body = {"code": -1003, "msg": text}
    headers = {**_weight_headers(refused.used_weight), "Retry-After": str(refused.retry_after_s)}
    return _json(RestAnswer(refused.status, body), headers)
