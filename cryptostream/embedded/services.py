"""The command lines of a run's services, and what is set in their environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptostream.embedded.process import Command

PRODUCERS = "producers"
CONSUMERS = "consumers"
SIMULATOR = "simulator"


@dataclass(frozen=True, slots=True)
class Wiring:
    """What all services of a run have in common.

    Attributes:
        memory_broker: topics make themselves, and no state outlives the broker (DESIGN §7).
        environment: settings of source, broker and store.
    """

    symbols: Sequence[str]
    intervals: Sequence[str]
    memory_broker: bool
    environment: dict[str, str] = field(default_factory=dict)

    def producers(self, bearings: Path, metrics_port: int | None, *, last_resort: bool) -> Command:
        """Args:
        bearings: file with where each series stands.
        last_resort: it counts only for series of which the broker has nothing.
        """
        arguments = ["--symbols", ",".join(self.symbols), "--intervals", ",".join(self.intervals)]
        arguments += ["--stored" if last_resort else "--bearings", str(bearings)]
        if self.memory_broker:
            arguments.append("--memory-broker")
        return Command(PRODUCERS, arguments, self._environment(metrics_port))

    def consumers(self, *, rebuild_from_store: bool, metrics_port: int | None) -> Command:
        """All streams in one process: one process writes SQLite."""
        arguments = ["--stream", "all", "--intervals", ",".join(self.intervals)]
        if self.memory_broker:
            arguments.append("--memory-broker")
        if rebuild_from_store:
            arguments.append("--rebuild-from-store")
        return Command(CONSUMERS, arguments, self._environment(metrics_port))

    def _environment(self, metrics_port: int | None) -> dict[str, str]:
        own = {
            "SYMBOLS": ",".join(self.symbols),
            "INTERVALS": ",".join(self.intervals),
            "LOG_FORMAT": "text",
            "INSTANCE": "0",
        }
        if metrics_port is not None:
            own["METRICS_PORT"] = str(metrics_port)
        return {**self.environment, **own}


def simulator_command(
    port: int, symbols: Sequence[str], seed: int, start_ms: int, issued_log: Path | None
) -> Command:
    """Args:
    port: 0 for a free one.
    """
    arguments = ["--port", str(port), "--symbols", ",".join(symbols)]
    arguments += ["--seed", str(seed), "--start", str(start_ms), "--resume"]
    if issued_log is not None:
        arguments += ["--log", str(issued_log)]
    return Command(SIMULATOR, arguments, {})


def replay_command(port: int, recordings: Sequence[Path], speed: float, *, shift_now: bool) -> Command:
    """Args:
    port: 0 for a free one.
    """
    arguments = ["--port", str(port), "--speed", f"{speed:g}"]
    if shift_now:
        arguments.append("--shift-now")
    return Command(SIMULATOR, [*arguments, "--replay", *map(str, recordings)], {})
