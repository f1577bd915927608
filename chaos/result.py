"""The result of a scenario, and whether every promise was kept. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from chaos.differences import Differences
from chaos.scenarios import Scenario
from chaos.topic_invariants import TopicReport

# Queues (64 MB of records towards Kafka, one batch towards the store) on top of the idle process.
MOST_MB = 300.0
# Fewer compared rows prove nothing.
LEAST_ROWS = 1_000


@dataclass(slots=True)
class Result:
    """Figures of one run of a scenario.

    Attributes:
        fired: by the fault that the scenario is about. records: hit records of all faults, by stream.
        kills: all kills; `early_kills` those during a start.
        recoveries_s: from a disturbance to completeness.
        lost: ids that the ledger reports as lost.
        rows: compared rows of the store.
        unexpected_exits: one line for each exit of a service that the harness did not cause.
        most_mb: largest resident memory of each service.
        topics: what was on the topics; None before they are read.
    """

    scenario: Scenario
    fired: int = 0
    silent_faults: tuple[str, ...] = ()
    records: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    early_kills: int = 0
    rollovers: int = 0
    messages_per_s: float = 0.0
    recoveries_s: list[float] = field(default_factory=list)
    drain_s: float = 0.0
    seconds: float = 0.0
    rows: int = 0
    books: int = 0
    lost: int = 0
    dead_letters: int = 0
    most_mb: dict[str, float] = field(default_factory=dict)
    topics: TopicReport | None = None
    differences: Differences = field(default_factory=Differences)
    complaints: list[str] = field(default_factory=list)
    unexpected_exits: tuple[str, ...] = ()
    error: str | None = None

    def include(self, other: Result) -> None:
        """Add another run of the same scenario."""
        for name in ("fired", "kills", "early_kills", "rollovers", "seconds", "rows", "books", "lost"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.dead_letters += other.dead_letters
        self.records.update(other.records)
        self.recoveries_s += other.recoveries_s
        self.silent_faults += other.silent_faults
        self.complaints += other.complaints
        self.unexpected_exits += other.unexpected_exits
        self.differences.update(other.differences)
        self.messages_per_s = max(self.messages_per_s, other.messages_per_s)
        self.drain_s = max(self.drain_s, other.drain_s)
        for name, most in other.most_mb.items():
            self.most_mb[name] = max(most, self.most_mb.get(name, 0.0))
        self.error = self.error or other.error

    def broken(self) -> list[str]:
        """One line for each broken promise."""
        if self.error is not None:
            return [self.error]
        scenario = self.scenario
        lines = [*self.complaints, *self.differences.lines()]
        if not scenario.server_dies:
            lines += self.unexpected_exits
        lines += [f"{fault} never fired" for fault in self.silent_faults]
        if scenario.faults and not self.records:
            lines.append("the faults hit nothing")
        if self.rows < LEAST_ROWS:
            lines.append(f"{self.rows} rows were compared, fewer than {LEAST_ROWS:,}")
        if self.lost:
            lines.append(f"{self.lost} ids are lost")
        if scenario.kill is not None and not self.kills:
            lines.append("nothing was killed")
        if self.rollovers < scenario.rollovers:
            lines.append(f"{self.rollovers} rollovers, not {scenario.rollovers}")
        lines += [
            f"{name} held {most:.0f} MB, more than {MOST_MB:.0f}"
            for name, most in self.most_mb.items()
            if most > MOST_MB
        ]
        return lines

    @property
    def too_slow(self) -> bool:
        """Whether the machine was too slow for the rate that the promises are made for."""
        return self.error is None and self.messages_per_s < self.scenario.least_rate

    @property
    def outcome(self) -> str:
        """`kept`, `BROKEN` or `too slow`."""
        return "BROKEN" if self.broken() else "too slow" if self.too_slow else "kept"

    def recovery(self) -> tuple[float, float] | None:
        """Median and longest, in seconds."""
        times = sorted(self.recoveries_s)
        return (times[len(times) // 2], times[-1]) if times else None
