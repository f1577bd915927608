"""Instruments that the settings do not name. Pure.

Viewers may ask for any of them, so that all together have a room of their own, and an end: one that nobody
watches is dropped at once if nothing ever came of it, else when others need its room.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from api.configured import Configured, Instrument
from api.feeds import SINGLE, Watched
from consumers.tap.series import LiveSeries

# Of `api.limits.MOST_SERIES`. A viewer of one instrument's bars has eight: what else comes of its records.
MOST_UNCONFIGURED: Final = 512


class Unconfigured:
    """
    Args:
        configured: instruments of the settings; None: all are.
        most: series of all others that may be watched.
    """

    def __init__(self, configured: Configured | None, most: int = MOST_UNCONFIGURED) -> None:
        self._configured = configured
        self.most = most
        self._feeds: Counter[Instrument] = Counter()
        # In the order in which they were left last.
        self._watched: dict[Instrument, dict[LiveSeries, Watched]] = {}
        self._count = 0

    def instrument(self, series: LiveSeries) -> Instrument | None:
        """The instrument of a series; None if it is configured, or the series is of no single instrument."""
        if self._configured is None or series.name not in SINGLE:
            return None
        exchange, symbol = series.tags[:2]
        return None if (exchange, symbol) in self._configured else (exchange, symbol)

    @property
    def full(self) -> bool:
        """Whether no further series has room."""
        return self._count >= self.most

    def is_asked_for(self, instrument: Instrument) -> bool:
        """Whether there is a feed of it."""
        return instrument in self._feeds

    def watch(self, instrument: Instrument, watched: Watched) -> None:
        """A series of it is followed."""
        self._watched.setdefault(instrument, {})[watched.series] = watched
        self._count += 1

    def enter(self, instrument: Instrument) -> None:
        """A feed of it was made."""
        self._feeds[instrument] += 1

    def leave(self, instrument: Instrument) -> bool:
        """A feed of it has ended; whether the instrument is to be dropped."""
        self._feeds[instrument] -= 1
        if self._feeds[instrument] > 0:
            return False
        del self._feeds[instrument]
        self._watched[instrument] = self._watched.pop(instrument, {})
        return self._is_nothing(instrument)

    def idle(self) -> Instrument | None:
        """The instrument that nobody has watched for the longest time; None if all are watched."""
        return next((each for each in self._watched if each not in self._feeds), None)

    def forget(self, series: LiveSeries) -> bool:
        """A series is followed no more; whether its instrument is to be dropped."""
        instrument = self.instrument(series)
        if instrument is None or self._watched.get(instrument, {}).pop(series, None) is None:
            return False
        self._count -= 1
        return self._is_nothing(instrument)

    def drop(self, instrument: Instrument) -> list[LiveSeries]:
        """Forget it; its series."""
        series = list(self._watched.pop(instrument, {}))
        self._count -= len(series)
        return series

    def _is_nothing(self, instrument: Instrument) -> bool:
        """Whether nobody asks for it, and nothing ever came."""
        return instrument not in self._feeds and all(
            watched.pace.newest_ms is None for watched in self._watched[instrument].values()
        )
