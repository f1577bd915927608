"""Kafka clients and their settings, and which of their errors are fatal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from shared.errors import BrokerError

# Every client gets this silent logger: by default librdkafka writes its own lines to the terminal, for a
# fatal error even at `log_level` 0. We report each error once, where it is handled.
LIBRDKAFKA_LOG: Final = logging.getLogger("librdkafka")
LIBRDKAFKA_LOG.setLevel(logging.CRITICAL + 1)
# Java's default too: a key lands on the same partition, whichever client writes (DESIGN §4.1).
PARTITIONER: Final = "murmur2_random"
SESSION_TIMEOUT_MS: Final = 10_000  # docs/decisions/sessions.md
# Members learn of a rebalance by heartbeat: partitions of a member that left lie idle for up to this time.
HEARTBEAT_MS: Final = 1_000
# Longest time between two polls; a store's request and a restore of state stay well below.
MAX_POLL_INTERVAL_MS: Final = 300_000

Config = dict[str, Any]


def producer_config(bootstrap_servers: str, client_id: str, *, memory_broker: bool = False) -> Config:
    """Idempotent, acknowledged by all replicas, compressed, with a bounded queue.

    Undelivered messages wait without a time limit: a dead broker fills the queue, the full queue stops
    reading the exchange's socket, and nothing is dropped.
    """
    return {
        "bootstrap.servers": bootstrap_servers,
        "client.id": client_id,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "partitioner": PARTITIONER,
        # 5 ms gather a batch at 1,000 messages/s, too short for a person to notice.
        "linger.ms": 5,
        "queue.buffering.max.messages": 100_000,
        "queue.buffering.max.kbytes": 65_536,
        "message.timeout.ms": 0,
        "topic.metadata.refresh.interval.ms": 60_000,
        "allow.auto.create.topics": memory_broker,
        "log_level": 3,
    }


def consumer_config(
    bootstrap_servers: str,
    group: str,
    client_id: str,
    *,
    memory_broker: bool = False,
    instance_id: str | None = None,
) -> Config:
    """Offsets are committed by hand, after the store's acknowledgement (DESIGN §5.2).

    Args:
        instance_id: of a static member: a restart within the session time-out gets its partitions back at
            once, without a rebalance. None for dynamic members, which leave the group when they are closed.
    """
    static = {} if instance_id is None else {"group.instance.id": instance_id}
    return static | {
        "bootstrap.servers": bootstrap_servers,
        "group.id": group,
        "client.id": client_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": HEARTBEAT_MS,
        "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
        # Partitions that keep their owner are read throughout a rebalance (KIP-429).
        "partition.assignment.strategy": "cooperative-sticky",
        # Bounded memory: librdkafka prefetches 64 MB a partition otherwise.
        "queued.max.messages.kbytes": 8_192,
        "fetch.max.bytes": 8_388_608,
        # With a full queue librdkafka fetches nothing for a second otherwise, and the queue runs empty.
        "fetch.queue.backoff.ms": 10,
        "fetch.wait.max.ms": 50,
        "allow.auto.create.topics": memory_broker,
        "topic.metadata.refresh.interval.ms": 10_000,
        "log_level": 3,
    }


@dataclass(frozen=True, slots=True)
class KafkaClients:
    """Makes the clients of a process, each from its settings.

    Shells take it as a parameter, so that a test or a simulation can give them clients of its own.
    """

    producer: Callable[[Config], Producer]
    consumer: Callable[[Config], Consumer]
    admin: Callable[[Config], AdminClient]


def _producer(config: Config) -> Producer:
    return Producer(config, logger=LIBRDKAFKA_LOG)


def _consumer(config: Config) -> Consumer:
    return Consumer(config, logger=LIBRDKAFKA_LOG)


def _admin(config: Config) -> AdminClient:
    return AdminClient(config, logger=LIBRDKAFKA_LOG)


# Those of librdkafka.
KAFKA: Final = KafkaClients(_producer, _consumer, _admin)


def admin_config(bootstrap_servers: str) -> Config:
    """Of a client that asks about topics, or changes them."""
    return {"bootstrap.servers": bootstrap_servers, "log_level": 0}


def refused(exception: KafkaException) -> BrokerError:
    """The error for a request that librdkafka or the broker rejects for good."""
    return BrokerError(
        f"Kafka refuses: {cause(exception).str()}; see KAFKA_BOOTSTRAP_SERVERS and the broker's log"
    )


_FATAL_CODES: Final = frozenset(
    (
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.POLICY_VIOLATION,
        KafkaError._FATAL,
    )
)


def cause(exception: KafkaException) -> KafkaError:
    """The error of librdkafka or the broker inside the exception."""
    error = exception.args[0]
    assert isinstance(error, KafkaError)
    return error


def is_fatal(error: KafkaError) -> bool:
    """Whether nothing this process does can fix the error; all others are worth another try."""
    return error.fatal() or error.code() in _FATAL_CODES
