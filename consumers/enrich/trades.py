"""Trades → `trade` and `trade_summary` points (DESIGN §4.3, §5).

Sums of the last minutes live in memory only and are rebuilt after a restart by re-reading: offsets are
committed up to the first record of the oldest open minute, with the number of that minute as metadata: from
it on every window is complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from consumers.arrival import AHEAD_MS, MAX_TIME_MS, require_arrived
from consumers.enrich.port import Commit, Enriched, Known, Record, Start, StatelessEnricher
from consumers.enrich.trade_windows import MINUTE_MS, SECOND_MS, Minute, Windows
from consumers.measurements import TRADE, TRADE_SUMMARY, Point, Series, Value
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries, PendingEvents
from shared.messages import TradeMessage, decode
from shared.trade_ids import EPOCH_SPAN

_IDS_PER_MS: Final = 1_000_000
# A point without its constructor's call, which would be half of its cost: there is one per trade.
_point = tuple.__new__
# Minutes by which `whole_from` may be ahead of a record's: two as below, and differing clocks of machines.
_COMMITTED_AHEAD: Final = 10
_TOO_LATE: Final = "too late for its trade_summary; the trade itself is stored"


class _Metadata(NamedTuple):
    """Metadata of a committed offset.

    Attributes:
        whole_from: first minute of which every record lies at or after the offset.
        read_before: records before this offset were stored.
    """

    whole_from: int
    read_before: int

    def text(self) -> str:
        return f"minute={self.whole_from} read={self.read_before}"

    @classmethod
    def parse(cls, text: str) -> _Metadata | None:
        """Inverse of `text`; None for any other text."""
        matched = re.fullmatch(r"minute=([0-9]{1,12}) read=([0-9]{1,18})", text)
        return cls(int(matched[1]), int(matched[2])) if matched else None


class StoredTrade(NamedTuple):
    """A trade of the store, to rebuild windows without Kafka's history; `trade_id` is its number."""

    trade_id: int
    trade_time_ms: int
    price: str
    quantity: str
    buyer_is_maker: bool


class _Symbol:
    """One symbol's windows and the tags of its points."""

    __slots__ = (
        "counted",
        "current",
        "current_number",
        "minutes",
        "newest_minute",
        "partition",
        "seconds",
        "seeded",
        "trades",
        "windows",
    )

    def __init__(self, exchange: str, symbol: str, partition: int, whole_from: int | None) -> None:
        self.partition = partition
        self.counted = LedgerSeries(exchange, symbol, "trades")
        self.trades = Series(TRADE, (exchange, symbol))
        self.seconds = Series(TRADE_SUMMARY, (exchange, symbol, "1s"))
        self.minutes = Series(TRADE_SUMMARY, (exchange, symbol, "1m"))
        self.windows = Windows(whole_from)
        # The minute of the last trade, mostly that of the next one too.
        self.current: Minute | None = None
        self.current_number = -1
        self.newest_minute = -1  # of trades that came by stream, in order
        self.seeded = IdRanges()


class TradeEnricher(StatelessEnricher):
    """Each trade is a point; each batch rewrites the windows that it changed.

    Stored and counted is the trade's number (`shared.trade_ids`), which in the first numbering is its id. A
    point's time includes the id's last digits; where ids begin anew, the time itself differs.
    """

    def __init__(self) -> None:
        self._symbols: dict[tuple[str, str], _Symbol] = {}
        self._whole_from: dict[int, int | None] = {}
        self._read_before: dict[int, int] = {}
        self._unknown: set[int] = set()

    def decode(self, topic: str, value: bytes | None) -> TradeMessage:  # noqa: ARG002
        message: TradeMessage = decode("trade", value)
        time_ms = message["trade_time_ms"]
        # The condition of `require_arrived`, inlined for speed.
        if time_ms > message["received_time_ms"] + AHEAD_MS or time_ms > MAX_TIME_MS:
            require_arrived("trade_time_ms", time_ms, message)
        return message

    # -- partitions ------------------------------------------------------------------------------------

    def assign(self, partition: int, known: Known) -> Start:
        start = known.resume
        committed = known.committed or 0
        # Of a topic that was made anew: sums of trades that it does not have are stored.
        anew = committed > known.high or known.proved == 0
        # It holds from any earlier offset too.
        metadata = None if anew or start > committed else _Metadata.parse(known.metadata)
        self._unknown.discard(partition)
        self._whole_from[partition] = metadata.whole_from if metadata else None
        self._read_before[partition] = metadata.read_before if metadata else 0
        if metadata is None and (start > 0 or anew):
            # Earlier records are gone or unknown: the first minute that is read may be incomplete.
            self._unknown.add(partition)
        return Start(start, known.note)

    def revoke(self, partition: int) -> None:
        self._whole_from.pop(partition, None)
        self._read_before.pop(partition, None)
        self._unknown.discard(partition)
        for key in [key for key, symbol in self._symbols.items() if symbol.partition == partition]:
            del self._symbols[key]

    def committable(self, partition: int, position: int) -> Commit:
        """The first record of the oldest minute that may still grow.

        Symbols of a partition advance together: a minute is open for one minute after any symbol began the
        next one, so that an idle symbol does not block commits.
        """
        symbols = [symbol for symbol in self._symbols.values() if symbol.partition == partition]
        whole_from = self._whole_from.get(partition)
        read_before = max(position, self._read_before.get(partition, 0))
        if not symbols:
            return Commit(position, "" if whole_from is None else _Metadata(whole_from, read_before).text())
        newest = max(symbol.newest_minute for symbol in symbols)
        # A minute that made room to a long repair would be read again in part.
        kept_from = max(symbol.windows.kept_from for symbol in symbols)
        oldest_open = max(newest - 1, kept_from, whole_from or 0)
        offset = min(
            (
                minute.first_offset
                for symbol in symbols
                for number, minute in symbol.windows.items()
                if number >= oldest_open and minute.first_offset >= 0
            ),
            default=position,
        )
        return Commit(min(offset, position), _Metadata(oldest_open, read_before).text())

    # -- seeding from the store (memory broker) --------------------------------------------------------

    def unknown_symbols(self, records: Sequence[Record]) -> dict[tuple[str, str], tuple[int, int | None]]:
        """New symbols of the batch, with their partition and its first complete minute; for `seed`."""
        return {
            key: (partition, self._whole_from.get(partition))
            for partition, _, message in records
            if (key := (message["exchange"], message["symbol"])) not in self._symbols
        }

    def seed(
        self, exchange: str, symbol: str, partition: int, first_minute: int, trades: Iterable[StoredTrade]
    ) -> None:
        """Begin a symbol with the store's trades from `first_minute` on; not at all if to read them fails."""
        state = _Symbol(exchange, symbol, partition, first_minute)
        for trade in trades:
            number, second = divmod(trade.trade_time_ms // SECOND_MS, 60)
            minute = state.windows.minute(number, -1)
            if minute is not None:
                minute.add(
                    trade.trade_id, number * 60 + second, trade.price, trade.quantity, trade.buyer_is_maker
                )
                minute.take_touched()
            state.seeded.add(trade.trade_id, trade.trade_id)
        self._symbols[exchange, symbol] = state

    # -- the batch -------------------------------------------------------------------------------------

    def receive(self, records: Sequence[Record], now_ms: int) -> Enriched:  # noqa: ARG002
        points: list[Point] = []
        events = PendingEvents()
        symbols = self._symbols
        batches: dict[_Symbol, list[int]] = {}
        for partition, offset, message in records:
            key = (message["exchange"], message["symbol"])
            symbol = symbols.get(key) or self._first_of(key, partition, message)
            trade_id = number = message["trade_id"]
            if "epoch" in message:
                number += message["epoch"] * EPOCH_SPAN
            time_ms = message["trade_time_ms"]
            price, quantity, is_maker = message["price"], message["quantity"], message["buyer_is_maker"]
            points.append(
                _point(
                    Point,
                    (
                        symbol.trades,
                        time_ms * 1_000_000 + trade_id % _IDS_PER_MS,
                        (number, float(price), float(quantity), is_maker),
                    ),
                )
            )
            ids = batches.get(symbol)
            if ids is None:
                ids = batches[symbol] = []
            ids.append(number)
            second = time_ms // SECOND_MS
            minute_number = second // 60
            if minute_number > symbol.newest_minute and message["source"] != "backfill":
                symbol.newest_minute = minute_number
            minute = symbol.current
            if minute is None or minute_number != symbol.current_number:
                minute = symbol.current = symbol.windows.minute(minute_number, offset)
                symbol.current_number = minute_number
            if minute is None:
                if offset < self._read_before.get(partition, 0):
                    continue  # re-read after a restart; it was in time before
                events.add(symbol.counted, "late", number, number, _TOO_LATE)
            elif not minute.add(number, second, price, quantity, is_maker) and number not in symbol.seeded:
                events.add(symbol.counted, "duplicate", number, number)
        for symbol, ids in batches.items():
            events.add_ranges(symbol.counted, "stored", _runs(ids))
            points += _summaries(symbol)
        return Enriched(points, events)

    def ledger_id(self, point: Point) -> tuple[LedgerSeries, int] | None:
        if point.series.measurement is not TRADE:
            return None
        exchange, symbol = point.series.tags
        trade_id = point.values[0]
        assert isinstance(trade_id, int)
        return LedgerSeries(exchange, symbol, "trades"), trade_id

    def _first_of(self, key: tuple[str, str], partition: int, message: TradeMessage) -> _Symbol:
        whole_from = self._whole_from.get(partition)
        arrival_ms = max(message["trade_time_ms"], message["received_time_ms"])
        if whole_from is not None and whole_from > arrival_ms // MINUTE_MS + _COMMITTED_AHEAD:
            # Committed after a future trade was accepted: windows read since may be incomplete.
            self._unknown.add(partition)
        if partition in self._unknown:
            # Two minutes later, since symbols of a partition are seconds apart; by the time of arrival, since
            # repaired trades are old.
            whole_from = self._whole_from[partition] = arrival_ms // MINUTE_MS + 2
            self._unknown.discard(partition)
        symbol = self._symbols[key] = _Symbol(*key, partition, whole_from)
        return symbol


def _summaries(symbol: _Symbol) -> list[Point]:
    points = []
    for number, minute, seconds in symbol.windows.changed():
        for second in seconds:
            values: tuple[Value, ...] = minute.seconds[second].values()
            points.append(Point(symbol.seconds, second * SECOND_MS * 1_000_000, values))
        points.append(Point(symbol.minutes, number * MINUTE_MS * 1_000_000, minute.total().values()))
    return points


def _runs(ids: list[int]) -> list[tuple[int, int]]:
    """Ids in the order of arrival as ranges; few, since trades come in order."""
    runs: list[tuple[int, int]] = []
    first = last = ids[0]
    for trade_id in ids:
        if trade_id - last > 1 or trade_id < first:
            runs.append((first, last))
            first = last = trade_id
        elif trade_id > last:
            last = trade_id
    runs.append((first, last))
    return runs
