"""Topics of benchmarks: created, and filled."""

from __future__ import annotations

from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic


def create_topic(bootstrap_servers: str, name: str, partitions: int = 1) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 3})
    client.create_topics([NewTopic(name, partitions, 1)])[name].result(30)


def send(producer: Producer, topic: str, key: bytes, value: bytes, partition: int = -1) -> None:
    """One record; waits for room in the producer's queue.

    Args:
        partition: -1: that of the key.

    Raises:
        RuntimeError: Kafka has not taken a record.
    """

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            raise RuntimeError(f"{topic}: {error.str()}")

    while True:
        try:
            producer.produce(topic, value, key, partition, on_delivery=delivered)
        except BufferError:
            producer.poll(0.1)
            continue
        producer.poll(0)
        return
