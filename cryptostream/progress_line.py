"""One line that says how far a long reading has come; only where a person looks on."""

from __future__ import annotations

import sys
import time
from typing import Final, Self, TextIO

from shared.edges import terminal

_PERIOD_S: Final = 0.2


class ProgressLine:
    """Use as a context: the line is gone afterwards, and nothing at all is written where it is no terminal.

    Args:
        what: what is being done, like "reading pipeline.ledger".
        unit: what is counted.
        total: how many there will be, None if nobody knows.
    """

    def __init__(self, what: str, unit: str, total: int | None = None, out: TextIO | None = None) -> None:
        self._what = what
        self._unit = unit
        self._total = total
        self._out = terminal(sys.stderr if out is None else out)
        self._shown = self._out.isatty()
        self._next_s = 0.0
        self.done = 0

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count
        if self._shown and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _PERIOD_S
            of = "" if self._total is None else f" of {self._total:,}"
            self._out.write(f"\r\x1b[K{self._what}: {self.done:,}{of} {self._unit}")
            self._out.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self.done:
            self._out.write("\r\x1b[K")
            self._out.flush()
