"""Events on their way from the taps' threads to the hub: bounded, without a tap ever waiting.

A loop that is behind does not need what nobody will see: of many events of a series one is made, and beyond
a bound the oldest rows go; the hub is told how many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from consumers.tap.port import Arrived, Event, LiveRow
from consumers.tap.series import LiveKind, LiveSeries

# About two seconds of a loaded loop at full stream.
MOST_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Overrun:
    """Rows of a series were dropped, just before those that follow."""

    series: LiveSeries
    dropped: int


class Inbox:
    """
    Args:
        most: rows that may wait before they are merged.
        most_of_one: exact rows of one series that are kept then.
    """

    def __init__(
        self, kinds: Mapping[str, LiveKind], most: int = MOST_ROWS, most_of_one: int = 2_000
    ) -> None:
        self._kinds = kinds
        self._most = most
        self._most_of_one = most_of_one
        self._events: list[Event | Overrun] = []
        self._rows = 0

    def add(self, events: Sequence[Event]) -> None:
        """Events of one batch."""
        self._events.extend(events)
        self._rows += sum(len(event.rows) or 1 if isinstance(event, Arrived) else 1 for event in events)
        if self._rows > self._most:
            self._merge()

    def take(self) -> list[Event | Overrun]:
        """All that wait, in order."""
        taken, self._events, self._rows = self._events, [], 0
        return taken

    def _merge(self) -> None:
        """Make one event of each run of a series' rows; what is no arrival keeps its place among them."""
        merged: list[Event | Overrun] = []
        run: dict[LiveSeries, list[Arrived]] = {}
        dropped: Counter[LiveSeries] = Counter()
        for event in self._events:
            match event:
                case Arrived(series):
                    run.setdefault(series, []).append(event)
                case Overrun(series, count):
                    dropped[series] += count
                case _:
                    merged += self._merged(run, dropped)
                    run, dropped = {}, Counter()
                    merged.append(event)
        merged += self._merged(run, dropped)
        self._events = merged
        self._rows = sum(len(event.rows) or 1 if isinstance(event, Arrived) else 1 for event in merged)

    def _merged(
        self, run: dict[LiveSeries, list[Arrived]], dropped: Counter[LiveSeries]
    ) -> list[Event | Overrun]:
        merged: list[Event | Overrun] = []
        for series, arrivals in run.items():
            rows: list[LiveRow] = [row for arrived in arrivals for row in arrived.rows]
            latest = self._kinds[series.name].delivery == "latest" if series.name in self._kinds else True
            most = 1 if latest else self._most_of_one
            too_many = max(0, len(rows) - most)
            if gone := dropped.pop(series, 0) + (0 if latest else too_many):
                merged.append(Overrun(series, gone))
            merged.append(Arrived(series, tuple(rows[too_many:]), arrivals[-1].end))
        return merged + [Overrun(series, count) for series, count in dropped.items()]
