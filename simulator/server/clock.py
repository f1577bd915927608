"""The world's clock: real time from a chosen start, at a chosen speed, until it is stopped.

It waits for the market's events: on a busy machine the world runs slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# A bar's final event follows its close by at most 50 ms; the market stops only when none is pending.
_FINALS_MS: Final = 60
# Real seconds of market that may be due and not sent; on a machine that cannot keep up the market is slower.
_MOST_BEHIND_S: Final = 1.0


class WorldClock:
    """Milliseconds of world time since the epoch.

    Args:
        speed: world seconds in a real second.
        held: it stands at the start until `release`.
        batch_ms: it stops at the end of a span of so many ms, whose events come with its end.
    """

    def __init__(
        self,
        start_ms: int,
        speed: float,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        held: bool = False,
        batch_ms: int = 1,
    ) -> None:
        self._batch_ms = batch_ms
        self.start_ms = start_ms
        self._speed = speed
        self._monotonic = monotonic
        self._begun = None if held else monotonic()
        self._frozen_ms: int | None = None
        self._latest_ms = start_ms  # the latest time given: time never goes back
        self._limit_ms: int | None = None

    @property
    def held(self) -> bool:
        return self._begun is None

    def release(self) -> None:
        """Let it run from the start, unless it runs already."""
        if self._begun is None:
            self._begun = self._monotonic()

    def now_ms(self) -> int:
        if self._begun is None:
            return self.start_ms
        moment = self._monotonic()
        now = self.start_ms + int((moment - self._begun) * 1000 * self._speed)
        if self._limit_ms is not None and now > self._limit_ms:
            now = max(self._limit_ms, self._latest_ms)
            self._begun = moment - (now - self.start_ms) / 1000 / self._speed
        self._latest_ms = now if self._frozen_ms is None else min(now, self._frozen_ms)
        return self._latest_ms

    def sent(self, until_ms: int) -> None:
        """Events up to a time were sent; with more than a real second of them due, time stands still."""
        self._limit_ms = until_ms + int(_MOST_BEHIND_S * 1000 * self._speed)

    def seconds_until(self, time_ms: int) -> float:
        """Real seconds until the world reaches a time."""
        return max(0.0, (time_ms - self.now_ms()) / 1000 / self._speed)

    def freeze(self, at_ms: int | None = None) -> int:
        """Stop at a time (default: now), or up to 60 ms and a batch later; the time of the stop.

        The earliest stop counts. A held clock stops at the start.
        """
        time_ms = self.now_ms() if at_ms is None else at_ms
        stop = max(time_ms, time_ms - time_ms % 1000 + _FINALS_MS)
        stop = -(-stop // self._batch_ms) * self._batch_ms
        if self._begun is None and at_ms is None:
            stop = self.start_ms
        if self._frozen_ms is None or stop < self._frozen_ms:
            self._frozen_ms = stop
        return self._frozen_ms
