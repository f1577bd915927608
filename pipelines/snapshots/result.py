"""What a run has done, and what of it is a problem. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipelines.snapshots.alerts import Problem
from pipelines.snapshots.quality.quarantine import Held, RuleResult
from pipelines.snapshots.rows import FINAL_REASONS, Origin, SnapshotRow
from pipelines.snapshots.slots import slot_text

_SYMBOL: Final = "symbol "
_LATE: Final = "late"


@dataclass(frozen=True, slots=True)
class RunResult:
    """Attributes:
    late: the run came after its slot had ended: its rows are what klines give, if there were none yet.
    rows: of the run's own slot, one a symbol.
    filled: rows of passed slots.
    results: how each rule went.
    landed: slots written to the landing place.
    troubles: which places took nothing, and why: "landing", "warehouse".
    waiting: files of rows in the spool.
    seconds: that the run took.
    """

    slot_ms: int
    origin: Origin
    late: bool
    rows: Sequence[SnapshotRow]
    filled: Sequence[SnapshotRow]
    held: Sequence[Held]
    results: Sequence[RuleResult]
    landed: int = 0
    waiting: int = 0
    troubles: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """All symbols' rows are complete and have landed."""
        return all(row.status == "complete" for row in self.rows) and not self.troubles and not self.late

    @property
    def state(self) -> str:
        """`complete`, `partial` (some rows), `late` (only what klines give) or `failed`."""
        if self.complete:
            return "complete"
        if self.late:
            return "late"
        return "partial" if any(row.status == "complete" for row in self.rows) else "failed"


def problems_of(result: RunResult) -> list[Problem]:
    """What people have to know of."""
    found = [Problem(place, f"{place}: {text}") for place, text in result.troubles.items()]
    # A passed slot that somebody asks for is late by intent.
    if result.late and result.origin == "scheduled":
        found.append(Problem(_LATE, f"the run of {slot_text(result.slot_ms)} came after its slot had ended"))
    for row in result.rows:
        # That a symbol is gone or halted was told once already, by the same key.
        if row.status != "complete" and not (result.late and row.reason not in FINAL_REASONS):
            found.append(Problem(_SYMBOL + row.symbol, f"{row.symbol}: {row.status}, {row.reason}"))
    return found


def is_judged(result: RunResult, key: str) -> bool:
    """Whether a run that does not name a problem says by that that it is over.

    Of a symbol only one that took it: a late run has not seen its market, nor has one of other symbols. Of
    the scheduler only a run of it.
    """
    if key == _LATE:
        return result.origin == "scheduled"
    if not key.startswith(_SYMBOL):
        return True
    return not result.late and key.removeprefix(_SYMBOL) in {row.symbol for row in result.rows}
