"""Where series stand according to the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from consumers.stores.port import Row
from cryptostream.run.start_positions import (
    StartPositions,
    bare_symbols,
    ledger_events,
    read_start_positions,
    with_bases,
    write_start_positions,
)
from producers.start_positions import OpenHole, StartPosition, read_start_positions_file
from producers.uncarried_spans import stored_spans
from shared.ledger import LedgerSeries
from shared.trade_ids import number

MINUTE_MS = 60_000
TRADES = "binance:BTCUSDC:trades"
START_MS = 1_700_000_040_000  # a whole minute
ROW = {"exchange": "binance", "symbol": "BTCUSDC"}


class Rows:
    """A reader on rows in memory, in ascending time."""

    def __init__(
        self,
        trades: Iterable[tuple[int, int]],
        bars: Iterable[tuple[str, int]],
        ledger: Iterable[tuple[Any, ...]] = (),
    ) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {
            "trade": [{**ROW, "trade_id": id_, "time_ns": ms * 1_000_000 + id_ % 1000} for id_, ms in trades],
            "kline": [{**ROW, "interval": interval, "time_ns": ms * 1_000_000} for interval, ms in bars],
            "ledger": [
                {**ROW, "stream": stream, "interval": interval, "time_ns": ms * 1_000_000}
                | {"expected": lost + sum(stored), "stored": sum(stored), "lost": lost}
                for stream, interval, ms, lost, *stored in ledger
            ],
            "carriage": [],
        }

    def read(
        self,
        measurement: str,
        tags: Mapping[str, str],
        *,
        from_ns: int | None = None,
        to_ns: int | None = None,
        last: int | None = None,
    ) -> Iterator[Row]:
        found = [row for row in self.rows[measurement] if tags.items() <= row.items()]
        found = [row for row in found if from_ns is None or row["time_ns"] >= from_ns]
        found = [row for row in found if to_ns is None or row["time_ns"] < to_ns]
        if measurement == "carriage":
            return iter({row["stream"]: row for row in found}.values())  # the last one of each series
        return iter(found[-last:] if last else found)

    def close(self) -> None:
        pass


def positions(
    trades: Iterable[tuple[int, int]] = (),
    bars: Iterable[tuple[str, int]] = (),
    intervals: tuple[str, ...] = ("1s", "1m"),
    ledger: Iterable[tuple[Any, ...]] = (),
    base: int | None = None,
) -> StartPositions:
    bases = {} if base is None else {"BTCUSDC": base}
    return read_start_positions(Rows(trades, bars, ledger), "binance", ["BTCUSDC"], intervals, 5, bases=bases)


def test_an_empty_store_gives_none() -> None:
    assert positions().last_ids == {} and positions().ledger == []


def test_the_last_trade_and_the_last_bar_of_each_interval_are_the_start_positions() -> None:
    read = positions(
        trades=[(100, START_MS), (101, START_MS + 1), (102, START_MS + 2)],
        bars=[("1m", START_MS), ("1s", START_MS), ("1m", START_MS + MINUTE_MS), ("1s", START_MS + 1000)],
    )
    assert read.last_ids == {
        "binance:BTCUSDC:trades": 102,
        "binance:BTCUSDC:klines:1s": START_MS + 1000,
        "binance:BTCUSDC:klines:1m": START_MS + MINUTE_MS,
    }


def said(events: Iterable[Mapping[str, Any]], interval: str | None = None) -> list[tuple[str, int, int]]:
    return [(e["kind"], e["first"], e["last"]) for e in events if e["interval"] == interval]


def test_a_hole_of_the_last_minutes_is_handed_over_and_expected() -> None:
    read = positions(trades=[(100, START_MS), (101, START_MS + 1), (105, START_MS + 9)])
    assert read.last_ids[TRADES] == 105
    assert read.missing == {TRADES: [OpenHole(102, 104, START_MS + 1, START_MS + 9)]}
    assert said(read.ledger) == [("expected", 100, 105), ("stored", 100, 101), ("stored", 105, 105)]


def long_ago(*missing: int) -> list[tuple[int, int]]:
    """A trade a second for 40 minutes, but for these."""
    return [(item, START_MS + item * 1000) for item in range(2_400) if item not in missing]


def test_a_hole_that_the_ledger_knows_is_handed_over_however_old_it_is() -> None:
    read = positions(trades=long_ago(130, 131), ledger=[("trades", "", START_MS + 2 * MINUTE_MS, 2)])
    assert read.last_ids[TRADES] == 2_399
    assert read.missing == {TRADES: [OpenHole(130, 131, START_MS + 129_000, START_MS + 132_000)]}
    assert said(read.ledger)[:3] == [("expected", 120, 179), ("stored", 120, 129), ("stored", 132, 179)]
    assert read.unplaced == []


def test_a_hole_between_two_minutes_or_over_whole_ones_is_found_by_its_neighbours() -> None:
    missing = range(110, 240)
    read = positions(trades=long_ago(*missing), ledger=[("trades", "", START_MS + 2 * MINUTE_MS, 60)])
    assert read.missing == {TRADES: [OpenHole(110, 239, START_MS + 109_000, START_MS + 240_000)]}
    # The minutes of its neighbours are said whole: what is found lies in them, or between.
    before = [("expected", 60, 109), ("stored", 60, 109)]
    assert said(read.ledger)[:4] == [*before, ("expected", 110, 299), ("stored", 240, 299)]


def test_a_hole_of_a_quiet_symbol_reaches_back_to_the_trade_before_it() -> None:
    trades = [(7, START_MS), (9, START_MS + 15 * MINUTE_MS)]
    hole = OpenHole(8, 8, START_MS, START_MS + 15 * MINUTE_MS)
    read = positions(trades=trades)
    assert read.missing == {TRADES: [hole]}
    before = [("expected", 7, 7), ("stored", 7, 7)]
    assert said(read.ledger) == [*before, ("expected", 8, 9), ("stored", 9, 9)]
    known = positions(trades=trades, ledger=[("trades", "", START_MS + 15 * MINUTE_MS, 1)])
    assert (known.missing, known.unplaced) == ({TRADES: [hole]}, [])


def test_what_a_killed_run_had_on_its_way_is_no_hole() -> None:
    trades = [(item, START_MS + item * 10_000) for item in range(9)]
    read = positions(trades=trades, ledger=[("trades", "", START_MS + MINUTE_MS, 4)])
    assert (read.missing, read.unplaced) == ({}, [])


def test_what_the_ledger_calls_lost_and_nothing_gives_the_place_of_is_said() -> None:
    read = positions(trades=long_ago(), ledger=[("trades", "", START_MS, 3)])
    assert read.missing == {}
    assert len(read.unplaced) == 1 and read.unplaced[0].startswith("BTCUSDC trades: 3 missing")


def test_what_an_earlier_numbering_lost_at_its_end_is_said_and_stays_lost() -> None:
    old = [(1, START_MS - 20 * MINUTE_MS), *((item, START_MS + item) for item in range(2, 12))]
    new = [(number(1, item), START_MS + 2 * MINUTE_MS + item) for item in range(1, 6)]
    read = positions(trades=[*old, *new], ledger=[("trades", "", START_MS, 3, 10)])
    assert read.missing == {}
    assert len(read.unplaced) == 1 and read.unplaced[0].startswith("BTCUSDC trades: 3 missing in the minute")
    # Without events of that minute its row stays.
    newest = number(1, 1), number(1, 5)
    assert said(read.ledger) == [("expected", *newest), ("stored", *newest)]


def test_what_is_missing_before_the_first_trade_is_handed_over_from_where_the_series_begins() -> None:
    trades = [(item, START_MS + item * 10) for item in (100, 101)]
    read = positions(trades=trades, ledger=[("trades", "", START_MS, 20)], base=79)
    assert read.missing == {TRADES: [OpenHole(80, 99, None, START_MS + 1_000)]}
    assert said(read.ledger) == [("expected", 80, 101), ("stored", 100, 101)]
    assert read.unplaced == []
    assert positions(trades=trades, base=99).missing == {}


def test_a_series_that_goes_further_back_than_the_store_has_no_hole_before_its_first_trade() -> None:
    ledger = [("trades", "", START_MS - 9_000 * MINUTE_MS, 0), ("trades", "", START_MS, 1)]
    trades = [(100, START_MS + 1), (102, START_MS + 2)]
    read = positions(trades=trades, ledger=ledger, base=5)
    assert read.missing == {TRADES: [OpenHole(101, 101, START_MS + 1, START_MS + 2)]}


def test_what_is_missing_before_the_first_trade_is_said_where_nobody_knows_the_beginning() -> None:
    read = positions(trades=[(100, START_MS + 5)], ledger=[("trades", "", START_MS, 20)])
    assert read.missing == {}
    assert len(read.unplaced) == 1 and read.unplaced[0].startswith("BTCUSDC trades: 20 missing")


def test_a_minute_of_which_all_is_there_by_now_is_no_hole() -> None:
    read = positions(trades=long_ago(), ledger=[("trades", "", START_MS + 3 * MINUTE_MS, 3)])
    assert (read.missing, read.unplaced) == ({}, [])
    assert said(read.ledger)[:2] == [("expected", 180, 239), ("stored", 180, 239)]


def test_bars_that_were_passed_over_are_handed_over_and_expected() -> None:
    bars = [("1m", START_MS + number * MINUTE_MS) for number in range(9) if number not in (3, 4)]
    lost = [("klines", "1m", START_MS + number * MINUTE_MS, 1) for number in (3, 4)]
    read = positions(bars=bars, intervals=("1m",), ledger=lost)
    third, fourth, last = (START_MS + number * MINUTE_MS for number in (3, 4, 8))
    series = "binance:BTCUSDC:klines:1m"
    assert read.last_ids == {series: last}
    assert [(hole.first, hole.last) for hole in read.missing[series]] == [(third, third), (fourth, fourth)]
    assert said(read.ledger, "1m") == [
        ("expected", third, third),
        ("expected", fourth, fourth),
        ("expected", last, last),
        ("stored", last, last),
    ]


def test_holes_are_written_and_read_back(tmp_path: Path) -> None:
    read = positions(trades=[(100, START_MS), (105, START_MS + 9)], bars=[("1m", START_MS)])
    known = read_start_positions_file(write_start_positions(tmp_path / "bearings.json", read))
    hole = OpenHole(101, 104, START_MS, START_MS + 9)
    assert known[TRADES] == StartPosition(105, (hole,), time_ms=START_MS + 9)
    assert known["binance:BTCUSDC:klines:1m"] == StartPosition(START_MS)


def test_only_the_newest_minute_is_entered_in_the_ledger_again() -> None:
    trades = [(98, START_MS - 2), (99, START_MS - 1), (100, START_MS), (101, START_MS + 1)]
    events = positions(trades=trades).ledger
    assert [(e["kind"], e["first"], e["last"], e["count"]) for e in events] == [
        ("expected", 100, 101, 2),
        ("stored", 100, 101, 2),
    ]
    assert {e["event_time_ms"] for e in events} == {START_MS + 1}


def test_bars_are_entered_by_their_open_times() -> None:
    events = positions(bars=[("1s", START_MS - 1000), ("1s", START_MS), ("1s", START_MS + 1000)]).ledger
    assert [(e["interval"], e["kind"], e["first"], e["last"], e["count"]) for e in events] == [
        ("1s", "expected", START_MS, START_MS + 1000, 2),
        ("1s", "stored", START_MS, START_MS + 1000, 2),
    ]


def test_what_is_missing_in_between_stays_missing() -> None:
    events = ledger_events(LedgerSeries("binance", "X", "trades"), [1, 2, 5], 0, 0)
    assert [(e["kind"], e["first"], e["last"]) for e in events] == [
        ("expected", 1, 5),
        ("stored", 1, 2),
        ("stored", 5, 5),
    ]


def test_where_ids_begin_anew_the_newest_numbering_goes_on_and_each_has_its_own_events(
    tmp_path: Path,
) -> None:
    trades = [
        (5_000, START_MS),
        (5_001, START_MS + 1),
        (number(1, 1), START_MS + 9),
        (number(1, 2), START_MS + 10),
    ]
    read = positions(trades=trades)
    assert read.last_ids["binance:BTCUSDC:trades"] == number(1, 2)
    expected = [(event["first"], event["last"]) for event in read.ledger if event["kind"] == "expected"]
    assert expected == [(5_000, 5_001), (number(1, 1), number(1, 2))]
    known = read_start_positions_file(write_start_positions(tmp_path / "bearings.json", read))
    assert known["binance:BTCUSDC:trades"].time_ms == START_MS + 10


def test_a_series_without_rows_goes_on_after_what_was_issued_when_it_was_first_listened_to() -> None:
    stored = positions([(5, START_MS)])
    assert bare_symbols(stored, "binance", ["BTCUSDC", "QUIETUSDC"]) == {"QUIETUSDC"}
    known = with_bases(stored, "binance", {"BTCUSDC": 1, "QUIETUSDC": 1_019})
    assert known.last_ids == {"binance:BTCUSDC:trades": 5, "binance:QUIETUSDC:trades": 1_019}


def test_streams_that_were_not_carried_when_a_run_ended_are_so_at_the_next_start(tmp_path: Path) -> None:
    rows = Rows([(100, START_MS)], [])
    rows.rows["carriage"] = [
        {**ROW, "stream": stream, "time_ns": at_ms * 1_000_000, "carried": carried, "since_ms": START_MS}
        for stream, at_ms, carried in [
            ("klines 1m", START_MS + 9, False),
            ("trades", START_MS + 9, False),
            ("trades", START_MS + 99, False),
            ("depth", START_MS + 9, False),
            ("depth", START_MS + 99, True),
        ]
    ]
    found = read_start_positions(rows, "binance", ["BTCUSDC"], ("1m",), 5)
    read = read_start_positions_file(write_start_positions(tmp_path / "bearings.json", found))
    assert read[TRADES].last_id == 100
    spans = stored_spans(read, "binance", ["BTCUSDC", "ETHUSDC"])
    assert [entry[:3] for entry in spans.pop("BTCUSDC")] == [
        (("kline", "1m"), START_MS, START_MS + 9),
        (("trade", None), START_MS, START_MS + 99),
    ]
    assert spans == {}
    assert stored_spans(read, "kraken", ["BTCUSDC"]) == {}
