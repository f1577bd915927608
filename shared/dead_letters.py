"""Dead letters: rejected bytes, unchanged, with the reason and the place they came from as record headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

Headers = list[tuple[str, str | bytes]]

WEBSOCKET: Final = "websocket:"
REST: Final = "rest:"


class Origin(NamedTuple):
    """Where a dead letter came from, and why.

    Attributes:
        source: the topic the bytes were read from; `websocket:<stream>` or `rest:<path>` for what never got
            to Kafka; or the topic whose records led to a point that the store refused.
        partition, offset: of the rejected record, -1 where it is none.
        service: which one put it aside.
    """

    reason: str
    source: str
    partition: int
    offset: int
    service: str

    @property
    def from_exchange(self) -> bool:
        return self.source.startswith((WEBSOCKET, REST))

    @property
    def is_point(self) -> bool:
        """The bytes describe a point, as JSON."""
        return self.offset < 0 and not self.from_exchange


def dead_letter_headers(reason: str, source_topic: str, partition: int, offset: int, service: str) -> Headers:
    """Headers of a record on `pipeline.dead-letters`; the value is the rejected bytes, the key theirs.

    Args:
        source_topic: see `Origin.source`.
    """
    return [
        ("reason", reason.encode()),
        ("source_topic", source_topic.encode()),
        ("source_partition", str(partition).encode()),
        ("source_offset", str(offset).encode()),
        ("service", service.encode()),
    ]


def origin_of(headers: Iterable[tuple[str, str | bytes | None]] | None) -> Origin:
    """Inverse of `dead_letter_headers`; what is not there, or not ours, is empty or -1."""
    texts = {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value or ""
        for name, value in headers or ()
    }
    return Origin(
        texts.get("reason", ""),
        texts.get("source_topic", ""),
        _number(texts.get("source_partition", "")),
        _number(texts.get("source_offset", "")),
        texts.get("service", ""),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1
