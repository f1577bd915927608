"""The result of a run, and its problems. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipelines.snapshots.alerts import Problem
from pipelines.snapshots.quality.quarantine import Quarantined, RuleResult
from pipelines.snapshots.rows import FINAL_REASONS, Origin, SnapshotRow
from pipelines.snapshots.slots import slot_text

_SYMBOL: Final = "symbol "
_LATE: Final = "late"


@dataclass(frozen=True, slots=True)
class RunResult:
    """Attributes:
    late: the run began after its slot had ended: its rows are backfilled from klines.
    rows: of the run's own slot, one a symbol.
    filled: rows of passed slots.
    results: counts of each rule.
    landed: slots written to the landing.
    failures: reasons by destination ("landing", "warehouse") that could not be written.
    waiting: files of rows left in the spool.
    seconds: duration of the run.
    """

    slot_ms: int
    origin: Origin
    late: bool
    rows: Sequence[SnapshotRow]
    filled: Sequence[SnapshotRow]
    quarantined: Sequence[Quarantined]
    results: Sequence[RuleResult]
    landed: int = 0
    waiting: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether all rows are complete and have landed."""
        return all(row.status == "complete" for row in self.rows) and not self.failures and not self.late

    @property
    def state(self) -> str:
        """`complete`, `partial` (some rows), `late` (only what klines give) or `failed`."""
        if self.complete:
            return "complete"
        if self.late:
            return "late"
        return "partial" if any(row.status == "complete" for row in self.rows) else "failed"


def problems_of(result: RunResult) -> list[Problem]:
    """Problems to alert about."""
    found = [Problem(name, f"{name}: {text}") for name, text in result.failures.items()]
    # A manual run of a passed slot is late by intent.
    if result.late and result.origin == "scheduled":
        found.append(Problem(_LATE, f"the run of {slot_text(result.slot_ms)} came after its slot had ended"))
    for row in result.rows:
        # A late run repeats nothing but reasons that are final.
        if row.status != "complete" and not (result.late and row.reason not in FINAL_REASONS):
            found.append(Problem(_SYMBOL + row.symbol, f"{row.symbol}: {row.status}, {row.reason}"))
    return found


def covers(result: RunResult, key: str) -> bool:
    """Whether the run looked at what a problem is about: not reporting it then means that it is over.

    A symbol is covered by runs that observed it: not by late ones, nor by those of other symbols. The
    scheduler is covered by scheduled runs.
    """
    if key == _LATE:
        return result.origin == "scheduled"
    if not key.startswith(_SYMBOL):
        return True
    return not result.late and key.removeprefix(_SYMBOL) in {row.symbol for row in result.rows}
