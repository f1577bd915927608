"""Ledger events of points that are too old for the store (pure)."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries, PendingEvents

KIND: Final = "offline"
DETAIL: Final = "expired: older than the store keeps"
_HOUR_NS: Final = 3_600 * 10**9


class ExpiredIds:
    """Ids of points that the store rejected as expired.

    They are excused once they are too old by the exchange's time. Ids that a store rejects because its own
    clock is wrong are not excused: they stay expected and not stored.
    """

    def __init__(self) -> None:
        # By the end of their hour, to keep few entries: an excuse may wait up to an hour.
        self._waiting: defaultdict[tuple[LedgerSeries, int], IdRanges] = defaultdict(IdRanges)

    def add(self, series: LedgerSeries, item: int, time_ns: int) -> None:
        """Add an id, with the time of its point."""
        self._waiting[series, -(-time_ns // _HOUR_NS)].add(item, item)

    def excused(self, oldest_kept_ns: int | None) -> PendingEvents:
        """Events of the ids that are older than this, each once."""
        events = PendingEvents()
        if oldest_kept_ns is None or not self._waiting:
            return events
        for series, hour in [key for key in self._waiting if key[1] * _HOUR_NS <= oldest_kept_ns]:
            events.add_ranges(series, KIND, self._waiting.pop((series, hour)), DETAIL)
        return events

    @property
    def count(self) -> int:
        """How many ids are not excused."""
        return sum(map(IdRanges.id_count, self._waiting.values()))
