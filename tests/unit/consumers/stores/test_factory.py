from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consumers.stores.factory import open_reader, open_store
from consumers.stores.influxdb_reader import InfluxReader
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from shared.errors import SettingsError, StoreUnavailable
from shared.settings import Settings


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
