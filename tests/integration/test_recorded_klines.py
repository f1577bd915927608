"""Recorded klines through producer, real Kafka, consumer and real InfluxDB come back equal to the file."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from consumers.indicators.bars import Bar
from consumers.stores.factory import open_reader
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from shared.settings import load_settings
from tests.conftest import real_influx, real_kafka
from tests.services import cryptostream, service, simulator, start, wait_for
from tests.unit.consumers.indicators.reference import LOOK_AHEAD, values_of_ta

ARCHIVED_HOURS = 5_088
_SPOT_HOURS = "binance_spot_archive/BTCUSDT-1h-*.csv.gz"
# One of each family; the unit tests hold every column against `ta`.
_COLUMNS = ("momentum_rsi", "trend_macd_diff", "trend_psar_up", "volatility_atr", "volume_obv", "others_cr")
_FIELDS = (
    ("open", 1),
    ("high", 2),
    ("low", 3),
    ("close", 4),
    ("base_volume", 5),
    ("quote_volume", 7),
    ("taker_buy_base_volume", 9),
    ("taker_buy_quote_volume", 10),
)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    with real_influx(tmp_path_factory.mktemp("influx")) as server:
        yield server


def through_the_stack(
    kafka: KafkaServer, database: InfluxServer, tmp_path: Path, files: list[Path], series: dict[str, Any]
) -> list[dict[str, Any]]:
    """Replay `files` through every real part until `series["bars"]` bars are stored; the stored rows."""
    symbol, interval = series["symbol"], series["interval"]
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "STORE": "influxdb",
        "INFLUX_URL": database.url,
        "INFLUX_TOKEN": database.token,
        "WARMUP_BARS": str(series.get("warmup", 1000)),
        "INTERVALS": interval,
        "SYMBOLS": symbol,
        "LOG_LEVEL": "WARNING",
    }
    created = cryptostream(["topics"], tmp_path, environment)
    assert created.returncode == 0, created.stderr
    with simulator(["--speed", "20", "--replay", *map(str, files)]) as exchange:
        environment |= {"BINANCE_REST_URL": exchange["rest_url"], "BINANCE_WS_URL": exchange["ws_url"]}
        tags = {"symbol": symbol, "interval": interval}

        def stored(bars: int) -> bool:
            # Bars and their indicators are written together, but are two points each.
            return len(read(database, "indicator", tags)) >= bars

        killed_at: list[int] = []
        consume = ["--stream", "klines", "--intervals", interval]
        with service("producers", ["--symbols", symbol], environment) as producer:
            for _ in range(series.get("kills", 0)):
                consumer = start("consumers", consume, environment)
                before = newest(database, tags)
                wait_for("more bars", lambda: newest(database, tags) > before, 120, (producer, consumer))  # noqa: B023
                consumer.kill()
                consumer.wait()
                killed_at.append(len(read(database, "kline", tags)))
            with service("consumers", consume, environment) as consumer:
                everything = partial(stored, series["bars"])
                wait_for(f"{series['bars']} bars in InfluxDB", everything, 120, (producer, consumer))
    # Kills that all come when nothing is left to do would prove nothing.
    assert not killed_at or min(killed_at) < series["bars"], killed_at
    return read(database, "kline", tags)


def newest(database: InfluxServer, tags: dict[str, str]) -> int:
    """Time of the newest bar stored, 0 for none."""
    return max((row["time_ns"] for row in read(database, "kline", tags, last=1)), default=0)


def read(
    database: InfluxServer, measurement: str, tags: dict[str, str], last: int | None = None
) -> list[dict[str, Any]]:
    settings = load_settings(store="influxdb", influx_url=database.url, influx_token=database.token)
    reader = open_reader(settings)
    try:
        return list(reader.read(measurement, tags, last=last))
    finally:
        reader.close()


def archive_rows(files: list[Path]) -> list[list[str]]:
    rows: list[list[str]] = []
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows += csv.reader(file)
    return rows


def test_archived_hours_come_back_equal_and_so_do_their_indicators(
    kafka: KafkaServer, database: InfluxServer, tmp_path: Path, recordings: Path
) -> None:
    files = sorted(recordings.glob(_SPOT_HOURS))
    series = {"symbol": "BTCUSDT", "interval": "1h", "bars": ARCHIVED_HOURS, "warmup": ARCHIVED_HOURS}
    stored = through_the_stack(kafka, database, tmp_path, files, series)
    assert_equal_to_the_archive(database, stored, archive_rows(files))


def test_a_consumer_killed_twice_leaves_no_bar_out_and_no_indicator_wrong(
    tmp_path: Path, recordings: Path
) -> None:
    files = sorted(recordings.glob(_SPOT_HOURS))
    with real_kafka(tmp_path / "kafka") as kafka, real_influx(tmp_path / "influx") as database:
        series = {"symbol": "BTCUSDT", "interval": "1h", "bars": ARCHIVED_HOURS, "warmup": ARCHIVED_HOURS}
        stored = through_the_stack(kafka, database, tmp_path, files, {**series, "kills": 2})
        assert_equal_to_the_archive(database, stored, archive_rows(files))


def assert_equal_to_the_archive(
    database: InfluxServer, stored: list[dict[str, Any]], rows: list[list[str]]
) -> None:
    """Every bar of the file, each once, and indicators as `ta` has them from the first bar on."""
    assert len(stored) == len(rows) == ARCHIVED_HOURS
    for point, row in zip(stored, rows, strict=True):
        # Milliseconds until 2024, microseconds since 2025.
        assert point["time_ns"] == int(row[0]) * (1_000_000 if len(row[0]) == 13 else 1_000)
        assert point["trade_count"] == int(row[8])
        assert {name: point[name] for name, _ in _FIELDS} == {name: float(row[at]) for name, at in _FIELDS}

    bars = [Bar(0, *(float(row[at]) for at in (1, 2, 3, 4, 5))) for row in rows]
    reference = values_of_ta(bars)
    points = read(database, "indicator", {"symbol": "BTCUSDT", "interval": "1h"})
    assert [point["time_ns"] for point in points] == [point["time_ns"] for point in stored]
    compared = 0
    for column in _COLUMNS:
        ahead = LOOK_AHEAD.get(column, slice(0, 0))
        for place, (point, expected) in enumerate(zip(points, reference[column], strict=True)):
            if not ahead.start <= place < ahead.stop:
                # What `ta` has not, the point leaves out.
                value = point.get(column, float("nan"))
                assert value == pytest.approx(expected, rel=1e-9, abs=1e-7, nan_ok=True)
                compared += 1
    assert compared == len(_COLUMNS) * ARCHIVED_HOURS


def recorded_closed_bars(path: Path) -> dict[str, dict[str, Any]]:
    """The bars that close in the recording, by symbol, as the exchange sent them."""
    bars = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            frame = re.match(r"\d{10}\.\d+: (.*)", line)
            event = orjson.loads(frame[1]).get("data", {}) if frame else {}
            if event.get("e") == "kline" and event["k"]["x"]:
                bars[event["s"]] = event["k"]
    return bars


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "DOTUSDT"])
def test_a_recorded_closed_bar_comes_back_equal(
    symbol: str, kafka: KafkaServer, database: InfluxServer, tmp_path: Path, recordings: Path
) -> None:
    path = recordings / "binance_spot_ws" / "cf_20210404_BINANCE-ee25be.txt.gz"
    bar = recorded_closed_bars(path)[symbol]
    series = {"symbol": symbol, "interval": "1m", "bars": 1}
    (stored,) = through_the_stack(kafka, database, tmp_path, [path], series)
    assert stored["time_ns"] == bar["t"] * 1_000_000
    assert stored["trade_count"] == bar["n"]
    letters = zip(_FIELDS, "ohlcvqVQ", strict=True)
    assert all(stored[name] == float(bar[letter]) for (name, _), letter in letters)
