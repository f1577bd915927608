"""Indicators: any of them, as chosen."""

from __future__ import annotations

from typing import Final

from grafana.bars import NO_BARS, SHOWN_BARS, with_open_bar
from grafana.choices import EXCHANGE, INDICATOR, INTERVAL, SYMBOL
from grafana.flux import (
    BARS,
    BARS_IN,
    SIGNIFICANT,
    THIS_INTERVAL,
    THIS_SYMBOL,
    TICKS,
    any_of,
    group,
    pipe,
    pivot,
    read,
    script,
    sort,
)
from grafana.model import Dashboard, Query, Row
from grafana.panels import AS_QUOTED, candles, cell, lines, table

_CANDLES: Final = with_open_bar(
    ("kline", any_of("_field", ("open", "high", "low", "close", "base_volume"))), mark="close"
)
_CHOSEN: Final = with_open_bar(("indicator", "r._field =~ /^${indicator:regex}$/"))
_ALL: Final = script(
    SIGNIFICANT,
    BARS_IN,
    "closed = "
    + pipe(
        *read(BARS, "indicator", (), THIS_SYMBOL, THIS_INTERVAL),
        "last()",
        'map(fn: (r) => ({_time: r._time, indicator: r._field, state: "closed",'
        " _value: significant(x: r._value)}))",
        group(),
    ),
    "live = "
    + pipe(
        *read(TICKS, "indicator_live", (), THIS_SYMBOL, THIS_INTERVAL),
        "last()",
        'map(fn: (r) => ({_time: r._time, indicator: r._field, state: "open",'
        " _value: significant(x: r._value)}))",
        group(),
    ),
    # Some have no value in some bars (the parabolic SAR has one of two): an older bar's must not replace it.
    "of_newest = (tables=<-) => {",
    '    newest = tables |> max(column: "_time") |> findRecord(fn: (key) => true, idx: 0)',
    "    return tables |> filter(fn: (r) => exists newest._time and r._time == newest._time)",
    "}",
    pipe(
        "union(tables: [closed |> of_newest(), live |> of_newest()])",
        group(),
        pivot("indicator", along="state"),
        sort("indicator"),
    ),
)

_PRICE: Final = Row(
    "$symbol $interval",
    (
        candles(
            "Price",
            f"Bars by open time, at most the newest {SHOWN_BARS:,}; the dot marks the open bar.",
            Query(_CANDLES, ("_time", "open", "high", "low", "close", "base_volume", "open bar")),
            unit=AS_QUOTED,
            height=9,
            empty=NO_BARS,
        ),
    ),
)
_EACH: Final = Row(
    "Chosen indicators",
    (
        lines(
            "$indicator",
            "The chosen indicator of closed bars; the last value belongs to the open bar and may still"
            " change. What it means: docs/indicators.md. Empty while it warms up, or where it is not among"
            " INDICATORS.",
            Query(_CHOSEN, ("_time",)),
            unit=AS_QUOTED,
            width=12,
            empty="No values in this time range: still warming up, or not among INDICATORS",
        ).but(repeat="indicator", repeatDirection="h", maxPerRow=2),
    ),
)
_TABLE: Final = Row(
    "All of the newest bars",
    (
        table(
            "All indicators",
            "Values of the newest closed bar in this time range, and what they would be if the open bar"
            " closed now.",
            Query(_ALL, ("indicator", "closed", "open")),
            unit=AS_QUOTED,
            height=14,
            empty=NO_BARS,
        )
        .overriding("closed", **cell(AS_QUOTED, displayName="newest closed bar"))
        .overriding("open", **cell(AS_QUOTED, displayName="open bar")),
    ),
)

BOARD: Final = Dashboard(
    "indicators",
    "Indicators",
    "Any indicator over the bars of one symbol, chosen above.",
    "now-3h",
    "5s",
    (EXCHANGE, SYMBOL, INTERVAL, INDICATOR),
    (_PRICE, _EACH, _TABLE),
)
