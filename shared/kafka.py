"""Kafka clients' settings, and the one place where a delivery error is judged."""

from __future__ import annotations

import enum
import logging
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException

from shared.errors import BrokerError

# Every client is given this logger, which says nothing: left to itself librdkafka writes lines of its own to
# the terminal, of a fatal error even at `log_level` 0. Ours come once, from where its errors are judged.
LIBRDKAFKA_LOG: Final = logging.getLogger("librdkafka")
LIBRDKAFKA_LOG.setLevel(logging.CRITICAL + 1)
# Kept for Java's clients too: the same key lands on the same partition, whoever writes (DESIGN §4.1).
PARTITIONER: Final = "murmur2_random"
SESSION_TIMEOUT_MS: Final = 10_000
# Members learn by a heartbeat that the group changes: so long do partitions of one that left lie idle.
HEARTBEAT_MS: Final = 1_000
# Longest time between two polls; a store's request and a restore of state stay well below.
MAX_POLL_INTERVAL_MS: Final = 300_000

Config = dict[str, Any]


def producer_config(bootstrap_servers: str, client_id: str, *, memory_broker: bool = False) -> Config:
    """Idempotent, acknowledged by all replicas, compressed, with a bounded queue.

    Undelivered messages wait without a time limit: a dead broker fills the queue, the full queue holds the
    socket back, nothing is dropped.
    """
    return {
        "bootstrap.servers": bootstrap_servers,
        "client.id": client_id,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "partitioner": PARTITIONER,
        # 5 ms gather a batch at 1,000 messages/s and are not seen by a person.
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
    slot: str | None = None,
) -> Config:
    """Offsets are committed by hand, after the store's acknowledgement (DESIGN §5.2).

    Args:
        slot: name of the one member that ever holds it: a restart within the session's time-out gets its
            partitions back at once, without a rebalance. None for replicas that come and go: they leave the
            group when they are closed, and the others take over.
    """
    static = {} if slot is None else {"group.instance.id": slot}
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
        # What stays with its owner goes on being read while the rest moves (KIP-429).
        "partition.assignment.strategy": "cooperative-sticky",
        # Bounded memory: librdkafka prefetches 64 MB a partition otherwise.
        "queued.max.messages.kbytes": 8_192,
        "fetch.max.bytes": 8_388_608,
        "fetch.wait.max.ms": 50,
        "allow.auto.create.topics": memory_broker,
        "topic.metadata.refresh.interval.ms": 10_000,
        "log_level": 3,
    }


def quiet_consumer(config: Config) -> Consumer:
    """A consumer that leaves the terminal to us."""
    return Consumer(config, logger=LIBRDKAFKA_LOG)


def refused(exception: KafkaException) -> BrokerError:
    """The error for what librdkafka says is over for good, or cannot be asked at all."""
    return BrokerError(
        f"Kafka refuses: {cause(exception).str()}; see KAFKA_BOOTSTRAP_SERVERS and the broker's log"
    )


class Verdict(enum.Enum):
    """What a Kafka error means for the service that meets it."""

    RETRIABLE = "retriable"  # librdkafka goes on by itself, or the same message may be sent again
    FATAL = "fatal"  # nothing this process can do mends it: stop with a clear line


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
    """What librdkafka or the broker said."""
    error = exception.args[0]
    assert isinstance(error, KafkaError)
    return error


def verdict(error: KafkaError) -> Verdict:
    """Judge a delivery or client error: everything not known to be fatal is worth another try."""
    return Verdict.FATAL if error.fatal() or error.code() in _FATAL_CODES else Verdict.RETRIABLE
