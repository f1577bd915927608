"""What each process of a simulated deployment runs: the exchange, the producer, and a consumer of one stream.

They are made as production makes them, with clients, store and workers of the simulated world.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consumers.assembly import Assembly
from consumers.indicators.registry import indicator_set
from consumers.rejoin import consume
from consumers.streams import Stream, streams
from producers.assignment import Assignment
from producers.service import ProducerService
from shared.kafka import KafkaClients
from shared.metrics import ServiceMetrics
from shared.settings import Settings
from simulator.faults.market import halts_by_symbol, listed_by_symbol, restarts_by_symbol
from simulator.faults.script import Fault, parse_script
from simulator.protocols.registry import EXCHANGES
from simulator.server.app import Simulator, SimulatorOptions
from simulator.server.connection import ConnectionRules
from tests.simulation.disturbances import ExchangeFault, Rollovers
from tests.simulation.schedule import INTERVALS, Schedule
from tests.simulation.store import MemoryDatabase, MemoryReader, MemoryStore
from tests.simulation.tasks import Background, Event

EXCHANGE: Final = "binance"
PORT: Final = 9_000
# So old are the symbols: the day before, which REST's ticker sums, is drawn trade by trade.
_LISTED_MS: Final = 3_600_000
_BROKER: Final = "broker.simulated:9092"
# In the place of a fault that was left out: a fault's place is part of its draws.
_NEVER: Final = "skip:at=1000000"


def faults_of(schedule: Schedule) -> tuple[Fault, ...]:
    """The exchange's faults, each at its place."""
    flags = {each.index: each.flag for each in schedule.of(ExchangeFault)}
    all_of_them = [flags.get(index, _NEVER) for index in range(max(flags, default=-1) + 1)]
    return parse_script(None, all_of_them, EXCHANGES[EXCHANGE].dialect.scope).faults


def simulator_of(schedule: Schedule, log: Path) -> Simulator:
    """The exchange, which begins when somebody listens."""
    faults, start_ms, symbols = faults_of(schedule), schedule.start_ms, schedule.symbols
    world = EXCHANGES[EXCHANGE].world(
        symbols,
        schedule.market_seed,
        start_ms,
        schedule.rate,
        clock_start_ms=start_ms,
        halts=halts_by_symbol(faults, schedule.seed, start_ms, symbols),
        listed_ms={
            **dict.fromkeys(symbols, start_ms - _LISTED_MS),
            **listed_by_symbol(faults, start_ms, symbols),
        },
        trade_restarts_ms=restarts_by_symbol(faults, start_ms, symbols, "trade"),
        update_restarts_ms=restarts_by_symbol(faults, start_ms, symbols, "depth"),
    )
    rules = ConnectionRules()
    for rollovers in schedule.of(Rollovers):
        rules = ConnectionRules(age=rollovers.age_s, announce_shutdown=True, shutdown_lead=rollovers.lead_s)
    options = SimulatorOptions(
        port=PORT, log=log, rules=rules, faults=faults, fault_seed=schedule.seed, hold=1
    )
    return Simulator(world, options, on_failure=_fail)


def _fail(error: BaseException) -> None:
    raise AssertionError(f"the simulated market has stopped: {error!r}") from error


async def exchange(simulator: Simulator) -> int:
    """`python -m simulator`."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await simulator.start()
    await stop.wait()
    await simulator.stop()
    return 0


def settings_of(schedule: Schedule) -> Settings:
    """Of the producer and the consumers."""
    return Settings(
        exchange=EXCHANGE,
        symbols=schedule.symbols,
        intervals=INTERVALS,
        indicators=("all",),
        binance_rest_url=f"http://127.0.0.1:{PORT}",
        binance_history_url=f"http://127.0.0.1:{PORT}",
        binance_ws_url=f"ws://127.0.0.1:{PORT}",
        kafka_bootstrap_servers=_BROKER,
        warmup_bars=schedule.warmup_bars,
    )


def producer(settings: Settings, kafka: KafkaClients) -> Callable[[], Coroutine[Any, Any, int]]:
    """`python -m producers`."""
    assignment = Assignment(settings.symbols, settings.intervals)
    return lambda: ProducerService(settings, assignment, kafka=kafka, background=Background).run()


@dataclass(frozen=True, slots=True)
class Consuming:
    """`python -m consumers` for one stream.

    Attributes:
        instance: its stable name among replicas.
        stop: set by SIGTERM.
    """

    settings: Settings
    stream: Stream
    kafka: KafkaClients
    database: MemoryDatabase
    instance: str
    stop: Event

    def run(self) -> int:
        """Blocking; 0 after an orderly stop."""
        assembly = Assembly(
            self.settings,
            indicator_set(self.settings.indicators),
            lambda: MemoryReader(self.database),
            instance=self.instance,
            kafka=self.kafka,
            background=Background,
        )
        assembly.require_broker((self.stream,))
        sender = assembly.producer()
        metrics = ServiceMetrics(self.stream.service, self.instance)
        store = MemoryStore(self.database)
        consume(
            self.stream.label,
            lambda: assembly.consumer(self.stream, self.stop, producer=sender, store=store, metrics=metrics),
            self.stop,
            metrics.health,
        )
        return 0


def stream_of(label: str) -> Stream:
    """The stream with this label, like `klines.1s`."""
    return next(
        stream
        for stream in streams(
            ("klines", "trades", "book", "quotes", "ledger"), INTERVALS, memory_broker=False
        )
        if stream.label == label
    )
