"""How far the exchange's clock is ahead of ours (DESIGN §5.8)."""

from __future__ import annotations

from collections import deque
from typing import Final

_SAMPLES: Final = 8


class ClockOffset:
    """Offset in ms: exchange time = our time + offset. The sample with the shortest round trip wins.

    Half a round trip is the error bound of a sample, so the shortest one knows best.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=_SAMPLES)

    def receive(self, sent_ms: int, server_time_ms: int, received_ms: int) -> None:
        """Take one answer of `/api/v3/time` with the times at which it was asked for and came."""
        self._samples.append((received_ms - sent_ms, server_time_ms - (sent_ms + received_ms) / 2))

    @property
    def offset_ms(self) -> float:
        """0 before the first measurement."""
        return min(self._samples)[1] if self._samples else 0.0

    @property
    def round_trip_ms(self) -> int | None:
        return min(self._samples)[0] if self._samples else None
