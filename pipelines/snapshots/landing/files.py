"""Rows in a landing: a file for each slot, one for each closed day; always one row a key."""

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
from pipelines.snapshots.landing.port import Blob, Conflict, Landing, LandingUnavailable
from pipelines.snapshots.observation import EXCHANGE
from pipelines.snapshots.plan import LOOKBACK_MS, MOST_ROWS
from pipelines.snapshots.rows import SnapshotRow, merge
from pipelines.snapshots.slots import (
    DAY_MS,
    day_of,
    day_start_ms,
    days_between,
    file_stem,
    slot_of_stem,
    slots_between,
)

_LOG = logging.getLogger(__name__)

_DAY: Final = "day.parquet"
_UNSETTLED: Final = f"_unsettled/exchange={EXCHANGE}"
# Few runs overlap: more conflicts in a row have another cause.
_TRIES: Final = 20
# Time for the last slots of a day to be finished.
_CLOSED_AFTER_MS: Final = 3_600_000


class SnapshotFiles:
    """Files of a landing: `exchange=…/date=YYYY-MM-DD/HHMM.parquet`, of a closed day `day.parquet`.

    Slots with rows that klines may still improve are marked by an empty blob, so that a run need not read the
    week to find them.
    """

    def __init__(self, landing: Landing, interval_ms: int) -> None:
        self._landing = landing
        self._interval_ms = interval_ms

    def land(self, rows: Iterable[SnapshotRow]) -> int:
        """Merge rows into the files; idempotent. Returns how many slots were written."""
        by_slot: defaultdict[int, list[SnapshotRow]] = defaultdict(list)
        for row in rows:
            by_slot[row.slot_ms].append(row)
        for slot_ms, of_slot in sorted(by_slot.items()):
            self._land_slot(slot_ms, of_slot)
        return len(by_slot)

    def handled(self, first_ms: int, last_ms: int) -> set[int]:
        """Slots with rows from one to another, both included; by file names alone.

        A compacted day has no hole: compaction waits for its slots.
        """
        found: set[int] = set()
        for day in days_between(first_ms, last_ms):
            names = self._landing.names(_folder(day))
            start_ms = day_start_ms(day)
            if _DAY in names:
                found.update(slots_between(start_ms, start_ms + DAY_MS, self._interval_ms))
            found.update(_slots_of(day, names))
        return {slot for slot in found if first_ms <= slot <= last_ms}

    def unsettled(self) -> dict[int, list[SnapshotRow]]:
        """Rows that klines may still improve, by slot; the oldest MOST_ROWS."""
        found: dict[int, list[SnapshotRow]] = {}
        count = 0
        for name in self._landing.names(_UNSETTLED):
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
        blobs = {name: self._landing.read(name) for name in (_file(slot_ms), _day_file(slot_ms))}
        return merge(
            *(_rows_of_slot(name, blob, slot_ms) for name, blob in blobs.items() if blob is not None)
        )

    def rows_of_day(self, day: date) -> list[SnapshotRow]:
        """All rows of a UTC day, one a key, by slot and symbol."""
        blobs = self._blobs(day)
        if not any(name.endswith(_DAY) for name, _ in blobs):
            # The day may have been compacted while its slots were read.
            day_file = self._landing.read(f"{_folder(day)}/{_DAY}")
            blobs += [(_DAY, day_file)] if day_file is not None else []
        return merge(*(rows_of(_table(name, blob)) for name, blob in blobs))

    def compact(self, now_ms: int) -> dict[date, pa.Table]:
        """Compact each closed day of the last two weeks that has files of slots; returns their tables.

        A day with holes waits until they are filled or too old. A compaction that is killed leaves rows in
        both files: readers merge them, and the next run cleans up.
        """
        done: dict[date, pa.Table] = {}
        before: list[str] = []
        for day in days_between(now_ms - 2 * LOOKBACK_MS, now_ms - DAY_MS - _CLOSED_AFTER_MS):
            names = self._landing.names(_folder(day))
            slots = sorted(_slots_of(day, names))
            if slots:
                end_ms = day_start_ms(day) + DAY_MS
                first_ms = day_start_ms(day) if before else slots[0]
                # Slots of another schedule may lie between, and fill no hole.
                whole = set(slots_between(first_ms, end_ms, self._interval_ms)) <= set(slots)
                too_old = end_ms <= now_ms - LOOKBACK_MS
                if (_DAY in names or whole or too_old) and (table := self._compact(day)) is not None:
                    done[day] = table
            before = names
        return done

    def _compact(self, day: date) -> pa.Table | None:
        """The day's rows; None if another run has compacted it."""
        blobs = self._blobs(day)
        if all(name.endswith(_DAY) for name, _ in blobs):
            return None
        before = next((blob for name, blob in blobs if name.endswith(_DAY)), None)
        table = joined([_table(name, blob) for name, blob in blobs if not name.endswith(_DAY)])
        if before is not None:
            # After a killed compaction or late rows, slots in both files are merged.
            slots = set(table["slot"].unique().cast(pa.int64()).to_pylist())
            of_both, rest = split_by_slots(_table(_DAY, before), [slot // 1000 for slot in slots])
            table = joined([rest, table_of(merge(rows_of(of_both), rows_of(table)))])
        try:
            content = parquet_bytes(table)
            self._landing.write(f"{_folder(day)}/{_DAY}", content, before.version if before else None)
        except Conflict:
            _LOG.info("%s was compacted by another run", day)
            return table
        for name, blob in blobs:
            if not name.endswith(_DAY):
                try:
                    self._landing.delete(name, blob.version)
                except Conflict:
                    _LOG.info("%s was written during the compaction of its day; the next run adds it", name)
        return table

    def _blobs(self, day: date) -> list[tuple[str, Blob]]:
        wanted = [
            f"{_folder(day)}/{name}"
            for name in self._landing.names(_folder(day))
            if name == _DAY or _slots_of(day, [name])
        ]
        return [(name, blob) for name in wanted if (blob := self._landing.read(name)) is not None]

    def _land_slot(self, slot_ms: int, rows: Sequence[SnapshotRow]) -> None:
        # 1. Mark first: if killed after this, a mark is superfluous, never missing.
        if not all(row.settled for row in rows):
            self._mark(slot_ms)
        # 2. Merge the rows into the file.
        merged = self._merge_into(slot_ms, rows)
        # 3. Remove the mark if all rows are settled. Else set it again: a run that read the file before these
        # rows may have removed it.
        if all(row.settled for row in merged):
            self._unmark(slot_ms)
        else:
            self._mark(slot_ms)

    def _merge_into(self, slot_ms: int, rows: Sequence[SnapshotRow]) -> list[SnapshotRow]:
        for _ in range(_TRIES):
            # Late rows go into the file of a compacted day: a file of their own would duplicate the slot.
            name = _day_file(slot_ms)
            blob = self._landing.read(name)
            if blob is None:
                name = _file(slot_ms)
                blob = self._landing.read(name)
            own, rest = split_by_slots(_table(name, blob) if blob else SCHEMA.empty_table(), [slot_ms])
            there = rows_of(own)
            merged = merge(there, rows)
            if merged != there:
                content = parquet_bytes(joined([rest, table_of(merged)]))
                try:
                    self._landing.write(name, content, blob.version if blob else None)
                except Conflict:
                    continue
            return merged
        raise LandingUnavailable(
            f"{name}: changed by others {_TRIES} times in a row; rows wait in the spool for the next run"
        )

    def _mark(self, slot_ms: int) -> None:
        try:
            self._landing.write(_marker(slot_ms), b"", None)
        except Conflict:
            return  # marked already

    def _unmark(self, slot_ms: int) -> None:
        if self._landing.read(_marker(slot_ms)) is None:
            return
        self._landing.delete(_marker(slot_ms))
        # Another run may have written unsettled rows since.
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
    """None if the name is not a marker's."""
    day_text, _, stem = name.partition("T")
    try:
        return slot_of_stem(date.fromisoformat(day_text), stem)
    except ValueError:
        return None


def _slots_of(day: date, names: Iterable[str]) -> list[int]:
    """The slots that have files of their own."""
    stems = (name.removesuffix(".parquet") for name in names if name.endswith(".parquet"))
    return [slot for stem in stems if (slot := slot_of_stem(day, stem)) is not None]
