"""What a producer process carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from producers.start_positions import StartPosition


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a producer process carries, and how.

    Attributes:
        start_positions: by series, in place of the progress topic; None to use that.
        stored: the same by the store, for series of which Kafka has nothing.
        queue_messages: bound of the queue to Kafka; None for the default.
        connection_age_s: after how long a connection is replaced; None: as the exchange has it.
    """

    symbols: Sequence[str]
    intervals: Sequence[str]
    start_positions: Mapping[str, StartPosition] | None = None
    memory_broker: bool = False
    stored: Mapping[str, StartPosition] = field(default_factory=dict)
    queue_messages: int | None = None
    connection_age_s: float | None = None
