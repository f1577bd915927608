"""History over HTTP on both stores, equal to what `query` says; books and exact strings from a real Kafka."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from confluent_kafka import Producer

from consumers.measurements import INDICATOR, INSTRUMENT, KLINE, LEDGER, TRADE, Point, Series
from consumers.stores.factory import open_store
from cryptostream import cli
from shared.kafka import producer_config
from shared.messages import encode, message_key
from shared.settings import load_settings
from shared.topics import BOOK, klines_topic
from tests.builders import book, kline
from tests.conftest import ROOT, Influx

MINUTE_MS = 60_000
COUNT = 2_500  # more than one chunk


@dataclass
class Served:
    """An API, and the store that it reads."""

    url: str
    symbol: str
    begin_ms: int
    process: subprocess.Popen[bytes]

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.url}/api/v1{path}", headers=headers, timeout=30.0, trust_env=False)

    @property
    def one(self) -> str:
        return f"exchange=binance&symbol={self.symbol}&interval=1m"


@pytest.fixture(scope="module", params=["sqlite", "influxdb"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kafka_topics: str
) -> Iterator[Served]:
    environment = {"STORE": request.param, "KAFKA_BOOTSTRAP_SERVERS": kafka_topics, "INTERVALS": "1m"}
    if request.param == "sqlite":
        environment["SQLITE_PATH"] = str(tmp_path_factory.mktemp("store") / "store.db")
    else:
        influx: Influx = request.getfixturevalue("influx")
        environment |= {"INFLUX_URL": influx.url, "INFLUX_ORG": influx.org, "INFLUX_TOKEN": influx.token}
    environment |= {"API_PORT": "0", "API_HOST": "127.0.0.1", "INDICATORS": "momentum_rsi"}
    symbol = f"HTTP{time.time_ns() % 10**9}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        begin_ms = _store(symbol)
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], stdout=subprocess.PIPE, env=dict(os.environ), cwd=ROOT
        )
        try:
            assert process.stdout is not None
            event = orjson.loads(process.stdout.readline())
            assert event["event"] == "listening"
            yield Served(event["url"], symbol, begin_ms, process)
        finally:
            process.kill()
            process.wait()


def _store(symbol: str) -> int:
    """Bars, their ledger and trades of the last hours; the first open time."""
    begin_ms = (time.time_ns() // 10**6 // MINUTE_MS - COUNT - 5) * MINUTE_MS
    store = open_store(load_settings())
    bars = Series(KLINE, ("binance", symbol, "1m"))
    indicators = Series(INDICATOR.with_columns(("momentum_rsi",)), ("binance", symbol, "1m"))
    ledger = Series(LEDGER, ("binance", symbol, "klines", "1m"))
    trades = Series(TRADE, ("binance", symbol))
    times = [(begin_ms + number * MINUTE_MS) * 10**6 for number in range(COUNT)]
    store.write(
        [
            Point(bars, at, (0.1 + number, 2e-7, 1.0, 3.0, None, 5.5, 1.0, 2.0, number))
            for number, at in enumerate(times)
        ]
    )
    store.write([Point(indicators, at, (50.0 + number / 7,)) for number, at in enumerate(times)])
    store.write([Point(ledger, at, (1, 1, 0, 0, 0, 0)) for at in times])
    instrument = Series(INSTRUMENT, ("binance", symbol))
    for at, status in zip(times[:2], ("TRADING", 'BREAK, "soon"'), strict=True):
        words = ("AB", "C D", 1e-8, 0.5, None, status, "id", "native", None, "stream")
        store.write([Point(instrument, at, words)])
    store.write(
        [Point(trades, times[-1] + number, (number, 1.5, 0.5, number % 2 == 0)) for number in range(50)]
    )
    store.close()
    return begin_ms


def queried(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert cli.main(["query", *words, "--format", "json"]) == 0
    found: list[dict[str, Any]] = orjson.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    ("kind", "measurement", "time_name"),
    [
        ("klines", "kline", "open_time_ms"),
        ("indicators", "indicator", "open_time_ms"),
        ("trades", "trade", "trade_time_ms"),
    ],
)
def test_rows_are_those_of_query(
    served: Served, capsys: pytest.CaptureFixture[str], kind: str, measurement: str, time_name: str
) -> None:
    interval = [] if kind == "trades" else ["1m"]
    rows = queried(capsys, kind, served.symbol, *interval)
    path = f"/rows/{measurement}?exchange=binance&symbol={served.symbol}&from={served.begin_ms}"
    path += "".join(f"&interval={each}" for each in interval)
    answer = served.get(path)
    assert answer.status_code == 200
    page = answer.json()
    assert len(page["rows"]) == len(rows) == (50 if kind == "trades" else COUNT)
    names = [time_name, *page["columns"][1:]]
    assert [dict(zip(names, row, strict=True)) for row in page["rows"]] == [
        {name: row.get(name) for name in names} for row in rows
    ]
    text = served.get(path, Accept="text/csv").text
    assert cli.main(["query", kind, served.symbol, *interval, "--format", "csv"]) == 0
    header, *lines = csv.reader(io.StringIO(capsys.readouterr().out))
    ours_header, *ours = csv.reader(io.StringIO(text))
    places = [header.index(name) for name in names]
    assert ours_header == page["columns"]
    assert ours == [[line[place] for place in places] for line in lines]


def test_the_newest_bars_before_a_time_come_in_order(served: Served) -> None:
    end_ms = served.begin_ms + 100 * MINUTE_MS
    rows = served.get(f"/rows/kline?{served.one}&to={end_ms}&last=7&columns=trade_count").json()["rows"]
    assert rows == [[served.begin_ms + number * MINUTE_MS, number] for number in range(93, 100)]


def test_a_counted_span_is_not_sent_twice(served: Served) -> None:
    path = f"/rows/kline?{served.one}&from={served.begin_ms}&to={served.begin_ms + 1_500 * MINUTE_MS}"
    answer = served.get(path)
    assert "immutable" in answer.headers["cache-control"]
    again = served.get(path, **{"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_what_is_complete_is_known_series_by_series(served: Served) -> None:
    end_ms = served.begin_ms + COUNT * MINUTE_MS
    answer = served.get(f"/ledger?symbol={served.symbol}&from={served.begin_ms}&to={end_ms}").json()
    assert (answer["lost"], answer["reason"]) == (0, None)
    (series,) = answer["series"]
    assert (series["expected"], series["stored"], series["counted_to_ms"]) == (COUNT, COUNT, end_ms)
    other = served.get("/ledger?symbol=NOTHING").json()
    assert other["lost"] is None and "nothing is known to be complete" in other["reason"]


def test_rows_of_instruments_are_words_and_those_of_query(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = served.get(f"/rows/instrument?exchange=binance&symbol={served.symbol}&last=9").json()
    assert answer["types"][:5] == ["int", "string", "string", "float", "float"]
    rows = [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]
    assert [row["status"] for row in rows] == ["TRADING", 'BREAK, "soon"']
    stored = queried(capsys, "instruments", served.symbol)
    assert [{name: row[name] for name in answer["columns"]} for row in stored] == rows


def test_the_store_names_its_instruments(served: Served) -> None:
    found = {each["symbol"]: each for each in served.get("/instruments").json()["instruments"]}
    assert found[served.symbol] == {
        "exchange": "binance",
        "symbol": served.symbol,
        "base": "AB",  # its name tells no quote, the exchange has said it
        "quote": "C D",
        "tick": 1e-8,
        "lot": 0.5,
        "alias": None,
        "status": 'BREAK, "soon"',
        "promises": {
            "trades_repaired_by": "id",
            "bars_from": "native",
            "book_proved_by": None,
            "quotes_from": "stream",
        },
        "listed_ms": served.begin_ms + MINUTE_MS,
        "intervals": ["1m"],
        "configured": False,
        "stands_in": None,
        "newest_ms": served.begin_ms + (COUNT - 1) * MINUTE_MS,
    }


def test_a_book_of_now_and_of_the_past_is_the_topics(served: Served, kafka_topics: str) -> None:
    symbol, now_ms = f"B{served.symbol}", time.time_ns() // 10**6
    producer = Producer(producer_config(kafka_topics, "test"))
    for number, age_ms in enumerate((4_000, 3_000, 2_000)):
        message = book(symbol=symbol, update_id=100 + number, event_time_ms=now_ms - age_ms)
        producer.produce(BOOK, encode(message), message_key("binance", symbol))
    assert producer.flush(10) == 0
    asked = f"/book?exchange=binance&symbol={symbol}"
    newest = served.get(asked).json()
    assert (newest["update_id"], newest["time_ms"]) == (102, now_ms - 2_000)
    assert newest["bids"] == message["bids"]
    past = served.get(f"{asked}&at={now_ms - 2_500}").json()
    assert (past["update_id"], past["age_ms"]) == (101, 500)
    missing = served.get(f"{asked}&at={now_ms - 60_000}")
    assert missing.status_code == 404
    assert "ask for another time" in missing.json()["detail"]


def test_exact_rows_have_the_exchanges_own_strings(served: Served, kafka_topics: str) -> None:
    producer = Producer(producer_config(kafka_topics, "test"))
    at_ms = served.begin_ms + (COUNT - 1) * MINUTE_MS
    message = kline(symbol=served.symbol, open_time_ms=at_ms, open="0.10000000", close="3.000")
    producer.produce(klines_topic("1m"), encode(message), message_key("binance", served.symbol))
    assert producer.flush(10) == 0
    path = (
        f"/rows/kline?{served.one}&from={at_ms - MINUTE_MS}&to={at_ms + MINUTE_MS}&columns=open,trade_count"
    )
    answer = served.get(f"{path}&exact=1").json()
    assert answer["types"] == ["int", "decimal", "int"]
    # The topic has the second of the two.
    assert answer["rows"] == [
        [at_ms - MINUTE_MS, COUNT - 2 + 0.1, COUNT - 2],
        [at_ms, "0.10000000", COUNT - 1],
    ]


def test_a_stop_ends_it_in_order(served: Served) -> None:
    """The last test of a store: it ends the API."""
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == 0


def test_a_store_that_is_not_there_yet_is_away_and_the_rest_goes_on(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "STORE": "sqlite",
        "SQLITE_PATH": str(tmp_path / "none.db"),
        "API_PORT": "0",
        "KAFKA_BOOTSTRAP_SERVERS": "",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "api"], stdout=subprocess.PIPE, env=environment, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        url = orjson.loads(process.stdout.readline())["url"]
        answer = httpx.get(f"{url}/api/v1/rows/kline", trust_env=False, timeout=60)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert "none.db does not exist" in answer.json()["detail"]
        assert httpx.get(f"{url}/api/v1/instruments", trust_env=False, timeout=60).status_code == 200
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
