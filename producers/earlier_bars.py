"""Bars that an earlier process built and published, and which of them lack a trade. Pure.

A bar that was closed by the clock may lack a trade that came after that process had ended: only the topic
tells what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from shared.intervals import INTERVAL_MS
from shared.messages import KlineMessage, TradeMessage

_TRADES: Final[tuple[Literal["trade_count", "first_trade_id", "last_trade_id"], ...]] = (
    "trade_count",
    "first_trade_id",
    "last_trade_id",
)


class EarlierBars:
    """Those of the shortest interval that is published; what they lack, longer ones lack as well.

    Args:
        interval: of the bars.
    """

    def __init__(self, interval: str) -> None:
        self.interval = interval
        self._step = INTERVAL_MS[interval]
        self._bars: dict[int, KlineMessage] = {}
        self._last_ms: Mapping[str, int] = {}
        self._lacking: set[int] = set()  # open times
        self._told: set[tuple[str, int]] = set()

    def begin(self, bars: Sequence[KlineMessage], last_ms: Mapping[str, int]) -> None:
        """Take what the topic has of the last minutes.

        Args:
            last_ms: by interval, the newest bar of the earlier process.
        """
        self._bars = {bar["open_time_ms"]: bar for bar in bars if bar["interval"] == self.interval}
        self._last_ms = dict(last_ms)

    def lacks(self, bar: KlineMessage) -> bool:
        """Whether the one that was published has not all that `bar` has, which was built again.

        One that has more stays as it is: the exchange's REST may have forgotten trades.
        """
        if bar["interval"] != self.interval:
            end_ms = bar["close_time_ms"] + 1
            return any(bar["open_time_ms"] <= open_ms < end_ms for open_ms in self._lacking)
        open_ms = bar["open_time_ms"]
        was = self._bars.get(open_ms)
        if was is None or bar["trade_count"] < was["trade_count"]:
            return False
        if bar["trade_count"] > 0:
            lacks = any(was[name] != bar[name] for name in _TRADES)
        else:
            # The price of flat bars is that of a trade before them.
            lacks = was["close"] != bar["close"] and any(each < open_ms for each in self._lacking)
        if lacks:
            self._lacking.add(open_ms)
        return lacks

    def without(self, trade: TradeMessage) -> bool:
        """Whether the trade's bar was closed before it came: bars wait for trades below their last one."""
        time_ms = trade["trade_time_ms"]
        was = self._bars.get(time_ms - time_ms % self._step)
        return was is not None and (was["last_trade_id"] or 0) < trade["trade_id"]

    def not_built_again(self, time_ms: int, begins_ms: Mapping[str, int]) -> list[tuple[str, int]]:
        """Interval and open time of the bars of a time that stay as they were published, each told once.

        Args:
            begins_ms: by interval, the first bar that is built again.
        """
        found: list[tuple[str, int]] = []
        for interval, last_ms in self._last_ms.items():
            at = interval, time_ms - time_ms % INTERVAL_MS[interval]
            if at[1] <= last_ms and at[1] < begins_ms[interval] and at not in self._told:
                found.append(at)
        self._told.update(found)
        return found
