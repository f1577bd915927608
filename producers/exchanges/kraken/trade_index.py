"""When trades of given ids were: REST goes by time, and holes are ids. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final

from producers.doubtful_trades import DISORDER_MS
from shared.messages import TradeMessage

# Points of one pair; at two a page they reach back two million trades.
_MOST: Final = 4_000

Point = tuple[int, int]  # id, and time in ms


class TradeIndex:
    """Ids and times of trades of one pair that were seen on REST's pages."""

    def __init__(self) -> None:
        self._points: list[Point] = []  # ascending

    def note(self, trades: Iterable[TradeMessage]) -> None:
        """Take a page, ascending."""
        rows = list(trades)
        for row in {0, len(rows) - 1} if rows else ():
            self._enter((rows[row]["trade_id"], rows[row]["trade_time_ms"]))
        if len(self._points) > _MOST:
            del self._points[: len(self._points) - _MOST // 2]

    def before(self, trade_id: int) -> Point | None:
        """The nearest known trade below an id, and its time."""
        at = bisect_left(self._points, (trade_id, -1))
        return self._points[at - 1] if at else None

    def after(self, trade_id: int) -> Point | None:
        """The nearest known trade with an id or above it, and its time."""
        at = bisect_left(self._points, (trade_id, -1))
        return self._points[at] if at < len(self._points) else None

    def _enter(self, point: Point) -> None:
        at = bisect_left(self._points, point)
        if at < len(self._points) and self._points[at] == point:
            return
        if not all(_agree(known, point) for known in self._points[max(0, at - 1) : at + 1]):
            # What it contradicts is of a numbering that has ended: a search would look where nothing is.
            self._points = [known for known in self._points if _agree(known, point)]
        insort(self._points, point)


def _agree(one: Point, other: Point) -> bool:
    """Whether the times of two trades are in the order of their ids, as far as these can be relied on."""
    (_, earlier_ms), (_, later_ms) = sorted((one, other))
    return earlier_ms <= later_ms + DISORDER_MS
