"""The port of an enricher: what the consumer loop asks of the pure part of a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from consumers.ledger_events import LedgerSeries, PendingEvents
from consumers.ledger_snapshot import Restart
from consumers.marks import Trail
from consumers.points import Point

# (partition, offset, message); a plain tuple because there is one per message on the hot path.
Record = tuple[int, int, Any]

_ANY: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a partition when it is assigned.

    Attributes:
        low: first offset that the broker still has.
        high: offset of the next record to come.
        committed: our group's committed offset, if there is one.
        metadata: text that was committed with it.
        trail: the marks that were, too.
        proved: position of the newest of them that is true; records from there on are not those that were
            read, if it is not the newest of all. None if there were no marks.
        snapshots: newest state record of each key (klines only).
        ledger: what the snapshots of the ledger say (ledger only; not on the in-memory broker).
        now_ms: our clock at the assignment; 0 if nobody says.
    """

    low: int
    high: int
    committed: int | None = None
    metadata: str = ""
    trail: Trail = field(default_factory=Trail)
    proved: int | None = None
    snapshots: Mapping[bytes, bytes] = field(default_factory=dict)
    ledger: Restart | None = None
    now_ms: int = 0

    @property
    def resume(self) -> int:
        """The committed offset, or the newest place that is proved, if that is earlier; the first readable
        one if there is none or it is gone."""
        if self.committed is None:
            return self.low
        offset = self.committed if self.proved is None else min(self.committed, self.proved)
        return offset if self.low <= offset <= self.high else self.low

    @property
    def cut(self) -> bool:
        """The partition, or what we wrote from it, has lost its end since."""
        return self.proved is not None and self.proved < self.trail.marks[0].position

    @property
    def read_before(self) -> int:
        """Records before this offset have been read; after a cut records of any offset may have been."""
        if self.cut or self.committed is None:
            return _ANY
        return self.trail.marks[0].position if self.trail.marks else 0

    @property
    def note(self) -> str | None:
        """What an operator should know about `resume`."""
        if self.cut:
            return (
                f"records from offset {self.proved} on are not those that were read, or what was written from"
                f" them is gone: a broker has lost the end of a log; reading from {self.resume}"
            )
        if self.committed is not None and self.resume != self.committed:
            return f"committed offset {self.committed} is out of range, reading from {self.resume}"
        return None


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
        return Start(known.resume, known.note)

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
