"""Variables at the top of dashboards, with choices from the data."""

from __future__ import annotations

from typing import Final

from grafana.flux import MARKET, OF_EXCHANGES, THIS_EXCHANGE, TICKS, group, keep, pipe, script, sort
from grafana.model import Variable
from grafana.pairs import ALSO_DOLLARS, PAIR, PAIR_IMPORT

_SCHEMA: Final = 'import "influxdata/influxdb/schema"'
# One of them is always in `market`: closed bars, or trade summaries of 1m where only 1s bars are kept.
_BARS_OR_TRADES: Final = '(r) => r._measurement == "kline" or r._measurement == "trade_summary"'
# Interval names are Flux durations: orders 1m before 15m before 1h.
_BY_LENGTH: Final = (
    "map(fn: (r) => ({r with length: int(v: duration(v: r._value))}))",
    sort("length"),
    keep("_value"),
)

_EXCHANGES: Final = script(
    _SCHEMA,
    f'schema.tagValues(bucket: {MARKET}, tag: "exchange", predicate: {_BARS_OR_TRADES}, start: -30d)',
)
# Neither has a default: a dashboard opens on the first that is there.
EXCHANGE: Final = Variable("exchange", "Exchange", "Exchanges with data of the last 30 days.", _EXCHANGES)
EXCHANGES: Final = Variable(
    "exchanges", "Exchanges", "Which exchanges are shown.", _EXCHANGES, every=True, many=True
)


def _symbols_of(exchanges: str) -> str:
    return script(
        f'schema.tagValues(bucket: {MARKET}, tag: "symbol", start: -30d, predicate: (r) =>',
        f'  {exchanges} and (r._measurement == "kline" or r._measurement == "trade_summary"))',
    )


SYMBOL: Final = Variable(
    "symbol",
    "Symbol",
    "Symbols with data of the last 30 days.",
    script(_SCHEMA, _symbols_of(THIS_EXCHANGE)),
)
PAIRS: Final = Variable(
    "pairs",
    "Base and quote",
    f"The same on all exchanges: symbols without signs; {ALSO_DOLLARS}.",
    script(
        _SCHEMA,
        PAIR_IMPORT,
        PAIR,
        pipe(
            _symbols_of(OF_EXCHANGES),
            "map(fn: (r) => ({_value: pair(symbol: r._value)}))",
            "unique()",
        ),
    ),
    every=True,
    many=True,
)
SYMBOLS: Final = Variable(
    "symbols",
    "Symbols",
    "Which symbols of these pairs to compare.",
    script(
        _SCHEMA,
        PAIR_IMPORT,
        PAIR,
        pipe(
            _symbols_of(OF_EXCHANGES),
            "filter(fn: (r) => pair(symbol: r._value) =~ /^${pairs:regex}$/)",
        ),
    ),
    every=True,
    many=True,
)


def _interval_of(exchanges: str) -> Variable:
    return Variable(
        "interval",
        "Interval",
        "Intervals that have closed bars.",
        script(
            _SCHEMA,
            "kept = (bucket) =>"
            ' schema.tagValues(bucket: bucket, tag: "interval", start: -30d, predicate: (r) =>',
            f'  r._measurement == "kline" and {exchanges})',
            pipe(
                f"union(tables: [kept(bucket: {MARKET}), kept(bucket: {TICKS})])",
                group(),
                "unique()",
                *_BY_LENGTH,
            ),
        ),
        default=("1m",),
        sort=0,
    )


INTERVAL: Final = _interval_of(THIS_EXCHANGE)
INTERVAL_OF_EXCHANGES: Final = _interval_of(OF_EXCHANGES)
_COLUMNS: Final = script(
    _SCHEMA,
    "kept = (bucket) => schema.fieldKeys(bucket: bucket, start: -30d, predicate: (r) =>",
    '  r._measurement == "indicator" and r.exchange == "${exchange}")',
    pipe(f"union(tables: [kept(bucket: {MARKET}), kept(bucket: {TICKS})])", group(), "unique()"),
)
INDICATOR: Final = Variable(
    "indicator",
    "Indicators",
    "Any indicator that is computed (docs/indicators.md); each gets a panel.",
    _COLUMNS,
    default=("momentum_rsi", "trend_macd", "volatility_atr", "trend_adx"),
    many=True,
)
OVERLAYS: Final = Variable(
    "overlays",
    "Overlays",
    "Indicators in the unit of the price, drawn over the candles.",
    _COLUMNS,
    default=("volatility_bbh", "volatility_bbm", "volatility_bbl", "trend_ema_fast", "trend_ema_slow"),
    many=True,
    matching="/^(?:volatility_(?:bb|kc|dc)[hlmc]|trend_(?:sma|ema|wma|ichimoku|psar_(?:up|down)$)|momentum_kama|volume_vwap).*/",
)
