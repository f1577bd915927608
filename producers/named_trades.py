"""Trades that bars of the stream name, for series whose own bars name none before a hole. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from shared.messages import KlineMessage

_REMEMBERED: Final = 8
# An event's time is not the matching engine's, by which bars are cut: a trade that an event names may be some
# time later (BINANCE_SPOT.md §4.5; the simulator's `clock_skew` takes 1.5 s).
_MARGIN_MS: Final = 2_000


class NamedTrades:
    """The newest trade at some moments, shared by the series of one symbol.

    A symbol without a trade between its start and a halt has no bar that names a trade before the halt, but
    the open bar of a longer interval does. One moment is kept at the start and one after each `want`.
    """

    def __init__(self) -> None:
        self._moments: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)  # time, trade id
        self.wanted = True  # the next bar that names a trade is kept

    def want(self) -> None:
        """A series lost its count of trades."""
        self.wanted = True

    def forget(self) -> None:
        """Trade ids begin anew: those of the former numbering prove nothing."""
        self._moments.clear()
        self.wanted = True

    def receive(self, kline: KlineMessage) -> None:
        """Keep an event's last trade, if one is wanted; bars of REST and bars without trades name none."""
        if not self.wanted:
            return
        event_ms, first, last = kline["event_time_ms"], kline["first_trade_id"], kline["last_trade_id"]
        if event_ms is None or first is None or last is None:
            return
        # Ids that do not agree with the number of trades may be of any meaning.
        if 0 <= first <= last and last - first + 1 == kline["trade_count"]:
            self._moments.append((max(event_ms, kline["open_time_ms"]), last))
            self.wanted = False

    def before(self, time_ms: int) -> int | None:
        """The newest known trade of those surely before a time; there may have been later ones before it."""
        moments = [moment for moment in self._moments if moment[0] <= time_ms - _MARGIN_MS]
        return max(moments)[1] if moments else None
