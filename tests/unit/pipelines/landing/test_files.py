from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.snapshots.frame import SCHEMA, rows_of
from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.landing.port import LandingUnavailable
from pipelines.snapshots.slots import DAY_MS, day_start_ms
from tests.snapshot_builders import FIVE_MINUTES, SLOT, row

DAY = date(2026, 8, 3)
FOLDER = "exchange=binance/date=2026-08-03"
CLOSED = day_start_ms(DAY) + DAY_MS + 3_600_000
# A week after that holes are no longer filled: days are compacted as they are.
OLD = CLOSED + 8 * DAY_MS


@pytest.fixture
def files(tmp_path: Path) -> SnapshotFiles:
    return SnapshotFiles(LocalLanding(tmp_path), FIVE_MINUTES)


def test_a_slot_lands_in_its_day_in_the_declared_schema(files: SnapshotFiles, tmp_path: Path) -> None:
    files.land([row(), row(symbol="ETHUSDT", status="missing")])
    table = pq.read_table(tmp_path / FOLDER / "1425.parquet", partitioning=None)
    assert table.schema.equals(SCHEMA)
    assert table.schema.field("spread").metadata[b"unit"] == b"quote asset"
    assert [str(kind) for kind in (table.schema.field("slot").type, table.schema.field("spread").type)] == [
        "timestamp[us, tz=UTC]",
        "decimal128(38, 18)",
    ]
    assert files.rows(SLOT) == [row(), row(symbol="ETHUSDT", status="missing")]


def test_landing_again_changes_nothing(files: SnapshotFiles, tmp_path: Path) -> None:
    files.land([row()])
    before = (tmp_path / FOLDER / "1425.parquet").stat()
    files.land([row()])
    files.land([row(status="missing")])
    after = (tmp_path / FOLDER / "1425.parquet").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_a_missing_row_is_unsettled_until_something_better_comes(files: SnapshotFiles) -> None:
    files.land([row(status="missing"), row(symbol="ETHUSDT")])
    assert files.unsettled() == {SLOT: [row(status="missing")]}
    files.land([row(status="backfilled")])
    assert files.unsettled() == {}


def test_missing_for_good_is_settled(files: SnapshotFiles) -> None:
    files.land([row(status="missing", reason="no_trading")])
    assert files.unsettled() == {}


def test_handled_slots_are_those_with_rows_compacted_or_not(files: SnapshotFiles) -> None:
    slots = {SLOT, SLOT + FIVE_MINUTES}
    files.land([row(slot) for slot in slots])
    files.land([row(SLOT + DAY_MS)])
    assert files.handled(SLOT, SLOT + DAY_MS) == {*slots, SLOT + DAY_MS}
    assert list(files.compact(OLD)) == [DAY, date(2026, 8, 4)]
    # Of a day that is closed nothing is asked for again.
    assert files.handled(SLOT, SLOT + 2 * FIVE_MINUTES) == {*slots, SLOT + 2 * FIVE_MINUTES}


@pytest.mark.thorough
def test_a_closed_day_becomes_one_file_with_the_same_rows(files: SnapshotFiles, tmp_path: Path) -> None:
    rows = [row(slot) for slot in range(SLOT, CLOSED - 3_600_000, FIVE_MINUTES)]
    files.land(rows)
    assert files.compact(CLOSED - 1) == {}
    assert {day: rows_of(table) for day, table in files.compact(CLOSED).items()} == {DAY: rows}
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["day.parquet"]
    assert files.rows_of_day(DAY) == rows
    assert files.compact(CLOSED) == {}


@pytest.mark.thorough
def test_a_day_with_a_hole_waits_until_it_is_filled_or_too_old_for_that(files: SnapshotFiles) -> None:
    slots = list(range(SLOT, CLOSED - 3_600_000, FIVE_MINUTES))
    files.land([row(slot) for slot in slots if slot != slots[3]])
    assert files.compact(CLOSED) == {}
    files.land([row(slots[3], "missing")])
    assert list(files.compact(CLOSED)) == [DAY]
    later = [slot + DAY_MS for slot in slots]  # the next day has a hole at its beginning
    files.land([row(slot) for slot in later])
    assert files.compact(CLOSED + DAY_MS) == {}
    assert list(files.compact(OLD)) == [date(2026, 8, 4)]


def test_late_rows_of_a_compacted_day_go_into_its_file(files: SnapshotFiles, tmp_path: Path) -> None:
    files.land([row(), row(SLOT + FIVE_MINUTES, "missing")])
    files.compact(OLD)
    files.land([row(SLOT + FIVE_MINUTES, "backfilled"), row(SLOT + 2 * FIVE_MINUTES)])
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["day.parquet"]
    assert [one.status for one in files.rows_of_day(DAY)] == ["complete", "backfilled", "complete"]


def test_a_day_that_two_runs_compact_at_once_is_whole(
    files: SnapshotFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.land([row(), row(SLOT + FIVE_MINUTES)])
    other = SnapshotFiles(LocalLanding(tmp_path), FIVE_MINUTES)
    true_write = LocalLanding.write

    def overtaken(self: LocalLanding, name: str, content: bytes, version: str | None) -> None:
        monkeypatch.setattr(LocalLanding, "write", true_write)
        other.compact(OLD)
        self.write(name, content, version)

    monkeypatch.setattr(LocalLanding, "write", overtaken)
    files.compact(OLD)
    assert files.rows_of_day(DAY) == [row(), row(SLOT + FIVE_MINUTES)]
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["day.parquet"]


def test_a_compaction_that_was_killed_is_finished_by_the_next(files: SnapshotFiles, tmp_path: Path) -> None:
    files.land([row(), row(SLOT + FIVE_MINUTES)])
    left_over = (tmp_path / FOLDER / "1425.parquet").read_bytes()
    files.compact(OLD)
    (tmp_path / FOLDER / "1425.parquet").write_bytes(left_over)
    assert files.rows_of_day(DAY) == [row(), row(SLOT + FIVE_MINUTES)]
    files.compact(OLD)
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["day.parquet"]


def meanwhile(monkeypatch: pytest.MonkeyPatch, method: str, name: str, work: Any) -> None:
    """Before the next call of a landing place's method on this name another run does its work."""
    true = getattr(LocalLanding, method)

    def overtaken(self: LocalLanding, called: str, *more: Any) -> Any:
        if name in called:
            monkeypatch.setattr(LocalLanding, method, true)
            work()
        return true(self, called, *more)

    monkeypatch.setattr(LocalLanding, method, overtaken)


def test_a_mark_that_another_run_removes_before_the_rows_are_there_is_set_again(
    files: SnapshotFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SnapshotFiles(LocalLanding(tmp_path), FIVE_MINUTES)
    meanwhile(monkeypatch, "write", "1425.parquet", other.unsettled)
    files.land([row(status="missing")])
    assert files.unsettled() == {SLOT: [row(status="missing")]}


def test_rows_written_while_their_mark_is_removed_get_it_back(
    files: SnapshotFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.land([row(status="missing")])
    other = SnapshotFiles(LocalLanding(tmp_path), FIVE_MINUTES)
    late = row(status="missing", symbol="ETHUSDT")
    meanwhile(monkeypatch, "delete", "_unsettled", lambda: other.land([late]))
    files.land([row()])
    assert files.unsettled() == {SLOT: [late]}


def test_foreign_names_among_the_marks_and_slots_are_passed_over(
    files: SnapshotFiles, tmp_path: Path
) -> None:
    files.land([row(status="missing")])
    for folder in ("_unsettled/exchange=binance", FOLDER):
        (tmp_path / folder / ".DS_Store").write_bytes(b"x")
    assert list(files.unsettled()) == [SLOT] and files.handled(SLOT, SLOT) == {SLOT}


@pytest.mark.parametrize("name", ["1425.parquet", "day.parquet"])
def test_a_file_that_cannot_be_read_is_named_and_costs_no_row(
    files: SnapshotFiles, tmp_path: Path, name: str
) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / name).write_bytes(b"PAR1junkPAR1")
    for work in (lambda: files.land([row()]), lambda: files.rows(SLOT), lambda: files.rows_of_day(DAY)):
        with pytest.raises(LandingUnavailable, match=f"{name}: not a file of snapshots .* move it away"):
            work()


@pytest.mark.thorough
def test_slots_of_another_schedule_fill_no_hole_of_a_day(files: SnapshotFiles) -> None:
    slots = list(range(SLOT, CLOSED - 3_600_000, FIVE_MINUTES))
    files.land([row(slot) for slot in slots if slot != slots[3]])
    files.land([row(SLOT + 60_000)])
    assert files.compact(CLOSED) == {}
    files.land([row(slots[3])])
    assert list(files.compact(CLOSED)) == [DAY], "nor do they keep a whole day from it"


def test_a_day_that_another_run_compacts_first_is_left_to_it(
    files: SnapshotFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.land([row(), row(SLOT + FIVE_MINUTES)])
    other = SnapshotFiles(LocalLanding(tmp_path), FIVE_MINUTES)
    true_names, calls = LocalLanding.names, list[str]()

    def names(self: LocalLanding, folder: str) -> list[str]:
        calls.append(folder)
        if calls.count(FOLDER) == 2:
            monkeypatch.setattr(LocalLanding, "names", true_names)
            other.compact(OLD)
        return true_names(self, folder)

    monkeypatch.setattr(LocalLanding, "names", names)
    assert files.compact(OLD) == {}
    assert files.rows_of_day(DAY) == [row(), row(SLOT + FIVE_MINUTES)]


def test_a_day_that_is_compacted_while_it_is_read_is_whole(
    files: SnapshotFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.land([row(), row(SLOT + FIVE_MINUTES)])
    other = SnapshotFiles(LocalLanding(tmp_path), FIVE_MINUTES)
    meanwhile(monkeypatch, "read", "1430.parquet", lambda: other.compact(OLD))
    assert files.rows_of_day(DAY) == [row(), row(SLOT + FIVE_MINUTES)]
