"""Trades of one symbol, and sums of them."""

from __future__ import annotations

from typing import Final

from grafana.flux import (
    SIGNIFICANT,
    SINCE_START,
    THIS_SYMBOL,
    TICKS,
    WIDE,
    frame,
    group,
    keep,
    newest,
    pipe,
    pivot,
    read,
    script,
    sort,
    windows,
    with_columns,
)
from grafana.model import Query, figure

AVERAGE_PRICE: Final = "significant(x: r.quote_volume / r.base_volume)"
# Windows of seconds are kept for seven days; beyond half a day minutes are fine enough, and fewer.
_SUMMARY_IN: Final = script(
    "long = int(v: v.timeRangeStop) - int(v: v.timeRangeStart) > int(v: 12h)",
    'window = if long then "1m" else "1s"',
    'summaries = if long then "market" else "ticks"',
)
TAPE_SPAN: Final = "10m"
TAPE_ROWS: Final = 200
SIZES_SPAN: Final = "1h"


def _summary(fields: tuple[str, ...], *steps: str) -> str:
    """Sums of trades, from windows of seconds or minutes."""
    return script(
        _SUMMARY_IN,
        pipe(*read("summaries", "trade_summary", fields, THIS_SYMBOL, "r.interval == window"), *steps),
    )


def sums_over_time(fields: tuple[str, ...], value: str, name: str, *steps: str) -> Query:
    """One figure a window, computed from sums of `fields`."""
    flux = _summary(
        fields,
        "toFloat()",
        windows("sum"),
        WIDE,
        *steps,
        f"map(fn: (r) => ({{_time: r._time, {name}: {value}}}))",
        *frame(name),
    )
    return Query(flux, ("_time", name))


def sums_of_all(fields: tuple[str, ...], value: str) -> Query:
    """One figure of the whole range, computed from sums of `fields`."""
    flux = (
        SIGNIFICANT
        + "\n"
        + _summary(
            fields,
            "toFloat()",
            "sum()",
            pivot("symbol"),
            f"map(fn: (r) => ({{_time: v.timeRangeStop, _value: {value}}}))",
            group(),
        )
    )
    return figure(flux)


VOLUMES: Final = ("base_volume", "taker_buy_base_volume")
TAKER_IMBALANCE: Final = "(2.0 * r.taker_buy_base_volume - r.base_volume) / r.base_volume"
FLOW: Final = Query(
    _summary(
        VOLUMES,
        windows("sum"),
        WIDE,
        "map(fn: (r) => ({_time: r._time, bought: r.taker_buy_base_volume, sold: r.taker_buy_base_volume -"
        " r.base_volume}))",
        *frame("bought", "sold"),
    ),
    ("_time", "bought", "sold"),
)
SUM_OF_FLOW: Final = Query(
    _summary(
        VOLUMES,
        windows("sum"),
        WIDE,
        "map(fn: (r) => ({_time: r._time, _value: 2.0 * r.taker_buy_base_volume - r.base_volume}))",
        *frame("_value"),
        "cumulativeSum()",
        'rename(columns: {_value: "bought less sold"})',
    ),
    ("_time", "bought less sold"),
)
LARGEST: Final = figure(
    script(
        newest(f"int(v: {SIZES_SPAN})"),
        pipe(
            *read(TICKS, "trade", ("price", "quantity"), THIS_SYMBOL, span=SINCE_START),
            WIDE,
            with_columns(_value="r.price * r.quantity"),
            "max()",
            *frame("_value"),
        ),
    ),
)
SIZES: Final = Query(
    script(
        'import "math"',
        newest(f"int(v: {SIZES_SPAN})"),
        pipe(
            *read(TICKS, "trade", ("price", "quantity", "buyer_is_maker"), THIS_SYMBOL, span=SINCE_START),
            WIDE,
            "filter(fn: (r) => r.price * r.quantity > 0.0)",
            with_columns(decade="math.floor(x: math.log10(x: r.price * r.quantity))"),
            group("decade"),
            "reduce(identity: {bought: 0, sold: 0}, fn: (r, accumulator) => ({"
            "bought: accumulator.bought + (if r.buyer_is_maker then 0 else 1), "
            "sold: accumulator.sold + (if r.buyer_is_maker then 1 else 0)}))",
            group(),
            sort("decade"),
            'map(fn: (r) => ({size: "from " + string(v: math.pow(x: 10.0, y: r.decade)), bought: r.bought,'
            " sold: r.sold}))",
        ),
    ),
    ("size", "bought", "sold"),
)
_TAPE_COLUMNS: Final = ("_time", "side", "price", "quantity", "worth", "trade_id")
TAPE: Final = Query(
    script(
        newest(f"int(v: {TAPE_SPAN})"),
        pipe(
            *read(TICKS, "trade", (), THIS_SYMBOL, span=SINCE_START),
            WIDE,
            group(),
            sort("_time", descending=True),
            f"limit(n: {TAPE_ROWS})",
            with_columns(side='if r.buyer_is_maker then "sold" else "bought"', worth="r.price * r.quantity"),
            keep(*_TAPE_COLUMNS),
        ),
    ),
    _TAPE_COLUMNS,
)
