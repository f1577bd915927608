"""The whole stack on the simulator, with the page's service; what breaks it on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import orjson

from chaos.market import Market
from chaos.servers import Servers
from chaos.session import Session
from chaos.stack import CONSUMERS, PRODUCER, StackOptions
from cryptostream.processes.child import Command
from cryptostream.processes.server import free_port

API: Final = "api"
SYMBOLS: Final = ("BTCUSDC", "ETHUSDC")
INTERVALS: Final = ("1s", "1m")
Found = TypeVar("Found")


class World:
    """A stack at the market's own speed.

    Attributes:
        url: of the page.
        metrics_url: of the service's own figures and readiness.

    Args:
        exchange: further arguments of the simulator.
    """

    def __init__(self, servers: Servers, directory: Path, exchange: Sequence[str] = ()) -> None:
        self.servers = servers
        # The exchange's time is ours, however long its start takes: an age is true, and what is old is stale.
        market = Market(time.time_ns() // 1_000_000, SYMBOLS, INTERVALS, rate=3.0)
        options = StackOptions(1.0, ("--resume", *exchange))
        self._session = Session(servers, market, options, directory, print, books=False)
        self._port = free_port()
        self._metrics_port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.metrics_url = f"http://127.0.0.1:{self._metrics_port}"

    def start(self) -> None:
        """Start everything; the API answers when this returns."""
        self._session.start()
        self.start_api()

    def start_api(self) -> None:
        environment = {
            **self.servers.environment(),
            "SYMBOLS": ",".join(SYMBOLS),
            "INTERVALS": ",".join(INTERVALS),
            "BINANCE_WS_URL": self._session.stack.exchange_url.replace("http", "ws", 1),
            "API_PORT": str(self._port),
            "METRICS_PORT": str(self._metrics_port),
            "LOG_FORMAT": "text",
        }
        stack = self._session.stack
        stack.processes.start(API, lambda: Command("api", [], environment), policy=stack.restart_policy)
        self.until("the API", self._answers)

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return bool(httpx.get(f"{self.url}/api/v1/instruments", timeout=60).is_success)
        return False

    def until(
        self,
        what: str,
        look: Callable[[], Found | None],
        within_s: float = 120.0,
        *,
        doubt: Callable[[], str] = lambda: "",
    ) -> Found:
        """The first result of `look` that is true; the stack is supervised meanwhile.

        Raises:
            AssertionError: naming `what`, and what `doubt` says.
        """
        give_up_s = time.monotonic() + within_s
        while not (found := look()):
            assert time.monotonic() < give_up_s, f"no {what} within {within_s:.0f} s {doubt()}"
            self._session.tick(0.05)
        return found

    def tick(self) -> None:
        """Supervise the stack for a moment."""
        self._session.tick(0.05)

    def fault(self, **fault: Any) -> None:
        """Post a fault to the exchange."""
        answer = httpx.post(
            f"{self._session.stack.exchange_url}/simulator/faults",
            content=orjson.dumps({"faults": [fault]}),
            timeout=60,
        )
        assert answer.status_code == httpx.codes.OK, answer.text

    def end_producer(self) -> None:
        """Stop the producer for good."""
        self._session.stack.stop_processes((PRODUCER,))

    def end_consumers(self) -> None:
        """Stop all consumers for good."""
        self._session.stack.stop_processes(tuple(CONSUMERS))

    def end_api(self) -> None:
        """Stop the page's service for good."""
        self._session.stack.stop_processes((API,))

    def close(self) -> None:
        self._session.close()
