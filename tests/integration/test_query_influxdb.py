"""`query` reads an InfluxDB that the settings name."""

from __future__ import annotations

import time

import orjson
import pytest

from consumers.measurements import TRADE, Point, Series
from consumers.stores.factory import open_store
from cryptostream import cli
from shared.settings import load_settings
from tests.conftest import Influx


@pytest.fixture
def configured(influx: Influx, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("STORE", "influxdb"),
        ("INFLUX_URL", influx.url),
        ("INFLUX_ORG", influx.org),
        ("INFLUX_TOKEN", influx.token),
    ):
        monkeypatch.setenv(name, value)


def test_trades_written_to_influxdb_are_queried_from_it(
    configured: None, unique: str, capsys: pytest.CaptureFixture[str]
) -> None:
    symbol, now_ns = unique.upper(), time.time_ns() // 10**6 * 10**6
    store = open_store(load_settings())
    series = Series(TRADE, ("binance", symbol))
    store.write([Point(series, now_ns + number, (number, 1.5, 2.0, True)) for number in range(3)])
    store.close()
    assert cli.main(["query", "trades", symbol, "--last", "2", "--format", "json"]) == 0
    rows = orjson.loads(capsys.readouterr().out)
    assert [(row["trade_time_ms"], row["trade_id"]) for row in rows] == [
        (now_ns // 10**6, 1),
        (now_ns // 10**6, 2),
    ]


def test_a_wrong_token_is_one_line_and_exit_1(
    configured: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INFLUX_TOKEN", "nonsense")
    assert cli.main(["query", "trades", "BTCUSDC"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: INFLUX_TOKEN: refused by")
    assert error.count("\n") == 1
