"""The producer: a bounded queue, and callbacks that run within its calls alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError

from shared.partitioner import partition_of
from tests.simulation.kafka.broker import Broker
from tests.simulation.kafka.log import Entry
from tests.simulation.kafka.messages import At, Headers, Message, error_of, failure
from tests.simulation.kafka.metadata import metadata_of
from tests.simulation.kafka.sending import Report, Sending

_MESSAGE_BYTES: Final = 1_000_000
# Until then an unknown topic may only be new.
_PROPAGATION_MS: Final = 30_000


class Producer:
    """With the calls of `confluent_kafka.Producer` that our code makes."""

    def __init__(self, broker: Broker, config: dict[str, Any]) -> None:
        self._world = broker.world
        self._broker = broker
        self._most_records = int(config.get("queue.buffering.max.messages", 100_000))
        self._most_bytes = 1024 * int(config.get("queue.buffering.max.kbytes", 1_048_576))
        self._unknown_s = config.get("topic.metadata.propagation.max.ms", _PROPAGATION_MS) / 1000
        self._error_cb: Callable[[KafkaError], None] | None = config.get("error_cb")
        self._count = 0
        self._bytes = 0
        self._known: set[At] = set()  # partitions that exist
        self._partitions: dict[tuple[str, bytes], int] = {}  # by topic and key
        # Of a batch each, as the client's library hands them over.
        self._reports: deque[tuple[KafkaError | None, list[tuple[Report, Message]]]] = deque()
        self._fatal: KafkaError | None = None
        self._fatal_told = True
        self._sending = Sending(broker, config, self._done, self._fail)
        self.link = self._sending.link

    # -- the application's calls -------------------------------------------------------------------------

    def produce(  # noqa: PLR0917 - the library's parameters
        self,
        topic: str,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        on_delivery: Report = None,
        timestamp: int = 0,
        headers: Headers = None,
        callback: Report = None,
    ) -> None:
        """Queue a record. Raises BufferError: the queue is full. Raises KafkaException."""
        if isinstance(value, str):
            value = value.encode()
        if isinstance(key, str):
            key = key.encode()
        size = len(value or b"") + len(key or b"")
        if self._fatal is not None:
            raise failure(KafkaError._FATAL, "Unable to produce message: Local: Fatal error")
        if size > _MESSAGE_BYTES:
            raise failure(KafkaError.MSG_SIZE_TOO_LARGE)
        if self._count >= self._most_records or self._bytes + size > self._most_bytes:
            raise BufferError("Local: Queue full")
        self._count += 1
        self._bytes += size
        report = on_delivery or callback
        if partition < 0:
            partition = self._partition(topic, key)
        at = topic, partition
        entry = Entry(key, value, headers)
        if at in self._known or self._exists(at):
            self._sending.add(at, entry, size, report)
        else:
            self._world.later(self._unknown_s, partial(self._unknown, at, entry, report))

    def poll(self, timeout: float = -1) -> int:
        """Run callbacks that are due, or wait for one; their number. Raises KafkaException: a fatal error."""
        if not self._due() and timeout:
            self._world.wait(self._due, timeout if timeout > 0 else 1e9)
        return self._serve()

    def flush(self, timeout: float = -1) -> int:
        """Wait until everything is delivered; the number of records that are not."""
        deadline_s = self._world.now_s() + (timeout if timeout >= 0 else 1e9)
        self._sending.hurry()
        while len(self):
            self._serve()
            left_s = deadline_s - self._world.now_s()
            if left_s <= 0 or not len(self):
                break
            self._world.wait(self._due, left_s)
        self._serve()
        return len(self)

    def __len__(self) -> int:
        # What waits for `poll` counts too.
        return self._count + len(self._reports) + len(self.link.errors) * (self._error_cb is not None)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """Brokers and topics. Raises KafkaException."""
        ask = partial(metadata_of, self._broker, topic)
        return self.link.call(ask, timeout if timeout >= 0 else 60.0, KafkaError._TRANSPORT)

    # -- callbacks ---------------------------------------------------------------------------------------

    def _due(self) -> bool:
        return bool(self._reports) or not self._fatal_told or bool(self.link.errors)

    def _serve(self) -> int:
        served = 0
        errors = self.link.errors
        while errors:
            error = errors.pop(0)
            if self._error_cb is not None:
                self._error_cb(error)
                served += 1
        if not self._fatal_told:
            self._fatal_told = True
            assert self._fatal is not None
            raise failure(self._fatal.code(), self._fatal.str(), fatal=True)
        reports = self._reports
        while reports:
            fault, records = reports.popleft()
            served += 1
            for report, record in records:
                self._count -= 1
                if report is not None:
                    report(fault, record)
        return served

    # -- records -----------------------------------------------------------------------------------------

    def _partition(self, topic: str, key: bytes | None) -> int:
        known = self._partitions.get((topic, key)) if key is not None else None
        if known is not None:
            return known
        found = self._broker.topics.get(topic)
        count = len(found.logs) if found is not None else 1
        if key is None:
            return self._world.random.randrange(count)
        chosen = partition_of(key, count)
        if found is not None:
            self._partitions[topic, key] = chosen
        return chosen

    def _exists(self, at: At) -> bool:
        topic = self._broker.topics.get(at[0])
        if topic is None or at[1] >= len(topic.logs):
            return False
        self._known.add(at)
        return True

    def _unknown(self, at: At, entry: Entry, report: Report) -> None:
        if self.link.alive:
            known = at[0] in self._broker.topics
            code = KafkaError._UNKNOWN_PARTITION if known else KafkaError.UNKNOWN_TOPIC_OR_PART
            self._done(at, [entry], [report], KafkaError(code), None)

    def _done(
        self,
        at: At,
        entries: Iterable[Entry],
        reports: Iterable[Report],
        error: KafkaError | None,
        records: Iterable[Message] | None,
    ) -> None:
        if records is None:
            records = [Message(at, None, key, value, headers, error=error) for key, value, headers in entries]
        told = list(zip(reports, records, strict=True))
        for _, record in told:
            self._bytes -= len(record) + len(record.key() or b"")
        self._reports.append((error, told))

    def _fail(self, code: int, text: str) -> None:
        self._fatal, self._fatal_told = error_of(code, text, fatal=True), False
