"""The loop around the pure parts: a store that is down, partitions that are taken away, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from consumers import service
from consumers.enrich.port import Enricher, Record
from consumers.enrich.trades import TradeEnricher
from consumers.marks import without_marks
from consumers.measurements import Point, Value
from shared.errors import BrokerError, BrokerUnavailable, PointsRejected, StoreMisconfigured
from shared.messages import encode
from shared.topics import DEAD_LETTERS, LEDGER, TRADES
from tests.builders import NOW_MS, trade
from tests.unit.consumers.service_bench import LOG, Bench, FakeMessage, down


def test_everything_is_stored_and_committed_at_the_stop() -> None:
    bench = Bench()
    bench.service.run()
    assert bench.store.ids() == [0, 1, 2, 3, 4]
    # All trades lie in one open minute, whose sums a restart has to read again.
    assert bench.kafka.offset == 0
    metadata, trail = without_marks(bench.kafka.commits[-1])
    assert metadata.endswith("read=5")
    assert trail.marks[0].position == 5
    assert bench.kafka.closed


def test_the_next_batch_is_read_while_one_is_written_and_no_further_one() -> None:
    bench = Bench()
    store, written = bench.store.write, threading.Event()
    seen: list[tuple[int, int]] = []

    def slow(points: Sequence[Point]) -> Sequence[Point]:
        if points and not written.is_set():
            # The one being written and the next are read; whoever waited for a third would see no end.
            while bench.kafka.position < 2:
                time.sleep(0.001)
            time.sleep(0.05)
            seen.append((bench.kafka.position, len(bench.store.ids())))
            written.set()
        return store(points)

    bench.store.write = slow  # type: ignore[method-assign]
    bench.service.run()
    assert seen == [(2, 0)]
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_a_batch_is_its_first_record_and_what_comes_within_20_ms() -> None:
    bench = Bench()
    bench.kafka.at_once = 3
    bench.service.run()
    assert bench.store.writes == 2, "four records in one batch, and the fifth alone"
    first = (1, 0.1)
    # Nothing at first is no batch: the wait for more is left out.
    assert bench.kafka.calls == [first, (9_999, 0.02), first, (9_999, 0.02), first]


def test_the_first_record_of_a_batch_goes_with_its_partition() -> None:
    """Taken away and given back in the call for the rest: reading begins again, at an earlier position."""
    bench = Bench()

    def taken() -> None:
        if bench.kafka.position == 3:
            bench.kafka.on_gather = lambda: None
            bench.kafka.revoke()
            bench.kafka.consume(1, 0.0)

    bench.kafka.on_gather = taken
    bench.service.run()
    assert bench.store.ids() == [0, 1, 2, 3, 4]
    sums = bench.store.of("trade_summary")
    assert [fields["trade_count"] for fields in sums.values()] == [5] * len(sums)


def test_records_of_the_assignment_before_hide_none_that_came_before_them() -> None:
    """Seed 1937: they were taken in the call in which their partition came back at an earlier position."""
    bench = Bench()
    consume, mixed = bench.kafka.consume, 0

    def taken_before(count: int, timeout: float) -> list[Any]:
        nonlocal mixed
        if mixed or count == 1 or bench.kafka.position != 2:
            return consume(count, timeout)
        mixed += 1
        bench.kafka.at_once = 2
        records = consume(count, timeout)
        bench.kafka.revoke()
        consume(1, 0.0)
        return records

    bench.kafka.consume = taken_before  # type: ignore[method-assign]
    bench.service.run()
    assert (mixed, bench.store.ids()) == (1, [0, 1, 2, 3, 4])
    sums = bench.store.of("trade_summary")
    assert [fields["trade_count"] for fields in sums.values()] == [5] * len(sums)


def test_partitions_that_come_while_it_leaves_are_given_back_without_being_restored() -> None:
    """Seed 3328: what restores their state waits for the broker, longer than a stop may take."""
    bench = Bench()
    close, committed = bench.kafka.close, bench.kafka.committed
    closing: list[str] = []

    def asked(*_: Any, **__: Any) -> list[TopicPartition]:
        closing.append("asked")
        return [TopicPartition(TRADES, 0, 0)]

    def close_with_a_last_assignment() -> None:
        bench.kafka.committed = asked  # type: ignore[method-assign]
        bench.kafka.revoke()
        bench.kafka._callbacks["on_assign"](bench.kafka, [TopicPartition(TRADES, 0)])
        bench.kafka._assigned = True
        bench.kafka.committed = committed  # type: ignore[method-assign]
        close()

    bench.kafka.close = close_with_a_last_assignment  # type: ignore[method-assign]
    bench.service.run()
    assert (bench.store.ids(), closing) == ([0, 1, 2, 3, 4], [])


@pytest.mark.parametrize("revoked_at", [2, 3, 4, None])
def test_no_offset_is_committed_before_its_points_are_stored(
    revoked_at: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.service.CHECKPOINT_PERIOD_S", 0.0)
    bench = Bench()
    store, commit = bench.store.write, bench.kafka.commit
    seen: list[tuple[int, int]] = []

    def slow(points: Sequence[Point]) -> Sequence[Point]:
        time.sleep(0.01)
        return store(points)

    def committed(offsets: Sequence[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        read = without_marks(offsets[0].metadata or "read=0")[0].rpartition("read=")[2]
        seen.append((int(read), len(bench.store.ids())))
        return commit(offsets, asynchronous)

    def revoke() -> None:
        if bench.kafka.position == revoked_at:
            bench.kafka.on_poll = lambda: None
            bench.kafka.revoke()
            # What was on its way has arrived, and goes with the partition.
            assert seen[-1] == (revoked_at, revoked_at)

    bench.store.write, bench.kafka.commit = slow, committed  # type: ignore[method-assign]
    bench.kafka.on_poll = revoke
    bench.service.run()
    assert all(read <= stored for read, stored in seen), seen
    assert seen[-1] == (5, 5)


def test_partitions_taken_away_while_a_write_is_about_to_fail_are_not_committed() -> None:
    bench = Bench()
    store = bench.store.write

    def failing(points: Sequence[Point]) -> Sequence[Point]:
        if points:
            bench.store.write = store  # type: ignore[method-assign]
            time.sleep(0.05)
            raise down()
        return store(points)

    def taken() -> None:
        if bench.kafka.position == 1:
            bench.kafka.on_poll = lambda: None
            bench.kafka.revoke()
            assert set(bench.kafka.commits) <= {""}

    bench.store.write = failing  # type: ignore[method-assign]
    bench.kafka.on_poll = taken
    bench.service.run()
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_a_store_that_is_down_pauses_and_the_same_points_are_tried_again() -> None:
    bench = Bench()
    bench.store.moods = [down(), down(0.01)]
    seen: list[bool] = []
    bench.kafka.on_poll = lambda: seen.append(bench.kafka.paused)
    bench.service.run()
    assert any(seen)
    assert not bench.kafka.paused
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_a_consumer_is_not_ready_while_its_store_is_down_and_says_why() -> None:
    bench = Bench()
    bench.store.moods = [down(), down(0.01)]
    seen: list[tuple[bool, list[str]]] = []
    bench.kafka.on_poll = lambda: seen.append((bench.kafka.paused, bench.health.troubles()))
    bench.service.run()
    paused = [troubles for away, troubles in seen if away]
    assert paused
    assert all(troubles[0].startswith("store: ") for troubles in paused)
    assert bench.health.troubles() == []
    assert bench.health.hanging() is None


def test_partitions_taken_away_while_the_store_is_down_are_not_committed() -> None:
    bench = Bench()
    bench.store.moods = [down(5.0)]

    def taken() -> None:
        if bench.kafka.paused:
            bench.kafka.on_poll = lambda: None
            bench.kafka.revoke()
            assert set(bench.kafka.commits) == {""}

    bench.kafka.on_poll = taken
    bench.service.run()
    # They came back, and were read again from the beginning; nothing is waited for.
    assert bench.store.ids() == [0, 1, 2, 3, 4]
    assert bench.health.troubles() == []


def test_points_in_hand_are_not_written_after_their_partitions_were_taken_away() -> None:
    """Taken away in the last poll of the wait, with the store up again: its next owner has newer sums."""
    bench = Bench()
    bench.store.moods = [down(0.01)]

    def taken() -> None:
        if bench.kafka.paused:
            time.sleep(0.02)  # longer than the whole wait
            bench.kafka.on_poll = lambda: None
            writes.append(bench.store.writes)
            bench.kafka.revoke()

    writes: list[int] = []
    bench.kafka.on_poll = taken
    bench.service.run()
    # Written next is what was read again: one record, one write, for each of the five.
    assert bench.store.writes == writes[0] + 5
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_a_stop_while_the_store_is_down_commits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.service.STOP_STORE_S", 0.05)
    bench = Bench()
    bench.store.moods = [down(0.02) for _ in range(1000)]
    bench.kafka.on_poll = lambda: bench.stop.set() if bench.kafka.paused else None
    bench.service.run()
    assert set(bench.kafka.commits) == {""}
    assert bench.kafka.closed


def test_a_stop_amid_the_wait_for_a_store_that_is_back_by_now_writes_and_commits_everything() -> None:
    bench = Bench()
    bench.store.moods = [down(3_600.0)]  # as long as this it would wait
    bench.kafka.on_poll = lambda: bench.stop.set() if bench.kafka.paused else None
    bench.service.run()
    assert bench.store.ids()
    assert set(bench.kafka.commits) != {""}


class MoodyHistory:
    """Raises what it is told to; remembers what the store had at each reading."""

    def __init__(self, *moods: Exception) -> None:
        self.moods = list(moods)
        self.asked: list[list[int]] = []

    def seed(self, _enricher: Enricher, records: Sequence[Record]) -> None:
        if records:
            self.asked.append([message["trade_id"] for _, _, message in records])
            if self.moods:
                raise self.moods.pop(0)


def test_a_store_that_cannot_be_read_pauses_and_the_same_records_begin_their_series() -> None:
    history = MoodyHistory(down(), down(0.01))
    bench = Bench(history=history)
    seen: list[tuple[bool, list[str]]] = []
    bench.kafka.on_poll = lambda: seen.append((bench.kafka.paused, bench.health.troubles()))
    bench.service.run()
    paused = [troubles for away, troubles in seen if away]
    assert paused
    assert all(troubles[0].startswith("store: INFLUX_URL: ") for troubles in paused)
    assert not bench.kafka.paused and bench.health.troubles() == []
    assert history.asked == [[0], [0], [0], [1], [2], [3], [4]]
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_what_was_computed_before_is_stored_while_the_next_series_waits() -> None:
    history = MoodyHistory()
    bench = Bench(history=history)
    stored: list[list[Value]] = []

    def told() -> None:
        if bench.kafka.position == 2 and not history.moods and not stored:
            history.moods = [down(0.01)]
        if bench.kafka.paused:
            stored.append(bench.store.ids())

    bench.kafka.on_poll = told
    bench.service.run()
    assert stored and all(ids == [0, 1] for ids in stored)
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_partitions_taken_away_while_the_store_cannot_be_read_are_not_committed() -> None:
    bench = Bench(history=MoodyHistory(down(5.0)))

    def taken() -> None:
        if bench.kafka.paused:
            bench.kafka.on_poll = lambda: None
            bench.kafka.revoke()
            assert set(bench.kafka.commits) <= {""}

    bench.kafka.on_poll = taken
    bench.service.run()
    # They came back, and were read again from the beginning.
    assert bench.store.ids() == [0, 1, 2, 3, 4]
    assert bench.health.troubles() == []


def test_a_stop_while_the_store_cannot_be_read_commits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.service.STOP_STORE_S", 0.05)
    bench = Bench(history=MoodyHistory(*(down(0.02) for _ in range(1000))))
    bench.kafka.on_poll = lambda: bench.stop.set() if bench.kafka.paused else None
    bench.service.run()
    assert set(bench.kafka.commits) <= {""}
    assert bench.store.ids() == [] and bench.kafka.closed


@pytest.mark.parametrize("error", [StoreMisconfigured("INFLUX_TOKEN: refused"), ZeroDivisionError()])
def test_an_error_ends_the_service_and_commits_nothing(error: Exception) -> None:
    bench = Bench()
    bench.store.moods = [error]
    with pytest.raises(type(error)):
        bench.service.run()
    assert set(bench.kafka.commits) == {""}
    assert bench.kafka.closed


def test_rejected_points_are_dead_letters_and_are_not_counted_as_stored() -> None:
    bench = Bench()
    enricher = TradeEnricher()
    point = enricher.receive([(0, 0, trade(trade_id=0))], 0).points[0]
    bench.store.moods = [PointsRejected([(point, "field type conflict")])]
    bench.service.run()
    (letter,) = bench.of(DEAD_LETTERS)
    assert b'"measurement":"trade"' in letter["value"]
    assert b'"trade_id":0' in letter["value"]
    assert ("reason", b"field type conflict") in letter["headers"]
    (event,) = [record["value"] for record in bench.of(LEDGER)]
    assert b'"kind":"stored","first":1,"last":4,"count":4' in event


def test_a_bad_message_is_a_dead_letter_and_the_rest_goes_on() -> None:
    bench = Bench([LOG[0], FakeMessage(1, b"{"), LOG[2]])
    bench.service.run()
    assert bench.store.ids() == [0, 2]
    (letter,) = bench.of(DEAD_LETTERS)
    assert (letter["key"], letter["value"]) == (b"binance:BTCUSDC", b"{")
    assert ("source_offset", b"1") in letter["headers"]


def test_partitions_that_are_lost_are_not_committed() -> None:
    bench = Bench()

    def lose() -> None:
        if bench.kafka.position == 3:
            bench.kafka.on_poll = lambda: None
            bench.kafka.commits.clear()
            bench.kafka.revoke(lost=True)
            assert bench.kafka.commits == []

    bench.kafka.on_poll = lose
    bench.service.run()
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_what_fails_in_a_callback_is_raised_by_the_loop_and_commits_nothing() -> None:
    bench = Bench()
    calls: list[str] = []

    def silent(partitions: Any, timeout: float) -> list[TopicPartition]:
        calls.append("committed")
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def consume(count: int, timeout: float) -> list[Any]:
        # As librdkafka does it: the assignment fails, and is taken away before the call returns. A
        # callback that lets its error through leaves the second one to run with it pending.
        bench.kafka._callbacks["on_assign"](bench.kafka, [TopicPartition(TRADES, 0)])
        bench.kafka.revoke(lost=True)
        calls.append("returned")
        return []

    bench.kafka.committed, bench.kafka.consume = silent, consume  # type: ignore[method-assign]
    with pytest.raises(BrokerUnavailable, match="Kafka does not tell offsets"):
        bench.service.run()
    assert calls == ["committed", "returned"]
    assert bench.kafka.commits == []
    assert bench.kafka.closed


def test_a_client_that_has_failed_for_good_says_so_in_our_words() -> None:
    bench = Bench()

    def consume(count: int, timeout: float) -> list[Any]:
        raise KafkaException(KafkaError(KafkaError._FATAL, "fenced by another", fatal=True))

    bench.kafka.consume = consume  # type: ignore[method-assign]
    with pytest.raises(BrokerError, match=r"^Kafka refuses: .*fenced by another; see KAFKA_"):
        bench.service.run()
    assert bench.kafka.closed


def test_a_fatal_broker_error_is_raised_and_a_passing_one_is_not() -> None:
    passing = FakeMessage(0, b"", KafkaError(KafkaError._ALL_BROKERS_DOWN))
    bench = Bench([passing, LOG[1]])
    bench.service.run()
    assert bench.store.ids() == [1]
    fatal = FakeMessage(0, b"", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(BrokerError, match="trades"):
        Bench([fatal]).service.run()


def rewritten(log: Sequence[FakeMessage], kept: int, ids: Sequence[int]) -> list[FakeMessage]:
    """A log after a power cut: the first `kept` records, then others where the rest had been."""
    new = [FakeMessage(kept + place, encode(trade(trade_id=ident))) for place, ident in enumerate(ids)]
    for message in new:
        message.epoch = 1
    return [*log[:kept], *new]


def stored_ids(bench: Bench) -> set[int]:
    events = [orjson.loads(record["value"]) for topic, record in bench.producer.sent if topic == LEDGER]
    return {
        item
        for event in events
        if event["kind"] == "stored"
        for item in range(event["first"], event["last"] + 1)
    }


def test_records_written_where_a_cut_took_others_are_not_skipped_after_a_restart() -> None:
    before = Bench()
    before.service.run()
    after = Bench(rewritten(LOG, 2, [102, 103, 104, 105]))
    after.kafka.offset, after.kafka.metadata, after.kafka.epoch = 4, before.kafka.metadata, 1
    after.service.run()
    assert after.store.ids() == [0, 1, 102, 103, 104, 105]
    assert stored_ids(after) == set(after.store.ids())


def test_records_written_where_a_cut_took_others_are_not_skipped_while_running() -> None:
    bench = Bench()
    taken = threading.Event()

    def cut() -> None:
        if bench.kafka.position == 4 and not taken.is_set():
            taken.set()
            bench.kafka.log = rewritten(bench.kafka.log, 2, [102, 103, 104, 105])
            bench.kafka.epoch = 1

    bench.kafka.on_poll = cut
    bench.service.run()
    assert bench.store.ids() == [0, 1, 2, 3, 102, 103, 104, 105]
    assert stored_ids(bench) == set(bench.store.ids())
    kinds = {
        orjson.loads(record["value"])["kind"] for topic, record in bench.producer.sent if topic == LEDGER
    }
    assert kinds == {"stored"}


def test_records_lost_in_an_outage_are_read_again_though_no_record_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As of a topic with one bar a day."""
    monkeypatch.setattr(service, "GLANCE_PERIOD_S", 0.0)
    bench = Bench(LOG[:4])
    polls = 0

    def cut() -> None:
        nonlocal polls
        polls += 1
        if bench.kafka.position == 4 and bench.kafka.epoch == 0:
            bench.kafka.log, bench.kafka.epoch = rewritten(LOG, 2, [102, 103]), 1
            bench.kafka.paused = True  # as if nothing came, until it is assigned anew
        if polls == 50:
            bench.stop.set()

    bench.kafka.on_poll = cut
    bench.service.run()
    assert bench.store.ids() == [0, 1, 2, 3, 102, 103]
    assert polls < 50


def test_a_broker_that_no_longer_has_the_next_offset_is_read_from_what_it_has() -> None:
    bench = Bench(LOG[:4])
    gone = FakeMessage(4, b"truncated", KafkaError(KafkaError._AUTO_OFFSET_RESET))

    def cut() -> None:
        if bench.kafka.position == 4 and bench.kafka.epoch == 0:
            bench.kafka.log, bench.kafka.epoch = rewritten(LOG, 1, [101, 102]), 1
            bench.kafka.errors.append(gone)

    bench.kafka.on_poll = cut
    bench.service.run()
    assert bench.store.ids() == [0, 1, 2, 3, 101, 102]


def test_a_record_of_the_future_goes_to_the_dead_letters_and_the_others_are_stored() -> None:
    bench = Bench()
    far_ms = NOW_MS + 50 * 3_600_000
    lie = trade(trade_id=2, trade_time_ms=far_ms, event_time_ms=far_ms, received_time_ms=NOW_MS + 5)
    bench.kafka.log[2] = FakeMessage(2, encode(lie))
    bench.service.run()
    assert bench.store.ids() == [0, 1, 3, 4]
    [letter] = [record for topic, record in bench.producer.sent if topic == DEAD_LETTERS]
    assert b"trade_time_ms" in dict(letter["headers"])["reason"]
