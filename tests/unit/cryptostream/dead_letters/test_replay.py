"""Replays between a broker that keeps what it is sent and a real store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import orjson
import pytest

from consumers.batch_write import described
from consumers.measurements import (
    BOOK,
    INDICATOR,
    KLINE,
    KLINE_LIVE,
    LEDGER,
    QUOTE,
    TRADE,
    TRADE_SUMMARY,
    Measurement,
    Point,
    Series,
    Value,
)
from consumers.stores.port import Reader, Row, Store
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from cryptostream.dead_letters.dead_letter_topic import DeadLetter, Known, Position, was_replayed
from cryptostream.dead_letters.outcomes import Obsolete, Outcome, StillBroken, StorePoint
from cryptostream.dead_letters.replay import Replay
from cryptostream.dead_letters.replay_marks import ReplayMark, decode_mark, partition_of_mark
from producers.publisher import Publisher
from shared.dead_letters import Origin
from shared.errors import StoreMisconfigured
from shared.topics import LEDGER as LEDGER_TOPIC
from shared.topics import PROGRESS, TRADES, klines_topic
from tests.builders import NOW_MS, trade


class Broker:
    """Takes the records of a replay."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes | None, bytes]] = []

    def send(self, topic: str, key: bytes | None, value: bytes) -> None:
        self.records.append((topic, key, value))

    def flush_now(self, _timeout_s: float) -> None:
        """Everything is acknowledged."""

    def of(self, topic: str) -> list[Any]:
        return [orjson.loads(value) for name, _, value in self.records if name == topic]

    @property
    def marks(self) -> Mapping[int, ReplayMark]:
        return {
            partition: decode_mark(value)
            for topic, key, value in self.records
            if topic == PROGRESS and (partition := partition_of_mark(key)) is not None
        }


def nowhere() -> Any:
    raise AssertionError("no point is replayed")


def replayed(
    letters: Sequence[DeadLetter],
    broker: Broker,
    known: Mapping[int, ReplayMark] = MappingProxyType({}),
    store: Callable[[], Store] = nowhere,
    reader: Callable[[], Reader] = nowhere,
) -> list[Outcome]:
    taker = cast(Publisher, broker)
    fresh = [letter for letter in letters if not was_replayed(letter, known)]
    with closing(Replay(taker, Known(dict(known), {}), {}, open_store=store, open_reader=reader)) as replay:
        return [done.outcome for done in replay.run(fresh)]


def record(offset: int, time_ms: int, trade_id: int) -> DeadLetter:
    origin = Origin("a rule that was wrong", TRADES, 0, offset, "consumer-trades")
    value = orjson.dumps(trade(trade_id=trade_id))
    return DeadLetter(Position(2, offset), time_ms, b"binance:BTCUSDC", value, origin)


def test_a_second_replay_does_nothing() -> None:
    letters = [record(offset, NOW_MS + offset // 3, 10 + offset) for offset in range(1_200)]
    broker = Broker()
    assert len(replayed(letters, broker)) == 1_200
    assert replayed(letters, broker, broker.marks) == []


def test_letters_of_a_topic_that_was_made_anew_are_replayed_whatever_was_replayed_of_the_former() -> None:
    broker = Broker()
    replayed([record(offset, NOW_MS, offset) for offset in range(500)], broker)
    anew = [record(offset, NOW_MS + 60_000 + offset, 1_000 + offset) for offset in range(20)]
    known = broker.marks
    broker.records.clear()
    assert len(replayed(anew, broker, known)) == 20
    assert [message["trade_id"] for message in broker.of(TRADES)] == list(range(1_000, 1_020))
    assert replayed(anew, broker, broker.marks) == []


MINUTE_NS = 1_700_000_040_000 * 10**6  # long ago by any host's clock
TAGS = ("binance", "BTCUSDC", "1m")
WINDOW = Series(TRADE_SUMMARY, TAGS)
BARS = Series(KLINE, TAGS)


def sums(trades: int, time_ns: int = MINUTE_NS) -> Point:
    """The sums of a window with so many trades of 1 at 100."""
    return Point(WINDOW, time_ns, (trades, float(trades), 100.0 * trades, 0.0, 100.0))


def bar(close: float) -> Point:
    return Point(BARS, MINUTE_NS, (100.0, 110.0, 90.0, close, 1.0, 100.0, 0.5, 50.0, 2))


def refused(point: Point, offset: int = 0, source: str = TRADES) -> DeadLetter:
    """The letter of a point that the store refused, as a consumer writes it."""
    origin = Origin("422", source, -1, -1, "consumer")
    return DeadLetter(Position(0, offset), NOW_MS, None, orjson.dumps(described(point)), origin)


class Sqlite:
    """A store in a file, with points in it."""

    def __init__(self, directory: Path, *points: Point) -> None:
        self._path = directory / "store.db"
        with closing(self.store()) as store:
            store.write(points)

    def store(self) -> Store:
        return SqliteStore(self._path, ticks_expiry_ns=None)

    def reader(self) -> Reader:
        return SqliteReader(self._path)

    def rows(self, point: Point) -> list[Row]:
        with closing(self.reader()) as reader:
            return list(reader.read(point.series.measurement.name, {}))

    def replay(self, *points: Point, source: str = TRADES) -> list[Outcome]:
        letters = [refused(point, offset, source) for offset, point in enumerate(points)]
        return replayed(letters, Broker(), store=self.store, reader=self.reader)


def test_sums_of_a_window_that_has_grown_since_are_not_replayed(tmp_path: Path) -> None:
    sqlite = Sqlite(tmp_path, sums(500))
    (outcome,) = sqlite.replay(sums(3))
    assert outcome == Obsolete("the store has its window with 500 trades, and this is one of 3")
    assert [row["trade_count"] for row in sqlite.rows(sums(3))] == [500]


def test_of_several_sums_of_a_window_the_largest_stays_in_whatever_order_they_come(tmp_path: Path) -> None:
    sqlite = Sqlite(tmp_path)
    outcomes = sqlite.replay(sums(3), sums(500), sums(100), sums(500))
    assert [type(outcome) for outcome in outcomes] == [StorePoint, StorePoint, Obsolete, Obsolete]
    assert [(row["trade_count"], row["quote_volume"]) for row in sqlite.rows(sums(3))] == [(500, 50_000.0)]


def test_sums_of_a_window_that_its_consumer_may_write_meanwhile_wait(tmp_path: Path) -> None:
    sqlite = Sqlite(tmp_path)
    (outcome,) = sqlite.replay(sums(3, time.time_ns() // (60 * 10**9) * 60 * 10**9))
    assert isinstance(outcome, StillBroken)
    assert "replay it after 12 minutes" in outcome.reason
    assert sqlite.rows(sums(3)) == []


def test_a_bar_replaces_no_other_one_and_says_what_does(tmp_path: Path) -> None:
    sqlite = Sqlite(tmp_path, bar(101.0))
    (outcome,) = sqlite.replay(bar(99.0), source=klines_topic("1m"))
    assert isinstance(outcome, StillBroken)
    assert "with close 101.0 in place of 99.0" in outcome.reason
    assert "`cryptostream repair binance:BTCUSDC klines 1m --indicators`" in outcome.reason
    assert [row["close"] for row in sqlite.rows(bar(0.0))] == [101.0]


@pytest.mark.parametrize(
    ("measurement", "tags", "values"),
    [
        (INDICATOR.with_columns(("momentum_rsi",)), TAGS, (50.0,)),
        (QUOTE, TAGS[:2], (1.0, 2.0, 3.0, 4.0, 17)),
        (BOOK, TAGS[:2], (1.0, 2.0, 1.5, 1.0, 2.0, 0.5, 3.0, 4.0, True)),
    ],
)
def test_values_of_a_moment_are_stored_once_where_there_are_none(
    tmp_path: Path, measurement: Measurement, tags: tuple[str, ...], values: tuple[Value, ...]
) -> None:
    sqlite = Sqlite(tmp_path)
    point = Point(Series(measurement, tags), MINUTE_NS, values)
    differing = point._replace(values=(9.5, *values[1:]))
    outcomes = sqlite.replay(point, point, differing)
    assert [type(outcome) for outcome in outcomes] == [StorePoint, StorePoint, StillBroken]
    (row,) = sqlite.rows(point)
    assert row[measurement.columns[0].name] == values[0]


def test_a_point_takes_away_nothing_that_it_leaves_out(tmp_path: Path) -> None:
    sqlite = Sqlite(tmp_path, bar(99.0))
    (outcome,) = sqlite.replay(bar(99.0)._replace(values=(None, *bar(99.0).values[1:])))
    assert isinstance(outcome, StorePoint)
    assert sqlite.rows(bar(0.0))[0]["open"] == 100.0


def test_rows_of_the_ledger_and_open_bars_are_never_replayed() -> None:
    row = Point(Series(LEDGER, ("binance", "BTCUSDC", "trades", "")), MINUTE_NS, (100, 100, 0, 0, 0, 0))
    live = Point(Series(KLINE_LIVE, TAGS), MINUTE_NS, bar(1.0).values)
    of_ledger, of_open_bar = replayed([refused(row, 0, LEDGER_TOPIC), refused(live, 1)], Broker())
    assert isinstance(of_ledger, StillBroken)
    assert "`cryptostream ledger` counts by the events" in of_ledger.reason
    assert isinstance(of_open_bar, Obsolete)


def test_a_store_that_may_only_be_written_takes_trades_alone(tmp_path: Path) -> None:
    def no_reader() -> Reader:
        raise StoreMisconfigured("INFLUX_TOKEN: may not read")

    sold = Point(Series(TRADE, TAGS[:2]), MINUTE_NS, (4, 1.5, 2.0, True))
    letters = [refused(sold), refused(sums(3), 1)]
    of_trade, of_sums = replayed(letters, Broker(), store=Sqlite(tmp_path).store, reader=no_reader)
    assert isinstance(of_trade, StorePoint)
    assert of_sums == StillBroken(
        "whether the store has a newer one cannot be read: INFLUX_TOKEN: may not read"
    )
