"""A producer and a simulated exchange in virtual time; only in a process that has entered the sandbox."""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final
from unittest import mock

import orjson

from producers.assignment import Assignment
from producers.exchanges.registry import EXCHANGES
from producers.service import ProducerService
from shared.dead_letters import DeadLetter
from shared.settings import load_settings
from simulator.server.app import Simulator, SimulatorOptions
from tests.exchange_contract.cases import Order
from tests.exchange_contract.stand import Run, faults_of, market_of
from tests.simulation.processes import Process
from tests.simulation.tasks import Background
from tests.simulation.world import WALL_MS, World

INTERVALS: Final = ("1s", "1m")
# Of the market at least, until what a case has to show has been seen at most, and then until the producer has
# all of it at most; virtual.
_SECONDS: Final = 16.0
_EVIDENCE_S: Final = 120.0
_DEADLINE_S: Final = 40.0
_STOPS_S: Final = 30.0
# Of books whose far part real ones have too: it would only take time.
_FAR_LEVELS: Final = 200
_PORT: Final = 9_000


class Records:
    """In place of `producers.publisher.Publisher`: takes all records, and acknowledges them when polled."""

    queue_messages = 100_000
    congested = False
    held_back = ((), ())
    congested_s = 0.0
    outstanding = 0
    retriable_errors = 0
    lost = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        self.taken: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self.letters: list[DeadLetter] = []
        self.delivered = 0
        self.dead_letters = self
        self._reports: list[Callable[[int, int], None]] = []

    def start(self, _topics: frozenset[str]) -> None:
        """It is always there."""

    def send(self, topic: str, key: bytes, value: bytes | None, delivered: Any = None) -> None:
        self.delivered += 1
        self.taken[topic, key.decode()].append(None if value is None else orjson.loads(value))
        if delivered is not None:
            self._reports.append(delivered)

    def sender(self, topic: str, key: bytes) -> Callable[[bytes], None]:
        return partial(self.send, topic, key)

    def send_dead_letter(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def poll(self) -> None:
        reports, self._reports = self._reports, []
        for report in reports:
            report(0, self.delivered)

    def flush_now(self, _timeout_s: float) -> None:
        self.poll()

    async def room(self) -> None:
        """There always is."""

    async def flush(self, _timeout_s: float) -> int:
        self.poll()
        return 0


def carry(order: Order) -> Run:
    """Run a producer for some virtual seconds, and until what is to be looked at has happened."""
    world = World(1)
    with mock.patch("producers.service.Publisher", Records):
        return world.run(_Carrying(order, world).run())


class _Carrying:
    def __init__(self, order: Order, world: World) -> None:
        self._order = order
        self._world = world
        # The market waits for the producer, and stops before it is asked what it has.
        options = SimulatorOptions(
            port=_PORT, faults=faults_of(order.exchange, order.flags), hold=1, far_levels=_FAR_LEVELS
        )
        self._simulator = Simulator(market_of(order.exchange, order.flags, WALL_MS), options)
        self._service: Any = None

    async def run(self) -> Run:
        self._world.process("exchange").run(self._exchange)
        producer = self._world.process("producer")
        producer.run(self._produce)
        await self._until(producer, _EVIDENCE_S, 0.25, self._seen)
        # It may stop a little later, where no batch of trades is open.
        asked_ms = await self._simulator.freeze()
        reconnects, rollovers = self._changed()
        await self._until(producer, _DEADLINE_S, 0.1, lambda: _caught_up(self._so_far(asked_ms)))
        producer.signal(signal.SIGTERM)
        await asyncio.wait_for(producer.exited.wait(), _STOPS_S)
        if producer.failure is not None:
            raise producer.failure
        assert producer.exit_code == 0
        return replace(self._so_far(asked_ms), reconnects=reconnects, rollovers=rollovers)

    async def _exchange(self) -> int:
        await self._simulator.start()
        await asyncio.get_running_loop().create_future()
        return 0

    async def _produce(self) -> int:
        order, host = self._order, f"127.0.0.1:{_PORT}"
        names = EXCHANGES[order.exchange].settings
        settings = load_settings(
            exchange=order.exchange,
            symbols=",".join(order.markets),
            kafka_bootstrap_servers="127.0.0.1:1",
            warmup_bars=0,
            book_interval_ms=0,
            **{names.rest.lower(): f"http://{host}", names.history.lower(): f"http://{host}"},
            **{names.stream.lower(): f"ws://{host}"},
        )
        assignment = Assignment(
            tuple(order.markets), INTERVALS, memory_broker=True, connection_age_s=order.age_s
        )
        self._service = ProducerService(settings, assignment, background=Background)
        code: int = await self._service.run()
        return code

    async def _until(
        self, producer: Process, most_s: float, period_s: float, ready: Callable[[], bool]
    ) -> None:
        give_up_s = self._world.now_s() + most_s
        while producer.alive and self._world.now_s() < give_up_s:
            await asyncio.sleep(period_s)
            if ready():
                return

    def _seen(self) -> bool:
        now_ms = self._simulator.now_ms()
        return now_ms >= WALL_MS + round(_SECONDS * 1000) and self._order.shown(self._so_far(now_ms))

    def _changed(self) -> tuple[int, int]:
        feeds = self._service._feeds
        return sum(feed.reconnects for feed in feeds), sum(feed.rollovers for feed in feeds)

    def _so_far(self, asked_ms: int) -> Run:
        hits: dict[str, int] = {}
        for entry in self._simulator._tally.listed():
            hits[entry["kind"]] = hits.get(entry["kind"], 0) + entry["fired"]
        reconnects, rollovers = self._changed()
        publisher: Records = self._service._publisher
        return Run(
            self._order.exchange,
            self._order.flags,
            WALL_MS,
            asked_ms,
            publisher.taken,
            publisher.letters,
            hits,
            reconnects,
            rollovers,
            self._simulator.asked(),
            self._order.markets,
        )


def _caught_up(run: Run) -> bool:
    """Whether the producer has all trades and bars of the market, which has stopped."""
    for symbol in run.symbols:
        newest, trades, bars = run.newest_trade(symbol, run.asked_ms), run.trades(symbol), run.bars(symbol)
        ids = {trade["trade_id"] for trade in trades}
        whole = bool(ids) and max(ids) >= newest and len(ids) == newest - min(ids) + 1
        if not whole or max((bar["open_time_ms"] for bar in bars), default=0) < run.asked_ms - 4_000:
            return False
    return True
