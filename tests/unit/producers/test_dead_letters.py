"""Dead letters on their way to Kafka: what goes wrong with one is counted and said, and ends nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from confluent_kafka import KafkaError

import producers.dead_letters
from producers.dead_letters import DeadLetterProducer
from producers.publisher import Publisher
from shared.dead_letters import DeadLetter
from tests.kafka_doubles import clients
from tests.virtual_time import FakeTime

NOWHERE = "127.0.0.1:1"
LETTER = DeadLetter(b"binance:BTCUSDC", b"{}", [("reason", b"a test")])
# Longer than librdkafka takes; no letter is made so, but a broker's bound may be anything.
TOO_LONG = LETTER._replace(value=b"x" * 2_000_000)


class Client:
    """Takes so many letters and answers for them as it is told."""

    def __init__(self, room: int = 10**6) -> None:
        self.room = room
        self.queued: list[tuple[bytes, Any]] = []

    def produce(self, _topic: str, value: bytes, _key: bytes, *, on_delivery: Any, headers: Any) -> None:
        assert headers is not None
        if len(self.queued) >= self.room:
            raise BufferError
        self.queued.append((value, on_delivery))

    def poll(self, _timeout: float) -> int:
        return 0

    def __len__(self) -> int:
        return len(self.queued)

    def answer(self, error: KafkaError | None = None) -> list[bytes]:
        values = [value for value, _ in self.queued]
        for _, report in self.queued:
            report(error, None)
        self.queued.clear()
        return values


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    made = FakeTime()
    monkeypatch.setattr(producers.dead_letters, "time", made)
    return made


class Broker:
    """How many records of the streams it has taken."""

    taken = 0

    def __call__(self) -> int:
        return self.taken


def letters_to(client: Client) -> tuple[DeadLetterProducer, Broker]:
    broker = Broker()
    return DeadLetterProducer(NOWHERE, broker, kafka=clients(producer=lambda _config: client)), broker


def test_a_letter_that_kafka_does_not_take_is_counted_and_the_streams_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    publisher = Publisher(NOWHERE)
    for _ in range(3):
        publisher.send_dead_letter(TOO_LONG)
    publisher.poll()  # raises what ends the service
    assert publisher.failure is None
    assert publisher.dead_letters.lost == 3
    assert len([line for line in caplog.messages if "dead letter 1 could not be written" in line]) == 1
    publisher.send("market.trades", b"key", b"value")
    assert publisher.outstanding >= 1


@pytest.mark.parametrize(
    "code", [KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._FATAL]
)
def test_a_refusal_of_the_broker_is_counted(code: int) -> None:
    client = Client()
    letters, _ = letters_to(client)
    letters.send(LETTER)
    while letters.outstanding:
        client.answer(KafkaError(code))
        letters.poll()
    assert letters.lost == 1


def test_letters_of_a_batch_that_is_too_large_are_sent_again_one_by_one() -> None:
    made: list[Client] = []
    configs: list[Any] = []

    def producer(config: Any) -> Client:
        configs.append(dict(config))
        made.append(Client())
        return made[-1]

    letters = DeadLetterProducer(NOWHERE, Broker(), kafka=clients(producer=producer))
    for number in range(3):
        letters.send(LETTER._replace(value=b"%d" % number))
    made[0].answer(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    letters.poll()
    assert [config.get("batch.num.messages") for config in configs] == [None, 1]
    assert made[1].answer() == [b"0", b"1", b"2"]
    assert (letters.lost, letters.outstanding) == (0, 0)


def test_a_full_queue_holds_the_caller_back_and_keeps_the_order() -> None:
    client = Client(room=2)
    letters, _ = letters_to(client)
    for number in range(5):
        letters.send(LETTER._replace(value=b"%d" % number))
    assert letters.held_back
    assert letters.outstanding == 5
    sent: list[bytes] = []
    while letters.outstanding:
        sent += client.answer()
        letters.poll()
    assert sent == [b"0", b"1", b"2", b"3", b"4"]
    assert (bool(letters.held_back), letters.lost) == (False, 0)


def test_while_kafka_takes_nothing_at_all_letters_wait(time: FakeTime) -> None:
    letters, _ = letters_to(Client(room=1))
    letters.send(LETTER)
    letters.send(LETTER)
    time.now_s += 86_400
    letters.poll()
    assert (bool(letters.held_back), letters.lost) == (True, 0)


def test_letters_alone_that_kafka_does_not_take_hold_the_streams_back_for_half_a_minute(
    time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    client = Client(room=1)
    letters, broker = letters_to(client)
    letters.send(LETTER)
    letters.send(LETTER)
    time.now_s += 29
    broker.taken += 100
    letters.poll()
    assert letters.held_back
    time.now_s += 1
    letters.poll()
    assert (bool(letters.held_back), letters.lost) == (False, 1)
    # The next ones hold nobody up, until one is taken again.
    letters.send(LETTER)
    letters.poll()
    assert (bool(letters.held_back), letters.lost) == (False, 2)
    client.answer()
    letters.send(LETTER)
    letters.send(LETTER)
    letters.poll()
    assert (bool(letters.held_back), letters.lost) == (True, 2)
    assert len(caplog.messages) == 1


def test_what_waits_is_bounded() -> None:
    letters, _ = letters_to(Client(room=0))
    for _ in range(20):
        letters.send(LETTER._replace(value=b"x" * 900_000))
    assert (letters.outstanding, letters.lost) == (4, 16)
