"""The outcome of one run."""

from __future__ import annotations

from dataclasses import dataclass

from oracle.checks import Violation
from oracle.plan import Plan


@dataclass(frozen=True, slots=True)
class Outcome:
    """Attributes:
    exit_code: of the last invocation; None: it had to be killed.
    missing: how many issued trades and bars are not in the store.
    error: why the run could not be made.
    """

    plan: Plan
    exit_code: int | None
    violations: tuple[Violation, ...]
    missing: int
    seconds: float
    error: str | None = None

    @property
    def good(self) -> bool:
        return not self.violations and self.error is None

    @property
    def status(self) -> str:
        if self.error is not None:
            return "not made"
        return "red" if self.violations else "held"

    @property
    def line(self) -> str:
        plan = self.plan
        where = f"{plan.broker}/{plan.store}, {'+'.join(plan.intervals)}, {len(plan.durations_s)} run(s)"
        said = "killed" if self.exit_code is None else f"exit {self.exit_code}"
        said = self.error or f"{said}, {self.missing:,} missing"
        return f"seed {plan.seed}: {self.status}: {plan.title} [{where}]: {said} ({self.seconds:.0f} s)"
