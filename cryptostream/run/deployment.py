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
from consumers.stores.sqlite_file import FileIdentity
from consumers.streams import STREAMS, streams
from cryptostream.data_dir import influx_of
from cryptostream.processes.child import Command
from cryptostream.processes.supervisor import NeverRestart, RestartPolicy, Supervisor
from cryptostream.run.broker import Broker, choose_broker, kafka_refusal, start_broker
from cryptostream.run.data_directory import DataDirectory
from cryptostream.run.metrics_tail import MetricsTail
from cryptostream.run.options import RunOptions
from cryptostream.run.price_watch import PriceWatch
from cryptostream.run.proof.checks import Result, Status, check_services, utc_text
from cryptostream.run.proof.consumer_lag import ConsumerLag
from cryptostream.run.proof.inspection import Asked, Inspection
from cryptostream.run.proof.row_samples import fault_of
from cryptostream.run.services import (
    API,
    CONSUMERS,
    PRODUCERS,
    SIMULATOR,
    Wiring,
    replay_command,
    simulator_command,
)
from cryptostream.run.simulator import SimulatorClient
from cryptostream.run.source import SourceChoice, SourceKind
from cryptostream.run.start_positions import (
    StartPositions,
    bare_symbols,
    has_ledger,
    publish_ledger,
    read_start_positions,
    with_bases,
    write_start_positions,
)
from cryptostream.run.store import Readers, RunStore, start_store
from cryptostream.run.view import InstrumentView, LedgerRow, ServiceView
from cryptostream.run.web import WebPage
from cryptostream.topics_admin import ensure_topics
from producers.exchanges.registry import exchange_named
from shared.errors import ExchangeUnavailable, StoreError, UnknownSymbol, UsageError
from shared.settings import Settings, load_settings

# Reading a recording of some hundred MB takes long.
_LISTENING_DEADLINE_S: Final = 120.0
_POLL_S: Final = 0.1

Say = Callable[[str], None]


class LocalDeployment:
    """All parts of a run. `start` it, `tick` it several times a second, then `stop`, `abort` or `kill` it.

    Attributes:
        children: the simulator, the producers, the consumers, and what serves the page.
        simulator: the client of the simulator, if that is the source.
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
        self._exchange = exchange_named(settings.exchange)
        self._producers_begun = False
        self._tails_closed = False
        self._bare: frozenset[str] = frozenset()  # symbols without a stored trade when the run began
        self._bases: dict[str, int] = {}  # the trade after which each of these begins
        self._source = source
        self._data_directory = data_directory
        self._say = say
        self._broker: Broker | None = None
        self._store: RunStore | None = None
        self._metrics_tail: MetricsTail | None = None
        self._price_watch: PriceWatch | None = None
        self._reader_settings = settings
        self._readers = Readers(lambda: open_reader(self._reader_settings))
        self._store_file: FileIdentity | None = None
        self._consumer_lag: ConsumerLag | None = None
        self._inspection: Inspection | None = None
        self._began_s = time.monotonic()
        self._asked_services: tuple[str, ...] = ()
        self._unplaced: list[Result] = []
        self._title: tuple[str, ...] = ()
        self._web = WebPage(settings, say)
        self.simulator = SimulatorClient(say)
        self.children = Supervisor(data_directory.log_path, say)

    # Starting, in this order

    def start(self) -> None:
        """Start everything; on return the services are coming up.

        Raises:
            CryptoStreamError: a part cannot be started; `abort` the others.
        """
        if self._data_directory.low_disk is not None:
            self._say(f"warning: {self._data_directory.low_disk}")
        self._start_simulator()
        broker = self._start_broker()
        store = self._start_store()
        environment = {
            **store.environment,
            "KAFKA_BOOTSTRAP_SERVERS": broker.address,
            "INSTANCE_SLOTS": str(self._data_directory.fresh_slots()),
        }
        symbols = self._settings.symbols
        if self._source.kind != "live":
            self._await_simulator()
            names = self._exchange.settings
            urls = dict.fromkeys((names.rest, names.history), self.simulator.rest_url)
            environment |= {**urls, names.stream: self.simulator.ws_url}
            if self._source.kind == "replay":
                symbols = self._recorded_symbols()
        self._title = (
            f"source: {self._source.kind} ({self._source.reason})",
            f"broker: {broker.kind} ({broker.reason})   store: {store.title}",
        )
        memory = broker.kind == "memory"
        wiring = Wiring(symbols, self._settings.intervals, memory, environment)
        if not memory:
            self._declare_topics(broker)
        if self._source.kind != "replay":
            self._read_store(wiring, broker)
        self._metrics_tail = MetricsTail(broker.address, memory=memory)
        self._consumer_lag = ConsumerLag(broker.address, memory=memory)
        self._start_services(wiring)
        self._inspection = self._inspect(wiring, self._metrics_tail)
        self._price_watch = PriceWatch(
            lambda: open_reader(self._reader_settings),
            self._settings.exchange,
            symbols,
            self._settings.intervals,
        )

    def _read_store(self, wiring: Wiring, broker: Broker) -> None:
        """Read what earlier runs have stored; publish it on a ledger that is empty."""
        stored = self._read_start_positions(wiring)
        if wiring.memory_broker or not has_ledger(broker.address):
            publish_ledger(broker.address, stored.ledger, memory=wiring.memory_broker)
            self._unplaced = [Result("earlier runs", Status.UNKNOWN, text) for text in stored.unplaced]
        self._bare = bare_symbols(stored, self._settings.exchange, wiring.symbols)
        kept = self._data_directory.trade_bases
        self._bases = {symbol: base for symbol, base in kept.items() if symbol in self._bare}

    def _start_simulator(self) -> None:
        options = self._options
        if self._source.kind == "live":
            return
        if self._source.kind == "replay":
            command = partial(replay_command, options.recordings, options.speed, shift_now=options.shift_now)
        else:
            seed, start_ms = self._data_directory.world(options.seed)
            self._say(f"simulator: seed {seed}, a world that began at {start_ms} ms")
            command = partial(
                simulator_command,
                self._settings.exchange,
                self._settings.symbols,
                seed,
                start_ms,
                options.issued_log,
            )
        # A restarted simulator takes the same port.
        self.children.start(
            SIMULATOR,
            lambda: command(port=self.simulator.port),
            self.simulator.on_output,
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

    def _await_simulator(self) -> None:
        give_up_s, read = time.monotonic() + _LISTENING_DEADLINE_S, 0
        while not self.simulator.listening:
            now_s = time.monotonic()
            if self.simulator.read > read:  # a day's recording takes minutes
                give_up_s, read = now_s + _LISTENING_DEADLINE_S, self.simulator.read
            if now_s > give_up_s:
                raise ExchangeUnavailable(
                    f"simulator: does not listen after {_LISTENING_DEADLINE_S:g} s "
                    f"(log: {self._data_directory.log_path(SIMULATOR)})"
                )
            self.children.tick(now_s)
            self.simulator.tick(_POLL_S)

    def _recorded_symbols(self) -> tuple[str, ...]:
        recorded = self.simulator.recorded_symbols()
        if self._options.symbols is None:
            return recorded
        for symbol in self._settings.symbols:
            if symbol not in recorded:
                raise UnknownSymbol(
                    f"--symbols {symbol}: not in the recordings; they hold {', '.join(recorded)}"
                )
        return self._settings.symbols

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
        self.children.start(PRODUCERS, lambda: self._producers(wiring, ports), policy=policy)
        if self._options.web:
            self._start_web(wiring, rebuild=rebuild)

    def _start_web(self, wiring: Wiring, *, rebuild: bool) -> None:
        """Start what serves the page, which the run does not need."""
        port, first = self._web.choose_port(), self._settings.metrics_port
        if port is None:
            return
        # Behind those of the consumers' threads.
        threads = len(streams(STREAMS, wiring.intervals, memory_broker=wiring.memory_broker))
        metrics_port = None if first is None else first + 1 + threads
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

    def _inspect(self, wiring: Wiring, metrics_tail: MetricsTail) -> Inspection:
        consumers = streams(STREAMS, wiring.intervals, memory_broker=wiring.memory_broker)
        self._asked_services = tuple(stream.service for stream in consumers)
        live = self._source.kind == "live"
        asked = Asked(
            self._exchange,
            wiring.symbols,
            wiring.intervals,
            self._exchange.addresses(self._settings).rest if live else self.simulator.rest_url,
            recording=self._source.kind == "replay",
            warm=self._settings.warmup_bars > 0,
            bare=self._bare,
            bases=self._bases,
        )
        return Inspection(asked, metrics_tail, self._readers, self.simulator)

    def _producers(self, wiring: Wiring, metrics_port: int | None) -> Command:
        """The command of the producers, with the start positions of now.

        A recording is played from its beginning and keeps no progress, so restarted producers continue from
        what is stored. A real Kafka has progress of its own; the start positions serve if it has lost all of
        a series, as by a power cut in its first half minute.
        """
        first, self._producers_begun = not self._producers_begun, True
        replay = self._source.kind == "replay"
        positions = StartPositions() if replay and first else self._read_start_positions(wiring)
        positions = with_bases(positions, self._settings.exchange, self._bases)
        path = write_start_positions(self._data_directory.start_positions_path, positions)
        return wiring.producers(path, metrics_port, last_resort=not (replay or wiring.memory_broker))

    def _keep_bases(self, bases: dict[str, int]) -> None:
        """Keep where series without trades begin, which a memory broker forgets."""
        if bases != self._bases:
            self._bases = bases
            self._data_directory.keep_trade_bases({**self._data_directory.trade_bases, **bases})

    def _read_start_positions(self, wiring: Wiring) -> StartPositions:
        with closing(open_reader(self._reader_settings)) as reader:
            now_ms = time.time_ns() // 1_000_000
            names = self._settings.exchange, wiring.symbols, wiring.intervals
            return read_start_positions(reader, *names, now_ms, bases=self._data_directory.trade_bases)

    # Running

    def tick(self, timeout_s: float) -> None:
        """Monitor and restart the parts; takes about `timeout_s`.

        Raises:
            CryptoStreamError: a necessary part has failed for good.
        """
        if self._metrics_tail is not None:
            self._metrics_tail.poll(timeout_s)
        self.simulator.tick()
        now_s = time.monotonic()
        if self._broker is not None:
            self._broker.tick(now_s)
        self.children.tick(now_s)
        if self._inspection is not None:
            self._inspection.tick()
            self._keep_bases(self._inspection.bases)

    @property
    def inspection(self) -> Inspection:
        """Of a started deployment."""
        if self._inspection is None:
            raise RuntimeError("the deployment has not been started")
        return self._inspection

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
        return ("producer",) if child == PRODUCERS else self._asked_services

    def _ages_s(self, child: str) -> dict[str, float]:
        tail = self._metrics_tail
        return {} if tail is None else tail.ages_s(self.children.pids().get(child))

    def results(self) -> tuple[list[Result], str]:
        """All results, and what was checked as text; call it while the store still runs."""
        results, checked = self.inspection.results(time.monotonic() - self._began_s)
        return [*self._unplaced, *results], checked

    @property
    def uncarried(self) -> tuple[str, ...]:
        """Lines about the streams that are not carried now."""
        spans = self._metrics_tail.uncarried if self._metrics_tail is not None else ()
        return tuple(
            f"{span.series}: not carried since {utc_text(span.since_ms)}: {span.why}"
            for span in spans
            if not span.over
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

    def metrics(self, service: str) -> tuple[float, dict[str, Any]] | None:
        """The latest metrics of a service, and when they arrived (monotonic seconds)."""
        return self._metrics_tail.metrics(service) if self._metrics_tail is not None else None

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
