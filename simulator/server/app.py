"""The HTTP and WebSocket server, and the simulator as a whole."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import orjson
from aiohttp import web

from shared.errors import UsageError
from simulator.protocol import rest
from simulator.protocol.control import MOST_STREAMS, ControlSession
from simulator.protocol.rest import ENDPOINTS, RestAnswer, RestRequest
from simulator.protocol.stream_names import well_formed
from simulator.protocol.weights import LIMIT_PER_MINUTE, Refused, WeightCounter
from simulator.recordings.player import Player
from simulator.server.clock import WorldClock
from simulator.server.connection import Connection, ConnectionRules
from simulator.server.hub import EventHook, Hub, send_unchanged
from simulator.server.pumps import drained, pump_recording, pump_world
from simulator.server.truth_log import TruthLog
from simulator.world.exchange import WorldExchange

logger = logging.getLogger(__name__)

# The pure hook before a REST answer: an answer of its own, or None to let the exchange answer.
RestHook = Callable[[RestRequest], RestAnswer | None]

_UNIT_SUFFIXES: Final = {
    None: False,
    "MILLISECOND": False,
    "millisecond": False,
    "MICROSECOND": True,
    "microsecond": True,
}


def answer_usually(_request: RestRequest) -> RestAnswer | None:
    """The hook before a REST answer when nothing is to happen there."""
    return None


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """How a simulator is run.

    Attributes:
        port: 0 takes a free one.
        speed: world seconds in a real second; 0 (recordings only): as fast as the clients take it.
        on_event, on_request: the places for scripted faults.
    """

    host: str = "127.0.0.1"
    port: int = 0
    speed: float = 1.0
    market_data_only: bool = False
    log: Path | None = None
    rules: ConnectionRules = field(default_factory=ConnectionRules)
    on_event: EventHook = send_unchanged
    on_request: RestHook = answer_usually


class Simulator:
    """An exchange on a socket: a seeded world or a recording.

    Args:
        on_replay_finished: called with the number of frames once the recording has been played.

    Attributes:
        port: the one that is listened on, after `start`.
        exchange: the market; its `statuses` may be changed while it runs.
    """

    def __init__(
        self,
        exchange: WorldExchange | Player,
        options: SimulatorOptions,
        on_replay_finished: Callable[[int], None] = lambda _frames: None,
    ) -> None:
        self.exchange = exchange
        self.port = options.port
        self._options = options
        self._on_replay_finished = on_replay_finished
        self._log = TruthLog(options.log)
        self._hub = Hub(self._log, options.on_event)
        self._weights = WeightCounter()
        self._connections: set[Connection] = set()
        # History is summed here, one request at a time, while the streams go on.
        self._database = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._frozen_ms: int | None = None

    async def start(self) -> None:
        """Listen and begin the world.

        Raises:
            UsageError: the port is taken or may not be used.
        """
        app = web.Application()
        app.router.add_get("/simulator/freeze", self._freeze)
        app.router.add_post("/simulator/freeze", self._freeze)
        app.router.add_get("/simulator/state", self._state)
        app.router.add_get("/api/v3/{path:.+}", self._rest)
        app.router.add_get("/ws", self._raw)
        app.router.add_get("/ws/{names:.*}", self._raw)
        app.router.add_get("/stream", self._combined)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        options = self._options
        site = web.TCPSite(self._runner, options.host, options.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise UsageError(
                f"--port {options.port} on {options.host} cannot be listened on ({error.strerror}); "
                "choose another, or 0 for a free one"
            ) from None
        self.port = self._runner.addresses[0][1]
        if isinstance(self.exchange, Player):
            clock = WorldClock(0, options.speed) if options.speed else None
            pump = pump_recording(self.exchange, clock, self._hub, self._on_replay_finished)
        else:
            self._clock = WorldClock(self.exchange.clock_start_ms, options.speed)
            pump = pump_world(self.exchange.feed, self._clock, self._hub)
        self._pump = asyncio.create_task(pump)
        self._pump.add_done_callback(_report)

    async def stop(self) -> None:
        """Close all connections and the log."""
        self._pump.cancel()
        for connection in tuple(self._connections):
            connection.end()
        await self._runner.cleanup()
        self._database.shutdown(cancel_futures=True)
        self._log.close()

    def now_ms(self) -> int:
        """The market's time."""
        return self.exchange.position_ms if isinstance(self.exchange, Player) else self._clock.now_ms()

    async def freeze(self) -> int:
        """Stop the market; returns its last instant (ms) once everything up to it is written and logged."""
        exchange = self.exchange
        if isinstance(exchange, Player):
            exchange.frozen = True
            frozen_ms = exchange.position_ms
        else:
            frozen_ms = self._clock.freeze()
            await asyncio.sleep(self._clock.seconds_until(frozen_ms))
            while exchange.feed.emitted_until_ms < frozen_ms:
                self._hub.send(exchange.feed.due(frozen_ms, self._hub.wanted))
                await asyncio.sleep(0)
        await drained(self._hub)
        self._log.flush()
        self._frozen_ms = frozen_ms
        return frozen_ms

    async def _rest(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        endpoint = ENDPOINTS.get(path)
        if endpoint is None or (self._options.market_data_only and not endpoint.market_data):
            return web.Response(status=404)
        query = [(name, value) for name, value in request.query.items()]
        wall_ms = time.time_ns() // 1_000_000
        charged = self._weights.charge(request.remote or "", endpoint.weight(dict(query)), wall_ms)
        if isinstance(charged, Refused):
            return _refused(charged)
        unit = request.headers.get("X-MBX-TIME-UNIT")
        asked = RestRequest(path, query, unit, self.now_ms())
        answer = self._options.on_request(asked)
        if answer is None and endpoint.database and isinstance(self.exchange, WorldExchange):
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._database, rest.answer, self.exchange, asked)
        elif answer is None:
            answer = rest.answer(self.exchange, asked)
        if answer.trades:
            self._log.answered_trades(*answer.trades)
        if answer.klines:
            self._log.answered_klines(*answer.klines, now_ms=asked.now_ms)
        return _response(answer.status, answer.body, charged.used_weight, answer.headers)

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in unquote(request.match_info.get("names", "")).split("/") if name]
        return await self._connect(request, names, combined=False)

    async def _combined(self, request: web.Request) -> web.StreamResponse:
        # Not `request.query`: there the plus sign of `@kline_1d@+08:00` would be a blank.
        query = dict(part.partition("=")[::2] for part in request.rel_url.raw_query_string.split("&"))
        names = [name for name in unquote(query.get("streams", "")).split("/") if name]
        return await self._connect(request, names, combined=True)

    async def _connect(self, request: web.Request, names: list[str], *, combined: bool) -> web.StreamResponse:
        unit = request.query.get("timeUnit")
        if unit not in _UNIT_SUFFIXES:
            refused = rest.refusal(-1194, "Invalid value for time unit.")
            return _response(refused.status, refused.body, 0, {})
        if len(names) > MOST_STREAMS or not all(well_formed(name) for name in names):
            return web.Response(status=400)
        session = ControlSession(names, combined=combined)
        connection = Connection(session, self._options.rules, microseconds=_UNIT_SUFFIXES[unit])
        self._connections.add(connection)
        try:
            return await connection.serve(request, self._hub)
        finally:
            self._connections.discard(connection)

    async def _freeze(self, _request: web.Request) -> web.Response:
        return web.json_response({"frozen_at_ms": await self.freeze()})

    async def _state(self, _request: web.Request) -> web.Response:
        exchange = self.exchange
        state: dict[str, Any] = {
            "symbols": list(exchange.symbols),
            "now_ms": self.now_ms(),
            "frozen_at_ms": self._frozen_ms,
            "connections": self._hub.connections,
            "issued": self._log.counts,
        }
        if isinstance(exchange, Player):
            state |= {"mode": "replay", "frames_played": exchange.played, "finished": exchange.finished}
            state["recorded_symbols"] = list(exchange.recorded_symbols)
        else:
            state |= {"mode": "world", "seed": exchange.seed, "start_ms": exchange.start_ms}
        return web.json_response(state)


def _response(status: int, body: Any, used_weight: int, headers: Any) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        content_type="application/json",
        headers={
            "X-MBX-USED-WEIGHT": str(used_weight),
            "X-MBX-USED-WEIGHT-1M": str(used_weight),
            **headers,
        },
    )


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
    return _response(refused.status, body, refused.used_weight, {"Retry-After": str(refused.retry_after_s)})


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the market has stopped: %s: %s", type(error).__name__, error)
