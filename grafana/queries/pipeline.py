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
)
from grafana.model import Query

_COUNTS: Final = ("expected", "stored", "backfilled", "halted", "lost", "duplicates")
# Services report every ten seconds; with a window of three reports one that comes late leaves no hole.
_REPORT_WINDOWS: Final = "every = if int(v: v.windowPeriod) > int(v: 30s) then v.windowPeriod else 30s"


def ledger_count(field: str) -> Query:
    flux = pipe(
        *read(MARKET, "ledger", (field,)),
        "sum()",
        group(),
        "sum()",
        "map(fn: (r) => ({_time: v.timeRangeStop, _value: r._value}))",
    )
    return Query(flux, ("_value",))


LEDGER_BY_SERIES: Final = Query(
    pipe(
        *read(MARKET, "ledger", _COUNTS),
        "sum()",
        group(),
        'pivot(rowKey: ["exchange", "symbol", "stream", "interval"], columnKey: ["_field"], valueColumn:'
        ' "_value")',
        sort("lost", "symbol", "stream"),
        keep("exchange", "symbol", "stream", "interval", *_COUNTS),
    ),
    ("exchange", "symbol", "stream", "interval", *_COUNTS),
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
    """95th percentile of a hop, of the slowest instance of each stream."""
    flux = pipe(
        *read(TICKS, "freshness", ("p95",), f'r.hop == "{hop}"'),
        group("exchange", "stream"),
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
_FIGURES: Final = ("messages_per_s", "lag_messages", "lag_seconds", "dead_letters", "restarts")
HEALTH: Final = Query(
    script(
        # A service reports once in ten seconds: how many of its slots since it was first heard have a report.
        "slots = "
        + pipe(
            *read(TICKS, "service", ("up",)),
            "reduce(identity: {first: 0, newest: 0, count: 0}, fn: (r, accumulator) => ({first: if"
            " accumulator.count == 0 then int(v: r._time) else accumulator.first, newest: int(v: r._time),"
            " count: accumulator.count + 1}))",
            'map(fn: (r) => ({service: r.service, instance: r.instance, _field: "reported",'
            " _value: float(v: r.count) / (float(v: int(v: v.timeRangeStop) - r.first) / 10000000000.0 +"
            " 1.0)}))",
            group(),
        ),
        "newest = "
        + pipe(
            *read(TICKS, "service", _FIGURES),
            "last()",
            "toFloat()",
            keep("service", "instance", "_field", "_value"),
            group(),
        ),
        "ages = "
        + pipe(
            *read(TICKS, "service", ("up",)),
            "last()",
            f'map(fn: (r) => ({{service: r.service, instance: r.instance, _field: "heard", _value:'
            f" {AGE_S}}}))",
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
            *read(TICKS, "service", ("up",)),
            "toInt()",
            # Empty windows are wanted: they are the silence that this panel shows.
            "aggregateWindow(every: every, fn: max, createEmpty: true)",
            *series("service", "instance"),
        ),
    ),
    ("_time", "_value"),
    ("service", "instance"),
)
