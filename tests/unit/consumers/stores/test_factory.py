from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consumers.stores.factory import open_reader, open_store
from consumers.stores.influxdb_reader import InfluxReader
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from shared.errors import SettingsError, StoreUnavailable
from shared.settings import Settings
from tests.conftest import ROOT


def settings(**fields: Any) -> Settings:
    return Settings(_env_file=None, **fields)


def test_sqlite_needs_a_path() -> None:
    for open_either in (open_store, open_reader):
        with pytest.raises(SettingsError, match=r"^SQLITE_PATH: not set; "):
            open_either(settings(store="sqlite", sqlite_path=None))


def test_the_settings_choose_the_adapter(tmp_path: Path) -> None:
    chosen = settings(store="sqlite", sqlite_path=tmp_path / "store.db")
    store = open_store(chosen)
    assert isinstance(store, SqliteStore)
    assert isinstance(open_reader(chosen), SqliteReader)
    assert isinstance(open_reader(settings(store="influxdb", influx_token="t")), InfluxReader)
    store.close()


def test_an_influxdb_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(StoreUnavailable, match=r"^INFLUX_URL: no answer from http://127.0.0.1:9"):
        open_store(settings(store="influxdb", influx_url="http://127.0.0.1:9", influx_token="t"))


@pytest.mark.parametrize(("store", "imported"), [("sqlite", "False"), ("influxdb", "True")])
def test_the_client_of_influxdb_is_imported_only_by_who_writes_to_it(
    tmp_path: Path, store: str, imported: str
) -> None:
    program = (
        "import sys, consumers.__main__\n"
        "from consumers.stores.factory import open_reader, open_store\n"
        "from shared.errors import StoreError\n"
        "from shared.settings import load_settings\n"
        "for opened in (open_store, open_reader):\n"
        "    try:\n"
        "        opened(load_settings()).close()\n"
        "    except StoreError:\n"
        "        pass\n"
        "print('influxdb_client' in sys.modules)"
    )
    environment = {"STORE": store, "SQLITE_PATH": str(tmp_path / "store.db"), "PATH": ""}
    environment |= {"INFLUX_URL": "http://127.0.0.1:9", "INFLUX_TOKEN": "none"}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == imported
