"""The scripts of pipelines/Binance, as users type them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.local import LocalLanding
from tests.integration.snapshots.prefect_server import ROOT, Server, exchange
from tests.snapshot_builders import FIVE_MINUTES

SYMBOLS = ("BTCUSDT", "ETHUSDT")
AWAY = "http://127.0.0.1:9/api"


@pytest.fixture(scope="module")
def exchange_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with exchange(tmp_path_factory.mktemp("exchange"), SYMBOLS) as url:
        yield url


def typed(script: str, directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`python pipelines/Binance/…` in a clean environment but for these settings."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "SNAPSHOT_"))}
    environment = {
        **own,
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(directory / "home"),
        "SNAPSHOT_DIR": str(directory / "snapshots"),
        "SNAPSHOT_SYMBOLS": ",".join(SYMBOLS),
        **settings,
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "pipelines/Binance" / script), *arguments],
        env=environment, cwd=directory, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def landed(directory: Path) -> list[tuple[str, str, str]]:
    files = SnapshotFiles(LocalLanding(directory / "snapshots/parquet"), FIVE_MINUTES)
    days = sorted((directory / "snapshots/parquet/exchange=binance").glob("date=*"))
    rows = [row for day in days for row in files.rows_of_day(date.fromisoformat(day.name[5:]))]
    return [(row.symbol, row.status, row.origin) for row in rows]


def test_main_takes_a_slot_without_any_server(tmp_path: Path, exchange_url: str) -> None:
    done = typed("main.py", tmp_path, BINANCE_REST_URL=exchange_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "complete: 2 complete; 1 slots landed" in done.stdout
    assert landed(tmp_path) == [(symbol, "complete", "manual") for symbol in SYMBOLS]
    assert not (tmp_path / "home").exists(), "Prefect was not even imported"


def test_main_takes_a_slot_as_a_run_of_the_server_that_is_named(
    tmp_path: Path, exchange_url: str, prefect: Server
) -> None:
    done = typed("main.py", tmp_path, BINANCE_REST_URL=exchange_url, **prefect.client)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Completed: complete: 2 complete; 1 slots landed")
    assert landed(tmp_path) == [(symbol, "complete", "manual") for symbol in SYMBOLS]
    artifact = prefect.ask("artifacts/market-snapshot/latest")
    run = prefect.ask(f"flow_runs/{artifact['flow_run_id']}")
    assert (run["state"]["type"], run["deployment_id"]) == ("COMPLETED", None)


def test_main_says_what_is_not_complete_by_its_exit_code(tmp_path: Path, exchange_url: str) -> None:
    done = typed("main.py", tmp_path, BINANCE_REST_URL=exchange_url, SNAPSHOT_SYMBOLS="BTCUSDT,NONEUSDT")
    assert done.returncode == 1 and "partial: 1 complete, 1 missing" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("script", "settings", "code", "message"),
    [
        ("main.py", {"SNAPSHOT_SYMBOLS": "BTC/USDT"}, 2, "SNAPSHOT_SYMBOLS"),
        ("main.py", {"SNAPSHOT_CRON": "7 * * * *", "PREFECT_API_URL": AWAY}, 2, "SNAPSHOT_CRON"),
        ("main.py", {"PREFECT_API_URL": AWAY}, 1, f"PREFECT_API_URL: {AWAY} does not answer"),
        ("binance_extractor.py", {"SNAPSHOT_SYMBOLS": "BTC/USDT"}, 2, "SNAPSHOT_SYMBOLS"),
        ("deploy.py", {}, 2, "PREFECT_API_URL: not set"),
        ("deploy.py", {"PREFECT_API_URL": AWAY}, 1, f"PREFECT_API_URL: {AWAY} does not answer"),
        ("deploy.py", {"PREFECT_API_URL": "http://:::/api"}, 1, "PREFECT_API_URL: http://:::/api does not"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_clear_line(
    tmp_path: Path, script: str, settings: dict[str, str], code: int, message: str
) -> None:
    done = typed(script, tmp_path, **settings)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"error: {message}") and done.stderr.count("\n") == 1


def test_the_extractor_prints_a_json_line_a_symbol_and_keeps_nothing(
    tmp_path: Path, exchange_url: str
) -> None:
    done = typed("binance_extractor.py", tmp_path, BINANCE_REST_URL=exchange_url)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["symbol"], row["status"]) for row in rows] == [(symbol, "complete") for symbol in SYMBOLS]
    assert all(float(row["best_bid"]) < float(row["best_ask"]) for row in rows)
    assert list(tmp_path.iterdir()) == []


def test_the_extractor_says_which_symbol_it_could_not_observe(tmp_path: Path, exchange_url: str) -> None:
    done = typed("binance_extractor.py", tmp_path, BINANCE_REST_URL=exchange_url, SNAPSHOT_SYMBOLS="NONEUSDT")
    row = json.loads(done.stdout)
    assert (done.returncode, row["status"], row["reason"]) == (1, "missing", "unknown_symbol")
    assert row["last_price"] is None


@pytest.mark.parametrize("script", ["main.py", "binance_extractor.py", "deploy.py"])
def test_help_explains_and_does_nothing_and_other_arguments_are_refused(tmp_path: Path, script: str) -> None:
    helped = typed(script, tmp_path, "--help")
    assert helped.returncode == 0 and helped.stdout.startswith("usage: ")
    refused = typed(script, tmp_path, "--nothing")
    assert refused.returncode == 2 and "--nothing" in refused.stderr
    assert list(tmp_path.iterdir()) == []
