"""Whether the machine is fit for measurements: bare Kafka loops must come near its known figures."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import Consumer, Producer

from shared.kafka import consumer_config, producer_config

# Messages per second on 2 shared cores: idempotent, lz4, 200-byte values, all alike, one key (STACK.md §4.1).
KNOWN_IN: Final = 198_000
KNOWN_OUT: Final = 220_000
FIT: Final = 0.8
_VALUE: Final = b"x" * 200


def bare_in(bootstrap_servers: str, topic: str, count: int) -> float:
    """Messages per second that confluent-kafka alone gets acknowledged."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    start = time.perf_counter()
    for number in range(count):
        while True:
            try:
                producer.produce(topic, _VALUE, b"key")
                break
            except BufferError:
                producer.poll(0.01)
        if number % 1_000 == 0:
            producer.poll(0)
    producer.flush()
    return count / (time.perf_counter() - start)


def bare_out(bootstrap_servers: str, topic: str, count: int) -> float:
    """Messages per second that confluent-kafka alone reads."""
    consumer = Consumer(consumer_config(bootstrap_servers, f"bench-{topic}", "bench"))
    consumer.subscribe([topic])
    read, start = 0, 0.0
    while read < count:
        batch = consumer.consume(10_000, timeout=1)
        if batch and not start:
            start = time.perf_counter()
            count -= len(batch)  # the first batch only starts the clock
            continue
        read += len(batch)
    elapsed = time.perf_counter() - start
    consumer.close()
    return count / elapsed
