"""Command lines and environment of a run's services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptostream.processes.child import Command
from shared.markets import Market

PRODUCERS = "producers"
CONSUMERS = "consumers"
SIMULATOR = "simulator"
API = "api"


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the services of a run share.

    Attributes:
        markets: of all exchanges.
        memory_broker: it creates topics by itself, and no state outlives it (DESIGN §7).
        environment: settings of source, broker and store.
    """

    markets: Sequence[Market]
    intervals: Sequence[str]
    memory_broker: bool
    environment: dict[str, str] = field(default_factory=dict)

    def producers(
        self,
        markets: Sequence[Market],
        positions: Path,
        metrics_port: int | None,
        *,
        instance: str,
        last_resort: bool,
    ) -> Command:
        """The producers of one exchange.

        Args:
            markets: of that exchange.
            positions: file of start positions.
            last_resort: they apply only to series of which the broker has nothing.
        """
        arguments = ["--symbols", _text(markets)]
        arguments += ["--stored" if last_resort else "--bearings", str(positions)]
        command = self._command(PRODUCERS, arguments, metrics_port)
        return replace(command, environment={**command.environment, "INSTANCE": instance})

    def consumers(self, *, rebuild_from_store: bool, metrics_port: int | None) -> Command:
        """All streams in one process: one process writes SQLite."""
        rebuild = ["--rebuild-from-store"] if rebuild_from_store else []
        return self._command(CONSUMERS, ["--stream", "all", *rebuild], metrics_port)

    def api(self, *, port: int, rebuild_from_store: bool, metrics_port: int | None) -> Command:
        """The page and its API.

        Args:
            port: 0 for a free one.
        """
        rebuild = ["--rebuild-from-store"] if rebuild_from_store else []
        command = self._command(API, ["--symbols", _text(self.markets), *rebuild], metrics_port)
        return replace(command, environment={**command.environment, "API_PORT": str(port)})

    def _command(self, module: str, arguments: list[str], metrics_port: int | None) -> Command:
        arguments += ["--intervals", ",".join(self.intervals)]
        if self.memory_broker:
            arguments.append("--memory-broker")
        own = {
            "SYMBOLS": _text(self.markets),
            "INTERVALS": ",".join(self.intervals),
            "LOG_FORMAT": "text",
            "INSTANCE": "0",
        }
        if metrics_port is not None:
            own["METRICS_PORT"] = str(metrics_port)
        return Command(module, arguments, {**self.environment, **own})


def _text(markets: Sequence[Market]) -> str:
    return ",".join(map(str, markets))


def simulator_command(
    exchange: str, symbols: Sequence[str], seed: int, start_ms: int, issued_log: Path | None, *, port: int
) -> Command:
    """Args:
    port: 0 for a free one.
    """
    arguments = ["--exchange", exchange, "--port", str(port), "--symbols", ",".join(symbols)]
    arguments += ["--seed", str(seed), "--start", str(start_ms), "--resume"]
    if issued_log is not None:
        arguments += ["--log", str(issued_log)]
    # Symbols without a prefix are this exchange's, whatever the run's EXCHANGE is.
    return Command(SIMULATOR, arguments, {"EXCHANGE": exchange, "SYMBOLS": ",".join(symbols)})


def replay_command(recordings: Sequence[Path], speed: float, *, shift_now: bool, port: int) -> Command:
    """Args:
    port: 0 for a free one.
    """
    arguments = ["--port", str(port), "--speed", f"{speed:g}"]
    if shift_now:
        arguments.append("--shift-now")
    return Command(SIMULATOR, [*arguments, "--replay", *map(str, recordings)], {})
