"""The HTTP and WebSocket server, and the simulator as a whole."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from shared.errors import UsageError
from simulator.faults.events import EventFaults
from simulator.faults.replies import ReplyFaults
from simulator.faults.requests import RequestFaults
from simulator.faults.script import Fault, parse_posted
from simulator.faults.tally import Tally
from simulator.protocols.port import Dialect, Surroundings, Verbatim
from simulator.recordings.player import Player
from simulator.server.clock import WorldClock
from simulator.server.connection import Connection, ConnectionRules
from simulator.server.exchange_log import ExchangeLog
from simulator.server.hub import Hub
from simulator.server.pumps import drained, pump_recording, pump_world, send_due
from simulator.server.rest_service import RestService, verbatim
from simulator.world.feed import WorldFeed
from simulator.world.world import World

logger = logging.getLogger(__name__)

# How late the drain of a market that stops by itself may begin; its last instant is exact.
_FREEZE_CHECK_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """How a simulator is run.

    Attributes:
        port: 0 takes a free one.
        speed: world seconds in a real second; 0 (recordings only): as fast as the clients take it.
        faults: what goes wrong, in the script's order.
        fault_seed: of their draws.
        hold: the world's clock waits until so many connections have subscribed; 0: it runs at once.
        freeze_at: world seconds after the start at which the market stops by itself.
        log_intervals: trades and bars of these are logged from the start, others from their subscription.
        far_levels: levels on each side of Coinbase's books that nobody reaches; None: as many as are real.
    """

    host: str = "127.0.0.1"
    port: int = 0
    speed: float = 1.0
    market_data_only: bool = False
    log: Path | None = None
    rules: ConnectionRules = field(default_factory=ConnectionRules)
    faults: Sequence[Fault] = ()
    fault_seed: int = 1
    hold: int = 0
    freeze_at: float | None = None
    log_intervals: Sequence[str] = ()
    far_levels: int | None = None


class Simulator:
    """An exchange on a socket: a seeded world or a recording.

    Args:
        on_replay_finished: called with the number of frames once the recording has been played.
        on_failure: called with the error that has stopped the market.

    Attributes:
        port: the one listened on, after `start`.
        exchange: the market; its `statuses` may be changed while it runs.
    """

    def __init__(
        self,
        exchange: World | Player,
        options: SimulatorOptions,
        on_replay_finished: Callable[[int], None] = lambda _frames: None,
        on_failure: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        self.exchange = exchange
        self.port = options.port
        self._options = options
        self._on_replay_finished = on_replay_finished
        self._on_failure = on_failure
        self._begin_ms = exchange.first_ms if isinstance(exchange, Player) else exchange.clock_start_ms
        numbering = exchange.numbering if isinstance(exchange, World) else _one_numbering
        dialect = exchange.dialect
        self._log = ExchangeLog(options.log, exchange.symbols, numbering, dialect)
        self._face = exchange.face(
            Surroundings(self.now_ms, self._log.answered_trades, options.market_data_only, options.far_levels)
        )
        self._tally = Tally(options.faults, _wall_ms)
        plan = (options.faults, options.fault_seed, self._begin_ms)
        self._event_faults = EventFaults(*plan, dialect)
        self._request_faults = RequestFaults(*plan, self._face.manners)
        self._reply_faults = ReplyFaults(*plan, self.now_ms)
        self._hub = Hub(
            self._log,
            self._tally,
            self._event_faults,
            dialect,
            self._reply_faults,
            connections_awaited=max(1, options.hold),
            always=_followed(dialect, exchange.symbols, options.log_intervals),
        )
        self._rest = RestService(
            self._face,
            self._log,
            self._tally,
            self._request_faults,
            self.now_ms,
            arrivals=self._hub.arrivals,
        )
        self._connections: dict[Connection, None] = {}  # in the order in which they came
        self._tasks: list[asyncio.Task[None]] = []
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
        app.router.add_get("/simulator/faults", self._faults)
        app.router.add_post("/simulator/faults", self._add_faults)
        app.router.add_get("/{path:.*}", self._exchange)
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
            self._clock = WorldClock(
                self._begin_ms, options.speed, held=options.hold > 0, batch_ms=self.exchange.batch_ms
            )
            pump = pump_world(self.exchange.feed, self._clock, self._hub)
            if options.freeze_at is not None:
                stop_ms = self._clock.freeze(self._begin_ms + round(options.freeze_at * 1000))
                self._start_task(self._freeze_when_due(self.exchange.feed, stop_ms))
        self._start_task(pump)

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._report)
        self._tasks.append(task)

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            logger.error("the market has stopped: %s: %s", type(error).__name__, error)
            self._on_failure(error)

    async def stop(self) -> None:
        """Close all connections and the log."""
        for task in self._tasks:
            task.cancel()
        for connection in tuple(self._connections):
            connection.end()
        await self._runner.cleanup()
        self._rest.close()
        self._log.asked(self.asked())
        self._log.faults(self._tally.listed())
        self._log.close()

    def now_ms(self) -> int:
        """The market's time."""
        return self.exchange.position_ms if isinstance(self.exchange, Player) else self._clock.now_ms()

    def asked(self) -> Mapping[str, int]:
        """How often clients have asked."""
        return self._hub.arrivals.counts()

    async def freeze(self) -> int:
        """Stop the market; its last instant (ms), once everything up to it is written and logged."""
        exchange = self.exchange
        if isinstance(exchange, Player):
            exchange.frozen = True
            frozen_ms = exchange.position_ms
        else:
            frozen_ms = self._clock.freeze()
            await asyncio.sleep(self._clock.seconds_until(frozen_ms))
            while exchange.feed.emitted_until_ms < frozen_ms:
                send_due(exchange.feed, frozen_ms, self._hub)
                await asyncio.sleep(0)
        self._hub.release()
        await drained(self._hub)
        self._log.faults(self._tally.listed())
        self._log.flush()
        self._frozen_ms = frozen_ms
        return frozen_ms

    async def _freeze_when_due(self, feed: WorldFeed, stop_ms: int) -> None:
        while feed.emitted_until_ms < stop_ms:  # noqa: ASYNC110 - a held clock has no event for its start
            await asyncio.sleep(_FREEZE_CHECK_SECONDS)
        await self.freeze()

    async def _exchange(self, request: web.Request) -> web.StreamResponse:
        """A request for the exchange itself: a WebSocket or REST."""
        session = self._face.session(request.path, request.rel_url.raw_query_string)
        if session is None:
            return await self._rest.answer(request)
        if isinstance(session, Verbatim):
            return verbatim(session, {})
        refusal = self._request_faults.refused_handshake(self.now_ms())
        if refusal is not None:
            self._tally.fired(refusal)
            return web.Response(status=refusal.options["status"])
        connection = Connection(session, self._options.rules, self._hub)
        self._connections[connection] = None
        try:
            return await connection.serve(request)
        finally:
            del self._connections[connection]

    async def _freeze(self, _request: web.Request) -> web.Response:
        return web.json_response({"frozen_at_ms": await self.freeze()})

    async def _faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self._tally.listed())

    async def _add_faults(self, request: web.Request) -> web.Response:
        try:
            body = await request.read()
            scope = self.exchange.dialect.scope
            posted = parse_posted(body, len(self._tally.listed()), self.exchange.symbols, scope)
        except UsageError as error:
            return web.json_response({"error": str(error)}, status=400)
        now_ms = self.now_ms()
        for fault in posted:
            self._tally.add(fault)
            self._event_faults.add(fault, now_ms)
            self._request_faults.add(fault, now_ms)
            self._reply_faults.add(fault, now_ms)
        return web.json_response(self._tally.listed())

    async def _state(self, _request: web.Request) -> web.Response:
        exchange = self.exchange
        state: dict[str, Any] = {
            "symbols": list(exchange.symbols),
            "now_ms": self.now_ms(),
            "world_elapsed_s": (self.now_ms() - self._begin_ms) / 1000,
            "frozen_at_ms": self._frozen_ms,
            "connections": self._hub.connections,
            "first_asked_ms": self._rest.first_asked_ms,
            "issued": self._log.counts,
            "asked": self.asked(),
        }
        if isinstance(exchange, Player):
            state |= {"mode": "replay", "frames_played": exchange.played, "finished": exchange.finished}
            state["recorded_symbols"] = list(exchange.recorded_symbols)
            state |= exchange.account()
        else:
            state |= {"mode": "world", "seed": exchange.seed, "start_ms": exchange.start_ms}
            state["held"] = self._clock.held
        return web.json_response(state)


def _followed(dialect: Dialect, symbols: Sequence[str], intervals: Sequence[str]) -> frozenset[str]:
    """The streams that the log follows from the start."""
    if not intervals:
        return frozenset()
    return frozenset(name for symbol in symbols for name in dialect.followed(symbol, intervals))


def _one_numbering(_record: str, _symbol: str, _time_ms: int) -> int:
    return 0


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
