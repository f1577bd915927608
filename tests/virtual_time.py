"""Time that passes only where somebody waits: an event loop, and the `time` of a module."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest import mock

Result = TypeVar("Result")


class FakeTime:
    """Stands in a module for its `time`; passes where somebody sleeps, or where a test says so."""

    def __init__(self, now_s: float = 1_000.0, wall_ms: int = 1_767_225_600_000) -> None:
        self.now_s = now_s
        self._begun_s = now_s
        self._wall_ms = wall_ms

    def monotonic(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        return self._wall_ms * 1_000_000 + int((self.now_s - self._begun_s) * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for the next timer, moves the clock to it. Without timers it waits for threads."""

    jumped_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self.jumped_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual, in seconds since the loop was made: a week of waiting passes in seconds."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped_s


def run_virtually(work: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def run_with_clock(work: Coroutine[Any, Any, Result]) -> Result:
    """`run_virtually`, and `time.monotonic` passes as the loop's time does, for code that asks both.

    Sockets between tasks of the loop are real: what is sent is readable before time jumps.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop, begun_s = runner.get_loop(), time.monotonic()
        with mock.patch.object(time, "monotonic", lambda: begun_s + loop.time()):
            return runner.run(work)
