"""Whether a stream's topics fit together: each partition of the source needs one of the state topic.

A record's key decides its partition, and the state of a series has the partition number of its source. Adding
partitions to a topic separates series from their state, and later bars from earlier ones: no consumer can
follow that in order (docs/decisions/partitions.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaException

from consumers.enrich.kline_series import is_snapshot
from consumers.ledger_snapshot import instrument_of
from consumers.partitions.states import States
from consumers.streams import Stream
from shared.errors import BrokerUnavailable
from shared.kafka import KAFKA, KafkaClients, admin_config, cause
from shared.partitioner import partition_of

_REQUEST_TIMEOUT_S: Final = 10.0


def counts_of(config: dict[str, Any], topics: Iterable[str], kafka: KafkaClients = KAFKA) -> dict[str, int]:
    """Partition counts by topic, without missing topics.

    Asked by a client of its own: within a consumer's callbacks `list_topics` makes the client forget its
    running call, and the next callback of that call aborts the process (`CallState_get: Assertion failed`).

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    counts = {}
    admin = kafka.admin(admin_config(config["bootstrap.servers"]))
    for topic in topics:
        try:
            found = admin.list_topics(topic, timeout=_REQUEST_TIMEOUT_S).topics.get(topic)
        except KafkaException as error:
            reason = cause(error).str()
            raise BrokerUnavailable(f"{topic}: Kafka does not tell its partitions: {reason}") from None
        if found is not None and found.error is None:
            counts[topic] = len(found.partitions)
    return counts


def misfit(stream: Stream, counts: Mapping[str, int]) -> str | None:
    """An error line with both counts and the way out; None if the topics fit.

    Args:
        counts: partitions by topic; missing topics are checked elsewhere.
    """
    count = counts.get(stream.topic)
    for topic in (stream.state_topic, stream.live_topic):
        other = counts.get(topic) if topic else None
        if count is not None and other is not None and other < count:
            return _way_out(stream, f"topic {stream.topic} has {count} partitions and {topic} only {other}")
    return None


def outgrown(stream: Stream, before: int | None, now: int | None) -> str | None:
    """An error line about a topic with state that got more partitions, although its state topic got them too;
    None if it did not."""
    if before is None or now is None or now <= before or stream.state_topic is None:
        return None
    return _way_out(
        stream, f"topic {stream.topic} has {now} partitions, and had {before} when this consumer started"
    )


def separated(stream: Stream, count: int | None, states: States) -> str | None:
    """An error line about a series whose state lies on another partition than its records do now; None if
    there is none.

    Args:
        count: partitions of the source; None if it is not known.
        states: by partition of the state topic.
    """
    if count is None:
        return None
    for number, state in states.items():
        for instrument in filter(None, (_instrument(stream, *record) for record in state.items())):
            home = partition_of(instrument, count)
            if home != number:
                return _way_out(
                    stream,
                    f"topic {stream.topic} has {count} partitions, and records of"
                    f" {instrument.decode(errors='replace')} go to {home}, but its state is on {number}",
                )
    return None


def _instrument(stream: Stream, key: bytes, value: bytes) -> bytes | None:
    if stream.name == "ledger":
        return instrument_of(key, value)
    return key if is_snapshot(value) else None


def _way_out(stream: Stream, found: str) -> str:
    return (
        f"{found}: series have been separated from their order and state; stop producers and consumers, then"
        f" run: cryptostream topics --rebuild {stream.topic}"
    )


def grown(stream: Stream, before: int | None, now: int | None) -> str | None:
    """A warning about a topic without state that got more partitions; None if it did not."""
    if before is None or now is None or now <= before or stream.state_topic is not None:
        return None
    said = f"topic {stream.topic} has {now} partitions, and had {before} when this consumer started"
    if stream.name != "trades":
        return f"{said}; following"
    return (
        f"{said}; following, but sums of the minute in which a symbol moved may lack a part: with producers"
        f" and consumers stopped, cryptostream topics --rebuild {stream.topic} makes them whole"
    )
