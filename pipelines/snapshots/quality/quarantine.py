"""What was held back, with its reason and its content, as files beside the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

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
# An answer is a few kB; one of another size is junk, of which the beginning is enough.
_MOST_CONTENT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Held:
    """Something that was held back: `content` is the row or the answer, as JSON or as it came."""

    symbol: str
    reason: str
    content: str


class RuleResult(NamedTuple):
    """A rule, what it demands, how many rows were held to it and how many of them broke it."""

    rule: str
    demands: str
    checked: int
    failed: int


def held_row(row: SnapshotRow, rules: Sequence[str]) -> Held:
    """A row that broke rules."""
    content = orjson.dumps(record_of(row), default=str).decode()
    return Held(row.symbol, "rule: " + ", ".join(rules), content)


def held_answer(symbol: str, source: str, reason: str, content: bytes) -> Held:
    """An answer that broke its contract."""
    return Held(symbol, f"{source}: {reason}", content[:_MOST_CONTENT].decode(errors="replace"))


def quarantine_file(held: Sequence[Held], slot_ms: int, now_ms: int) -> tuple[str, bytes]:
    """Name and content of the file that keeps them."""
    records = [
        {
            "exchange": EXCHANGE,
            "symbol": one.symbol,
            "slot": slot_ms * 1000,
            "time": now_ms * 1000,
            "reason": one.reason,
            "content": one.content,
        }
        for one in held
    ]
    return _file("quarantine", slot_ms, records, QUARANTINE_SCHEMA)


def checks_file(results: Sequence[RuleResult], slot_ms: int, now_ms: int) -> tuple[str, bytes]:
    """Name and content of the file that tells how the rules went."""
    records = [
        {
            "exchange": EXCHANGE,
            "slot": slot_ms * 1000,
            "time": now_ms * 1000,
            "rule": result.rule,
            "checked": result.checked,
            "failed": result.failed,
        }
        for result in results
    ]
    return _file("checks", slot_ms, records, CHECKS_SCHEMA)


def _file(folder: str, slot_ms: int, records: list[dict[str, Any]], schema: pa.Schema) -> tuple[str, bytes]:
    content = parquet_bytes(pa.Table.from_pylist(records, schema=schema))
    digest = hashlib.sha256(content).hexdigest()[:12]
    day = day_of(slot_ms).isoformat()
    return f"{folder}/exchange={EXCHANGE}/date={day}/{file_stem(slot_ms)}-{digest}.parquet", content
