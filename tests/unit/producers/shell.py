"""The shell around an instrument, with a broker that acknowledges when told so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from producers.clock import Clock
from producers.dead_letters import Rejections
from producers.effect_runner import EffectRunner
from producers.instrument import Instrument
from producers.ledger_writer import LedgerWriter
from producers.progress import Progress, ProgressLog, decode_progress
from producers.progress_writer import ProgressWriter
from producers.repairs import Request
from producers.start_positions import OpenHole, StartPosition
from shared.dead_letters import DeadLetter
from shared.metrics import ServiceMetrics
from shared.topics import PROGRESS
from tests.builders import NOW_MS, trade

SERIES = "binance:BTCUSDC:trades"


class Broker:
    """Takes records in order; `deliver` acknowledges them."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None]] = []
        self.letters: list[DeadLetter] = []
        self.reports: list[Any] = []
        self.before = 0  # records that each topic has already

    def send(self, topic: str, key: bytes, value: bytes | None, delivered: Any = None) -> None:
        self.sent.append((topic, key, value))
        offset = self.before + sum(to == topic for to, _, _ in self.sent) - 1
        if delivered is not None:
            self.reports.append(lambda: delivered(3, offset))

    def sender(self, topic: str, key: bytes) -> Callable[[bytes], None]:
        return partial(self.send, topic, key)

    async def room(self) -> None:
        """There always is."""

    def deliver(self) -> None:
        for report in self.reports:
            report()
        self.reports.clear()

    def of(self, topic: str) -> list[tuple[int, bytes, bytes | None]]:
        """Offset, key and value of each record of a topic."""
        sent = [(key, value) for to, key, value in self.sent if to == topic]
        return [(self.before + offset, key, value) for offset, (key, value) in enumerate(sent)]

    def progress(self) -> Progress:
        return decode_progress(
            next(v for to, _, v in reversed(self.sent) if to == PROGRESS and v is not None)
        )


class Shell:
    """One instrument whose effects are run; `rest` answers its requests, without it they are kept."""

    def __init__(self, rest: Any = None) -> None:
        self.broker = Broker()
        publisher: Any = self.broker
        clock = Clock()
        self.log = ProgressLog({})
        self.progress = ProgressWriter(publisher, clock)
        self.progress.begin(self.log)
        self.ledger = LedgerWriter(publisher, self.progress)
        self.rejections = Rejections("binance", self.broker.letters.append)
        self.distrusted: list[tuple[str, str, str]] = []
        self.runner = EffectRunner(
            publisher,
            rest,
            clock,
            ServiceMetrics("producer"),
            progress=self.progress,
            rejections=self.rejections,
            distrust=lambda *named: self.distrusted.append(named),
        )
        self.requests: list[Request] = []
        if rest is None:
            repairs: Any = self.runner.repairs
            repairs.start = lambda _instrument, request: self.requests.append(request)
        self.instrument = Instrument("binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=5)
        self.runner.register(self.instrument, ["1m"])

    def new_progress(self) -> ProgressWriter:
        """Of a process that has not read yet what the topics have."""
        publisher: Any = self.broker
        return ProgressWriter(publisher, Clock())

    def take(self, trade_id: int, at_ms: int) -> None:
        message = trade(trade_id=trade_id, trade_time_ms=NOW_MS + at_ms, received_time_ms=NOW_MS + at_ms)
        self.runner.run(self.instrument, self.instrument.receive("trade", message))

    def take_with_holes(self, holes: int) -> int:
        """The series knows of so many single missing trades; its newest id."""
        newest = 2 * holes + 1
        missing = tuple(OpenHole(number, number, NOW_MS, NOW_MS) for number in range(2, newest, 2))
        self.instrument.begin({SERIES: StartPosition(newest, missing, time_ms=NOW_MS)}, NOW_MS)
        self.take(newest + 1, 0)
        return newest + 1

    def begin_after(self, found: Progress) -> None:
        """The start has found this record as the newest of the trades."""
        self.log = ProgressLog({SERIES: found}, {SERIES: found})
        self.progress.begin(self.log)
        assert found.last_id is not None
        self.instrument.begin({SERIES: StartPosition(found.last_id, (), time_ms=NOW_MS)}, NOW_MS)

    def two_seconds(self) -> None:
        for _ in range(2):
            self.broker.deliver()
            self.ledger.write([(self.instrument, self.instrument.tick())])
            self.broker.deliver()
