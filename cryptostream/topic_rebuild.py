"""Makes a topic anew with all its records, each key's in their order, on another number of partitions.

What an admin changing the number leaves behind: the records of one key on two partitions, and its state on a
third (docs/decisions/partitions.md). Producers and consumers are stopped meanwhile. The records are kept in a
directory until the new topic has them all; a rebuild that was interrupted goes on from there.
"""

from __future__ import annotations

import heapq
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from consumers.assignment import bounds_of, counts_of, read_states
from consumers.ledger_snapshot import newer
from consumers.streams import Stream, streams
from cryptostream.ledger_rebuild import moved
from cryptostream.topic_spool import KeptRecord, Sending, packed, records_file, unpacked
from cryptostream.topics_admin import ensure_topics
from shared.errors import BrokerError, BrokerUnavailable, UsageError
from shared.intervals import INTERVAL_MS
from shared.kafka import LIBRDKAFKA_LOG, cause, consumer_config, quiet_consumer
from shared.topics import LEDGER, LEDGER_SNAPSHOT, TRADES, klines_topic

_TIMEOUT_S: Final = 30.0
# The broker says nothing for so long only if it is in trouble.
_SILENCE_S: Final = 60.0
_POLL_S: Final = 0.2
_COMPLETE: Final = "complete"

Say = Callable[[str], None]


def stream_to_rebuild(topic: str) -> Stream:
    """The stream whose source this topic is.

    Raises:
        UsageError: it is none whose consumers can begin at its first record.
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
    """How many records the topic has; those of its state and of its open bars are made empty, but for the
    ledger's: what its old events have said is in its snapshots alone.

    Raises:
        BrokerError: its producers or consumers run, or the broker refuses; what was read is kept.
    """
    try:
        return _rebuild(bootstrap_servers, stream, partitions, directory, say)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"--spool {directory}: {reason}; name a directory that can be written") from None


def _rebuild(bootstrap_servers: str, stream: Stream, partitions: int, directory: Path, say: Say) -> int:
    admin: Any = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0}, logger=LIBRDKAFKA_LOG)
    _require_stopped(admin, stream)
    spool = directory / stream.topic
    # 1. All records are in files; from here on nothing is lost, whatever happens.
    if not _is_whole(bootstrap_servers, stream, spool):
        say(f"reading {stream.topic} into {spool}")
        _read(bootstrap_servers, stream, spool)
    # 2. The topic is made anew, and without its old state.
    _delete_topics(admin, stream)
    ensure_topics(bootstrap_servers, (stream.interval,) if stream.interval else (), partitions=partitions)
    # 3. Each key's records in their order, on the partition that its key now has.
    count = _publish(bootstrap_servers, stream.topic, spool)
    if stream.topic == LEDGER:
        _publish_snapshots(bootstrap_servers, spool, partitions)
    # 4. Consumers begin at the first record; their points and claims are those of before, by identity.
    _forget_group(admin, stream)
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
    """What the broker says of the stream's group, or None; asked again while its coordinator is busy."""
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
    """Whether the directory has all records that there are: of a rebuild that was interrupted.

    One that came to its end, but for its last step, leaves records to which others were added since.
    """
    if not (spool / _COMPLETE).is_file():
        return False
    kept = int((spool / _COMPLETE).read_text())
    config = consumer_config(bootstrap_servers, f"{stream.group}.rebuild", "cryptostream-rebuild")
    consumer = quiet_consumer(config)
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
    consumer = quiet_consumer(config | {"enable.partition.eof": True})
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
                file.flush()
                os.fsync(file.fileno())
        if stream.topic == LEDGER:
            _keep_snapshots(config, spool)
        if any(bounds_of(consumer, stream.topic, number)[1] != end for number, end in ends.items()):
            raise BrokerError(f"--rebuild: {stream.topic} is still written to; stop the producers first")
    finally:
        consumer.close()
    with (spool / _COMPLETE).open("w") as mark:
        mark.write(str(kept))
        mark.flush()
        os.fsync(mark.fileno())


def _records_of(consumer: Consumer, topic: str, count: int) -> Iterator[tuple[int, KeptRecord]]:
    """All records of a topic with their partitions, to the ends."""
    unread = set(range(count))
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in unread])
    silent_polls = 0
    while unread:
        messages = consumer.consume(5_000, _POLL_S)
        silent_polls = 0 if messages else silent_polls + 1
        if silent_polls * _POLL_S > _SILENCE_S:
            raise BrokerUnavailable(
                f"topic {topic} could not be read to its end; see whether the broker is up"
            )
        for message in messages:
            error, number = message.error(), message.partition() or 0
            if error is None:
                key, value = message.key(), message.value()
                yield number, KeptRecord(message.timestamp()[1], _bytes(key) or b"", _bytes(value))
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(number)
            else:
                raise BrokerError(f"topic {topic} cannot be read: {error.str()}")


def _keep_snapshots(config: dict[str, Any], spool: Path) -> None:
    count = counts_of(config, (LEDGER_SNAPSHOT,)).get(LEDGER_SNAPSHOT, 0)
    states = read_states(config, LEDGER_SNAPSHOT, range(count), replaces=newer)
    for number, state in states.items():
        records = (KeptRecord(0, key, value) for key, value in state.items())
        with (spool / f"{number}.snapshots").open("wb") as file:
            file.write(b"".join(map(packed, records)))
            file.flush()
            os.fsync(file.fileno())


def _publish_snapshots(bootstrap_servers: str, spool: Path, partitions: int) -> None:
    states = []
    for path in sorted(spool.glob("*.snapshots")):
        with path.open("rb") as file:
            states.append({record.key: record.value or b"" for record in unpacked(file)})
    outbox = Sending(bootstrap_servers, LEDGER_SNAPSHOT, spool)
    for partition, key, value in moved(states, partitions):
        outbox.send(key, value, partition)
    outbox.finish()


def _delete_topics(admin: AdminClient, stream: Stream) -> None:
    doomed = [topic for topic in (stream.topic, stream.state_topic, stream.live_topic) if topic]
    for topic, future in admin.delete_topics(doomed, request_timeout=_TIMEOUT_S).items():
        try:
            future.result(_TIMEOUT_S)
        except KafkaException as error:
            if cause(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise BrokerError(f"topic {topic} cannot be deleted: {cause(error).str()}") from None
    for _ in range(int(_TIMEOUT_S / _POLL_S)):
        if not set(doomed) & admin.list_topics(timeout=_TIMEOUT_S).topics.keys():
            return
        admin.poll(_POLL_S)
    raise BrokerUnavailable(f"topic {doomed[0]} was deleted, but is still there after {_TIMEOUT_S:.0f} s")


def _publish(bootstrap_servers: str, topic: str, spool: Path) -> int:
    outbox = Sending(bootstrap_servers, topic, spool)
    with ExitStack() as opened:
        files = [opened.enter_context(path.open("rb")) for path in sorted(spool.glob("*.records"))]
        # Of two partitions the one that had a key before has the earlier times: the broker's own.
        for record in heapq.merge(*map(unpacked, files), key=lambda record: record.time_ms):
            outbox.send(record.key, record.value)
    return outbox.finish()


def _forget_group(admin: Any, stream: Stream) -> None:
    _of_group(admin, stream, lambda: admin.delete_consumer_groups([stream.group], request_timeout=_TIMEOUT_S))


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
