"""The port of an enricher: what the consumer loop asks of the pure part of a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from consumers.ledger_events import LedgerSeries, PendingEvents
from consumers.ledger_snapshot import Restart
from consumers.points import Point

# (partition, offset, message); a plain tuple because there is one per message on the hot path.
Record = tuple[int, int, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a partition when it is assigned.

    Attributes:
        low: first offset that the broker still has.
        high: offset of the next record to come.
        committed: our group's committed offset, if there is one.
        metadata: text that was committed with it.
        snapshots: newest state record of each key (klines only).
        ledger: what the snapshots of the ledger say (ledger only; not on the in-memory broker).
        now_ms: our clock at the assignment; 0 if nobody says.
    """

    low: int
    high: int
    committed: int | None = None
    metadata: str = ""
    snapshots: Mapping[bytes, bytes] = field(default_factory=dict)
    ledger: Restart | None = None
    now_ms: int = 0

    @property
    def resume(self) -> int:
        """The committed offset, or the first readable one if there is none or it is gone."""
        if self.committed is None or not self.low <= self.committed <= self.high:
            return self.low
        return self.committed


class Start(NamedTuple):
    """Where to read a partition from, and what an operator should know about it."""

    offset: int
    note: str | None = None


class Enriched(NamedTuple):
    """Outcome of a batch: points to store, and what the ledger may say once they are stored."""

    points: list[Point]
    events: PendingEvents


class StateRecord(NamedTuple):
    """A state that must be on the state topic before offsets are committed."""

    partition: int
    key: bytes
    value: bytes


class Commit(NamedTuple):
    offset: int
    metadata: str = ""


class Enricher(Protocol):
    """Pure: no sockets, clocks or files; `now_ms` is the caller's clock.

    `receive` moves the enricher's state; the caller makes the points durable before it asks for `state_due`
    and `committable`, or gives the enricher up with its process.
    """

    def decode(self, topic: str, value: bytes | None) -> Any:
        """Bytes to a checked message.

        Raises:
            TimeAhead: its time lies beyond its arrival (`consumers.arrival`).
            InvalidMessage: it is none.
        """

    def assign(self, partition: int, known: Known) -> Start:
        """Take a partition; says where to read it from."""

    def revoke(self, partition: int) -> None:
        """Forget a partition."""

    def receive(self, records: Sequence[Record], now_ms: int) -> Enriched:
        """Messages of one batch, in the order of their partitions."""

    def finish(self) -> Enriched:
        """What is still held back, at a stop."""

    def state_due(self, now_ms: int, *, everything: bool) -> list[StateRecord]:
        """States to be made durable at this checkpoint."""

    def state_stored(self, records: Sequence[StateRecord]) -> None:
        """These are acknowledged by the state topic."""

    def committable(self, partition: int, position: int) -> Commit:
        """How far offsets may be committed when all before `position` is stored."""

    def ledger_id(self, point: Point) -> tuple[LedgerSeries, int] | None:
        """Which id of which series a point stands for; None if it is not counted."""


class StatelessEnricher:
    """The parts of the port that streams without state share."""

    def assign(self, partition: int, known: Known) -> Start:  # noqa: ARG002
        return Start(known.resume)

    def revoke(self, partition: int) -> None:
        """Nothing is kept."""

    def finish(self) -> Enriched:
        return Enriched([], PendingEvents())

    def state_due(self, now_ms: int, *, everything: bool) -> list[StateRecord]:  # noqa: ARG002
        return []

    def state_stored(self, records: Sequence[StateRecord]) -> None:
        """No state is written."""

    def committable(self, partition: int, position: int) -> Commit:  # noqa: ARG002
        return Commit(position)

    def ledger_id(self, point: Point) -> tuple[LedgerSeries, int] | None:  # noqa: ARG002
        return None
