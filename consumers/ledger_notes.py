"""What the ledger notes besides ids: gaps, late and revised records, unsynced and uncarried spans. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

from consumers.ledger_events import LedgerSeries
from shared.id_ranges import IdRanges
from shared.messages import LedgerMessage

NOTED: Final = frozenset(("gap", "late", "revised", "unsynced", "uncarried"))
_KEPT: Final = 20
_DETAIL_LENGTH: Final = 300
_MAX_LATE_RANGES: Final = 10_000


class Note(NamedTuple):
    """Something that was found; `first` and `last` as in the event, time in ms if it has one."""

    kind: str
    first: int
    last: int
    time_ms: int | None
    detail: str | None


class SeriesNotes:
    """The newest notes of one series, and how many there were. Counts are not idempotent as sets are:
    an event must be received once.

    Attributes:
        late: bars that came after later ones (ids): they have no indicators.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.late = IdRanges()
        self._newest: dict[str, deque[Note]] = {}

    def receive(self, series: LedgerSeries, message: LedgerMessage) -> None:
        """Enter an event of a kind that is `NOTED`."""
        kind, first, last = message["kind"], message["first"], message["last"]
        detail = message["detail"]
        timed = series.stream == "klines" or kind == "uncarried"
        note = Note(
            kind,
            first,
            last,
            first if timed else message["event_time_ms"],
            detail[-_DETAIL_LENGTH:] if detail else detail,
        )
        newest = self._newest.setdefault(kind, deque(maxlen=_KEPT))
        if kind == "uncarried" and newest and newest[-1].first == first:
            newest[-1] = note  # the same span, longer
        else:
            newest.append(note)
            self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == "late" and series.stream == "klines":
            self.late.add(first // series.unit, last // series.unit)
            if self.late.range_count() > _MAX_LATE_RANGES:
                self.late.remove(*next(iter(self.late)))

    def __bool__(self) -> bool:
        return bool(self.counts)

    def newest(self) -> list[Note]:
        return [note for notes in self._newest.values() for note in notes]

    def state(self) -> dict[str, Any]:
        return {
            "counts": self.counts,
            "late": self.late.distances(),
            "newest": [list(note) for note in self.newest()],
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> SeriesNotes:
        """The counterpart of `state`."""
        notes = cls()
        notes.counts = dict(state["counts"])
        notes.late = IdRanges.of_distances(state["late"])
        for fields in state["newest"]:
            note = Note(*fields)
            notes._newest.setdefault(note.kind, deque(maxlen=_KEPT)).append(note)
        return notes
