"""A dead letter, where it lies, and which of them are meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import Message

from shared.dead_letters import Origin, origin_of
from shared.errors import UsageError


class Place(NamedTuple):
    """Partition and offset on `pipeline.dead-letters`; written `3@17`."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises UsageError."""
        partition, at, offset = text.partition("@")
        if not (
            at and all(part.isascii() and part.isdigit() and len(part) < 19 for part in (partition, offset))
        ):
            raise UsageError(
                f"{text!r} is not a letter; write PARTITION@OFFSET as `list` shows it, like 3@17"
            )
        return cls(int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


class Letter(NamedTuple):
    """One record of `pipeline.dead-letters`; `time_ms` is when the broker took it."""

    place: Place
    time_ms: int
    key: bytes | None
    value: bytes | None
    origin: Origin

    @classmethod
    def of(cls, message: Message) -> Letter:
        headers = message.headers()
        return cls(
            Place(message.partition() or 0, message.offset() or 0),
            message.timestamp()[1],
            _as_bytes(message.key()),
            _as_bytes(message.value()),
            origin_of(headers.items() if isinstance(headers, dict) else headers),
        )

    @property
    def symbol(self) -> str:
        """Of the key, like BTCUSDC."""
        return (self.key or b"").decode(errors="replace").partition(":")[2]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are meant; without anything, all.

    Attributes:
        source: a topic, or `websocket` or `rest` for all of theirs, or one of theirs.
        reason: a part of it, whatever its case.
        from_ms, to_ms: when the broker took them; the end is not included.
    """

    source: str | None = None
    reason: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None

    @property
    def picky(self) -> bool:
        return any(value is not None for value in (self.source, self.reason, self.from_ms, self.to_ms))

    def holds(self, letter: Letter) -> bool:
        origin, time_ms = letter.origin, letter.time_ms
        return (
            (self.source in (None, origin.source) or origin.source.startswith(f"{self.source}:"))
            and (self.reason is None or self.reason.lower() in origin.reason.lower())
            and (self.from_ms is None or time_ms >= self.from_ms)
            and (self.to_ms is None or time_ms < self.to_ms)
        )


def _as_bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
