"""From when trades of a given id are: REST goes by time, and holes are ids. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final

from shared.messages import TradeMessage

# Points of one pair; at two a page they reach back two million trades.
_MOST: Final = 4_000
# How far back the first attempts look, while no earlier trade is known.
_BACK_MS: Final = 3_600_000


class TradeIndex:
    """Ids and times of trades of one pair that were seen on REST's pages."""

    def __init__(self) -> None:
        self._points: list[tuple[int, int]] = []  # id and time in ms, ascending

    def note(self, trades: Iterable[TradeMessage]) -> None:
        """Take a page, ascending."""
        rows = list(trades)
        for row in {0, len(rows) - 1} if rows else ():
            point = rows[row]["trade_id"], rows[row]["trade_time_ms"]
            at = bisect_left(self._points, point)
            if at == len(self._points) or self._points[at] != point:
                insort(self._points, point)
        if len(self._points) > _MOST:
            del self._points[: len(self._points) - _MOST // 2]

    def before(self, trade_id: int) -> tuple[int, int] | None:
        """The nearest known trade below an id, and its time."""
        at = bisect_left(self._points, (trade_id, -1))
        return self._points[at - 1] if at else None

    def guess_ms(self, trade_id: int, page: int, now_ms: int, step: int) -> int:
        """A time at which a page should begin that reaches an id, or from which one learns more.

        Args:
            step: how many guesses were made before.
        """
        at = bisect_left(self._points, (trade_id, -1))
        upper_id, upper_ms = self._points[at] if at < len(self._points) else (None, now_ms)
        if not at:
            return max(0, upper_ms - _BACK_MS * (1 << 2 * step))
        lower_id, lower_ms = self._points[at - 1]
        if upper_id is None:
            return max(lower_ms, upper_ms - _BACK_MS)
        # Half a page below it, by the pace between the two.
        share = max(0.0, (trade_id - page / 2 - lower_id) / (upper_id - lower_id))
        return lower_ms + int((upper_ms - lower_ms) * share)
