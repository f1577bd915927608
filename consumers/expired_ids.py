"""What the ledger is told of points that a store would not keep for their age (pure)."""

from __future__ import annotations

from typing import Final

from consumers.ledger_events import LedgerSeries, PendingEvents
from shared.id_ranges import IdRanges

KIND: Final = "offline"
DETAIL: Final = "expired: older than the store keeps"
_HOUR_NS: Final = 3_600 * 10**9


class ExpiredIds:
    """Ids of points that are in no store.

    They are excused once the exchange's own time says that they are too old. A store that refuses what is not
    (its clock is wrong) excuses nothing: those ids stay expected and not stored.
    """

    def __init__(self) -> None:
        # By the hour that their time is over with, for few entries: an excuse may wait that long.
        self._waiting: dict[tuple[LedgerSeries, int], IdRanges] = {}

    def add(self, series: LedgerSeries, item: int, time_ns: int) -> None:
        """One more, with the time of its point."""
        key = (series, -(-time_ns // _HOUR_NS))
        ids = self._waiting.get(key)
        if ids is None:
            ids = self._waiting[key] = IdRanges()
        ids.add(item, item)

    def excused(self, oldest_kept_ns: int | None) -> PendingEvents:
        """Events about those that are older than this, each once."""
        events = PendingEvents()
        if oldest_kept_ns is None or not self._waiting:
            return events
        for series, hour in [key for key in self._waiting if key[1] * _HOUR_NS <= oldest_kept_ns]:
            events.add_ranges(series, KIND, self._waiting.pop((series, hour)), DETAIL)
        return events

    @property
    def count(self) -> int:
        """How many are not excused."""
        return sum(map(IdRanges.id_count, self._waiting.values()))
