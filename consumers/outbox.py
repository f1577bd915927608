"""What consumers write to Kafka: state, ledger events, dead letters, metrics."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumers.marks import Spot, crc_of
from shared.dead_letters import Headers, dead_letter_headers
from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import cause
from shared.topics import DEAD_LETTERS

# A broker that takes nothing for so long stops the service; the supervisor starts it again.
_ROOM_DEADLINE_S: Final = 60.0


class Outbox:
    """One thread's records on a producer that threads share; `flush` waits for this thread's only."""

    def __init__(self, producer: Producer, service: str) -> None:
        self._producer = producer
        self._service = service
        self._lock = threading.Lock()
        self._on_its_way = 0
        self._failure: str | None = None
        self.dead_letters = 0
        self._newest: dict[tuple[str, int], Message] = {}
        self._acknowledged_s = time.monotonic()

    @property
    def silence_s(self) -> float:
        """Seconds since the broker last acknowledged a record."""
        return time.monotonic() - self._acknowledged_s

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Queue a record.

        Raises:
            BrokerUnavailable: the queue stayed full.
            BrokerError: this or an earlier record was refused for good.
        """
        self._raise_failure()
        record: dict[str, Any] = {"key": key, "value": value, "on_delivery": self._delivered}
        if partition is not None:
            record["partition"] = partition
        if headers is not None:
            record["headers"] = headers
        deadline = time.monotonic() + _ROOM_DEADLINE_S
        while True:
            try:
                self._producer.produce(topic, **record)
                break
            except BufferError:
                if time.monotonic() > deadline:
                    raise BrokerUnavailable(
                        f"Kafka has taken no records for {_ROOM_DEADLINE_S:.0f} s; "
                        "see whether the broker is up"
                    ) from None
                self._poll(0.1)
            except KafkaException as error:
                # A record that no topic takes; or the producer is out of step with the broker for good.
                raise BrokerError(
                    f"topic {topic}: Kafka takes no record of this process ({cause(error).str()}); "
                    "start it again"
                ) from None
        with self._lock:
            self._on_its_way += 1
        self._poll(0)

    def send_json(self, topic: str, key: bytes, message: Any) -> None:
        self.send(topic, key, orjson.dumps(message))

    def dead_letter(self, message: Message, reason: str) -> None:
        """Put a record aside: its bytes and key unchanged, with the reason and where it came from."""
        headers = dead_letter_headers(
            reason,
            message.topic() or "",
            _or_unknown(message.partition()),
            _or_unknown(message.offset()),
            self._service,
        )
        self.send(DEAD_LETTERS, _as_bytes(message.key()), _as_bytes(message.value()), headers=headers)
        self.dead_letters += 1

    def dead_point(self, topic: str, description: dict[str, Any], reason: str) -> None:
        """Put aside a point that the store refused, as JSON."""
        headers = dead_letter_headers(reason, topic, -1, -1, self._service)
        self.send(DEAD_LETTERS, None, orjson.dumps(description, default=str), headers=headers)
        self.dead_letters += 1

    def newest(self, topic: str, partition: int) -> Spot | None:
        """The last of our records that a partition has acknowledged; None if there is none yet."""
        with self._lock:
            record = self._newest.get((topic, partition))
        if record is None:
            return None
        return Spot(_or_unknown(record.offset()), crc_of(_as_bytes(record.key()), _as_bytes(record.value())))

    def flush(self, timeout_s: float) -> bool:
        """Whether all records sent so far are acknowledged, waiting up to `timeout_s` seconds.

        Raises:
            BrokerError: a record was refused for good.
        """
        deadline = time.monotonic() + timeout_s
        while self._on_its_way:
            if time.monotonic() >= deadline:
                return False
            # Another thread's poll may run our callbacks, so this one must not sleep for long.
            self._poll(0.01)
        self._raise_failure()
        return True

    def _poll(self, timeout_s: float) -> None:
        """Let librdkafka call back; an error that is fatal to it is raised by whichever call comes next."""
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
        # librdkafka retries what can be retried without end (shared.kafka): an error here is final.
        if self._failure is not None:
            raise BrokerError(f"{self._failure}; see `cryptostream topics`")


def _or_unknown(number: int | None) -> int:
    return -1 if number is None else number


def _as_bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
