"""Compare: symbols of all exchanges side by side, those of the same base and quote together."""

from __future__ import annotations

from typing import Final

from grafana.choices import EXCHANGES, INTERVAL_OF_EXCHANGES, PAIRS, SYMBOLS
from grafana.flux import (
    BARS,
    OF_EXCHANGES,
    OF_SYMBOLS,
    SINCE_START,
    THIS_INTERVAL,
    WIDE,
    group,
    newest_bars,
    pipe,
    pivot,
    read,
    script,
    series,
    sort,
)
from grafana.model import Dashboard, Query, Row
from grafana.pairs import ALSO_DOLLARS, PAIR
from grafana.panels import AS_QUOTED, RSI_ZONES, SIGN, cell, lines, table

_BARS: Final = 500
# An instrument's labels, and its name.
_MARKET: Final = ("exchange", "symbol")
_NAME: Final = "${__field.labels.exchange} ${__field.labels.symbol}"
# Every two symbols are joined bar by bar.
_CORRELATED_BARS: Final = 240
_WINDOW: Final = 20
_NO_BARS: Final = (
    "No closed bars of this interval in this time range: choose a longer range or a shorter interval"
)
_AT_MOST: Final = f"Closed bars of $interval, at most the newest {_BARS}."


def _closed(measurement: str, *fields: str) -> tuple[str, ...]:
    return read(BARS, measurement, fields, OF_EXCHANGES, THIS_INTERVAL, OF_SYMBOLS, span=SINCE_START)


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
            *series(*_MARKET),
        ),
        imports=("math",),
    ),
    ("_time", "_value"),
    _MARKET,
)
_VOLATILITY: Final = Query(
    _of_bars(
        "a_year = float(v: int(v: 365d)) / float(v: int(v: ${interval}))",
        pipe(
            _RETURNS,
            "map(fn: (r) => ({r with _value: r._value * r._value}))",
            f"movingAverage(n: {_WINDOW})",
            "map(fn: (r) => ({r with _value: math.sqrt(x: r._value * a_year)}))",
            *series(*_MARKET),
        ),
        imports=("math",),
    ),
    ("_time", "_value"),
    _MARKET,
)
_CORRELATION: Final = Query(
    _of_bars(
        # Read twice: Flux cannot join a stream with itself.
        "one = "
        + pipe(
            _RETURNS,
            'map(fn: (r) => ({_time: r._time, one: r.exchange + " " + r.symbol, x: r._value}))',
            group(),
        ),
        "other = "
        + pipe(
            _RETURNS,
            'map(fn: (r) => ({_time: r._time, other: r.exchange + " " + r.symbol, y: r._value}))',
            group(),
        ),
        pipe(
            'join(tables: {one: one, other: other}, on: ["_time"])',
            group("one", "other"),
            'covariance(columns: ["x", "y"], pearsonr: true)',
            group(),
            'rename(columns: {one: "market"})',
            pivot("market", along="other"),
            sort("market"),
        ),
        imports=("math",),
        count=_CORRELATED_BARS,
    ),
    ("market",),
)
_DISTANCE: Final = Query(
    _of_bars(
        PAIR,
        "closes = "
        + pipe(
            *_closed("kline", "close"),
            "map(fn: (r) => ({_time: r._time, exchange: r.exchange, symbol: r.symbol, pair: pair(symbol:"
            " r.symbol), close: r._value}))",
        ),
        "means = "
        + pipe(
            "closes",
            group("pair", "_time"),
            "reduce(identity: {sum: 0.0, count: 0}, fn: (r, accumulator) => ({sum: accumulator.sum + r.close,"
            " count: accumulator.count + 1}))",
            group(),
            "filter(fn: (r) => r.count > 1)",
        ),
        pipe(
            'join(tables: {one: closes |> group(), all: means}, on: ["_time", "pair"])',
            "map(fn: (r) => ({_time: r._time, exchange: r.exchange, symbol: r.symbol, _value: (r.close *"
            " float(v: r.count) / r.sum - 1.0) * 10000.0}))",
            *series(*_MARKET),
            sort("_time"),
        ),
        imports=("regexp",),
        count=_CORRELATED_BARS,
    ),
    ("_time", "_value"),
    _MARKET,
)
_RSI: Final = Query(
    _of_bars(pipe(*_closed("indicator", "momentum_rsi"), *series(*_MARKET))), ("_time", "_value"), _MARKET
)
_SUMMARY_COLUMNS: Final = (
    "pair",
    "exchange",
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
        PAIR,
        "log_return = (r, before) => if before == 0.0 then 0.0 else math.log(x: r.close / before)",
        pipe(
            *_closed("kline", "open", "high", "low", "close", "quote_volume", "trade_count"),
            WIDE,
            group(*_MARKET),
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
            "map(fn: (r) => ({pair: pair(symbol: r.symbol), exchange: r.exchange, symbol: r.symbol,"
            " close: r.last, change: r.last / r.first - 1.0, high:"
            " r.high, low: r.low, turnover: r.turnover, trades: r.trades, bars: r.bars, deviation: if"
            " r.bars < 2 then 0.0 else math.sqrt(x: math.mMax(x: 0.0, y: r.squares / float(v: r.bars - 1) -"
            " math.pow(x: r.sum / float(v: r.bars - 1), y: 2.0)))}))",
            sort("pair", "exchange", "symbol"),
        ),
        imports=("math", "regexp"),
    ),
    _SUMMARY_COLUMNS,
)
_TO_MARKET: Final = [
    {
        "title": "Market of ${__value.text}",
        "url": "/d/market?var-exchange=${__data.fields.exchange}&var-symbol=${__value.text}"
        "&var-interval=${interval}&from=${__from}&to=${__to}",
        "targetBlank": False,
    }
]

_NOW: Final = Row(
    "Side by side",
    (
        table(
            "Symbols",
            f"{_AT_MOST} Those of the same base and quote (`pair`: without signs; {ALSO_DOLLARS}) stand"
            " together. `change` is from the open of the first bar to the close of the last, `deviation` the"
            " standard deviation of the log returns from bar to bar. A click on a symbol opens its Market.",
            _SUMMARY,
            unit=AS_QUOTED,
            height=7,
            sort_by="pair",
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
            name=_NAME,
            width=24,
            height=10,
            figures=True,
            empty=_NO_BARS,
        ),
    ),
)
_TOGETHER: Final = Row(
    "The same pair on several exchanges",
    (
        lines(
            "Distance between exchanges",
            "Close of each bar against the mean of all chosen symbols of the same pair, in ten-thousandths;"
            " a dollar's tokens have prices of their own. Closed bars of $interval, at most the newest"
            f" {_CORRELATED_BARS}.",
            _DISTANCE,
            unit="suffix: bp",
            decimals=3,
            name=_NAME,
            width=24,
            height=9,
            figures=True,
            empty="No pair has bars of two exchanges in this time range",
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
            name=_NAME,
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
        ).overriding("market", custom__cellOptions={"type": "auto"}),
        lines(
            "RSI",
            f"Relative strength index (14 bars); dashed at 30 and 70. {_AT_MOST}",
            _RSI,
            unit="none",
            decimals=3,
            steps=RSI_ZONES,
            lines_at_steps=True,
            name=_NAME,
            bounds=(0, 100),
            width=24,
            empty=_NO_BARS,
        ),
    ),
)

BOARD: Final = Dashboard(
    "compare",
    "Compare",
    "Symbols of all exchanges, the same base and quote together: change, distance, volatility, correlation.",
    "now-3h",
    "10s",
    (EXCHANGES, PAIRS, SYMBOLS, INTERVAL_OF_EXCHANGES),
    (_NOW, _TOGETHER, _RISK),
)
