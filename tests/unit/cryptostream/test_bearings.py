"""Where series stand according to the store."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cryptostream.embedded.bearings import (
    bare_symbols,
    last_before_a_hole,
    ledger_events,
    read_bearings,
    with_bases,
    write_bearings,
)
from producers.bearings import read_bearings_file
from shared.trade_ids import number

MINUTE_MS = 60_000
START_MS = 1_700_000_040_000  # a whole minute
ROW = {"exchange": "binance", "symbol": "BTCUSDC"}


class Rows:
    """A reader on rows in memory, in ascending time."""

    def __init__(self, trades, bars):
        self.rows = {
            "trade": [{**ROW, "trade_id": id_, "time_ns": ms * 1_000_000 + id_ % 1000} for id_, ms in trades],
            "kline": [{**ROW, "interval": interval, "time_ns": ms * 1_000_000} for interval, ms in bars],
        }

    def read(self, measurement, tags, *, from_ns=None, to_ns=None, last=None):
        found = [row for row in self.rows[measurement] if tags.items() <= row.items()]
        found = [row for row in found if from_ns is None or row["time_ns"] >= from_ns]
        return iter(found[-last:] if last else found)

    def close(self):
        pass


def bearings(trades=(), bars=(), intervals=("1s", "1m")):
    return read_bearings(Rows(trades, bars), "binance", ["BTCUSDC"], intervals, now_ms=5)


def test_an_empty_store_gives_none():
    assert bearings().last_ids == {} and bearings().ledger == []


def test_the_last_trade_and_the_last_bar_of_each_interval_are_the_bearings():
    read = bearings(
        trades=[(100, START_MS), (101, START_MS + 1), (102, START_MS + 2)],
        bars=[("1m", START_MS), ("1s", START_MS), ("1m", START_MS + MINUTE_MS), ("1s", START_MS + 1000)],
    )
    assert read.last_ids == {
        "binance:BTCUSDC:trades": 102,
        "binance:BTCUSDC:klines:1s": START_MS + 1000,
        "binance:BTCUSDC:klines:1m": START_MS + MINUTE_MS,
    }


def test_trades_are_fetched_again_from_a_hole_that_was_still_being_repaired():
    read = bearings(trades=[(100, START_MS), (101, START_MS + 1), (105, START_MS + 9)])
    assert read.last_ids["binance:BTCUSDC:trades"] == 101


def test_only_the_newest_minute_is_entered_in_the_ledger_again():
    trades = [(98, START_MS - 2), (99, START_MS - 1), (100, START_MS), (101, START_MS + 1)]
    events = bearings(trades=trades).ledger
    assert [(e["kind"], e["first"], e["last"], e["count"]) for e in events] == [
        ("expected", 100, 101, 2),
        ("stored", 100, 101, 2),
    ]
    assert {e["event_time_ms"] for e in events} == {START_MS + 1}


def test_bars_are_entered_by_their_open_times():
    events = bearings(bars=[("1s", START_MS - 1000), ("1s", START_MS), ("1s", START_MS + 1000)]).ledger
    assert [(e["interval"], e["kind"], e["first"], e["last"], e["count"]) for e in events] == [
        ("1s", "expected", START_MS, START_MS + 1000, 2),
        ("1s", "stored", START_MS, START_MS + 1000, 2),
    ]


def test_what_is_missing_in_between_stays_missing():
    events = ledger_events(("binance", "X", "trades", None), [1, 2, 5], 1, 0, 0)
    assert [(e["kind"], e["first"], e["last"]) for e in events] == [
        ("expected", 1, 5),
        ("stored", 1, 2),
        ("stored", 5, 5),
    ]


@given(st.sets(st.integers(0, 60), min_size=1))
def test_no_id_up_to_the_bearing_is_missing(ids):
    last = last_before_a_hole(ids)
    assert set(range(min(ids), last + 1)) <= ids
    assert last + 1 not in ids


def test_where_ids_begin_anew_the_newest_numbering_goes_on_and_each_has_its_own_events(tmp_path):
    trades = [
        (5_000, START_MS),
        (5_001, START_MS + 1),
        (number(1, 1), START_MS + 9),
        (number(1, 2), START_MS + 10),
    ]
    read = bearings(trades=trades)
    assert read.last_ids["binance:BTCUSDC:trades"] == number(1, 2)
    expected = [(event["first"], event["last"]) for event in read.ledger if event["kind"] == "expected"]
    assert expected == [(5_000, 5_001), (number(1, 1), number(1, 2))]
    known = read_bearings_file(write_bearings(tmp_path / "bearings.json", read))
    assert known["binance:BTCUSDC:trades"].time_ms == START_MS + 10


def test_a_series_without_rows_goes_on_after_what_was_issued_when_it_was_first_listened_to():
    stored = bearings([(5, START_MS)])
    assert bare_symbols(stored, "binance", ["BTCUSDC", "QUIETUSDC"]) == {"QUIETUSDC"}
    known = with_bases(stored, "binance", {"BTCUSDC": 1, "QUIETUSDC": 1_019})
    assert known.last_ids == {"binance:BTCUSDC:trades": 5, "binance:QUIETUSDC:trades": 1_019}
