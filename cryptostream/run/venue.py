"""One exchange of a run: its simulator, its producers, and the proof that what it issued is stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from consumers.stores.port import Reader
from cryptostream.processes.child import Command
from cryptostream.run.data_directory import DataDirectory
from cryptostream.run.metrics_tail import MetricsTail
from cryptostream.run.options import RunOptions
from cryptostream.run.proof.checks import Result, Status
from cryptostream.run.proof.inspection import Asked, Inspection, Producers
from cryptostream.run.services import PRODUCERS, SIMULATOR, Wiring, replay_command, simulator_command
from cryptostream.run.simulator import SimulatorClient
from cryptostream.run.source import SourceKind
from cryptostream.run.start_positions import (
    StartPositions,
    bare_symbols,
    read_start_positions,
    with_bases,
    write_start_positions,
)
from producers.exchanges.registry import exchange_named
from shared.errors import UnknownSymbol
from shared.markets import Market
from shared.settings import Settings

_PRODUCER: Final = "producer"  # its name in the metrics


class Venue:
    """One exchange of a run.

    Attributes:
        exchange: whose markets these are.
        settings: as this exchange sees them.
        symbols: that it has to carry.
        several: the run has other exchanges too, so that names say which one is meant.
        simulator: the client of its simulator, if that is the source.

    Args:
        say: receives notes about unreadable parts of a recording.
    """

    def __init__(
        self,
        settings: Settings,
        source_kind: SourceKind,
        data_directory: DataDirectory,
        say: Callable[[str], None],
        *,
        several: bool,
    ) -> None:
        self.exchange = exchange_named(settings.exchange)
        self.settings = settings
        self.symbols: Sequence[str] = settings.symbols
        self.several = several
        self.simulator = SimulatorClient(say)
        self._source_kind = source_kind
        self._data_directory = data_directory
        self._producers_begun = False
        self._bare: frozenset[str] = frozenset()  # symbols without a stored trade when the run began
        self._bases: dict[str, int] = {}  # the trade after which each of these begins
        self._pids: set[int] = set()  # of all processes of its producers in this run
        self._unplaced: tuple[str, ...] = ()
        self._inspection: Inspection | None = None

    # Names

    @property
    def name(self) -> str:
        return self.exchange.name

    @property
    def markets(self) -> tuple[Market, ...]:
        return tuple(Market(self.name, symbol) for symbol in self.symbols)

    @property
    def producers_child(self) -> str:
        """The name of the process of its producers."""
        return f"{PRODUCERS}-{self.name}" if self.several else PRODUCERS

    @property
    def simulator_child(self) -> str:
        return f"{SIMULATOR}-{self.name}" if self.several else SIMULATOR

    @property
    def instance(self) -> str:
        """Of its producers, beside those of the other exchanges."""
        return self.name if self.several else "0"

    def _own(self, file: Path) -> Path:
        """The file of this exchange beside those of others: `issued.log` → `issued-kraken.log`."""
        return file.with_name(f"{file.stem}-{self.name}{file.suffix}") if self.several else file

    def named(self, results: Iterable[Result]) -> list[Result]:
        """Results that say whose they are, where there are several exchanges."""
        if not self.several:
            return list(results)
        return [replace(result, subject=self._named(result.subject)) for result in results]

    def _named(self, subject: str) -> str:
        symbol, _, _ = subject.partition(" ")
        return f"{self.name}:{subject}" if symbol in self.symbols else f"{self.name}: {subject}"

    # The source

    def source_command(self, options: RunOptions, seed: int, start_ms: int) -> Command:
        """Of the simulator; a restarted one takes the same port."""
        if self._source_kind == "replay":
            command = partial(replay_command, options.recordings, options.speed, shift_now=options.shift_now)
        else:
            log = None if options.issued_log is None else self._own(options.issued_log)
            command = partial(simulator_command, self.name, self.symbols, seed, start_ms, log)
        return command(port=self.simulator.port)

    def follow_simulator(self, options: RunOptions) -> dict[str, str]:
        """The settings that point producers to the simulator, which listens; of a replay, take its symbols.

        Raises:
            UnknownSymbol: one that is asked for is not in the recordings.
        """
        if self._source_kind == "replay":
            self.symbols = self._recorded_symbols(options)
        names = self.exchange.settings
        urls = dict.fromkeys((names.rest, names.history), self.simulator.rest_url)
        return {**urls, names.stream: self.simulator.ws_url}

    def _recorded_symbols(self, options: RunOptions) -> tuple[str, ...]:
        recorded = self.simulator.recorded_symbols()
        if options.symbols is None:
            return recorded
        for symbol in self.settings.symbols:
            if symbol not in recorded:
                raise UnknownSymbol(
                    f"--symbols {symbol}: not in the recordings; they hold {', '.join(recorded)}"
                )
        return self.settings.symbols

    # The producers

    def read_store(self, reader: Reader, wiring: Wiring) -> StartPositions:
        """What earlier runs have stored; known from now on is where series without trades begin.

        Raises:
            StoreError: the store cannot be read.
        """
        stored = self._start_positions(reader, wiring)
        self._bare = bare_symbols(stored, self.name, self.symbols)
        kept = self._kept_bases
        self._bases = {symbol: base for symbol, base in kept.items() if symbol in self._bare}
        return stored

    def report_unplaced(self, lines: Sequence[str]) -> None:
        """Take lines about ids that earlier runs have lost, and that nothing here can place."""
        self._unplaced = tuple(lines)

    def producers_command(
        self, wiring: Wiring, open_reader: Callable[[], Reader], metrics_port: int | None
    ) -> Command:
        """The command of the producers, with the start positions of now.

        A recording is played from its beginning and keeps no progress, so restarted producers continue from
        what is stored. A real Kafka has progress of its own; the start positions serve if it has lost all of
        a series, as by a power cut in its first half minute.
        """
        first, self._producers_begun = not self._producers_begun, True
        replay = self._source_kind == "replay"
        positions = StartPositions()
        if not (replay and first):
            with closing(open_reader()) as reader:
                positions = self._start_positions(reader, wiring)
        if replay:
            positions = replace(positions, uncarried={})  # a recording may pause: nothing is said of it
        positions = with_bases(positions, self.name, self._bases)
        # A file each: another exchange's producers may be reading theirs.
        path = write_start_positions(self._own(self._data_directory.start_positions_path), positions)
        return wiring.producers(
            self.markets,
            path,
            metrics_port,
            instance=self.instance,
            last_resort=not (replay or wiring.memory_broker),
        )

    def _start_positions(self, reader: Reader, wiring: Wiring) -> StartPositions:
        now_ms = time.time_ns() // 1_000_000
        names = self.name, self.symbols, wiring.intervals
        return read_start_positions(reader, *names, now_ms, bases=self._kept_bases)

    @property
    def _kept_bases(self) -> dict[str, int]:
        kept = self._data_directory.trade_bases
        # Directories of older versions have plain symbols.
        found = {
            symbol: kept.get(str(Market(self.name, symbol)), kept.get(symbol)) for symbol in self.symbols
        }
        return {symbol: base for symbol, base in found.items() if base is not None}

    # The proof

    def inspect(self, wiring: Wiring, metrics_tail: MetricsTail, open_reader: Callable[[], Reader]) -> None:
        """Begin to ask the exchange what it has issued."""
        live = self._source_kind == "live"
        asked = Asked(
            self.exchange,
            self.symbols,
            wiring.intervals,
            self.exchange.addresses(self.settings).rest if live else self.simulator.rest_url,
            recording=self._source_kind == "replay",
            warm=self.settings.warmup_bars > 0,
            bare=self._bare,
            bases=self._bases,
        )
        producers = Producers(
            partial(self._reported, metrics_tail), partial(self._compared_bars, metrics_tail)
        )
        self._inspection = Inspection(asked, metrics_tail, open_reader, self.simulator, producers)

    def _reported(self, metrics_tail: MetricsTail) -> dict[str, Any] | None:
        report = self.producer_metrics(metrics_tail)
        return None if report is None else report[1]

    def _compared_bars(self, metrics_tail: MetricsTail) -> int:
        return metrics_tail.compared_bars(self._pids)

    def producer_metrics(self, metrics_tail: MetricsTail) -> tuple[float, dict[str, Any]] | None:
        """The latest metrics of its producers, and when they arrived (monotonic seconds)."""
        return metrics_tail.metrics(_PRODUCER, self.instance if self.several else None)

    @property
    def inspection(self) -> Inspection:
        """Of a started deployment."""
        if self._inspection is None:
            raise RuntimeError("the deployment has not been started")
        return self._inspection

    def tick(self, producers_pid: int | None) -> None:
        """Args:
        producers_pid: of the producers' present process; None without one.
        """
        if producers_pid is not None:
            self._pids.add(producers_pid)
        self.simulator.tick()
        if self._inspection is not None:
            self._inspection.tick()
            self._keep_bases(self._inspection.bases)

    def _keep_bases(self, bases: dict[str, int]) -> None:
        """Keep where series without trades begin, which a memory broker forgets."""
        if bases != self._bases:
            self._bases = bases
            named = {str(Market(self.name, symbol)): base for symbol, base in bases.items()}
            self._data_directory.keep_trade_bases({**self._data_directory.trade_bases, **named})

    def results(self, uptime_s: float) -> tuple[list[Result], str]:
        """All results, and what was checked as text; call it while the store still runs."""
        results, checked = self.inspection.results(uptime_s)
        earlier = [Result("earlier runs", Status.UNKNOWN, text) for text in self._unplaced]
        return self.named([*earlier, *results]), checked
