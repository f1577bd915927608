"""Consumer processes on a real broker, with topics and groups of their own."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import orjson
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription, MemberDescription

from cryptostream.engines.kafka import KafkaServer
from shared.kafka import consumer_config, producer_config
from shared.kafka_reader import passed_over, read_to_end
from tests.conftest import ROOT
from tests.integration.kafka_answers import DEADLINE_S, answered


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait for a condition; its value."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)  # between two looks at the condition
    raise AssertionError(f"waited {deadline_s:.0f} s for {what}")


class ConsumerRun:
    """One `python -m consumers` process."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "consumers", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "LOG_LEVEL": "INFO", **environment},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self, timeout_s: float = DEADLINE_S) -> tuple[int, str]:
        """SIGTERM; exit code and what it logged."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, errors


@contextmanager
def consuming(bootstrap_servers: str, path: Path, *arguments: str, **more: str) -> Iterator[ConsumerRun]:
    run = ConsumerRun(
        arguments,
        {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers, "STORE": "sqlite", "SQLITE_PATH": str(path), **more},
    )
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            # Shown by pytest where a test fails.
            print(run.process.communicate()[1])


def publish(bootstrap_servers: str, records: Sequence[tuple[str, bytes, Any]]) -> None:
    """(topic, key, message or bytes), delivered when this returns."""
    producer = Producer(producer_config(bootstrap_servers, "test"))
    for topic, key, message in records:
        value = message if isinstance(message, bytes) else orjson.dumps(message)
        producer.produce(topic, key=key, value=value)
        producer.poll(0)
    assert producer.flush(30) == 0


def read_all(bootstrap_servers: str, topic: str) -> list[Message]:
    """Everything on a topic."""
    config = consumer_config(bootstrap_servers, "test-reader", "test-reader")
    consumer = Consumer({**config, "enable.partition.eof": True})
    messages = list(
        read_to_end(
            consumer,
            {(topic, number): 0 for number in range(6)},
            silent=f"{topic} is not given to its end",
            unreadable=passed_over,
            patience_s=DEADLINE_S,
        )
    )
    consumer.close()
    return messages


def committed(bootstrap_servers: str, group: str, topic: str) -> dict[int, int]:
    """Committed offsets by partition, of partitions that have one."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group})
    places = [TopicPartition(topic, number) for number in range(6)]
    answers = answered(lambda: consumer.committed(places, timeout=10))
    consumer.close()
    return {at.partition: at.offset for at in answers if at.offset >= 0}


def members(bootstrap_servers: str, group: str) -> int:
    """How many consumers of a group have partitions."""
    return sum(bool(member.assignment.topic_partitions) for member in _members(bootstrap_servers, group))


def holders(bootstrap_servers: str, group: str) -> set[str | None]:
    """Slots of a group's members, None for one without, and whoever has no partitions yet left out."""
    found = _members(bootstrap_servers, group)
    return {member.group_instance_id for member in found if member.assignment.topic_partitions}


def member_ids(bootstrap_servers: str, group: str) -> set[str]:
    """Ids that the broker gave to the group's present members; one that was expelled gets another."""
    return {member.member_id for member in _members(bootstrap_servers, group)}


def assignments(bootstrap_servers: str, group: str) -> dict[str, set[tuple[str, int]]]:
    """Topics and partitions by id of the group's members; nothing of a group amid a rebalance."""
    described = _described(bootstrap_servers, group)
    if described is None or described.state != ConsumerGroupState.STABLE:
        return {}
    return {
        member.member_id: {(at.topic, at.partition) for at in member.assignment.topic_partitions}
        for member in described.members
    }


def left(broker: KafkaServer, member: str) -> bool:
    """Whether a member has left its group by itself, by the broker's log: else it was given up in time."""
    log = broker.server.log_file.read_text(encoding="utf-8")
    return f"Member {member} has left group " in log


def _members(bootstrap_servers: str, group: str) -> list[MemberDescription]:
    described = _described(bootstrap_servers, group)
    return [] if described is None else list(described.members)


def _described(bootstrap_servers: str, group: str) -> ConsumerGroupDescription | None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    described = admin.describe_consumer_groups([group], request_timeout=5)[group]
    try:
        # Its stubs promise the whole mapping.
        return cast(ConsumerGroupDescription, described.result(DEADLINE_S))
    except KafkaException:  # a new broker has no coordinator for a while
        return None


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a store that someone may be writing; none while its tables are not made."""
    if not path.exists():
        return []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError as error:
        if "no such" not in str(error):  # table or column
            raise
        return []
    finally:
        connection.close()


def stored_points(path: Path, *measurements: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of these measurements, in the order of their identity."""
    return {name: sorted(rows(path, f'select * from "{name}"'), key=repr) for name in measurements}
