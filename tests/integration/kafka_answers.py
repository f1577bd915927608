"""What a broker says to tests that read it, also while it is coming back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from shared.kafka import Verdict, cause, verdict

DEADLINE_S = 60.0

Answer = TypeVar("Answer")


def answered(ask: Callable[[], Answer]) -> Answer:
    """A broker that was just started leads no partition yet: asked again for a minute."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if verdict(cause(error)) is Verdict.FATAL or time.monotonic() >= deadline:
                raise
        time.sleep(0.1)


def ends(consumer: Consumer, places: Iterable[TopicPartition]) -> dict[int, int]:
    """The offset after the last record, by partition of one topic."""

    def end(place: TopicPartition) -> int:
        return int(consumer.get_watermark_offsets(place, timeout=10)[1])

    return {place.partition: answered(lambda place=place: end(place)) for place in places}  # type: ignore[misc]
