"""Prices, bars and indicators of one symbol."""

from __future__ import annotations

from typing import Final

from grafana.bars import SHOWN_BARS, with_open_bar
from grafana.flux import (
    AGE_S,
    BARS,
    SHOWN,
    SIGNIFICANT,
    SINCE_START,
    THIS_INTERVAL,
    THIS_SYMBOL,
    TICKS,
    any_of,
    before,
    frame,
    group,
    keep,
    newest_bars,
    pipe,
    pivot,
    read,
    script,
    sort,
    with_columns,
)
from grafana.model import Annotation, Query, figure


def indicators(*names: str) -> Query:
    return Query(with_open_bar(("indicator", any_of("_field", names))), ("_time", *names))


_LAST_TRADE: Final = (*read(TICKS, "trade", ("price",), THIS_SYMBOL), "last()")
PRICE: Final = figure(pipe(*_LAST_TRADE, *frame("_value")))
CHANGE: Final = figure(
    script(
        newest_bars(SHOWN_BARS),
        "closed = "
        + pipe(*read(BARS, "kline", ("open",), THIS_SYMBOL, THIS_INTERVAL, span=SINCE_START), "first()"),
        "live = " + pipe(*_LAST_TRADE),
        pipe(
            "union(tables: [closed, live])",
            *frame("_value"),
            # From the first row to the last: open of the first bar, price of the last trade.
            "reduce(identity: {rows: 0, first: 0.0, _value: 0.0}, fn: (r, accumulator) => ({",
        )
        + "\n      rows: accumulator.rows + 1,"
        + "\n      first: if accumulator.first == 0.0 then r._value else accumulator.first,"
        + "\n      _value: if accumulator.first == 0.0 then 0.0 else r._value / accumulator.first - 1.0}))"
        # Without a bar or a trade there is no change, rather than one of 0 %.
        + "\n  |> filter(fn: (r) => r.rows == 2)"
        + "\n  |> map(fn: (r) => ({_time: v.timeRangeStop, _value: r._value}))",
    )
)
CLOSES_IN: Final = figure(
    pipe(
        *read(TICKS, "kline_live", ("close",), THIS_SYMBOL, THIS_INTERVAL, span=before("2d")),
        "last()",
        with_columns(
            _value="float(v: int(v: r._time) + int(v: ${interval}) - int(v: v.timeRangeStop)) / 1000000000.0"
        ),
        *frame("_value"),
    )
)
RSI_NOW: Final = figure(
    pipe(
        *read(TICKS, "indicator_live", ("momentum_rsi",), THIS_SYMBOL, THIS_INTERVAL, span=before("2d")),
        "last()",
        *frame("_value"),
    )
)
QUOTE_AGE: Final = figure(
    pipe(
        # An empty side has no fields; every quote has an update id.
        *read(TICKS, "quote", ("update_id",), THIS_SYMBOL, span=before("1d")),
        "last()",
        with_columns(_value=AGE_S),
        *frame("_value"),
    )
)
_OHLC: Final = any_of("_field", ("open", "high", "low", "close", "base_volume"))
_OVERLAID: Final = "r._field =~ /^${overlays:regex}$/"
CANDLES: Final = with_open_bar(("kline", _OHLC), ("indicator", _OVERLAID), mark="close")
TAKER_SHARE: Final = (
    with_open_bar(("kline", any_of("_field", ("base_volume", "taker_buy_base_volume"))))
    + "\n  |> filter(fn: (r) => r.base_volume > 0.0)"
    + '\n  |> map(fn: (r) => ({_time: r._time, "taker buys": r.taker_buy_base_volume / r.base_volume}))'
)
SHOWN_IN_TABLE: Final = ("momentum_rsi", "trend_macd_diff", "volatility_bbp", "trend_adx", "volatility_atr")
INTERVALS: Final = script(
    SIGNIFICANT,
    "live = "
    + pipe(
        f"from(bucket: {TICKS})",
        before("2d"),
        f"filter(fn: (r) => {THIS_SYMBOL} and ("
        f'(r._measurement == "kline_live" and {any_of("_field", ("open", "close"))}) or '
        f'(r._measurement == "indicator_live" and {any_of("_field", SHOWN_IN_TABLE)})))',
        "last()",
        'map(fn: (r) => ({r with _value: if r._measurement == "kline_live" then r._value else'
        " significant(x: r._value)}))",
        keep("interval", "_field", "_value"),
        group(),
        pivot("interval"),
    ),
    pipe(
        "live",
        with_columns(change="r.close / r.open - 1.0", length="int(v: duration(v: r.interval))"),
        sort("length"),
        keep("interval", "close", "change", *SHOWN_IN_TABLE),
    ),
)
OPEN_BAR: Final = Annotation(
    "Open bar",
    "orange",
    Query(
        pipe(
            *read(TICKS, "kline_live", ("close",), THIS_SYMBOL, THIS_INTERVAL, span=SHOWN),
            "last()",
            'map(fn: (r) => ({time: r._time, timeEnd: v.timeRangeStop, text: "open bar of " + r.interval +'
            ' ": still changing"}))',
            group(),
        ),
        ("time", "timeEnd", "text"),
    ),
)
