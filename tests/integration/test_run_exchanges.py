"""`cryptostream run` on exchanges whose bars are built, as a user starts it: a kill loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.integration.run_command import Run, count, rows, runs_in, until
from tests.integration.test_run import assert_nothing_missing_between

SYMBOLS = {"kraken": "BTC/USD,XRP/USD", "coinbase": "BTC-USD,XRP-USD"}
every_exchange = pytest.mark.parametrize("exchange", SYMBOLS)


def words(exchange: str, data: Path, seconds: int) -> tuple[str, ...]:
    market = ("--source", "simulator", "--symbols", SYMBOLS[exchange], "--intervals", "1s,1m", "--no-web")
    return (*market, "--broker", "memory", "--data-dir", str(data), "--duration", str(seconds))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with runs_in(tmp_path) as start:
        yield start


def assert_store_is_true(database: Path, *logs: Path) -> None:
    """What is stored has the values of the exchange's log; bars are summed up from it here once more."""
    issued = [json.loads(line) for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    trades = {(entry["symbol"], entry["trade_id"]): entry for entry in issued if entry["kind"] == "trade"}
    for row in rows(database, "SELECT * FROM trade"):
        trade = trades[row["symbol"], row["trade_id"]]
        assert (row["price"], row["quantity"]) == (float(trade["price"]), float(trade["quantity"]))
        assert bool(row["buyer_is_maker"]) == trade["buyer_is_maker"]
    compared = 0
    for row in rows(database, "SELECT * FROM kline WHERE interval = '1s' AND trade_count > 0"):
        open_ms = row["time_ns"] // 1_000_000
        within = [
            each
            for (symbol, _), each in sorted(trades.items())
            if symbol == row["symbol"] and open_ms <= each["trade_time_ms"] < open_ms + 1_000
        ]
        assert len(within) == row["trade_count"]
        prices = [Decimal(each["price"]) for each in within]
        amounts = [Decimal(each["quantity"]) for each in within]
        bought = [amount for amount, each in zip(amounts, within, strict=True) if not each["buyer_is_maker"]]
        found = (prices[0], max(prices), min(prices), prices[-1], sum(amounts), sum(bought))
        names = ("open", "high", "low", "close", "base_volume", "taker_buy_base_volume")
        assert [float(value) for value in found] == [row[name] for name in names]
        compared += 1
    assert compared >= 30


@every_exchange
def test_a_run_is_complete_and_the_next_one_goes_on(
    start: Callable[..., Run], tmp_path: Path, exchange: str
) -> None:
    data = tmp_path / "data"
    for number in (1, 2):
        log = tmp_path / f"issued{number}.log"
        run = start(*words(exchange, data, 25), "--issued-log", str(log), EXCHANGE=exchange)
        assert run.wait() == 0, run.said
        assert run.said.count("complete: ") == number
    assert_nothing_missing_between(data / "cryptostream.db")
    assert_store_is_true(data / "cryptostream.db", tmp_path / "issued1.log", tmp_path / "issued2.log")


@every_exchange
def test_a_killed_producer_builds_the_bars_of_its_absence(
    start: Callable[..., Run], tmp_path: Path, exchange: str
) -> None:
    data, log = tmp_path / "data", tmp_path / "issued.log"
    run = start(*words(exchange, data, 40), "--issued-log", str(log), EXCHANGE=exchange)
    database = data / "cryptostream.db"
    for _ in range(2):
        before = count(database, "trade")
        until(lambda before=before: count(database, "trade") > before + 20, "trades are stored")  # type: ignore[misc]
        producers = run.child("producers")
        assert producers is not None
        producers.kill()
    assert run.wait() == 0, run.said
    assert "complete: " in run.said
    assert_nothing_missing_between(database)
    assert_store_is_true(database, log)
