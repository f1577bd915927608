"""REST's database of a recording: the readable records that were played."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Context, Decimal
from typing import Any, Final

from simulator.exchange import AggregateRow, KlineRow, Quotes, Span, TradeRow
from simulator.recordings.temporary import Temporary
from simulator.recordings.trade_windows import Minutes, Sums, total

_EIGHT_PLACES: Final = Decimal("1.00000000")
# ASCII only: Decimal accepts exponents and any digits of Unicode.
_NUMBER: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_LARGEST_ID: Final = 2**53
_EXACT: Final = Context(prec=100)
# The recorder's clock may have been behind the exchange's.
_CLOCKS_APART_MS: Final = 60_000


_SCHEMA: Final = """
CREATE TABLE trade (symbol TEXT, numbering INTEGER, trade_id INTEGER, price TEXT, quantity TEXT,
    quote_quantity TEXT, time_ms INTEGER, buyer_is_maker INTEGER,
    PRIMARY KEY (symbol, numbering, trade_id)) WITHOUT ROWID;
CREATE INDEX trade_by_time ON trade (symbol, time_ms);
CREATE TABLE aggregate (symbol TEXT, aggregate_id INTEGER, price TEXT, quantity TEXT, first_id INTEGER,
    last_id INTEGER, time_ms INTEGER, buyer_is_maker INTEGER,
    PRIMARY KEY (symbol, aggregate_id)) WITHOUT ROWID;
CREATE INDEX aggregate_by_time ON aggregate (symbol, time_ms);
CREATE TABLE kline (symbol TEXT, interval TEXT, open_ms INTEGER, open TEXT, high TEXT, low TEXT, close TEXT,
    base TEXT, close_ms INTEGER, quote TEXT, count INTEGER, buy_base TEXT, buy_quote TEXT,
    PRIMARY KEY (symbol, interval, open_ms)) WITHOUT ROWID;
CREATE TABLE unreadable (stream TEXT, identity INTEGER, PRIMARY KEY (stream, identity)) WITHOUT ROWID;
"""
_NEW_TRADE: Final = "INSERT OR IGNORE INTO trade VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_NEW_AGGREGATE: Final = "INSERT OR IGNORE INTO aggregate VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_NEW_KLINE: Final = "INSERT OR REPLACE INTO kline VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TRADE: Final = "trade_id, price, quantity, quote_quantity, time_ms, buyer_is_maker"


class PlayedRecords:
    """The exchange's database of a replay, on disk: a day of a few symbols has some million trades.

    A frame that no exchange would send is played as recorded, but not stored here.

    Attributes:
        quotes: by symbol, the newest.
        newest_ms: by stream, the receive time of the newest readable frame.
        newest_trades: by symbol, the id of the newest trade.
        newest_bars: by (symbol, interval), the open time of the newest bar.
        unreadable: by stream, the number of frames that cannot be stored.
    """

    def __init__(self) -> None:
        self.quotes: dict[str, Quotes] = {}
        self.newest_ms: dict[str, int] = {}
        self.newest_bars: dict[tuple[str, str], int] = {}
        self._tables = Temporary(_SCHEMA)
        # By symbol: the newest numbering of its trades, and its newest trade, (id, time).
        self._numbering: defaultdict[str, int] = defaultdict(int)
        self._newest: dict[str, tuple[int, int]] = {}
        self._minutes: defaultdict[str, Minutes] = defaultdict(Minutes)
        # By stream, number of records of which no readable frame was played yet.
        self._unreadable: dict[str, int] = {}

    @property
    def newest_trades(self) -> dict[str, int]:
        return {symbol: trade_id for symbol, (trade_id, _) in self._newest.items()}

    @property
    def unreadable(self) -> dict[str, int]:
        return {stream: count for stream, count in self._unreadable.items() if count}

    # --- what is entered -----------------------------------------------------------------------------------

    def archive(self, symbol: str, interval: str, rows: Iterable[KlineRow]) -> None:
        """Enter bars that are known from the start."""
        for row in rows:
            self._enter_kline(symbol, interval, row)

    def learn(self, stream: str, event: Mapping[str, Any], received_ms: int) -> bool:
        """Enter an event; False if it is not readable."""
        match event.get("e"):
            case "trade":
                readable = self._trade(event)
            case "aggTrade":
                readable = self._aggregate(event)
            case "kline":
                readable = self._kline(event, received_ms)
            case "depthUpdate":
                readable = _text(event, "s") and _ids(event, "U", "u") and _ids(event, "E")
            case None if stream.endswith("@bookTicker"):
                readable = self._quote(event)
            case _:
                return True
        if readable:
            self.newest_ms[stream] = received_ms
        self._note_readability(stream, _identity(event), readable=readable)
        return readable

    def _note_readability(self, stream: str, identity: int, *, readable: bool) -> None:
        """Count an unreadable frame, until a readable one of the same identity comes."""
        bad = self._unreadable.get(stream, 0)
        if readable:
            if bad and identity >= 0:
                query = "DELETE FROM unreadable WHERE stream = ? AND identity = ?"
                self._unreadable[stream] = bad - self._tables.do(query, (stream, identity))
            return
        row = (stream, identity if identity >= 0 else -1 - bad)
        self._unreadable[stream] = bad + self._tables.do(
            "INSERT OR IGNORE INTO unreadable VALUES (?, ?)", row
        )

    def _trade(self, event: Mapping[str, Any]) -> bool:
        if not (_text(event, "s") and _ids(event, "t", "T", "E") and _numbers(event, "p", "q")):
            return False
        if type(event.get("m")) is not bool:
            return False
        quote = _EXACT.quantize(_EXACT.multiply(Decimal(event["p"]), Decimal(event["q"])), _EIGHT_PLACES)
        row = TradeRow(event["t"], event["p"], event["q"], str(quote), event["T"], event["m"])
        symbol = event["s"]
        newest = self._newest.get(symbol)
        if newest is None or row.trade_id > newest[0]:
            self._newest[symbol] = row.trade_id, row.trade_time_ms
        elif row.trade_time_ms > newest[1]:
            # A lower id at a later time: a new numbering, of which alone REST gives trades by id.
            self._numbering[symbol] += 1
            self._newest[symbol] = row.trade_id, row.trade_time_ms
        elif self._knows(symbol, row.trade_id):
            return True
        self._tables.add(_NEW_TRADE, (symbol, self._numbering[symbol], *row))
        self._minutes[symbol].add(row)
        return True

    def _knows(self, symbol: str, trade_id: int) -> bool:
        query = "SELECT 1 FROM trade WHERE symbol = ? AND numbering = ? AND trade_id = ?"
        return self._tables.row(query, (symbol, self._numbering[symbol], trade_id)) is not None

    def _aggregate(self, event: Mapping[str, Any]) -> bool:
        if not (_text(event, "s") and _ids(event, "a", "f", "l", "T") and _numbers(event, "p", "q")):
            return False
        ids = event["a"], event["p"], event["q"], event["f"], event["l"], event["T"]
        row = AggregateRow(*ids, buyer_is_maker=event.get("m") is True)
        self._tables.add(_NEW_AGGREGATE, (event["s"], *row))
        return True

    def _kline(self, event: Mapping[str, Any], received_ms: int) -> bool:
        bar = event.get("k")
        if not (_text(event, "s") and isinstance(bar, dict) and _text(bar, "i") and _ids(bar, "t", "T", "n")):
            return False
        if not _numbers(bar, "o", "h", "l", "c", "v", "q", "V", "Q"):
            return False
        # A bar that ends after it was received is wrong: no database has it.
        if bar.get("x") is True and bar["T"] <= received_ms + _CLOCKS_APART_MS:
            self._enter_kline(event["s"], bar["i"], KlineRow.of_event(bar))
        return True

    def _enter_kline(self, symbol: str, interval: str, row: KlineRow) -> None:
        self._tables.add(_NEW_KLINE, (symbol, interval, *row))
        newest_ms = self.newest_bars.get((symbol, interval), row.open_time_ms)
        self.newest_bars[symbol, interval] = max(newest_ms, row.open_time_ms)

    def _quote(self, event: Mapping[str, Any]) -> bool:
        if not (_text(event, "s") and _ids(event, "u") and _numbers(event, "b", "B", "a", "A")):
            return False
        self.quotes[event["s"]] = Quotes(event["b"], event["B"], event["a"], event["A"])
        return True

    # --- what is asked -------------------------------------------------------------------------------------

    def klines(self, symbol: str, interval: str, span: Span) -> Iterator[KlineRow]:
        """Bars of a span, without its limit: from its start on, or the newest first if it has none."""
        begin_ms = -_LARGEST_ID if span.start_ms is None else span.start_ms
        end_ms = _LARGEST_ID if span.end_ms is None else span.end_ms
        query = (
            "SELECT open_ms, open, high, low, close, base, close_ms, quote, count, buy_base, buy_quote"
            " FROM kline WHERE symbol = ? AND interval = ? AND open_ms BETWEEN ? AND ?"
            f" ORDER BY open_ms {'DESC' if span.start_ms is None else 'ASC'}"
        )
        return map(KlineRow._make, self._tables.rows(query, (symbol, interval, begin_ms, end_ms)))

    def newest(self, symbol: str, limit: int) -> list[TradeRow]:
        """The newest trades, in their order."""
        query = f"SELECT {_TRADE} FROM trade WHERE symbol = ? ORDER BY numbering DESC, trade_id DESC LIMIT ?"
        return [_trade_row(row) for row in self._tables.rows(query, (symbol, limit))][::-1]

    def from_id(self, symbol: str, first: int, limit: int) -> list[TradeRow]:
        """Trades of the newest numbering from an id on."""
        query = (
            f"SELECT {_TRADE} FROM trade WHERE symbol = ? AND numbering = ? AND trade_id >= ?"
            " ORDER BY trade_id LIMIT ?"
        )
        found = self._tables.rows(query, (symbol, self._numbering[symbol], first, limit))
        return [_trade_row(row) for row in found]

    def aggregates(self, symbol: str, from_id: int | None, span: Span) -> list[AggregateRow]:
        newest_first = from_id is None and span.start_ms is None
        key = "aggregate_id" if from_id is not None else "time_ms"
        order = f"{key} DESC, aggregate_id DESC" if newest_first else f"{key}, aggregate_id"
        query = (
            "SELECT aggregate_id, price, quantity, first_id, last_id, time_ms, buyer_is_maker FROM aggregate"
            " WHERE symbol = ? AND aggregate_id >= ? AND time_ms BETWEEN ? AND ?"
            f" ORDER BY {order} LIMIT ?"
        )
        begin_ms = -_LARGEST_ID if span.start_ms is None else span.start_ms
        end_ms = _LARGEST_ID if span.end_ms is None else span.end_ms
        found = self._tables.rows(query, (symbol, from_id or 0, begin_ms, end_ms, span.limit))
        rows = [_aggregate_row(row) for row in found]
        return rows[::-1] if newest_first else rows

    def window(self, symbol: str, from_ms: int) -> tuple[Sums | None, str | None]:
        """Sums of the trades from a time on, at most a day ago, and the price of the one before them."""
        whole_ms, whole = self._minutes[symbol].whole_from(from_ms)
        within = (
            f"SELECT {_TRADE} FROM trade WHERE symbol = ? AND time_ms >= ? AND time_ms < ?"
            " ORDER BY time_ms, numbering, trade_id"
        )
        begun = [Sums.of(_trade_row(row)) for row in self._tables.rows(within, (symbol, from_ms, whole_ms))]
        before = self._tables.row(
            "SELECT price FROM trade WHERE symbol = ? AND time_ms < ?"
            " ORDER BY time_ms DESC, numbering DESC, trade_id DESC LIMIT 1",
            (symbol, from_ms),
        )
        return total([*begun, *whole]), None if before is None else before[0]


def _trade_row(row: tuple[Any, ...]) -> TradeRow:
    trade = TradeRow._make(row)
    return trade._replace(buyer_is_maker=bool(trade.buyer_is_maker))


def _aggregate_row(row: tuple[Any, ...]) -> AggregateRow:
    aggregate = AggregateRow._make(row)
    return aggregate._replace(buyer_is_maker=bool(aggregate.buyer_is_maker))


def _identity(event: Mapping[str, Any]) -> int:
    """Identifies a record within its stream; negative if the event has no identity."""
    bar = event.get("k")
    value = bar.get("t") if isinstance(bar, dict) else event.get("t", event.get("u"))
    return value if type(value) is int and 0 <= value < _LARGEST_ID else -1


def _text(fields: Mapping[str, Any], name: str) -> bool:
    return type(fields.get(name)) is str


def _ids(fields: Mapping[str, Any], *names: str) -> bool:
    """Whether the fields are plausible ids or times."""
    return all(type(value := fields.get(name)) is int and 0 <= value < _LARGEST_ID for name in names)


def _numbers(fields: Mapping[str, Any], *names: str) -> bool:
    return all(
        type(value := fields.get(name)) is str and _NUMBER.fullmatch(value) is not None for name in names
    )
