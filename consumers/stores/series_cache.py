"""A cache of what an adapter derives per series (an escaped prefix, an SQL statement), keyed by identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from consumers.measurements import Series

# Series of one process: symbols × intervals × measurements, a few thousand at most. The bound protects from
# builders that make a new Series for each point.
_MOST_SERIES: Final = 10_000

Derived = TypeVar("Derived")


class SeriesCache(Generic[Derived]):
    """Maps a `Series` to what `derive` makes of it; bounded.

    Keyed by object identity: builders share one Series among their points, and hashing its tags and 86
    columns would cost more than writing the point. An entry holds its Series, so that its id is not reused.
    """

    def __init__(self, derive: Callable[[Series], Derived]) -> None:
        self._derive = derive
        self._entries: dict[int, tuple[Series, Derived]] = {}

    def get(self, series: Series) -> Derived:
        entry = self._entries.get(id(series))
        if entry is not None:
            return entry[1]
        if len(self._entries) >= _MOST_SERIES:
            self._entries.clear()
        derived = self._derive(series)
        self._entries[id(series)] = (series, derived)
        return derived

    def clear(self) -> None:
        self._entries.clear()
