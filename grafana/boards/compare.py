"""Compare: all symbols side by side."""

from __future__ import annotations

from typing import Final

from grafana.choices import EXCHANGE, INTERVAL, SYMBOLS
from grafana.flux import (
    BARS,
    SINCE_START,
    THIS_EXCHANGE,
    THIS_INTERVAL,
    WIDE,
    group,
    keep,
    newest_bars,
    pipe,
    pivot,
    read,
    script,
    series,
    sort,
)
from grafana.model import Dashboard, Query, Row
from grafana.panels import AS_QUOTED, RSI_ZONES, SIGN, cell, lines, table

_BARS: Final = 500
# Every pair of symbols is joined bar by bar.
_CORRELATED_BARS: Final = 240
_WINDOW: Final = 20
_NO_BARS: Final = (
    "No closed bars of this interval in this time range: choose a longer range or a shorter interval"
)
_CHOSEN: Final = "r.symbol =~ /^${symbols:regex}$/"
_AT_MOST: Final = f"Closed bars of $interval, at most the newest {_BARS}."


def _closed(measurement: str, *fields: str) -> tuple[str, ...]:
    return read(BARS, measurement, fields, THIS_EXCHANGE, THIS_INTERVAL, _CHOSEN, span=SINCE_START)


def _of_bars(*statements: str, imports: tuple[str, ...] = (), count: int = _BARS) -> str:
    return script(*(f'import "{name}"' for name in imports), newest_bars(count), *statements)


_RETURNS: Final = pipe(
    *_closed("kline", "close"),
    "map(fn: (r) => ({r with _value: math.log(x: r._value)}))",
    "difference()",
)
_CHANGE: Final = Query(
    _of_bars(
        pipe(
            _RETURNS,
            # Log returns add up to the logarithm of the whole change.
            "cumulativeSum()",
            "map(fn: (r) => ({r with _value: math.exp(x: r._value) - 1.0}))",
            *series("symbol"),
        ),
        imports=("math",),
    ),
    ("_time", "_value"),
    ("symbol",),
)
_VOLATILITY: Final = Query(
    _of_bars(
        "a_year = float(v: int(v: 365d)) / float(v: int(v: ${interval}))",
        pipe(
            _RETURNS,
            "map(fn: (r) => ({r with _value: r._value * r._value}))",
            f"movingAverage(n: {_WINDOW})",
            "map(fn: (r) => ({r with _value: math.sqrt(x: r._value * a_year)}))",
            *series("symbol"),
        ),
        imports=("math",),
    ),
    ("_time", "_value"),
    ("symbol",),
)
_CORRELATION: Final = Query(
    _of_bars(
        # Read twice: Flux cannot join a stream with itself.
        "one = "
        + pipe(_RETURNS, group(), 'rename(columns: {symbol: "one", _value: "x"})', keep("_time", "one", "x")),
        "other = "
        + pipe(
            _RETURNS, group(), 'rename(columns: {symbol: "other", _value: "y"})', keep("_time", "other", "y")
        ),
        pipe(
            'join(tables: {one: one, other: other}, on: ["_time"])',
            group("one", "other"),
            'covariance(columns: ["x", "y"], pearsonr: true)',
            group(),
            'rename(columns: {one: "symbol"})',
            pivot("symbol", along="other"),
            sort("symbol"),
        ),
        imports=("math",),
        count=_CORRELATED_BARS,
    ),
    ("symbol",),
)
_RSI: Final = Query(
    _of_bars(pipe(*_closed("indicator", "momentum_rsi"), *series("symbol"))), ("_time", "_value"), ("symbol",)
)
_SUMMARY_COLUMNS: Final = (
    "symbol",
    "close",
    "change",
    "high",
    "low",
    "turnover",
    "trades",
    "deviation",
    "bars",
)
_BEGIN: Final = (
    "first: 0.0, last: 0.0, high: 0.0, low: 0.0, turnover: 0.0, trades: 0, bars: 0, sum: 0.0, squares: 0.0"
)
_SUMMARY: Final = Query(
    _of_bars(
        "log_return = (r, before) => if before == 0.0 then 0.0 else math.log(x: r.close / before)",
        pipe(
            *_closed("kline", "open", "high", "low", "close", "quote_volume", "trade_count"),
            WIDE,
            group("symbol"),
            sort("_time"),
            f"reduce(identity: {{{_BEGIN}}}, fn: (r, accumulator) => ({{",
        ),
        "    first: if accumulator.bars == 0 then r.open else accumulator.first,",
        "    last: r.close,",
        "    high: if r.high > accumulator.high then r.high else accumulator.high,",
        "    low: if accumulator.bars == 0 or r.low < accumulator.low then r.low else accumulator.low,",
        "    turnover: accumulator.turnover + r.quote_volume,",
        "    trades: accumulator.trades + r.trade_count,",
        "    bars: accumulator.bars + 1,",
        "    sum: accumulator.sum + log_return(r: r, before: accumulator.last),",
        "    squares: accumulator.squares + math.pow(x: log_return(r: r, before: accumulator.last), y:"
        " 2.0)}))",
        "  |> "
        + pipe(
            group(),
            "map(fn: (r) => ({symbol: r.symbol, close: r.last, change: r.last / r.first - 1.0, high:"
            " r.high, low: r.low, turnover: r.turnover, trades: r.trades, bars: r.bars, deviation: if"
            " r.bars < 2 then 0.0 else math.sqrt(x: math.mMax(x: 0.0, y: r.squares / float(v: r.bars - 1) -"
            " math.pow(x: r.sum / float(v: r.bars - 1), y: 2.0)))}))",
            sort("symbol"),
        ),
        imports=("math",),
    ),
    _SUMMARY_COLUMNS,
)
_TO_MARKET: Final = [
    {
        "title": "Market of ${__value.text}",
        "url": "/d/market?var-exchange=${exchange}&var-symbol=${__value.text}&var-interval=${interval}"
        "&from=${__from}&to=${__to}",
        "targetBlank": False,
    }
]

_NOW: Final = Row(
    "Side by side",
    (
        table(
            "Symbols",
            f"{_AT_MOST} `change` is from the open of the first bar to the close of the last, `deviation` the"
            " standard deviation of the log returns from bar to bar. A click on a symbol opens its Market.",
            _SUMMARY,
            unit=AS_QUOTED,
            height=7,
            sort_by="change",
            descending=True,
            empty=_NO_BARS,
        )
        .overriding("symbol", links=_TO_MARKET)
        .overriding("change", **cell("percentunit", steps=SIGN, decimals=2))
        .overriding("turnover", **cell("short", decimals=2))
        .overriding("trades", **cell("short"))
        .overriding("deviation", **cell("percentunit", decimals=3)),
        lines(
            "Change",
            f"Close of each bar against that of the first one shown. {_AT_MOST}",
            _CHANGE,
            unit="percentunit",
            steps=SIGN,
            lines_at_steps=True,
            name="${__field.labels.symbol}",
            width=24,
            height=10,
            figures=True,
            empty=_NO_BARS,
        ),
    ),
)
_RISK: Final = Row(
    "Volatility and correlation",
    (
        lines(
            "Volatility",
            f"Root of the mean squared log return over {_WINDOW} bars, as a yearly rate. {_AT_MOST}",
            _VOLATILITY,
            unit="percentunit",
            name="${__field.labels.symbol}",
            bounds=(0, None),
            empty=_NO_BARS,
        ),
        table(
            "Correlation",
            "Pearson correlation of log returns from bar to bar: 1 they move together, 0 independently, −1"
            f" against each other. Closed bars of $interval, at most the newest {_CORRELATED_BARS}.",
            _CORRELATION,
            width=12,
            empty=_NO_BARS,
            cells={
                "decimals": 2,
                "min": -1,
                "max": 1,
                "color": {"mode": "continuous-RdYlGr"},
                "custom": {"align": "auto", "cellOptions": {"type": "color-background"}},
            },
        ).overriding("symbol", custom__cellOptions={"type": "auto"}),
        lines(
            "RSI",
            f"Relative strength index (14 bars); dashed at 30 and 70. {_AT_MOST}",
            _RSI,
            unit="none",
            decimals=3,
            steps=RSI_ZONES,
            lines_at_steps=True,
            name="${__field.labels.symbol}",
            bounds=(0, 100),
            width=24,
            empty=_NO_BARS,
        ),
    ),
)

BOARD: Final = Dashboard(
    "compare",
    "Compare",
    "All symbols: change, volatility, correlation.",
    "now-3h",
    "10s",
    (EXCHANGE, SYMBOLS, INTERVAL),
    (_NOW, _RISK),
)
