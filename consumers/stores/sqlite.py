"""SQLite as a store: one file, one table per measurement, one transaction per write."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consumers.measurements import MEASUREMENTS, BucketRole, Measurement, Point, Series
from consumers.stores.disk import DiskGuard
from consumers.stores.series_cache import SeriesCache
from consumers.stores.sqlite_file import (
    FileIdentity,
    Synchronous,
    errors_named,
    newest_time_ns,
    open_file,
    remember_time,
)
from consumers.stores.sqlite_schema import missing_columns, quoted, series_of, upsert
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
from shared.errors import PointsRejected

_PRUNE_PERIOD_NS: Final = 3_600 * 10**9
# Rows deleted in one transaction, which bounds how long another writer waits.
_PRUNE_ROWS: Final = 50_000
_BUSY_TIMEOUT_S: Final = 5.0

_Parameters = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one series is stored.

    Attributes:
        types: types of the values of a usual point; None: no value is usual.
        integers: positions of the int columns.
        refused: why no point of the series can be stored.
        exchange_timed: its points have the exchange's time.
    """

    measurement: Measurement
    role: BucketRole
    exchange_timed: bool
    upsert: str
    types: tuple[type | None, ...]
    integers: tuple[int, ...]
    refused: str | None


class SqliteStore:
    """A `Store` on one SQLite file; makes the file, its directory and its tables where they are missing.

    Several threads may use it; one process at a time writes a file.

    Args:
        path: SQLITE_PATH.
        ticks_expiry_ns: how long `ticks` keeps points, None for ever; older ones, by the exchange's time, are
            deleted when the file is opened and once an hour of that time.
        synchronous: "full": a commit is on the disk when `write` returns; "normal": a power cut may lose it.
        busy_timeout_s: how long to wait for another process that writes.
        disk: asked before each write.

    Raises:
        StoreUnavailable: locked, full or read-only.
        StoreMisconfigured: the path or file cannot be used, or was removed since it was opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        ticks_expiry_ns: int | None = TICKS_EXPIRY_NS,
        synchronous: Synchronous = "full",
        busy_timeout_s: float = _BUSY_TIMEOUT_S,
        disk: DiskGuard | None = None,
    ) -> None:
        self._path = path
        self._disk = disk or DiskGuard(path.parent)
        self._ticks_expiry_ns = ticks_expiry_ns
        self.expired = 0
        self._lock = threading.Lock()
        self._plans = SeriesCache(_plan)
        # Measurements whose columns the tables have, by identity (an entry holds its measurement).
        self._prepared: dict[int, Measurement] = {}
        self._connection = open_file(path, busy_timeout_s, synchronous)
        self._pruned_ns: int | None = None
        try:
            self._identity = FileIdentity.of(path)
            with errors_named(path):
                self._clock = ExpiryClock(newest_time_ns(self._connection))
            self._prune()
        except BaseException:
            self._connection.close()
            raise

    @property
    def oldest_kept_ns(self) -> int | None:
        """See `Store.oldest_kept_ns`."""
        return self._clock.oldest_kept_ns(self._ticks_expiry_ns)

    def write(self, points: Sequence[Point]) -> Sequence[Point]:
        """See `Store.write`."""
        with self._lock:
            self._identity.require_same()
            # Even while the disk is full: expired rows make room for new ones.
            self._prune()
            self._disk.require_space()
            groups, rejected, expired = self._sorted_out(points)
            if groups:
                with self._transaction():
                    for plan, parameters in groups:
                        self._prepare(plan.measurement)
                        self._connection.executemany(plan.upsert, parameters)
                    remember_time(self._connection, self._clock.newest_ns)
                # If the file was removed meanwhile, the points are lost with it.
                self._identity.require_same()
            # Counted at the end, since a call that fails is repeated with the same points.
            self.expired += len(expired)
        if rejected:
            raise PointsRejected(rejected, expired)
        return expired

    def close(self) -> None:
        """Close the file; SQLite merges the write-ahead log into it."""
        with self._lock, errors_named(self._path):
            self._connection.close()

    def _sorted_out(
        self, points: Sequence[Point]
    ) -> tuple[list[tuple[_Plan, list[_Parameters]]], list[tuple[Point, str]], list[Point]]:
        """Statements with their parameters, in the order of each table's points; rejected; expired."""
        oldest_ns, newest_ns = self.oldest_kept_ns, self._clock.newest_ns or TIME_MIN_NS
        newer: list[int] = []
        groups: list[tuple[_Plan, list[_Parameters]]] = []
        latest: dict[str, tuple[_Plan, list[_Parameters]]] = {}
        rejected: list[tuple[Point, str]] = []
        expired: list[Point] = []
        for point in points:
            plan = self._plans.get(point.series)
            if plan.role == "ticks" and oldest_ns is not None and point.time_ns < oldest_ns:
                expired.append(point)
                continue
            try:
                parameters = _parameters(plan, point)
            except PointsRejected as error:
                rejected += error.rejected
                continue
            if parameters is None:
                continue
            if plan.exchange_timed and point.time_ns > newest_ns:
                newer.append(point.time_ns)
            group = latest.get(plan.measurement.name)
            # Another set of indicator columns needs another statement.
            if group is None or group[0].upsert != plan.upsert:
                group = latest[plan.measurement.name] = (plan, [])
                groups.append(group)
            group[1].append(parameters)
        self._clock.receive(newer)
        return groups, rejected, expired

    def _prepare(self, measurement: Measurement) -> None:
        """Add missing columns to the measurement's table, inside the transaction that needs them."""
        if id(measurement) in self._prepared:
            return
        for statement in missing_columns(self._connection, measurement):
            self._connection.execute(statement)
        if len(self._prepared) > len(MEASUREMENTS) * 10:
            self._prepared.clear()
        self._prepared[id(measurement)] = measurement

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with errors_named(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # The rollback removes added columns too. On a full disk SQLite has rolled back already.
                self._prepared.clear()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _prune(self) -> None:
        """Delete expired rows of `ticks`, at most once an hour."""
        oldest_ns = self.oldest_kept_ns
        if oldest_ns is None or (
            self._pruned_ns is not None and oldest_ns < self._pruned_ns + _PRUNE_PERIOD_NS
        ):
            return
        for measurement in MEASUREMENTS.values():
            with errors_named(self._path):
                expiring = [
                    tags
                    for tags in series_of(self._connection, measurement)
                    if measurement.bucket(tags) == "ticks"
                ]
            for tags in expiring:
                while self._prune_some(measurement, tags, oldest_ns) == _PRUNE_ROWS:
                    pass
        self._pruned_ns = oldest_ns

    def _prune_some(self, measurement: Measurement, tags: tuple[str, ...], oldest_ns: int) -> int:
        """Delete a bounded number of a series' oldest rows; returns how many."""
        table = quoted(measurement.name)
        series = " AND ".join(f"{quoted(tag)} = ?" for tag in measurement.tags)
        with self._transaction():
            (next_ns,) = self._connection.execute(
                f"SELECT time_ns FROM {table} WHERE {series} ORDER BY time_ns LIMIT 1 OFFSET ?",
                (*tags, _PRUNE_ROWS),
            ).fetchone() or (oldest_ns,)
            deleted = self._connection.execute(
                f"DELETE FROM {table} WHERE {series} AND time_ns < ?", (*tags, min(next_ns, oldest_ns))
            )
            return deleted.rowcount


def _plan(series: Series) -> _Plan:
    measurement = series.measurement
    types: dict[str, type] = {"float": float, "int": int, "bool": bool}
    return _Plan(
        measurement=measurement,
        role=measurement.bucket(series.tags),
        exchange_timed=measurement.name in EXCHANGE_TIMED,
        upsert=upsert(measurement) if measurement.columns else "",
        # Texts are rare, and checked one by one.
        types=tuple(types.get(column.type) for column in measurement.columns),
        integers=tuple(
            position for position, column in enumerate(measurement.columns) if column.type == "int"
        ),
        refused=why_tags_are_refused(series),
    )


def _parameters(plan: _Plan, point: Point) -> _Parameters | None:
    """The statement's parameters; None for a point without a field to store.

    Raises:
        PointsRejected: the point can never be stored.
    """
    if plan.refused is not None:
        raise rejection(point, plan.refused)
    series, time_ns, values = point
    usual = (
        tuple(map(type, values)) == plan.types
        and all(INT64_MIN <= values[position] <= INT64_MAX for position in plan.integers)  # type: ignore[operator]
        and type(time_ns) is int
        and TIME_MIN_NS <= time_ns <= TIME_MAX_NS
        # One check for all values: NaN and ±inf survive a sum.
        and math.isfinite(sum(values))  # type: ignore[arg-type]
    )
    if usual and values:
        return (*series.tags, time_ns, *values)
    checked = storable_values(point)
    if all(value is None for value in checked):
        return None
    return (*series.tags, time_ns, *checked)
