"""Reads the SQLite store, also while it is written."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from consumers.measurements import Measurement, Value
from consumers.stores.port import Row
from consumers.stores.rows import RowReader, row, row_order
from consumers.stores.sqlite_file import APPLICATION_ID, errors_named
from consumers.stores.sqlite_schema import column_names, quoted, series_of
from shared.errors import StoreMisconfigured


class SqliteReader(RowReader):
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

    def close(self) -> None:
        """Nothing stays open between reads."""

    def select(
        self, measurement: Measurement, tags: Mapping[str, str], span: tuple[int, int], last: int | None
    ) -> Iterator[Row]:
        with errors_named(self._path), self._connected() as connection, ExitStack() as cursors:
            # One transaction, so that all series are read at one moment.
            connection.execute("BEGIN")
            names = column_names(connection, measurement)
            if not names:
                return  # written by a version that did not know the measurement
            order = "DESC LIMIT ?" if last is not None else "ASC"
            wanted = " AND ".join(f"{quoted(tag)} = ?" for tag in measurement.tags)
            newest = (
                f"SELECT * FROM {quoted(measurement.name)} WHERE {wanted}"
                f" AND time_ns >= ? AND time_ns < ? ORDER BY time_ns {order}"
            )
            select = f"SELECT * FROM ({newest}) ORDER BY time_ns" if last is not None else newest
            limit = () if last is None else (last,)
            shape = _RowShape(measurement, names)
            each = [
                map(
                    shape.row,
                    cursors.enter_context(closing(connection.execute(select, (*series, *span, *limit)))),
                )
                for series in self._series(connection, measurement, tags)
            ]
            yield from heapq.merge(*each, key=row_order(measurement))

    def _series(
        self, connection: sqlite3.Connection, measurement: Measurement, tags: Mapping[str, str]
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
    """Positions of tags, time and fields in a table's rows."""

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
                )
                for name, position, is_bool in self._fields
            ),
        )
