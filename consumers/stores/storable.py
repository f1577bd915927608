"""Which points can be stored at all: one answer for every adapter, so that both refuse the same ones."""

from __future__ import annotations

import math
import sys
from typing import Final

from consumers.measurements import Column, Value
from consumers.points import Point, Series
from shared.errors import PointsRejected
from shared.shortened import quoted

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
TIME_MIN_NS: Final = 0
# InfluxDB keeps the outermost nanosecond of int64 (year 2262) for itself.
TIME_MAX_NS: Final = INT64_MAX - 1
_FLOAT_MAX: Final = int(sys.float_info.max)


def rejection(point: Point, reason: str) -> PointsRejected:
    """The error that refuses one point."""
    return PointsRejected([(point, reason)])


def why_tags_are_refused(series: Series) -> str | None:
    """Why no point of this series can be stored; None if one can.

    Line protocol has no escape for a line break or for a backslash at the end of a tag value (InfluxDB
    2.9.1 refuses the one and drops the other), and a carriage return does not survive its CSV.
    """
    for name, value in zip(series.measurement.tags, series.tags, strict=True):
        if not isinstance(value, str):
            return f"tag {name}: {value!r} is not text"
        if any(ord(character) < 32 or ord(character) == 127 for character in value) or value.endswith("\\"):
            return f"tag {name}: {value!r} has a control character or ends with a backslash"
        if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
            return f"tag {name}: {value!r} is not Unicode text"
    return None


def storable_values(point: Point) -> list[Value]:
    """The point's values as both stores keep them: None, NaN and ±inf are None, ints of float columns floats.

    Raises:
        PointsRejected: a value, or the time, can never be stored.
    """
    columns = point.series.measurement.columns
    if len(point.values) != len(columns):
        raise rejection(point, f"{len(point.values)} values for {len(columns)} columns")
    if type(point.time_ns) is not int or not TIME_MIN_NS <= point.time_ns <= TIME_MAX_NS:
        raise rejection(
            point, f"time {quoted(point.time_ns)} is not nanoseconds since the epoch, before 2262"
        )
    return [_storable(point, column, value) for column, value in zip(columns, point.values, strict=True)]


def _storable(point: Point, column: Column, value: Value) -> Value:
    if value is None:
        return None
    if column.type == "bool":
        if type(value) is bool:
            return value
    elif column.type == "int":
        if type(value) is int and INT64_MIN <= value <= INT64_MAX:
            return value
    elif type(value) is float:
        return value if math.isfinite(value) else None
    elif type(value) is int and abs(value) <= _FLOAT_MAX:
        return float(value)
    kind = {"float": "a number", "int": "a 64-bit integer", "bool": "true or false"}[column.type]
    raise rejection(point, f"{column.name}: {quoted(value, 40)} ({type(value).__name__}) is not {kind}")
