from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.landing.port import LandingUnavailable
from pipelines.snapshots.landing.spool import ROWS, WAREHOUSE, Spool
from pipelines.snapshots.rows import SnapshotRow
from tests.snapshot_builders import FIVE_MINUTES, SLOT, row


def test_rows_leave_the_spool_only_after_they_were_taken(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put_rows([row()], ROWS)
    spool.put_rows([row(SLOT + FIVE_MINUTES)], ROWS)

    def away(_rows: list[SnapshotRow]) -> None:
        raise LandingUnavailable("away")

    with pytest.raises(LandingUnavailable):
        spool.drain_rows(ROWS, away)
    assert spool.waiting(ROWS) == 2
    taken: list[SnapshotRow] = []
    assert spool.drain_rows(ROWS, taken.extend) == 2
    assert taken == [row(), row(SLOT + FIVE_MINUTES)]
    assert spool.waiting(ROWS) == 0


def test_each_queue_is_drained_by_itself(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put_rows([row()], ROWS, WAREHOUSE)
    spool.drain_rows(ROWS, len)
    assert (spool.waiting(ROWS), spool.waiting(WAREHOUSE)) == (0, 1)


def test_the_same_rows_put_twice_are_one_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for _ in range(2):
        spool.put_rows([row()], ROWS)
    spool.put_rows([], ROWS)
    assert spool.waiting(ROWS) == 1


def test_blobs_come_out_under_the_names_they_were_put_by(tmp_path: Path) -> None:
    spool, target = Spool(tmp_path / "spool"), LocalLanding(tmp_path / "target")
    spool.put_blob("quarantine/exchange=binance/date=2026-08-03/1425-ab.parquet", b"x")
    spool.drain_blobs(target)
    spool.drain_blobs(target)
    assert target.names("quarantine/exchange=binance/date=2026-08-03") == ["1425-ab.parquet"]


def test_a_spoilt_file_is_set_aside_and_stops_no_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put_rows([row()], ROWS)
    (tmp_path / "rows/1-aa.parquet").write_bytes(b"junk")
    taken: list[SnapshotRow] = []
    spool.drain_rows(ROWS, taken.extend)
    assert taken == [row()] and spool.waiting(ROWS) == 0
    assert (tmp_path / "spoilt/rows-1-aa.parquet").read_bytes() == b"junk"
