"""Whether stored rows can no longer change: spans that the ledger has counted, with nothing lost."""

from __future__ import annotations

from typing import Final

from api.history import Reading
from api.rows_request import RowsRequest
from consumers.measurements import KLINE, LEDGER, TRADE
from shared.intervals import INTERVAL_MS

_NS_PER_MS: Final = 10**6
_MINUTE_MS: Final = 60_000
# A longer span is not worth the reading of its ledger.
_MOST_PERIODS: Final = 10_000
# The ledger's name of what is counted. Rows that are computed from these depend on settings too.
_STREAMS: Final = {KLINE.name: "klines", TRADE.name: "trades"}


async def settled(reading: Reading, request: RowsRequest) -> bool:
    """Whether the answer to this request stays the same for ever.

    True if the ledger has a row of each period of the span, none of them lacks anything, and it has gone on
    beyond the span. Raises as `Reading.run`.
    """
    stream = _STREAMS.get(request.kind.name)
    if stream is None or request.open_tags or request.last is not None or request.exact:
        return False
    if request.from_ns is None or request.to_ns is None:
        return False
    interval = request.tags.get("interval", "")
    period_ns = max(INTERVAL_MS.get(interval, 0), _MINUTE_MS) * _NS_PER_MS
    first, end = request.from_ns // period_ns, -(-request.to_ns // period_ns)
    if not 0 < end - first <= _MOST_PERIODS:
        return False
    tags = {
        "exchange": request.tags["exchange"],
        "symbol": request.tags["symbol"],
        "stream": stream,
        "interval": interval,
    }

    newest_ns, complete_periods = -1, 0
    async for chunk in reading.rows(LEDGER.name, tags, last=1):
        newest_ns = max(int(row["time_ns"] or 0) for row in chunk)
    if newest_ns < end * period_ns:
        return False
    async for chunk in reading.rows(LEDGER.name, tags, from_ns=first * period_ns, to_ns=end * period_ns):
        complete_periods += sum(row.get("lost") == 0 for row in chunk)
    return complete_periods == end - first
