"""Records of a topic in files, and their publication on a new topic."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError

from shared.errors import BrokerError
from shared.kafka import KAFKA, producer_config

# A healthy broker is never silent for so long.
_PATIENCE_S: Final = 60.0
_POLL_S: Final = 0.2
# The broker's time in ms, length of the key, length of the value (-1: none).
_HEAD: Final = struct.Struct(">qii")


class KeptRecord(NamedTuple):
    """One record; `time_ms` is the broker's time."""

    time_ms: int
    key: bytes
    value: bytes | None


def records_file(spool: Path, partition: int) -> Path:
    """The file of a partition's records."""
    return spool / f"{partition}.records"


def packed(record: KeptRecord) -> bytes:
    """A record as bytes."""
    length = -1 if record.value is None else len(record.value)
    return _HEAD.pack(record.time_ms, len(record.key), length) + record.key + (record.value or b"")


def unpacked(file: Any) -> Iterator[KeptRecord]:
    """The records of a file, in order."""
    while head := file.read(_HEAD.size):
        time_ms, key, value = _HEAD.unpack(head)
        yield KeptRecord(time_ms, file.read(key), file.read(value) if value >= 0 else None)


class SpoolPublisher:
    """Publishes records on one topic."""

    def __init__(self, bootstrap_servers: str, topic: str, spool: Path) -> None:
        config = producer_config(bootstrap_servers, "cryptostream-rebuild")
        self._producer = KAFKA.producer(config)
        self._topic = topic
        self._spool = spool
        self._count = 0
        self._failures: list[KafkaError] = []

    def send(self, key: bytes, value: bytes | None, partition: int | None = None) -> None:
        """Queue a record, on its key's partition if none is named."""
        place: dict[str, Any] = {} if partition is None else {"partition": partition}
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=self._delivered, **place)
                break
            except BufferError:
                self._producer.poll(_POLL_S)
        self._count += 1
        self._producer.poll(0)

    def finish(self) -> int:
        """Wait for all acknowledgements; returns the number of records. Raises BrokerError."""
        left = self._producer.flush(_PATIENCE_S)
        if left or self._failures:
            reason = self._failures[0].str() if self._failures else f"{left} records wait"
            raise BrokerError(
                f"topic {self._topic} has not taken all {self._count:,} records ({reason}); they are in"
                f" {self._spool}: run it again"
            )
        return self._count

    def _delivered(self, error: KafkaError | None, message: Any) -> None:  # noqa: ARG002
        if error is not None:
            self._failures.append(error)
