"""How far the exchange's clock is ahead of a clock of ours (DESIGN §5.8)."""

from __future__ import annotations

from collections import deque
from typing import Final

_SAMPLES: Final = 8
# What two good clocks drift apart in the minutes between samples, and then some.
_DRIFT_MS: Final = 250.0


class ClockOffset:
    """Offset in ms: exchange time = our time + offset. The sample with the shortest round trip wins.

    Half a round trip is the error bound of a sample, so the shortest one knows best. One that contradicts it
    within both bounds tells that a clock was set since: then what was known before is forgotten.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=_SAMPLES)

    def receive(self, sent_ms: int, server_time_ms: int, received_ms: int) -> None:
        """Take one answer of `/api/v3/time` with the times at which it was asked for and came."""
        round_trip_ms = received_ms - sent_ms
        offset_ms = server_time_ms - (sent_ms + received_ms) / 2
        if self._samples:
            best_trip_ms, best_ms = min(self._samples)
            if abs(offset_ms - best_ms) > (round_trip_ms + best_trip_ms) / 2 + _DRIFT_MS:
                self._samples.clear()
        self._samples.append((round_trip_ms, offset_ms))

    @property
    def offset_ms(self) -> float:
        """0 before the first measurement."""
        return min(self._samples)[1] if self._samples else 0.0

    @property
    def round_trip_ms(self) -> int | None:
        return min(self._samples)[0] if self._samples else None
