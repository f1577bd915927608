"""How long to wait before the store is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 15.0


class Backoff:
    """Doubles from 0.5 s to 15 s, with half of it random, so that many consumers do not return at once."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._failures = 0

    def next_delay_s(self, retry_after_s: float | None) -> float:
        """Seconds to wait after one more failure; the server's own wish is granted, within the cap."""
        ceiling = min(LONGEST_S, FIRST_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        if retry_after_s is not None:
            return min(max(retry_after_s, 0.0), 4 * LONGEST_S)
        return ceiling * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        self._failures = 0
