"""How far the events of a connection are behind the exchange's clock. Pure."""

from __future__ import annotations

from typing import Final

_SPAN_S: Final = 10.0


class StreamLag:
    """The greatest lag of the last 10 to 20 seconds: trades may come as late as other events do."""

    def __init__(self) -> None:
        self._since_s = 0.0
        self._before_ms = 0
        self._present_ms = 0

    def note(self, now_s: float, lag_ms: int) -> None:
        """An event has come so long after its time."""
        self._turn(now_s)
        self._present_ms = max(self._present_ms, lag_ms)

    def ms(self, now_s: float) -> int:
        """0 if no event has come for as long."""
        self._turn(now_s)
        return max(self._before_ms, self._present_ms)

    def _turn(self, now_s: float) -> None:
        passed_s = now_s - self._since_s
        if passed_s >= _SPAN_S:
            self._before_ms = self._present_ms if passed_s < 2 * _SPAN_S else 0
            self._present_ms, self._since_s = 0, now_s
