"""The measurements, declared once (DESIGN §4.3): tags, columns with their types, bucket.

Line protocol, SQL tables, queries and tests are derived from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ColumnType = Literal["float", "int", "bool"]
BucketRole = Literal["market", "ticks"]
Value = float | int | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Measurement:
    """A kind of point.

    Attributes:
        tags: tag names, in the order of `Series.tags`; (tags, time) is a point's identity.
        columns: fields, in the order of `Point.values`. `indicator` and `indicator_live` are open: their
            columns are those of the configured indicators, see `with_columns`.
    """

    name: str
    tags: tuple[str, ...]
    columns: tuple[Column, ...]

    def with_columns(self, names: tuple[str, ...]) -> Measurement:
        """The same measurement with float64 columns of these names (the indicators in use)."""
        return Measurement(self.name, self.tags, _floats(*names))

    def bucket(self, tags: tuple[str, ...]) -> BucketRole:
        """Which bucket a series of this measurement lives in: second data expires, the rest stays."""
        if self.name in _IN_TICKS:
            return "ticks"
        if self.name in _BY_INTERVAL and tags[self.tags.index("interval")] == "1s":
            return "ticks"
        return "market"


def _floats(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "float") for name in names)


_IN_TICKS: Final = frozenset(
    ("kline_live", "indicator_live", "trade", "book", "quote", "carriage", "freshness", "service")
)
_BY_INTERVAL: Final = frozenset(("kline", "indicator", "trade_summary"))
_BAR_TAGS: Final = ("exchange", "symbol", "interval")
_BAR_COLUMNS: Final = (
    *_floats("open", "high", "low", "close", "base_volume", "quote_volume"),
    *_floats("taker_buy_base_volume", "taker_buy_quote_volume"),
    Column("trade_count", "int"),
)

KLINE: Final = Measurement("kline", _BAR_TAGS, _BAR_COLUMNS)
KLINE_LIVE: Final = Measurement("kline_live", _BAR_TAGS, _BAR_COLUMNS)
INDICATOR: Final = Measurement("indicator", _BAR_TAGS, ())
INDICATOR_LIVE: Final = Measurement("indicator_live", _BAR_TAGS, ())
TRADE: Final = Measurement(
    "trade",
    ("exchange", "symbol"),
    (Column("trade_id", "int"), *_floats("price", "quantity"), Column("buyer_is_maker", "bool")),
)
TRADE_SUMMARY: Final = Measurement(
    "trade_summary",
    _BAR_TAGS,
    (Column("trade_count", "int"), *_floats("base_volume", "quote_volume", "taker_buy_base_volume", "vwap")),
)
BOOK: Final = Measurement(
    "book",
    ("exchange", "symbol"),
    (
        *_floats("bid", "ask", "mid", "spread", "spread_bps", "imbalance", "bid_depth", "ask_depth"),
        Column("synced", "bool"),
    ),
)
QUOTE: Final = Measurement(
    "quote",
    ("exchange", "symbol"),
    (*_floats("bid_price", "bid_quantity", "ask_price", "ask_quantity"), Column("update_id", "int")),
)
LEDGER: Final = Measurement(
    "ledger",
    ("exchange", "symbol", "stream", "interval"),
    tuple(
        Column(name, "int") for name in ("expected", "stored", "backfilled", "halted", "lost", "duplicates")
    ),
)
# `stream` with the interval of bars in it; `carried` is false while the exchange has what it does not bring.
CARRIAGE: Final = Measurement(
    "carriage",
    ("exchange", "symbol", "stream"),
    (Column("carried", "bool"), Column("since_ms", "int")),
)
FRESHNESS: Final = Measurement(
    "freshness", ("exchange", "stream", "hop", "instance"), _floats("p50", "p95", "p99")
)
SERVICE: Final = Measurement(
    "service",
    ("service", "instance"),
    (
        Column("messages_per_s", "float"),
        Column("lag_messages", "int"),
        Column("lag_seconds", "float"),
        Column("dead_letters", "int"),
        Column("restarts", "int"),
        Column("up", "bool"),
    ),
)

MEASUREMENTS: Final[dict[str, Measurement]] = {
    measurement.name: measurement
    for measurement in (
        KLINE,
        INDICATOR,
        KLINE_LIVE,
        INDICATOR_LIVE,
        TRADE,
        TRADE_SUMMARY,
        BOOK,
        QUOTE,
        LEDGER,
        CARRIAGE,
        FRESHNESS,
        SERVICE,
    )
}
