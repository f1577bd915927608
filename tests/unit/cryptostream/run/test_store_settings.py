"""Which store `query` and `ledger` read: the one that was written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptostream.commands.query import store_settings
from cryptostream.data_dir import influx_of, remember_latest
from cryptostream.run.data_directory import DataDirectory
from shared.settings import Settings

URL = "http://influx:8086"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SQLITE_PATH", "INFLUX_ORG", "INFLUX_BUCKET_MARKET", "INFLUX_BUCKET_TICKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STORE", "influxdb")
    monkeypatch.setenv("INFLUX_URL", URL)
    monkeypatch.chdir(tmp_path)


def replayed(root: Path, url: str = URL) -> Path:
    """A run of old recordings: second data went to the bucket where nothing expires."""
    settings = Settings(_env_file=None, store="influxdb", influx_url=url, influx_bucket_ticks="market")
    data_directory = DataDirectory(root, "replay")
    data_directory.remember_influx(influx_of(settings))
    remember_latest(data_directory.root)
    data_directory.close()
    return data_directory.root


def test_trades_of_a_replay_are_read_where_it_wrote_them(tmp_path: Path) -> None:
    assert store_settings(None).influx_bucket_ticks == "ticks"
    replayed(tmp_path / "replay")
    assert store_settings(None).influx_bucket_ticks == "market"


def test_a_run_on_another_influxdb_has_no_say(tmp_path: Path) -> None:
    replayed(tmp_path / "replay", "http://127.0.0.1:4711")
    assert (store_settings(None).influx_url, store_settings(None).influx_bucket_ticks) == (URL, "ticks")


def test_a_runs_directory_names_the_influxdb_that_it_wrote_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = replayed(tmp_path / "replay", "http://other:8086")
    monkeypatch.setenv("STORE", "sqlite")
    settings = store_settings(root)
    assert (settings.store, settings.influx_url) == ("influxdb", "http://other:8086")
    assert settings.influx_bucket_ticks == "market"
