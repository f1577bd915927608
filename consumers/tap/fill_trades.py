"""The newest trades of an instrument, and the sums of its newest minutes."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from consumers.measurements import TRADE, TRADE_SUMMARY
from consumers.tap.fill import RING_TRADES, SUMMARY_MS, Filling, Rows, batches, last_changes
from consumers.tap.reading import PartitionReader, newest
from consumers.tap.records import BadRecords, RawRecord
from consumers.tap.series import LiveSeries
from consumers.tap.trades import OnTrades, TradeTap
from shared.messages import message_key
from shared.topics import TRADES


def fill_trades(
    reader: PartitionReader, tags: tuple[str, str], bad: BadRecords, on_trades: OnTrades | None
) -> Filling:
    """Enough trades for the tape, and for the summaries of a minute or two."""
    key = message_key(*tags)
    at = reader.partition(TRADES, key)
    low, end = reader.bounds(at)
    records, start = newest(reader, at, (low, end), key, _enough)
    tap = TradeTap(tags, whole=start == 0, bad=bad, on_trades=on_trades)
    rows = Rows(RING_TRADES)
    for batch in batches(records):
        rows.add(tap.receive(batch))
    from_offset = end if tap.summaries_from is None else tap.summaries_from
    trades = rows.filled(LiveSeries(TRADE.name, tags), at, (start, end))
    summaries = []
    for interval in ("1s", "1m"):
        filled = rows.filled(LiveSeries(TRADE_SUMMARY.name, (*tags, interval)), at, (from_offset, end))
        # Of a window that several batches changed, only the last row counts.
        summaries.append(filled._replace(rows=last_changes(filled.rows)))
    return Filling(tap, (trades, *summaries), {at: end})


def _enough(found: Sequence[RawRecord]) -> bool:
    if len(found) < RING_TRADES:
        return False
    first, last = _received_ms(found[0]), _received_ms(found[-1])
    return first is None or last is None or last - first >= SUMMARY_MS


def _received_ms(record: RawRecord) -> int | None:
    """When a trade arrived; None for a record that cannot be read."""
    try:
        received_ms = orjson.loads(record.value or b"")["received_time_ms"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return received_ms if type(received_ms) is int else None
