"""One producer process: its parts, its start, its seconds and its end."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

import orjson

from producers.backoff import Backoff
from producers.bearings import SeriesBearings, trades_series
from producers.carriage import Uncarried
from producers.clock import Clock
from producers.exchanges.binance.parse import EXCHANGE
from producers.exchanges.binance.rest import BinanceRest
from producers.exchanges.binance.streams import connections
from producers.exchanges.binance.weight_budget import start_delay_s, starting_weight, status_period_s
from producers.feed import CONNECTION_AGE_S, Feed
from producers.instrument import Instrument
from producers.lookout import pace_of
from producers.outlet import MOST_UNDELIVERED, SERVICE, Outlet
from producers.progress import Progress, ProgressLog
from producers.progress_reader import ProgressReader, Standing
from producers.publisher import Publisher
from producers.repair_mode import REASON, Change, RepairMode
from producers.repairs import Repairs
from producers.trade_bases import TradeBases
from shared.background import Background
from shared.errors import (
    BrokerError,
    BrokerUnavailable,
    ExchangeRefused,
    ExchangeUnavailable,
    UnknownSymbol,
)
from shared.health import SILENT_BROKER_S
from shared.interpreter import give_back, spare_the_collector
from shared.metrics import METRICS_PERIOD_S, ServiceMetrics
from shared.settings import Settings
from shared.stop_signals import stop_signals
from shared.topics import LEDGER_SNAPSHOT, METRICS, declared_topics
from shared.trade_ids import EPOCH_SPAN, split

_LOG = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_POLL_S: Final = 0.02
_CLOCK_PERIOD_S: Final = 60.0
# The whole end takes 10 s at most: 2 for the connection, 1 for the clock, 4 for fills, the rest for Kafka.
_STOP_S: Final = 9.5
_FILLS_S: Final = 4.0
_LAST_CLOCK_S: Final = 1.0
# Brokers of which most have just come up take their time for a first record on all of them.
_MARKERS_S: Final = 30.0
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a producer process carries, and how.

    Attributes:
        bearings: where its series stand, in place of the progress topic; None to use that.
        stored: where they stand by the store, for those of which Kafka has nothing.
        queue_messages: bound of the queue to Kafka; None for the usual one.
        connection_age_s: after how long a connection is replaced; see `Feed`.
    """

    symbols: Sequence[str]
    intervals: Sequence[str]
    bearings: Mapping[str, SeriesBearings] | None = None
    memory_broker: bool = False
    stored: Mapping[str, SeriesBearings] = field(default_factory=dict)
    queue_messages: int | None = None
    connection_age_s: float = CONNECTION_AGE_S


class ProducerService:
    """Owns the sockets and calls the cores."""

    def __init__(self, settings: Settings, assignment: Assignment) -> None:
        self._settings = settings
        self._assignment = assignment
        self._clock = Clock()
        self._metrics = ServiceMetrics(
            SERVICE, metrics_port=settings.metrics_port, metrics_address=settings.metrics_address
        )
        self._publisher = Publisher(
            settings.kafka_bootstrap_servers,
            memory_broker=assignment.memory_broker,
            queue_messages=assignment.queue_messages,
        )
        self._blocking = Background("broker")
        self._repair_mode = RepairMode(self._publisher.queue_messages)
        self._outlet = Outlet(EXCHANGE, self._publisher, self._metrics, self._clock)
        self._rest = BinanceRest(
            settings.binance_rest_url, settings.history_url(), self._clock.exchange_ms, self._outlet.reject
        )
        self._rest.bounds_ms = self._clock.bounds_ms
        self._clock.ask = self._measure_clock
        self._repairs = Repairs(self._rest, self._outlet, self._clock, self._distrust)
        self._outlet.start = self._repairs.start
        self._instruments: dict[str, Instrument] = {}
        self._feeds: list[Feed] = []
        # Symbols whose trades an earlier process has begun to listen to, and none of which knows where.
        self._begun_ms: dict[str, int] = {}
        self._counted = 0
        self._uncarried: dict[str, list[Uncarried]] = {}  # by symbol, as last logged
        self._doubted = 0  # errors of Kafka that are known
        self._acknowledged = (0, time.monotonic())  # records, and when the count last rose
        self._metrics.health.unready("start", "waiting for the broker, the exchange and our turn")
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Carry the streams until SIGTERM, SIGINT or SIGHUP; the exit code.

        Raises:
            CryptoStreamError: what cannot be mended here.
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
                _LOG.warning("stopped before the series began: what they have missed was not looked at")
                return 0
            starting.result()
            self._metrics.health.ready("start")
            spare_the_collector()
            await self._carry(stopped)
            return 0
        finally:
            stopped.cancel()
            await self._rest.close()

    async def _start(self) -> None:
        """Everything that must be known before the first event."""
        # 1. Broker and topics.
        intervals = self._assignment.intervals
        await self._at_broker(lambda: self._publisher.start(_topics(intervals)))
        # 2. Our turn among all the containers that start now.
        await self._await_turn()
        # 3. Symbols, as the exchange knows them, and its clock.
        symbols = self._assignment.symbols
        statuses = await self._patiently(lambda: self._rest.statuses(symbols))
        # 4. Where each series stands.
        bearings = await self._bearings()
        give_back()
        await self._patiently(self._measure_clock)
        # 5. The cores begin; what they miss is asked for while the streams are opened.
        for symbol in symbols:
            instrument = Instrument(
                EXCHANGE,
                symbol,
                intervals,
                book_interval_ms=self._settings.book_interval_ms,
                warmup_bars=self._settings.warmup_bars,
                pace=pace_of(max(len(self._settings.symbols), len(symbols))),
            )
            self._instruments[symbol] = instrument
            self._outlet.carry(instrument, intervals)
            self._receive_status(instrument, statuses[symbol])
            instrument.receive_recorded_halts(self._rest.recorded_halts.get(symbol, ()))
            raised = instrument.begin(bearings, self._clock.exchange_ms(), now_s=time.monotonic())
            if symbol in self._begun_ms or trades_series(EXCHANGE, symbol) not in bearings:
                instrument.await_trade_base()
            self._outlet.perform(instrument, raised)
            # What is known to be missing now: thousands of events are smaller there than with the instrument.
            self._outlet.settle(((instrument, instrument.tick()),))
        self._feeds = [
            Feed(
                self._settings.binance_ws_url,
                streams,
                instruments=self._instruments,
                outlet=self._outlet,
                metrics=self._metrics,
                clock=self._clock,
                connection_age_s=self._assignment.connection_age_s,
            )
            for streams in connections(symbols, intervals)
        ]

    async def _carry(self, stopped: asyncio.Task[bool]) -> None:
        """Run until stopped, or until a part fails with what cannot be mended."""
        feeds = [asyncio.create_task(feed.run()) for feed in self._feeds]
        bases = TradeBases(self._rest, self._outlet, self._clock, self._instruments, self._begun_ms)
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

    async def _end(self, feeds: Sequence[asyncio.Task[None]], timers: Sequence[asyncio.Task[None]]) -> None:
        deadline = time.monotonic() + _STOP_S
        # 1. Stop reading; what was received is still published.
        for task in timers:
            task.cancel()
        await asyncio.gather(*(feed.stop() for feed in self._feeds))
        await asyncio.wait(feeds, timeout=1.0)
        # 2. Let the fills in flight end.
        await self._look_for_the_last_time()
        await self._repairs.finish(_FILLS_S)
        # 3. Say what has been issued, what is unknown and that we end, and wait for the broker.
        for instrument in self._instruments.values():
            instrument.end(self._clock.message_ms(), self._clock.exchange_ms())
            instrument.stop(self._clock.exchange_ms())
        self._settle()
        self._outlet.say_on(most=self._outlet.unsaid)
        left = await self._publisher.flush(deadline - time.monotonic() - 1.0)
        if left:
            raise BrokerUnavailable(
                f"{left} records were not delivered to {self._settings.kafka_bootstrap_servers} in time;"
                " the next start gets them from the exchange again"
            )
        # 4. Only now may the progress say that nothing lies above it.
        self._outlet.write_final_progress()
        await self._publisher.flush(deadline - time.monotonic())
        _LOG.info("stopped: %d records delivered", self._publisher.delivered)

    async def _look_for_the_last_time(self) -> None:
        """Ask for what the exchange has and did not send; where its clock stands still there is nothing."""
        if self._clock.replay_ms is None:
            with suppress(TimeoutError, ExchangeUnavailable, ExchangeRefused):
                await asyncio.wait_for(self._measure_clock(), _LAST_CLOCK_S)
        now_s, exchange_ms, now_ms = time.monotonic(), self._clock.last_ms(), self._clock.message_ms()
        for instrument in self._instruments.values():
            self._outlet.perform(instrument, instrument.last_look(now_s, exchange_ms, now_ms))

    async def _await_turn(self) -> None:
        deployed, first = self._settings.symbols, self._assignment.symbols[0]
        position = deployed.index(first) if first in deployed else 0
        delay_s = start_delay_s(
            position, starting_weight(self._assignment.intervals, self._settings.warmup_bars)
        )
        if delay_s:
            _LOG.info("starting in %.1f s, after the symbols before %s", delay_s, first)
            await asyncio.sleep(delay_s)

    async def _patiently(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask until the exchange answers; transient trouble is no reason to end a service."""
        backoff = Backoff(random.random)
        while True:
            try:
                return await ask()
            except ExchangeUnavailable as error:
                delay_s = backoff.failed(error.retry_after or 0.0)
                _LOG.warning("%s; trying again in %.1f s", error, delay_s)
                await asyncio.sleep(delay_s)

    async def _bearings(self) -> Mapping[str, SeriesBearings]:
        """Where each series stands."""
        if self._assignment.bearings is not None or self._assignment.memory_broker:
            return self._assignment.bearings or {}
        # The exchange's own word: no trade that is received from now on can be older.
        server_time_ms = await self._patiently(self._rest.time_ms)
        standing = await self._at_broker(lambda: self._standing(server_time_ms))
        bearings = dict(standing.bearings)
        for symbol, begun_ms in standing.begun_ms.items():
            # Killed with its first trades in hand: the exchange still knows which they were.
            first = await self._first_since(symbol, begun_ms, server_time_ms, standing.bases.get(symbol))
            series = trades_series(EXCHANGE, symbol)
            if first is None:
                self._begun_ms[symbol] = begun_ms  # asked for again, while the streams are read
                continue
            known = bearings.get(series, SeriesBearings(first - 1))
            epoch, _ = split(known.last_id)
            if known.later and split(known.later[-1].last)[0] != epoch:
                continue  # ids have begun anew since; which one was the first before, REST cannot say
            bearings[series] = replace(known, last_id=min(known.last_id, epoch * EPOCH_SPAN + first - 1))
        return bearings

    async def _at_broker(self, ask: Callable[[], Answer]) -> Answer:
        """What a blocking call answers; no stop waits for it, as for a thread of the event loop."""
        return await asyncio.wrap_future(self._blocking.submit(ask))

    async def _first_since(
        self, symbol: str, begun_ms: int, server_time_ms: int, base: int | None
    ) -> int | None:
        """The first trade since a symbol was first listened to; None if nobody says now."""
        if base is not None:
            return base + 1
        try:
            ask = partial(self._rest.first_trade, symbol, begun_ms, server_time_ms + _DAY_MS)
            return await self._patiently(ask)
        except ExchangeRefused as refusal:
            _LOG.warning("%s: it is not known yet where its trades begin: %s", symbol, refusal)
            return None

    def _standing(self, server_time_ms: int) -> Standing:
        """What Kafka has of our series. Blocking."""
        reader = ProgressReader(self._settings.kafka_bootstrap_servers)
        try:
            standing = reader.standing(
                EXCHANGE,
                self._assignment.symbols,
                self._assignment.intervals,
                server_time_ms,
                self._settings.warmup_bars,
                stored=self._assignment.stored,
            )
        finally:
            reader.close()
        for bad in standing.bad:
            self._outlet.put_aside(bad)
        self._outlet.forget_progress(standing.untrue)
        # From now on records may follow: no reader may believe that nothing lies above the progress.
        self._outlet.write_progress(standing.markers)
        self._publisher.flush_now(_MARKERS_S)
        self._outlet.progress = ProgressLog({**standing.progress, **standing.markers}, standing.seen)
        return standing

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            self._publisher.poll()
            if not self._publisher.congested:
                self._say_on()
            if self._publisher.retriable_errors != self._doubted:
                self._doubted = self._publisher.retriable_errors
                self._outlet.doubt()
            self._repairs.check()

    async def _prove(self) -> None:
        """After the broker was away, see that it still has what it had acknowledged.

        Raises:
            BrokerError: it does not: the next start finds out what is missing, and gets it again.
        """
        delivered = 0
        while True:
            await asyncio.sleep(METRICS_PERIOD_S)
            before, delivered = delivered, self._publisher.delivered
            doubtful = self._outlet.doubtful
            if not doubtful or delivered <= before:
                continue  # nothing to prove, or the broker is still away
            try:
                lost = await self._at_broker(partial(self._contradicted, doubtful))
            except BrokerUnavailable as error:
                _LOG.warning("%s; what it still has is looked at later", error)
                continue
            if lost:
                raise BrokerError(
                    f"Kafka at {self._settings.kafka_bootstrap_servers} has lost records of {', '.join(lost)}"
                    " that it had acknowledged; the next start gets them from the exchange again"
                )
            self._outlet.believe(len(doubtful))

    def _contradicted(self, doubtful: Sequence[Mapping[str, Progress]]) -> list[str]:
        """Series of which Kafka has lost something. Blocking."""
        reader = ProgressReader(self._settings.kafka_bootstrap_servers)
        try:
            return sorted({series for reached in doubtful for series in reader.contradicted(reached)})
        finally:
            reader.close()

    async def _each_second(self) -> None:
        while True:
            await asyncio.sleep(METRICS_PERIOD_S)
            if not self._publisher.congested:
                # Else the events stay with the instruments, joined to ranges, until there is room.
                self._settle()
                self._retry()
                if not self._repair_mode.active:
                    self._watch()
            for feed in self._feeds:
                feed.judge()
            self._judge_queue()
            self._publish_metrics()

    def _say_on(self) -> None:
        """Send ledger events before a second of fills has gathered tens of thousands of them."""
        if sum(instrument.untold for instrument in self._instruments.values()) > MOST_UNDELIVERED:
            self._settle()
        else:
            self._outlet.say_on()

    def _settle(self) -> None:
        self._outlet.settle((instrument, instrument.tick()) for instrument in self._instruments.values())

    def _retry(self) -> None:
        for instrument in self._instruments.values():
            effects = instrument.retry(self._clock.message_ms(), time.monotonic())
            self._outlet.perform(instrument, effects)

    def _watch(self) -> None:
        now_s, exchange_ms, now_ms = time.monotonic(), self._clock.exchange_ms(), self._clock.message_ms()
        for feed in self._feeds:
            for symbol in feed.symbols:
                instrument = self._instruments[symbol]
                effects = instrument.watch(now_s, exchange_ms, now_ms, feed.trouble)
                self._outlet.perform(instrument, effects)
                _log_changes(symbol, self._uncarried.get(symbol, ()), instrument.uncarried)
                self._uncarried[symbol] = instrument.uncarried

    def _judge_queue(self) -> None:
        match self._repair_mode.step(self._publisher.congested_s, self._publisher.outstanding):
            case Change.SUSPEND:
                _LOG.warning(
                    "%s: %d wait; the exchange is not read until it does, the hole is then filled over REST",
                    REASON,
                    self._publisher.outstanding,
                )
                for feed in self._feeds:
                    feed.suspend(REASON)
            case Change.RESUME:
                _LOG.warning("Kafka takes records again; connecting to the exchange")
                for feed in self._feeds:
                    feed.resume()

    async def _watch_exchange(self) -> None:
        """Its clock each minute, and the symbols' status as often as all processes together may.

        What it refuses here it may serve elsewhere, the streams above all: no reason to end.
        """
        period_s = status_period_s(max(len(self._settings.symbols), len(self._instruments)))
        looked_at = time.monotonic()
        while True:
            await self._a_minute_or_a_step()
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
                    "this host's clock was set, or the host has slept; asking the exchange for its own"
                )
                return

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

    def _publish_metrics(self) -> None:
        gauge, instruments = self._metrics.gauge, self._instruments.values()
        received = sum(feed.received for feed in self._feeds)
        self._metrics.count(received - self._counted)
        self._counted = received
        pending = sum(instrument.pending_fills for instrument in instruments)
        gauge("pending_fills", pending)
        gauge("warm", float(pending == 0))
        gauge("missing_trades", sum(instrument.missing_trades for instrument in instruments))
        gauge("missing_bars", sum(instrument.missing_bars for instrument in instruments))
        gauge("questioned_series", sum(instrument.questioned for instrument in instruments))
        gauge("uncarried", sum(len(instrument.uncarried) for instrument in instruments))
        gauge("doubtful_trades", sum(instrument.doubtful_trades for instrument in instruments))
        gauge("books", len(instruments))
        gauge("synced_books", sum(instrument.synced for instrument in instruments))
        audits = [instrument.book_audits for instrument in instruments]
        gauge("book_audits", sum(count for count, _ in audits))
        gauge("book_drift_levels", sum(levels for _, levels in audits))
        bars = [instrument.audited_bars for instrument in instruments]
        for index, name in enumerate(("audited_bars", "different_bars", "unaudited_bars")):
            gauge(name, sum(counts[index] for counts in bars))
        gauge("queue_length", self._publisher.outstanding)
        gauge("dead_letters", self._outlet.dead_letters)
        gauge("dead_letters_lost", self._publisher.letters.lost)
        gauge("ignored", sum(feed.ignored for feed in self._feeds))
        gauge("reconnects", sum(feed.reconnects for feed in self._feeds))
        gauge("rollovers", sum(feed.rollovers for feed in self._feeds))
        gauge("repair_mode", float(self._repair_mode.active))
        gauge("repair_modes", self._repair_mode.entered)
        gauge("kafka_errors", self._publisher.retriable_errors)
        gauge("used_weight", self._rest.budget.used)
        gauge("clock_offset_ms", self._clock.exchange_ms() - self._clock.now_ms())
        now_s = time.monotonic()
        for feed in self._feeds:
            for name, age_ms in feed.watchdog.ages_ms(now_s).items():
                gauge(f"age_ms_{name}", round(age_ms))
        self._judge_health(now_s)
        message = self._metrics.message(self._clock.now_ms())
        if not self._publisher.congested:
            # Those of a second without room are worth nothing later.
            self._publisher.send(METRICS, SERVICE.encode(), orjson.dumps(message))

    def _judge_health(self, now_s: float) -> None:
        """Say whether the exchange is read and Kafka takes what it sends."""
        health, delivered = self._metrics.health, self._publisher.delivered
        if delivered != self._acknowledged[0]:
            self._acknowledged = delivered, now_s
        silence_s = now_s - self._acknowledged[1]
        health.set_ready("kafka", silence_s <= SILENT_BROKER_S, f"nothing acknowledged for {silence_s:.0f} s")
        carrying = sum(feed.carrying for feed in self._feeds)
        health.set_ready(
            "exchange", carrying == len(self._feeds), f"{carrying} of {len(self._feeds)} connections are read"
        )
        missed = [_said_of(instrument) for instrument in self._instruments.values() if instrument.uncarried]
        health.set_ready("streams", not missed, "; ".join(missed))
        health.set_ready(
            "book",
            all(instrument.synced or instrument.halted for instrument in self._instruments.values()),
            "an order book is not in step with the exchange",
        )


def _said_of(instrument: Instrument) -> str:
    """Which streams of a symbol are not carried, since when and why."""
    return "; ".join(
        f"{instrument.symbol} {uncarried} not carried since {_time(uncarried.since_ms)}: {uncarried.why}"
        for uncarried in instrument.uncarried
    )


def _log_changes(symbol: str, before: Sequence[Uncarried], now: Sequence[Uncarried]) -> None:
    for uncarried in now:
        if uncarried not in before:
            since = _time(uncarried.since_ms)
            _LOG.warning("%s %s: not carried since %s: %s", symbol, uncarried, since, uncarried.why)
    for uncarried in before:
        if uncarried not in now:
            _LOG.warning("%s %s: carried again", symbol, uncarried)


def _time(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms // 1000, UTC):%Y-%m-%d %H:%M:%SZ}"


def _topics(intervals: Sequence[str]) -> frozenset[str]:
    """The topics that a producer writes."""
    return frozenset(
        topic.name
        for topic in declared_topics(intervals)
        if not topic.name.startswith("pipeline.indicator-state") and topic.name != LEDGER_SNAPSHOT
    )
