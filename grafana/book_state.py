"""Spans in which an order book was not synced."""

from __future__ import annotations

from typing import Final

from grafana.flux import THIS_SYMBOL, TICKS, WIDE, group, keep, pipe, read, script, sort
from grafana.model import Panel, Query, figure
from grafana.panels import cell, state_names, table

IN_STEP: Final = state_names((1, "synced", "green"), (0, "not synced", "red"))
# Each span is a query of its own.
SPANS: Final = 50
NO_SPANS: Final = "None (nor where there is no book at all)"


def newest_of_book(field: str) -> Query:
    """A figure of the newest point of the chosen symbol's book; none if it is not synced."""
    flux = pipe(
        *read(TICKS, "book", (field, "synced"), THIS_SYMBOL),
        "last()",
        "toFloat()",
        group(),
        WIDE,
        sort("_time"),
        "tail(n: 1)",
        f"filter(fn: (r) => exists r.{field})",
        f"map(fn: (r) => ({{_time: r._time, _value: r.{field}}}))",
    )
    return figure(flux)


def unsynced_spans(*conditions: str) -> Query:
    """A row for each loss of a book: time, symbol, and the seconds until its next point (or until now).

    The store filters the few losses, then finds the point after each. Pairing all points takes 119 bytes a
    point: for the 2.4 million of a week of four books more than the stack allows a query.
    """
    following = read(
        TICKS,
        "book",
        ("synced",),
        "r.exchange == exchange",
        "r.symbol == symbol",
        span="range(start: time(v: int(v: lost) + 1), stop: v.timeRangeStop)",
    )
    flux = script(
        "ended = (exchange, symbol, lost) => {",
        "next = " + pipe(*following, "first()", "findRecord(fn: (key) => true, idx: 0)"),
        "return if exists next._time then next._time else v.timeRangeStop",
        "}",
        pipe(
            *read(TICKS, "book", ("synced",), *conditions, "r._value == false"),
            group(),
            sort("_time", descending=True),
            f"limit(n: {SPANS})",
            "map(fn: (r) => ({_time: r._time, exchange: r.exchange, symbol: r.symbol, seconds: float(v:"
            " int(v: ended(exchange: r.exchange, symbol: r.symbol, lost: r._time)) - int(v: r._time)) /"
            " 1000000000.0}))",
            keep("_time", "exchange", "symbol", "seconds"),
            sort("_time"),
        ),
    )
    return Query(flux, ("_time", "exchange", "symbol", "seconds"))


def spans_table(description: str, spans: Query, *, width: int, height: int = 8) -> Panel:
    """The table of `unsynced_spans`."""
    panel = table(
        "Spans without a synced book",
        description,
        spans,
        width=width,
        height=height,
        sort_by="lost at",
        descending=True,
        empty=NO_SPANS,
    )
    return panel.overriding("_time", **cell("dateTimeAsIso", displayName="lost at")).overriding(
        "seconds", **cell("s", steps=((None, "text"), (30, "red")), decimals=1)
    )
