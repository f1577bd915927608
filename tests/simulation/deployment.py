"""A simulated deployment: its processes, a supervisor that starts them again, and what is done to them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from shared.errors import CryptoStreamError, ExchangeRefused, UnknownSymbol
from shared.kafka import KafkaClients
from shared.topics import DEFAULT_PARTITIONS, declared_topics
from simulator.server.app import Simulator
from tests.simulation import services
from tests.simulation.disturbances import (
    Away,
    ClockStep,
    Disturbance,
    ExchangeFault,
    Kill,
    Member,
    PowerCut,
    SlowNetwork,
    Stop,
)
from tests.simulation.kafka.broker import Broker
from tests.simulation.kafka.clients import ProcessClients
from tests.simulation.network import Weather
from tests.simulation.processes import Process
from tests.simulation.schedule import CONSUMERS, INTERVALS, PRODUCER, Schedule
from tests.simulation.store import MemoryDatabase
from tests.simulation.tasks import Event
from tests.simulation.trace import Trace
from tests.simulation.world import World

_EXCHANGE: Final = "exchange"
_LEDGER: Final = "ledger"
# As a container platform does without backoff.
_RESTART_S: Final = (0.1, 1.0)
# The platform's patience with a stop.
_STOP_S: Final = 15.0
# After so long the beginning of everything is on the broker's disk.
_WRITTEN_S: Final = 1.5
# Consumers that are told to end take this long at most, with their store or not (`consumers.process`).
_CONSUMER_STOP_S: Final = 9.5


class Deployment:
    """All processes, the broker and the store of one run.

    Attributes:
        happened: kinds of disturbances that did something.
        exits: ends of processes that nobody asked for and no outage excuses.
        simulator: the exchange.
        after_cut: called after a power cut.
    """

    def __init__(self, schedule: Schedule, world: World, trace: Trace, log: Path) -> None:
        self._schedule = schedule
        self._world = world
        self._trace = trace
        self._log = log
        self._settings = services.settings_of(schedule)
        self._running: dict[str, Process] = {}
        self._wanted: set[str] = set()
        # The next start comes so much later than usual, after an end that was made.
        self._away_s: dict[str, float] = {}
        self._supervising: set[asyncio.Task[None]] = set()
        self._outages = 0
        self._refuses = any(fault.flag.startswith("rest_4xx") for fault in schedule.of(ExchangeFault))
        self._begun_s = world.now_s()
        self.broker = Broker(world)
        self.database = MemoryDatabase(world.random, self._travel)
        self.happened: list[str] = []
        self.exits: list[str] = []
        self.after_cut: Callable[[], None] = _nothing
        self.simulator: Simulator | None = None

    def _travel(self, seconds: float) -> None:
        """The harness, which is no process, reads the store at once."""
        if self._world.greenlets.inside:
            self._world.wait(_never, seconds)

    # -- starting and ending ---------------------------------------------------------------------------

    def start(self) -> None:
        """Declare the topics and start everything."""
        for topic in declared_topics(INTERVALS):
            self.broker.create_topic(topic.name, DEFAULT_PARTITIONS, topic.config())
        for name in (_EXCHANGE, *CONSUMERS, PRODUCER):
            self._want(name)

    def _want(self, name: str) -> None:
        self._wanted.add(name)
        self._begin(name)

    def _begin(self, name: str) -> None:
        process = self._running[name] = self._world.process(name)
        self._trace.line(self._world.now_s(), name, "starts")
        if name == _EXCHANGE:
            simulator = self.simulator = services.simulator_of(self._schedule, self._log)
            process.run(lambda: services.exchange(simulator))
        else:
            kafka = ProcessClients(self.broker)
            process.at_death.append(kafka.die)
            if name == PRODUCER:
                process.run(services.producer(self._settings, kafka.clients))
            else:
                self._consume(name, process, kafka.clients)
        task = asyncio.get_running_loop().create_task(self._supervise(name, process))
        self._supervising.add(task)
        task.add_done_callback(self._supervising.discard)

    def _consume(self, name: str, process: Process, kafka: KafkaClients) -> None:
        label, _, instance = name.partition("#")
        stop = Event()

        def told() -> None:
            stop.set()
            self._world.later(_CONSUMER_STOP_S, lambda: process.signal(signal.SIGKILL))

        process.context.run(asyncio.get_running_loop().add_signal_handler, signal.SIGTERM, told)
        consuming = services.Consuming(
            self._settings, services.stream_of(label), kafka, self.database, instance or "0", stop
        )
        process.block(consuming.run)

    async def _supervise(self, name: str, process: Process) -> None:
        await process.exited.wait()
        code, failure = process.exit_code, process.failure
        self._trace.line(
            self._world.now_s(), name, f"ended with {code}" + (f": {failure}" if failure else "")
        )
        if failure is not None and not self._excused(process):
            self.exits.append(f"{name}: {type(failure).__name__}: {failure}")
        if name in self._wanted and process is self._running.get(name):
            delay_s = self._away_s.pop(name, 0.0) or self._world.random.uniform(*_RESTART_S)
            await asyncio.sleep(delay_s)
            if name in self._wanted:
                self._begin(name)

    async def stop(self, *names: str) -> list[str]:
        """SIGTERM; one line for each that did not end cleanly in time."""
        found = [(name, self._running[name]) for name in names if self._running[name].alive]
        self._wanted.difference_update(names)
        for _, process in found:
            process.signal(signal.SIGTERM)
        deadline = self._world.now_s() + _STOP_S
        for _, process in found:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.exited.wait(), deadline - self._world.now_s())
        return [
            f"{name} had to be killed" if process.alive else f"{name} ended with {process.exit_code}"
            for name, process in found
            if process.exit_code != 0 and not self._excused(process)
        ]

    def _excused(self, process: Process) -> bool:
        """A broker that lost a client's records takes no more of it: its next may be that of its stop.

        A producer that starts while the exchange refuses to list the symbols, or says that it does not know
        them, ends, and is started again by whoever supervises it. Later a refusal must end nothing.
        """
        failure = process.failure
        if isinstance(failure, UnknownSymbol | ExchangeRefused) and self._refuses:
            return str(failure).startswith("SYMBOLS: ") or "/exchangeInfo: " in str(failure)
        return self._outages > 0 and isinstance(failure, CryptoStreamError)

    async def stop_services(self) -> list[str]:
        """End the services in data-flow order; one line for each that did not end cleanly."""
        for process in self._running.values():
            process.last_step = None
        unclean = await self.stop(PRODUCER)
        unclean += await self.stop(*(name for name in self._running if name.partition("#")[0] in _DATA))
        return unclean + await self.stop(*(name for name in self._running if name.startswith(_LEDGER)))

    async def stop_exchange(self) -> None:
        """So that its log is complete."""
        await self.stop(_EXCHANGE)

    async def freeze(self) -> int:
        """Stop the market; its last instant in ms. On return all issued records have been sent."""
        assert self.simulator is not None
        loop, context = asyncio.get_running_loop(), self._running[_EXCHANGE].context
        return await loop.create_task(self.simulator.freeze(), context=context)

    # -- disturbances ----------------------------------------------------------------------------------

    def disturb(self, disturbance: Disturbance, after_s: float) -> None:
        """Let a disturbance happen at its time.

        Args:
            after_s: how long ago the exchange began.
        """
        match disturbance:
            case Kill():
                self._at(disturbance.at_s - after_s, lambda: self._kill(disturbance))
            case Stop(process, at_s, away_s):
                self._at(at_s - after_s, lambda: self._stop(process, away_s))
            case Away("broker", at_s, seconds):
                self._at(at_s - after_s, lambda: self._broker_away(seconds, cut=False))
            case Away(_, at_s, seconds):
                self._at(at_s - after_s, lambda: self._store_away(seconds))
            case PowerCut(at_s, away_s):
                self._at(at_s - after_s, lambda: self._broker_away(away_s, cut=True))
            case Member(stream, at_s, until_s):
                self._at(at_s - after_s, lambda: self._join(stream, until_s - at_s))
            case ClockStep(process, at_s, until_s, seconds):
                self._at(at_s - after_s, lambda: self._step_clock(process, seconds, until_s - at_s))
            case SlowNetwork(latency_s):
                self._world.network.weather = replace(Weather(), most_s=latency_s, jitter_s=latency_s / 4)
            case _:
                return  # the exchange's own

    def _at(self, delay_s: float, call: Callable[[], None]) -> None:
        self._world.later(max(delay_s, 0.0), call)

    def _did(self, kind: str, text: str) -> None:
        self.happened.append(kind)
        self._trace.line(self._world.now_s(), "harness", text)

    def _kill(self, kill: Kill) -> None:
        process = self._running.get(kill.process)
        if process is None or not process.alive:
            return
        self._did("kill", f"kills {kill.process} in {kill.step} steps")
        self._away_s[kill.process] = kill.away_s
        process.last_step, process.dies_s = process.steps + kill.step, kill.dies_s

    def _stop(self, name: str, away_s: float) -> None:
        process = self._running.get(name)
        if process is None or not process.alive:
            return
        self._did("stop", f"stops {name}")
        self._away_s[name] = away_s
        process.signal(signal.SIGTERM)

    def _broker_away(self, seconds: float, *, cut: bool) -> None:
        self._outages += 1
        self._did("power-cut" if cut else "broker-away", "the broker goes")
        if cut:
            # What says that the series have begun was written out: of it nobody else has a copy.
            self.broker.cut(max(self._world.now_s() - self._begun_s - _WRITTEN_S, 0.0))
            self.after_cut()
        else:
            self.broker.stop()
        self._at(seconds, self._broker_back)

    def _broker_back(self) -> None:
        self._trace.line(self._world.now_s(), "harness", "the broker comes")
        self.broker.start()

    def _store_away(self, seconds: float) -> None:
        self._outages += 1
        self._did("store-away", "the store goes")
        self.database.away = True
        self._at(seconds, self._store_back)

    def _store_back(self) -> None:
        self._trace.line(self._world.now_s(), "harness", "the store comes")
        self.database.away = False

    def _join(self, stream: str, seconds: float) -> None:
        name = f"{stream}#1"
        if name in self._running and self._running[name].alive:
            return
        self._did("member", f"{name} joins")
        asyncio.get_running_loop().call_soon(self._want, name)
        self._at(seconds, lambda: self._leave(name))

    def _leave(self, name: str) -> None:
        self._trace.line(self._world.now_s(), "harness", f"{name} leaves")
        self._wanted.discard(name)
        self._running[name].signal(signal.SIGTERM)

    def _step_clock(self, name: str, seconds: float, for_s: float) -> None:
        process = self._running.get(name)
        if process is None or not process.alive:
            return
        self._did("clock-step", f"the clock of {name} is set by {seconds:g} s")
        process.step_clock(seconds)
        self._at(for_s, lambda: process.step_clock(-seconds))


_DATA: Final = frozenset(CONSUMERS) - {_LEDGER}


def _never() -> bool:
    return False


def _nothing() -> None:
    """Nobody follows the broker."""
