"""What the pipeline says of itself: ledger, latencies, services."""

from __future__ import annotations

from typing import Final

from grafana.counters import growth
from grafana.flux import (
    AGE_S,
    MARKET,
    TICKS,
    before,
    group,
    keep,
    pipe,
    read,
    script,
    series,
    sort,
    windows,
    with_columns,
)
from grafana.model import Query

_COUNTS: Final = ("expected", "stored", "backfilled", "halted", "lost", "duplicates")
# Services report every ten seconds; with a window of three reports one that comes late leaves no hole.
_REPORT_WINDOWS: Final = script(
    "every = if int(v: v.windowPeriod) > int(v: 30s) then v.windowPeriod else 30s",
    # Whole windows alone: one that has just begun, or is cut off, may lack a report though all is well.
    "whole = (t) => time(v: int(v: t) / int(v: every) * int(v: every))",
)


def ledger_count(field: str) -> Query:
    flux = pipe(
        *read(MARKET, "ledger", (field,)),
        "sum()",
        group(),
        "sum()",
        "map(fn: (r) => ({_time: v.timeRangeStop, _value: r._value}))",
    )
    return Query(flux, ("_value",))


# What is on its way counts as lost until the store has it: the newest minutes are left out.
_SETTLED: Final = script(
    "earlier = int(v: v.timeRangeStop) - int(v: 2m)",
    "settled = if earlier > int(v: v.timeRangeStart) then time(v: earlier) else v.timeRangeStop",
)
_UNTIL_SETTLED: Final = "range(start: v.timeRangeStart, stop: settled)"
LOST: Final = Query(
    script(
        _SETTLED,
        pipe(
            *read(MARKET, "ledger", ("lost",), span=_UNTIL_SETTLED),
            "sum()",
            group(),
            "sum()",
            "map(fn: (r) => ({_time: v.timeRangeStop, _value: r._value}))",
        ),
    ),
    ("_value",),
)


_SERIES: Final = ("exchange", "symbol", "stream", "interval")
LEDGER_BY_SERIES: Final = Query(
    script(
        _SETTLED,
        "counts = "
        + pipe(*read(MARKET, "ledger", tuple(name for name in _COUNTS if name != "lost")), "sum()"),
        "lost = " + pipe(*read(MARKET, "ledger", ("lost",), span=_UNTIL_SETTLED), "sum()"),
        # Of a series that is younger than two minutes.
        'none = counts |> filter(fn: (r) => r._field == "expected")'
        ' |> map(fn: (r) => ({r with _field: "lost", _value: 0}))',
        pipe(
            "union(tables: [counts, lost, none])",
            # Trades have none: where there are no bars beside them, not even the column.
            with_columns(interval='if exists r.interval then r.interval else ""'),
            group(*_SERIES, "_field"),
            "sum()",
            group(),
            'pivot(rowKey: ["exchange", "symbol", "stream", "interval"], columnKey: ["_field"], valueColumn:'
            ' "_value")',
            sort("lost", "symbol", "stream"),
            keep(*_SERIES, *_COUNTS),
        ),
    ),
    (*_SERIES, *_COUNTS),
)
REPAIRS: Final = Query(
    pipe(
        *read(MARKET, "ledger", ("backfilled", "lost")),
        group("_field"),
        "aggregateWindow(every: if int(v: v.windowPeriod) > int(v: 1m) then v.windowPeriod else 1m, fn: sum,"
        ' createEmpty: false, timeSrc: "_start")',
        *series("_field"),
    ),
    ("_time", "_value"),
    ("_field",),
)


def hop(hop: str) -> Query:
    """95th percentile of a hop, of the slowest instance and exchange of each stream."""
    flux = pipe(
        *read(TICKS, "freshness", ("p95",), f'r.hop == "{hop}"'),
        group("stream"),
        windows("max"),
        *series("stream"),
    )
    return Query(flux, ("_time", "_value"), ("stream",))


HOPS_NOW: Final = Query(
    pipe(
        *read(TICKS, "freshness", (), span=before("5m")),
        "last()",
        group("exchange", "stream", "hop", "_field"),
        "max()",
        group(),
        'pivot(rowKey: ["exchange", "stream", "hop"], columnKey: ["_field"], valueColumn: "_value")',
        sort("stream", "p50"),
        keep("exchange", "stream", "hop", "p50", "p95", "p99"),
    ),
    ("exchange", "stream", "hop", "p50", "p95", "p99"),
)


def of_services(field: str, function: str) -> Query:
    """A figure of every service over time."""
    flux = pipe(*read(TICKS, "service", (field,)), windows(function), *series("service", "instance"))
    return Query(flux, ("_time", "_value"), ("service", "instance"))


DEAD_LETTERS: Final = Query(
    pipe(
        growth("dead_letters"),
        group(),
        "sum()",
        "map(fn: (r) => ({_time: v.timeRangeStop, _value: r._value}))",
    ),
    ("_value",),
)
DEAD_LETTERS_OVER_TIME: Final = Query(
    pipe(
        *read(TICKS, "service", ("dead_letters",)),
        "difference(nonNegative: true, initialZero: true)",
        windows("sum"),
        *series("service", "instance"),
    ),
    ("_time", "_value"),
    ("service", "instance"),
)
# As the alert has it: a service that fell silent before the time shown must not fall out of the table.
_KNOWN: Final = before("1d")
_FIGURES: Final = ("messages_per_s", "lag_messages", "lag_seconds", "dead_letters", "restarts")


def _of_service(name: str, value: str) -> str:
    return (
        f'map(fn: (r) => ({{service: r.service, instance: r.instance, _field: "{name}", _value: {value}}}))'
    )


HEALTH: Final = Query(
    script(
        # A service reports once in ten seconds: how many of its slots since it was first heard have a report.
        # Counted by the store itself: a week of ten-second reports is 60,480 of each service.
        "counted = " + pipe(*read(TICKS, "service", ("up",)), "count()", _of_service("count", "r._value")),
        "begun = "
        + pipe(*read(TICKS, "service", ("up",)), "first()", _of_service("begun", "int(v: r._time)")),
        "slots = "
        + pipe(
            "union(tables: [counted, begun])",
            group(),
            'pivot(rowKey: ["service", "instance"], columnKey: ["_field"], valueColumn: "_value")',
            _of_service(
                "reported",
                "float(v: r.count) / (float(v: int(v: v.timeRangeStop) - r.begun) / 10000000000.0 + 1.0)",
            ),
        ),
        "newest = "
        + pipe(
            *read(TICKS, "service", _FIGURES, span=_KNOWN),
            "last()",
            "toFloat()",
            keep("service", "instance", "_field", "_value"),
            group(),
        ),
        "ages = "
        + pipe(
            *read(TICKS, "service", ("up",), span=_KNOWN),
            "last()",
            _of_service("heard", AGE_S),
            group(),
        ),
        pipe(
            "union(tables: [slots, newest, ages])",
            group(),
            'pivot(rowKey: ["service", "instance"], columnKey: ["_field"], valueColumn: "_value")',
            sort("service", "instance"),
        ),
    ),
    ("service", "instance", "heard", "reported", *_FIGURES),
)
UP: Final = Query(
    script(
        _REPORT_WINDOWS,
        pipe(
            *read(
                TICKS,
                "service",
                ("up",),
                span="range(start: whole(t: v.timeRangeStart), stop: whole(t: v.timeRangeStop))",
            ),
            "toInt()",
            # Empty windows are wanted: they are the silence that this panel shows.
            'aggregateWindow(every: every, fn: max, createEmpty: true, timeSrc: "_start")',
            *series("service", "instance"),
        ),
    ),
    ("_time", "_value"),
    ("service", "instance"),
)
