"""Cooperative rebalancing: only what changes is touched, and a pause covers what comes while it lasts.

What a real broker tells of a partition decides where it is read from: marks, states, epochs of its leader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_END, Consumer, KafkaError, TopicPartition

from consumers.enrich.book import BookEnricher
from consumers.enrich.klines import KlineEnricher
from consumers.enrich.port import Enricher, Known
from consumers.marks import Mark, Spot, Trail, crc_of, with_marks
from consumers.partitions.assigned import Partitions
from consumers.streams import enricher_of, streams
from shared.messages import encode
from shared.topics import (
    BOOK,
    LEDGER,
    METRICS,
    TRADES,
    indicator_state_topic,
    klines_live_topic,
    klines_topic,
)
from tests.builders import NOW_MS, kline
from tests.consumer_doubles import SumOfCloses
from tests.kafka_doubles import FakeAdmin, LogReader, LogRecord, Logs, clients
from tests.unit.consumers.partitions.test_states import snapshot

CLOSED, LIVE = klines_topic("1m"), klines_live_topic("1m")


def named(partitions: Sequence[TopicPartition]) -> set[tuple[str, int]]:
    return {(at.topic, at.partition) for at in partitions}


class FakeConsumer:
    """Keeps what librdkafka would: offsets by partition, and which of them are paused."""

    def __init__(self) -> None:
        self.assigned: dict[tuple[str, int], int] = {}
        self.paused: set[tuple[str, int]] = set()
        self.committed_at = 5

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        assert not named(partitions) & self.assigned.keys(), "assigned twice"
        self.assigned |= {(at.topic, at.partition): at.offset for at in partitions}

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        for at in named(partitions):
            del self.assigned[at]  # librdkafka refuses what is not assigned

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*at) for at in self.assigned]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        assert named(partitions) <= self.assigned.keys()
        self.paused |= named(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self.paused -= named(partitions)

    def committed(self, partitions: Any, timeout: float) -> list[TopicPartition]:
        return [TopicPartition(at.topic, at.partition, self.committed_at) for at in partitions]

    def get_watermark_offsets(self, at: Any, timeout: float = 0, cached: bool = False) -> tuple[int, int]:
        return 0, 100


class Bench:
    def __init__(self) -> None:
        (stream,) = streams(("klines",), ("1m",), memory_broker=True)
        enricher = KlineEnricher(
            "1m", SumOfCloses(), live_interval_ms=0, keeps_state=False, rebuilt_from_store=True
        )
        self.kafka = FakeConsumer()
        self.partitions = Partitions(
            stream,
            enricher,
            cast(Consumer, self.kafka),
            {},
            memory_broker=True,
        )

    def assign(self, *numbers: int) -> None:
        self.partitions.assign([TopicPartition(CLOSED, number) for number in numbers], 0)

    def revoke(self, *numbers: int) -> None:
        self.partitions.revoke([TopicPartition(CLOSED, number) for number in numbers])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_live_topic_comes_and_goes_with_its_source(bench: Bench) -> None:
    bench.assign(0, 1)
    assert bench.kafka.assigned == {
        (CLOSED, 0): 5,
        (LIVE, 0): OFFSET_END,
        (CLOSED, 1): 5,
        (LIVE, 1): OFFSET_END,
    }
    bench.revoke(0)
    assert bench.kafka.assigned.keys() == {(CLOSED, 1), (LIVE, 1)}
    assert bench.partitions.holds(LIVE, 1)
    assert not bench.partitions.holds(LIVE, 0)


def test_what_stays_keeps_its_place(bench: Bench) -> None:
    bench.assign(0, 1)
    bench.partitions.positions[CLOSED][1] = 42
    bench.revoke(0)
    bench.assign(2)
    assert bench.partitions.positions == {CLOSED: {1: 42, 2: 5}}


def test_a_pause_covers_what_is_assigned_while_it_lasts(bench: Bench) -> None:
    bench.assign(0)
    bench.partitions.pause()
    bench.assign(1)
    assert bench.kafka.paused == bench.kafka.assigned.keys()
    bench.partitions.resume()
    assert bench.kafka.paused == set()


def test_a_partition_that_was_paused_and_comes_back_is_read(bench: Bench) -> None:
    bench.assign(0)
    bench.partitions.pause()
    bench.revoke(0)
    bench.partitions.resume()
    bench.assign(0)
    assert bench.kafka.paused == set()


def test_starting_over_reads_what_is_held_from_what_is_committed(bench: Bench) -> None:
    bench.assign(0, 1)
    bench.partitions.positions[CLOSED] |= {0: 50, 1: 60}
    bench.partitions.start_over(0)
    assert bench.partitions.positions == {CLOSED: {0: 5, 1: 5}}
    assert bench.kafka.assigned[CLOSED, 1] == 5


def test_what_never_came_to_be_assigned_can_be_given(bench: Bench) -> None:
    bench.assign(0)
    bench.revoke(0, 3)
    assert bench.kafka.assigned == {}


def test_abandoned_partitions_have_no_position_to_commit(bench: Bench) -> None:
    bench.assign(0)
    bench.partitions.abandon()
    assert bench.partitions.positions == {CLOSED: {}}
    bench.revoke(0)
    assert bench.kafka.assigned == {}


# -- on a real broker


STATE = indicator_state_topic("1m")
BARS = [encode(kline(open_time_ms=NOW_MS + number * 60_000)) for number in range(12)]
KEY = b"binance:BTCUSDC"


class Real:
    """Bars on the topic, read by a consumer of a real broker; what it committed is up to the test."""

    def __init__(self, metadata: str = "", enricher: Enricher | None = None) -> None:
        (stream,) = streams(("klines",), ("1m",), memory_broker=False)
        self.logs = Logs()
        for value in BARS:
            self.logs.put(CLOSED, KEY, value)
        self.epoch = 3
        self.leaderless: set[int] = set()
        self.admins: list[FakeAdmin] = []
        self.letters: list[tuple[int, str]] = []
        self.newest: dict[str, Spot] = {}
        self.kafka = FakeConsumer()
        self.metadata = metadata
        self.kafka.committed = self._committed  # type: ignore[method-assign]
        self.enricher = enricher or KlineEnricher("1m", SumOfCloses(), live_interval_ms=0)
        self.partitions = Partitions(
            stream,
            self.enricher,
            cast(Consumer, self.kafka),
            {"group.id": "g", "bootstrap.servers": ""},
            memory_broker=False,
            newest=lambda topic, _partition: self.newest.get(topic),
            dead_letter=lambda message, reason: self.letters.append((message.offset() or 0, reason)),
            kafka=clients(consumer=lambda _config: LogReader(self.logs), admin=self._admin),
        )

    def _committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(at.topic, at.partition, 5, self.metadata) for at in partitions]

    def _admin(self, config: Any) -> FakeAdmin:
        counts = {CLOSED: 1, STATE: 1, LIVE: 1}
        self.admins.append(FakeAdmin(epoch=lambda: self.epoch, counts=counts, leaderless=self.leaderless))
        return self.admins[-1]

    def assign(self) -> None:
        self.partitions.assign([TopicPartition(CLOSED, 0)], NOW_MS + 20 * 60_000)

    def read(self, offset: int, epoch: int | None = 3, topic: str = CLOSED) -> bool:
        record = self.logs.records[CLOSED, 0][offset]
        message: Any = Read(record, epoch)
        return self.partitions.passed(message, topic, 0)


@dataclass(frozen=True, slots=True)
class Read:
    """A record with the epoch of the leader that gave it."""

    record: LogRecord
    epoch: int | None

    def offset(self) -> int:
        return self.record.offset()

    def key(self) -> bytes:
        return self.record.key()

    def value(self) -> bytes | None:
        return self.record.value()

    def leader_epoch(self) -> int | None:
        return self.epoch


def crc(offset: int) -> int:
    return crc_of(KEY, BARS[offset])


def marks(*of: Mark) -> str:
    return with_marks("", Trail(list(of)))


def test_a_partition_is_read_from_where_its_mark_still_holds() -> None:
    held = Real(marks(Mark(5, crc(4)), Mark(3, crc(2))), BookEnricher())
    held.assign()
    assert held.partitions.positions == {CLOSED: {0: 5}}
    # The broker lost record 4 and another lies at its place; the mark before it holds.
    cut = Real(marks(Mark(5, 12_345), Mark(3, crc(2))), BookEnricher())
    cut.assign()
    assert cut.partitions.positions == {CLOSED: {0: 3}}


def test_only_marks_before_the_position_are_kept_and_that_at_it() -> None:
    real = Real(marks(Mark(5, 12_345), Mark(3, crc(2)), Mark(2, crc(1))), BookEnricher())
    real.assign()
    assert [mark.position for mark in real.partitions.mark(CLOSED, 0).marks] == [3, 2]


def test_a_mark_names_the_last_record_read_and_the_newest_written_for_it() -> None:
    real = Real()
    real.newest = {STATE: Spot(7, 1), LEDGER: Spot(8, 2)}
    real.assign()
    assert real.partitions.mark(CLOSED, 0).marks == []
    assert real.read(5)
    assert real.read(6)
    assert real.partitions.mark(CLOSED, 0).marks == [Mark(7, crc(6), Spot(7, 1), Spot(8, 2))]


def test_records_of_other_topics_have_no_state_and_those_of_the_ledger_no_ledger() -> None:
    real = Real()
    real.newest = {STATE: Spot(7, 1), LEDGER: Spot(8, 2)}
    real.assign()
    real.read(5, topic=METRICS)
    assert real.partitions.mark(METRICS, 0).marks == [Mark(6, crc(5), None, Spot(8, 2))]
    real.read(5, topic=LEDGER)
    assert real.partitions.mark(LEDGER, 0).marks == [Mark(6, crc(5), None, None)]


def test_a_leader_of_a_later_epoch_is_noticed_once() -> None:
    real = Real()
    real.assign()
    assert real.read(5, epoch=3)
    assert real.read(5, epoch=2), "an older one says nothing"
    assert real.read(5, epoch=None), "nor does a broker that tells none"
    assert not real.read(5, epoch=4)
    assert real.read(5, epoch=4), "it has been looked at"
    assert not real.read(5, epoch=5)


def test_a_record_that_was_not_taken_is_not_marked() -> None:
    real = Real()
    real.assign()
    real.read(5)
    real.read(6, epoch=4)
    assert [mark.position for mark in real.partitions.mark(CLOSED, 0).marks] == [6]


def test_starting_over_asks_for_the_epochs_again() -> None:
    real = Real()
    real.assign()
    real.epoch = 4
    real.partitions.start_over(NOW_MS + 20 * 60_000)
    assert real.read(5, epoch=4)
    assert not real.read(5, epoch=5)


def test_an_outage_is_noticed_where_no_record_tells_of_it() -> None:
    real = Real()
    real.assign()
    assert not real.partitions.missed_outage(), "positions are only noted at first"
    assert not real.partitions.missed_outage(), "the broker was up"
    real.epoch = 4
    assert real.partitions.missed_outage()
    real.partitions.start_over(NOW_MS + 20 * 60_000)
    assert not real.partitions.missed_outage(), "it has been looked at"


def test_a_partition_with_new_records_is_not_asked_about() -> None:
    real = Real()
    real.assign()
    real.partitions.missed_outage()
    asked = len(real.admins)
    real.partitions.positions[CLOSED][0] += 1
    real.epoch = 4
    assert not real.partitions.missed_outage()
    assert len(real.admins) == asked


def test_a_broker_that_does_not_answer_is_asked_at_the_next_look() -> None:
    real = Real()
    real.assign()
    real.partitions.missed_outage()
    real.epoch = 4
    real.leaderless.add(0)
    assert not real.partitions.missed_outage()
    real.leaderless.clear()
    assert real.partitions.missed_outage()


def test_a_partition_without_a_leader_hides_no_outage_of_another() -> None:
    real = Real()
    real.assign()
    real.partitions.positions[CLOSED][1] = 0  # as if it were assigned, too
    real.partitions.missed_outage()
    real.epoch = 4
    real.leaderless.add(1)
    assert real.partitions.missed_outage()


def test_with_nothing_assigned_there_is_nothing_to_start_over_nor_to_ask() -> None:
    real = Real()
    real.partitions.start_over(0)
    real.partitions.assign([], 0)
    assert (real.kafka.assigned, real.admins) == ({}, [])


def test_the_memory_broker_is_asked_neither_counts_nor_epochs(bench: Bench) -> None:
    bench.assign(0)  # its clients of Kafka would fail
    assert bench.partitions.positions == {CLOSED: {0: 5}}


def test_what_is_no_state_goes_to_the_dead_letters_once_in_the_life_of_a_process() -> None:
    real = Real()
    real.logs.put(STATE, b"good", snapshot(1, NOW_MS))
    real.logs.put(STATE, b"bad", b"garbage")
    real.assign()
    real.partitions.start_over(NOW_MS + 20 * 60_000)
    assert real.letters == [(1, f"no record of {STATE}: no header with schema and offset")]
    real.logs.put(STATE, b"worse", b"")
    real.partitions.start_over(NOW_MS + 20 * 60_000)
    assert [offset for offset, _ in real.letters] == [1, 2]


def test_a_series_whose_state_was_deleted_begins_anew() -> None:
    """A tombstone on the state topic: the bars that the state stood for are read again."""
    before = KlineEnricher("1m", SumOfCloses(), live_interval_ms=0)
    before.assign(0, Known(0, 5))
    before.receive([(0, number, before.decode(CLOSED, BARS[number])) for number in range(5)], NOW_MS)
    [state] = before.state_due(NOW_MS, everything=True)
    there, gone = Real(), Real()
    for real in (there, gone):
        real.logs.put(STATE, state.key, state.value)
    gone.logs.put(STATE, state.key, None)
    there.assign()
    gone.assign()
    assert (there.partitions.positions, gone.partitions.positions) == ({CLOSED: {0: 5}}, {CLOSED: {0: 0}})


@pytest.mark.parametrize(
    ("code", "gone"),
    [
        (None, False),
        (KafkaError._PARTITION_EOF, False),
        (KafkaError._AUTO_OFFSET_RESET, True),
        (KafkaError._LOG_TRUNCATION, True),
        (KafkaError.OFFSET_OUT_OF_RANGE, True),
    ],
)
def test_the_next_record_may_be_gone(code: int | None, gone: bool) -> None:
    assert Partitions.gone(None if code is None else KafkaError(code)) is gone


def test_a_topic_that_grew_since_the_last_assignment_is_said(caplog: pytest.LogCaptureFixture) -> None:
    (stream,) = streams(("book",), (), memory_broker=False)
    counts = {BOOK: 6}
    partitions = Partitions(
        stream,
        BookEnricher(),
        cast(Consumer, FakeConsumer()),
        {"group.id": "g", "bootstrap.servers": ""},
        memory_broker=False,
        kafka=clients(admin=lambda _config: FakeAdmin(counts=counts)),
    )
    partitions.assign([TopicPartition(BOOK, 0)], 0)
    counts[BOOK] = 12
    partitions.assign([TopicPartition(BOOK, 1)], 0)
    partitions.assign([TopicPartition(BOOK, 2)], 0)
    assert [line for line in caplog.messages if "had 6" in line] == [
        f"topic {BOOK} has 12 partitions, and had 6 when this consumer started; following"
    ]


def test_bad_states_at_one_offset_of_two_partitions_are_two() -> None:
    real = Real()
    real.logs.put(STATE, b"a", b"garbage", partition=0)
    real.logs.put(STATE, b"b", b"garbage", partition=1)
    for number in (0, 1):
        real.partitions.assign([TopicPartition(CLOSED, number)], NOW_MS + 20 * 60_000)
    assert [offset for offset, _ in real.letters] == [0, 0]


class Forgetting(BookEnricher):
    """Remembers which partitions it was told to forget."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[int] = []

    def revoke(self, partition: int) -> None:
        self.forgotten.append(partition)


def test_the_enricher_forgets_partitions_of_its_source_alone() -> None:
    enricher = Forgetting()
    real = Real(enricher=enricher)
    real.assign()
    real.partitions.revoke([TopicPartition(METRICS, 4), TopicPartition(CLOSED, 0), TopicPartition(LIVE, 5)])
    assert enricher.forgotten == [0]


@pytest.mark.parametrize(
    ("name", "topic", "groups"),
    [
        ("klines", CLOSED, ["g.restore"]),
        ("ledger", LEDGER, ["g.restore", "g.restore"]),  # its snapshots, and the events that they end with
        ("ledger", METRICS, []),
        ("trades", TRADES, []),
    ],
)
def test_only_what_has_state_is_restored_and_only_the_ledger_is_restarted(
    name: str, topic: str, groups: list[str]
) -> None:
    (stream,) = streams((name,), ("1m",), memory_broker=False)
    made: list[str] = []
    kafka = FakeConsumer()

    def reader(config: dict[str, Any]) -> LogReader:
        made.append(config["group.id"])
        return LogReader(Logs())

    partitions = Partitions(
        stream,
        enricher_of(stream, SumOfCloses(), live_interval_ms=0, rebuilt_from_store=False),
        cast(Consumer, kafka),
        {"group.id": "g", "bootstrap.servers": ""},
        memory_broker=False,
        kafka=clients(consumer=reader, admin=lambda _config: FakeAdmin()),
    )
    partitions.assign([TopicPartition(topic, 0)], NOW_MS)
    assert made == groups


@pytest.mark.parametrize(
    ("state", "event", "position"),
    [(b"as written", b"as written", 5), (b"another", b"as written", 3), (b"as written", b"another", 3)],
)
def test_a_mark_holds_while_what_was_written_for_it_is_there_too(
    state: bytes, event: bytes, position: int
) -> None:
    written = Spot(0, crc_of(KEY, b"as written"))
    real = Real(marks(Mark(5, crc(4), written, written), Mark(3, crc(2))), BookEnricher())
    real.logs.put(STATE, KEY, state)
    real.logs.put(LEDGER, KEY, event)
    real.assign()
    assert real.partitions.positions == {CLOSED: {0: position}}
