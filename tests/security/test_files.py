"""What this machine's other users can read of a run, of secrets and of backups: nothing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptostream.processes.server import EngineUnavailable
from tests.conftest import ROOT
from tests.deployment import Deployment

pytestmark = pytest.mark.integration


def command(directory: Path, *words: str, **more: str) -> None:
    """A command of ours to its end, started by a shell whose files are everybody's."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **more},
        umask=0,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr


def open_to_others(folder: Path) -> list[str]:
    """Files and folders of which group or others have any right."""
    return [
        f"{path.relative_to(folder)} {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in sorted(folder.rglob("*"))
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]


@pytest.mark.timeout(1200)
def test_a_run_keeps_what_it_stores_and_logs_to_itself(tmp_path: Path) -> None:
    command(
        tmp_path,
        *("cryptostream.cli", "run", "--source", "simulator", "--broker", "memory", "--store", "sqlite"),
        *("--symbols", "BTCUSDC", "--intervals", "1s", "--duration", "5", "--no-ui"),
    )
    made = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert {"cryptostream.db", "producers.log", "consumers.log", "source.json", "latest"} <= made
    assert open_to_others(tmp_path) == []


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    try:
        found = Deployment(tmp_path)
    except EngineUnavailable as error:
        pytest.skip(str(error))
    found.init()
    yield found
    found.server.stop()


def test_a_backup_is_its_owners_alone(deployment: Deployment, tmp_path: Path) -> None:
    """It holds users and tokens."""
    (tmp_path / "backups").mkdir()
    command(
        tmp_path,
        *("influxdb.provision", "--secrets", str(deployment.secrets), "backup", "backups"),
        INFLUX_URL=deployment.url,
    )
    assert len(list((tmp_path / "backups").rglob("*"))) >= 5
    assert open_to_others(tmp_path / "backups") == []
