"""What is measured: the whole stack at the pace of a live market, with the page's service."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import httpx
import orjson
import psutil

from bench.end_to_end import Reports
from chaos.market import Market
from chaos.servers import Servers
from chaos.stack import PRODUCER, Stack, StackOptions
from cryptostream.processes.child import Command
from cryptostream.processes.server import free_port

API: Final = "api"
INTERVALS: Final = ("1s", "1m")
RATE: Final = 220.0  # multiplies the simulator's trades: some 2,400 messages a second
_READY_S: Final = 180.0


class Stage:
    """A running stack; a context manager.

    Attributes:
        url: of the page.
        symbol: the first of the market's.
        reports: of the services, from the start.

    Args:
        warmup_bars: that are there at the start.
    """

    def __init__(self, servers: Servers, directory: Path, *, rate: float, warmup_bars: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        market = Market(time.time_ns() // 1_000_000, intervals=INTERVALS, rate=rate, warmup_bars=warmup_bars)
        servers.fresh(market.intervals)
        self.symbol = market.symbols[0]
        self._market = market
        self._servers = servers
        # Ages compare the exchange's clock with ours: they must be the same.
        self._stack = Stack(servers, market, StackOptions(1.0, ("--resume",)), directory, print)
        self._held = directory / "held.jsonl"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.reports = Reports(servers.kafka.bootstrap_servers)

    def __enter__(self) -> Self:
        try:
            self._stack.start()
            environment = {
                **self._servers.environment(),
                "SYMBOLS": ",".join(self._market.symbols),
                "INTERVALS": ",".join(INTERVALS),
                "API_PORT": str(self._port),
                "LOG_FORMAT": "text",
            }
            command = Command("bench.dashboard.measured_api", [str(self._held)], environment)
            self._stack.processes.start(API, lambda: command, policy=self._stack.restart_policy)
            self._until(self._answers)
            self._until(self._flows)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.stop_processes((API,))
        self._stack.stop_services()
        self._stack.stop()
        self.reports.close()

    def tick(self, seconds: float) -> None:
        """Supervise the stack for so long."""
        until_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < until_s:
            self._stack.processes.tick(now_s)
            self.reports.poll(min(0.1, until_s - now_s))

    def messages(self) -> int:
        """That the producer has sent so far."""
        return int(self.reports.newest.get(PRODUCER, {}).get("messages", 0))

    def api_cpu_s(self) -> float:
        """CPU time of the page's service so far."""
        times = psutil.Process(self._stack.processes.pids()[API]).cpu_times()
        return float(times.user + times.system)

    def held_bytes(self, from_ms: float, client: int) -> list[int]:
        """What waited for a client, by the order in which they came, since a time."""
        lines = map(orjson.loads, self._held.read_bytes().splitlines())
        return [held[client] for at_ms, held in lines if at_ms >= from_ms and len(held) > client]

    def stored_ms(self) -> dict[str, float]:
        """Median age of each stream's newest stored event, of those that the page shows as they happen."""
        return {
            stream: sorted(p50 for p50, _ in seen)[len(seen) // 2]
            for (stream, hop), seen in sorted(self.reports.latencies.items())
            if hop == "stored" and stream in ("trades", "quotes", "book")
        }

    def _until(self, look: Callable[[], Any]) -> None:
        give_up_s = time.monotonic() + _READY_S
        while not look():
            if time.monotonic() > give_up_s:
                raise SystemExit(f"the stack is not at work after {_READY_S:.0f} s")
            self.tick(0.2)

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return bool(httpx.get(f"{self.url}/api/v1/instruments", timeout=5).is_success)
        return False

    def _flows(self) -> bool:
        """The bars of before are stored, and the consumers are not behind."""
        asked = {"exchange": "binance", "interval": "1m", "symbol": self._market.symbols[-1], "last": 2}
        with suppress(httpx.HTTPError):
            found = httpx.get(f"{self.url}/api/v1/rows/indicator", params=asked, timeout=5)
            rows = found.json()["rows"] if found.is_success else []
            fresh_ms = time.time() * 1000 - 180_000
            return bool(rows and rows[-1][0] > fresh_ms and self.reports.lag() < 2_000)
        return False
