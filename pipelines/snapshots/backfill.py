"""Rows of passed slots, computed from klines. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Final

from pipelines.snapshots.observation import EXCHANGE
from pipelines.snapshots.rows import NO_TRADING, SnapshotRow, fitting, missing, rounded
from pipelines.snapshots.slots import DAY_MS
from shared.intervals import INTERVAL_MS
from shared.messages import KlineMessage

_FIVE_MINUTES: Final = INTERVAL_MS["5m"]


def bars_for(interval_ms: int) -> str:
    """The longest interval of Binance whose bars end at every slot."""
    return "5m" if interval_ms % _FIVE_MINUTES == 0 else "1m"


def rows_of_klines(
    symbol: str,
    slots: Sequence[int],
    klines: Sequence[KlineMessage],
    reasons: Mapping[int, str],
    now_ms: int,
) -> list[SnapshotRow]:
    """Rows of passed slots from the bars of the 24 hours before each.

    Without a bar that ends at the slot there was no trading (BINANCE_SPOT.md §9: a halt): the slot stays
    missing for good.

    Args:
        klines: closed bars of one interval, ascending, from 24 h before the first slot to the last slot; all
            that the exchange has.
        reasons: why each slot is not complete.
    """
    closes = [kline["close_time_ms"] + 1 for kline in klines]
    rows = []
    for slot_ms in slots:
        end = bisect_left(closes, slot_ms + 1)
        first = bisect_left(closes, slot_ms - DAY_MS + 1)
        reason = reasons[slot_ms]
        if end == 0 or closes[end - 1] != slot_ms:
            rows.append(missing(EXCHANGE, symbol, slot_ms, NO_TRADING, "backfill", now_ms))
            continue
        rows.append(_row(symbol, slot_ms, klines[first:end], reason, now_ms))
    return rows


def _row(symbol: str, slot_ms: int, window: Sequence[KlineMessage], reason: str, now_ms: int) -> SnapshotRow:
    opened, last = Decimal(window[0]["open"]), Decimal(window[-1]["close"])
    with localcontext(prec=60):
        base = sum((Decimal(kline["base_volume"]) for kline in window), Decimal())
        quote = sum((Decimal(kline["quote_volume"]) for kline in window), Decimal())
        measures = {
            "last_price": last,
            "change_24h": last - opened,
            "change_24h_percent": rounded((last - opened) / opened * 100) if opened else Decimal(),
            "high_24h": max(Decimal(kline["high"]) for kline in window),
            "low_24h": min(Decimal(kline["low"]) for kline in window),
            "base_volume_24h": base,
            "quote_volume_24h": quote,
            # As the ticker of a day without trades has it: the last price.
            "weighted_average_price_24h": rounded(quote / base) if base else last,
        }
    if not all(map(fitting, measures.values())):
        return missing(EXCHANGE, symbol, slot_ms, "klines with numbers beyond 10^20", "backfill", now_ms)
    return SnapshotRow(
        exchange=EXCHANGE,
        symbol=symbol,
        slot_ms=slot_ms,
        status="backfilled",
        reason=reason[:200],
        origin="backfill",
        observed_time_ms=now_ms,
        measures={"exchange_time": slot_ms, **measures},
    )
