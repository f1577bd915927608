"""Waiting times between attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.5
# Binance counts 300 connection attempts in 5 minutes per IP (BINANCE_SPOT.md §2.3).
CAP_S: Final = 60.0


class Backoff:
    """Doubles up to a cap, with full jitter, so that many processes do not come back together.

    Args:
        random: gives numbers from 0 to 1, like `random.random`.
    """

    def __init__(
        self, random: Callable[[], float], *, first_s: float = FIRST_S, cap_s: float = CAP_S
    ) -> None:
        self._random = random
        self._first_s = first_s
        self._cap_s = cap_s
        self.failures = 0

    def failed(self, at_least_s: float = 0.0) -> float:
        """Seconds to wait after one more failure; never less than what the other side asked for."""
        # 2^20 is far above every cap: the exponent needs no more.
        longest = min(self._cap_s, self._first_s * 2.0 ** min(self.failures, 20))
        self.failures += 1
        return at_least_s + longest * self._random()

    def succeeded(self) -> None:
        self.failures = 0
