"""Older rows of a series, from an offset on, for a viewer that comes back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from consumers.measurements import INDICATOR, KLINE, TRADE
from consumers.tap.bars import BarTap, NoIndicators
from consumers.tap.fill import batches, last_changes
from consumers.tap.fill_bars import BarSources, stored_indicators
from consumers.tap.port import Fetched, LiveRow
from consumers.tap.reading import MAX_BYTES, MAX_RECORDS, PartitionReader
from consumers.tap.records import BadRecords, KeyTap, RawRecord
from consumers.tap.series import LiveSeries
from consumers.tap.trades import TradeTap
from shared.kafka_reader import PartitionId
from shared.messages import message_key
from shared.topics import TRADES, klines_topic

# A viewer who comes back waits no longer, and begins anew. Some hundred thousand records a second are passed.
WITHIN_S: Final = 3.0
# Between two looks at the clock.
_STEP: Final = 20_000


def fetch(
    reader: PartitionReader, request: int, series: LiveSeries, offset: int, sources: BarSources
) -> Fetched:
    """Rows of the records from `offset` to the partition's present end.

    A partition has records of many keys, which cost only the time to pass them: a quiet instrument goes on
    over any number of them, as long as that takes no longer than `WITHIN_S`.

    Raises:
        BrokerUnavailable: the broker does not deliver them.
    """
    if series.name not in (KLINE.name, INDICATOR.name, TRADE.name):
        return Fetched(request, series, None, f"{series.name} is not read again from older records")
    topic = TRADES if series.name == TRADE.name else klines_topic(series.tags[2])
    key = message_key(*series.tags[:2])
    at = reader.partition(topic, key)
    low, end = reader.bounds(at)
    reason = _refusal(offset, low, end)
    if reason:
        return Fetched(request, series, None, reason)
    tap: KeyTap = (
        TradeTap((series.tags[0], series.tags[1]), whole=False, bad=BadRecords())
        if series.name == TRADE.name
        else BarTap((series.tags[0], series.tags[1], series.tags[2]), NoIndicators(), BadRecords())
    )
    name = TRADE.name if series.name == TRADE.name else KLINE.name
    rows, reason = _rows(_steps(reader, at, (offset, end), key), tap, name)
    if reason:
        return Fetched(request, series, None, reason)
    if series.name == INDICATOR.name and rows:
        return _indicators(request, series, rows, sources)
    return Fetched(request, series, tuple(rows))


def _refusal(offset: int, low: int, end: int) -> str:
    if offset < low:
        return f"records before offset {low} are gone by the topic's retention"
    if offset > end:
        return f"the topic ends at offset {end}"
    return ""


def _rows(steps: Iterable[list[RawRecord] | None], tap: KeyTap, name: str) -> tuple[list[LiveRow], str]:
    """Rows of a kind, and why they are not all."""
    rows: list[LiveRow] = []
    size = 0
    for records in steps:
        if records is None:
            return rows, f"to read what has come since takes longer than {WITHIN_S:.0f} s"
        rows += [row for given in tap.receive(records) if given.series.name == name for row in given.rows]
        size += sum(len(record.value or b"") for record in records)
        if len(rows) > MAX_RECORDS or size > MAX_BYTES:
            return rows, f"more than {MAX_RECORDS:,} rows or {MAX_BYTES >> 20} MB have come since"
    return rows, ""


def _steps(
    reader: PartitionReader, at: PartitionId, span: tuple[int, int], key: bytes
) -> Iterator[list[RawRecord] | None]:
    """A key's records in lists, as long as there is time; None, and the end, after that."""
    until_s = time.monotonic() + WITHIN_S
    offset, end = span
    for start in range(offset, end, _STEP):
        if time.monotonic() > until_s:
            yield None
            return
        yield from batches(reader.read(at, start, min(start + _STEP, end), key))


def _indicators(request: int, series: LiveSeries, bars: list[LiveRow], sources: BarSources) -> Fetched:
    last = last_changes(bars)
    found, cause = stored_indicators(sources, series, {row.time_ns: row for row in last})
    missing = {row.time_ns for row in last} - found.keys()
    if missing:
        return Fetched(request, series, None, f"{len(missing)} bars lack indicators: {cause}")
    return Fetched(request, series, tuple(found[row.time_ns] for row in last))
