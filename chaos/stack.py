"""A stack of processes: exchange, producer, one consumer process for each group of streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaos.market import Market
from chaos.servers import Servers
from cryptostream.processes.child import Command
from cryptostream.processes.supervisor import GiveUp, Restart, Say, Supervisor
from cryptostream.run.simulator import SimulatorClient
from cryptostream.run.source import get_json
from producers.exchanges.registry import exchange_named
from shared.errors import ExchangeUnavailable

EXCHANGE: Final = "exchange"
PRODUCER: Final = "producer"
LEDGER: Final = "ledger"
# Consumer processes and their streams.
CONSUMERS: Final[dict[str, tuple[str, ...]]] = {
    "klines": ("klines",),
    "trades": ("trades",),
    "book": ("book", "quotes"),
    LEDGER: ("ledger",),
}
DATA_CONSUMERS: Final = tuple(name for name in CONSUMERS if name != LEDGER)

_LISTENING_S: Final = 60.0
_CONTROL_TIMEOUT_S: Final = 30.0
# On a busy machine the market is behind its clock, and due events are sent first.
_FREEZE_TIMEOUT_S: Final = 180.0
_STOP_S: Final = 15.0
_POLL_S: Final = 0.05
_RESTART_DELAY_S: Final = 0.5
_MOST_UNEXPECTED_EXITS: Final = 30


@dataclass(frozen=True, slots=True)
class Modules:
    """Module and leading arguments for `python -m`, of producers and of consumers."""

    producers: tuple[str, ...] = ("producers",)
    consumers: tuple[str, ...] = ("consumers",)


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Options of one stack.

    Attributes:
        speed: world seconds in a real second.
        exchange: further arguments of the simulator. producer: of the producer.
        environment: further settings of the services.
    """

    speed: float
    exchange: Sequence[str] = ()
    producer: Sequence[str] = ()
    modules: Modules = field(default_factory=Modules)
    environment: Mapping[str, str] = field(default_factory=dict)


class RestartAlways:
    """Restarts as a container platform does, without backoff, up to 30 times for all processes together."""

    def __init__(self) -> None:
        self._exits = 0

    def exited(self, _now_s: float, /) -> Restart | GiveUp:
        """See `cryptostream.processes.supervisor.RestartPolicy`."""
        self._exits += 1
        if self._exits > _MOST_UNEXPECTED_EXITS:
            return GiveUp(way_out=f"more than {_MOST_UNEXPECTED_EXITS} unexpected exits")
        return Restart(_RESTART_DELAY_S)

    def forget(self) -> None:
        """Forget earlier exits, after a new fault."""
        self._exits = 0


class Stack:
    """The processes of one run.

    Attributes:
        processes: killed by scenarios.
        restart_policy: of all processes together.
        log_path: log of issued and withheld records.
    """

    def __init__(
        self, servers: Servers, market: Market, options: StackOptions, directory: Path, say: Say
    ) -> None:
        self._servers = servers
        self._market = market
        self._options = options
        self._link = SimulatorClient(say)
        self.log_path = directory / "issued.jsonl"
        self.restart_policy = RestartAlways()
        self.processes = Supervisor(
            lambda name: directory / "logs" / f"{name}.log", say, relay_warnings=False
        )

    def start(self) -> None:
        """Start everything; the services are coming up when this returns.

        Raises:
            ExchangeUnavailable: the exchange does not listen in time.
        """
        arguments = [*self._market.arguments(), "--speed", f"{self._options.speed:g}"]
        arguments += ["--log", str(self.log_path), *self._options.exchange]
        self._start(EXCHANGE, Command("simulator", arguments, {}), self._link.on_output)
        deadline = time.monotonic() + _LISTENING_S
        while not self._link.listening:
            if time.monotonic() > deadline:
                raise ExchangeUnavailable(f"the simulator does not listen after {_LISTENING_S:.0f} s")
            self._link.tick(_POLL_S)
            self.processes.tick(time.monotonic())
        self.start_consumers()
        intervals, symbols = ",".join(self._market.intervals), ",".join(self._market.symbols)
        arguments = ["--symbols", symbols, "--intervals", intervals, *self._options.producer]
        self._service(PRODUCER, self._options.modules.producers, arguments)

    def start_consumers(self) -> None:
        """One process for each group of streams; part of `start`."""
        intervals = ",".join(self._market.intervals)
        for name, streams in CONSUMERS.items():
            chosen = [part for stream in streams for part in ("--stream", stream)]
            self._service(name, self._options.modules.consumers, [*chosen, "--intervals", intervals])

    def _service(self, name: str, module: Sequence[str], arguments: Sequence[str]) -> None:
        addresses = exchange_named(self._market.exchange).settings
        environment = {
            **self._servers.environment(),
            "EXCHANGE": self._market.exchange,
            addresses.rest: self._link.rest_url,
            addresses.history: self._link.rest_url,
            addresses.stream: self._link.ws_url,
            "SYMBOLS": ",".join(self._market.symbols),
            "INTERVALS": ",".join(self._market.intervals),
            "WARMUP_BARS": str(self._market.warmup_bars),
            "INSTANCE": "0",
            "LOG_FORMAT": "text",
            **self._options.environment,
        }
        self._start(name, Command(module[0], [*module[1:], *arguments], environment))

    def _start(
        self, name: str, command: Command, on_output: Callable[[str], None] = lambda _line: None
    ) -> None:
        self.processes.start(name, lambda: command, on_output, policy=self.restart_policy)

    @property
    def exchange_url(self) -> str:
        """Of the simulator's REST and control requests."""
        return self._link.rest_url

    def exchange_state(self) -> dict[str, Any]:
        """The simulator's state."""
        state: dict[str, Any] = get_json(f"{self._link.rest_url}/simulator/state", _CONTROL_TIMEOUT_S)
        return state

    def faults(self) -> list[dict[str, Any]]:
        """Counts of each scripted fault so far."""
        fired: list[dict[str, Any]] = get_json(f"{self._link.rest_url}/simulator/faults", _CONTROL_TIMEOUT_S)
        return fired

    def freeze(self) -> int:
        """Stop the market; its last instant in ms. On return all issued records have been sent."""
        answer = get_json(f"{self._link.rest_url}/simulator/freeze", _FREEZE_TIMEOUT_S)
        return int(answer["frozen_at_ms"])

    def stop_services(self) -> list[str]:
        """End the services in data-flow order; one line for each that did not end cleanly."""
        unclean = self.stop_processes((PRODUCER,))
        unclean += self.stop_processes(DATA_CONSUMERS)
        return unclean + self.stop_processes((LEDGER,))

    def stop(self) -> None:
        """End the exchange, so that its log is complete, and kill everything that still runs."""
        self.stop_processes((EXCHANGE,))
        self.processes.kill_all()

    def stop_processes(self, names: Sequence[str]) -> list[str]:
        """SIGTERM; one line for each that did not end cleanly within 15 s."""
        for name in names:
            self.processes.terminate(name)
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline and any(map(self.processes.running, names)):
            time.sleep(_POLL_S)
        return [line for name in names if (line := self.processes.finish(name)) is not None]
