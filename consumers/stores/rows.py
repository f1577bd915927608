"""What both readers agree on: which measurement is meant, in which order rows come, and their shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from consumers.measurements import MEASUREMENTS, Measurement, Value
from consumers.stores.port import Row
from shared.errors import UsageError


def known_measurement(name: str, tags: Mapping[str, str]) -> Measurement:
    """The measurement of this name, which has these tags.

    Raises:
        UsageError: there is no such measurement, or it has no such tag.
    """
    measurement = MEASUREMENTS.get(name)
    if measurement is None:
        raise UsageError(f"measurement: {name!r} is not known; choose from {', '.join(MEASUREMENTS)}")
    for tag in tags:
        if tag not in measurement.tags:
            raise UsageError(f"{name}: {tag!r} is not a tag; it has {', '.join(measurement.tags)}")
    return measurement


def row_order(measurement: Measurement) -> Callable[[Row], Any]:
    """Sort key of rows: time, then the tags in their order, so that both stores give the same order."""
    names = ("time_ns", *measurement.tags)
    return lambda row: tuple(row[name] for name in names)


def row(time_ns: int, tags: Iterable[tuple[str, str]], fields: Iterable[tuple[str, Value]]) -> Row:
    """A row of `Reader.read`: fields that the point does not have are left out."""
    return {
        "time_ns": time_ns,
        **dict(tags),
        **{name: value for name, value in fields if value is not None},
    }
