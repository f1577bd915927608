"""Queries of the alert rules.

Every query returns one series for each watched thing, also while all is well, so that health and silence can
be distinguished.
"""

from __future__ import annotations

from typing import Final

from grafana.flux import (
    AGE_S,
    MARKET,
    TICKS,
    any_of,
    before,
    group,
    keep,
    pipe,
    pivot,
    read,
    script,
    with_columns,
)


def each(*labels: str) -> tuple[str, ...]:
    """The last steps of a query: one value a series, at the time of the evaluation."""
    return (group(*labels), with_columns(_time="v.timeRangeStop"), keep("_time", "_value", *labels))


def _feed(name: str, measurement: str, field: str, *last_one: str) -> str:
    """Seconds since the last point of each symbol."""
    return f"{name} = " + pipe(
        *read(TICKS, measurement, (field,), span=before("1d")),
        "last()",
        *last_one,
        f'map(fn: (r) => ({{exchange: r.exchange, symbol: r.symbol, stream: "{name}", _value: {AGE_S}}}))',
        group(),
    )


def _bars(name: str, bucket: str) -> str:
    """Seconds by which each series' next bar is overdue: it is due two intervals after the last open.

    The last bar of 1d may have opened two days ago; the third day is for being late.
    """
    overdue = f"{AGE_S} - 2.0 * float(v: int(v: duration(v: r.interval))) / 1000000000.0"
    return f"{name} = " + pipe(
        *read(bucket, "kline", ("close",), span=before("3d")),
        "last()",
        'map(fn: (r) => ({exchange: r.exchange, symbol: r.symbol, stream: "bars of " + r.interval,'
        f" _value: {overdue}}}))",
        "filter(fn: (r) => r._value < 86400.0)",
        group(),
    )


STALE: Final = script(
    # An empty side has no fields; every quote has an update id.
    _feed("quotes", "quote", "update_id"),
    # An unsynced book has no points until it is synced again: see the next rule.
    _feed("book", "book", "synced", "filter(fn: (r) => r._value)"),
    _bars("seconds", TICKS),
    _bars("longer", MARKET),
    pipe("union(tables: [quotes, book, seconds, longer])", *each("exchange", "symbol", "stream")),
)
UNSYNCED: Final = pipe(
    # A loss is stored once: a shorter range would take a book that was lost before for synced.
    *read(TICKS, "book", ("synced",), span=before("7d")),
    "last()",
    f"map(fn: (r) => ({{exchange: r.exchange, symbol: r.symbol, _value: if r._value then 0.0 else"
    f" {AGE_S}}}))",
    *each("exchange", "symbol"),
)
UNCARRIED: Final = script(
    # Stored once a minute while it lasts, and once when it is over.
    "said = "
    + pipe(
        *read(TICKS, "carriage", ("carried", "since_ms"), span=before("1d")),
        "last()",
        pivot("exchange", "symbol", "stream"),
        "map(fn: (r) => ({exchange: r.exchange, symbol: r.symbol, stream: r.stream, _value: if r.carried"
        " then 0.0 else float(v: int(v: v.timeRangeStop) / 1000000 - int(v: r.since_ms)) / 1000.0}))",
        group(),
    ),
    # Most streams have no such point: their series come from the ledger.
    "counted = "
    + pipe(
        *read(MARKET, "ledger", ("expected",), span=before("1d")),
        "last()",
        with_columns(interval='if exists r.interval then r.interval else ""'),
        "map(fn: (r) => ({exchange: r.exchange, symbol: r.symbol, _value: 0.0,"
        ' stream: if r.interval == "" then r.stream else r.stream + " " + r.interval}))',
        group(),
    ),
    pipe(
        "union(tables: [said, counted])",
        group("exchange", "symbol", "stream"),
        "max()",
        *each("exchange", "symbol", "stream"),
    ),
)
LOST: Final = pipe(
    # Records on their way count as lost until stored: the newest minutes are left out.
    *read(MARKET, "ledger", ("lost",), span=before("1d", until="2m")),
    group("exchange", "symbol", "stream"),
    "sum()",
    "toFloat()",
    *each("exchange", "symbol", "stream"),
)
LAG_GROWTH: Final = script(
    # Mean of the last minute less mean of the first one; a service that is not in both has no trend.
    "early = "
    + pipe(
        *read(TICKS, "service", ("lag_seconds",), span=before("5m", until="4m")),
        "mean()",
        with_columns(_value="-1.0 * r._value"),
    ),
    "late = " + pipe(*read(TICKS, "service", ("lag_seconds",), span=before("1m")), "mean()"),
    pipe(
        "union(tables: [early, late])",
        group("service", "instance"),
        "reduce(identity: {sum: 0.0, minutes: 0}, fn: (r, accumulator) =>"
        " ({sum: accumulator.sum + r._value, minutes: accumulator.minutes + 1}))",
        with_columns(_value="if r.minutes == 2 then r.sum else 0.0"),
        *each("service", "instance"),
    ),
)
STORE_TIME: Final = pipe(
    # Both hops begin at the socket: their difference is the time of the store.
    *read(TICKS, "freshness", ("p95",), any_of("hop", ("consumed", "stored")), span=before("5m")),
    group(),
    pivot("_time", "exchange", "stream", "instance", along="hop"),
    "filter(fn: (r) => exists r.consumed and exists r.stored)",
    with_columns(_value="r.stored - r.consumed"),
    group("exchange", "stream", "instance"),
    "mean()",
    *each("exchange", "stream", "instance"),
)
SILENCE: Final = pipe(
    *read(TICKS, "service", ("up",), span=before("1d")),
    "last()",
    f"map(fn: (r) => ({{service: r.service, instance: r.instance, _value: {AGE_S}}}))",
    *each("service", "instance"),
)
