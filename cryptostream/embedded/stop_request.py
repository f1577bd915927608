"""Ctrl-C, SIGTERM and SIGHUP as something to ask for: once is an orderly stop, twice is at once."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Self

from shared.stop_signals import stop_signals


class StopRequest:
    """Counts the signals that ask this process to stop, while it is entered.

    Until `begin` the first one interrupts: nothing is running yet that would have to be stopped in order.
    """

    def __init__(self) -> None:
        self._count = 0
        self._orderly = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in stop_signals():
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    def begin(self) -> None:
        """From now on a stop is orderly."""
        self._orderly = True

    @property
    def asked(self) -> bool:
        return self._count > 0

    @property
    def hastened(self) -> bool:
        """Asked a second time: end at once."""
        return self._count > 1

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if not self._orderly:
            raise KeyboardInterrupt
