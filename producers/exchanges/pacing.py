"""How often an exchange without a count of its own may be asked: requests a second, and a burst. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

_MINUTE_S: Final = 60.0


class Pacer:
    """A budget of requests; times are seconds of a monotonic clock.

    Args:
        a_second: requests a second that are always possible.
        burst: requests that may follow each other at once.
    """

    def __init__(self, a_second: float, burst: int) -> None:
        self._a_second, self._burst = a_second, burst
        self._left = float(burst)
        self._counted_s: float | None = None
        self._closed_until_s = 0.0
        self._sent: deque[float] = deque()

    def take(self, now_s: float) -> float:
        """Reserve a request; how many seconds from now it may be sent."""
        self._fill(now_s)
        self._left -= 1.0
        wait_s = max(0.0, -self._left / self._a_second)
        self._sent.append(now_s + wait_s)
        return wait_s

    def spare(self, now_s: float) -> bool:
        """Whether an optional request may be sent: half of the burst is left to the others."""
        self._fill(now_s)
        return self._left >= self._burst / 2 and not self.closed_s(now_s)

    def close(self, now_s: float, for_s: float) -> None:
        """The exchange asks to wait."""
        self._closed_until_s = max(self._closed_until_s, now_s + for_s)

    def closed_s(self, now_s: float) -> float:
        """How many seconds no request may be sent."""
        return max(0.0, self._closed_until_s - now_s)

    @property
    def used(self) -> int:
        """Requests of the last minute."""
        return len(self._sent)

    @property
    def allowed(self) -> int:
        """Requests a minute."""
        return int(self._a_second * _MINUTE_S)

    def _fill(self, now_s: float) -> None:
        if self._counted_s is not None:
            passed_s = max(0.0, now_s - self._counted_s)
            self._left = min(float(self._burst), self._left + passed_s * self._a_second)
        self._counted_s = now_s
        while self._sent and now_s - self._sent[0] >= _MINUTE_S:
            self._sent.popleft()
