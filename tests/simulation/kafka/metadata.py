"""What a broker says of itself and its topics, in confluent-kafka's classes."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import BrokerMetadata, ClusterMetadata, PartitionMetadata, TopicMetadata

from tests.simulation.kafka.broker import Broker, Topic

_ID: Final = 1


def metadata_of(broker: Broker, topic: str | None = None) -> ClusterMetadata:
    """Of one topic, which may be missing, or of all."""
    # Any: the library sets these attributes itself.
    cluster: Any = ClusterMetadata()
    cluster.cluster_id = "simulated"
    cluster.controller_id = cluster.orig_broker_id = _ID
    cluster.orig_broker_name = "broker:9092/1"
    node: Any = BrokerMetadata()
    node.id, node.host, node.port = _ID, "broker", 9092
    cluster.brokers = {_ID: node}
    if topic is None:
        cluster.topics = {name: _topic(known) for name, known in broker.topics.items()}
    else:
        found = broker.topics.get(topic)
        cluster.topics = {topic: _missing(topic) if found is None else _topic(found)}
    result: ClusterMetadata = cluster
    return result


def _topic(topic: Topic) -> TopicMetadata:
    described: Any = TopicMetadata()
    described.topic = topic.name
    for log in topic.logs:
        partition: Any = PartitionMetadata()
        partition.id, partition.leader, partition.replicas, partition.isrs = log.at[1], _ID, [_ID], [_ID]
        described.partitions[log.at[1]] = partition
    result: TopicMetadata = described
    return result


def _missing(name: str) -> TopicMetadata:
    described: Any = TopicMetadata()
    described.topic = name
    described.error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    result: TopicMetadata = described
    return result
