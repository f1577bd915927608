"""The ledger as a reader of `pipeline.ledger` keeps it: sets, notes, the exchange's time, snapshots. Pure.

Both the ledger's consumer and the commands that ask the topic read by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from consumers.completeness import CLOCK_GRACE_MS, MAX_RANGES, CompletenessLedger, MinuteRow, refusal
from consumers.exchange_time import ExchangeTime
from consumers.ledger_events import LedgerSeries
from consumers.ledger_notes import NOTED, SeriesNotes
from consumers.ledger_snapshot import (
    PARTITION_KEY,
    PartitionSnapshot,
    Restart,
    SeriesSnapshot,
    decode_partition,
    fingerprint,
)
from shared.id_ranges import IdRanges
from shared.messages import LedgerMessage

# partition, key, value
SnapshotRecord = tuple[int, bytes, bytes]


@dataclass(slots=True)
class _Partition:
    """Where a partition stands.

    Attributes:
        next: offset of the next event.
        newest: the newest event and its offset.
        uncovered_from: the events between that time and the next event are gone, uncounted.
        changed: series that differ from their snapshots.
    """

    snapshot: PartitionSnapshot
    next: int
    newest: tuple[int, LedgerMessage] | None = None
    uncovered: bool = False
    changed: set[LedgerSeries] = field(default_factory=set)
    series: dict[LedgerSeries, None] = field(default_factory=dict)


class LedgerBook:
    """Take partitions, feed it with their events in order, ask it for snapshots.

    Attributes:
        ledger: the sets.
        time: what time it is at the exchange.
    """

    def __init__(self, max_ranges: int = MAX_RANGES) -> None:
        self.ledger = CompletenessLedger(max_ranges)
        self.time = ExchangeTime()
        self._notes: dict[LedgerSeries, SeriesNotes] = {}
        self._partitions: dict[int, _Partition] = {}
        self._known_to: dict[LedgerSeries, int] = {}
        self._expected_to_ms = 0

    def take(self, partition: int, restart: Restart) -> None:
        """Begin with a partition, as `ledger_snapshot.restart` says."""
        of = _Partition(restart.snapshot, restart.offset, uncovered=restart.uncovered)
        self._partitions[partition] = of
        for known in restart.series:
            of.series[known.series] = None
            if known.notes:
                self._notes[known.series] = known.notes
            if known.account is not None:
                self.ledger.restore(known.account, known.waiting)
        if not restart.known_to:
            of.changed.update(of.series)  # offsets count anew: all records with them
        self._known_to.update(restart.known_to)
        if restart.snapshot.exchange_ms is not None:
            self.time.now_ms = max(restart.snapshot.exchange_ms, self.time.now_ms or 0)

    def give(self, partition: int) -> list[LedgerSeries]:
        """Forget a partition; its series."""
        of = self._partitions.pop(partition, None)
        series = list(of.series) if of is not None else []
        for one in series:
            self.ledger.forget(one)
            self._notes.pop(one, None)
            self._known_to.pop(one, None)
        return series

    def receive(self, partition: int, offset: int, message: LedgerMessage) -> None:
        """Enter an event; one that makes no sense, or that a snapshot has already, changes nothing."""
        of = self._partitions.get(partition)
        if of is None:
            of = self._partitions[partition] = _Partition(PartitionSnapshot(), offset)
        of.next, of.newest = offset + 1, (offset, message)
        received_ms, interval = message["received_time_ms"], message["interval"] or ""
        if of.uncovered:
            of.uncovered = False
            of.snapshot = of.snapshot.with_uncovered(of.snapshot.heard_ms, received_ms)
        if refusal(message) is not None:
            return
        series = LedgerSeries(message["exchange"], message["symbol"], message["stream"], interval)
        if offset < self._known_to.get(series, 0):
            return
        of.series[series] = None
        of.changed.add(series)
        if message["kind"] in NOTED:
            notes = self._notes.get(series)
            if notes is None:
                notes = self._notes[series] = SeriesNotes()
            notes.receive(series, message)
        self.ledger.receive(message)
        if message["kind"] == "expected":
            time_ms = message["last"] + series.unit if interval else message["event_time_ms"]
            if time_ms is not None:
                self.time.receive(time_ms, received_ms)

    def expect_by_clock(self) -> None:
        """Expect what the exchange's clock says has been issued by now."""
        now_ms = self.time.now_ms
        if now_ms is None or now_ms < self._expected_to_ms + 1_000:
            return
        self._expected_to_ms = now_ms
        longer = set(self.ledger.expect_by_clock(now_ms))
        for of in self._partitions.values():
            of.changed |= longer & of.series.keys()

    @property
    def silent(self) -> bool:
        return bool(self.ledger.silent_since())

    def notes(self) -> Iterator[tuple[LedgerSeries, SeriesNotes]]:
        yield from self._notes.items()

    def notes_of(self, series: LedgerSeries) -> SeriesNotes:
        return self._notes.get(series) or SeriesNotes()

    def uncovered(self) -> list[tuple[int, int | None, int | None]]:
        """Partitions and spans of time (ms) whose events were deleted before they were counted.

        The begin is None for `since ever`, the end is None for `until now`.
        """
        found: list[tuple[int, int | None, int | None]] = []
        for number, of in self._partitions.items():
            found += [(number, *span) for span in of.snapshot.uncovered]
            if of.uncovered:
                found.append((number, of.snapshot.heard_ms, None))
        return found

    def series_of(self, partition: int) -> list[LedgerSeries]:
        return list(self._partitions[partition].series)

    def take_changed(self) -> dict[LedgerSeries, IdRanges]:
        return self.ledger.take_changed()

    def rows(self, series: LedgerSeries, slots: Iterable[int]) -> Iterator[tuple[int, MinuteRow]]:
        return self.ledger.rows(series, slots)

    # -- snapshots -------------------------------------------------------------------------------------

    def snapshots(self, waiting: Callable[[LedgerSeries], IdRanges]) -> list[SnapshotRecord]:
        """What has changed since the last ones: series first, then the partition that says they are whole.

        Args:
            waiting: slots of a series whose rows are not written yet.
        """
        records: list[SnapshotRecord] = []
        for number, of in self._partitions.items():
            if not of.changed:
                continue
            before, listed = of.snapshot, dict(of.snapshot.series)
            for series in of.changed:
                account = self.ledger.account(series) if series in self.ledger else None
                known = SeriesSnapshot(
                    series, of.next, before.generation, account, self.notes_of(series), waiting(series)
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
    """The offset before which a partition's snapshot, as it was written, has all events."""
    snapshot = decode_partition(value)
    return snapshot.offset if snapshot is not None else 0


__all__ = ["CLOCK_GRACE_MS", "LedgerBook", "SnapshotRecord", "covered_by"]
