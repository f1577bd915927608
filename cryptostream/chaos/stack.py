"""A whole stack of processes: exchange, producer, one consumer process for each kind of stream."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptostream.chaos.engines import Engines
from cryptostream.chaos.market import Market
from cryptostream.chaos.processes import Processes, Say
from cryptostream.embedded.process import Command
from cryptostream.embedded.simulator_link import SimulatorLink
from cryptostream.embedded.source import get_json
from shared.errors import ExchangeUnavailable

EXCHANGE: Final = "exchange"
PRODUCER: Final = "producer"
LEDGER: Final = "ledger"
# A process of consumers and the streams that it serves.
CONSUMERS: Final[dict[str, tuple[str, ...]]] = {
    "klines": ("klines",),
    "trades": ("trades",),
    "book": ("book", "quotes"),
    LEDGER: ("ledger",),
}
DATA_CONSUMERS: Final = tuple(name for name in CONSUMERS if name != LEDGER)

_LISTENING_S: Final = 60.0
_CONTROL_TIMEOUT_S: Final = 30.0
# On a busy machine the market is behind its clock, and what is due has to be sent first.
_FREEZE_TIMEOUT_S: Final = 180.0
_STOP_S: Final = 15.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Modules:
    """What is started with `python -m`: module and leading arguments, for producers and for consumers."""

    producers: tuple[str, ...] = ("producers",)
    consumers: tuple[str, ...] = ("consumers",)


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How one stack is run.

    Attributes:
        speed: world seconds in a real second.
        exchange: further arguments of the simulator.
        environment: further settings of the services.
    """

    speed: float
    exchange: Sequence[str] = ()
    modules: Modules = field(default_factory=Modules)
    environment: Mapping[str, str] = field(default_factory=dict)


class Stack:
    """Start it, tick it, disturb it, stop it.

    Attributes:
        processes: to be killed by scenarios.
        log_path: what the exchange issued and withheld.
    """

    def __init__(
        self, engines: Engines, market: Market, options: StackOptions, directory: Path, say: Say
    ) -> None:
        self._engines = engines
        self._market = market
        self._options = options
        self._link = SimulatorLink(say)
        self.log_path = directory / "issued.jsonl"
        self.processes = Processes(directory / "logs", say)

    def start(self) -> None:
        """Start everything; the services are coming up when this returns.

        Raises:
            ExchangeUnavailable: the exchange does not listen in time.
        """
        arguments = [*self._market.arguments(), "--speed", f"{self._options.speed:g}"]
        arguments += ["--log", str(self.log_path), *self._options.exchange]
        self.processes.start(EXCHANGE, Command("simulator", arguments, {}), self._link.on_output)
        deadline = time.monotonic() + _LISTENING_S
        while not self._link.listening:
            if time.monotonic() > deadline:
                raise ExchangeUnavailable(f"the simulator does not listen after {_LISTENING_S:.0f} s")
            self._link.tick(_POLL_S)
            self.processes.tick(time.monotonic())
        self.start_consumers()
        intervals, symbols = ",".join(self._market.intervals), ",".join(self._market.symbols)
        self._service(
            PRODUCER, self._options.modules.producers, ["--symbols", symbols, "--intervals", intervals]
        )

    def start_consumers(self) -> None:
        """A process for each kind of stream; `start` does it."""
        intervals = ",".join(self._market.intervals)
        for name, streams in CONSUMERS.items():
            chosen = [part for stream in streams for part in ("--stream", stream)]
            self._service(name, self._options.modules.consumers, [*chosen, "--intervals", intervals])

    def _service(self, name: str, module: Sequence[str], arguments: Sequence[str]) -> None:
        environment = {
            **self._engines.environment(),
            "BINANCE_REST_URL": self._link.rest_url,
            "BINANCE_HISTORY_URL": self._link.rest_url,
            "BINANCE_WS_URL": self._link.ws_url,
            "SYMBOLS": ",".join(self._market.symbols),
            "INTERVALS": ",".join(self._market.intervals),
            "WARMUP_BARS": str(self._market.warmup_bars),
            "INSTANCE": "0",
            "LOG_FORMAT": "text",
            **self._options.environment,
        }
        self.processes.start(name, Command(module[0], [*module[1:], *arguments], environment))

    def exchange_state(self) -> dict[str, Any]:
        """The simulator's own account of itself."""
        state: dict[str, Any] = get_json(f"{self._link.rest_url}/simulator/state", _CONTROL_TIMEOUT_S)
        return state

    def faults(self) -> list[dict[str, Any]]:
        """How often each scripted fault has fired so far."""
        fired: list[dict[str, Any]] = get_json(f"{self._link.rest_url}/simulator/faults", _CONTROL_TIMEOUT_S)
        return fired

    def freeze(self) -> int:
        """Stop the market; its last instant in ms. All that was issued has been sent when this returns."""
        answer = get_json(f"{self._link.rest_url}/simulator/freeze", _FREEZE_TIMEOUT_S)
        return int(answer["frozen_at_ms"])

    def stop_services(self) -> list[str]:
        """End them in the order of the data; one line for each that did not end cleanly."""
        unclean = self.processes.stop((PRODUCER,), _STOP_S)
        unclean += self.processes.stop(DATA_CONSUMERS, _STOP_S)
        return unclean + self.processes.stop((LEDGER,), _STOP_S)

    def stop(self) -> None:
        """The exchange last, so that its log is whole; whatever still runs is killed."""
        self.processes.stop((EXCHANGE,), _STOP_S)
        self.processes.kill_all()
