"""How often clients ask, in real seconds: what an exchange's limits are about. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

REQUESTS_S: Final = 10.0
MESSAGES_S: Final = 1.0


class _Busiest:
    """The greatest number of arrivals within a span of time."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._times: deque[float] = deque()
        self.count = 0
        self.most = 0

    def arrived(self, now_s: float) -> None:
        while self._times and now_s - self._times[0] >= self._span_s:
            self._times.popleft()
        self._times.append(now_s)
        self.count += 1
        self.most = max(self.most, len(self._times))


class Arrivals:
    """Requests over REST, and frames on all connections together; times are monotonic seconds."""

    def __init__(self) -> None:
        self._requests = _Busiest(REQUESTS_S)
        self._messages = _Busiest(MESSAGES_S)
        self._refused = 0
        self._closed = 0

    def requested(self, now_s: float, *, refused: bool) -> None:
        """A request has come; `refused`: one too many."""
        self._requests.arrived(now_s)
        self._refused += refused

    def heard(self, now_s: float, *, exceeds: bool) -> None:
        """A client's frame has come; `exceeds`: one too many, its connection ends."""
        self._messages.arrived(now_s)
        self._closed += exceeds

    def counts(self) -> dict[str, int]:
        """For the log and `GET /simulator/state`."""
        return {
            "requests": self._requests.count,
            "requests_in_10_s": self._requests.most,
            "refused": self._refused,
            "messages": self._messages.count,
            "messages_in_1_s": self._messages.most,
            "closed": self._closed,
        }
