"""What a broker says to tests that read it, also while it is coming back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from confluent_kafka import Consumer, TopicPartition

from shared import kafka_reader
from shared.kafka_reader import watermarks

# A broker that was just started leads no partition yet: asked again for two minutes.
DEADLINE_S = 120.0

Answer = TypeVar("Answer")


def answered(ask: Callable[[], Answer]) -> Answer:
    return kafka_reader.answered(ask, _silent, within_s=DEADLINE_S)


def ends(consumer: Consumer, places: Iterable[TopicPartition]) -> dict[int, int]:
    """The offset after the last record, by partition of one topic."""
    end = partial(watermarks, consumer, words=_silent, within_s=DEADLINE_S)
    return {place.partition: end((place.topic, place.partition))[1] for place in places}


def _silent(reason: str) -> str:
    return f"the broker does not answer: {reason}"
