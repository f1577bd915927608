"""The world's clock: real time from a chosen start, at a chosen speed, until it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# A bar's final event follows its border by at most 50 ms; the market stops only when none is pending.
_FINALS_MS: Final = 60


class WorldClock:
    """Milliseconds of world time since the epoch.

    Args:
        speed: world seconds in a real second.
    """

    def __init__(self, start_ms: int, speed: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._start_ms = start_ms
        self._speed = speed
        self._monotonic = monotonic
        self._begun = monotonic()
        self._frozen_ms: int | None = None

    def now_ms(self) -> int:
        now = self._start_ms + int((self._monotonic() - self._begun) * 1000 * self._speed)
        return now if self._frozen_ms is None else min(now, self._frozen_ms)

    def seconds_until(self, time_ms: int) -> float:
        """Real seconds until the world reaches a time."""
        return max(0.0, (time_ms - self.now_ms()) / 1000 / self._speed)

    def freeze(self) -> int:
        """Stop now, or up to 60 ms of world time later; returns where. Stopping twice is stopping once."""
        if self._frozen_ms is None:
            now = self.now_ms()
            self._frozen_ms = max(now, now - now % 1000 + _FINALS_MS)
        return self._frozen_ms
