"""Rebuilds a topic on another number of partitions, with all records in the order of their keys.

Needed after an admin changed the number: the records of one key are then on two partitions, and its state on
a third (docs/decisions/partitions.md). Producers and consumers must be stopped. A directory keeps the records
until the new topic has them all; an interrupted rebuild continues from there.
"""

from __future__ import annotations

import heapq
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from consumers.enrich.port import StateRecord
from consumers.ledger_snapshot import (
    PARTITION_KEY,
    PartitionSnapshot,
    SeriesSnapshot,
    decode_partition,
    decode_series,
    newer,
)
from consumers.partitions.counts import counts_of
from consumers.partitions.offsets import bounds_of
from consumers.partitions.states import read_states
from consumers.streams import Stream, streams
from cryptostream.topic_spool import KeptRecord, SpoolPublisher, packed, records_file, unpacked
from cryptostream.topics_admin import ensure_topics
from shared.errors import BrokerError, BrokerUnavailable, UsageError
from shared.intervals import INTERVAL_MS
from shared.kafka import KAFKA, admin_config, cause, consumer_config
from shared.kafka_reader import read_to_end
from shared.messages import message_key
from shared.partitioner import partition_of
from shared.topics import LEDGER, LEDGER_SNAPSHOT, TRADES, klines_topic

_TIMEOUT_S: Final = 30.0
# A healthy broker is never silent for so long.
_SILENCE_S: Final = 60.0
_POLL_S: Final = 0.2
_COMPLETE: Final = "complete"

Say = Callable[[str], None]


def stream_to_rebuild(topic: str) -> Stream:
    """The stream with this source topic.

    Raises:
        UsageError: the consumers of this topic cannot begin at its first record.
    """
    interval = next((name for name in INTERVAL_MS if klines_topic(name) == topic), None)
    plain = {TRADES: "trades", LEDGER: "ledger"}.get(topic)
    if interval is None and plain is None:
        raise UsageError(
            f"--rebuild: {topic!r} is not a topic that can be made anew;"
            f" market.klines.…, {TRADES} and {LEDGER} are"
        )
    names, intervals = (("klines",), (interval,)) if interval else ((str(plain),), ())
    (stream,) = streams(names, intervals, memory_broker=False)
    return stream


def rebuild(bootstrap_servers: str, stream: Stream, partitions: int, directory: Path, say: Say) -> int:
    """Rebuild the topic; returns the number of its records.

    Its state topic and that of its open bars become empty. The ledger's snapshots are kept: they alone cover
    events that were deleted.

    Raises:
        BrokerError: producers or consumers run, or the broker refuses; the records read so far are kept.
    """
    try:
        return _rebuild(bootstrap_servers, stream, partitions, directory, say)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"--spool {directory}: {reason}; name a directory that can be written") from None


def _rebuild(bootstrap_servers: str, stream: Stream, partitions: int, directory: Path, say: Say) -> int:
    admin: Any = KAFKA.admin(admin_config(bootstrap_servers))
    _require_stopped(admin, stream)
    spool = directory / stream.topic
    # 1. All records are in files: from here on no failure loses any.
    if not _is_whole(bootstrap_servers, stream, spool):
        say(f"reading {stream.topic} into {spool}")
        _read(bootstrap_servers, stream, spool)
    # 2. The topic is created anew, and its old state deleted.
    _delete_topics(admin, stream)
    ensure_topics(bootstrap_servers, (stream.interval,) if stream.interval else (), partitions=partitions)
    # 3. Each record goes to the new partition of its key, in order.
    count = _publish(bootstrap_servers, stream.topic, spool)
    if stream.topic == LEDGER:
        _publish_snapshots(bootstrap_servers, spool, partitions)
    # 4. Consumers begin at the first record; they write the same points and claims again, by identity.
    _of_group(admin, stream, lambda: admin.delete_consumer_groups([stream.group], request_timeout=_TIMEOUT_S))
    shutil.rmtree(spool)
    return count


def _require_stopped(admin: Any, stream: Stream) -> None:
    found = _of_group(
        admin, stream, lambda: admin.describe_consumer_groups([stream.group], request_timeout=_TIMEOUT_S)
    )
    if found is not None and found.members:
        raise BrokerError(
            f"--rebuild: group {stream.group} has {len(found.members)} consumers; stop them and the producers"
            " first (one that was killed is forgotten after 10 s)"
        )


def _of_group(admin: Any, stream: Stream, ask: Callable[[], Any]) -> Any:
    """The broker's answer about the stream's group, None if there is no group; retries while it is busy."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return ask()[stream.group].result(_TIMEOUT_S)
        except KafkaException as error:
            if cause(error).code() == KafkaError.GROUP_ID_NOT_FOUND:
                return None
            if time.monotonic() >= deadline:
                raise BrokerUnavailable(f"group {stream.group}: {cause(error).str()}; run it again") from None
        admin.poll(_POLL_S)


def _is_whole(bootstrap_servers: str, stream: Stream, spool: Path) -> bool:
    """Whether the directory has all records of the topic, from an interrupted rebuild.

    A rebuild interrupted in its last step leaves files that lack the records since.
    """
    if not (spool / _COMPLETE).is_file():
        return False
    kept = int((spool / _COMPLETE).read_text())
    config = consumer_config(bootstrap_servers, f"{stream.group}.rebuild", "cryptostream-rebuild")
    consumer = KAFKA.consumer(config)
    try:
        count = counts_of(config, (stream.topic,)).get(stream.topic, 0)
        bounds = [bounds_of(consumer, stream.topic, number) for number in range(count)]
    finally:
        consumer.close()
    return sum(high - low for low, high in bounds) <= kept


def _read(bootstrap_servers: str, stream: Stream, spool: Path) -> None:
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(parents=True)
    config = consumer_config(bootstrap_servers, f"{stream.group}.rebuild", "cryptostream-rebuild")
    consumer = KAFKA.consumer(config | {"enable.partition.eof": True})
    try:
        count = counts_of(config, (stream.topic,)).get(stream.topic)
        if count is None:
            raise BrokerError(f"topic {stream.topic} is not there; create it by: cryptostream topics")
        ends = {number: bounds_of(consumer, stream.topic, number)[1] for number in range(count)}
        kept = 0
        with ExitStack() as opened:
            files = {number: opened.enter_context(records_file(spool, number).open("wb")) for number in ends}
            for number, record in _records_of(consumer, stream.topic, count):
                files[number].write(packed(record))
                kept += 1
            for file in files.values():
                _sync(file)
        if stream.topic == LEDGER:
            _keep_snapshots(config, spool)
        if any(bounds_of(consumer, stream.topic, number)[1] != end for number, end in ends.items()):
            raise BrokerError(f"--rebuild: {stream.topic} is still written to; stop the producers first")
    finally:
        consumer.close()
    with (spool / _COMPLETE).open("w") as mark:
        mark.write(str(kept))
        _sync(mark)


def _records_of(consumer: Consumer, topic: str, count: int) -> Iterator[tuple[int, KeptRecord]]:
    """All records of a topic with their partitions."""
    for message in read_to_end(
        consumer,
        {(topic, number): OFFSET_BEGINNING for number in range(count)},
        silent=f"topic {topic} could not be read to its end; see whether the broker is up",
        # An unread record would be lost.
        unreadable=lambda error: f"topic {topic} cannot be read: {error.str()}",
        patience_s=_SILENCE_S,
    ):
        key, value = message.key(), message.value()
        yield (
            message.partition() or 0,
            KeptRecord(message.timestamp()[1], _bytes(key) or b"", _bytes(value)),
        )


def _keep_snapshots(config: dict[str, Any], spool: Path) -> None:
    count = counts_of(config, (LEDGER_SNAPSHOT,)).get(LEDGER_SNAPSHOT, 0)
    states = read_states(config, LEDGER_SNAPSHOT, range(count), replaces=newer)
    for number, state in states.items():
        records = (KeptRecord(0, key, value) for key, value in state.items())
        with (spool / f"{number}.snapshots").open("wb") as file:
            file.write(b"".join(map(packed, records)))
            _sync(file)


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish_snapshots(bootstrap_servers: str, spool: Path, partitions: int) -> None:
    states = []
    for path in sorted(spool.glob("*.snapshots")):
        with path.open("rb") as file:
            states.append({record.key: record.value or b"" for record in unpacked(file)})
    publisher = SpoolPublisher(bootstrap_servers, LEDGER_SNAPSHOT, spool)
    for partition, key, value in repartitioned(states, partitions):
        publisher.send(key, value, partition)
    publisher.finish()


def _delete_topics(admin: AdminClient, stream: Stream) -> None:
    old = [topic for topic in (stream.topic, stream.state_topic, stream.live_topic) if topic]
    for topic, future in admin.delete_topics(old, request_timeout=_TIMEOUT_S).items():
        try:
            future.result(_TIMEOUT_S)
        except KafkaException as error:
            if cause(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise BrokerError(f"topic {topic} cannot be deleted: {cause(error).str()}") from None
    for _ in range(int(_TIMEOUT_S / _POLL_S)):
        if not set(old) & admin.list_topics(timeout=_TIMEOUT_S).topics.keys():
            return
        admin.poll(_POLL_S)
    raise BrokerUnavailable(f"topic {old[0]} was deleted, but is still there after {_TIMEOUT_S:.0f} s")


def _publish(bootstrap_servers: str, topic: str, spool: Path) -> int:
    publisher = SpoolPublisher(bootstrap_servers, topic, spool)
    with ExitStack() as opened:
        files = [opened.enter_context(path.open("rb")) for path in sorted(spool.glob("*.records"))]
        # A key's earlier partition has the earlier times, which are the broker's.
        for record in heapq.merge(*map(unpacked, files), key=lambda record: record.time_ms):
            publisher.send(record.key, record.value)
    return publisher.finish()


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content


def repartitioned(states: Iterable[Mapping[bytes, bytes]], partitions: int) -> Iterator[StateRecord]:
    """Records of the ledger's snapshot topic for a new number of partitions. Pure.

    Each series goes to the partition of its events, to be read from the first one. What the snapshots say
    stays true, and events that are read again change nothing. Each may cover events that were deleted since,
    so none must be lost: those of a series that lay on two partitions are joined (docs/decisions/ledger.md).

    Args:
        states: the records of the old partitions, by key.
        partitions: how many there are now.
    """
    series: dict[bytes, SeriesSnapshot] = {}
    states = list(states)
    before = [decode_partition(state.get(PARTITION_KEY)) or PartitionSnapshot() for state in states]
    for state in states:
        for key, value in state.items():
            snapshot = decode_series(value) if key != PARTITION_KEY else None
            if snapshot is not None:
                series[key] = series[key].joined(snapshot) if key in series else snapshot
    for key, snapshot in series.items():
        instrument = message_key(snapshot.series.exchange, snapshot.series.symbol)
        record = replace(snapshot, offset=0, generation=0).encode()
        yield StateRecord(partition_of(instrument, partitions), key, record)
    whole = PartitionSnapshot(
        # Another generation than the series': their offsets are of the old topic.
        generation=1,
        heard_ms=max((one.heard_ms for one in before if one.heard_ms is not None), default=None),
        exchange_ms=max((one.exchange_ms for one in before if one.exchange_ms is not None), default=None),
        uncovered=tuple(span for one in before for span in one.uncovered),
    )
    for partition in range(partitions):
        yield StateRecord(partition, PARTITION_KEY, whole.encode())
