"""`cryptostream run` with three exchanges at once, two of which have a symbol of the same name."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from shared.intervals import INTERVAL_MS
from tests.integration.run_command import Run, rows, runs_in, until

MARKETS = (("binance", "BTC-USD"), ("kraken", "BTC/USD"), ("coinbase", "BTC-USD"))
SYMBOLS = ",".join(f"{exchange}:{symbol}" for exchange, symbol in MARKETS)


def words(data: Path, seconds: int) -> tuple[str, ...]:
    market = ("--source", "simulator", "--symbols", SYMBOLS, "--intervals", "1s,1m", "--no-web")
    return (*market, "--broker", "memory", "--data-dir", str(data), "--duration", str(seconds))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with runs_in(tmp_path) as start:
        yield start


def traded(database: Path, exchange: str) -> int:
    """How many trades of an exchange are stored."""
    if not database.exists():
        return 0
    try:
        return int(rows(database, f"SELECT count(*) AS n FROM trade WHERE exchange = '{exchange}'")[0]["n"])
    except sqlite3.OperationalError:  # the table comes with its first point
        return 0


def assert_nothing_missing_of(database: Path, exchange: str, symbol: str) -> None:
    """No bar and no trade id is left out, and each bar has its indicators."""
    of = f"WHERE exchange = '{exchange}' AND symbol = '{symbol}'"
    ids = [row["trade_id"] for row in rows(database, f"SELECT trade_id FROM trade {of} ORDER BY trade_id")]
    assert len(ids) > 30 and ids == list(range(ids[0], ids[-1] + 1))
    bars: dict[str, dict[str, list[int]]] = {"kline": defaultdict(list), "indicator": defaultdict(list)}
    for table, found in bars.items():
        for row in rows(database, f"SELECT interval, time_ns FROM {table} {of} ORDER BY time_ns"):
            found[row["interval"]].append(row["time_ns"] // 1_000_000)
    assert bars["kline"] == bars["indicator"] and set(bars["kline"]) == {"1s", "1m"}
    for interval, times in bars["kline"].items():
        assert {after - before for before, after in pairwise(times)} == {INTERVAL_MS[interval]}


def assert_trades_are_those_of(database: Path, exchange: str, log: Path) -> None:
    """Each stored trade of an exchange is one that this exchange issued, and no other's."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    issued = {entry["trade_id"]: entry for entry in entries if entry["kind"] == "trade"}
    for row in rows(database, f"SELECT * FROM trade WHERE exchange = '{exchange}'"):
        trade = issued[row["trade_id"]]
        assert (row["symbol"], row["price"], row["quantity"], bool(row["buyer_is_maker"])) == (
            trade["symbol"],
            float(trade["price"]),
            float(trade["quantity"]),
            trade["buyer_is_maker"],
        )


def test_three_exchanges_are_complete_though_producers_of_one_are_killed(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    database = data / "cryptostream.db"
    run = start(*words(data, 35), "--issued-log", "issued.log")
    for _ in range(2):
        before = traded(database, "kraken")
        until(lambda before=before: traded(database, "kraken") > before + 20, "trades are stored")  # type: ignore[misc]
        producers = run.child("producers", "kraken:BTC/USD")
        assert producers is not None
        producers.kill()
    assert run.wait() == 0, run.said
    assert "producers-kraken killed by signal 9" in run.said
    assert "producers-binance killed" not in run.said and "producers-coinbase killed" not in run.said
    for exchange, symbol in MARKETS:
        assert_nothing_missing_of(database, exchange, symbol)
        assert_trades_are_those_of(database, exchange, tmp_path / f"issued-{exchange}.log")
        assert f"\n  {exchange}: complete: " in run.said
        assert f"{exchange}:{symbol}" in run.said  # in the table
    *_, last = run.said.splitlines()
    assert last.startswith("complete: ") and "checked: each of 3 exchanges, as above" in last
    assert {(row["exchange"], row["symbol"]) for row in rows(database, "SELECT * FROM quote")} == set(MARKETS)
    # The next run goes on where each of the three ended.
    again = start(*words(data, 10))
    assert again.wait() == 0, again.said
    for exchange, symbol in MARKETS:
        assert_nothing_missing_of(database, exchange, symbol)


def test_what_one_exchange_lacks_is_said_of_it_alone(start: Callable[..., Run], tmp_path: Path) -> None:
    database = tmp_path / "data" / "cryptostream.db"
    run = start(*words(tmp_path / "data", 25))
    until(lambda: all(traded(database, exchange) > 20 for exchange, _ in MARKETS), "trades are stored")
    with sqlite3.connect(database, timeout=30) as connection:
        connection.execute(
            "DELETE FROM trade WHERE exchange = 'coinbase' AND trade_id ="
            " (SELECT max(trade_id) - 5 FROM trade WHERE exchange = 'coinbase')"
        )
    assert run.wait() == 1, run.said
    assert "\n  coinbase: NOT COMPLETE" in run.said
    assert "\n  coinbase:BTC-USD trades: 1 said to be stored are not in the store" in run.said
    assert "\n  binance: complete: " in run.said and "\n  kraken: complete: " in run.said
    assert run.said.splitlines()[-1].startswith("NOT COMPLETE")
