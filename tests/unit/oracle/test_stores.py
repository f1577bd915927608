"""The oracle reads rows and log as they are, with nothing of ours."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from oracle.exchange_log import Bar, BarSeries, TradeKey, read_exchange_log
from oracle.stores import read_sqlite, stored_of

TRADE = {"symbol": "BTCUSDC", "trade_id": 1_000_007, "price": "1.5", "quantity": "2"}


def test_a_trades_time_is_in_the_milliseconds_of_its_row() -> None:
    (row,) = stored_of([{**TRADE, "time_ns": 1_785_767_130_123_000_007}], [], []).trades["BTCUSDC"]
    assert row == (TradeKey(1_000_007, 1_785_767_130_123), (1.5, 2.0))


def test_a_row_may_name_the_numbering_of_its_id_in_the_digits_above_it() -> None:
    row = {**TRADE, "trade_id": 2**53 + 17, "time_ns": 5_000_017}
    assert stored_of([row], [], []).trades["BTCUSDC"] == [(TradeKey(17, 5), (1.5, 2.0))]


def test_ledger_rows_are_summed_by_series() -> None:
    rows = [
        {"symbol": "BTCUSDC", "stream": "trades", "interval": interval, "stored": count}
        for interval, count in (("", 5), (None, "7"), ("", None))
    ]
    assert stored_of([], [], rows).claimed == {("BTCUSDC", "trades", ""): 12}


def test_a_sqlite_store_is_read_and_one_that_is_not_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a store.db"
    assert read_sqlite(path) is None
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE trade (symbol, time_ns, trade_id, price, quantity, more)")
        connection.execute("INSERT INTO trade VALUES ('BTCUSDC', 1000000, 9, 1.5, 2.0, 'x')")
    found = read_sqlite(path)
    assert found is not None
    assert found.trades == {"BTCUSDC": [(TradeKey(9, 1), (1.5, 2.0))]}
    assert found.bars == {} and found.claimed == {}


def test_a_log_is_read_and_lies_are_left_out(tmp_path: Path) -> None:
    bar = dict.fromkeys(("open", "high", "low", "close", "base_volume"), "1.0")
    entries = [
        {"kind": "trade", **TRADE, "trade_time_ms": 5, "buyer_is_maker": True},
        {"kind": "trade", **TRADE, "trade_time_ms": 9, "buyer_is_maker": True, "numbering": 1},
        {"kind": "kline", "symbol": "BTCUSDC", "interval": "1s", "open_time_ms": 0, "close_time_ms": 999,
         "trade_count": 2, **bar},
        {"kind": "lie", "fault": "wrong_trade_id", "stream": "trade", "symbol": "BTCUSDC",
         "trade_id": 2**53 + 1, "trade_time_ms": 7},
        {"kind": "withheld", "fault": "skip", "stream": "trade", "symbol": "BTCUSDC", "first": 1, "last": 2},
        {"kind": "faults", "faults": []},
    ]  # fmt: skip
    path = tmp_path / "issued.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    issued = read_exchange_log(path)
    assert issued.trades == {
        "BTCUSDC": dict.fromkeys((TradeKey(1_000_007, 5), TradeKey(1_000_007, 9)), (1.5, 2.0))
    }
    assert issued.bars == {BarSeries("BTCUSDC", "1s"): {0: Bar(999, (1.0, 1.0, 1.0, 1.0, 1.0, 2.0))}}
