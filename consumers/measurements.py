"""Points of a store, and their measurements, declared once (DESIGN §4.3).

Line protocol, SQL tables, queries and tests are derived from the table of measurements: tags, typed columns,
bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

ColumnType = Literal["float", "int", "bool", "string"]
BucketRole = Literal["market", "ticks"]
Delivery = Literal["exact", "tape", "latest"]
Value = float | int | bool | str | None


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
        delivery: how rows are pushed to viewers: all in order, the newest with a count of the others, or only
            the newest of each series.
    """

    name: str
    tags: tuple[str, ...]
    columns: tuple[Column, ...]
    delivery: Delivery = "latest"

    def with_columns(self, names: tuple[str, ...]) -> Measurement:
        """The same measurement with float64 columns of these names (the indicators in use)."""
        return Measurement(self.name, self.tags, _floats(*names), self.delivery)

    def bucket(self, tags: tuple[str, ...]) -> BucketRole:
        """The bucket of a series of this measurement: second data expires, the rest stays."""
        if self.name in _IN_TICKS:
            return "ticks"
        if self.name in _BY_INTERVAL and tags[self.tags.index("interval")] == "1s":
            return "ticks"
        return "market"


def _floats(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "float") for name in names)


def _strings(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "string") for name in names)


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

KLINE: Final = Measurement("kline", _BAR_TAGS, _BAR_COLUMNS, "exact")
KLINE_LIVE: Final = Measurement("kline_live", _BAR_TAGS, _BAR_COLUMNS)
INDICATOR: Final = Measurement("indicator", _BAR_TAGS, (), "exact")
INDICATOR_LIVE: Final = Measurement("indicator_live", _BAR_TAGS, ())
TRADE: Final = Measurement(
    "trade",
    ("exchange", "symbol"),
    (Column("trade_id", "int"), *_floats("price", "quantity"), Column("buyer_is_maker", "bool")),
    "tape",
)
TRADE_SUMMARY: Final = Measurement(
    "trade_summary",
    _BAR_TAGS,
    (Column("trade_count", "int"), *_floats("base_volume", "quote_volume", "taker_buy_base_volume", "vwap")),
    "exact",
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
    "exact",
)
# `stream` includes the interval of bars; `carried` is false while the stream lacks data that the exchange
# has.
CARRIAGE: Final = Measurement(
    "carriage", ("exchange", "symbol", "stream"), (Column("carried", "bool"), Column("since_ms", "int"))
)
FRESHNESS: Final = Measurement(
    "freshness", ("exchange", "stream", "hop", "instance"), _floats("p50", "p95", "p99")
)
# A point where a producer learns something new of an instrument from its exchange; its time is the exchange's
# then. `alias` is the symbol whose messages the exchange sends in its place; the last four are the exchange's
# promises (`docs/exchanges.md`), by their words in its declaration.
INSTRUMENT: Final = Measurement(
    "instrument",
    ("exchange", "symbol"),
    (
        *_strings("base", "quote"),
        *_floats("tick", "lot"),
        *_strings("alias", "status", "trades_repaired_by", "bars_from", "book_proved_by", "quotes_from"),
    ),
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
        INSTRUMENT,
        SERVICE,
    )
}


@dataclass(frozen=True, slots=True)
class Series:
    """A measurement with its tag values. Builders share one among all points of an instrument.

    Attributes:
        tags: values of `measurement.tags`, in that order; "" where a tag does not apply (a trade ledger has
            no interval), which line protocol omits.
    """

    measurement: Measurement
    tags: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.tags) != len(self.measurement.tags):
            raise ValueError(f"{self.measurement.name} has the tags {self.measurement.tags}, got {self.tags}")


class SeriesByTags(dict[tuple[str, ...], Series]):
    """The series of one measurement by their tags, made at first use."""

    def __init__(self, measurement: Measurement) -> None:
        super().__init__()
        self._measurement = measurement

    def __missing__(self, tags: tuple[str, ...]) -> Series:
        series = self[tags] = Series(self._measurement, tags)
        return series


class Point(NamedTuple):
    """One point; (series, time_ns) is its identity: writing it twice is writing it once.

    Attributes:
        time_ns: nanoseconds since the epoch, UTC.
        values: as many as the measurement has columns. None, NaN, ±inf and "" are omitted (NULL in SQL).
    """

    series: Series
    time_ns: int
    values: tuple[Value, ...]
