"""The SQL of the warehouse, from the declared columns. Pure; golden copy in tests/golden/snowflake."""

from __future__ import annotations

from typing import Final

from pipelines.snapshots.columns import COLUMNS, KEY, NAMES, PRECISION, SCALE, Column, Kind

TABLE: Final = "SNAPSHOTS"
STAGE: Final = "SNAPSHOTS_STAGE"
_STAGING: Final = "SNAPSHOTS_STAGING"

_TYPES: Final[dict[Kind, str]] = {
    "text": "VARCHAR",
    "time": "TIMESTAMP_TZ",
    "decimal": f"NUMBER({PRECISION}, {SCALE})",
    "count": "NUMBER(19, 0)",
}
_NEVER_NULL: Final = frozenset((*KEY, "status", "origin", "observed_time"))
# `rows.better`: the better status, then the earlier observation.
_FINAL: Final = "'no_trading', 'unknown_symbol'"


def schema_sql(database: str, schema: str) -> list[str]:
    """Creates everything that loads need; idempotent."""
    return [
        f"CREATE DATABASE IF NOT EXISTS {database}",
        f"CREATE SCHEMA IF NOT EXISTS {database}.{schema}",
        f"USE SCHEMA {database}.{schema}",
        _create(f"CREATE TABLE IF NOT EXISTS {TABLE}"),
        f"CREATE STAGE IF NOT EXISTS {STAGE}",
    ]


def staging_sql(folder: str) -> str:
    """The staging table of one load; without constraints, so that the check can report more.

    Transient and dropped afterwards, not temporary: the tests' stand-in for Snowflake cannot copy into a
    temporary table. Its own name separates overlapping loads.
    """
    return _create(f"CREATE OR REPLACE TRANSIENT TABLE {_staging(folder)}", constraints=False)


def drop_sql(folder: str) -> str:
    return f"DROP TABLE IF EXISTS {_staging(folder)}"


def put_sql(local_path: str, folder: str) -> str:
    """Upload a file to its own folder, so that COPY's history of loaded files never skips it."""
    return f"PUT 'file://{local_path}' @{STAGE}/{folder} AUTO_COMPRESS=FALSE OVERWRITE=TRUE"


def copy_sql(folder: str) -> str:
    """Copy by column name, in any case: CASE_SENSITIVE would load NULLs without an error."""
    return (
        f"COPY INTO {_staging(folder)} FROM @{STAGE}/{folder}\n"
        "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)\n"
        "MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE\n"
        # The stage need not keep loaded files.
        "PURGE = TRUE"
    )


def check_sql(folder: str) -> str:
    """One row: copied rows, distinct keys, rows with a null where none is allowed."""
    nulls = " OR ".join(f"{column.name} IS NULL" for column in COLUMNS if column.name in _NEVER_NULL)
    keys = " || '|' || ".join(f"TO_VARCHAR({name})" for name in KEY)
    return f"SELECT COUNT(*), COUNT(DISTINCT {keys}),\n       COUNT_IF({nulls})\nFROM {_staging(folder)}"


def merge_sql(folder: str) -> str:
    """Merge by key; a stored row is replaced by a better one only."""
    on = " AND ".join(f"t.{name} = s.{name}" for name in KEY)
    rest = [name for name in NAMES if name not in KEY]
    updates = ",\n    ".join(f"t.{name} = s.{name}" for name in rest)
    names = ", ".join(NAMES)
    values = ", ".join(f"s.{name}" for name in NAMES)
    return (
        f"MERGE INTO {TABLE} AS t\n"
        f"USING (\n"
        f"    SELECT {names}\n"
        f"    FROM {_staging(folder)}\n"
        f"    QUALIFY ROW_NUMBER() OVER (\n"
        f"        PARTITION BY {', '.join(KEY)}\n"
        f"        ORDER BY {rank_sql()} DESC, observed_time\n"
        f"    ) = 1\n"
        f") AS s\n"
        f"ON {on}\n"
        f"WHEN MATCHED AND (\n"
        f"    {rank_sql('s.')} > {rank_sql('t.')}\n"
        f"    OR ({rank_sql('s.')} = {rank_sql('t.')} AND s.observed_time < t.observed_time)\n"
        f") THEN UPDATE SET\n"
        f"    {updates}\n"
        f"WHEN NOT MATCHED THEN INSERT ({names})\n"
        f"VALUES ({values})"
    )


def _staging(folder: str) -> str:
    return f"{_STAGING}_{folder.upper()}"


def rank_sql(alias: str = "") -> str:
    """`rows.rank` of a row; `alias` with its dot."""
    return (
        f"CASE WHEN {alias}status = 'complete' THEN 3 WHEN {alias}status = 'backfilled' THEN 2 "
        f"WHEN {alias}reason IN ({_FINAL}) THEN 1 ELSE 0 END"
    )


def _create(head: str, *, constraints: bool = True) -> str:
    lines = [f"    {_column(column, constraints=constraints)}" for column in COLUMNS]
    if constraints:
        # For readers of the schema: Snowflake does not enforce it, MERGE does.
        lines.append(f"    PRIMARY KEY ({', '.join(KEY)})")
    return f"{head} (\n" + ",\n".join(lines) + "\n)"


def _column(column: Column, *, constraints: bool) -> str:
    null = " NOT NULL" if constraints and column.name in _NEVER_NULL else ""
    comment = f"{column.unit}: {column.source}".replace("'", "''")
    return f"{column.name} {_TYPES[column.kind]}{null}" + (f" COMMENT '{comment}'" if constraints else "")
