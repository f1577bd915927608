"""What the ledger is told of trades that REST has not had for a day. Pure."""

from __future__ import annotations

from producers.effects import LedgerEvent
from producers.gaps import KIND_BY_CAUSE, cause_of_trades
from producers.halts import Halts
from producers.missing_ids import MissingRange
from shared.id_ranges import IdRanges


def given_up(missing: MissingRange, proved: IdRanges, halts: Halts, now_s: float) -> list[LedgerEvent]:
    """Events for ids that are no longer asked for, by the cause that they are missing.

    Args:
        proved: ids that aggTrades prove to be trades.
        now_s: of a monotonic clock.
    """
    cause = cause_of_trades(missing.before_ms, missing.after_ms, offline=missing.offline, halts=halts)
    ids = IdRanges([(missing.first, missing.last)])
    # A halt explains ids without trades, but none that aggTrades have.
    traded = IdRanges(proved.within(missing.first, missing.last)) if cause == "halted" else IdRanges()
    kinds = [(KIND_BY_CAUSE[cause], ids.difference(traded)), (KIND_BY_CAUSE["missed"], traded)]
    return [
        LedgerEvent(kind, low, high, missing.after_ms, missing.asking(now_s))
        for kind, ranges in kinds
        for low, high in ranges
    ]
