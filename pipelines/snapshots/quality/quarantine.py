"""Quarantined rows and answers, and the counts of the rules, as files beside the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson
import pyarrow as pa

from pipelines.snapshots.frame import parquet_bytes, record_of
from pipelines.snapshots.observation import EXCHANGE
from pipelines.snapshots.rows import SnapshotRow
from pipelines.snapshots.slots import day_of, file_stem

_TIME: Final = pa.timestamp("us", tz="UTC")
QUARANTINE_SCHEMA: Final = pa.schema(
    [
        pa.field("exchange", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("slot", _TIME),
        pa.field("time", _TIME),
        pa.field("reason", pa.string()),
        pa.field("content", pa.string()),
    ]
)
CHECKS_SCHEMA: Final = pa.schema(
    [
        pa.field("exchange", pa.string()),
        pa.field("slot", _TIME),
        pa.field("time", _TIME),
        pa.field("rule", pa.string()),
        pa.field("checked", pa.int64()),
        pa.field("failed", pa.int64()),
    ]
)
# A valid answer is a few kB; of a larger one the beginning is enough.
_MOST_CONTENT: Final = 20_000


class Quarantined(NamedTuple):
    """A row as JSON, or an answer of the exchange as received, with the reason."""

    symbol: str
    reason: str
    content: str


class RuleResult(NamedTuple):
    """A rule, what it demands, how many rows it was applied to and how many broke it."""

    rule: str
    demands: str
    checked: int
    failed: int


def quarantined_row(row: SnapshotRow, rules: Sequence[str]) -> Quarantined:
    """A row that broke rules."""
    content = orjson.dumps(record_of(row), default=str).decode()
    return Quarantined(row.symbol, "rule: " + ", ".join(rules), content)


def quarantined_answer(symbol: str, source: str, reason: str, content: bytes) -> Quarantined:
    """An answer that broke its contract."""
    return Quarantined(symbol, f"{source}: {reason}", content[:_MOST_CONTENT].decode(errors="replace"))


def quarantine_file(quarantined: Sequence[Quarantined], slot_ms: int, now_ms: int) -> tuple[str, bytes]:
    """Name and content of the file of quarantined rows and answers."""
    return _file("quarantine", slot_ms, now_ms, quarantined, QUARANTINE_SCHEMA)


def checks_file(results: Sequence[RuleResult], slot_ms: int, now_ms: int) -> tuple[str, bytes]:
    """Name and content of the file of rule counts."""
    return _file("checks", slot_ms, now_ms, results, CHECKS_SCHEMA)


def _file(
    folder: str,
    slot_ms: int,
    now_ms: int,
    entries: Sequence[Quarantined] | Sequence[RuleResult],
    schema: pa.Schema,
) -> tuple[str, bytes]:
    common = {"exchange": EXCHANGE, "slot": slot_ms * 1000, "time": now_ms * 1000}
    records = [common | entry._asdict() for entry in entries]
    content = parquet_bytes(pa.Table.from_pylist(records, schema=schema))
    digest = hashlib.sha256(content).hexdigest()[:12]
    day = day_of(slot_ms).isoformat()
    return f"{folder}/exchange={EXCHANGE}/date={day}/{file_stem(slot_ms)}-{digest}.parquet", content
