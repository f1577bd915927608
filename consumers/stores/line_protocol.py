"""Points to InfluxDB line protocol, derived from the measurement table; pure, and made for speed.

Each series gets a bytes template (`trade,exchange=binance,symbol=BTCUSDC trade_id=%bi,price=%b,… %d`), each
kind of measurement a function that fills it. Numbers are written by orjson: shortest form that reads back
as the same float, several times faster than `repr`; it writes NaN and ±inf as `null`, which is how they are
found. Whatever is unusual (a missing value, a wrong type) takes the slow way, checked value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import countOf
from typing import Any, Final

import orjson

from consumers.measurements import BucketRole, Column, Measurement, Value
from consumers.points import Point, Series
from consumers.stores.series_cache import SeriesCache
from consumers.stores.storable import (
    INT64_MAX,
    INT64_MIN,
    TIME_MAX_NS,
    TIME_MIN_NS,
    rejection,
    storable_values,
    why_tags_are_refused,
)

# Up to here one orjson call a value is faster than one for all and a split.
_NARROW_COLUMNS: Final = 16
# Sets of missing values that a measurement keeps a template for, each some kilobytes.
_TEMPLATES: Final = 64

_Fill = Callable[["Encoding", Point], bytes | None]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one series is written: `fill` makes its lines, or None where a point needs the slow way.

    Attributes:
        role: which bucket the series' points go to.
    """

    role: BucketRole
    prefix: bytes
    template: bytes
    fill: _Fill
    refused: str | None

    def line(self, point: Point) -> bytes:
        """The point's line without a line end, in nanoseconds; empty if it has no field to store.

        Raises:
            PointsRejected: a tag, a value or the time can never be stored.
        """
        line = self.fill(self, point)
        if line is not None:
            return line
        if self.refused is not None:
            raise rejection(point, self.refused)
        return _checked_line(self.prefix, point)


class LineEncoder:
    """Writes points as line protocol; keeps one prefix per series and one function per measurement."""

    def __init__(self) -> None:
        self._encodings = SeriesCache(_encoding)

    def encoding(self, series: Series) -> Encoding:
        """How the series' points are written; ask once for points that follow each other."""
        return self._encodings.get(series)

    def line(self, point: Point) -> bytes:
        """See `Encoding.line`."""
        return self._encodings.get(point[0]).line(point)


def encode(points: Iterable[Point]) -> bytes:
    """Points as one body of line protocol, without those that have no field.

    Raises:
        PointsRejected: for the first point that can never be stored.
    """
    encoder = LineEncoder()
    return b"\n".join([line for line in map(encoder.line, points) if line])


def _encoding(series: Series) -> Encoding:
    measurement, role = series.measurement, series.measurement.bucket(series.tags)
    refused = why_tags_are_refused(series)
    if refused is not None:
        return Encoding(role, b"", b"", _never, refused)
    prefix = _prefix(series)
    fields = b",".join(
        _escaped(column.name).replace(b"%", b"%%") + (b"=%bi" if column.type == "int" else b"=%b")
        for column in measurement.columns
    )
    template = prefix.replace(b"%", b"%%") + fields + b" %d"
    return Encoding(role, prefix, template, _fill(measurement), None)


def _prefix(series: Series) -> bytes:
    tags = b"".join(
        b"," + _escaped(name) + b"=" + _escaped(value)
        for name, value in zip(series.measurement.tags, series.tags, strict=True)
        if value
    )
    return _escaped(series.measurement.name) + tags + b" "


def _escaped(text: str) -> bytes:
    """A tag value (or key) as line protocol has it.

    A backslash before any other character stands for itself: doubling it would store two (tried on 2.9.1).
    """
    return text.replace(",", r"\,").replace("=", r"\=").replace(" ", r"\ ").encode()


def _fill(measurement: Measurement) -> _Fill:
    columns = measurement.columns
    if not columns:
        return _never
    if len(columns) <= _NARROW_COLUMNS:
        return _compiled(columns)
    if all(column.type == "float" for column in columns):
        return _fill_floats(tuple(column.name for column in columns))
    return _never


def _never(_encoding: Encoding, _point: Point) -> None:
    return None


@lru_cache(maxsize=64)
def _compiled(columns: tuple[Column, ...]) -> _Fill:
    """One function for these columns, its loop over them unrolled and its type checks in line.

    Made from source because a loop with a dispatch per field takes twice as long; the source holds only
    positions and types, no names or values from outside.
    """
    names = [f"v{position}" for position in range(len(columns))]
    checks = [f"{name}.__class__ is {column.type}" for name, column in zip(names, columns, strict=True)]
    checks += [
        f"{INT64_MIN} <= {name} <= {INT64_MAX}"
        for name, column in zip(names, columns, strict=True)
        if column.type == "int"
    ]
    checks.append(f"time_ns.__class__ is int and {TIME_MIN_NS} <= time_ns <= {TIME_MAX_NS}")
    source = f"""
def fill(encoding, point):
    _, time_ns, values = point
    if len(values) != {len(columns)}:
        return None
    {", ".join(names)}, = values
    if {" and ".join(checks)}:
        line = encoding.template % ({", ".join(f"dumps({name})" for name in names)}, time_ns)
        if b"=null" not in line:
            return line
    return None
"""
    scope: dict[str, Any] = {"dumps": orjson.dumps}
    exec(compile(source, "<line protocol>", "exec"), scope)
    fill: _Fill = scope["fill"]
    return fill


@lru_cache(maxsize=64)
def _fill_floats(names: tuple[str, ...]) -> _Fill:
    """For wide measurements of floats: all numbers by one orjson call, split at its commas.

    Missing values are usual here (a parabolic stop stands on one side of the market only) and mostly the same
    ones, so they do not take the slow way: each set of them has a template.
    """
    fields = [b"%b=%%b" % _escaped(name).replace(b"%", b"%%") for name in names]

    @lru_cache(maxsize=_TEMPLATES)
    def template(missing: tuple[int, ...]) -> bytes:
        return b",".join(field for place, field in enumerate(fields) if place not in missing)

    def fill(encoding: Encoding, point: Point) -> bytes | None:
        _, time_ns, values = point
        if len(values) != len(names) or time_ns.__class__ is not int:
            return None
        if countOf(map(type, values), float) != len(names) or not TIME_MIN_NS <= time_ns <= TIME_MAX_NS:
            return None
        numbers = orjson.dumps(values)[1:-1]
        present = numbers.split(b",")
        missing: tuple[int, ...] = ()
        at = numbers.find(b"n")  # a number has none, so it is that of null
        while at >= 0:
            missing += (numbers.count(b",", 0, at),)
            at = numbers.find(b"n", at + 1)
        for place in reversed(missing):
            del present[place]
        if not present:
            return b""
        return b"%b%b %d" % (encoding.prefix, template(missing) % tuple(present), time_ns)

    return fill


def _checked_line(prefix: bytes, point: Point) -> bytes:
    fields = [
        _escaped(column.name) + b"=" + _field(value)
        for column, value in zip(point.series.measurement.columns, storable_values(point), strict=True)
        if value is not None
    ]
    return b"%b%b %d" % (prefix, b",".join(fields), point.time_ns) if fields else b""


def _field(value: Value) -> bytes:
    return orjson.dumps(value) + (b"i" if type(value) is int else b"")
