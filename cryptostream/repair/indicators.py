"""Resets the indicator state of a series, so that its consumer computes all indicators again."""

from __future__ import annotations

import time
from typing import Any, Final

from confluent_kafka import KafkaException

from consumers.partitions.states import read_states
from consumers.streams import streams
from producers.publisher import Publisher
from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import KAFKA, admin_config, cause, consumer_config
from shared.kafka_reader import TopicReader
from shared.ledger import LedgerSeries
from shared.messages import message_key
from shared.partitioner import partition_of
from shared.topics import indicator_state_topic, klines_topic

_ANSWER_S: Final = 10.0
# A static member stays in the group for the session timeout after its end.
_EMPTY_WITHIN_S: Final = 20.0
_AGAIN_S: Final = 1.0


def without_state(snapshot: bytes) -> bytes:
    """A series' state record reduced to the origin of its indicators.

    A consumer that starts with it reads all bars of the topic and writes them and their indicators again; if
    the topic no longer has the first bar, it enters the new origin as `revised`.
    """
    return snapshot.partition(b"\n")[0] + b"\n"


def forget_indicators(topics: TopicReader, publisher: Publisher, series: LedgerSeries) -> bool:
    """Reset the state of a series; False if there is none, so that a start computes it anyway.

    Raises:
        BrokerError: the consumer is running and would write its state again.
        BrokerUnavailable: the broker does not answer.
    """
    (stream,) = streams(("klines",), (series.interval,), memory_broker=False)
    _require_stopped(topics.bootstrap_servers, stream.group, stream.service)
    topic = indicator_state_topic(series.interval)
    key = message_key(series.exchange, series.symbol)
    partition = partition_of(key, len(topics.bounds(klines_topic(series.interval))))
    config: dict[str, Any] = consumer_config(topics.bootstrap_servers, "cryptostream.command", "repair")
    known = read_states(config, topic, (partition,))[partition].get(key)
    if known is None:
        return False
    # The key selects the same partition: both topics have equally many, and the same partitioner.
    publisher.send(topic, key, without_state(known))
    publisher.flush_now(_ANSWER_S)
    return True


def _require_stopped(bootstrap_servers: str, group: str, service: str) -> None:
    admin = KAFKA.admin(admin_config(bootstrap_servers))
    deadline = time.monotonic() + _EMPTY_WITHIN_S
    while True:
        asked: Any = admin.describe_consumer_groups([group], request_timeout=_ANSWER_S)[group]
        try:
            members = asked.result(_ANSWER_S).members
        except (KafkaException, TimeoutError) as error:
            reason = cause(error).str() if isinstance(error, KafkaException) else "no answer"
            raise BrokerUnavailable(f"group {group} cannot be looked at: {reason}; try again") from None
        if not members:
            return
        if time.monotonic() > deadline:
            raise BrokerError(
                f"{service} runs and would write its state again; stop it, call this once more, then start it"
            )
        time.sleep(_AGAIN_S)
