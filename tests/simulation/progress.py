"""Says how far many seeds have come: on a terminal in one line that changes, elsewhere in new ones."""

from __future__ import annotations

import time
from typing import Final, TextIO

from tests.simulation.outcome import Outcome

_TERMINAL_S: Final = 1.0
_ELSEWHERE_S: Final = 20.0


class Progress:
    """Follows outcomes as they come; a failed seed is said at once, as the command that repeats it.

    Args:
        seeds: how many there will be.
        planted: the bug with which they run.
    """

    def __init__(self, seeds: int, out: TextIO, planted: str | None = None) -> None:
        self._seeds = seeds
        self._out = out
        self._planted = planted
        self._terminal = out.isatty()
        self._begun_s = self._said_s = time.monotonic()
        self._done = 0
        self._failed = 0

    def receive(self, outcome: Outcome) -> None:
        """A seed has ended."""
        self._done += 1
        if outcome.failures:
            self._failed += 1
            self._say(f"{command(outcome.seed, self._planted)}  # {', '.join(outcome.checks)}\n")
        now_s = time.monotonic()
        last = self._done == self._seeds
        if last or now_s - self._said_s >= (_TERMINAL_S if self._terminal else _ELSEWHERE_S):
            self._said_s = now_s
            text = f"{self._done:,} of {self._seeds:,} seeds in {now_s - self._begun_s:.0f} s"
            self._say(f"{text}, {self._failed} failed" + ("\n" if last or not self._terminal else " "))

    def _say(self, text: str) -> None:
        self._out.write(("\r" if self._terminal else "") + text)
        self._out.flush()


def command(seed: int, planted: str | None = None) -> str:
    """What repeats a seed."""
    return f"python -m tests.simulation --seed {seed}" + (f" --planted {planted}" if planted else "")
