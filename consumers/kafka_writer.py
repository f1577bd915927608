"""What consumers write to Kafka: state, ledger events, dead letters, metrics."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumers.marks import Spot, as_bytes, crc_of_record
from shared.dead_letters import DeadLetter, Origin, as_json, dead_letter
from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import cause
from shared.topics import DEAD_LETTERS

# A broker that accepts nothing for this long stops the service; the supervisor restarts it.
_ROOM_DEADLINE_S: Final = 60.0
_SAY_AGAIN_S: Final = 60.0

_LOG = logging.getLogger(__name__)

_Report = Callable[[KafkaError | None, Message], None]


class KafkaWriter:
    """One thread's records, sent by a producer that threads share; `flush` waits for this thread's only.

    Attributes:
        dead_letters: how many were sent. lost_letters: how many of them Kafka rejected.
    """

    def __init__(self, producer: Producer, service: str) -> None:
        self._producer = producer
        self._service = service
        self._lock = threading.Lock()
        self._on_its_way = 0
        self._failure: str | None = None
        self.dead_letters = 0
        self.lost_letters = 0
        self._lost_said_s = -_SAY_AGAIN_S
        self._newest: dict[tuple[str, int], Message] = {}
        self._acknowledged_s = time.monotonic()

    @property
    def silence_s(self) -> float:
        """Seconds since the broker last acknowledged a record."""
        return time.monotonic() - self._acknowledged_s

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, *, partition: int | None = None
    ) -> None:
        """Queue a record.

        Raises:
            BrokerUnavailable: the queue stayed full.
            BrokerError: this or an earlier record was rejected for good.
        """
        record: dict[str, Any] = {"key": key, "value": value}
        if partition is not None:
            record["partition"] = partition
        try:
            self._queue(topic, record, self._delivered)
        except KafkaException as error:
            # A record that no topic accepts, or a fatal error of the producer.
            raise BrokerError(
                f"topic {topic}: Kafka takes no record of this process ({cause(error).str()}); start it again"
            ) from None

    def _queue(self, topic: str, record: dict[str, Any], report: _Report) -> None:
        self._raise_failure()
        deadline = time.monotonic() + _ROOM_DEADLINE_S
        while True:
            try:
                self._producer.produce(topic, on_delivery=report, **record)
                break
            except BufferError:
                if time.monotonic() > deadline:
                    raise BrokerUnavailable(
                        f"Kafka has taken no records for {_ROOM_DEADLINE_S:.0f} s; "
                        "see whether the broker is up"
                    ) from None
                self._poll(0.1)
        with self._lock:
            self._on_its_way += 1
        self._poll(0)

    def send_json(self, topic: str, key: bytes, message: Any) -> None:
        self.send(topic, key, orjson.dumps(message))

    def dead_letter(self, message: Message, reason: str) -> None:
        """Send a record to the dead letters: its bytes and key, with the reason and its origin."""
        partition, offset = _or_unknown(message.partition()), _or_unknown(message.offset())
        origin = Origin(reason, message.topic() or "", partition, offset, self._service)
        self._send_letter(dead_letter(origin, as_bytes(message.key()), as_bytes(message.value())))

    def dead_point(self, topic: str, description: dict[str, Any], reason: str) -> None:
        """Send a point that the store rejected to the dead letters, as JSON."""
        origin = Origin(reason, topic, -1, -1, self._service)
        self._send_letter(dead_letter(origin, None, as_json(description)))

    def _send_letter(self, letter: DeadLetter) -> None:
        """A letter that Kafka rejects does not stop the service: it would recur at each start."""
        self.dead_letters += 1
        try:
            self._queue(DEAD_LETTERS, letter._asdict(), self._letter_delivered)
        except KafkaException as error:
            self._lose(cause(error))

    def _letter_delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered(None, message)
            return
        with self._lock:
            self._on_its_way -= 1
        self._lose(error)

    def _lose(self, error: KafkaError) -> None:
        self.lost_letters += 1
        now_s = time.monotonic()
        if now_s - self._lost_said_s >= _SAY_AGAIN_S:
            self._lost_said_s = now_s
            _LOG.warning(
                "%s: dead letter %d could not be written: %s; see `cryptostream topics`",
                self._service,
                self.lost_letters,
                error.str(),
            )

    def newest(self, topic: str, partition: int) -> Spot | None:
        """The last of our records that a partition has acknowledged; None if there is none yet."""
        with self._lock:
            record = self._newest.get((topic, partition))
        return None if record is None else Spot(_or_unknown(record.offset()), crc_of_record(record))

    def flush(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` seconds; whether all records sent so far are acknowledged.

        Raises:
            BrokerError: a record was rejected for good.
        """
        deadline = time.monotonic() + timeout_s
        while self._on_its_way:
            if time.monotonic() >= deadline:
                return False
            # Another thread's poll may run our callbacks, so that this one must not sleep for long.
            self._poll(0.01)
        self._raise_failure()
        return True

    def _poll(self, timeout_s: float) -> None:
        """Run librdkafka's callbacks; after a fatal error its next call raises, whichever it is."""
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:
            raise BrokerError(
                f"Kafka takes no more records of this process ({cause(error).str()}); start it again"
            ) from None

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        with self._lock:
            self._on_its_way -= 1
            if error is None:
                self._acknowledged_s = time.monotonic()
                self._newest[message.topic() or "", _or_unknown(message.partition())] = message
            else:
                self._failure = f"topic {message.topic()} refused a record: {error.str()}"

    def _raise_failure(self) -> None:
        # librdkafka retries without end (shared.kafka): an error here is final.
        if self._failure is not None:
            raise BrokerError(f"{self._failure}; see `cryptostream topics`")


def _or_unknown(number: int | None) -> int:
    return -1 if number is None else number
