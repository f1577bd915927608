"""Closed bars that an earlier process built and published, and which of them lack a trade. Pure.

One that was closed by the clock may lack a trade that came after that process had ended, or that came in time
and whose new version was lost with it: only the topic tells what it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from shared.intervals import INTERVAL_MS
from shared.messages import KlineMessage


class Without(NamedTuple):
    """Bars that stay as they were published: open times in ms, both inclusive."""

    interval: str
    first: int
    last: int


class EarlierBars:
    """Those of one symbol that were read back, and what is built of the same trades again."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], KlineMessage] = {}
        self._last_ms: Mapping[str, int] = {}
        self._again: dict[tuple[str, int], KlineMessage] = {}
        self._told: set[tuple[str, int]] = set()

    def begin(self, bars: Iterable[KlineMessage], last_ms: Mapping[str, int]) -> None:
        """Take what the topics have of the last minutes.

        Args:
            last_ms: by interval, open time of the newest bar of the earlier process.
        """
        self._last_ms = dict(last_ms)
        self._known = {(bar["interval"], bar["open_time_ms"]): bar for bar in bars if self.has(bar)}

    def has(self, bar: KlineMessage) -> bool:
        """Whether the bar was published before, read back or not."""
        return bar["open_time_ms"] <= self._last_ms.get(bar["interval"], -1)

    def note(self, bar: KlineMessage) -> None:
        """Take a bar built again, which may not be the last version yet."""
        at = bar["interval"], bar["open_time_ms"]
        if at in self._known:
            self._again[at] = bar

    def settle(self) -> list[KlineMessage]:
        """The bars built again that have more than those on the topic, in the order of their times."""
        again, self._again = self._again, {}
        return [again[at] for at in sorted(again, key=lambda at: (at[1], at[0])) if self.lacks(again[at])]

    def lacks(self, bar: KlineMessage, *, unknown: bool = False) -> bool:
        """Whether the one on the topic has not all that `bar` has; then `bar` is to be published.

        One that has more stays as it is: the exchange's REST may have forgotten trades.

        Args:
            unknown: the answer for bars that were not read back.
        """
        at = bar["interval"], bar["open_time_ms"]
        was = self._known.get(at)
        if was is None:
            return unknown
        if bar["trade_count"] == was["trade_count"] == 0:
            lacks = bar["close"] != was["close"]
        else:
            lacks = bar["trade_count"] > was["trade_count"]
        if lacks:
            self._known[at] = bar
        return lacks

    def without(self, time_ms: int, trade_id: int, begins_ms: Mapping[str, int]) -> list[Without]:
        """Bars that lack a trade of this time, and flat ones after them with the price before it.

        Bars wait for missing trades: one that was closed without a trade has only lower ids. Told once each.

        Args:
            begins_ms: by interval, the first bar that is built again.
        """
        found: list[Without] = []
        for interval in self._last_ms:
            step = INTERVAL_MS[interval]
            open_ms = time_ms - time_ms % step
            was = self._known.get((interval, open_ms))
            if was is None or (was["last_trade_id"] or 0) >= trade_id:
                continue
            stay = [
                each
                for each in (open_ms, *self._flat_after(interval, open_ms))
                if each < begins_ms[interval] and (interval, each) not in self._told
            ]
            self._told.update((interval, each) for each in stay)
            if stay:
                found.append(Without(interval, stay[0], stay[-1]))
        return found

    def _flat_after(self, interval: str, open_ms: int) -> Iterator[int]:
        step = INTERVAL_MS[interval]
        while True:
            open_ms += step
            bar = self._known.get((interval, open_ms))
            if bar is None or bar["trade_count"] > 0:
                return
            yield open_ms
