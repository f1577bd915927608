"""The ledger as read from `pipeline.ledger`: sets, incidents, the exchange's time, snapshots. Pure.

Used by the ledger's consumer and by the commands that read the topic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from consumers.completeness import MAX_RANGES, CompletenessLedger, refusal
from consumers.exchange_time import ExchangeTime
from consumers.ledger_incidents import INCIDENT_KINDS, SeriesIncidents
from consumers.ledger_snapshot import (
    PARTITION_KEY,
    PartitionSnapshot,
    Restart,
    SeriesSnapshot,
    decode_partition,
    fingerprint,
)
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.messages import LedgerMessage

# partition, key, value
SnapshotRecord = tuple[int, bytes, bytes]


@dataclass(slots=True)
class _Partition:
    """State of one partition.

    Attributes:
        next: offset of the next event.
        newest: the newest event and its offset.
        uncovered: events between the snapshot and the next event were deleted uncounted.
        changed: series that differ from their snapshots.
        known_to: by series, the offset before which this partition's events are in the sets.
    """

    snapshot: PartitionSnapshot
    next: int
    newest: tuple[int, LedgerMessage] | None = None
    uncovered: bool = False
    changed: set[LedgerSeries] = field(default_factory=set)
    known_to: dict[LedgerSeries, int] = field(default_factory=dict)
    series: dict[LedgerSeries, None] = field(default_factory=dict)


class LedgerBook:
    """Takes partitions and their events in order; makes snapshots.

    A series lies on one partition, until an admin adds partitions. Then its sets are those of both: a
    snapshot says nothing of the events of another partition (docs/decisions/partitions.md).

    Attributes:
        ledger: the sets.
        time: the exchange's time.
    """

    def __init__(self, max_ranges: int = MAX_RANGES) -> None:
        self.ledger = CompletenessLedger(max_ranges)
        self.time = ExchangeTime()
        self._incidents: defaultdict[LedgerSeries, SeriesIncidents] = defaultdict(SeriesIncidents)
        self._partitions: dict[int, _Partition] = {}
        self._expected_to_ms = 0

    def assign(self, partition: int, restart: Restart) -> None:
        """Begin a partition from its snapshots."""
        of = _Partition(restart.snapshot, restart.offset, uncovered=restart.uncovered)
        of.known_to.update(restart.known_to)
        self._partitions[partition] = of
        for known in restart.series:
            of.series[known.series] = None
            if known.incidents and known.series in self._incidents:
                self._incidents[known.series].merge(known.incidents)
            elif known.incidents:
                self._incidents[known.series] = known.incidents
            if known.account is not None:
                self.ledger.restore(known.account, known.waiting)
        if not restart.known_to:
            of.changed.update(of.series)  # offsets of a new generation: all snapshots are rewritten
        if restart.snapshot.exchange_ms is not None:
            self.time.now_ms = max(restart.snapshot.exchange_ms, self.time.now_ms or 0)

    def revoke(self, partition: int) -> list[LedgerSeries]:
        """Forget a partition; returns its series, without those that another partition has too."""
        of = self._partitions.pop(partition, None)
        others = {one for other in self._partitions.values() for one in other.series}
        series = [one for one in of.series if one not in others] if of is not None else []
        for one in series:
            self.ledger.forget(one)
            self._incidents.pop(one, None)
        return series

    def receive(self, partition: int, offset: int, message: LedgerMessage) -> None:
        """Apply an event; one that is inconsistent, or in the snapshot already, changes nothing."""
        of = self._partitions.get(partition)
        if of is None:
            of = self._partitions[partition] = _Partition(PartitionSnapshot(), offset)
        of.next, of.newest = offset + 1, (offset, message)
        received_ms = message["received_time_ms"]
        if of.uncovered:
            of.uncovered = False
            of.snapshot = of.snapshot.with_uncovered(of.snapshot.heard_ms, received_ms)
        if refusal(message) is not None:
            return
        series = LedgerSeries.of(message)
        if offset < of.known_to.get(series, 0):
            return
        of.series[series] = None
        of.changed.add(series)
        if message["kind"] in INCIDENT_KINDS:
            self._incidents[series].receive(series, message)
        self.ledger.receive(message)
        if message["kind"] == "expected":
            time_ms = message["last"] + series.unit if series.interval else message["event_time_ms"]
            if time_ms is not None:
                self.time.receive(time_ms, received_ms)

    def expect_by_clock(self) -> None:
        """Expect the bars that have closed by the exchange's clock."""
        now_ms = self.time.now_ms
        if now_ms is None or now_ms < self._expected_to_ms + 1_000:
            return
        self._expected_to_ms = now_ms
        longer = set(self.ledger.expect_by_clock(now_ms))
        for of in self._partitions.values():
            of.changed |= longer & of.series.keys()

    def incidents(self) -> Iterator[tuple[LedgerSeries, SeriesIncidents]]:
        yield from self._incidents.items()

    def incidents_of(self, series: LedgerSeries) -> SeriesIncidents:
        return self._incidents.get(series) or SeriesIncidents()

    def uncovered(self) -> list[tuple[int, int | None, int | None]]:
        """Partitions and spans of time (ms) whose events were deleted before they were counted.

        A begin of None is the earliest time, an end of None is now.
        """
        found: list[tuple[int, int | None, int | None]] = []
        for number, of in self._partitions.items():
            found += [(number, *span) for span in of.snapshot.uncovered]
            if of.uncovered:
                found.append((number, of.snapshot.heard_ms, None))
        return found

    def separated(self) -> dict[tuple[int, ...], list[LedgerSeries]]:
        """Series with events or snapshots on several partitions, by these: nothing tells the order of their
        events."""
        places: defaultdict[LedgerSeries, list[int]] = defaultdict(list)
        for number, of in self._partitions.items():
            for series in of.series:
                places[series].append(number)
        found: defaultdict[tuple[int, ...], list[LedgerSeries]] = defaultdict(list)
        for series, numbers in places.items():
            if len(numbers) > 1:
                found[tuple(sorted(numbers))].append(series)
        return dict(found)

    def series_of(self, partition: int) -> list[LedgerSeries]:
        return list(self._partitions[partition].series)

    # -- snapshots -------------------------------------------------------------------------------------

    def snapshots(self, waiting: Callable[[LedgerSeries], IdRanges]) -> list[SnapshotRecord]:
        """Snapshots of what changed since the last ones: a partition's series, then the partition itself.

        Args:
            waiting: periods of a series whose rows are not written yet.
        """
        records: list[SnapshotRecord] = []
        for number, of in self._partitions.items():
            if not of.changed:
                continue
            before, listed = of.snapshot, dict(of.snapshot.series)
            for series in of.changed:
                account = self.ledger.account(series) if series in self.ledger else None
                known = SeriesSnapshot(
                    series, of.next, before.generation, account, self.incidents_of(series), waiting(series)
                )
                records.append((number, known.key, known.encode()))
                listed[known.key.decode()] = of.next
            now = replace(before, offset=of.next, series=listed, exchange_ms=self.time.now_ms)
            if of.newest is not None:
                offset, message = of.newest
                now = now.anchored((offset, fingerprint(message)))
                now = replace(now, heard_ms=max(message["received_time_ms"], before.heard_ms or 0))
            of.snapshot, of.changed = now, set()
            records.append((number, PARTITION_KEY, now.encode()))
        return records


def covered_by(value: bytes) -> int:
    """The offset before which all events are in a partition's encoded snapshot."""
    snapshot = decode_partition(value)
    return snapshot.offset if snapshot is not None else 0
