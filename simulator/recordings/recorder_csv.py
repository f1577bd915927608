"""CSV of a recorder that flattened events, times in microseconds (the recordings' README §2.7, §3.6)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final

import orjson

from shared.errors import RecordingError
from simulator.recordings.items import Frame, Item

_EIGHT_PLACES: Final = Decimal("1.00000000")
# A last event so long after its predecessor is an artefact of the recorder's end of day.
_NOT_GENUINE_US: Final = 3_600_000_000
# A whole book has 10,000.
_MOST_LEVELS: Final = 100_000


def read(path: Path, lines: Iterable[str]) -> Iterator[Item]:
    """Trades, or diffs with one row for each level."""
    table = csv.DictReader(lines)
    columns = table.fieldnames or ()
    if "TradeId" in columns:
        return map(_trade, table)
    if "FirstUpdateId" in columns:
        return _genuine(_diffs(path, table))
    raise RecordingError(
        f"{path}: neither a TradeId nor a FirstUpdateId column; expected a recorder's trades or diffs"
    )


def _trade(row: Mapping[str, str]) -> Frame:
    event = {
        "e": "trade",
        "E": int(row["EventTime"]) // 1000,
        "s": row["Symbol"],
        "t": int(row["TradeId"]),
        "p": _wire(row["Price"]),
        "q": _wire(row["Quantity"]),
        "T": int(row["TransactionTime"]) // 1000,
        "m": row["IsBuyerMarketMaker"] in ("1", "True"),
        "M": True,
    }
    return _frame(row, event)


def _diffs(path: Path, table: Iterator[Mapping[str, str]]) -> Iterator[Frame]:
    for _, group in groupby(
        table, lambda row: (row["FirstUpdateId"], row["FinalUpdateId"], row["EventTime"])
    ):
        rows = list(islice(group, _MOST_LEVELS + 1))
        if len(rows) > _MOST_LEVELS:
            raise RecordingError(
                f"{path}: the diff of update {rows[0]['FinalUpdateId']} has more than {_MOST_LEVELS:,} levels"
            )
        sides: tuple[list[list[str]], list[list[str]]] = ([], [])
        for row in rows:
            sides[row["IsAsk"] == "1"].append([_wire(row["Price"]), _wire(row["Quantity"])])
        event = {
            "e": "depthUpdate",
            "E": int(rows[0]["EventTime"]) // 1000,
            "s": rows[0]["Symbol"],
            "U": int(rows[0]["FirstUpdateId"]),
            "u": int(rows[0]["FinalUpdateId"]),
            "b": sides[0],
            "a": sides[1],
        }
        yield _frame(rows[0], event)


def _genuine(frames: Iterator[Frame]) -> Iterator[Frame]:
    """All frames but a last one long after its predecessor."""
    before: Frame | None = None
    held: Frame | None = None
    for frame in frames:
        if held is not None:
            yield held
        before, held = held, frame
    if held is not None and (before is None or held.received_us - before.received_us <= _NOT_GENUINE_US):
        yield held


def _frame(row: Mapping[str, str], event: Mapping[str, Any]) -> Frame:
    return Frame(int(row["TimestampOfReceive"]), row["Stream"], orjson.dumps(event))


def _wire(text: str) -> str:
    # The recorder dropped trailing zeros; the wire always has 8 decimals.
    return str(Decimal(text).quantize(_EIGHT_PLACES))
