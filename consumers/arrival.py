"""Checks times of records against their arrival; a time far beyond it is bad input. Pure.

Producers check times against the exchange's clock (`producers.clock`); this check is for records of older
producers or of others. A record's time of reception comes from a clock that may be wrong. So a later time is
accepted if the exchange's event time agrees, and most neighbouring records show the same or the event follows
on the newest one before it: then our clocks are behind, or were just set back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

from shared.errors import InvalidMessage

# The producers' tolerance: what they accept must not be rejected here.
AHEAD_MS: Final = 10_000
# Points carry nanoseconds in an int64, so no time may lie beyond this millisecond (year 2262).
MAX_TIME_MS: Final = (2**63 - 1) // 1_000_000 - 1
REMEMBERED: Final = 15
_FEWEST: Final = 3


class TimeAhead(InvalidMessage):
    """A time beyond its record's arrival, which other records may confirm.

    Attributes:
        message: the record, valid otherwise. time_ms: the time.
        ahead_ms: by how much its time lies beyond its arrival.
    """

    def __init__(self, field: str, time_ms: int, message: dict[str, Any]) -> None:
        arrival_ms = message["received_time_ms"]
        super().__init__(
            field,
            time_ms,
            f"a time up to {arrival_ms + AHEAD_MS}, {AHEAD_MS // 1000} s after it was received",
        )
        self.message = message
        self.time_ms = time_ms
        self.ahead_ms = time_ms - arrival_ms


def require_time(field: str, time_ms: int) -> None:
    """Raise InvalidMessage for a time that does not fit a point's nanoseconds."""
    if time_ms > MAX_TIME_MS:
        raise InvalidMessage(field, time_ms, "a time before the year 2262, in milliseconds")


def require_arrived(field: str, time_ms: int, message: Any) -> None:
    """Check a time against its record's arrival.

    Raises:
        TimeAhead: it lies beyond the arrival, and so does the event time, if there is one.
        InvalidMessage: it lies beyond the event time, or does not fit a point.
    """
    if time_ms > message["received_time_ms"] + AHEAD_MS or time_ms > MAX_TIME_MS:
        require_time(field, time_ms)
        event_time_ms = message["event_time_ms"]
        if event_time_ms is not None and time_ms > event_time_ms + AHEAD_MS:
            raise InvalidMessage(
                field, time_ms, f"a time up to its event's ({event_time_ms} ms) and 10 s more"
            )
        raise TimeAhead(field, time_ms, message)


class Arrivals:
    """How far the times of a stream's newest records lay beyond their arrival (0: not); the newest event."""

    def __init__(self) -> None:
        self._ahead: deque[int] = deque(maxlen=REMEMBERED)
        # Of records that are beyond doubt: when it was taken, and its time.
        self._newest: tuple[float, int] | None = None

    def receive(self, sound: Sequence[Any], ahead: Sequence[TimeAhead], now_s: float) -> list[TimeAhead]:
        """Enter a batch; returns those of `ahead` to be rejected.

        Args:
            sound: messages whose times do not lie beyond their arrival.
            now_s: of a monotonic clock.
        """
        # Messages from REST are old, and show nothing about clocks.
        told = [message for message in sound if message.get("source") != "backfill"]
        self._note((message.get("event_time_ms") for message in told), now_s)
        if not ahead:
            self._ahead.extend([0] * min(len(told), REMEMBERED))
            return []
        seen = sorted([*self._ahead, *[0] * len(told), *(error.ahead_ms for error in ahead)])
        # A sample in the same proportions.
        kept = min(len(seen), REMEMBERED)
        self._ahead.extend(seen[(2 * index + 1) * len(seen) // (2 * kept)] for index in range(kept))
        if len(seen) < _FEWEST:
            return []  # too few to exclude that our clocks are behind
        usual_ms = seen[len(seen) // 2]
        usual = [error for error in ahead if error.ahead_ms <= usual_ms + AHEAD_MS]
        self._note((error.time_ms for error in usual), now_s)
        others = (error for error in ahead if error.ahead_ms > usual_ms + AHEAD_MS)
        in_time = sorted(others, key=lambda error: error.time_ms)
        return [error for error in in_time if not self._follows(error.time_ms, now_s)]

    def _note(self, times_ms: Iterable[int | None], now_s: float) -> None:
        newest_ms = max((time_ms for time_ms in times_ms if time_ms is not None), default=None)
        if newest_ms is not None and (self._newest is None or newest_ms > self._carried_ms(now_s)):
            self._newest = now_s, newest_ms

    def _carried_ms(self, now_s: float) -> int:
        """The newest event's time, and as much more as has passed since."""
        assert self._newest is not None
        taken_s, newest_ms = self._newest
        return newest_ms + int((now_s - taken_s) * 1_000)

    def _follows(self, time_ms: int, now_s: float) -> bool:
        """Whether a time follows on the newest event; it is the newest one then."""
        if self._newest is None or time_ms > self._carried_ms(now_s) + AHEAD_MS:
            return False
        self._note((time_ms,), now_s)
        return True
