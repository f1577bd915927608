"""The parts of a run: source, broker, store, topics, services, and what listens to them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from consumers.stores.factory import open_reader, open_store
from consumers.stores.sqlite_file import FileIdentity
from consumers.streams import STREAMS, streams
from cryptostream.data_dir import influx_of
from cryptostream.embedded.bearings import (
    Bearings,
    bare_symbols,
    has_ledger,
    publish_ledger,
    read_bearings,
    with_bases,
    write_bearings,
)
from cryptostream.embedded.broker import Broker, choose_broker, kafka_refusal, start_broker
from cryptostream.embedded.evidence import Look, State, clock, looks_at_services
from cryptostream.embedded.follower import Follower
from cryptostream.embedded.inspection import Asked, Inspection
from cryptostream.embedded.market import MarketWatch
from cryptostream.embedded.options import RunOptions
from cryptostream.embedded.process import Command
from cryptostream.embedded.readers import Readers
from cryptostream.embedded.services import (
    CONSUMERS,
    PRODUCERS,
    SIMULATOR,
    Wiring,
    replay_command,
    simulator_command,
)
from cryptostream.embedded.sightings import fault_of
from cryptostream.embedded.simulator_link import SimulatorLink
from cryptostream.embedded.snapshot import InstrumentView, LedgerRow, ServiceView
from cryptostream.embedded.source import SourceChoice, SourceKind
from cryptostream.embedded.store import RunStore, start_store
from cryptostream.embedded.supervisor import Supervisor
from cryptostream.embedded.unread import Unread
from cryptostream.embedded.workspace import Workspace
from cryptostream.topics_admin import ensure_topics
from shared.errors import ExchangeUnavailable, StoreError, UnknownSymbol, UsageError
from shared.settings import Settings, load_settings

# Reading a recording of some hundred MB takes a while.
_LISTENING_DEADLINE_S: Final = 120.0
_POLL_S: Final = 0.1

Say = Callable[[str], None]


class Plant:
    """Everything that runs. `start` it, `tick` it several times a second, then `stop`, `abort` or `kill` it.

    Attributes:
        children: the simulator, the producers and the consumers.
        simulator: where it listens, if it is the source.
        title_lines: source, broker and store, with the reasons for them.
    """

    def __init__(
        self, options: RunOptions, settings: Settings, source: SourceChoice, workspace: Workspace, say: Say
    ) -> None:
        self._options = options
        self._settings = settings
        self._producers_begun = False
        self._let_go_of = False
        self._bare: frozenset[str] = frozenset()  # symbols without a stored trade when the run began
        self._bases: dict[str, int] = {}  # of them: after which trade they begin
        self._source = source
        self._workspace = workspace
        self._say = say
        self._broker: Broker | None = None
        self._store: RunStore | None = None
        self._follower: Follower | None = None
        self._market: MarketWatch | None = None
        self._reader_settings = settings
        self._readers = Readers(lambda: open_reader(self._reader_settings))
        self._store_file: FileIdentity | None = None
        self._unread: Unread | None = None
        self._inspection: Inspection | None = None
        self._began_s = time.monotonic()
        self._asked_services: tuple[str, ...] = ()
        self._unplaced: list[Look] = []
        self.simulator = SimulatorLink(say)
        self.children = Supervisor(workspace.log_path, say)
        self.title_lines: tuple[str, ...] = ()

    # Starting, in this order

    def start(self) -> None:
        """Start everything; when it returns, the services are coming up.

        Raises:
            CryptoStreamError: a part cannot be started; `abort` the rest.
        """
        if self._workspace.low_disk is not None:
            self._say(f"warning: {self._workspace.low_disk}")
        self._start_simulator()
        broker = self._start_broker()
        store = self._start_store()
        environment = {
            **store.environment,
            "KAFKA_BOOTSTRAP_SERVERS": broker.address,
            "INSTANCE_SLOTS": str(self._workspace.fresh_slots()),
        }
        symbols = self._settings.symbols
        if self._source.kind != "live":
            self._await_simulator()
            urls = dict.fromkeys(("BINANCE_REST_URL", "BINANCE_HISTORY_URL"), self.simulator.rest_url)
            environment |= {**urls, "BINANCE_WS_URL": self.simulator.ws_url}
            if self._source.kind == "replay":
                symbols = self._recorded_symbols()
        self.title_lines = (
            f"source: {self._source.kind} ({self._source.reason})",
            f"broker: {broker.kind} ({broker.reason})   store: {store.title}",
        )
        memory = broker.kind == "memory"
        wiring = Wiring(symbols, self._settings.intervals, memory, environment)
        if not memory:
            self._declare_topics(broker)
        if self._source.kind != "replay":
            self._take_stock(wiring, broker)
        self._follower = Follower(broker.address, memory=memory)
        self._unread = Unread(broker.address, memory=memory)
        self._start_services(wiring)
        self._inspection = self._inspect(wiring, self._follower)
        self._market = MarketWatch(
            lambda: open_reader(self._reader_settings),
            self._settings.exchange,
            symbols,
            self._settings.intervals,
        )

    def _take_stock(self, wiring: Wiring, broker: Broker) -> None:
        """What earlier runs have left in the store."""
        stored = self._read_bearings(wiring)
        if wiring.memory_broker or not has_ledger(broker.address):
            publish_ledger(broker.address, stored.ledger, memory=wiring.memory_broker)
            self._unplaced = [Look("earlier runs", State.UNKNOWN, said) for said in stored.unplaced]
        self._bare = bare_symbols(stored, self._settings.exchange, wiring.symbols)
        kept = self._workspace.trade_bases
        self._bases = {symbol: base for symbol, base in kept.items() if symbol in self._bare}

    def _start_simulator(self) -> None:
        if self._source.kind == "simulator":
            seed, start_ms = self._workspace.world(self._options.seed)
            self._say(f"simulator: seed {seed}, a world that began at {start_ms} ms")

            def command() -> Command:
                return simulator_command(
                    self.simulator.port, self._settings.symbols, seed, start_ms, self._options.issued_log
                )
        elif self._source.kind == "replay":

            def command() -> Command:
                options = self._options
                return replay_command(
                    self.simulator.port, options.recordings, options.speed, shift_now=options.shift_now
                )
        else:
            return
        self.children.start(SIMULATOR, command, self.simulator.on_output, once=self._once)

    def _start_broker(self) -> Broker:
        wish = choose_broker(
            self._options,
            self._settings.kafka_bootstrap_servers,
            self._workspace.last_broker,
            kafka_refusal,
        )
        directory = self._workspace.kafka_dir
        if wish.kind == "kafka" and self._source.kind == "replay":
            # A recording is a world of its own: offsets and indicator states of another have no say in it.
            shutil.rmtree(directory, ignore_errors=True)
        strange = self._workspace.strange_broker(wish.kind, wish.address)
        if strange is not None and self._source.kind != "replay":
            raise UsageError(f"--broker {wish.address or wish.kind}: {strange}")
        broker = self._broker = start_broker(wish, directory, self._settings.intervals, self._say)
        self._say(f"broker: {broker.kind} at {broker.address} ({broker.reason})")
        self._workspace.remember_broker(broker.kind, wish.address)
        return broker

    def _start_store(self) -> RunStore:
        keep_all = self._source.kind == "replay" and not self._options.shift_now
        workspace = self._workspace
        store = self._store = start_store(
            self._settings, workspace.store_path, workspace.influx_dir, keep_all=keep_all
        )
        self._say(f"store: {store.title}")
        if keep_all:
            self._say("the recordings keep their own times, so nothing expires: second data stay, too")
        named = {name.lower(): value for name, value in store.environment.items() if value}
        self._reader_settings = load_settings(
            symbols=self._options.symbols, intervals=self._options.intervals, **named
        )
        # A wrong or absent store is one clear line now, instead of consumers that wait for it.
        open_store(self._reader_settings).close()
        self._workspace.remember_influx(influx_of(self._reader_settings))
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
                    f"(log: {self._workspace.log_path(SIMULATOR)})"
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
        # With a broker in memory there is no progress: what a child has missed of a recording is gone.
        once = self._once and wiring.memory_broker
        rebuild = wiring.memory_broker and self._source.kind != "replay"
        self.children.start(
            CONSUMERS,
            # Two processes cannot serve one port.
            lambda: wiring.consumers(
                rebuild_from_store=rebuild, metrics_port=None if ports is None else ports + 1
            ),
            once=once,
        )
        self.children.start(PRODUCERS, lambda: self._producers(wiring, ports), once=once)

    @property
    def _once(self) -> bool:
        """A recording is played once: a simulator that is started again would begin anew."""
        return self._source.kind == "replay"

    def _inspect(self, wiring: Wiring, follower: Follower) -> Inspection:
        consumers = streams(STREAMS, wiring.intervals, memory_broker=wiring.memory_broker)
        self._asked_services = tuple(stream.service for stream in consumers)
        live = self._source.kind == "live"
        asked = Asked(
            self._settings.exchange,
            wiring.symbols,
            wiring.intervals,
            self._settings.binance_rest_url if live else self.simulator.rest_url,
            recording=self._source.kind == "replay",
            warm=self._settings.warmup_bars > 0,
            bare=self._bare,
            bases=self._bases,
        )
        return Inspection(asked, follower, self._readers, self.simulator)

    def _producers(self, wiring: Wiring, metrics_port: int | None) -> Command:
        """The producers with their bearings, anew at each start.

        A recording is always played from its beginning; of it no progress is kept, so producers that died go
        on from what is stored. On a real Kafka its own topics count; one that has lost all that it had of a
        series, as by a power cut in its first half minute, leaves only the store to say that there was more.
        """
        first, self._producers_begun = not self._producers_begun, True
        replay = self._source.kind == "replay"
        bearings = Bearings() if replay and first else self._read_bearings(wiring)
        bearings = with_bases(bearings, self._settings.exchange, self._bases)
        path = write_bearings(self._workspace.bearings_path, bearings)
        return wiring.producers(path, metrics_port, last_resort=not (replay or wiring.memory_broker))

    def _keep_bases(self, bases: dict[str, int]) -> None:
        """A broker in memory forgets where a series without trades began to be listened to."""
        if bases != self._bases:
            self._bases = bases
            self._workspace.keep_trade_bases({**self._workspace.trade_bases, **bases})

    def _read_bearings(self, wiring: Wiring) -> Bearings:
        with closing(open_reader(self._reader_settings)) as reader:
            now_ms = time.time_ns() // 1_000_000
            names = self._settings.exchange, wiring.symbols, wiring.intervals
            return read_bearings(reader, *names, now_ms, bases=self._workspace.trade_bases)

    # Running

    def tick(self, timeout_s: float) -> None:
        """Look after everything; takes about `timeout_s`.

        Raises:
            CryptoStreamError: a part that the run cannot do without is gone for good.
        """
        if self._follower is not None:
            self._follower.poll(timeout_s)
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
        """Of a plant that has been started."""
        if self._inspection is None:
            raise RuntimeError("the plant has not been started")
        return self._inspection

    def unread(self) -> int:
        """Best prices and books on the broker that are not yet stored.

        Raises:
            BrokerUnavailable: it does not say.
        """
        return self._unread.count() if self._unread is not None else 0

    def looks_at_services(self, child: str) -> list[Look]:
        """Whether a child is there, and its services have just spoken; before it is asked to stop."""
        if not self.children.running(child):
            return [Look(child, State.UNKNOWN, "ended, and was not back when the run stopped")]
        restarted = self.children.restarts().get(child, 0) > 0
        return looks_at_services(self._services_of(child), self._ages_s(child), restarted=restarted)

    def has_begun(self, child: str) -> bool:
        """Whether the process that a child is now has spoken for each of its services: they carry on."""
        return self.children.running(child) and self._ages_s(child).keys() >= set(self._services_of(child))

    def _services_of(self, child: str) -> tuple[str, ...]:
        return ("producer",) if child == PRODUCERS else self._asked_services

    def _ages_s(self, child: str) -> dict[str, float]:
        return {} if self._follower is None else self._follower.ages_s(self.children.pids().get(child))

    def looks(self) -> tuple[list[Look], str]:
        """At exchange, ledger and store, and in words at what; while the store still runs."""
        looks, at_what = self.inspection.looks(time.monotonic() - self._began_s)
        return [*self._unplaced, *looks], at_what

    @property
    def uncarried(self) -> tuple[str, ...]:
        """Streams that are not carried now, since when and why."""
        spans = self._follower.uncarried if self._follower is not None else ()
        return tuple(
            f"{span.series}: not carried since {clock(span.since_ms)}: {span.why}"
            for span in spans
            if not span.over
        )

    @property
    def source_kind(self) -> SourceKind:
        return self._source.kind

    @property
    def broker_kind(self) -> str:
        return self._broker.kind if self._broker is not None else "none"

    @property
    def root(self) -> Path:
        return self._workspace.root

    @property
    def instruments(self) -> tuple[InstrumentView, ...]:
        return self._market.instruments if self._market is not None else ()

    @property
    def services(self) -> tuple[ServiceView, ...]:
        return self._follower.services(self.children.restarts()) if self._follower is not None else ()

    @property
    def ledger(self) -> tuple[LedgerRow, ...]:
        return self._follower.ledger if self._follower is not None else ()

    def metrics(self, service: str) -> tuple[float, dict[str, Any]] | None:
        """When a service was heard last (monotonic seconds), and what it said."""
        return self._follower.metrics(service) if self._follower is not None else None

    @property
    def warnings(self) -> tuple[str, ...]:
        market = self._market.problem if self._market is not None else None
        return (*filter(None, (self._workspace.low_disk, market)), *self.uncarried)

    # Ending

    def store_faults(self) -> list[str]:
        """One line for each way in which the store is not what the run has stored in; while it still runs."""
        if self._market is None:
            return []
        self._market.close()
        sightings = self._market.sightings
        try:
            if self._store_file is not None:
                self._store_file.require_same()
            with closing(self._readers()) as reader:
                fault = fault_of(sightings.gone(reader), len(sightings.all()))
        except StoreError as error:
            fault = str(error)
        return [] if fault is None else [fault]

    def stop(self) -> None:
        """The children have ended; now what they stood on."""
        self._let_go()
        for part in (self._store, self._broker):
            if part is not None:
                part.stop()

    def abort(self) -> None:
        """End the children at once, the rest in order. Nothing acknowledged is lost (DESIGN §5.4)."""
        self.children.kill_all()
        self.stop()

    def kill(self) -> None:
        """End everything at once."""
        self.children.kill_all()
        self._let_go()
        for part in (self._store, self._broker):
            if part is not None:
                part.kill()

    def _let_go(self) -> None:
        if self._follower is not None and not self._let_go_of:
            self._let_go_of = True  # a stop that fails is followed by an abort
            self._follower.poll(0.5)  # the consumers' last words
            self._follower.close()
        if self._market is not None:
            self._market.close()
