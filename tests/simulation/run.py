"""One seed from its schedule to its outcome: start, disturb, drain, stop, check."""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from chaos.exchange_log import ExchangeLog, read_exchange_log
from chaos.ledger_oracle import Claims
from chaos.market import Window
from chaos.recovery import Report, all_fetched, incomplete_because, services_of
from chaos.run_checks import Found
from chaos.store_export import read_export
from chaos.topic_invariants import report_of
from consumers.indicators.registry import indicator_set
from cryptostream.run.shutdown import QuiescenceDetector
from shared import messages
from shared.errors import InvalidMessage
from shared.intervals import INTERVAL_MS
from shared.topics import LEDGER, METRICS
from tests.simulation import markets, sandbox
from tests.simulation.checks import Aftermath, Failure, failures_of, market_of
from tests.simulation.deployment import Deployment
from tests.simulation.disturbances import Member
from tests.simulation.kafka.broker import Broker
from tests.simulation.loop import OWNER
from tests.simulation.outcome import Outcome
from tests.simulation.pace import SESSION_MS, set_pace
from tests.simulation.schedule import INTERVALS, SYMBOLS, Schedule
from tests.simulation.store import MemoryDatabase, MemoryReader
from tests.simulation.trace import Trace
from tests.simulation.world import World

# Virtual seconds from the start of everything to the first subscription, from the last disturbance until all
# is complete, and from the market's end to the last stored record.
_STARTS_S: Final = 60.0
_RECOVERS_S: Final = 150.0
_DRAINS_S: Final = 120.0
_LEAVES_S: Final = SESSION_MS / 1000 + 3.0
_LOOK_S: Final = 0.25
_ALL: Final = 2**31
_NS_A_MS: Final = 1_000_000
# The services' clocks begin so long before the market's.
_BEFORE_MS: Final = 1_000
# Of a worker's first run, in which nothing goes wrong.
_FIRST: Final = Schedule(0, 1_789_999_977_500, SYMBOLS[:1], seconds=4.0, rate=1.0, warmup_bars=3)
# Never destroyed: that would run what is left of its coroutines.
_kept: Final[list[_Simulation]] = []


def warm_up() -> None:
    """Do what is done once a Python process, such as compiling the indicators, and run once.

    All forks of the process begin with what that run leaves behind: imports, caches, code that was
    specialized, and memory that they need not copy to count references.
    """
    set_pace()
    markets.share()
    gc.collect()
    _kept.append(_carried(_FIRST, Trace())[0])
    sandbox.use(None)


def run(schedule: Schedule, *, keep: int | None = 400) -> Outcome:
    """Run a schedule and check it.

    Args:
        keep: lines of the trace; None: all.
    """
    began_s = sandbox.real_cpu()
    trace = Trace(keep)
    simulation, failures = _carried(schedule, trace)
    world = simulation.world
    return Outcome(
        schedule.seed,
        digest=trace.digest(),
        failures=failures,
        happened=simulation.happened,
        rows=simulation.rows,
        records=simulation.records,
        events=world.loop.handles_run,
        virtual_s=world.now_s() - simulation.began_s,
        cpu_s=sandbox.real_cpu() - began_s,
        lines=trace.lines(),
    )


def _carried(schedule: Schedule, trace: Trace) -> tuple[_Simulation, tuple[Failure, ...]]:
    world = World(schedule.seed, wall_ms=schedule.start_ms - _BEFORE_MS)
    sandbox.use(world, schedule.seed)
    with tempfile.TemporaryDirectory(prefix="simulation-") as directory:
        simulation = _Simulation(schedule, world, trace, Path(directory) / "issued.jsonl")
        return simulation, simulation.failures()


class _Log(logging.Handler):
    """What services log: lines of the trace, and errors."""

    def __init__(self, world: World, trace: Trace) -> None:
        super().__init__(logging.INFO)
        self._world = world
        self._trace = trace
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        who, text = OWNER.get().name, record.getMessage()
        self._trace.line(self._world.now_s(), who, f"{record.levelname} {text}")
        if record.levelno >= logging.ERROR or record.exc_info:
            trouble = record.exc_info and record.exc_info[1]
            detail = "".join(traceback.format_exception(trouble)) if trouble else ""
            self.errors.append(f"{who}: {text}\n{detail}".strip())


class _Monitor:
    """Follows the services by what they say on the broker; reads its logs, whatever its state."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._read: dict[tuple[str, int], int] = {}
        self.claims = Claims()
        self.reports: dict[str, Report] = {}
        self.bad = 0

    def look(self) -> None:
        """Take new records."""
        for value in self._new(METRICS):
            said = orjson.loads(value)
            self.reports[said["service"]] = Report.of(said)
        for value in self._new(LEDGER):
            try:
                self.claims.receive(messages.decode("ledger", value))
            except InvalidMessage:
                self.bad += 1

    def incomplete_because(self, since_ms: int, *, market_open: bool) -> str | None:
        """See `chaos.recovery.incomplete_because`."""
        holes = sum(hole.last - hole.first + 1 for hole in self.claims.holes())
        return incomplete_because(
            self.reports, services_of(INTERVALS), since_ms, holes, market_open=market_open
        )

    def _new(self, topic: str) -> Iterator[bytes]:
        for log in self._broker.topics[topic].logs:
            offset = self._read.get(log.at, log.start)
            for record in log.read(offset, _ALL):
                if (value := record.value()) is not None:
                    yield value
            self._read[log.at] = log.end

    def cut(self) -> None:
        """The broker has lost records: only what is left counts, and others will have their offsets."""
        self.claims = Claims()
        self._read.clear()


class _Simulation:
    def __init__(self, schedule: Schedule, world: World, trace: Trace, log: Path) -> None:
        self._schedule = schedule
        self.world = world
        self._trace = trace
        self._log_path = log
        self._log = _Log(world, trace)
        self._deployment = Deployment(schedule, world, trace, log)
        self._monitor = _Monitor(self._deployment.broker)
        self._deployment.after_cut = self._monitor.cut
        self.began_s = self._began_market_s = world.now_s()
        self.rows = 0
        self.records = 0

    @property
    def happened(self) -> tuple[str, ...]:
        """Kinds of disturbances that did something, the exchange's too."""
        assert self._deployment.simulator is not None
        fired = [each["kind"] for each in self._deployment.simulator._tally.listed() if each["fired"]]
        return (*self._deployment.happened, *fired)

    def failures(self) -> tuple[Failure, ...]:
        """Run and check."""
        root = logging.getLogger()
        root.addHandler(self._log)
        root.setLevel(logging.INFO)
        try:
            frozen_ms, pending, unclean = self.world.run(self._all())
        except Exception:  # noqa: BLE001 - a fault of the simulation, or of a service on its loop
            return (Failure("simulation", traceback.format_exc()),)
        finally:
            root.removeHandler(self._log)
        self._hash()
        return self._check(frozen_ms, pending, unclean)

    async def _all(self) -> tuple[int, str | None, list[str]]:
        deployment, world = self._deployment, self.world
        deployment.start()
        begun_s = world.now_s()
        while deployment.simulator is None or not _listened_to(deployment.simulator):
            if world.now_s() - begun_s > _STARTS_S:
                raise AssertionError(f"nobody subscribed within {_STARTS_S:.0f} s")
            await asyncio.sleep(0.01)
        begun_s = self._began_market_s = world.now_s()
        for disturbance in self._schedule.disturbances:
            deployment.disturb(disturbance, 0.0)
        await asyncio.sleep(begun_s + self._schedule.seconds - world.now_s())
        unrecovered = await self._recover()
        frozen_ms = await deployment.freeze()
        self._trace.line(world.now_s(), "harness", "the market stops")
        pending = unrecovered or await self._drain(frozen_ms)
        self._trace.line(world.now_s(), "harness", "stops everything")
        unclean = await deployment.stop_services()
        self._monitor.look()
        await deployment.stop_exchange()
        return frozen_ms, pending, unclean

    async def _recover(self) -> str | None:
        """None once all is complete while the market goes on; after the deadline the reason why not."""
        world, monitor = self.world, self._monitor
        # A static member that left keeps its partitions for its session.
        left_s = max((member.until_s for member in self._schedule.of(Member)), default=-_LEAVES_S)
        earliest_s = self._began_market_s + left_s + _LEAVES_S
        since_ms, deadline = world.now_ms(), world.now_s() + _RECOVERS_S
        read: int | None = None
        while True:
            await asyncio.sleep(_LOOK_S)
            monitor.look()
            reason = monitor.incomplete_because(since_ms, market_open=True)
            if reason is None and world.now_s() >= earliest_s:
                # The lag of a consumer without partitions, or that waits for its store, says nothing; the
                # market has something for the ledger every second.
                ledger = monitor.reports["consumer-ledger"].messages
                read = ledger if read is None else read
                if ledger != read:
                    return None
                reason = "the ledger's consumer reads nothing"
            if world.now_s() > deadline:
                return f"no recovery: {reason}"

    async def _drain(self, frozen_ms: int) -> str | None:
        """None once everything issued has arrived; after the deadline the reason why not."""
        world, monitor = self.world, self._monitor
        window = Window(self._schedule.start_ms + 1, frozen_ms)  # streams begin after that time
        with self._log_path.open("rb") as lines:
            issued = read_exchange_log(lines)
        since_ms = world.now_ms()
        detector, quiescent = QuiescenceDetector(since_ms), False
        deadline = world.now_s() + _DRAINS_S
        while True:
            await asyncio.sleep(_LOOK_S)
            monitor.look()
            report = monitor.reports.get("producer")
            if report is not None:
                quiescent = detector.receive(report.time_ms, report.messages, fetched=all_fetched(report))
            behind = monitor.incomplete_because(since_ms, market_open=False)
            missing = monitor.claims.awaited_count()
            unstored = None
            if quiescent and not missing and behind is None:
                # Of a connection's last events, cut off or late, nothing may be known yet.
                unstored = _unstored(issued, window, self._deployment.database)
                if unstored is None:
                    return None
            if world.now_s() > deadline:
                waiting = f"{missing} ids are expected and not stored" if missing else "not quiet"
                return unstored or behind or waiting

    def _values(self, topic: str) -> Iterator[bytes]:
        for log in self._deployment.broker.topics[topic].logs:
            for record in log.records:
                if (value := record.value()) is not None:
                    yield value

    def _hash(self) -> None:
        """Enter everything durable into the trace, and which handle ran when."""
        now_s = self.world.now_s()
        for topic in self._deployment.broker.topics.values():
            for log in topic.logs:
                self.records += len(log.records)
                for record in log.records:
                    self._trace.content(b"%d" % (record.offset() or 0), record.key(), record.value())
        for place, fields in sorted(self._deployment.database.rows.items()):
            self._trace.content(repr(place).encode(), orjson.dumps(fields))
        self._trace.event(now_s, "loop", "ran", self.world.loop.handles_run, self.world.loop.fingerprint)

    def _check(self, frozen_ms: int, pending: str | None, unclean: list[str]) -> tuple[Failure, ...]:
        schedule, market = self._schedule, market_of(self._schedule, INTERVALS)
        entries: list[dict[str, Any]] = [
            orjson.loads(line) for line in self._log_path.read_bytes().splitlines()
        ]
        exchange_log = ExchangeLog()
        for entry in entries:
            exchange_log.receive(entry)
        self._deployment.database.away = False
        reader = MemoryReader(self._deployment.database)
        window = Window(schedule.start_ms + 1, frozen_ms, market.waits_ms)
        columns = indicator_set(("all",)).columns
        export = read_export(reader, schedule.symbols, INTERVALS, window, columns)
        self.rows = export.rows
        topics = report_of(self._values, INTERVALS)
        found = Found(export, exchange_log, topics, self._monitor.claims)
        after = Aftermath(
            found,
            entries,
            {name: list(reader.read(name, {})) for name in ("trade", "kline", "ledger")},
            pending=pending,
            exits=(*self._deployment.exits, *unclean),
            errors=tuple(self._log.errors),
            bad_events=self._monitor.bad,
            stopped_ms=frozen_ms,
        )
        return failures_of(schedule, market, after)


def _unstored(issued: ExchangeLog, window: Window, database: MemoryDatabase) -> str | None:
    """Something issued that is not in the store; None if there is nothing like that."""
    stored = {(name, tags[1:], time_ns // _NS_A_MS) for name, tags, time_ns in database.rows}
    for symbol, trades in issued.trades.items():
        for trade in trades.values():
            at_ms = trade.time_ns // _NS_A_MS
            if window.has(at_ms) and ("trade", (symbol,), at_ms) not in stored:
                return f"trade {symbol} {trade.trade_id} is not stored, and nothing waits for it"
    for (symbol, interval), bars in issued.bars.items():
        for open_ms in bars:
            within = window.has_bar(open_ms, INTERVAL_MS[interval])
            if within and ("kline", (symbol, interval), open_ms) not in stored:
                return f"bar {symbol} {interval} {open_ms} is not stored, and nothing waits for it"
    return None


def _listened_to(simulator: Any) -> bool:
    return hasattr(simulator, "_clock") and not simulator._clock.held
