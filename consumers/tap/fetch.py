"""Older rows of a series, from an offset on, for a viewer that comes back."""

from __future__ import annotations

from consumers.measurements import INDICATOR, KLINE, TRADE
from consumers.tap.bars import BarTap, NoIndicators
from consumers.tap.fill import batches
from consumers.tap.fill_bars import BarSources, stored_indicators
from consumers.tap.port import Fetched, LiveRow
from consumers.tap.reading import MAX_BYTES, MAX_RECORDS, PartitionReader
from consumers.tap.records import BadRecords, KeyTap
from consumers.tap.series import LiveSeries
from consumers.tap.trades import TradeTap
from shared.messages import message_key
from shared.topics import TRADES, klines_topic


def fetch(
    reader: PartitionReader, request: int, series: LiveSeries, offset: int, sources: BarSources
) -> Fetched:
    """Rows of the records from `offset` to the partition's present end.

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
    wanted = TRADE.name if series.name == TRADE.name else KLINE.name
    before = reader.passed[1]
    rows: list[LiveRow] = []
    for batch in batches(reader.read(at, offset, end, key)):
        rows += [row for given in tap.receive(batch) if given.series.name == wanted for row in given.rows]
        if reader.passed[1] - before > MAX_BYTES:
            return Fetched(request, series, None, f"more than {MAX_BYTES >> 20} MB have come since")
    if series.name == INDICATOR.name and rows:
        return _indicators(request, series, rows, sources)
    return Fetched(request, series, tuple(rows))


def _refusal(offset: int, low: int, end: int) -> str:
    if offset < low:
        return f"records before offset {low} are gone by the topic's retention"
    if offset > end:
        return f"the topic ends at offset {end}"
    if end - offset > MAX_RECORDS:
        return f"more than {MAX_RECORDS:,} records have come since"
    return ""


def _indicators(request: int, series: LiveSeries, bars: list[LiveRow], sources: BarSources) -> Fetched:
    found, cause = stored_indicators(sources, series, {row.time_ns: row for row in bars})
    missing = {row.time_ns for row in bars} - found.keys()
    if missing:
        return Fetched(request, series, None, f"{len(missing)} bars lack indicators: {cause}")
    return Fetched(request, series, tuple(found[time_ns] for time_ns in sorted(found)))
