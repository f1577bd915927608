"""Creates the declared topics and checks those that exist (DESIGN §4.1)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import KAFKA, admin_config, cause
from shared.kafka_reader import cluster, no_answer
from shared.topics import DEFAULT_PARTITIONS, LEDGER, TRADES, Topic, declared_topics

TIMEOUT_S: Final = 10.0
_CREATE_TIMEOUT_S: Final = 30.0

Status = Literal["ok", "created", "fixed", "differs", "missing"]


@dataclass(frozen=True, slots=True)
class TopicReport:
    """State of a declared topic; `detail` says what differs, `fixable` whether `fix` would correct it."""

    name: str
    status: Status
    partitions: int
    detail: str = ""
    fixable: bool = False

    @property
    def good(self) -> bool:
        return self.status in ("ok", "created", "fixed")


@dataclass(frozen=True, slots=True)
class Found:
    """A topic on the broker."""

    partitions: int
    config: Mapping[str, str]


def differences(topic: Topic, found: Found, partitions: int) -> tuple[str | None, dict[str, str]]:
    """What differs from the declaration: the partition count, and settings with their declared values.

    The count is never changed: a key would go to another partition than its history and its state
    (DESIGN §4.1).
    """
    count = None
    if found.partitions != partitions:
        count = f"{found.partitions} partitions, declared {partitions}; not changed, {way_out(topic, found)}"
    wrong = {
        name: value
        for name, value in topic.config().items()
        if name in found.config and found.config[name] != value
    }
    return count, wrong


def way_out(topic: Topic, found: Found) -> str:
    """What an operator can do about a partition count that differs."""
    if topic.name.startswith("market.klines.") or topic.name in (TRADES, LEDGER):
        return (
            f"make the topic anew: cryptostream topics --rebuild {topic.name}"
            f" (or hold all to it: --partitions {found.partitions})"
        )
    return f"make the topic anew, or hold all to it: --partitions {found.partitions}"


def ensure_topics(
    bootstrap_servers: str,
    intervals: Sequence[str],
    *,
    fix: bool = False,
    partitions: int = DEFAULT_PARTITIONS,
    report_only: bool = False,
) -> list[TopicReport]:
    """Create the missing topics, check the others.

    Args:
        fix: set settings that differ to their declared values.
        report_only: change nothing (the memory broker cannot declare topics).

    Raises:
        BrokerUnavailable: no broker at this address.
        BrokerError: the broker refused.
    """
    admin = KAFKA.admin(admin_config(bootstrap_servers))
    present = _partition_counts(admin, bootstrap_servers)
    declared = declared_topics(intervals)
    if report_only:
        return [_presence(topic, present) for topic in declared]
    missing = [topic for topic in declared if topic.name not in present]
    created = _create(admin, missing, partitions)
    reports = {topic.name: TopicReport(topic.name, "created", partitions) for topic in created}
    if missing:
        present = _all_present(admin, bootstrap_servers, declared)
    there = [topic for topic in declared if topic.name not in reports]
    configs = _configs(admin, [topic.name for topic in there])
    for topic in there:
        found = Found(present[topic.name], configs[topic.name])
        reports[topic.name] = _checked(admin, topic, found, partitions, fix=fix)
    return [reports[topic.name] for topic in declared]


def check_topics(
    bootstrap_servers: str,
    intervals: Sequence[str],
    *,
    partitions: int = DEFAULT_PARTITIONS,
    timeout_s: float = TIMEOUT_S,
) -> list[TopicReport]:
    """State of the declared topics; changes nothing.

    Args:
        timeout_s: how long the broker may take to answer.

    Raises:
        BrokerUnavailable, BrokerError: as `ensure_topics`.
    """
    admin = KAFKA.admin(admin_config(bootstrap_servers))
    present = _partition_counts(admin, bootstrap_servers, timeout_s)
    declared = declared_topics(intervals)
    configs = _configs(admin, [topic.name for topic in declared if topic.name in present])
    return [
        _checked(admin, topic, Found(present[topic.name], configs[topic.name]), partitions, fix=False)
        if topic.name in present
        else TopicReport(topic.name, "missing", 0)
        for topic in declared
    ]


def _partition_counts(
    admin: AdminClient, bootstrap_servers: str, timeout_s: float = TIMEOUT_S
) -> dict[str, int]:
    topics = cluster(admin, silent=no_answer(bootstrap_servers), within_s=timeout_s).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _all_present(admin: AdminClient, bootstrap_servers: str, declared: Sequence[Topic]) -> dict[str, int]:
    """Partition counts once the broker knows all topics.

    The controller knows a new topic a moment before the brokers; a service started in that moment would find
    it missing.
    """
    deadline = time.monotonic() + _CREATE_TIMEOUT_S
    while True:
        present = _partition_counts(admin, bootstrap_servers)
        absent = [topic.name for topic in declared if topic.name not in present]
        if not absent:
            return present
        if time.monotonic() > deadline:
            raise BrokerUnavailable(
                f"topic {absent[0]} was created, but {bootstrap_servers} does not know it "
                f"after {_CREATE_TIMEOUT_S:.0f} s; see the broker's log"
            )
        admin.poll(0.2)


def _presence(topic: Topic, present: Mapping[str, int]) -> TopicReport:
    if topic.name not in present:
        return TopicReport(topic.name, "missing", 0, "appears with its first record")
    return TopicReport(topic.name, "ok", present[topic.name])


def _create(admin: AdminClient, topics: Sequence[Topic], partitions: int) -> list[Topic]:
    """Create topics; returns those that nobody else created meanwhile."""
    if not topics:
        return []
    # -1: the broker's default, one replica on a laptop, three on a cluster.
    wanted = [
        NewTopic(topic.name, num_partitions=partitions, replication_factor=-1, config=topic.config())
        for topic in topics
    ]
    futures = admin.create_topics(wanted, request_timeout=_CREATE_TIMEOUT_S)
    return [topic for topic in topics if _succeeded(futures[topic.name], topic.name, "created")]


def _succeeded(future: Future[Any], name: str, what: str) -> bool:
    try:
        future.result(_CREATE_TIMEOUT_S)
    except KafkaException as error:
        if cause(error).code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise BrokerError(f"topic {name} cannot be {what}: {cause(error).str()}") from None
    except TimeoutError:
        raise BrokerUnavailable(f"topic {name} was not {what} in {_CREATE_TIMEOUT_S:.0f} s") from None
    return True


def _configs(admin: AdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    configs: dict[str, dict[str, str]] = {}
    for resource, future in _described(admin, resources).items():
        _succeeded(future, resource.name, "described")
        configs[resource.name] = {entry.name: str(entry.value) for entry in future.result().values()}
    return configs


def _described(admin: AdminClient, resources: list[Any]) -> dict[Any, Future[Any]]:
    """Describe topics; asks again while a broker does not know a new one yet."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        futures: dict[Any, Future[Any]] = admin.describe_configs(resources, request_timeout=TIMEOUT_S)
        errors = [future.exception(_CREATE_TIMEOUT_S) for future in futures.values()]
        late = any(
            isinstance(error, KafkaException) and cause(error).code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            for error in errors
        )
        if not late or time.monotonic() > deadline:
            return futures
        admin.poll(0.2)


def _checked(admin: AdminClient, topic: Topic, found: Found, partitions: int, *, fix: bool) -> TopicReport:
    count, wrong = differences(topic, found, partitions)
    if wrong and fix:
        _fix(admin, topic.name, wrong)
    settings = "; ".join(
        f"{name} was {found.config[name]}, is {value}"
        if fix
        else f"{name} is {found.config[name]}, declared {value}"
        for name, value in wrong.items()
    )
    detail = "; ".join(filter(None, (count, settings)))
    if count or (wrong and not fix):
        return TopicReport(topic.name, "differs", found.partitions, detail, fixable=bool(wrong) and not fix)
    return TopicReport(topic.name, "fixed" if wrong else "ok", found.partitions, detail)


def _fix(admin: AdminClient, name: str, declared: Mapping[str, str]) -> None:
    entries = [
        ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        for setting, value in declared.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource], request_timeout=TIMEOUT_S).values():
        _succeeded(future, name, "fixed")
