"""Points: what a store keeps. Values are positional, in the order of the measurement's columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from consumers.measurements import Measurement, Value


@dataclass(frozen=True, slots=True)
class Series:
    """A measurement with its tag values. Builders keep one per instrument and share it among its points.

    Attributes:
        tags: values of `measurement.tags`, in that order; "" where a tag does not apply (a trade ledger
            has no interval), which line protocol leaves out.
    """

    measurement: Measurement
    tags: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.tags) != len(self.measurement.tags):
            raise ValueError(f"{self.measurement.name} has the tags {self.measurement.tags}, got {self.tags}")


class Point(NamedTuple):
    """One point; (series, time_ns) is its identity: writing it twice is writing it once.

    Attributes:
        time_ns: nanoseconds since the epoch, UTC.
        values: as many as the measurement has columns. None, NaN and ±inf are left out (NULL in SQL).
    """

    series: Series
    time_ns: int
    values: tuple[Value, ...]
