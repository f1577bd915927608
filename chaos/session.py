"""One stack from start to end: supervised, monitored, drained, its results collected."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.exchange_log import ExchangeLog, read_exchange_log
from chaos.market import Market, Window
from chaos.monitor import Monitor
from chaos.recovery import all_fetched, incomplete_because, services_of, silent_service
from chaos.servers import Servers
from chaos.stack import Stack, StackOptions
from chaos.store_export import Export, read_export
from consumers.indicators.registry import indicator_set
from consumers.stores.factory import open_reader
from cryptostream.processes.supervisor import Say
from cryptostream.run.shutdown import QuiescenceDetector
from shared.errors import CryptoStreamError

READY_S: Final = 60.0
DRAIN_S: Final = 90.0
_TICK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Drained:
    """The end of a session.

    Attributes:
        window: of the world's time, from the first subscription to the market's end.
        seconds: from the market's end to the last stored record.
        complaints: one line each: not drained, services that did not end cleanly.
    """

    window: Window
    seconds: float
    complaints: tuple[str, ...]


class Session:
    """A running stack and its monitor.

    Args:
        books: complete includes synced books while the market is open.
    """

    def __init__(
        self,
        servers: Servers,
        market: Market,
        options: StackOptions,
        directory: Path,
        say: Say,
        *,
        books: bool = True,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        servers.fresh(market.intervals)
        self._servers = servers
        self._market = market
        self._services = services_of(market.intervals)
        self._books_asked = books
        self.stack = Stack(servers, market, options, directory, say)
        self.monitor = Monitor(servers.kafka.bootstrap_servers)

    def start(self) -> None:
        """Start everything and wait until all services report.

        Raises:
            CryptoStreamError: not within a minute.
        """
        self.stack.start()
        deadline = time.monotonic() + READY_S
        while (reason := silent_service(self.monitor.reports, self._services, since_ms=0)) is not None:
            if time.monotonic() > deadline:
                raise CryptoStreamError(f"the stack is not at work after {READY_S:.0f} s: {reason}")
            self.tick()

    def tick(self, timeout_s: float = _TICK_S) -> None:
        """Supervise the processes and read their reports; takes about `timeout_s`."""
        self.stack.processes.tick(time.monotonic())
        self.monitor.poll(timeout_s)

    def incomplete_because(self, since_ms: int) -> str | None:
        """Why the stack is not complete; only reports after `since_ms` count."""
        holes = sum(hole.last - hole.first + 1 for hole in self.monitor.claims.holes())
        return incomplete_because(
            self.monitor.reports, self._services, since_ms, holes, market_open=self._books_asked
        )

    def end(self, noticed_s: float = 0.0) -> Drained:
        """Freeze the market, let everything drain, end the services and the exchange.

        Args:
            noticed_s: least time until missing records are noticed.
        """
        frozen_ms = self.stack.freeze()
        self._books_asked = False
        began_s = time.monotonic()
        undrained = self._drain(noticed_s)
        seconds = time.monotonic() - began_s
        unclean = self.stack.stop_services()
        self.monitor.poll(0.5)  # their last reports
        self.monitor.poll(0.5)
        self.stack.stop()
        complaints = (*unclean, *((f"not drained: {undrained}",) if undrained else ()))
        # Streams begin after this time: a trade at it is history.
        window = Window(self._market.start_ms + 1, frozen_ms, self._market.waits_ms)
        return Drained(window, seconds, complaints)

    def _drain(self, noticed_s: float) -> str | None:
        """None once everything has arrived; after the deadline the reason why not."""
        since_ms = time.time_ns() // 1_000_000
        detector, quiescent = QuiescenceDetector(since_ms), False
        noticed = time.monotonic() + noticed_s
        deadline = noticed + DRAIN_S
        while True:
            self.tick()
            report = self.monitor.reports.get("producer")
            if report is not None:
                quiescent = detector.receive(report.time_ms, report.messages, fetched=all_fetched(report))
            missing = self.monitor.claims.awaited_count()
            behind = self.incomplete_because(since_ms)
            if quiescent and not missing and behind is None and time.monotonic() >= noticed:
                return None
            if time.monotonic() > deadline:
                return behind or f"{missing} ids are expected and not stored"

    def export(self, window: Window, *, indicators: bool = True) -> Export:
        """The stored points of a window."""
        market = self._market
        settings = self._servers.settings(market.symbols, market.intervals, market.exchange)
        columns = indicator_set(settings.indicators).columns
        with closing(open_reader(settings)) as reader:
            return read_export(
                reader, self._market.symbols, self._market.intervals, window, columns, indicators=indicators
            )

    def exchange_log(self) -> ExchangeLog:
        """What the exchange issued; after `end`."""
        with self.stack.log_path.open("rb") as lines:
            return read_exchange_log(lines)

    def close(self) -> None:
        """End what still runs."""
        self.stack.stop()
        self.monitor.close()
