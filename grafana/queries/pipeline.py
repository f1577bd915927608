"""Queries of the pipeline's own figures: ledger, latencies, services."""

from __future__ import annotations

from typing import Final

from grafana.counters import increase
from grafana.flux import (
    AGE_S,
    MARKET,
    OF_EXCHANGES,
    SHOWN,
    TICKS,
    before,
    group,
    keep,
    pipe,
    pivot,
    read,
    script,
    series,
    sort,
    windows,
    with_columns,
)
from grafana.model import Query, figure

_COUNTS: Final = ("expected", "stored", "backfilled", "halted", "lost", "duplicates")
# Services report every ten seconds: in a window of three a late report leaves no hole.
_REPORT_WINDOWS: Final = script(
    "every = if int(v: v.windowPeriod) > int(v: 30s) then v.windowPeriod else 30s",
    # Whole windows only: a partial one may lack a report.
    "whole = (t) => time(v: int(v: t) / int(v: every) * int(v: every))",
)


def _total(field: str, span: str = SHOWN) -> str:
    return pipe(
        *read(MARKET, "ledger", (field,), OF_EXCHANGES, span=span),
        "sum()",
        group(),
        "sum()",
        "map(fn: (r) => ({_time: v.timeRangeStop, _value: r._value}))",
    )


def ledger_count(field: str) -> Query:
    return figure(_total(field))


# Records on their way count as lost until stored: the newest minutes are left out.
_SETTLED: Final = script(
    "earlier = int(v: v.timeRangeStop) - int(v: 2m)",
    "settled = if earlier > int(v: v.timeRangeStart) then time(v: earlier) else v.timeRangeStop",
)
_UNTIL_SETTLED: Final = "range(start: v.timeRangeStart, stop: settled)"
LOST: Final = figure(script(_SETTLED, _total("lost", _UNTIL_SETTLED)))


_SERIES: Final = ("exchange", "symbol", "stream", "interval")
LEDGER_BY_SERIES: Final = Query(
    script(
        _SETTLED,
        "counts = "
        + pipe(
            *read(MARKET, "ledger", tuple(name for name in _COUNTS if name != "lost"), OF_EXCHANGES), "sum()"
        ),
        "lost = " + pipe(*read(MARKET, "ledger", ("lost",), OF_EXCHANGES, span=_UNTIL_SETTLED), "sum()"),
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
            pivot("exchange", "symbol", "stream", "interval"),
            sort("lost", "symbol", "stream"),
            keep(*_SERIES, *_COUNTS),
        ),
    ),
    (*_SERIES, *_COUNTS),
)
REPAIRS: Final = Query(
    pipe(
        *read(MARKET, "ledger", ("backfilled", "lost"), OF_EXCHANGES),
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
        *read(TICKS, "freshness", ("p95",), f'r.hop == "{hop}"', OF_EXCHANGES),
        group("stream"),
        windows("max"),
        *series("stream"),
    )
    return Query(flux, ("_time", "_value"), ("stream",))


HOPS_NOW: Final = Query(
    pipe(
        *read(TICKS, "freshness", (), OF_EXCHANGES, span=before("5m")),
        "last()",
        group("exchange", "stream", "hop", "_field"),
        "max()",
        group(),
        pivot("exchange", "stream", "hop"),
        sort("stream", "p50"),
        keep("exchange", "stream", "hop", "p50", "p95", "p99"),
    ),
    ("exchange", "stream", "hop", "p50", "p95", "p99"),
)


def of_services(field: str, function: str) -> Query:
    """A figure of every service over time."""
    flux = pipe(*read(TICKS, "service", (field,)), windows(function), *series("service", "instance"))
    return Query(flux, ("_time", "_value"), ("service", "instance"))


DEAD_LETTERS: Final = figure(
    pipe(
        increase("dead_letters"),
        group(),
        "sum()",
        "map(fn: (r) => ({_time: v.timeRangeStop, _value: r._value}))",
    ),
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
# As in the alert: a service that fell silent before the shown range must stay in the table.
_KNOWN: Final = before("1d")
_FIGURES: Final = ("messages_per_s", "lag_messages", "lag_seconds", "dead_letters", "restarts")


def _of_service(name: str, value: str) -> str:
    return (
        f'map(fn: (r) => ({{service: r.service, instance: r.instance, _field: "{name}", _value: {value}}}))'
    )


HEALTH: Final = Query(
    script(
        # Share of ten-second intervals with a report since the first one. The store counts: a week of
        # reports is 60,480 of each service.
        "counted = " + pipe(*read(TICKS, "service", ("up",)), "count()", _of_service("count", "r._value")),
        "begun = "
        + pipe(*read(TICKS, "service", ("up",)), "first()", _of_service("begun", "int(v: r._time)")),
        "slots = "
        + pipe(
            "union(tables: [counted, begun])",
            group(),
            pivot("service", "instance"),
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
            pivot("service", "instance"),
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
            # Empty windows are the silence that this panel shows.
            'aggregateWindow(every: every, fn: max, createEmpty: true, timeSrc: "_start")',
            *series("service", "instance"),
        ),
    ),
    ("_time", "_value"),
    ("service", "instance"),
)
