"""Rows as Arrow tables and Parquet bytes, and back, by the schema of `columns`."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.snapshots.columns import COLUMNS, MEASURES, PRECISION, SCALE, Column, Kind
from pipelines.snapshots.rows import SnapshotRow, check_row

_TYPES: Final[dict[Kind, pa.DataType]] = {
    "text": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    "decimal": pa.decimal128(PRECISION, SCALE),
    "count": pa.int64(),
}
_AT_ONCE: Final = 5_000
_NEVER_NULL: Final = frozenset(("exchange", "symbol", "slot", "status", "origin", "observed_time"))


def _field(column: Column) -> pa.Field:
    return pa.field(
        column.name,
        _TYPES[column.kind],
        nullable=column.name not in _NEVER_NULL,
        metadata={"unit": column.unit, "source": column.source},
    )


SCHEMA: Final = pa.schema([_field(column) for column in COLUMNS])


def table_of(rows: Iterable[SnapshotRow]) -> pa.Table:
    """Rows as a table of SCHEMA.

    Raises:
        BrokenRow: a row breaks the invariants of its status.
    """
    records = []
    for row in rows:
        check_row(row)
        records.append(record_of(row))
    return pa.Table.from_pylist(records, schema=SCHEMA)


def record_of(row: SnapshotRow) -> dict[str, Any]:
    """A row by column name; times as aware datetimes, unknown values None."""
    record: dict[str, Any] = {
        "exchange": row.exchange,
        "symbol": row.symbol,
        "slot": _moment(row.slot_ms),
        "status": row.status,
        "reason": row.reason,
        "origin": row.origin,
        "observed_time": _moment(row.observed_time_ms),
        **{column.name: row.measures.get(column.name) for column in MEASURES},
    }
    exchange_time = record["exchange_time"]
    record["exchange_time"] = None if exchange_time is None else _moment(exchange_time)
    return record


def rows_of(table: pa.Table) -> list[SnapshotRow]:
    """The rows of a table of SCHEMA."""
    rows = []
    for record in table.select(SCHEMA.names).to_pylist():
        measures = {
            column.name: _measure(record[column.name])
            for column in MEASURES
            if record[column.name] is not None
        }
        rows.append(
            SnapshotRow(
                exchange=record["exchange"],
                symbol=record["symbol"],
                slot_ms=_in_ms(record["slot"]),
                status=record["status"],
                reason=record["reason"],
                origin=record["origin"],
                observed_time_ms=_in_ms(record["observed_time"]),
                measures=measures,
            )
        )
    return rows


def each_row(table: pa.Table) -> Iterator[SnapshotRow]:
    """The rows of a table, 5,000 at a time in memory."""
    for begin in range(0, table.num_rows, _AT_ONCE):
        yield from rows_of(table.slice(begin, _AT_ONCE))


def parquet_of(rows: Sequence[SnapshotRow]) -> bytes:
    """A whole file; equal rows give equal bytes."""
    return parquet_bytes(table_of(rows))


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a file."""
    sink = io.BytesIO()
    # Dictionaries pay off in files of millions of rows; here they would be most of the bytes.
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    return sink.getvalue()


def rows_of_parquet(data: bytes) -> list[SnapshotRow]:
    """The rows of a file that `parquet_of` made."""
    return rows_of(table_of_parquet(data))


def table_of_parquet(data: bytes) -> pa.Table:
    """The table of a file that `parquet_of` made; a tenth of the memory of its rows."""
    table = pq.read_table(io.BytesIO(data), use_threads=False, partitioning=None)
    # Reading adds metadata of its own.
    return pa.Table.from_arrays(table.select(SCHEMA.names).columns, schema=SCHEMA)


def split_by_slots(table: pa.Table, slots: Collection[int]) -> tuple[pa.Table, pa.Table]:
    """The rows of these slots, and the rest."""
    moments = pa.array([_moment(slot_ms) for slot_ms in slots], type=SCHEMA.field("slot").type)
    within = pc.is_in(table["slot"], value_set=moments)
    return table.filter(within), table.filter(pc.invert(within))


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of tables without common keys, ordered as `rows.merge` orders rows."""
    order = [(name, "ascending") for name in ("slot", "exchange", "symbol")]
    return pa.concat_tables(tables).sort_by(order).combine_chunks()


def _measure(value: Any) -> Decimal | int:
    if isinstance(value, datetime):
        return _in_ms(value)
    return value if isinstance(value, int) else Decimal(value)


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC).replace(microsecond=time_ms % 1000 * 1000)


def _in_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
