"""A store in memory, which passes the stores' contract and fails as a server does: `MemoryDatabase` is what
outlives its clients, `MemoryStore` and `MemoryReader` are the two ports on it."""

from __future__ import annotations

import heapq
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from consumers.measurements import BucketRole, Measurement, Point, Series, Value
from consumers.stores.port import Row
from consumers.stores.rows import RowReader, row, row_order
from consumers.stores.series_cache import SeriesCache
from consumers.stores.storable import (
    EXCHANGE_TIMED,
    INT64_MAX,
    INT64_MIN,
    TICKS_EXPIRY_NS,
    TIME_MAX_NS,
    TIME_MIN_NS,
    ExpiryClock,
    rejection,
    storable_values,
    why_tags_are_refused,
)
from shared.errors import PointsRejected, StoreUnavailable

# Of the requests that a server in trouble refuses, the part of which it has stored something, or all.
_STORED_IN_PART: Final = 0.3
# Of its refusals, the part that says when to come again; the others leave it to the client.
_SAYS_WHEN: Final = 0.3
_WHEN_S: Final = 0.5

Tags = tuple[str, ...]
Fields = dict[str, Value]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A point on its way to the server."""

    measurement: str
    tags: Tags
    time_ns: int
    fields: Fields


def _at_once(_seconds: float) -> None:
    """Latency where no time passes."""


class MemoryDatabase:
    """The server: its rows survive its clients, and their deaths in the middle of a request.

    Args:
        chance: decides latencies, and what a request that fails has stored.
        wait: blocks the caller for so many seconds.
        latency_s: of a request and of its answer, the shortest and the longest.

    Attributes:
        away: requests fail. Some of them store a part of their points first, as InfluxDB does.
        newest_ns: the newest time of the exchange that a client has accepted.
    """

    def __init__(
        self,
        chance: random.Random | None = None,
        wait: Callable[[float], None] = _at_once,
        latency_s: tuple[float, float] = (0.0005, 0.01),
    ) -> None:
        self._chance = chance or random.Random(0)
        self._wait = wait
        self._latency_s = latency_s
        self._series: defaultdict[str, defaultdict[Tags, dict[int, Fields]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        self.away = False
        self.newest_ns: int | None = None

    def write(self, entries: Sequence[_Entry]) -> None:
        """One request.

        Raises:
            StoreUnavailable: it has stored none, some or all of the entries.
        """
        self._travel()
        if self.away:
            if self._chance.random() < _STORED_IN_PART:
                first, last = sorted(self._chance.choices(range(len(entries) + 1), k=2))
                self._store(entries[first:last])
            raise self._refusal()
        self._store(entries)
        self._travel()
        if self.away:
            raise self._refusal()  # all is stored, and the answer is lost

    def series(self, measurement: str) -> Mapping[Tags, Mapping[int, Fields]]:
        """Rows by series and time. Raises StoreUnavailable."""
        self._travel()
        if self.away:
            raise self._refusal()
        return self._series.get(measurement, {})

    @property
    def rows(self) -> dict[tuple[str, Tags, int], Fields]:
        """Everything stored, by measurement, tags and time; asked of no server."""
        return {
            (name, tags, time_ns): dict(fields)
            for name, series in self._series.items()
            for tags, times in series.items()
            for time_ns, fields in times.items()
        }

    def _store(self, entries: Sequence[_Entry]) -> None:
        for entry in entries:
            times = self._series[entry.measurement][entry.tags]
            known = times.get(entry.time_ns)
            if known is None:
                times[entry.time_ns] = dict(entry.fields)
            else:
                known.update(entry.fields)

    def _travel(self) -> None:
        self._wait(self._chance.uniform(*self._latency_s))

    def _refusal(self) -> StoreUnavailable:
        says_when = self._chance.random() < _SAYS_WHEN
        return StoreUnavailable("the store does not answer", _WHEN_S if says_when else None)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How points of one series are stored; `types` and `integers` (positions) are those of a usual point."""

    role: BucketRole
    exchange_timed: bool
    names: tuple[str, ...]
    types: tuple[type, ...]
    integers: tuple[int, ...]
    refused: str | None


class MemoryStore:
    """A `Store`: one request for each bucket that has points, as to InfluxDB.

    Args:
        database: a new one by default.
        ticks_expiry_ns: how long `ticks` keeps points, None for ever. Older ones, by the exchange's time, are
            not written; nothing is deleted.
    """

    def __init__(
        self, database: MemoryDatabase | None = None, *, ticks_expiry_ns: int | None = TICKS_EXPIRY_NS
    ) -> None:
        self.database = database or MemoryDatabase()
        self._ticks_expiry_ns = ticks_expiry_ns
        self._clock = ExpiryClock(self.database.newest_ns)
        self._plans = SeriesCache(_plan)
        self.expired = 0

    @property
    def oldest_kept_ns(self) -> int | None:
        """See `Store.oldest_kept_ns`."""
        return self._clock.oldest_kept_ns(self._ticks_expiry_ns)

    def write(self, points: Sequence[Point]) -> Sequence[Point]:
        """See `Store.write`."""
        requests: dict[BucketRole, list[_Entry]] = {"market": [], "ticks": []}
        rejected, expired = self._sorted_out(points, requests)
        for entries in requests.values():
            if entries:
                self.database.write(entries)
        self.database.newest_ns = self._clock.newest_ns
        # Counted at the end, since a call that fails is repeated with the same points.
        self.expired += len(expired)
        if rejected:
            raise PointsRejected(rejected, expired)
        return expired

    def close(self) -> None:
        """Nothing is open."""

    @property
    def rows(self) -> dict[tuple[str, Tags, int], Fields]:
        """See `MemoryDatabase.rows`."""
        return self.database.rows

    def of(self, measurement: str) -> dict[tuple[Tags, int], Fields]:
        """Rows of a measurement, by tags and time."""
        return {(tags, ns): fields for (name, tags, ns), fields in self.rows.items() if name == measurement}

    def _sorted_out(
        self, points: Sequence[Point], requests: Mapping[BucketRole, list[_Entry]]
    ) -> tuple[list[tuple[Point, str]], list[Point]]:
        """Points that are rejected and points that have expired; the others go into the requests."""
        oldest_ns = self._clock.oldest_kept_ns(self._ticks_expiry_ns)
        newest_ns = self._clock.newest_ns or TIME_MIN_NS
        newer: list[int] = []
        rejected: list[tuple[Point, str]] = []
        expired: list[Point] = []
        for point in points:
            series, time_ns, _ = point
            plan = self._plans.get(series)
            if plan.role == "ticks" and oldest_ns is not None and time_ns < oldest_ns:
                expired.append(point)
                continue
            try:
                fields = _fields(plan, point)
            except PointsRejected as error:
                rejected += error.rejected
                continue
            if not fields:
                continue
            if plan.exchange_timed and time_ns > newest_ns:
                newer.append(time_ns)
            requests[plan.role].append(_Entry(series.measurement.name, series.tags, time_ns, fields))
        self._clock.receive(newer)
        return rejected, expired


class MemoryReader(RowReader):
    """A `Reader` of the same database."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def select(
        self, measurement: Measurement, tags: Mapping[str, str], span: tuple[int, int], last: int | None
    ) -> Iterator[Row]:
        order = row_order(measurement)
        each = []
        for found, times in self._database.series(measurement.name).items():
            named = dict(zip(measurement.tags, found, strict=True))
            if tags.items() <= named.items():
                inside = sorted(time_ns for time_ns in times if span[0] <= time_ns < span[1])
                newest = inside if last is None else inside[-last:]
                each.append([row(ns, named.items(), times[ns].items()) for ns in newest])
        return heapq.merge(*each, key=order)

    def close(self) -> None:
        """Nothing is open."""


def _plan(series: Series) -> _Plan:
    measurement = series.measurement
    types: dict[str, type] = {"float": float, "int": int, "bool": bool, "string": str}
    return _Plan(
        role=measurement.bucket(series.tags),
        exchange_timed=measurement.name in EXCHANGE_TIMED,
        names=tuple(column.name for column in measurement.columns),
        types=tuple(types[column.type] for column in measurement.columns),
        integers=tuple(at for at, column in enumerate(measurement.columns) if column.type == "int"),
        refused=why_tags_are_refused(series),
    )


def _fields(plan: _Plan, point: Point) -> Fields:
    """The fields to store, by name.

    Raises:
        PointsRejected: the point can never be stored.
    """
    if plan.refused is not None:
        raise rejection(point, plan.refused)
    _, time_ns, values = point
    usual = (
        str not in plan.types
        and tuple(map(type, values)) == plan.types
        and all(INT64_MIN <= values[position] <= INT64_MAX for position in plan.integers)  # type: ignore[operator]
        and type(time_ns) is int
        and TIME_MIN_NS <= time_ns <= TIME_MAX_NS
        # One check for all values: NaN and ±inf survive a sum.
        and math.isfinite(sum(values))  # type: ignore[arg-type]
    )
    checked = values if usual else storable_values(point)
    return {name: value for name, value in zip(plan.names, checked, strict=True) if value is not None}
