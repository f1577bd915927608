"""Points to InfluxDB line protocol, derived from the measurement table; pure, and optimised for speed.

Each series has a bytes template (`trade,exchange=binance,symbol=BTCUSDC trade_id=%bi,price=%b,… %d`), each
kind of measurement a function that fills it. orjson writes the numbers: the shortest form that reads back as
the same float, several times faster than `repr`; NaN and ±inf become `null`, by which they are found. Unusual
points (a missing value, a wrong type) take a slow path, checked value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import countOf
from typing import Any, Final

import orjson

from consumers.measurements import BucketRole, Column, Measurement, Point, Series, Value
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

# Up to this number of columns one orjson call per value is faster than one for all and a split.
_NARROW_COLUMNS: Final = 16
# Templates that a measurement keeps, one per set of missing values, each some kilobytes.
_TEMPLATES: Final = 64

_Fill = Callable[["Encoding", Point], bytes | None]
_FillAll = Callable[["Encoding", Sequence[Point]], list[bytes] | None]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one series is encoded: `fill` makes its lines, or None where a point needs the slow path.

    Attributes:
        role: the bucket of the series' points.
        fill_all: makes the lines of many points, or None where one of them needs the slow path.
    """

    role: BucketRole
    prefix: bytes
    template: bytes
    fill: _Fill
    fill_all: _FillAll
    refused: str | None

    def lines(self, points: Sequence[Point]) -> list[bytes] | None:
        """The lines of points of this series, as `line` makes them; None if one has to be looked at by
        itself."""
        return self.fill_all(self, points)

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
    """Encodes points; keeps one prefix per series and one function per measurement."""

    def __init__(self) -> None:
        self._encodings = SeriesCache(_encoding)

    def encoding(self, series: Series) -> Encoding:
        """The encoding of a series' points; one look-up serves contiguous points of a series."""
        return self._encodings.get(series)

    def line(self, point: Point) -> bytes:
        """See `Encoding.line`."""
        return self._encodings.get(point[0]).line(point)


def encode(points: Iterable[Point]) -> bytes:
    """Points as one body of line protocol; points without any field are left out.

    Raises:
        PointsRejected: for the first point that can never be stored.
    """
    encoder = LineEncoder()
    return b"\n".join([line for line in map(encoder.line, points) if line])


def _encoding(series: Series) -> Encoding:
    measurement, role = series.measurement, series.measurement.bucket(series.tags)
    refused = why_tags_are_refused(series)
    if refused is not None:
        return Encoding(role, b"", b"", _never, _never, refused)
    prefix = _prefix(series)
    fields = b",".join(
        _escaped(column.name).replace(b"%", b"%%") + (b"=%bi" if column.type == "int" else b"=%b")
        for column in measurement.columns
    )
    template = prefix.replace(b"%", b"%%") + fields + b" %d"
    return Encoding(role, prefix, template, *_fills(measurement), None)


def _prefix(series: Series) -> bytes:
    tags = b"".join(
        b"," + _escaped(name) + b"=" + _escaped(value)
        for name, value in zip(series.measurement.tags, series.tags, strict=True)
        if value
    )
    return _escaped(series.measurement.name) + tags + b" "


def _escaped(text: str) -> bytes:
    """A tag value or key, escaped.

    A backslash before any other character stands for itself: doubling it would store two (tested on 2.9.1).
    """
    return text.replace(",", r"\,").replace("=", r"\=").replace(" ", r"\ ").encode()


def _fills(measurement: Measurement) -> tuple[_Fill, _FillAll]:
    columns = measurement.columns
    if not columns or any(column.type == "string" for column in columns):
        return _never, _never  # texts are rare, and checked one by one
    if len(columns) <= _NARROW_COLUMNS:
        return _compiled(columns)
    if all(column.type == "float" for column in columns):
        return _fill_floats(tuple(column.name for column in columns)), _never
    return _never, _never


def _never(_encoding: Encoding, _points: object) -> None:
    return None


@lru_cache(maxsize=64)
def _compiled(columns: tuple[Column, ...]) -> tuple[_Fill, _FillAll]:
    """A function of a point with these columns, with an unrolled loop and inline type checks, and one of many
    points, which saves half of the time.

    Compiled from source because a loop with a dispatch per field takes twice as long; the source has only
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
    sound, values = " and ".join(checks), ", ".join(names)
    filled = f"template % ({', '.join(f'dumps({name})' for name in names)}, time_ns)"
    source = f"""
def fill(encoding, point):
    _, time_ns, values = point
    if len(values) != {len(columns)}:
        return None
    {values}, = values
    if {sound}:
        template = encoding.template
        line = {filled}
        if b"=null" not in line:
            return line
    return None

def fill_all(encoding, points):
    template = encoding.template
    try:
        lines = [{filled} for _, time_ns, ({values},) in points if {sound}]
    except ValueError:
        return None  # one has another number of values
    return lines if len(lines) == len(points) and not any([b"=null" in line for line in lines]) else None
"""
    scope: dict[str, Any] = {"dumps": orjson.dumps}
    exec(compile(source, "<line protocol>", "exec"), scope)
    return scope["fill"], scope["fill_all"]


@lru_cache(maxsize=64)
def _fill_floats(names: tuple[str, ...]) -> _Fill:
    """For wide measurements of floats: all numbers by one orjson call, split at its commas.

    Missing values are common here (a parabolic stop is on one side of the market only) and mostly the same
    ones, so that each set of them has a template instead of the slow path.
    """
    fields = [b"%b=%%b" % _escaped(name).replace(b"%", b"%%") for name in names]

    @lru_cache(maxsize=_TEMPLATES)
    def template(missing: tuple[int, ...]) -> bytes:
        return b",".join(field for index, field in enumerate(fields) if index not in missing)

    def fill(encoding: Encoding, point: Point) -> bytes | None:
        _, time_ns, values = point
        if len(values) != len(names) or time_ns.__class__ is not int:
            return None
        if countOf(map(type, values), float) != len(names) or not TIME_MIN_NS <= time_ns <= TIME_MAX_NS:
            return None
        numbers = orjson.dumps(values)[1:-1]
        present = numbers.split(b",")
        missing: tuple[int, ...] = ()
        at = numbers.find(b"n")  # of null: numbers have none
        while at >= 0:
            missing += (numbers.count(b",", 0, at),)
            at = numbers.find(b"n", at + 1)
        for index in reversed(missing):
            del present[index]
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
    if type(value) is str:
        return b'"%b"' % value.replace("\\", "\\\\").replace('"', '\\"').encode()
    return orjson.dumps(value) + (b"i" if type(value) is int else b"")
