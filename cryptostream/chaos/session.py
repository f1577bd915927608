"""One stack from its start to its end: ticked, watched, drained, its results gathered."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consumers.indicators.registry import indicator_set
from consumers.stores.factory import open_reader
from cryptostream.chaos.engines import Engines
from cryptostream.chaos.export import Export, read_export
from cryptostream.chaos.health import Quiet, incomplete_because, services_of, unheard
from cryptostream.chaos.market import Market, Window
from cryptostream.chaos.processes import Say
from cryptostream.chaos.stack import Stack, StackOptions
from cryptostream.chaos.truth import Truth, read_truth
from cryptostream.chaos.watch import Watch
from shared.errors import CryptoStreamError

READY_S: Final = 60.0
DRAIN_S: Final = 90.0
_TICK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Drained:
    """How a stack ended.

    Attributes:
        window: of the world's time, from the first subscription to the market's end.
        seconds: from the market's end to the last stored record.
        complaints: what was not in order: not drained, not ended cleanly.
    """

    window: Window
    seconds: float
    complaints: tuple[str, ...]


class Session:
    """A running stack with someone who listens to it.

    Args:
        books: complete is only what has its books, too, while the market is open.

    Attributes:
        stack, watch: to disturb and to look at.
    """

    def __init__(
        self,
        engines: Engines,
        market: Market,
        options: StackOptions,
        directory: Path,
        say: Say,
        *,
        books: bool = True,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        engines.fresh(market.intervals)
        self._engines = engines
        self._market = market
        self._services = services_of(market.intervals)
        self._books_asked = books
        self.stack = Stack(engines, market, options, directory, say)
        self.watch = Watch(engines.kafka.bootstrap_servers)

    def start(self) -> None:
        """Start everything and wait until all services are at work.

        Raises:
            CryptoStreamError: they are not within a minute.
        """
        self.stack.start()
        deadline = time.monotonic() + READY_S
        while (reason := unheard(self.watch.reports, self._services, since_ms=0)) is not None:
            if time.monotonic() > deadline:
                raise CryptoStreamError(f"the stack is not at work after {READY_S:.0f} s: {reason}")
            self.tick()

    def tick(self, timeout_s: float = _TICK_S) -> None:
        """Look after the processes and hear what they say; takes about `timeout_s`."""
        self.stack.processes.tick(time.monotonic())
        self.watch.poll(timeout_s)

    def incomplete_because(self, since_ms: int) -> str | None:
        """Why the stack is not complete; only reports after `since_ms` count."""
        holes = sum(hole.last - hole.first + 1 for hole in self.watch.claims.holes())
        return incomplete_because(
            self.watch.reports, self._services, since_ms, holes, market_open=self._books_asked
        )

    def end(self, noticed_s: float = 0.0) -> Drained:
        """Freeze the market, let everything arrive, end the services and the exchange.

        Args:
            noticed_s: so long, at least, may it take until something is known to be missing.
        """
        frozen_ms = self.stack.freeze()
        self._books_asked = False
        began_s = time.monotonic()
        undrained = self._drain(noticed_s)
        seconds = time.monotonic() - began_s
        unclean = self.stack.stop_services()
        self.watch.poll(0.5)  # their last words
        self.watch.poll(0.5)
        self.stack.stop()
        complaints = (*unclean, *((f"not drained: {undrained}",) if undrained else ()))
        return Drained(Window(self._market.start_ms, frozen_ms), seconds, complaints)

    def _drain(self, noticed_s: float) -> str | None:
        """None once nothing is on its way any more, else what is after the deadline."""
        since_ms = time.time_ns() // 1_000_000
        quiet = Quiet(since_ms)
        noticed = time.monotonic() + noticed_s
        deadline = noticed + DRAIN_S
        while True:
            self.tick()
            settled = quiet.receive(self.watch.reports.get("producer"))
            missing = self.watch.claims.awaited_count()
            behind = self.incomplete_because(since_ms)
            if settled and not missing and behind is None and time.monotonic() >= noticed:
                return None
            if time.monotonic() > deadline:
                return behind or f"{missing} ids are expected and not stored"

    def export(self, window: Window, *, indicators: bool = True) -> Export:
        """What the store has of a window."""
        settings = self._engines.settings(self._market.symbols, self._market.intervals)
        columns = indicator_set(settings.indicators).columns
        with closing(open_reader(settings)) as reader:
            return read_export(
                reader, self._market.symbols, self._market.intervals, window, columns, indicators=indicators
            )

    def truth(self) -> Truth:
        """What the exchange issued; after `end`."""
        with self.stack.log_path.open("rb") as lines:
            return read_truth(lines)

    def close(self) -> None:
        """End what still runs."""
        self.stack.stop()
        self.watch.close()
