"""REST over HTTP: the exchange's answers, and their faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import orjson
from aiohttp import web

from simulator.faults.requests import Disturbance, RequestFaults
from simulator.faults.tally import Tally
from simulator.protocols.port import JSON, Face, RestAnswer, RestRequest, Verbatim
from simulator.server.arrivals import Arrivals
from simulator.server.exchange_log import ExchangeLog


class RestService:
    """Answers a protocol's endpoints.

    Args:
        now_ms: the market's time.
        arrivals: counts the requests.

    Attributes:
        first_asked_ms: market's time of the first request other than a ping; None before it.
    """

    def __init__(
        self,
        face: Face,
        log: ExchangeLog,
        tally: Tally,
        faults: RequestFaults,
        now_ms: Callable[[], int],
        *,
        arrivals: Arrivals,
    ) -> None:
        self._arrivals = arrivals
        self._face = face
        self._log = log
        self._tally = tally
        self._faults = faults
        self._now_ms = now_ms
        self.first_asked_ms: int | None = None
        # History is summed here, one request at a time, while the streams go on.
        self._database = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")

    def close(self) -> None:
        self._database.shutdown(cancel_futures=True)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        query = [(name, value) for name, value in request.query.items()]
        asked = self._face.read(request.path, query, request.headers, self._now_ms())
        if asked is None:
            return web.Response(status=404)
        headers, refused = self._face.charge(request.remote or "", asked)
        self._arrivals.requested(time.monotonic(), refused=refused is not None)
        if refused is not None:
            return verbatim(refused, headers)
        if not self._face.is_ping(asked) and self.first_asked_ms is None:
            self.first_asked_ms = self._now_ms()
        disturbance = self._faults.meet(asked)
        if disturbance is None:
            return _json(self._skewed(asked, await self._of_exchange(asked)), headers)
        return await self._disturbed(request, asked, disturbance, headers)

    async def _of_exchange(self, asked: RestRequest) -> RestAnswer:
        if self._face.summed(asked):
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._database, self._face.answer, asked)
        else:
            answer = self._face.answer(asked)
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
        self, request: web.Request, asked: RestRequest, disturbance: Disturbance, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        fault = disturbance.fault
        if disturbance.first:
            self._tally.fired(fault)
        else:
            self._tally.goes_on(fault)
        self._tally.hit(fault, "rest")
        if disturbance.instead is not None:
            return verbatim(disturbance.instead, headers)
        if disturbance.dead:
            return _broken(request)
        now_ms = asked.now_ms
        if disturbance.age_ms:
            asked = replace(asked, now_ms=now_ms - disturbance.age_ms)
        answer = self._skewed(asked, await self._of_exchange(asked))
        answer = self._face.manners.without_open_row(answer, asked.now_ms, now_ms)
        answer = self._face.manners.with_server_time(answer, disturbance.offset_ms)
        if disturbance.cut:
            return await _cut(request, answer, headers)
        await asyncio.sleep(disturbance.hold_s)
        return _json(answer, headers)


def _json(answer: RestAnswer, headers: Mapping[str, str]) -> web.Response:
    body = orjson.dumps(answer.body)
    return verbatim(Verbatim(answer.status, body, headers=answer.headers), headers)


def verbatim(answer: Verbatim, headers: Mapping[str, str]) -> web.Response:
    """An answer as HTTP."""
    return web.Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type or None,
        headers={**headers, **answer.headers},
    )


async def _cut(request: web.Request, answer: RestAnswer, headers: Mapping[str, str]) -> web.StreamResponse:
    """Announce the whole body, send half of it, break the connection."""
    body = orjson.dumps(answer.body)
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_type = JSON
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
