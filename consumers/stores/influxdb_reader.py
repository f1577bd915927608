"""Reading InfluxDB 2 by Flux: pivoted rows, typed by the measurement table, in windows of bounded size."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final

from consumers.measurements import BucketRole, Measurement, Value
from consumers.stores.influxdb_answers import foreign, is_foreign, misconfigured, unavailable
from consumers.stores.influxdb_session import InfluxSession
from consumers.stores.port import Row
from consumers.stores.rows import RowReader, row, row_order
from consumers.stores.storable import TIME_MAX_NS
from shared.intervals import INTERVAL_MS
from shared.settings import Settings

# A window grows while it holds fewer rows than the first, shrinks when it holds more than the second: the
# server pivots one window in memory, and this process sorts it.
_FEW_ROWS: Final = 2_500
_MANY_ROWS: Final = 20_000
_BARS_A_WINDOW: Final = 10_000
_FIRST_WINDOW_NS: Final = 60 * 10**9
_SMALLEST_WINDOW_NS: Final = 10**6
_GROWTH: Final = 4
_PARSE: Final[dict[str, Callable[[str], Value]]] = {
    "float": float,
    "int": int,
    "bool": "true".__eq__,
    "string": str,
}

_Tags = tuple[str, ...]
_LOG: Final = logging.getLogger(__name__)


class InfluxReader(RowReader):
    """A `Reader` on InfluxDB 2.

    Raises:
        StoreMisconfigured: the token is missing or cannot be sent.
    """

    end_ns = TIME_MAX_NS

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session = InfluxSession(settings)
        # Measurements and fields already reported as written by another program.
        self._foreign: set[tuple[str, str]] = set()

    def select(
        self, measurement: Measurement, tags: Mapping[str, str], span: tuple[int, int], last: int | None
    ) -> Iterator[Row]:
        selections = [
            _Selection(measurement, bucket, setting, tags, self._foreign)
            for bucket, setting in self._buckets(measurement, tags).items()
        ]
        rows = (self._rows(selection, *span, last) for selection in selections)
        return heapq.merge(*rows, key=row_order(measurement))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _buckets(self, measurement: Measurement, tags: Mapping[str, str]) -> dict[str, str]:
        """Buckets that may hold these series, each with the setting that names it."""
        named: dict[BucketRole, tuple[str, str]] = {
            "market": (self._settings.influx_bucket_market, "INFLUX_BUCKET_MARKET"),
            "ticks": (self._settings.influx_bucket_ticks, "INFLUX_BUCKET_TICKS"),
        }
        # The bucket depends on the interval alone, and on that only by whether it is 1s.
        roles = {
            measurement.bucket(tuple(tags.get(name, interval) for name in measurement.tags))
            for interval in ("1s", "1m")
        }
        return dict(named[role] for role in sorted(roles))

    def _rows(self, selection: _Selection, start: int, stop: int, last: int | None) -> Iterator[Row]:
        spans = self._spans(selection, start, stop)
        if not spans:
            return
        begin = min(first for first, _ in spans.values())
        end = max(latest for _, latest in spans.values()) + 1
        if last is not None:
            yield from self._newest(selection, spans, begin, end, last)
            return
        width = selection.first_window_ns(_BARS_A_WINDOW)
        while begin < end:
            rows = self._window(selection, begin, min(begin + width, end))
            begin += width
            yield from rows
            if len(rows) > _MANY_ROWS:
                width = max(width // 2, _SMALLEST_WINDOW_NS)
            elif len(rows) < _FEW_ROWS:
                width *= _GROWTH

    def _newest(
        self, selection: _Selection, spans: dict[_Tags, tuple[int, int]], begin: int, end: int, last: int
    ) -> Iterator[Row]:
        """The newest rows of each series: windows backwards until each series has enough or is read."""
        newest: dict[_Tags, list[Row]] = {series: [] for series in spans}
        width = selection.first_window_ns(last)
        while end > begin and any(
            len(newest[series]) < last and first < end for series, (first, _) in spans.items()
        ):
            for found in reversed(self._window(selection, max(end - width, begin), end, last)):
                rows = newest.setdefault(selection.series_of(found), [])
                if len(rows) < last:
                    rows.append(found)
            end -= width
            width *= _GROWTH
        yield from sorted((found for rows in newest.values() for found in rows), key=selection.order)

    def _spans(self, selection: _Selection, start: int, stop: int) -> dict[_Tags, tuple[int, int]]:
        """Times of each series' first and last point; the server finds them without a scan."""
        tags = ", ".join(map(_quoted, ("_time", *selection.measurement.tags)))
        flux = f"points = {selection.flux(start, stop)}\n" + "\n".join(
            f'points |> {end}() |> keep(columns: [{tags}]) |> sort(columns: ["_time"], desc: {descending})'
            f' |> limit(n: 1) |> yield(name: "{end}")'
            for end, descending in (("first", "false"), ("last", "true"))
        )
        spans: dict[_Tags, tuple[int, int]] = {}
        for fields in self._query(flux, selection):
            series = tuple(fields.get(name, "") for name in selection.measurement.tags)
            time_ns = _time_ns(fields["_time"])
            first, latest = spans.get(series, (time_ns, time_ns))
            spans[series] = (min(first, time_ns), max(latest, time_ns))
        return spans

    def _window(self, selection: _Selection, start: int, stop: int, last: int | None = None) -> list[Row]:
        """All rows of one window, in order; or at least the `last` of each series."""
        # Cut before the pivot, where it is cheap: the newest `last` values of each field include all fields
        # of the newest `last` rows; a sparse field adds only older rows.
        cut = f" |> tail(n: {last})" if last is not None else ""
        flux = (
            f'{selection.flux(start, stop)}{cut} |> drop(columns: ["_start", "_stop", "_measurement"])'
            ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        )
        return sorted((selection.row(fields) for fields in self._query(flux, selection)), key=selection.order)

    def _query(self, flux: str, selection: _Selection) -> Iterator[dict[str, str]]:
        for answer in self._session.query(flux):
            if isinstance(answer, dict):
                yield answer
            elif answer.status == 400 and is_foreign(answer):
                raise foreign(answer, self._settings, selection.bucket_setting)
            elif answer.status in (401, 403, 404):
                raise misconfigured(answer, self._settings, selection.bucket_setting, "read")
            else:
                raise unavailable(answer, self._settings)


class _Selection:
    """Series of one measurement in one bucket: their query, and the parsing of its answer."""

    def __init__(
        self,
        measurement: Measurement,
        bucket: str,
        bucket_setting: str,
        tags: Mapping[str, str],
        foreign_fields: set[tuple[str, str]],
    ) -> None:
        self.measurement = measurement
        self.bucket_setting = bucket_setting
        self.order = row_order(measurement)
        self._bucket = bucket
        self._tags = tags
        self._parse = {column.name: _PARSE[column.type] for column in measurement.columns}
        self._not_fields = frozenset(("", "result", "table", "_time", *measurement.tags))
        self._foreign = foreign_fields

    def flux(self, start: int, stop: int) -> str:
        """The part of a query that storage answers by its index."""
        # An empty tag means that the point does not have it.
        wanted = [f"r._measurement == {_quoted(self.measurement.name)}"] + [
            f"r[{_quoted(name)}] == {_quoted(value)}" if value else f"not exists r[{_quoted(name)}]"
            for name, value in self._tags.items()
        ]
        # Another program's field with a tag's name would break the pivot.
        wanted += [f"r._field != {_quoted(name)}" for name in self.measurement.tags]
        return (
            f"from(bucket: {_quoted(self._bucket)}) |> range(start: time(v: {start}), stop: time(v: {stop}))"
            f" |> filter(fn: (r) => {' and '.join(wanted)})"
        )

    def first_window_ns(self, bars: int) -> int:
        """Width of the first window: that of so many bars, where the interval is known."""
        interval = self._tags.get("interval", "")
        return INTERVAL_MS[interval] * 10**6 * bars if interval in INTERVAL_MS else _FIRST_WINDOW_NS

    def series_of(self, found: Row) -> _Tags:
        return tuple(str(found[name]) for name in self.measurement.tags)

    def row(self, fields: Mapping[str, str]) -> Row:
        """A row of the answer, typed by the measurement table (other fields are indicators: floats)."""
        return row(
            _time_ns(fields["_time"]),
            ((name, fields.get(name, "")) for name in self.measurement.tags),
            (
                (name, self._value(name, text))
                for name, text in fields.items()
                if text and name not in self._not_fields
            ),
        )

    def _value(self, name: str, text: str) -> Value:
        """A field's value; None if another program wrote a value of another type."""
        try:
            return self._parse.get(name, float)(text)
        except ValueError:
            if (self.measurement.name, name) not in self._foreign:
                self._foreign.add((self.measurement.name, name))
                _LOG.warning(
                    "%s: bucket %s: field %s of %s has a value of another program (%.40r); left out",
                    self.bucket_setting,
                    self._bucket,
                    name,
                    self.measurement.name,
                    text,
                )
            return None


def _quoted(text: str) -> str:
    """A string literal of Flux; `${` would begin an interpolation."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def _time_ns(text: str) -> int:
    """Nanoseconds of `2026-11-21T10:55:49.000000123Z`."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 10**9 + int(fraction.ljust(9, "0"))
