"""Dead letters: rejected bytes, unchanged, with the reason and the place they came from as record headers."""

from __future__ import annotations

Headers = list[tuple[str, str | bytes | None]]


def dead_letter_headers(reason: str, source_topic: str, partition: int, offset: int, service: str) -> Headers:
    """Headers of a record on `pipeline.dead-letters`; the value is the rejected bytes, the key theirs.

    Args:
        source_topic: the topic the bytes were read from, or `websocket:<stream>` for a frame that never got
            to Kafka (then partition and offset are -1).
    """
    return [
        ("reason", reason.encode()),
        ("source_topic", source_topic.encode()),
        ("source_partition", str(partition).encode()),
        ("source_offset", str(offset).encode()),
        ("service", service.encode()),
    ]
