"""Spans in which an order book was not synced."""

from __future__ import annotations

from typing import Final

from grafana.flux import TICKS, group, keep, pipe, read, script, sort
from grafana.model import Query
from grafana.panels import state_names

IN_STEP: Final = state_names((1, "synced", "green"), (0, "not synced", "red"))


def unsynced_spans(*conditions: str) -> Query:
    """A row for each loss of a book: when, whose, and the seconds until its next point (or until now)."""
    flux = script(
        'import "contrib/tomhollingworth/events"',
        pipe(
            *read(TICKS, "book", ("synced",), *conditions),
            group("exchange", "symbol"),
            sort("_time"),
            'events.duration(unit: 1ms, columnName: "lasted", stop: v.timeRangeStop)',
            "filter(fn: (r) => not r._value)",
            "map(fn: (r) => ({_time: r._time, exchange: r.exchange, symbol: r.symbol, "
            "seconds: float(v: r.lasted) / 1000.0}))",
            group(),
            keep("_time", "exchange", "symbol", "seconds"),
            sort("_time"),
        ),
    )
    return Query(flux, ("_time", "exchange", "symbol", "seconds"))
