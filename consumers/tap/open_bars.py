"""The open bars that are viewed. Updates come from one thread for each interval, trades from another.

Rows are handed over under the lock, so that a viewer gets a series' rows in the order they were made in.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from consumers.tap.open_bar import BarRow, OpenBar, Trade
from consumers.tap.port import Arrived, Event, Filled, LiveRow, OnEvents
from consumers.tap.series import OPEN_BAR, LiveSeries
from shared.intervals import interval_ms
from shared.messages import KlineMessage, TradeMessage

Tags = tuple[str, str, str]


@dataclass(slots=True)
class _Viewed:
    """Attributes:
    shown: `Filled` was given.
    """

    bar: OpenBar
    shown: bool = field(default=False)


class OpenBars:
    """Thread-safe."""

    def __init__(self, on_events: OnEvents) -> None:
        self._on_events = on_events
        self._lock = threading.Lock()
        self._viewed: dict[Tags, _Viewed] = {}
        # The newest trades of each instrument, for intervals that are viewed later.
        self._trades: dict[tuple[str, str], list[Trade]] = {}

    def begin(self, tags: Tags) -> None:
        """Begin a series (anew)."""
        with self._lock:
            viewed = self._viewed[tags] = _Viewed(OpenBar(interval_ms(tags[2])))
            for trade in self._trades.get(tags[:2], ()):
                viewed.bar.trade(trade)

    def show(self, tags: Tags) -> None:
        """The series has its first update, or there is none yet: its rows so far, and all from now on."""
        with self._lock:
            viewed = self._viewed.get(tags)
            if viewed is None:
                return  # dropped meanwhile
            viewed.shown = True
            viewed.bar.take()
            newest = viewed.bar.newest()
            rows = () if newest is None else (_row(newest),)
            self._on_events([Filled(LiveSeries(OPEN_BAR.name, tags), None, rows, 0, 0)])

    def update(self, tags: Tags, messages: Sequence[KlineMessage]) -> None:
        with self._lock:
            viewed = self._viewed.get(tags)
            if viewed is None:
                return
            for message in messages:
                viewed.bar.update(message)
            self._emit({tags: viewed})

    def trade(self, tags: tuple[str, str], messages: Sequence[TradeMessage]) -> None:
        trades = [Trade.of(message) for message in messages]
        with self._lock:
            recent = self._trades.setdefault(tags, [])
            recent += trades
            if len(recent) > 2 * _RECENT:
                del recent[:-_RECENT]
            viewed = {of: one for of, one in self._viewed.items() if of[:2] == tags}
            for one in viewed.values():
                for trade in trades:
                    one.bar.trade(trade)
            self._emit(viewed)

    def drop(self, tags: Tags) -> None:
        """A series is followed no more."""
        with self._lock:
            self._viewed.pop(tags, None)

    def drop_trades(self, tags: tuple[str, str]) -> None:
        """Trades of an instrument are followed no more."""
        with self._lock:
            self._trades.pop(tags, None)

    def _emit(self, viewed: dict[Tags, _Viewed]) -> None:
        events: list[Event] = []
        for tags, one in viewed.items():
            if one.shown and (rows := one.bar.take()):
                events.append(Arrived(LiveSeries(OPEN_BAR.name, tags), tuple(map(_row, rows)), 0))
        if events:
            self._on_events(events)


# More than come between two updates of a bar.
_RECENT = 2_000


def _row(row: BarRow) -> LiveRow:
    return LiveRow(row.open_time_ms * 1_000_000, row.values, -1, row.event_ms)
