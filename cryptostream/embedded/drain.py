"""When a stopping run has waited long enough for the store: the decision, without a clock of its own."""

from __future__ import annotations

import enum
from typing import Final

DEADLINE_S: Final = 60.0
PATIENCE_S: Final = 15.0
# The producers' last words are acknowledged before they end; reading them takes no second.
SETTLE_S: Final = 1.0


class DrainState(enum.Enum):
    WAITING = "waiting"
    COMPLETE = "complete"
    GIVEN_UP = "given up"


class Drain:
    """Waits until everything expected is stored: 60 s at most, and 15 s without progress.

    Args:
        now_s: when the last producer ended.
    """

    def __init__(self, now_s: float) -> None:
        self._began_s = self._moved_s = now_s
        self._seen: tuple[int, int] | None = None

    def step(self, now_s: float, expected: int, missing: int) -> DrainState:
        """Decide.

        Args:
            expected: ids expected so far, of all series.
            missing: how many of them are neither stored nor excused (halted, offline).
        """
        if (expected, missing) != self._seen:
            self._seen = (expected, missing)
            self._moved_s = now_s
        still_s = now_s - self._moved_s
        if missing == 0 and still_s >= SETTLE_S:
            return DrainState.COMPLETE
        if still_s >= PATIENCE_S or now_s - self._began_s >= DEADLINE_S:
            # Nothing missing at the deadline is complete, however lively.
            return DrainState.GIVEN_UP if missing else DrainState.COMPLETE
        return DrainState.WAITING
