"""Points of dead letters beside what the store has at their identity by now. Pure.

A trade never changes. Any other point may have been written again since it was refused, and a store keeps
whichever comes last: replayed late, it would undo the newer one without a word in the ledger.
"""

from __future__ import annotations

from typing import Final

from consumers.enrich.trade_windows import KEPT_MINUTES
from consumers.measurements import (
    INDICATOR,
    INDICATOR_LIVE,
    KLINE,
    KLINE_LIVE,
    LEDGER,
    TRADE,
    TRADE_SUMMARY,
    Measurement,
    Point,
)
from consumers.stores.port import Row
from consumers.stores.storable import storable_values
from cryptostream.dead_letters.outcomes import LATE_OPEN_BAR, Obsolete, StillBroken
from shared.times import iso

_NS_A_MS: Final = 1_000_000
# So long the trades consumer writes a window again, by the time of its newest trade.
_GROWS_NS: Final = KEPT_MINUTES * 60_000 * _NS_A_MS
_LEDGER_ROW: Final = (
    "a row of the ledger is written again with every change of its period, and this is what it was once;"
    " `cryptostream ledger` counts by the events themselves"
)


def of_no_use(measurement: Measurement) -> Obsolete | StillBroken | None:
    """Why no point of this measurement is ever replayed; None if some are."""
    if measurement.name == LEDGER.name:
        return StillBroken(_LEDGER_ROW)
    if measurement.name in (KLINE_LIVE.name, INDICATOR_LIVE.name):
        return Obsolete(LATE_OPEN_BAR)
    return None


def never_changes(point: Point) -> bool:
    """Whether each version of the point is the same, so that the store need not be asked."""
    return point.series.measurement.name == TRADE.name


def hindrance(point: Point, stored: Row | None, now_ms: int) -> Obsolete | StillBroken | None:
    """Why a point is not to be written; None if it replaces nothing newer.

    Args:
        point: a storable one that may change.
        stored: what the store has at its identity, None if nothing.
        now_ms: the host's clock.
    """
    fields = {
        column.name: value
        for column, value in zip(point.series.measurement.columns, storable_values(point), strict=True)
        if value is not None
    }
    if point.series.measurement.name == TRADE_SUMMARY.name:
        return _of_window(point, fields.get("trade_count"), stored, now_ms)
    there = stored or {}
    name = next((name for name, value in fields.items() if there.get(name, value) != value), None)
    if name is None:
        return None
    return StillBroken(
        f"the store has another {point.series.measurement.name} of {iso(point.time_ns // _NS_A_MS)},"
        f" with {name} {there[name]} in place of {fields[name]}, and may have it later; {_way_out(point)}"
    )


def _of_window(point: Point, count: object, stored: Row | None, now_ms: int) -> Obsolete | StillBroken | None:
    """The sums of a window: of two, those of more trades are the newer."""
    if type(count) is not int:
        return StillBroken("trade_summary: it does not say of how many trades it is")
    known = 0 if stored is None else stored.get("trade_count", 0)
    if type(known) is int and known >= count:
        return Obsolete(f"the store has its window with {known:,} trades, and this is one of {count:,}")
    if now_ms * _NS_A_MS < point.time_ns + _GROWS_NS:
        return StillBroken(
            f"its window may still grow meanwhile; replay it after {KEPT_MINUTES} minutes, if the store lacks"
            " it then"
        )
    return None


def _way_out(point: Point) -> str:
    """How the right values come into the store without this letter."""
    if point.series.measurement.name not in (KLINE.name, INDICATOR.name):
        return "a replay does not choose between them"
    exchange, symbol, interval = point.series.tags
    return (
        f"`cryptostream repair {exchange}:{symbol} klines {interval} --indicators` writes all bars of the"
        " topic again, and their indicators"
    )
