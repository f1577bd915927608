"""What SQL that somebody types into `snapshots query` does to this machine: it reads what has landed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from pipelines.snapshots.destinations import parquet_dir
from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.query import QueryRefused, ask, open_query
from pipelines.snapshots.settings import SnapshotSettings, load_snapshot_settings
from tests.snapshot_builders import FIVE_MINUTES, row

# ROOT is the folder of what has landed, LANDED one of its files, OUTSIDE another folder.
WRITING = (
    "COPY (SELECT 1 AS a) TO 'ROOT/new.parquet'",
    "COPY (SELECT 1 AS a) TO 'LANDED'",
    "COPY (SELECT 1 AS a) TO 'OUTSIDE/new.csv'",
    "SELECT 1; COPY (SELECT 1 AS a) TO 'LANDED'",
    "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO 'LANDED'",
    "PREPARE p AS COPY (SELECT 1 AS a) TO 'LANDED'",
    "COPY (PIVOT (SELECT 1 AS a, 2 AS b) ON a USING sum(b)) TO 'LANDED'",
    "SELECT * FROM query('COPY (SELECT 1) TO ''LANDED''')",
    "EXPORT DATABASE 'ROOT/all'",
    "ATTACH 'ROOT/new.db' AS theirs",
    "SELECT * FROM read_duckdb('ROOT/new.db')",
    "SELECT * FROM enable_logging('QueryLog', storage := 'file', storage_path := 'ROOT/log')",
    "SELECT * FROM enable_profiling(save_location := 'ROOT/profile.json')",
    "SET temp_directory = 'ROOT/temporary'",
    "CREATE TABLE theirs AS SELECT 1",
    "DROP VIEW snapshots",
    "INSTALL httpfs",
)
READING_ELSEWHERE = (
    "SELECT * FROM read_text('OUTSIDE/secret')",
    "SELECT * FROM read_csv('OUTSIDE/secret')",
    "SELECT * FROM read_blob('ROOT/../../outside/secret')",
    "SELECT * FROM sniff_csv('OUTSIDE/secret')",
    "SELECT * FROM glob('OUTSIDE/*')",
    "SELECT * FROM 'OUTSIDE/secret'",
    "SELECT * FROM read_parquet('http://127.0.0.1:9/x.parquet')",
    "SELECT getenv('HOME')",
    "SELECT * FROM duckdb_secrets()",
)


@pytest.fixture
def settings(tmp_path: Path) -> SnapshotSettings:
    found = load_snapshot_settings(snapshot_dir=tmp_path / "snapshots")
    SnapshotFiles(LocalLanding(parquet_dir(found)), FIVE_MINUTES).land([row()])
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def attempt(settings: SnapshotSettings, tmp_path: Path, sql: str) -> None:
    root = parquet_dir(settings).resolve()
    landed = next(root.glob("exchange=*/date=*/*.parquet"))
    for name, path in (("ROOT", root), ("LANDED", landed), ("OUTSIDE", tmp_path / "outside")):
        sql = sql.replace(name, str(path))
    with open_query(settings) as connection, pytest.raises(QueryRefused):
        ask(connection, sql)


@pytest.mark.parametrize("sql", WRITING)
def test_nothing_is_written_changed_or_made(settings: SnapshotSettings, tmp_path: Path, sql: str) -> None:
    before = contents(tmp_path)
    attempt(settings, tmp_path, sql)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("sql", READING_ELSEWHERE)
def test_nothing_else_is_read(settings: SnapshotSettings, tmp_path: Path, sql: str) -> None:
    attempt(settings, tmp_path, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT symbol, last_price FROM snapshots ORDER BY slot",
        "FROM snapshots",
        "WITH known AS (SELECT * FROM snapshots) SELECT symbol FROM known",
        "DESCRIBE snapshots",
        "SHOW TABLES",
        "SUMMARIZE SELECT last_price FROM snapshots",
        "SELECT * FROM (SELECT symbol, status FROM snapshots) PIVOT (count(*) FOR status IN ('complete'))",
        "SELECT 1; SELECT 2",
    ],
)
def test_what_reads_is_answered(settings: SnapshotSettings, sql: str) -> None:
    with open_query(settings) as connection:
        assert ask(connection, sql)[1]
