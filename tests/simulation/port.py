"""What a double of a server or a client needs of the simulated world: time, chance, and waiting."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Protocol


class Surroundings(Protocol):
    """The world around a double.

    Attributes:
        random: all chance of the double comes from here, so that a seed decides it.
    """

    @property
    def random(self) -> random.Random: ...

    def now_s(self) -> float:
        """Virtual monotonic time, seconds."""
        ...

    def now_ms(self) -> int:
        """The wall clock of the server, milliseconds since the epoch; clock steps of its clients leave it."""
        ...

    def later(self, delay_s: float, call: Callable[[], None], *, quiet: bool = False) -> None:
        """Call after `delay_s`, in the server's own context: a client's death does not prevent it.

        Calls that are due at the same time keep their order.

        Args:
            quiet: it changes nothing for which a client waits; what it causes comes by other calls.
        """
        ...

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Block the calling code until `ready()` or for `timeout_s`; with 0 it returns at once.

        `ready` is asked after each step of the world that could have changed it; it has no side effects.
        """
        ...


class StepClock:
    """A world for tests of one double: `wait` runs what is due and jumps from one call to the next.

    Args:
        seed: of `random`.
        wall_ms: the server's wall clock at the beginning.
    """

    def __init__(self, seed: int = 1, wall_ms: int = 1_780_000_000_000) -> None:
        self.random = random.Random(seed)
        self._wall_ms = wall_ms
        self._now_s = 0.0
        self._number = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def now_s(self) -> float:
        """See `Surroundings.now_s`."""
        return self._now_s

    def now_ms(self) -> int:
        """See `Surroundings.now_ms`."""
        return self._wall_ms + int(self._now_s * 1000)

    def later(self, delay_s: float, call: Callable[[], None], *, quiet: bool = False) -> None:
        """See `Surroundings.later`."""
        self._number += 1
        heapq.heappush(self._due, (self._now_s + max(delay_s, 0.0), self._number, call))

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """See `Surroundings.wait`."""
        deadline = self._now_s + timeout_s
        while not ready() and timeout_s > 0:
            if not self._due or self._due[0][0] > deadline:
                self._now_s = deadline
                return
            self._now_s, _, call = heapq.heappop(self._due)
            call()

    def advance(self, seconds: float) -> None:
        """Let time pass and run what becomes due meanwhile."""
        self.wait(lambda: False, seconds)
