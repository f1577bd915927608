"""Back-pressure, start and delivery of the publisher, without a broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

import producers.dead_letters
import producers.publisher
from producers.publisher import FULL_FOR_S, Backpressure, Change, Publisher
from shared.dead_letters import DeadLetter
from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import Config
from tests.kafka_doubles import clients
from tests.virtual_time import FakeTime, run_virtually

NOWHERE = "127.0.0.1:1"


def test_a_full_queue_holds_the_caller_back_and_loses_nothing() -> None:
    publisher = Publisher(NOWHERE, queue_messages=100)
    records = 103
    assert publisher.congested_s == 0.0
    for _ in range(records):
        publisher.send("market.trades", b"key", b"value")
    publisher.poll()
    assert publisher.congested
    assert publisher.congested_s > 0.0
    # librdkafka counts what it has to say of the broker, too.
    assert publisher.outstanding >= records


def test_a_broker_that_takes_nothing_is_named() -> None:
    publisher = Publisher(NOWHERE)
    publisher.send("market.trades", b"key", b"value")
    with pytest.raises(BrokerUnavailable, match=r"KAFKA_BOOTSTRAP_SERVERS: 127\.0\.0\.1:1 has not taken 1 "):
        publisher.flush_now(0.3)


def test_a_queue_that_is_full_for_a_moment_only_is_no_reason() -> None:
    backpressure = Backpressure(1_000)
    assert backpressure.step(0.0, 900) is None
    assert backpressure.step(FULL_FOR_S - 0.1, 1_001) is None
    assert backpressure.step(0.0, 1_000) is None
    assert backpressure.entered == 0


def test_a_queue_that_stays_full_ends_the_receiving_once() -> None:
    backpressure = Backpressure(1_000)
    assert backpressure.step(FULL_FOR_S, 1_001) is Change.SUSPEND
    assert backpressure.active
    assert backpressure.step(FULL_FOR_S + 1, 1_001) is None
    assert backpressure.entered == 1


def test_receiving_begins_again_when_the_queue_is_nearly_empty() -> None:
    backpressure = Backpressure(1_000)
    backpressure.step(FULL_FOR_S, 1_001)
    assert backpressure.step(0.0, 800) is None
    assert backpressure.step(0.5, 50) is None
    assert backpressure.step(0.0, 100) is Change.RESUME
    assert not backpressure.active
    assert backpressure.step(FULL_FOR_S, 1_001) is Change.SUSPEND
    assert backpressure.entered == 2


def test_the_room_that_has_to_be_free_is_a_tenth() -> None:
    backpressure = Backpressure(1_000)
    backpressure.step(FULL_FOR_S, 1_001)
    assert backpressure.step(0.0, 101) is None
    assert backpressure.active


# -- delivery, by a client that does as it is told and a time that passes where it is waited


class Client:
    """Takes so many records; answers where a test says so, or after `takes_s` of waiting."""

    def __init__(self, time: FakeTime, config: Config, room: int = 10**6) -> None:
        self.time, self.config, self.room = time, config, room
        self.queued: list[tuple[str, bytes | None, Any]] = []
        self.sent: list[bytes | None] = []
        self.refusal: KafkaException | None = None  # of `produce`
        self.fatal: KafkaException | None = None  # of the next call
        self.answers_at_s: float | None = None
        self.topics: list[str] | None = None
        self.asked_for_s: list[float] = []
        self.waits_s: list[float] = []

    def produce(self, topic: str, value: bytes | None, key: bytes, **options: Any) -> None:
        assert key
        if self.refusal is not None:
            raise self.refusal
        if len(self.queued) >= self.room:
            raise BufferError
        self.queued.append((topic, value, options.get("on_delivery")))
        self.sent.append(value)

    def poll(self, timeout: float) -> int:
        return self._serve(timeout)

    def flush(self, timeout: float) -> int:
        return self._serve(timeout)

    def _serve(self, timeout: float) -> int:
        self.waits_s.append(timeout)
        self.time.sleep(timeout)
        if self.fatal is not None:
            raise self.fatal
        if self.answers_at_s is not None and self.time.now_s >= self.answers_at_s:
            self.answer()
        return 0

    def __len__(self) -> int:
        return len(self.queued)

    def answer(self, error: KafkaError | None = None, count: int | None = None, **record: Any) -> None:
        """Report the next `count` records, of all of them, as delivered or failed."""
        for offset, (_, _, report) in enumerate(self.queued[:count]):
            if report is not None:
                report(error, Answer(record.get("partition", 3), record.get("offset", 40 + offset)))
        del self.queued[:count]

    def list_topics(self, timeout: float) -> Any:
        self.asked_for_s.append(timeout)
        if self.topics is None:
            self.time.sleep(timeout)
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "connection refused"))
        return SimpleNamespace(topics=dict.fromkeys(self.topics))


class Answer:
    """Where the broker has put a record."""

    def __init__(self, partition: int | None, offset: int | None) -> None:
        self._partition, self._offset = partition, offset

    def partition(self) -> int | None:
        return self._partition

    def offset(self) -> int | None:
        return self._offset


class Bench:
    """A publisher with a client for its streams, and one for dead letters once there are any."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.time = FakeTime()
        monkeypatch.setattr(producers.publisher, "time", self.time)
        monkeypatch.setattr(producers.dead_letters, "time", self.time)
        self.made: list[Client] = []
        self.publisher = Publisher("broker:9092", kafka=clients(producer=self._client), **options)
        self.client = self.made[0]
        self.delivered: list[tuple[int, int]] = []

    def _client(self, config: Config) -> Client:
        self.made.append(Client(self.time, config))
        return self.made[-1]

    @property
    def letters(self) -> Client:
        return self.made[1]

    def send(self, *values: bytes | None) -> None:
        for value in values:
            self.publisher.send("market.trades", b"key", value, lambda *at: self.delivered.append(at))

    def letter(self) -> None:
        self.publisher.send_dead_letter(DeadLetter(b"key", b"{}", [("reason", b"a test")]))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def failed(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


def test_records_are_counted_until_the_broker_has_them_and_told_where(bench: Bench) -> None:
    bench.send(b"1", b"2", b"3")
    assert (bench.publisher.sent, bench.publisher.outstanding, bench.publisher.delivered) == (3, 3, 0)
    bench.client.answer(count=2)
    assert (bench.publisher.sent, bench.publisher.outstanding, bench.publisher.delivered) == (3, 1, 2)
    assert bench.delivered == [(3, 40), (3, 41)]


def test_a_record_that_failed_or_has_no_place_is_not_told_as_delivered(bench: Bench) -> None:
    bench.send(b"1", b"2", b"3")
    bench.client.answer(KafkaError(KafkaError._PURGE_QUEUE), count=1)
    bench.client.answer(count=1, partition=None)
    bench.client.answer(count=1, offset=None)
    assert bench.delivered == []


def test_records_without_a_listener_need_no_report(bench: Bench) -> None:
    bench.publisher.send("market.book", b"key", b"1")
    ((_, _, report),) = bench.client.queued
    assert report is None


def test_the_queue_is_bounded_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told, default = Bench(monkeypatch, queue_messages=77), Bench(monkeypatch)
    assert told.publisher.queue_messages == told.client.config["queue.buffering.max.messages"] == 77
    assert default.publisher.queue_messages == default.client.config["queue.buffering.max.messages"] > 77


def test_what_finds_no_room_waits_in_its_order_also_the_end_of_a_key(bench: Bench) -> None:
    bench.client.room = 2
    bench.send(b"1", b"2", b"3", None)
    assert (bench.publisher.congested, bench.publisher.outstanding) == (True, 4)
    bench.client.answer(count=1)
    bench.client.room = 10
    # There is room now, but what waits goes first.
    bench.send(b"5")
    bench.publisher.poll()
    assert bench.client.sent == [b"1", b"2", b"3", None, b"5"]
    assert (bench.publisher.congested, bench.publisher.outstanding, bench.publisher.delivered) == (
        False,
        4,
        1,
    )
    assert bench.delivered == [(3, 40)]


def test_it_is_congested_since_any_record_found_room(bench: Bench) -> None:
    bench.client.room = 1
    bench.send(b"1", b"2")
    bench.time.sleep(3.0)
    bench.send(b"3")
    bench.publisher.poll()
    assert bench.publisher.congested_s == 3.0
    bench.client.answer(count=1)
    bench.publisher.poll()
    assert (bench.client.sent, bench.publisher.congested_s) == ([b"1", b"2"], 0.0)
    bench.time.sleep(2.0)
    assert bench.publisher.congested_s == 2.0
    bench.client.answer(count=1)
    bench.publisher.poll()
    bench.time.sleep(2.0)
    assert (bench.publisher.congested, bench.publisher.congested_s) == (False, 0.0)


def test_dead_letters_without_room_hold_the_streams_back(bench: Bench) -> None:
    bench.letter()
    assert not bench.publisher.congested
    bench.letters.room = 1
    bench.letter()
    assert (bench.publisher.congested, bench.publisher.congested_s, bench.publisher.outstanding) == (
        True,
        0.0,
        0,
    )


def test_a_record_that_no_topic_takes_ends_the_producer_and_does_not_count(bench: Bench) -> None:
    bench.client.refusal = failed(KafkaError.MSG_SIZE_TOO_LARGE)
    bench.send(b"1")
    assert (bench.publisher.sent, bench.publisher.outstanding) == (0, 0)
    with pytest.raises(BrokerError, match=r"Kafka at broker:9092: the producer cannot go on: "):
        bench.publisher.poll()


def test_the_first_fatal_error_is_told_whichever_call_raises_it(bench: Bench) -> None:
    bench.client.fatal = failed(KafkaError._FATAL)
    with pytest.raises(BrokerError) as caught:
        bench.publisher.poll()
    bench.client.config["error_cb"](KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert bench.publisher.failure is caught.value


def test_errors_that_librdkafka_retries_are_counted_and_the_first_is_said(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        bench.client.config["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN))
    bench.publisher.poll()
    assert (bench.publisher.retriable_errors, bench.publisher.failure, len(caplog.messages)) == (3, None, 1)


TOPICS = frozenset(("market.trades", "market.book", "market.depth"))


def test_a_doubt_is_raised_between_the_reports_of_before_an_error_and_those_of_after_it(
    bench: Bench,
) -> None:
    told: list[object] = []
    bench.publisher.doubt = lambda: told.append("doubt")
    for value in (b"1", b"2"):
        bench.publisher.send("t", b"k", value, lambda _partition, offset: told.append(offset))
    bench.client.answer(count=1, offset=7)
    bench.client.config["error_cb"](KafkaError(KafkaError._TRANSPORT))
    bench.client.answer(offset=8)
    bench.client.config["error_cb"](KafkaError(KafkaError._FATAL))
    assert told == [7, "doubt", 8], "a fatal error ends the producer"


def test_reports_are_taken_by_one_thread_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two would tell of them in any order, and an offset that comes again means a loss."""
    served: list[str] = []

    def flush(timeout: float) -> int:
        bench.publisher.poll()  # of the event loop, while the other thread is here
        served.append("flush")
        bench.client.answer()
        return 0

    monkeypatch.setattr(bench.client, "flush", flush)
    monkeypatch.setattr(bench.client, "poll", lambda _timeout: served.append("poll"))
    bench.send(b"1")
    assert asyncio.run(bench.publisher.flush(5.0)) == 0
    assert served == ["poll", "flush", "poll"]


def test_a_start_waits_ten_seconds_for_a_broker(bench: Bench) -> None:
    began_s = bench.time.now_s
    with pytest.raises(BrokerUnavailable, match=r'no broker answers at "broker:9092" \(connection refused\)'):
        bench.publisher.start(TOPICS)
    assert bench.client.asked_for_s == [10.0]
    assert bench.time.now_s == began_s + 10.0


def test_a_start_asks_again_while_the_ten_seconds_last_but_not_for_a_moment_only(bench: Bench) -> None:
    refusals = [3.0, 6.5, 0.2]

    def refused(timeout: float) -> Any:
        bench.client.asked_for_s.append(timeout)
        bench.time.sleep(refusals.pop(0))
        if not refusals:
            return SimpleNamespace(topics=dict.fromkeys(TOPICS))
        raise failed(KafkaError._TRANSPORT)

    bench.client.list_topics = refused  # type: ignore[method-assign]
    bench.publisher.start(TOPICS)
    assert bench.client.asked_for_s == [10.0, 7.0, 1.0]


def test_a_start_names_a_topic_that_is_missing_and_counts_the_others(bench: Bench) -> None:
    bench.client.topics = ["market.trades", "market.book", "market.depth", "other"]
    bench.publisher.start(TOPICS)
    bench.client.topics = ["market.trades", "market.book"]
    with pytest.raises(BrokerError, match=r"topic market\.depth does not exist on broker:9092; create"):
        bench.publisher.start(TOPICS)
    bench.client.topics = ["market.book"]
    with pytest.raises(BrokerError, match=r"topic market\.depth does not .* \(1 more are missing\); create"):
        bench.publisher.start(TOPICS)


def test_the_memory_broker_makes_its_topics_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, memory_broker=True)
    bench.client.topics = []
    bench.publisher.start(TOPICS)


@pytest.mark.parametrize(("takes_s", "in_time"), [(2.9, True), (3.2, False)])
def test_a_blocking_flush_has_so_many_seconds(bench: Bench, takes_s: float, in_time: bool) -> None:
    bench.send(b"1", b"2")
    bench.client.answers_at_s = bench.time.now_s + takes_s
    if in_time:
        bench.publisher.flush_now(3.0)
        assert bench.publisher.outstanding == 0
    else:
        with pytest.raises(BrokerUnavailable, match=r"broker:9092 has not taken 2 records in 3 s"):
            bench.publisher.flush_now(3.0)


@pytest.mark.parametrize(("takes_s", "left"), [(2.9, 0), (3.2, 1)])
def test_a_blocking_flush_waits_three_seconds_more_for_dead_letters(
    bench: Bench, takes_s: float, left: int
) -> None:
    bench.send(b"1")
    bench.letter()
    bench.client.answers_at_s = bench.time.now_s + 1.0
    bench.letters.answers_at_s = bench.time.now_s + 1.0 + takes_s
    began_s = bench.time.now_s
    bench.publisher.flush_now(2.0)
    assert bench.publisher.dead_letters.outstanding == left
    assert bench.time.now_s - began_s < 1.0 + min(takes_s, 3.0) + 0.2


def flushed(bench: Bench, timeout_s: float) -> int:
    """What a flush leaves.

    For the streams' records librdkafka waits, in a thread, where time passes by itself; for dead letters the
    loop does.
    """

    async def pass_time() -> None:
        while True:
            await asyncio.sleep(0.01)
            if not bench.publisher.outstanding:
                bench.time.sleep(0.01)

    async def flush() -> int:
        passing = asyncio.create_task(pass_time())
        left = await bench.publisher.flush(timeout_s)
        passing.cancel()
        return left

    return run_virtually(flush())


@pytest.mark.parametrize(("takes_s", "left"), [(1.9, 0), (2.5, 2)])
def test_a_flush_ends_in_time_and_says_what_it_leaves(bench: Bench, takes_s: float, left: int) -> None:
    bench.send(b"1", b"2")
    bench.client.answers_at_s = bench.time.now_s + takes_s
    began_s = bench.time.now_s
    assert flushed(bench, 2.0) == left
    assert bench.time.now_s - began_s < 2.2
    assert set(bench.client.waits_s) == {0.0, 0.1}, "librdkafka is asked in slices, so that a stop is seen"


@pytest.mark.parametrize(
    ("timeout_s", "takes_s", "left"), [(9.0, 2.9, 0), (9.0, 3.2, 1), (1.0, 0.9, 0), (1.0, 1.2, 1)]
)
def test_a_flush_waits_for_dead_letters_three_seconds_and_not_beyond_its_time(
    bench: Bench, caplog: pytest.LogCaptureFixture, timeout_s: float, takes_s: float, left: int
) -> None:
    bench.letter()
    bench.letters.answers_at_s = bench.time.now_s + takes_s
    began_s = bench.time.now_s
    assert flushed(bench, timeout_s) == 0
    assert bench.publisher.dead_letters.outstanding == left
    assert bench.time.now_s - began_s < min(takes_s, timeout_s, 3.0) + 0.2
    said = ["1 dead letters were not delivered to broker:9092 in time"] if left else []
    assert caplog.messages == said


def test_room_is_there_when_nothing_waits_any_more(bench: Bench) -> None:
    bench.client.room = 1
    bench.send(b"1", b"2", b"3")

    async def wait() -> list[int]:
        waiting = asyncio.create_task(bench.publisher.room())
        left = []
        while not waiting.done():
            await asyncio.sleep(1.0)
            left.append(bench.publisher.outstanding)
            bench.client.answer(count=1)
        return left

    assert run_virtually(wait()) == [3, 2, 1]
