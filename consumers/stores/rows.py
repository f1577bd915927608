"""The part of `Reader` that both adapters share: checks of a request, and the shape and order of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from consumers.measurements import MEASUREMENTS, Measurement, Value
from consumers.stores.port import Row
from consumers.stores.storable import TIME_MAX_NS, TIME_MIN_NS
from shared.errors import UsageError


class RowReader(ABC):
    """`Reader.read`, reduced to what can be selected.

    Attributes:
        end_ns: the end of all times, exclusive.
    """

    end_ns: ClassVar[int] = TIME_MAX_NS + 1

    def read(
        self,
        measurement: str,
        tags: Mapping[str, str],
        *,
        from_ns: int | None = None,
        to_ns: int | None = None,
        last: int | None = None,
    ) -> Iterator[Row]:
        """See `Reader.read`."""
        kind = _known(measurement, tags)
        start = max(TIME_MIN_NS, from_ns if from_ns is not None else TIME_MIN_NS)
        stop = min(self.end_ns, to_ns if to_ns is not None else self.end_ns)
        if start >= stop or (last is not None and last < 1):
            return iter(())
        return self.select(kind, tags, (start, stop), last)

    @abstractmethod
    def select(
        self, measurement: Measurement, tags: Mapping[str, str], span: tuple[int, int], last: int | None
    ) -> Iterator[Row]:
        """Rows of a known measurement, within a span that is not empty."""


def _known(name: str, tags: Mapping[str, str]) -> Measurement:
    """The measurement of this name. Raises UsageError if it is unknown, or has no such tag."""
    measurement = MEASUREMENTS.get(name)
    if measurement is None:
        raise UsageError(f"measurement: {name!r} is not known; choose from {', '.join(MEASUREMENTS)}")
    for tag in tags:
        if tag not in measurement.tags:
            raise UsageError(f"{name}: {tag!r} is not a tag; it has {', '.join(measurement.tags)}")
    return measurement


def row_order(measurement: Measurement) -> Callable[[Row], Any]:
    """Sort key of rows: time, then the tags in their order, the same for both stores."""
    names = ("time_ns", *measurement.tags)
    return lambda row: tuple(row[name] for name in names)


def row(time_ns: int, tags: Iterable[tuple[str, str]], fields: Iterable[tuple[str, Value]]) -> Row:
    """A row of `Reader.read`, without fields that the point does not have."""
    return {"time_ns": time_ns, **dict(tags), **{name: value for name, value in fields if value is not None}}
