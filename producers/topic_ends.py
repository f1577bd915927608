"""Reads the ends of topics backwards, as far as they have what an audit needs. Blocking."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from producers.read_back import DISORDER_MS, Gathering, ReadBack, Windows, stream_time_ms
from shared.errors import InvalidMessage
from shared.kafka import KAFKA, KafkaClients, consumer_config
from shared.kafka_reader import (
    PartitionId,
    answered,
    does_not_answer,
    fatal_alone,
    partitions_of,
    read_to_end,
    watermarks,
)
from shared.messages import decode, message_key
from shared.partitioner import partition_of
from shared.topics import TRADES

_SILENCE_S: Final = 30.0
_BATCH: Final = 1_000
_BATCH_S: Final = 0.05  # how long a batch that is not full takes
_FIRST_CHUNK: Final = 2_000
# Of a partition. They take about a second; what lies before them stays unaudited.
MOST_RECORDS: Final = 100_000
# How far this host's clock may be from the broker's.
_CLOCKS_MS: Final = 60_000
# Records at the start of a chunk whose times say whether it goes back far enough: some may be filled ones.
_LOOKED_AT: Final = 100


class PartitionEnd:
    """How far the end of a partition is read, chunk by chunk, each twice as long as the one before.

    Attributes:
        start, end: offsets of the next chunk, `end` not included.

    Args:
        low, high: first offset that the broker has, and that of the next record.
        begin_ms: what is wanted has later times,
        appended_ms: and was appended later, by the clock of this host.
    """

    def __init__(self, low: int, high: int, begin_ms: int, appended_ms: int = 0) -> None:
        self._begin_ms, self._appended_ms = begin_ms, appended_ms
        self._most = max(low, high - MOST_RECORDS)
        self._size = _FIRST_CHUNK
        self._reached = False
        self.start = self.end = high
        self.go_on()

    @property
    def left(self) -> bool:
        """There is another chunk."""
        return self.start < self.end

    def looks_at(self, offset: int) -> bool:
        """Whether the time of this record is wanted."""
        return not self._reached and offset < self.start + _LOOKED_AT

    def look(self, time_ms: int | None, appended_ms: int | None) -> None:
        """Take the times of a record of the chunk, None where it says nothing of those before it.

        Whoever's it is: what stands before a record was published before it. Its own time alone may mislead,
        for a bar may wait for those before it, and a dead letter is replayed; a clock alone may be wrong.
        """
        young = appended_ms is not None and appended_ms >= self._appended_ms
        if time_ms is not None and time_ms < self._begin_ms - DISORDER_MS and not young:
            self._reached = True

    def go_on(self) -> None:
        """The chunk has been read."""
        self.end = self.start
        if not self._reached:
            self.start = max(self._most, self.end - self._size)
            self._size *= 2


class TopicEnds:
    """Reads once, at the start; commits no offsets."""

    def __init__(self, bootstrap_servers: str, kafka: KafkaClients = KAFKA) -> None:
        self._bootstrap_servers = bootstrap_servers
        config = consumer_config(bootstrap_servers, "cryptostream.start-positions", "cryptostream-read-back")
        # Where a chunk is gone meanwhile, nothing is read in its place, least of all the whole partition.
        self._consumer = kafka.consumer(
            {**config, "enable.partition.eof": True, "auto.offset.reset": "latest"}
        )

    def close(self) -> None:
        self._consumer.close()

    def read_back(self, exchange: str, windows: Windows) -> dict[str, ReadBack]:
        """What the topics have of each symbol in its window.

        Raises:
            BrokerError: they cannot be read.
        """
        gatherings = {
            message_key(exchange, symbol): Gathering(begin_ms, windows.end_ms)
            for symbol, begin_ms in windows.begins_ms.items()
        }
        ends = self._ends(exchange, windows)
        while due := {at: end for at, end in ends.items() if end.left}:
            for message in self._chunks(due):
                _take(message, gatherings, due)
            for end in due.values():
                end.go_on()
        return {symbol: gatherings[message_key(exchange, symbol)].found() for symbol in windows.begins_ms}

    def _ends(self, exchange: str, windows: Windows) -> dict[PartitionId, PartitionEnd]:
        words = does_not_answer(self._bootstrap_servers)
        begins_ms: dict[PartitionId, int] = {}
        for topic in windows.topics:
            count = len(answered(partial(partitions_of, self._consumer, topic), words))
            for symbol, begin_ms in windows.begins_ms.items():
                at = topic, partition_of(message_key(exchange, symbol), count)
                begins_ms[at] = min(begin_ms, begins_ms.get(at, begin_ms))
        now_ms = time.time_ns() // 1_000_000
        return {
            at: PartitionEnd(
                *watermarks(self._consumer, at, words),
                begin_ms,
                now_ms - (windows.end_ms - begin_ms) - _CLOCKS_MS,
            )
            for at, begin_ms in begins_ms.items()
        }

    def _chunks(self, due: Mapping[PartitionId, PartitionEnd]) -> Iterator[Message]:
        """The records of the next chunk of each partition."""
        newest: dict[PartitionId, int] = {}
        for message in read_to_end(
            self._consumer,
            {at: end.start for at, end in due.items()},
            silent=f"KAFKA_BOOTSTRAP_SERVERS: {self._bootstrap_servers} has been silent for"
            f" {_SILENCE_S:.0f} s while reading {next(iter(due))[0]}; see whether the broker is well",
            unreadable=fatal_alone(f"Kafka at {self._bootstrap_servers}: bars cannot be read back"),
            batch=_BATCH,
            poll_s=_BATCH_S,
            patience_s=_SILENCE_S,
            enough=lambda *at: newest.get(at, -1) >= due[at].end - 1,
        ):
            at, offset = _at(message), message.offset() or 0
            newest[at] = offset
            if offset < due[at].end:
                yield message
        self._consumer.unassign()


def _take(
    message: Message, gatherings: Mapping[bytes, Gathering], ends: Mapping[PartitionId, PartitionEnd]
) -> None:
    topic, offset = message.topic() or "", message.offset() or 0
    gathering, end = gatherings.get(message.key() or b""), ends[_at(message)]
    if gathering is None and not end.looks_at(offset):
        return
    content = _content(topic, message)
    if content is None:
        return
    if end.looks_at(offset):
        kind, appended_ms = message.timestamp()
        end.look(stream_time_ms(topic, content), appended_ms if kind == TIMESTAMP_LOG_APPEND_TIME else None)
    if gathering is not None:
        gathering.receive(topic, offset, content)


def _at(message: Message) -> PartitionId:
    return message.topic() or "", message.partition() or 0


def _content(topic: str, message: Message) -> Any:
    """None if it breaks its contract: the consumers send it to the dead letters."""
    try:
        return decode("trade" if topic == TRADES else "kline", message.value())
    except InvalidMessage:
        return None
