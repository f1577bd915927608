"""Bars that were published, to tell a repetition from a revision, and a bar in time from a late one. Pure."""

from __future__ import annotations

from typing import Any, Final

from producers.effects import LedgerEvent
from shared.messages import KlineMessage

# A final may come some seconds after the close; an open bar older than this proves that it was missed.
FINAL_GRACE_MS: Final = 5_000
_REMEMBERED: Final = 64
# The fields that stream and REST share.
_CONTENT: Final = (
    "open",
    "high",
    "low",
    "close",
    "base_volume",
    "quote_volume",
    "trade_count",
    "taker_buy_base_volume",
    "taker_buy_quote_volume",
)


def lateness(kline: KlineMessage) -> list[LedgerEvent]:
    """An event for a bar that came long after its close."""
    event_time, closed_at = kline["event_time_ms"], kline["close_time_ms"] + 1
    if event_time is None or event_time - closed_at <= FINAL_GRACE_MS:
        return []
    open_time = kline["open_time_ms"]
    detail = f"came {event_time - closed_at} ms after its close"
    return [LedgerEvent("late", open_time, open_time, detail=detail)]


class PublishedBars:
    """The newest bars of a series that were published."""

    def __init__(self) -> None:
        self._bars: dict[int, KlineMessage] = {}

    def remember(self, kline: KlineMessage) -> None:
        """The bar is published now."""
        self._bars[kline["open_time_ms"]] = kline
        if len(self._bars) > _REMEMBERED:
            del self._bars[next(iter(self._bars))]

    def revision(self, kline: KlineMessage) -> list[LedgerEvent]:
        """An event for the fields that differ from the published bar's, if any do."""
        before: Any = self._bars.get(kline["open_time_ms"], kline)
        now: Any = kline
        changes = [
            f"{name} {before[name]}, now {now[name]}" for name in _CONTENT if before[name] != now[name]
        ]
        if not changes:
            return []
        open_time = kline["open_time_ms"]
        return [LedgerEvent("revised", open_time, open_time, detail="; ".join(changes))]

    def repetition(self, kline: KlineMessage) -> list[LedgerEvent]:
        """What a bar of the stream that was published before says."""
        if revision := self.revision(kline):
            return revision
        open_time = kline["open_time_ms"]
        before = self._bars.get(open_time)
        if before is not None and before["source"] == "backfill":
            self._bars[open_time] = kline  # late once; after that it is a repetition
            return [LedgerEvent("late", open_time, open_time, detail="came after it was filled over REST")]
        return [LedgerEvent("duplicate", open_time, open_time)]
