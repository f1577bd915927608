"""Checks times of records against their arrival; a time far beyond it is bad input. Pure.

Producers check times against the exchange's clock (`producers.clock`); this check is for records of older
producers or of others. A record's time of reception comes from a clock that may be wrong. So a later time is
accepted if the exchange's event time agrees and most neighbouring records show the same: then our clocks are
behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
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
        message: the record, valid otherwise.
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
    """How far the times of a stream's newest records lay beyond their arrival (0: not)."""

    def __init__(self) -> None:
        self._ahead: deque[int] = deque(maxlen=REMEMBERED)

    def receive(self, sound: Sequence[Any], ahead: Sequence[TimeAhead]) -> list[TimeAhead]:
        """Enter a batch; returns those of `ahead` to be rejected.

        Args:
            sound: messages whose times do not lie beyond their arrival.
        """
        # Messages from REST are old, and show nothing about clocks.
        told = sum(message.get("source") != "backfill" for message in sound)
        if not ahead:
            self._ahead.extend([0] * min(told, REMEMBERED))
            return []
        seen = sorted([*self._ahead, *[0] * told, *(error.ahead_ms for error in ahead)])
        # A sample in the same proportions.
        kept = min(len(seen), REMEMBERED)
        self._ahead.extend(seen[(2 * index + 1) * len(seen) // (2 * kept)] for index in range(kept))
        if len(seen) < _FEWEST:
            return []  # too few to exclude that our clocks are behind
        usual_ms = seen[len(seen) // 2]
        return [error for error in ahead if error.ahead_ms > usual_ms + AHEAD_MS]
