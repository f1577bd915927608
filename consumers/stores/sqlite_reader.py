"""Reading the SQLite store, also while a writer is at work."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from consumers.measurements import Measurement, Value
from consumers.stores.port import Row
from consumers.stores.rows import known_measurement, row, row_order
from consumers.stores.sqlite_errors import errors_named
from consumers.stores.sqlite_file import APPLICATION_ID
from consumers.stores.sqlite_schema import column_names, quoted, series_of
from consumers.stores.storable import TIME_MAX_NS, TIME_MIN_NS
from shared.errors import StoreMisconfigured


class SqliteReader:
    """A `Reader` on one SQLite file, opened read-only, with a connection for each `read`.

    Raises:
        StoreMisconfigured: there is no such file, or it is not one of ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_file():
            raise StoreMisconfigured(
                f"SQLITE_PATH: {path} does not exist; name the file of a store, or write one first (make run)"
            )
        with self._connected() as connection:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        if application_id != APPLICATION_ID:
            raise StoreMisconfigured(f"SQLITE_PATH: {path} is not a store of CryptoStream; name another file")

    def read(
        self,
        measurement: str,
        tags: Mapping[str, str],
        *,
        from_ns: int | None = None,
        to_ns: int | None = None,
        last: int | None = None,
    ) -> Iterator[Row]:
        """Points in ascending time, as rows; see `Reader.read`."""
        kind = known_measurement(measurement, tags)
        start = max(TIME_MIN_NS, from_ns if from_ns is not None else TIME_MIN_NS)
        stop = min(TIME_MAX_NS + 1, to_ns if to_ns is not None else TIME_MAX_NS + 1)
        if start >= stop or (last is not None and last < 1):
            return iter(())
        return self._rows(kind, dict(tags), (start, stop), last)

    def close(self) -> None:
        """Nothing stays open between reads."""

    def _rows(
        self, measurement: Measurement, tags: dict[str, str], span: tuple[int, int], last: int | None
    ) -> Iterator[Row]:
        with errors_named(self._path), self._connected() as connection, ExitStack() as cursors:
            # One transaction, so that all series are seen at one moment.
            connection.execute("BEGIN")
            order = "DESC LIMIT ?" if last is not None else "ASC"
            wanted = " AND ".join(f"{quoted(tag)} = ?" for tag in measurement.tags)
            newest = (
                f"SELECT * FROM {quoted(measurement.name)} WHERE {wanted}"
                f" AND time_ns >= ? AND time_ns < ? ORDER BY time_ns {order}"
            )
            select = f"SELECT * FROM ({newest}) ORDER BY time_ns" if last is not None else newest
            limit = () if last is None else (last,)
            shape = _RowShape(measurement, column_names(connection, measurement))
            each = [
                map(
                    shape.row,
                    cursors.enter_context(closing(connection.execute(select, (*series, *span, *limit)))),
                )
                for series in self._series(connection, measurement, tags)
            ]
            yield from heapq.merge(*each, key=row_order(measurement))

    def _series(
        self, connection: sqlite3.Connection, measurement: Measurement, tags: dict[str, str]
    ) -> list[tuple[str, ...]]:
        if len(tags) == len(measurement.tags):
            return [tuple(tags[name] for name in measurement.tags)]
        return [
            series
            for series in series_of(connection, measurement)
            if tags.items() <= dict(zip(measurement.tags, series, strict=True)).items()
        ]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with (
            errors_named(self._path),
            closing(
                sqlite3.connect(
                    f"{self._path.resolve().as_uri()}?mode=ro",
                    uri=True,
                    isolation_level=None,
                    check_same_thread=False,
                )
            ) as connection,
        ):
            yield connection


class _RowShape:
    """Where the tags, the time and the fields stand in a table's rows."""

    def __init__(self, measurement: Measurement, names: list[str]) -> None:
        bools = {column.name for column in measurement.columns if column.type == "bool"}
        self._tags = [(name, names.index(name)) for name in measurement.tags]
        self._time = names.index("time_ns")
        self._fields = [
            (name, position, name in bools)
            for position, name in enumerate(names)
            if name not in (*measurement.tags, "time_ns")
        ]

    def row(self, values: tuple[Value | str, ...]) -> Row:
        return row(
            values[self._time],  # type: ignore[arg-type]
            ((name, values[position]) for name, position in self._tags),  # type: ignore[misc]
            (
                (
                    name,
                    bool(values[position]) if is_bool and values[position] is not None else values[position],
                )  # type: ignore[misc]
                for name, position, is_bool in self._fields
            ),
        )
