"""Incidents of the ledger: gaps, late, revised and incomplete records, unsynced and uncarried spans. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.messages import TRADES_SAY, LedgerMessage

INCIDENT_KINDS: Final = frozenset(("gap", "late", "revised", "incomplete", "unsynced", "uncarried"))
_KEPT: Final = 20
_DETAIL_LENGTH: Final = 300
_REVISED: Final = 300  # more than the bars of two minutes
_MAX_LATE_RANGES: Final = 10_000


class Incident(NamedTuple):
    """One incident; `first` and `last` as in its event, with its time in ms if known."""

    kind: str
    first: int
    last: int
    time_ms: int | None
    detail: str | None


class SeriesIncidents:
    """The newest incidents of one series, and how many there were. Unlike sets, counts are not idempotent:
    an event must be received once. Only a revised bar counts once, however often the same is said of it: a
    producer that starts compares the bars of the last minutes again. A snapshot knows the newest of them.

    Attributes:
        late: ids of bars that came after later ones and have no indicators.
        trades_say: by open time, what the trades of the newest bars that they contradict say.
        late_from: of ids below it only some are in `late`; None if none was dropped.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.late = IdRanges()
        self.trades_say: dict[int, str] = {}
        self.late_from: int | None = None
        self._newest: dict[str, deque[Incident]] = {}
        self._revised: deque[Incident] = deque(maxlen=_REVISED)

    def receive(self, series: LedgerSeries, message: LedgerMessage) -> None:
        """Enter an event whose kind is one of `INCIDENT_KINDS`."""
        kind, first, last = message["kind"], message["first"], message["last"]
        detail = message["detail"]
        timed = series.stream == "klines" or kind == "uncarried"
        incident = Incident(
            kind,
            first,
            last,
            first if timed else message["event_time_ms"],
            detail[-_DETAIL_LENGTH:] if detail else detail,
        )
        newest = self._newest.setdefault(kind, deque(maxlen=_KEPT))
        if kind == "revised":
            if incident in self._revised:
                return
            self._revised.append(incident)
            if detail and detail.startswith(TRADES_SAY):
                self.trades_say[first] = detail
                if len(self.trades_say) > _REVISED:
                    del self.trades_say[next(iter(self.trades_say))]
        if kind == "uncarried" and newest and newest[-1].first == first:
            newest[-1] = incident  # the same span, longer
        else:
            newest.append(incident)
            if kind == "uncarried" and len(newest) > 1 and newest[-2].last > last:
                # Of another partition. The newest span says whether the stream is carried.
                self._newest[kind] = _by_time(newest)
            self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == "late" and series.stream == "klines":
            self.late.add(first // series.unit, last // series.unit)
            self._bound_late()

    def _bound_late(self) -> None:
        while self.late.range_count() > _MAX_LATE_RANGES:
            first, last = next(iter(self.late))
            self.late.remove(first, last)
            self.late_from = max(last + 1, self.late_from or 0)

    def merge(self, other: SeriesIncidents) -> None:
        """Add those of another partition, in the order of their times, since neither is known to be the
        first; one that both have counts once."""
        for kind, theirs in other._newest.items():
            ours = self._newest.setdefault(kind, deque(maxlen=_KEPT))
            new = [incident for incident in theirs if incident not in ours]
            known_to_both = len(theirs) - len(new)
            self.counts[kind] = self.counts.get(kind, 0) + other.counts.get(kind, 0) - known_to_both
            self._newest[kind] = _by_time((*ours, *new))
        self._revised.extend(each for each in other._revised if each not in self._revised)
        self.late.update(other.late)
        self.trades_say = {**other.trades_say, **self.trades_say}
        froms = [at for at in (self.late_from, other.late_from) if at is not None]
        self.late_from = max(froms, default=None)
        self._bound_late()

    def __bool__(self) -> bool:
        return bool(self.counts)

    def newest(self) -> list[Incident]:
        return [incident for of_kind in self._newest.values() for incident in of_kind]

    def state(self) -> dict[str, Any]:
        return {
            "counts": self.counts,
            "late": self.late.distances(),
            "trades_say": list(self.trades_say.items()),
            "late_from": self.late_from,
            "newest": [list(incident) for incident in self.newest()],
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> SeriesIncidents:
        """Inverse of `state`."""
        incidents = cls()
        incidents.counts = dict(state["counts"])
        incidents.late = IdRanges.of_distances(state["late"])
        # Snapshots of earlier versions have none.
        incidents.trades_say = {int(open_ms): str(detail) for open_ms, detail in state.get("trades_say", ())}
        incidents.late_from = state.get("late_from")  # older snapshots lack it
        if "late_from" not in state and incidents.late.range_count() >= _MAX_LATE_RANGES:
            incidents.late_from = next(iter(incidents.late))[0]
        for fields in state["newest"]:
            incident = Incident(*fields)
            incidents._newest.setdefault(incident.kind, deque(maxlen=_KEPT)).append(incident)
        incidents._revised.extend(incidents._newest.get("revised", ()))
        return incidents


def _by_time(incidents: Iterable[Incident]) -> deque[Incident]:
    return deque(sorted(incidents, key=lambda each: (each.time_ms or 0, each.last)), maxlen=_KEPT)
