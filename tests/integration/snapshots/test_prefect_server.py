"""Against a real Prefect server: what users type deploys the flow, and its schedule takes slots."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.slots import slot_at
from tests.integration.snapshots.postgres import binaries, postgres
from tests.integration.snapshots.prefect_server import (
    BIN,
    ROOT,
    Server,
    exchange,
    prefect_server,
    process,
    wait_for,
)

MINUTE = 60_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.mark.timeout(1200)
def test_a_deployment_takes_slots_on_its_schedule_and_the_api_shows_it(tmp_path: Path) -> None:
    """With metadata in SQLite and in PostgreSQL, at the same time: minutes are waited for once."""
    binaries()
    (tmp_path / "sqlite").mkdir()
    (tmp_path / "postgresql").mkdir()
    with postgres() as database, ThreadPoolExecutor(2) as threads:
        trials = [
            threads.submit(_trial, tmp_path / "sqlite", None),
            threads.submit(_trial, tmp_path / "postgresql", database),
        ]
        for trial in trials:
            trial.result()


def _trial(directory: Path, database: str | None) -> None:
    settings = {
        "SNAPSHOT_SYMBOLS": ",".join(SYMBOLS),
        "SNAPSHOT_CRON": "* * * * *",
        "SNAPSHOT_DIR": str(directory / "snapshots"),
    }
    # The first request of each 50 s meets six seconds of errors: longer than the client's own attempts last.
    with (
        exchange(directory, SYMBOLS, "rest_5xx:paths=depth,symbols=BTCUSDT,every=50,duration=6") as url,
        prefect_server(directory, {**settings, "BINANCE_REST_URL": url}, database) as server,
    ):
        takes_slots(server, directory, slots=2)


def takes_slots(server: Server, directory: Path, slots: int) -> None:
    """Deploy as users do, and watch so many slots."""
    server.run(
        str(BIN / "prefect"), "work-pool", "create", "default-pool", "--type", "process", "--overwrite"
    )
    deploy = (sys.executable, str(ROOT / "pipelines/Binance/deploy.py"))
    for _ in range(2):  # repeated, it updates
        said = server.run(*deploy)
        assert said.endswith("market-snapshot/binance: * * * * * UTC, BTCUSDT, ETHUSDT\n")
    worker = (str(BIN / "prefect"), "worker", "start", "--pool", "default-pool", "--limit", "2")
    with process("worker", directory, server.environment, *worker) as log:
        files = SnapshotFiles(LocalLanding(directory / "snapshots/parquet"), MINUTE)
        runs = wait_for(
            lambda: _in_time(server, files, slots),
            60 * (slots + 6),
            f"{slots} slots taken within their minutes",
        )
        assert log.exists()
    # 1. Cron created them, at the slots, and they ended well.
    assert all(run["auto_scheduled"] for run in runs)
    assert [run["state"]["type"] for run in runs] == ["COMPLETED"] * slots, runs
    # 2. What they took is there, by the scheduler's instants.
    for run in runs:
        slot_ms = _ms(run["expected_start_time"])
        assert slot_at(slot_ms, MINUTE) == slot_ms
        rows = files.rows(slot_ms)
        assert [(row.symbol, row.status, row.origin) for row in rows] == [
            (symbol, "complete", "scheduled") for symbol in SYMBOLS
        ]
    # 3. The API shows artifacts and retries.
    artifact = server.ask("artifacts/market-snapshot/latest")
    assert [line["symbol"] for line in json.loads(artifact["data"])] == list(SYMBOLS)
    checks = json.loads(server.ask("artifacts/market-snapshot-checks/latest")["data"])
    assert {line["failed"] for line in checks} == {0} and checks[0]["checked"] == 2
    assert "| BTCUSDT |" in server.ask("artifacts/market-snapshot-chart/latest")["data"]
    tasks = server.ask("task_runs/filter", {"limit": 200})
    assert any(task["name"].startswith("extract BTCUSDT") and task["run_count"] > 1 for task in tasks)


def _in_time(server: Server, files: SnapshotFiles, count: int) -> list[dict[str, Any]] | None:
    """The first runs without a late row: on a busy machine one may be, and then it says so."""
    runs = server.ask(
        "flow_runs/filter",
        {
            "sort": "EXPECTED_START_TIME_ASC",
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}},
            "limit": 50,
        },
    )
    in_time = [
        run
        for run in runs
        if (rows := files.rows(_ms(run["expected_start_time"])))
        and all(row.status == "complete" for row in rows)
    ]
    return in_time[:count] if len(in_time) >= count else None


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
