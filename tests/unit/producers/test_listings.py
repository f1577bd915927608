"""What a producer tells of its instruments: new things once, all of them each hour."""

from __future__ import annotations

from typing import Any

from consumers.enrich.instrument_points import require_instruments
from consumers.measurements import INSTRUMENT
from producers.exchanges.registry import exchange_named
from producers.exchanges.rest_port import TRADING, Listing
from producers.listings import AGAIN_S, MOST_AT_ONCE, Listings

BTC = Listing("BTC", "USDC", "0.01", "0.00001", "BTC-USD")
NOW_MS = 1_785_767_100_000


def listings(exchange: str = "coinbase") -> Listings:
    return Listings(exchange, exchange_named(exchange).promises)


def test_an_instrument_is_told_once_with_its_exchanges_promises() -> None:
    told = listings()
    assert told.due([("BTC-USDC", TRADING, BTC)], NOW_MS, 0.0) == [
        {
            "exchange": "coinbase",
            "symbol": "BTC-USDC",
            "since_ms": NOW_MS,
            "base": "BTC",
            "quote": "USDC",
            "tick": "0.01",
            "lot": "0.00001",
            "alias": "BTC-USD",
            "status": "TRADING",
            "trades_repaired_by": "id",
            "bars_from": "trades",
            "book_proved_by": "counter",
            "quotes_from": "book",
        }
    ]
    assert told.due([("BTC-USDC", TRADING, BTC)], NOW_MS + 1_000, 1.0) == []


def test_each_exchange_tells_its_own_promises() -> None:
    def promised(exchange: str) -> list[Any]:
        (record,) = listings(exchange).due([("X", TRADING, None)], NOW_MS, 0.0)
        return list(record.values())[-4:]

    assert promised("binance") == ["id", "native", "ids", "stream"]
    assert promised("kraken") == ["time", "trades", "crc", "stream"]


def test_a_change_is_told_with_its_own_time_also_if_the_clock_was_measured_anew() -> None:
    told = listings()
    told.due([("A", TRADING, BTC), ("B", TRADING, BTC)], NOW_MS, 0.0)
    closed, other = "offline", BTC._replace(tick="0.1")
    first = told.due([("A", closed, BTC), ("B", TRADING, other)], NOW_MS + 60_000, 60.0)
    assert [(each["symbol"], each["status"], each["tick"], each["since_ms"]) for each in first] == [
        ("A", "offline", "0.01", NOW_MS + 60_000),
        ("B", "TRADING", "0.1", NOW_MS + 60_000),
    ]
    (second,) = told.due([("A", TRADING, BTC), ("B", TRADING, other)], NOW_MS + 59_000, 61.0)
    assert (second["status"], second["since_ms"]) == ("TRADING", NOW_MS + 60_001)


def test_all_is_told_again_each_hour_as_of_its_own_time() -> None:
    told = listings()
    first = told.due([("A", TRADING, BTC)], NOW_MS, 0.0)
    assert told.due([("A", TRADING, BTC)], NOW_MS + 1, AGAIN_S - 1) == []
    assert told.due([("A", TRADING, BTC)], NOW_MS + 2, AGAIN_S) == first
    assert told.due([("A", TRADING, BTC)], NOW_MS + 3, AGAIN_S + 1) == []


def test_without_a_status_nothing_is_told_and_without_a_listing_what_is_known() -> None:
    told = listings()
    assert told.due([("A", None, BTC)], NOW_MS, 0.0) == []
    (record,) = told.due([("A", TRADING, None)], NOW_MS, 0.0)
    assert (record["base"], record["tick"], record["bars_from"]) == (None, None, "trades")


def test_many_are_told_in_several_records() -> None:
    told, known = listings(), [(f"S{number}", TRADING, BTC) for number in range(2 * MOST_AT_ONCE + 1)]
    counts = [len(told.due(known, NOW_MS, second)) for second in (0.0, 1.0, 2.0, 3.0)]
    assert counts == [MOST_AT_ONCE, MOST_AT_ONCE, 1, 0]


def test_consumers_take_what_producers_tell() -> None:
    strange = Listing("B\n\x1b", "Q" * 64, "0.01", None, "A" * 300)
    known = [("BTC-USDC", "offline, view_only", BTC), ("B", TRADING, None), ("C", "no\0 " * 90, strange)]
    records = listings().due(known, NOW_MS, 0.0)
    require_instruments(records)
    assert listings().due(known, NOW_MS, 0.0) == records
    assert {column.name for column in INSTRUMENT.columns} <= records[0].keys()
