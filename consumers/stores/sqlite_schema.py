"""The SQLite tables, derived from the measurement table: one per measurement, keyed by tags and time."""

from __future__ import annotations

import sqlite3
from typing import Final

from consumers.measurements import Measurement

_SQL_TYPES: Final = {"float": "REAL", "int": "INTEGER", "bool": "INTEGER", "string": "TEXT"}


def quoted(name: str) -> str:
    """An identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def create_table(measurement: Measurement) -> str:
    """Statement that makes the measurement's table where it is missing."""
    tags = [f"{quoted(tag)} TEXT NOT NULL" for tag in measurement.tags]
    columns = [f"{quoted(column.name)} {_SQL_TYPES[column.type]}" for column in measurement.columns]
    key = ", ".join(map(quoted, (*measurement.tags, "time_ns")))
    definition = ", ".join((*tags, "time_ns INTEGER NOT NULL", *columns, f"PRIMARY KEY ({key})"))
    return f"CREATE TABLE IF NOT EXISTS {quoted(measurement.name)} ({definition}) WITHOUT ROWID"


def missing_columns(connection: sqlite3.Connection, measurement: Measurement) -> list[str]:
    """Statements that add the missing columns of the measurement's table."""
    present = set(column_names(connection, measurement))
    return [
        f"ALTER TABLE {quoted(measurement.name)} ADD COLUMN {quoted(column.name)} {_SQL_TYPES[column.type]}"
        for column in measurement.columns
        if column.name not in present
    ]


def column_names(connection: sqlite3.Connection, measurement: Measurement) -> list[str]:
    """Columns of the measurement's table, keys included; empty if there is no such table."""
    return [str(name) for _, name, *_ in connection.execute(f"PRAGMA table_info({quoted(measurement.name)})")]


def upsert(measurement: Measurement) -> str:
    """Statement that stores one point; omitted fields (NULL) keep their stored value, as in InfluxDB."""
    keys = [quoted(name) for name in (*measurement.tags, "time_ns")]
    columns = [quoted(column.name) for column in measurement.columns]
    marks = ", ".join("?" * (len(keys) + len(columns)))
    table = quoted(measurement.name)
    merged = ", ".join(f"{name} = COALESCE(excluded.{name}, {table}.{name})" for name in columns)
    return (
        f"INSERT INTO {table} ({', '.join(keys + columns)}) VALUES ({marks})"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {merged}"
    )


def series_of(connection: sqlite3.Connection, measurement: Measurement) -> list[tuple[str, ...]]:
    """Tags of all series in the measurement's table, by one key look-up each instead of a scan."""
    tags = ", ".join(map(quoted, measurement.tags))
    marks = ", ".join("?" * len(measurement.tags))
    select = f"SELECT {tags} FROM {quoted(measurement.name)}"
    order = f"ORDER BY {tags} LIMIT 1"
    found: list[tuple[str, ...]] = []
    series = connection.execute(f"{select} {order}").fetchone()
    while series is not None:
        found.append(series)
        series = connection.execute(f"{select} WHERE ({tags}) > ({marks}) {order}", series).fetchone()
    return found
