"""When a child that ended is started again: the policy, without processes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

MAX_RESTARTS_A_MINUTE: Final = 5
_WINDOW_S: Final = 60.0
_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 10.0
_WRONG_USAGE: Final = 2  # exit code of settings, command lines, symbols: no restart mends them (DESIGN §4.5)


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the child again in so many seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The run cannot go on without this child; `exit_code` becomes the run's."""

    exit_code: int
    reason: str


class RestartPolicy:
    """One child's restarts: back-off doubles from 0.5 s to 10 s, and more than 5 in a minute end the run.

    Attributes:
        restarts: how often it was started again so far.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._recent: deque[float] = deque()

    def exited(self, exit_code: int, now_s: float) -> Restart | GiveUp:
        """The child ended without being asked to, with this exit code (negative: by a signal)."""
        if exit_code == _WRONG_USAGE:
            return GiveUp(_WRONG_USAGE, "refused its command line or settings")
        while self._recent and self._recent[0] <= now_s - _WINDOW_S:
            self._recent.popleft()
        if len(self._recent) >= MAX_RESTARTS_A_MINUTE:
            return GiveUp(1, f"ended {len(self._recent) + 1} times within a minute")
        delay_s = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** len(self._recent))
        self._recent.append(now_s)
        self.restarts += 1
        return Restart(delay_s)


def describe_exit(exit_code: int) -> str:
    """An exit code in words."""
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
