"""The port of an enricher, the pure part of a stream's consumer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from consumers.ledger_snapshot import Restart
from consumers.marks import Trail
from consumers.measurements import Point
from shared.ledger import LedgerSeries, PendingEvents

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
        metadata: text committed with it.
        trail: marks committed with it.
        proved: position of the newest mark that still holds; if it is not the newest of all, records from
            there on are not those that were read. None if there were no marks.
        snapshots: newest state record of each key (klines only).
        ledger: where the ledger restarts by its snapshots (ledger only; not on the in-memory broker).
        now_ms: our clock at the assignment; 0 if unknown.
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
        """The committed offset, or the proved position if that is earlier; `low` if there is none, or it is
        out of range."""
        if self.committed is None:
            return self.low
        offset = self.committed if self.proved is None else min(self.committed, self.proved)
        return offset if self.low <= offset <= self.high else self.low

    @property
    def cut(self) -> bool:
        """The partition, or what we wrote from it, has lost its end since the commit."""
        return self.proved is not None and self.proved < self.trail.marks[0].position

    @property
    def read_before(self) -> int:
        """Records before this offset may have been read; records of any offset after a cut, or if the
        partition is shorter than what was read of it."""
        if self.cut or self.committed is None or self.committed > self.high:
            return _ANY
        return self.trail.marks[0].position if self.trail.marks else 0

    @property
    def note(self) -> str | None:
        """What an operator should know about `resume`."""
        if self.cut:
            return (
                f"the broker lost the end of a log: records from offset {self.proved} on are not those that"
                f" were read, or what was written from them is gone; reading from {self.resume}"
            )
        if self.committed is not None and self.resume != self.committed:
            return f"committed offset {self.committed} is out of range, reading from {self.resume}"
        return None


class Start(NamedTuple):
    """Where to read a partition from, and what an operator should know about it."""

    offset: int
    note: str | None = None


class Enriched(NamedTuple):
    """Outcome of a batch: points to store, and ledger events to send once they are stored."""

    points: list[Point]
    events: PendingEvents


class StateRecord(NamedTuple):
    """A record that must be on the state topic before offsets are committed."""

    partition: int
    key: bytes
    value: bytes


class Commit(NamedTuple):
    offset: int
    metadata: str = ""


class Enricher(Protocol):
    """Pure: no sockets, clocks or files; `now_ms` is the caller's clock.

    `receive` advances the enricher's state; the caller makes the points durable before it calls `state_due`
    and `committable`.
    """

    def decode(self, topic: str, value: bytes | None) -> Any:
        """Bytes to a checked message.

        Raises:
            TimeAhead: its time lies beyond its arrival (`consumers.arrival`).
            InvalidMessage: the bytes break the message's contract.
        """

    def assign(self, partition: int, known: Known) -> Start:
        """Begin a partition; returns where to read it from."""

    def revoke(self, partition: int) -> None:
        """Forget a partition."""

    def receive(self, records: Sequence[Record], now_ms: int) -> Enriched:
        """Messages of one batch, in the order of their partitions."""

    def finish(self) -> Enriched:
        """At a stop: the points that were held back."""

    def state_due(self, now_ms: int, *, everything: bool) -> list[StateRecord]:
        """States to be made durable at this checkpoint."""

    def state_stored(self, records: Sequence[StateRecord]) -> None:
        """These are acknowledged by the state topic."""

    def committable(self, partition: int, position: int) -> Commit:
        """The offset that may be committed when everything before `position` is stored."""

    def ledger_id(self, point: Point) -> tuple[LedgerSeries, int] | None:
        """The series and id that a point stands for; None if it is not counted."""


class StatelessEnricher:
    """The port's methods of streams without state."""

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
