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
        held: it stands at the start until `release`.
    """

    def __init__(
        self,
        start_ms: int,
        speed: float,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        held: bool = False,
    ) -> None:
        self.start_ms = start_ms
        self._speed = speed
        self._monotonic = monotonic
        self._begun = None if held else monotonic()
        self._frozen_ms: int | None = None

    @property
    def held(self) -> bool:
        return self._begun is None

    def release(self) -> None:
        """Let it run, from the start; a clock that runs already goes on."""
        if self._begun is None:
            self._begun = self._monotonic()

    def now_ms(self) -> int:
        if self._begun is None:
            return self.start_ms
        now = self.start_ms + int((self._monotonic() - self._begun) * 1000 * self._speed)
        return now if self._frozen_ms is None else min(now, self._frozen_ms)

    def seconds_until(self, time_ms: int) -> float:
        """Real seconds until the world reaches a time."""
        return max(0.0, (time_ms - self.now_ms()) / 1000 / self._speed)

    def freeze(self, at_ms: int | None = None) -> int:
        """Stop at a time (default: now), or up to 60 ms of world time later; returns where.

        The earliest stop counts. A clock that is held stops where it stands.
        """
        time_ms = self.now_ms() if at_ms is None else at_ms
        stop = max(time_ms, time_ms - time_ms % 1000 + _FINALS_MS)
        if self._begun is None and at_ms is None:
            stop = self.start_ms
        if self._frozen_ms is None or stop < self._frozen_ms:
            self._frozen_ms = stop
        return self._frozen_ms
