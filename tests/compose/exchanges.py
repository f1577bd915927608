"""Several exchanges in one stack: points of each, and a dashboard that has all of them."""

from __future__ import annotations

from typing import Final

from tests.compose import grafana
from tests.compose.checks import ELSEWHERE, EXCHANGES

# The pair of which each exchange has one.
_TOGETHER: Final = {("binance", "BTCUSDC"), *ELSEWHERE}
_FIELDS: Final = {"kline": "close", "trade": "price", "book": "mid", "quote": "bid_price"}
_FRESH: Final = (
    'from(bucket: "ticks") |> range(start: -1m) |> filter(fn: (r) => '
    + " or ".join(
        f'(r._measurement == "{kind}" and r._field == "{field}")' for kind, field in _FIELDS.items()
    )
    + ') |> group(columns: ["exchange", "symbol", "_measurement"]) |> count()'
    ' |> rename(columns: {_measurement: "kind"}) |> group()'
    ' |> keep(columns: ["exchange", "symbol", "kind", "_value"])'
)


def flowing() -> bool:
    """Of each exchange's market, everything has points of the last minute."""
    found: set[tuple[str, str, str]] = set()
    for frame in grafana.query(_FRESH):
        columns = (grafana.column(frame, name) for name in ("exchange", "symbol", "kind"))
        found.update(zip(*columns, strict=True))
    return {(*market, kind) for market in _TOGETHER for kind in _FIELDS} <= found


def compared() -> bool:
    """Compare has every exchange, the same base and quote together, and their distances."""
    symbols = {symbol for _, symbol in _TOGETHER}
    choices = {
        "exchanges": grafana.every(EXCHANGES),
        "symbols": grafana.every(sorted(symbols)),
        "interval": "1s",
    }
    (frame,) = grafana.frames("compare", "Symbols", "now-15m", **choices)
    columns = (grafana.column(frame, name) for name in ("pair", "exchange", "symbol"))
    rows = list(zip(*columns, strict=True))
    distant = {
        (labels["exchange"], labels["symbol"])
        for labels in map(
            grafana.labels, grafana.frames("compare", "Distance between exchanges", "now-15m", **choices)
        )
    }
    return rows == sorted(("BTCUSD", *market) for market in _TOGETHER) and distant == _TOGETHER
