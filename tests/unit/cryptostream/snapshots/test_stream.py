from __future__ import annotations

from pathlib import Path

import pytest

from consumers.measurements import MEASUREMENTS, Point, Series
from consumers.stores.sqlite import SqliteStore
from cryptostream.snapshots.stream import stream_closes
from tests.snapshot_builders import SLOT

KLINE = MEASUREMENTS["kline"]


def bar(symbol: str, open_ms: int, close: float) -> Point:
    values = tuple(close if column.name == "close" else None for column in KLINE.columns)
    return Point(Series(KLINE, ("binance", symbol, "1m")), open_ms * 1_000_000, values)


def test_the_close_of_the_minute_before_the_slot_is_the_stream_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    store.write(
        [bar("BTCUSDT", SLOT - 120_000, 1.0), bar("BTCUSDT", SLOT - 60_000, 2.0), bar("BTCUSDT", SLOT, 3.0)]
    )
    store.close()
    monkeypatch.setenv("STORE", "sqlite")
    monkeypatch.setenv("SQLITE_PATH", str(path))
    assert stream_closes(["BTCUSDT", "ETHUSDT"], SLOT) == {"BTCUSDT": 2.0}


def test_without_a_store_there_is_nothing_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE", "sqlite")
    monkeypatch.delenv("SQLITE_PATH", raising=False)
    assert stream_closes(["BTCUSDT"], SLOT) == {}
    monkeypatch.setenv("SQLITE_PATH", str(tmp_path / "none.db"))
    assert stream_closes(["BTCUSDT"], SLOT) == {}


def test_a_store_that_is_away_is_no_fault_of_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", "influxdb")
    monkeypatch.setenv("INFLUX_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("INFLUX_TOKEN", "t")
    assert stream_closes(["BTCUSDT"], SLOT) == {}


def test_wrong_settings_of_the_stream_cost_only_the_comparison(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("INTERVALS", "7m")
    assert stream_closes(["BTCUSDT"], SLOT) == {}
    assert 'not compared with the stream\'s: INTERVALS: "7m"' in caplog.text


def test_a_store_that_is_none_is_no_fault_of_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    path.write_text("no database")
    monkeypatch.setenv("STORE", "sqlite")
    monkeypatch.setenv("SQLITE_PATH", str(path))
    assert stream_closes(["BTCUSDT"], SLOT) == {}
