"""One producer process: wiring, start-up, periodic work, shutdown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from producers.assignment import Assignment
from producers.clock import Clock
from producers.connection import pacer_of
from producers.dead_letters import SERVICE, Rejections
from producers.effect_runner import EffectRunner
from producers.effects import Effect, ReadTrades
from producers.exchanges.registry import exchange_named
from producers.feed import Feed
from producers.instrument import Instrument
from producers.ledger_writer import MOST_IN_FLIGHT, LedgerWriter
from producers.listings import Listings
from producers.progress import Acknowledged
from producers.progress_reader import ProgressReader
from producers.progress_writer import ProgressWriter
from producers.publisher import REASON, Backpressure, Change, Publisher
from producers.read_back import NOTHING_READ
from producers.start import StartReader, retrying
from producers.start_positions import trades_series
from producers.telemetry import Telemetry
from producers.trade_bases import TradeBases
from shared.background import Background
from shared.command import stop_signals
from shared.errors import (
    BrokerError,
    BrokerUnavailable,
    ExchangeRefused,
    ExchangeUnavailable,
    UnknownSymbol,
)
from shared.interpreter import freeze_gc, give_back
from shared.kafka import KAFKA, KafkaClients
from shared.metrics import METRICS_PERIOD_S, ServiceMetrics
from shared.settings import Settings
from shared.topics import LEDGER, LEDGER_SNAPSHOT, declared_topics

_LOG = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_POLL_S: Final = 0.02
_CLOCK_PERIOD_S: Final = 60.0
# Shutdown takes 10 s at most: 2 for the connection, 1 for the clock, 4 for fills, the rest for Kafka.
_STOP_S: Final = 9.5
_FILLS_S: Final = 4.0
_LAST_CLOCK_S: Final = 1.0
# Brokers that have just come up are slow to take a first record on all partitions.
_MARKERS_S: Final = 30.0
_DAY_MS: Final = 86_400_000


class ProducerService:
    """Owns the sockets and calls the cores."""

    def __init__(
        self,
        settings: Settings,
        assignment: Assignment,
        *,
        kafka: KafkaClients = KAFKA,
        background: Callable[[str], Background] = Background,
    ) -> None:
        """Args: background: makes the worker for blocking calls, by its name."""
        self._settings = settings
        self._kafka = kafka
        self._assignment = assignment
        self._exchange = exchange_named(settings.exchange)
        self._addresses = self._exchange.addresses(settings)
        self._clock = Clock()
        self._metrics = ServiceMetrics(
            SERVICE, metrics_port=settings.metrics_port, metrics_address=settings.metrics_address
        )
        self._publisher = Publisher(
            settings.kafka_bootstrap_servers,
            memory_broker=assignment.memory_broker,
            queue_messages=assignment.queue_messages,
            kafka=kafka,
        )
        self._blocking = background("broker")
        self._backpressure = Backpressure(self._publisher.queue_messages)
        self._rejections = Rejections(
            self._exchange.name, self._publisher.send_dead_letter, self._newest_trade
        )
        share = self._exchange.limits.share(len(assignment.symbols), len(settings.symbols))
        self._rest = self._exchange.rest(
            self._addresses, self._clock.exchange_ms, self._rejections.reject, share
        )
        self._rest.bounds_ms = self._clock.bounds_ms
        self._clock.ask = self._measure_clock
        self._progress = ProgressWriter(self._publisher, self._clock)
        self._publisher.doubt = self._progress.suspect_loss
        self._ledger = LedgerWriter(self._publisher, self._progress)
        self._runner = EffectRunner(
            self._publisher,
            self._rest,
            self._clock,
            self._metrics,
            progress=self._progress,
            rejections=self._rejections,
            distrust=self._distrust,
        )
        self._telemetry = Telemetry(
            self._metrics,
            self._publisher,
            self._rejections,
            rest=self._rest,
            clock=self._clock,
            backpressure=self._backpressure,
            listings=Listings(self._exchange.name, self._exchange.promises),
        )
        self._instruments: dict[str, Instrument] = {}
        # Earlier trades to be read for bars, once all symbols' newest ones have been asked for.
        self._readings: list[tuple[Instrument, ReadTrades]] = []
        self._feeds: list[Feed] = []
        # First subscription to symbols whose trade base an earlier process did not find out.
        self._begun_ms: Mapping[str, int] = {}
        self._metrics.health.unready("start", "waiting for broker, exchange and start slot")
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Carry the streams until SIGTERM, SIGINT or SIGHUP; the exit code.

        Raises:
            CryptoStreamError: an error that retrying cannot fix.
        """
        loop = asyncio.get_running_loop()
        for number in stop_signals():
            loop.add_signal_handler(number, self._stop.set)
        stopped = asyncio.create_task(self._stop.wait())
        starting = asyncio.create_task(self._start())
        try:
            await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                _LOG.warning("stopped before the series began: their gaps were not checked")
                return 0
            starting.result()
            self._metrics.health.ready("start")
            freeze_gc()
            await self._carry(stopped)
            return 0
        finally:
            stopped.cancel()
            await self._rest.close()

    async def _start(self) -> None:
        """Prepare everything that the first event needs."""
        # 1. Broker and topics.
        intervals = self._assignment.intervals
        await self._at_broker(lambda: self._publisher.start(_topics(intervals)))
        # 2. The start slot of this process, among all containers that start now.
        await self._await_turn()
        # 3. The symbols' status, and the exchange's clock.
        symbols, promises = self._assignment.symbols, self._exchange.promises
        statuses = await retrying(lambda: self._rest.statuses(symbols))
        # 4. Start positions.
        start = await StartReader(
            self._settings,
            self._assignment,
            self._exchange,
            self._rest,
            kafka=self._kafka,
            publisher=self._publisher,
            progress=self._progress,
            rejections=self._rejections,
            broker=self._blocking,
        ).read()
        self._begun_ms = start.begun_ms
        give_back()
        await retrying(self._measure_clock)
        # 5. The cores begin; gaps are requested while the streams are opened.
        for symbol in symbols:
            instrument = Instrument(
                self._exchange.name,
                symbol,
                intervals,
                book_interval_ms=self._settings.book_interval_ms,
                warmup_bars=self._settings.warmup_bars,
                pace=self._exchange.limits.probe_pace(max(len(self._settings.symbols), len(symbols))),
                promises=promises,
            )
            self._instruments[symbol] = instrument
            instrument.uncarried_before = start.uncarried.get(symbol, ())
            self._runner.register(instrument, intervals)
            self._receive_status(instrument, statuses[symbol])
            instrument.receive_recorded_halts(self._rest.recorded_halts.get(symbol, ()))
            raised = instrument.begin(
                start.positions,
                self._clock.exchange_ms(),
                now_s=time.monotonic(),
                read_back=start.read_back.get(symbol, NOTHING_READ),
            )
            if symbol in self._begun_ms or trades_series(self._exchange.name, symbol) not in start.positions:
                instrument.await_trade_base()
            self._runner.run(instrument, self._put_off(instrument, raised))
            # Gaps known now: encoded, thousands of events take less memory than with the instrument.
            self._ledger.write(((instrument, instrument.tick()),))
        plans = self._exchange.connections(self._addresses, symbols, intervals)
        pacer = pacer_of(plans[0]) if plans else None
        self._feeds = [
            Feed(
                replace(plan, listed=self._rest.listed),
                self._exchange,
                instruments=self._instruments,
                runner=self._runner,
                metrics=self._metrics,
                clock=self._clock,
                connection_age_s=self._assignment.connection_age_s,
                pacer=pacer,
            )
            for plan in plans
        ]

    async def _carry(self, stopped: asyncio.Task[bool]) -> None:
        """Run until stopped, or until a part fails for good."""
        feeds = [asyncio.create_task(feed.run()) for feed in self._feeds]
        bases = TradeBases(
            self._rest,
            self._runner,
            self._clock,
            self._instruments,
            self._begun_ms,
            asked=self._read_earlier,
        )
        finding = asyncio.create_task(bases.find(lambda: all(feed.carrying for feed in self._feeds)))
        others = [
            asyncio.create_task(work)
            for work in (self._poll(), self._each_second(), self._watch_exchange(), self._prove())
        ]
        try:
            done, _ = await asyncio.wait((stopped, *feeds, *others), return_when=asyncio.FIRST_COMPLETED)
            failure = next((error for task in done - {stopped} if (error := task.exception())), None)
            if not isinstance(failure, BrokerError):
                await self._end(feeds, (finding, *others[1:]))
            if failure is not None:
                raise failure
        finally:
            for task in (*feeds, *others, finding):
                task.cancel()
            await asyncio.gather(*feeds, *others, finding, return_exceptions=True)

    def _put_off(self, instrument: Instrument, effects: Sequence[Effect]) -> list[Effect]:
        """The effects but for readings of earlier trades, which `_read_earlier` starts.

        An exchange that grants a request in two seconds would otherwise say one symbol's newest trade after
        pages of another, and each newest trade twice.
        """
        self._readings += [(instrument, effect) for effect in effects if isinstance(effect, ReadTrades)]
        return [effect for effect in effects if not isinstance(effect, ReadTrades)]

    def _read_earlier(self, newest: Mapping[str, int]) -> None:
        """Start what was put off, with the newest trades that REST has just said."""
        readings, self._readings = self._readings, []
        for instrument, reading in readings:
            self._runner.run(instrument, [reading._replace(newest=newest.get(instrument.symbol))])

    async def _end(self, feeds: Sequence[asyncio.Task[None]], timers: Sequence[asyncio.Task[None]]) -> None:
        deadline = time.monotonic() + _STOP_S
        # 1. Stop reading; what was received is still published.
        for task in timers:
            task.cancel()
        await asyncio.gather(*(feed.stop() for feed in self._feeds))
        await asyncio.wait(feeds, timeout=1.0)
        # 2. Let fills in flight finish.
        await self._last_probe()
        await self._runner.repairs.finish(_FILLS_S)
        # 3. Enter into the ledger what was issued, and what is unknown; flush.
        for instrument in self._instruments.values():
            instrument.end(self._clock.message_ms(), self._clock.exchange_ms())
        await self._deliver(deadline - 1.0)
        # 4. Enter what is entered once it is delivered and, as the last of all, that the producer stops.
        for instrument in self._instruments.values():
            instrument.stop(self._clock.exchange_ms())
        await self._deliver(deadline - 0.5)
        # 5. Only now may progress say that no record follows it.
        self._progress.write_final()
        await self._publisher.flush(deadline - time.monotonic())
        _LOG.info("stopped: %d records delivered", self._publisher.delivered)

    async def _deliver(self, deadline: float) -> None:
        """Send the ledger events of now, and wait until Kafka has everything."""
        self._write_ledger()
        self._ledger.send_queued(most=self._ledger.undelivered)
        left = await self._publisher.flush(deadline - time.monotonic())
        if left:
            raise BrokerUnavailable(
                f"{left} records were not delivered to {self._settings.kafka_bootstrap_servers} in time;"
                " the next start gets them from the exchange again"
            )

    async def _last_probe(self) -> None:
        """Fetch what the exchange has and did not send; a replay has no clock to measure."""
        if self._clock.replay_ms is None:
            with suppress(TimeoutError, ExchangeUnavailable, ExchangeRefused):
                await asyncio.wait_for(self._measure_clock(), _LAST_CLOCK_S)
        now_s, exchange_ms, now_ms = time.monotonic(), self._clock.last_ms(), self._clock.message_ms()
        for instrument in self._instruments.values():
            self._runner.run(instrument, instrument.last_probe(now_s, exchange_ms, now_ms))

    async def _await_turn(self) -> None:
        deployed, first = self._settings.symbols, self._assignment.symbols[0]
        position = deployed.index(first) if first in deployed else 0
        delay_s = self._exchange.limits.start_delay_s(
            position, self._assignment.intervals, self._settings.warmup_bars
        )
        if delay_s:
            _LOG.info("starting in %.1f s, after the symbols before %s", delay_s, first)
            await asyncio.sleep(delay_s)

    async def _at_broker(self, ask: Callable[[], Answer]) -> Answer:
        """Run a blocking call in a thread of its own; a stop does not wait for it."""
        return await asyncio.wrap_future(self._blocking.submit(ask))

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            self._publisher.poll()
            if not self._publisher.congested:
                self._send_ledger()
            self._runner.repairs.check()

    async def _prove(self) -> None:
        """After the broker was away, verify that it still has what it had acknowledged.

        Raises:
            BrokerError: it does not; the next start finds and repairs the gap.
        """
        delivered = 0
        while True:
            await asyncio.sleep(METRICS_PERIOD_S)
            before, delivered = delivered, self._publisher.delivered
            unverified = self._progress.unverified
            if not unverified or delivered <= before:
                continue  # nothing to verify, or the broker is still away
            try:
                lost = await self._at_broker(partial(self._contradicted, unverified))
            except BrokerUnavailable as error:
                _LOG.warning("%s; its acknowledged records are verified later", error)
                continue
            if lost:
                raise BrokerError(
                    f"Kafka at {self._settings.kafka_bootstrap_servers} has lost records of {', '.join(lost)}"
                    " that it had acknowledged; the next start brings them again"
                )
            self._progress.verified(len(unverified))

    def _contradicted(self, unverified: Sequence[Acknowledged]) -> list[str]:
        """Series, and partitions of the ledger topic, of which Kafka has lost something. Blocking."""
        with closing(ProgressReader(self._settings.kafka_bootstrap_servers, self._kafka)) as reader:
            lost = {series for before in unverified for series in reader.contradicted(before.series)}
            parts = {part for before in unverified for part in reader.lost_events(before.ledger)}
            return [*sorted(lost), *(f"{LEDGER} partition {partition}" for partition in sorted(parts))]

    async def _each_second(self) -> None:
        while True:
            await asyncio.sleep(METRICS_PERIOD_S)
            if not self._publisher.congested:
                # While congested the events stay with the instruments, joined to ranges.
                self._write_ledger()
                self._retry()
                if not self._backpressure.active:
                    self._watch()
            for feed in self._feeds:
                feed.check()
            self._check_queue()
            self._telemetry.publish(self._instruments.values(), self._feeds)

    def _send_ledger(self) -> None:
        """Send ledger events before a second of fills gathers tens of thousands of them."""
        if sum(instrument.pending_events for instrument in self._instruments.values()) > MOST_IN_FLIGHT:
            self._write_ledger()
        else:
            self._ledger.send_queued()

    def _write_ledger(self) -> None:
        self._ledger.write((instrument, instrument.tick()) for instrument in self._instruments.values())

    def _retry(self) -> None:
        for instrument in self._instruments.values():
            effects = instrument.retry(self._clock.message_ms(), time.monotonic())
            self._runner.run(instrument, effects)

    def _watch(self) -> None:
        now_s, exchange_ms, now_ms = time.monotonic(), self._clock.exchange_ms(), self._clock.message_ms()
        least_ms = self._clock.least_ms()
        for feed in self._feeds:
            to_s = feed.brought_to_s(now_s)
            brought_to_ms = None if to_s is None else least_ms - round((now_s - to_s) * 1000)
            for symbol in feed.symbols:
                instrument = self._instruments[symbol]
                effects = instrument.watch(
                    now_s, exchange_ms, now_ms, feed.trouble, brought_to_ms=brought_to_ms
                )
                self._runner.run(instrument, effects)
                self._telemetry.log_uncarried(instrument)

    def _check_queue(self) -> None:
        match self._backpressure.step(self._publisher.congested_s, self._publisher.outstanding):
            case Change.SUSPEND:
                _LOG.warning(
                    "%s (%d queued): exchange paused, gap will be backfilled",
                    REASON,
                    self._publisher.outstanding,
                )
                for feed in self._feeds:
                    feed.suspend(REASON)
            case Change.RESUME:
                _LOG.warning("Kafka accepts records again; connecting to the exchange")
                for feed in self._feeds:
                    feed.resume()

    async def _watch_exchange(self) -> None:
        """Measure the clock each minute, and read the symbols' status at this process's share of the budget.

        A refusal does not end the service: the streams may still be served.
        """
        symbols = max(len(self._settings.symbols), len(self._instruments))
        period_s = self._exchange.limits.status_period_s(symbols)
        looked_at = time.monotonic()
        while True:
            await self._a_minute_or_a_step()
            # Snapshots of books and answers of REST come and go: of four of Coinbase's books 19 MB stayed.
            give_back()
            try:
                await self._measure_clock()
                if time.monotonic() - looked_at >= period_s - _CLOCK_PERIOD_S / 2:
                    looked_at = time.monotonic()
                    found = await self._rest.listed_statuses(tuple(self._instruments))
                    for symbol, instrument in self._instruments.items():
                        self._receive_status(instrument, found.get(symbol, "DELISTED"))
            except (ExchangeUnavailable, ExchangeRefused, UnknownSymbol) as error:
                _LOG.warning("%s; asking again in a minute", error)

    async def _a_minute_or_a_step(self) -> None:
        """Wait for a minute, or until the host's clock was set, or the host has slept."""
        until_s = time.monotonic() + _CLOCK_PERIOD_S
        while time.monotonic() < until_s:
            await asyncio.sleep(METRICS_PERIOD_S)
            if self._clock.stepped():
                _LOG.warning(
                    "this host's clock was set, or the host has slept; measuring the exchange's clock"
                )
                return

    def _newest_trade(self, symbol: str) -> int | None:
        instrument = self._instruments.get(symbol)
        return None if instrument is None else instrument.newest_trade

    def _receive_status(self, instrument: Instrument, status: str) -> None:
        was_halted = instrument.halted
        instrument.receive_status(status, self._clock.exchange_ms())
        if instrument.halted != was_halted:
            _LOG.warning("%s: the exchange says %s", instrument.symbol, status)

    def _distrust(self, symbol: str, kind: str, reason: str) -> None:
        _LOG.warning("%s %s: %s", symbol, kind, reason)
        for feed in self._feeds:
            feed.distrust(symbol, kind, reason)

    async def _measure_clock(self) -> None:
        sent_ms = self._clock.steady_ms()
        server_time_ms = await self._rest.time_ms()
        self._clock.receive(sent_ms, server_time_ms)


def _topics(intervals: Sequence[str]) -> frozenset[str]:
    """The topics that a producer writes."""
    return frozenset(
        topic.name
        for topic in declared_topics(intervals)
        if not topic.name.startswith("pipeline.indicator-state") and topic.name != LEDGER_SNAPSHOT
    )
