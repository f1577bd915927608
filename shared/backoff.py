"""Waiting times between attempts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.5
# Binance counts 300 connection attempts in 5 minutes per IP (BINANCE_SPOT.md §2.3).
CAP_S: Final = 60.0
# A recovered store is used within this time.
CONSUMER_CAP_S: Final = 15.0


class Backoff:
    """Doubles up to a cap, with jitter, so that many processes do not retry together.

    Args:
        random: returns numbers from 0 to 1, like `random.random`.
        jitter: the random part of each wait: 1.0 for all of it.
        longest_asked_s: the requested wait replaces ours, up to this bound; None adds ours to it.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        first_s: float = FIRST_S,
        cap_s: float = CAP_S,
        jitter: float = 1.0,
        longest_asked_s: float | None = None,
    ) -> None:
        self._random = random
        self._first_s = first_s
        self._cap_s = cap_s
        self._jitter = jitter
        self._longest_asked_s = longest_asked_s
        self.failures = 0

    def failed(self, asked_s: float | None = None) -> float:
        """Seconds to wait after one more failure.

        Args:
            asked_s: the requested wait, as in `Retry-After`.
        """
        # 2^20 is far above every cap.
        longest = min(self._cap_s, self._first_s * 2.0 ** min(self.failures, 20))
        self.failures += 1
        if asked_s is not None and self._longest_asked_s is not None:
            return min(max(asked_s, 0.0), self._longest_asked_s)
        return (asked_s or 0.0) + longest * (1.0 - self._jitter + self._jitter * self._random())

    def succeeded(self) -> None:
        self.failures = 0


def consumer_backoff(chance: Callable[[], float] = random.random) -> Backoff:
    """The backoff of consumers for their store and group: half of it random, 15 s at most, `Retry-After` up
    to a minute."""
    return Backoff(
        chance, first_s=FIRST_S, cap_s=CONSUMER_CAP_S, jitter=0.5, longest_asked_s=4 * CONSUMER_CAP_S
    )
