"""Fills and following are joined without a seam, whatever comes when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from consumers.tap import keyed
from consumers.tap.books import QuoteTap
from consumers.tap.fill import FilledSeries, Filling
from consumers.tap.kafka import Incarnation, Incarnations
from consumers.tap.keyed import KeyedWork
from consumers.tap.port import Arrived, Event, Filled, Source
from consumers.tap.reading import PartitionReader
from consumers.tap.records import BadRecords, RawRecord, SeriesRows
from consumers.tap.series import LiveSeries
from consumers.tap.trades import TradeTap
from shared.errors import BrokerUnavailable
from shared.topics import TRADES
from tests.builders import trade
from tests.unit.consumers.tap.partitions import FakePartitions

KEY, TAGS = b"binance:BTCUSDC", ("binance", "BTCUSDC")
SERIES = LiveSeries("trade", TAGS)


class FakeMessage:
    def __init__(self, key: bytes, offset: int, message: Any) -> None:
        self._key, self._offset, self._message = key, offset, message

    def key(self) -> bytes:
        return self._key

    def topic(self) -> str:
        return TRADES

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._message if isinstance(self._message, bytes) else orjson.dumps(self._message)


class FakeConsumer:
    def get_watermark_offsets(self, at: Any, timeout: float) -> tuple[int, int]:
        return 0, 17


class Tapped:
    """A work on one partition of trades, whose fills run when the test says so."""

    def __init__(self, memory_broker: bool = False) -> None:
        self.partitions = FakePartitions()
        self.jobs: list[Callable[[PartitionReader], None]] = []
        self.wanted: list[Callable[[], bool]] = []  # of all jobs so far
        self.refusals = 0
        self.bad = BadRecords()
        self.followed = 0
        self.events: list[Event] = []
        self.forgotten: list[bytes] = []
        self.room = True
        self.work = KeyedWork(
            (TRADES,),
            ("trade",),
            self._fill,
            self._run_job,
            self.forgotten.append,
            memory_broker=memory_broker,
        )
        self.begin("aaaaaa")

    def begin(self, epoch: str) -> Any:
        consumer: Any = FakeConsumer()
        return self.work.begin(consumer, {TRADES: Incarnation(epoch, 1)})

    def produce(self, count: int, key: bytes = KEY) -> None:
        at = self.partitions.bounds((TRADES, 0))[1]
        self.partitions.add(TRADES, key, [trade(trade_id=at + number) for number in range(count)])

    def follow(self, count: int | None = None) -> None:
        """Give the follower its next records."""
        records = self.partitions.keyed(TRADES)[self.followed :][:count]
        messages: Any = [
            FakeMessage(key, self.followed + at, value) for at, (key, value) in enumerate(records)
        ]
        self.followed += len(messages)
        self.events += self.work.receive(messages)

    def fill(self) -> None:
        """Run the fill that was asked for first."""
        self.jobs.pop(0)(self.partitions)

    def ids(self) -> list[Any]:
        """Ids of the rows as a viewer has them."""
        rows: list[Any] = []
        for event in self.events:
            if isinstance(event, Filled):
                rows = list(event.rows)
            elif isinstance(event, Arrived) and event.series == SERIES:
                rows += event.rows
        return [row.values[0] for row in rows]

    def _run_job(
        self,
        key: bytes,
        incarnations: Incarnations,
        job: Callable[[PartitionReader], None],
        is_wanted: Callable[[], bool],
    ) -> bool:
        assert incarnations[TRADES].partitions == 1 and is_wanted()
        if self.room:
            self.jobs.append(job)
            self.wanted.append(is_wanted)
        return self.room

    def _fill(self, reader: PartitionReader, key: bytes) -> Filling:
        if self.refusals:
            self.refusals -= 1
            raise BrokerUnavailable("away")
        at = reader.partition(TRADES, key)
        low, end = reader.bounds(at)
        tap = TradeTap(TAGS, whole=True, bad=self.bad)
        given = tap.receive(list(reader.read(at, low, end, key)))
        rows = tuple(row for one in given if one.series == SERIES for row in one.rows)
        return Filling(tap, (FilledSeries(SERIES, at, rows, low, end),), {at: end})


def test_nothing_is_decoded_before_anybody_views_it() -> None:
    tapped = Tapped()
    tapped.partitions.add(TRADES, KEY, [b"not JSON"] * 3)
    tapped.follow()
    assert tapped.events == [] and tapped.jobs == [] and tapped.bad.count == 0


def test_a_key_that_is_asked_for_twice_is_filled_once() -> None:
    tapped = Tapped()
    tapped.produce(5)
    for _ in range(2):
        tapped.work.activate(KEY)
        tapped.follow(0)
    assert len(tapped.jobs) == 1
    tapped.fill()
    tapped.follow()
    (filled,) = tapped.events
    assert isinstance(filled, Filled)
    assert (filled.source, filled.low, filled.end) == (Source(TRADES, 0, "aaaaaa"), 0, 5)


@given(st.lists(st.tuples(st.sampled_from(("produce", "foreign", "follow", "fill")), st.integers(1, 5))))
def test_no_record_is_lost_or_doubled_at_the_seam(steps: Sequence[tuple[str, int]]) -> None:
    tapped = Tapped()
    tapped.work.activate(KEY)
    for step, count in steps:
        match step:
            case "produce":
                tapped.produce(count)
            case "foreign":
                tapped.partitions.add(TRADES, b"binance:OTHER", [b"not JSON"] * count)
            case "follow":
                tapped.follow(count)
            case _ if tapped.jobs:
                tapped.fill()
    tapped.follow(0)
    if tapped.jobs:
        tapped.fill()
    tapped.follow()
    ours = [at for at, (key, _) in enumerate(tapped.partitions.keyed(TRADES)) if key == KEY]
    assert tapped.ids() == ours and tapped.bad.count == 0


def test_a_fill_that_the_broker_refuses_is_tried_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(keyed, "_AGAIN_S", 0.0)
    tapped = Tapped()
    tapped.refusals = 1
    tapped.produce(3)
    tapped.work.activate(KEY)
    tapped.follow()
    tapped.fill()
    tapped.produce(2)
    tapped.follow()
    tapped.fill()
    tapped.follow()
    assert tapped.ids() == [0, 1, 2, 3, 4]


def test_too_many_waiting_records_begin_the_fill_anew(monkeypatch: Any) -> None:
    monkeypatch.setattr(keyed, "_MAX_WAITING", 10)
    tapped = Tapped()
    tapped.work.activate(KEY)
    tapped.follow()
    tapped.produce(11)
    tapped.follow()
    assert len(tapped.jobs) == 2
    tapped.fill()  # void
    tapped.follow()
    assert tapped.events == []
    tapped.fill()
    tapped.follow()
    assert tapped.ids() == list(range(11))


def test_a_topic_made_anew_fills_every_key_again_under_another_epoch() -> None:
    tapped = Tapped()
    tapped.produce(4)
    tapped.work.activate(KEY)
    tapped.follow()
    tapped.fill()
    tapped.follow()
    tapped.partitions, tapped.followed = FakePartitions(), 0
    tapped.produce(2)
    assert tapped.begin("bbbbbb") == {(TRADES, 0): 17}
    tapped.follow()
    tapped.fill()
    tapped.follow()
    epochs = [event.source.epoch for event in tapped.events if isinstance(event, Filled) and event.source]
    assert epochs == ["aaaaaa", "bbbbbb"] and tapped.ids() == [0, 1]


def test_the_memory_broker_is_followed_from_its_first_record() -> None:
    assert set(Tapped(memory_broker=True).begin("aaaaaa").values()) == {-2}


def test_rows_carry_the_offset_that_comes_next() -> None:
    tap = QuoteTap(TAGS, BadRecords())
    assert tap.receive([]) == []
    (given,) = TradeTap(TAGS, whole=False, bad=BadRecords()).receive(
        [RawRecord(TRADES, 0, 41, orjson.dumps(trade()))]
    )
    assert isinstance(given, SeriesRows) and given.end == 42


# Keys that are dropped, and pools without room.


def test_a_key_that_is_dropped_is_not_followed_and_its_fill_is_void() -> None:
    tapped = Tapped()
    tapped.produce(3)
    tapped.work.activate(KEY)
    tapped.follow()
    tapped.work.drop(KEY)
    tapped.follow(0)
    assert not tapped.wanted[0]() and tapped.forgotten == [KEY]
    tapped.fill()  # was under way
    tapped.produce(2)
    tapped.follow()
    assert tapped.events == [] and tapped.jobs == []
    assert tapped.forgotten == [KEY, KEY]  # what the fill has left


def test_a_key_that_is_asked_for_again_begins_anew() -> None:
    tapped = Tapped()
    tapped.produce(3)
    tapped.work.activate(KEY)
    tapped.follow()
    tapped.work.drop(KEY)
    tapped.work.activate(KEY)
    tapped.follow()
    assert [wanted() for wanted in tapped.wanted] == [False, True]
    tapped.fill()  # of the former
    tapped.follow()
    assert tapped.events == []
    tapped.produce(2)
    tapped.fill()
    tapped.follow()
    assert tapped.ids() == [0, 1, 2, 3, 4] and tapped.forgotten == [KEY]


def test_a_fill_for_which_there_is_no_room_is_tried_again() -> None:
    tapped = Tapped()
    tapped.room = False
    tapped.produce(3)
    tapped.work.activate(KEY)
    tapped.follow()
    assert tapped.jobs == []
    tapped.room = True
    tapped.produce(2)
    tapped.follow()
    tapped.fill()
    tapped.follow()
    assert tapped.ids() == [0, 1, 2, 3, 4]
