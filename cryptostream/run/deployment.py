"""A deployment on this machine: source, broker, store, topics, services, and what monitors them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from consumers.stores.factory import open_reader, open_store
from consumers.stores.port import Reader
from consumers.stores.sqlite_file import FileIdentity
from consumers.streams import STREAMS, streams
from cryptostream.data_dir import influx_of
from cryptostream.processes.supervisor import NeverRestart, RestartPolicy, Supervisor
from cryptostream.run.broker import Broker, choose_broker, kafka_refusal, start_broker
from cryptostream.run.data_directory import DataDirectory
from cryptostream.run.metrics_tail import MetricsTail
from cryptostream.run.options import RunOptions
from cryptostream.run.price_watch import PriceWatch
from cryptostream.run.proof.checks import Result, Status, check_services, check_uncarried
from cryptostream.run.proof.consumer_lag import ConsumerLag
from cryptostream.run.proof.row_samples import fault_of
from cryptostream.run.services import API, CONSUMERS, Wiring
from cryptostream.run.source import SourceChoice, SourceKind
from cryptostream.run.start_positions import has_ledger, publish_ledger
from cryptostream.run.store import Readers, RunStore, start_store
from cryptostream.run.venue import Venue
from cryptostream.run.view import InstrumentView, LedgerRow, ServiceView
from cryptostream.run.web import WebPage
from cryptostream.topics_admin import ensure_topics
from shared.errors import ExchangeUnavailable, StoreError, UsageError
from shared.markets import Market
from shared.settings import Settings, load_settings

# Reading a recording of some hundred MB takes long.
_LISTENING_DEADLINE_S: Final = 120.0
_POLL_S: Final = 0.1

Say = Callable[[str], None]


class LocalDeployment:
    """All parts of a run. `start` it, `tick` it several times a second, then `stop`, `abort` or `kill` it.

    Attributes:
        venues: its exchanges.
        children: the simulators, the producers, the consumers, and what serves the page.
    """

    def __init__(
        self,
        options: RunOptions,
        settings: Settings,
        source: SourceChoice,
        data_directory: DataDirectory,
        say: Say,
    ) -> None:
        self._options = options
        self._settings = settings
        self._tails_closed = False
        self._source = source
        self._data_directory = data_directory
        self._say = say
        self._broker: Broker | None = None
        self._store: RunStore | None = None
        self._metrics_tail: MetricsTail | None = None
        self._price_watch: PriceWatch | None = None
        self._reader_settings = settings
        self._readers = Readers(self._open_reader)
        self._store_file: FileIdentity | None = None
        self._consumer_lag: ConsumerLag | None = None
        self._began_s = time.monotonic()
        self._asked_services: tuple[str, ...] = ()
        self._title: tuple[str, ...] = ()
        self._web = WebPage(settings, say)
        exchanges = settings.exchanges
        self.venues = tuple(
            Venue(settings.of(each), source.kind, data_directory, say, several=len(exchanges) > 1)
            for each in exchanges
        )
        self.children = Supervisor(data_directory.log_path, say)

    # Starting, in this order

    def start(self) -> None:
        """Start everything; on return the services are coming up.

        Raises:
            CryptoStreamError: a part cannot be started; `abort` the others.
        """
        if self._data_directory.low_disk is not None:
            self._say(f"warning: {self._data_directory.low_disk}")
        self._start_simulators()
        broker = self._start_broker()
        store = self._start_store()
        environment = {
            **store.environment,
            "KAFKA_BOOTSTRAP_SERVERS": broker.address,
            "INSTANCE_SLOTS": str(self._data_directory.fresh_slots()),
        }
        if self._source.kind != "live":
            for venue in self.venues:
                self._await_simulator(venue)
                environment |= venue.follow_simulator(self._options)
        self._title = (
            f"source: {self._source.kind} ({self._source.reason})",
            f"broker: {broker.kind} ({broker.reason})   store: {store.title}",
        )
        memory = broker.kind == "memory"
        markets = self._markets()
        wiring = Wiring(markets, self._settings.intervals, memory, environment)
        if not memory:
            self._declare_topics(broker)
        if self._source.kind != "replay":
            self._read_store(wiring, broker)
        tail = self._metrics_tail = MetricsTail(broker.address, memory=memory, several=len(self.venues) > 1)
        self._consumer_lag = ConsumerLag(broker.address, memory=memory)
        self._start_services(wiring)
        consumers = streams(STREAMS, wiring.intervals, memory_broker=memory)
        self._asked_services = tuple(stream.service for stream in consumers)
        for venue in self.venues:
            venue.inspect(wiring, tail, self._readers)
        self._price_watch = PriceWatch(self._open_reader, markets, self._settings.intervals)

    def _open_reader(self) -> Reader:
        return open_reader(self._reader_settings)

    def _markets(self) -> tuple[Market, ...]:
        """All markets of the run, in the order of the settings; of recordings, theirs."""
        if self._source.kind == "replay":
            return tuple(market for venue in self.venues for market in venue.markets)
        return self._settings.markets

    def _read_store(self, wiring: Wiring, broker: Broker) -> None:
        """Read what earlier runs have stored; publish it on a ledger that is empty."""
        with closing(self._open_reader()) as reader:
            stored = [venue.read_store(reader, wiring) for venue in self.venues]
        if wiring.memory_broker or not has_ledger(broker.address):
            ledger = [event for each in stored for event in each.ledger]
            publish_ledger(broker.address, ledger, memory=wiring.memory_broker)
            for venue, each in zip(self.venues, stored, strict=True):
                venue.report_unplaced(each.unplaced)

    def _start_simulators(self) -> None:
        if self._source.kind == "live":
            return
        seed = start_ms = 0
        if self._source.kind == "simulator":
            seed, start_ms = self._data_directory.world(self._options.seed)
            self._say(f"simulator: seed {seed}, a world that began at {start_ms} ms")
        for venue in self.venues:
            self.children.start(
                venue.simulator_child,
                partial(venue.source_command, self._options, seed, start_ms),
                venue.simulator.on_output,
                policy=self._policy,
            )

    def _start_broker(self) -> Broker:
        wish = choose_broker(
            self._options,
            self._settings.kafka_bootstrap_servers,
            self._data_directory.last_broker,
            kafka_refusal,
        )
        directory = self._data_directory.kafka_dir
        if wish.kind == "kafka" and self._source.kind == "replay":
            # Offsets and indicator states of another recording do not apply to this one.
            shutil.rmtree(directory, ignore_errors=True)
        mismatch = self._data_directory.broker_mismatch(wish.kind, wish.address)
        if mismatch is not None and self._source.kind != "replay":
            raise UsageError(f"--broker {wish.address or wish.kind}: {mismatch}")
        broker = self._broker = start_broker(wish, directory, self._settings.intervals, self._say)
        self._say(f"broker: {broker.kind} at {broker.address} ({broker.reason})")
        self._data_directory.remember_broker(broker.kind, wish.address)
        return broker

    def _start_store(self) -> RunStore:
        keep_all = self._source.kind == "replay" and not self._options.shift_now
        data_directory = self._data_directory
        store = self._store = start_store(
            self._settings, data_directory.store_path, data_directory.influx_dir, keep_all=keep_all
        )
        self._say(f"store: {store.title}")
        if keep_all:
            self._say("the recordings keep their own times, so nothing expires: second data stay, too")
        named = {name.lower(): value for name, value in store.environment.items() if value}
        self._reader_settings = load_settings(
            symbols=self._options.symbols, intervals=self._options.intervals, **named
        )
        # Fail now on a wrong or absent store, instead of consumers that wait for it.
        open_store(self._reader_settings).close()
        self._data_directory.remember_influx(influx_of(self._reader_settings))
        path = self._reader_settings.sqlite_path
        if self._reader_settings.store == "sqlite" and path is not None:
            self._store_file = FileIdentity.of_file(path)
        return store

    def _declare_topics(self, broker: Broker) -> None:
        for report in ensure_topics(broker.address, self._settings.intervals):
            if not report.good:
                self._say(f"warning: topic {report.name} {report.status}: {report.detail}")

    def _await_simulator(self, venue: Venue) -> None:
        simulator, name = venue.simulator, venue.simulator_child
        give_up_s, read = time.monotonic() + _LISTENING_DEADLINE_S, 0
        while not simulator.listening:
            now_s = time.monotonic()
            if simulator.read > read:  # a day's recording takes minutes
                give_up_s, read = now_s + _LISTENING_DEADLINE_S, simulator.read
            if now_s > give_up_s:
                raise ExchangeUnavailable(
                    f"{name}: does not listen after {_LISTENING_DEADLINE_S:g} s "
                    f"(log: {self._data_directory.log_path(name)})"
                )
            self.children.tick(now_s)
            simulator.tick(_POLL_S)

    def _start_services(self, wiring: Wiring) -> None:
        ports = self._settings.metrics_port
        # A memory broker keeps no progress: what a child misses of a recording is lost.
        policy = self._policy if wiring.memory_broker else None
        rebuild = wiring.memory_broker and self._source.kind != "replay"
        self.children.start(
            CONSUMERS,
            # Two processes cannot serve one port.
            lambda: wiring.consumers(
                rebuild_from_store=rebuild, metrics_port=None if ports is None else ports + 1
            ),
            policy=policy,
        )
        for venue, port in zip(self.venues, self._producer_ports(wiring), strict=True):
            command = partial(venue.producers_command, wiring, self._open_reader, port)
            self.children.start(venue.producers_child, command, policy=policy)
        if self._options.web:
            self._start_web(wiring, rebuild=rebuild)

    def _producer_ports(self, wiring: Wiring) -> list[int | None]:
        """Ports of metrics: the first is METRICS_PORT; those of further exchanges follow all others."""
        first = self._settings.metrics_port
        if first is None:
            return [None for _ in self.venues]
        behind = first + 2 + self._consumer_threads(wiring)
        return [first, *range(behind, behind + len(self.venues) - 1)]

    @staticmethod
    def _consumer_threads(wiring: Wiring) -> int:
        return len(streams(STREAMS, wiring.intervals, memory_broker=wiring.memory_broker))

    def _start_web(self, wiring: Wiring, *, rebuild: bool) -> None:
        """Start what serves the page, which the run does not need."""
        port, first = self._web.choose_port(), self._settings.metrics_port
        if port is None:
            return
        # Behind those of the consumers' threads.
        metrics_port = None if first is None else first + 1 + self._consumer_threads(wiring)
        self.children.start(
            API,
            lambda: wiring.api(
                port=self._web.choose_port() or port, rebuild_from_store=rebuild, metrics_port=metrics_port
            ),
            self._web.on_output,
            needed=False,
        )

    @property
    def _policy(self) -> RestartPolicy | None:
        """A recording is played once: a restarted simulator would play it from the beginning."""
        if self._source.kind != "replay":
            return None
        return NeverRestart("a recording is played once, so start again")

    # Running

    def tick(self, timeout_s: float) -> None:
        """Monitor and restart the parts; takes about `timeout_s`.

        Raises:
            CryptoStreamError: a necessary part has failed for good.
        """
        if self._metrics_tail is not None:
            self._metrics_tail.poll(timeout_s)
        pids = self.children.pids()
        for venue in self.venues:
            venue.tick(pids.get(venue.producers_child))
        now_s = time.monotonic()
        if self._broker is not None:
            self._broker.tick(now_s)
        self.children.tick(now_s)

    def ask_ends(self) -> None:
        """Ask the broker where ledger and metrics end now; ticks read up to there."""
        if self._metrics_tail is not None:
            self._metrics_tail.ask_ends()

    @property
    def at_ends(self) -> bool:
        """Whether ledger and metrics were read to the ends that were asked for last."""
        return self._metrics_tail is not None and self._metrics_tail.at_end

    def check_read(self) -> list[Result]:
        """Check, after all who write there have ended, that ledger and metrics were read to their ends."""
        return [] if self._metrics_tail is None else self._metrics_tail.check_read()

    def price_lag(self) -> int:
        """The number of best prices and books on the broker that are not stored yet.

        Raises:
            BrokerUnavailable: it does not answer.
        """
        return self._consumer_lag.count() if self._consumer_lag is not None else 0

    def check_services(self, child: str) -> list[Result]:
        """Check, before a child is asked to stop, that it runs and its services have just reported."""
        if not self.children.running(child):
            return [Result(child, Status.UNKNOWN, "ended, and was not back when the run stopped")]
        restarted = self.children.restarts().get(child, 0) > 0
        return check_services(self._services_of(child), self._ages_s(child), restarted=restarted)

    def has_begun(self, child: str) -> bool:
        """Whether the present process of a child has reported for each of its services."""
        return self.children.running(child) and self._ages_s(child).keys() >= set(self._services_of(child))

    def _services_of(self, child: str) -> tuple[str, ...]:
        return self._asked_services if child == CONSUMERS else ("producer",)

    def _ages_s(self, child: str) -> dict[str, float]:
        tail = self._metrics_tail
        return {} if tail is None else tail.ages_s(self.children.pids().get(child))

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._began_s

    @property
    def uncarried(self) -> tuple[str, ...]:
        """Lines about the streams that are not carried now."""
        tail = self._metrics_tail
        if tail is None:
            return ()
        return tuple(
            str(result)
            for venue in self.venues
            for result in venue.named(check_uncarried(tail.uncarried(venue.name)))
            if result.status is Status.MISSING
        )

    @property
    def title_lines(self) -> tuple[str, ...]:
        """Source, broker and store, with the reasons for them, and where the page is."""
        return (*self._title, *filter(None, (self._web.line,)))

    @property
    def source_kind(self) -> SourceKind:
        return self._source.kind

    @property
    def broker_kind(self) -> str:
        return self._broker.kind if self._broker is not None else "none"

    @property
    def root(self) -> Path:
        return self._data_directory.root

    @property
    def instruments(self) -> tuple[InstrumentView, ...]:
        return self._price_watch.instruments if self._price_watch is not None else ()

    @property
    def services(self) -> tuple[ServiceView, ...]:
        return self._metrics_tail.services(self.children.restarts()) if self._metrics_tail is not None else ()

    @property
    def ledger(self) -> tuple[LedgerRow, ...]:
        return self._metrics_tail.ledger if self._metrics_tail is not None else ()

    def producer_metrics(self, venue: Venue) -> tuple[float, dict[str, Any]] | None:
        """The latest metrics of an exchange's producers, and when they arrived (monotonic seconds)."""
        return None if self._metrics_tail is None else venue.producer_metrics(self._metrics_tail)

    @property
    def warnings(self) -> tuple[str, ...]:
        market = self._price_watch.problem if self._price_watch is not None else None
        return (*filter(None, (self._data_directory.low_disk, market)), *self.uncarried)

    # Ending

    def store_faults(self) -> list[str]:
        """Lines about rows that the store has lost since the run stored them; call it while it still runs."""
        if self._price_watch is None:
            return []
        self._price_watch.close()
        samples = self._price_watch.samples
        try:
            if self._store_file is not None:
                self._store_file.require_same()
            with closing(self._readers()) as reader:
                fault = fault_of(samples.missing_from(reader), len(samples.all()))
        except StoreError as error:
            fault = str(error)
        return [] if fault is None else [fault]

    def stop(self) -> None:
        """Stop the other parts after the children have ended."""
        self._close_tails()
        for part in (self._store, self._broker):
            if part is not None:
                part.stop()

    def abort(self) -> None:
        """Kill the children, stop the rest in order. Nothing acknowledged is lost (DESIGN §5.4)."""
        self.children.kill_all()
        self.stop()

    def kill(self) -> None:
        """Kill everything."""
        self.children.kill_all()
        self._close_tails()
        for part in (self._store, self._broker):
            if part is not None:
                part.kill()

    def _close_tails(self) -> None:
        if self._metrics_tail is not None and not self._tails_closed:
            self._tails_closed = True  # a stop that fails is followed by an abort
            self._metrics_tail.poll(0.5)  # the consumers' last reports
            self._metrics_tail.close()
        if self._price_watch is not None:
            self._price_watch.close()
