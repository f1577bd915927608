"""When a process is killed next: random moments, seeded, while it is at work. Pure."""

from __future__ import annotations

import random
from typing import Final

_SHORTEST_S: Final = 0.2
_LONGEST_S: Final = 3.0
# One in so many comes while the process is still starting: reading its state, joining its group.
_EARLY: Final = 4


class KillPlan:
    """`count` kills, each 0.2–3 s after the process is back at work, some already that soon after its start.

    Attributes:
        done: kills so far. early: of those, in a start.
        chance: for all that is random about them.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self.chance = random.Random(seed)
        self._due_s: float | None = None
        self.done = 0
        self.early = 0

    @property
    def finished(self) -> bool:
        return self.done >= self._count

    def step(self, now_s: float, *, at_work: bool) -> bool:
        """Whether to kill now; call it several times a second."""
        if self.finished:
            return False
        early = self.done % _EARLY == _EARLY - 1
        if self._due_s is None and (at_work or early):
            self._due_s = now_s + self.chance.uniform(_SHORTEST_S, _LONGEST_S)
        if self._due_s is None or now_s < self._due_s:
            return False
        self.done += 1
        self.early += early
        self._due_s = None
        return True
