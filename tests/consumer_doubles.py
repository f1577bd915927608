"""Doubles for the consumers' tests: an indicator set small enough to see through, and a store in memory."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from consumers.indicators.bars import Bar
from consumers.measurements import Point


class SumOfCloses:
    """Depends on every bar since the first: a bar left out or taken twice is seen for ever."""

    columns = ("sum_of_closes",)

    def __init__(self, version: bytes = b"1") -> None:
        self._version = version

    def initial(self) -> float:
        return 0.0

    def step(self, state: float, bar: Bar) -> tuple[float, tuple[float, ...]]:
        return state + bar.close, (state + bar.close,)

    def values(self, state: float, bar: Bar) -> tuple[float, ...]:
        return (state + bar.close,)

    def dump(self, state: float) -> bytes:
        return self._version + struct.pack("<d", state)

    def load(self, data: bytes) -> float:
        if data[:1] != self._version:
            raise ValueError("indicator state of another version")
        return float(struct.unpack("<d", data[1:])[0])


class MemoryStore:
    """Keeps points by identity, merging fields as InfluxDB does."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, tuple[str, ...], int], tuple[Any, ...]] = {}
        self.expired = 0
        self.oldest_kept_ns: int | None = None

    def write(self, points: Sequence[Point]) -> Sequence[Point]:
        for point in points:
            key = (point.series.measurement.name, point.series.tags, point.time_ns)
            before = self.rows.get(key, (None,) * len(point.values))
            self.rows[key] = tuple(
                old if new is None or (isinstance(new, float) and not math.isfinite(new)) else new
                for old, new in zip(before, point.values, strict=True)
            )
        return ()

    def close(self) -> None:
        """Nothing is open."""

    def of(self, measurement: str) -> dict[tuple[tuple[str, ...], int], tuple[Any, ...]]:
        return {(tags, ns): values for (name, tags, ns), values in self.rows.items() if name == measurement}
