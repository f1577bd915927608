"""Rows in a landing place: a file for each slot, one for each closed day; always one row a key."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

import pyarrow as pa

from pipelines.snapshots.frame import (
    SCHEMA,
    joined,
    parquet_bytes,
    rows_of,
    split_by_slots,
    table_of,
    table_of_parquet,
)
from pipelines.snapshots.landing.port import Blob, Conflict, LandingPlace, LandingUnavailable
from pipelines.snapshots.observation import EXCHANGE
from pipelines.snapshots.plan import LOOKBACK_MS, MOST_ROWS
from pipelines.snapshots.rows import SnapshotRow, merge
from pipelines.snapshots.slots import (
    DAY_MS,
    day_of,
    day_start_ms,
    days_between,
    file_stem,
    offset_of_stem,
    slot_of_stem,
    slots_between,
)

_LOG = logging.getLogger(__name__)

_DAY: Final = "day.parquet"
_UNSETTLED: Final = f"_unsettled/exchange={EXCHANGE}"
# Runs that overlap are few: more conflicts in a row are no longer those of overlapping runs.
_TRIES: Final = 20
# A day is closed when its last slots are done, too.
_CLOSED_AFTER_MS: Final = 3_600_000


class SnapshotFiles:
    """One landing place, laid out as `exchange=…/date=YYYY-MM-DD/HHMM.parquet`; closed days as `day.parquet`.

    Slots with rows that klines may still better are marked by an empty blob of their own, so that a run needs
    not read the week to find them.
    """

    def __init__(self, place: LandingPlace, interval_ms: int) -> None:
        self._place = place
        self._interval_ms = interval_ms

    def land(self, rows: Iterable[SnapshotRow]) -> int:
        """Merge rows into what is there; returns how many slots were written.

        Repeated, it changes nothing.
        """
        by_slot: defaultdict[int, list[SnapshotRow]] = defaultdict(list)
        for row in rows:
            by_slot[row.slot_ms].append(row)
        for slot_ms, of_slot in sorted(by_slot.items()):
            self._land_slot(slot_ms, of_slot)
        return len(by_slot)

    def handled(self, first_ms: int, last_ms: int) -> set[int]:
        """Slots from one to another, both included, that have rows; told by names alone.

        A compacted day has no hole: compaction waits for that.
        """
        found: set[int] = set()
        for day in days_between(first_ms, last_ms):
            names = self._place.names(_folder(day))
            start_ms = day_start_ms(day)
            if _DAY in names:
                found.update(slots_between(start_ms, start_ms + DAY_MS, self._interval_ms))
            found.update(_slots_of(day, names))
        return {slot for slot in found if first_ms <= slot <= last_ms}

    def unsettled(self) -> dict[int, list[SnapshotRow]]:
        """Marked slots with their rows that klines may still better, by slot; of the oldest MOST_ROWS."""
        found: dict[int, list[SnapshotRow]] = {}
        count = 0
        for name in self._place.names(_UNSETTLED):
            slot_ms = _slot_of_marker(name)
            if slot_ms is None:
                continue
            rows = [row for row in self.rows(slot_ms) if not row.settled]
            if rows:
                found[slot_ms] = rows
                count += len(rows)
                if count >= MOST_ROWS:
                    break
            else:
                self._unmark(slot_ms)
        return found

    def rows(self, slot_ms: int) -> list[SnapshotRow]:
        """The rows of one slot."""
        blobs = {name: self._place.read(name) for name in (_file(slot_ms), _day_file(slot_ms))}
        return merge(
            *(_rows_of_slot(name, blob, slot_ms) for name, blob in blobs.items() if blob is not None)
        )

    def rows_of_day(self, day: date) -> list[SnapshotRow]:
        """All rows of a UTC day, one a key, by slot and symbol."""
        blobs = self._blobs(day)
        if not any(name.endswith(_DAY) for name, _ in blobs):
            # Compacted while its slots were read, they are all in there.
            day_file = self._place.read(f"{_folder(day)}/{_DAY}")
            blobs += [(_DAY, day_file)] if day_file is not None else []
        return merge(*(rows_of(_table(name, blob)) for name, blob in blobs))

    def compact(self, now_ms: int) -> dict[date, pa.Table]:
        """Make one file of each closed day of the last two weeks that has files of slots; gives its rows.

        A day with holes is left until they are filled, or are too old for that. Killed in between, it leaves
        rows in both: readers merge them, and the next run cleans up.
        """
        done: dict[date, pa.Table] = {}
        before: list[str] = []
        for day in days_between(now_ms - 2 * LOOKBACK_MS, now_ms - DAY_MS - _CLOSED_AFTER_MS):
            names = self._place.names(_folder(day))
            slots = sorted(_slots_of(day, names))
            if slots:
                end_ms = day_start_ms(day) + DAY_MS
                first_ms = day_start_ms(day) if before else slots[0]
                # Slots of another schedule may stand between, and fill no hole.
                whole = set(slots_between(first_ms, end_ms, self._interval_ms)) <= set(slots)
                too_old = end_ms <= now_ms - LOOKBACK_MS
                if (_DAY in names or whole or too_old) and (table := self._compact(day)) is not None:
                    done[day] = table
            before = names
        return done

    def _compact(self, day: date) -> pa.Table | None:
        """The day's rows; None if another run has compacted it meanwhile."""
        blobs = self._blobs(day)
        if all(name.endswith(_DAY) for name, _ in blobs):
            return None
        before = next((blob for name, blob in blobs if name.endswith(_DAY)), None)
        table = joined([_table(name, blob) for name, blob in blobs if not name.endswith(_DAY)])
        if before is not None:
            # Killed while it was compacted, or late rows: what stands in both files is merged.
            slots = set(table["slot"].unique().cast(pa.int64()).to_pylist())
            of_both, rest = split_by_slots(_table(_DAY, before), [slot // 1000 for slot in slots])
            table = joined([rest, table_of(merge(rows_of(of_both), rows_of(table)))])
        try:
            content = parquet_bytes(table)
            self._place.write(f"{_folder(day)}/{_DAY}", content, before.version if before else None)
        except Conflict:
            _LOG.info("%s is compacted by another run", day)
            return table
        for name, blob in blobs:
            if not name.endswith(_DAY):
                try:
                    self._place.delete(name, blob.version)
                except Conflict:
                    _LOG.info("%s was written while its day was compacted; the next run adds it", name)
        return table

    def _blobs(self, day: date) -> list[tuple[str, Blob]]:
        wanted = [
            f"{_folder(day)}/{name}"
            for name in self._place.names(_folder(day))
            if name == _DAY or _slots_of(day, [name])
        ]
        return [(name, blob) for name in wanted if (blob := self._place.read(name)) is not None]

    def _land_slot(self, slot_ms: int, rows: Sequence[SnapshotRow]) -> None:
        # 1. The mark comes first: killed after it, it is one too many, never one too few.
        if not all(row.settled for row in rows):
            self._mark(slot_ms)
        # 2. The rows, merged with what is there.
        merged = self._merge_into(slot_ms, rows)
        # 3. Nothing left to be bettered: the mark goes. Else it may be gone already: a run that saw it before
        # these rows takes it away.
        if all(row.settled for row in merged):
            self._unmark(slot_ms)
        else:
            self._mark(slot_ms)

    def _merge_into(self, slot_ms: int, rows: Sequence[SnapshotRow]) -> list[SnapshotRow]:
        for _ in range(_TRIES):
            # A compacted day takes late rows itself: in a file of their own they would stand twice.
            name = _day_file(slot_ms)
            blob = self._place.read(name)
            if blob is None:
                name = _file(slot_ms)
                blob = self._place.read(name)
            own, rest = split_by_slots(_table(name, blob) if blob else SCHEMA.empty_table(), [slot_ms])
            there = rows_of(own)
            merged = merge(there, rows)
            if merged != there:
                content = parquet_bytes(joined([rest, table_of(merged)]))
                try:
                    self._place.write(name, content, blob.version if blob else None)
                except Conflict:
                    continue
            return merged
        raise LandingUnavailable(
            f"{name}: changed by others {_TRIES} times in a row; it is tried again later"
        )

    def _mark(self, slot_ms: int) -> None:
        try:
            self._place.write(_marker(slot_ms), b"", None)
        except Conflict:
            return  # it is marked

    def _unmark(self, slot_ms: int) -> None:
        if self._place.read(_marker(slot_ms)) is None:
            return
        self._place.delete(_marker(slot_ms))
        # Rows that another run has written since, under the mark that was there, need one.
        if not all(row.settled for row in self.rows(slot_ms)):
            self._mark(slot_ms)


def _rows_of_slot(name: str, blob: Blob, slot_ms: int) -> list[SnapshotRow]:
    return rows_of(split_by_slots(_table(name, blob), [slot_ms])[0])


def _table(name: str, blob: Blob) -> pa.Table:
    try:
        return table_of_parquet(blob.content)
    except (pa.ArrowException, KeyError) as error:
        raise LandingUnavailable(
            f"{name}: not a file of snapshots ({' '.join(str(error).split())[:100]}); move it away; "
            "snapshots wait in the spool until then"
        ) from None


def _folder(day: date) -> str:
    return f"exchange={EXCHANGE}/date={day.isoformat()}"


def _file(slot_ms: int) -> str:
    return f"{_folder(day_of(slot_ms))}/{file_stem(slot_ms)}.parquet"


def _day_file(slot_ms: int) -> str:
    return f"{_folder(day_of(slot_ms))}/{_DAY}"


def _marker(slot_ms: int) -> str:
    return f"{_UNSETTLED}/{day_of(slot_ms).isoformat()}T{file_stem(slot_ms)}"


def _slot_of_marker(name: str) -> int | None:
    """None for a name that is none of ours."""
    day_text, _, stem = name.partition("T")
    try:
        return slot_of_stem(date.fromisoformat(day_text), stem)
    except ValueError:
        return None


def _slots_of(day: date, names: Iterable[str]) -> list[int]:
    """The slots that have files of their own."""
    stems = (name.removesuffix(".parquet") for name in names if name.endswith(".parquet"))
    start_ms = day_start_ms(day)
    return [start_ms + offset for stem in stems if (offset := offset_of_stem(stem)) is not None]
