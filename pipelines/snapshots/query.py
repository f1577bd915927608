"""SQL on landed files, answered by DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import duckdb

from pipelines.snapshots.destinations import parquet_dir
from pipelines.snapshots.frame import SCHEMA
from pipelines.snapshots.quality.quarantine import CHECKS_SCHEMA, QUARANTINE_SCHEMA
from pipelines.snapshots.settings import SnapshotSettings
from pipelines.snapshots.warehouse.statements import rank_sql
from shared.errors import UsageError

_TABLES: Final = {
    "snapshots": ("exchange=*/date=*/*.parquet", SCHEMA),
    "quarantine": ("quarantine/exchange=*/date=*/*.parquet", QUARANTINE_SCHEMA),
    "checks": ("checks/exchange=*/date=*/*.parquet", CHECKS_SCHEMA),
}
# As `rows.better`: if a compaction was killed, rows of that day are in two files.
_ONE_A_KEY: Final = f"""
QUALIFY row_number() OVER (
    PARTITION BY exchange, symbol, slot
    ORDER BY {rank_sql()} DESC, observed_time
) = 1
"""


class QueryRefused(UsageError):
    """The SQL cannot be answered; the message is DuckDB's."""


@contextmanager
def open_query(settings: SnapshotSettings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with tables `snapshots`, `quarantine` and `checks`, read-only and in UTC.

    A table without files is empty.
    """
    connection = duckdb.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        if settings.snapshot_landing:
            from pipelines.snapshots.landing.azure import open_filesystem  # noqa: PLC0415

            connection.register_filesystem(
                open_filesystem(settings.azure_storage_connection_string.get_secret_value())
            )
        for table, (pattern, schema) in _TABLES.items():
            connection.execute(_view(settings, table, pattern, schema))
        # The user's SQL may read landed files, and nothing else of this machine.
        root = (settings.snapshot_landing or str(parquet_dir(settings).resolve())).replace("'", "''")
        connection.execute(f"SET allowed_directories = ['{root}']")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def ask(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of an answer.

    Raises:
        QueryRefused: it would do more than read, or naming what DuckDB did not like.
    """
    try:
        statements = connection.extract_statements(sql)
        if not statements:
            raise QueryRefused('query: no statement; write one like "SELECT * FROM snapshots"')
        for statement in statements:
            # DuckDB cannot allow reads alone: COPY could overwrite landed files.
            if statement.type != duckdb.StatementType.SELECT:
                raise QueryRefused(f"query: it only reads; write a SELECT in place of {statement.type.name}")
        answer = connection.execute(sql)
        names = [column[0] for column in answer.description or ()]
        return names, answer.fetchall()
    except duckdb.Error as error:
        raise QueryRefused(f"query: {' '.join(str(error).split())[:500]}") from None


def has_landed(settings: SnapshotSettings) -> bool:
    """Whether any row has landed."""
    return _any(settings, _TABLES["snapshots"][0])


def _view(settings: SnapshotSettings, table: str, pattern: str, schema: Any) -> str:
    names = ", ".join(schema.names)
    if not _any(settings, pattern):
        columns = ", ".join(f"CAST(NULL AS {_sql_type(field.type)}) AS {field.name}" for field in schema)
        return f"CREATE VIEW {table} AS SELECT {columns} WHERE false"
    root = settings.snapshot_landing or str(parquet_dir(settings).resolve())
    path = f"{root}/{pattern}".replace("'", "''")
    once = _ONE_A_KEY if table == "snapshots" else ""
    return (
        f"CREATE VIEW {table} AS SELECT {names} "
        f"FROM read_parquet('{path}', hive_partitioning = true, union_by_name = true) {once}"
    )


def _any(settings: SnapshotSettings, pattern: str) -> bool:
    """Whether a table has files: DuckDB refuses a pattern without matches."""
    if not settings.snapshot_landing:
        return next(parquet_dir(settings).glob(pattern), None) is not None
    folder = pattern.split("exchange=", maxsplit=1)[0] + "exchange=binance"
    from pipelines.snapshots.landing.azure import AzureLanding  # noqa: PLC0415

    connection = settings.azure_storage_connection_string.get_secret_value()
    return AzureLanding(settings.snapshot_landing, connection).has(folder)


def _sql_type(kind: Any) -> str:
    name = str(kind)
    if name.startswith("decimal128"):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    return {"string": "VARCHAR", "int64": "BIGINT"}.get(name, "TIMESTAMP WITH TIME ZONE")
