from __future__ import annotations

import pytest

from producers.exchanges.kraken.audit import KrakenAudit
from producers.exchanges.rest_port import Issued
from shared.errors import ExchangeUnavailable
from tests.builders import NOW_MS

AUDIT = KrakenAudit()
SECOND = NOW_MS // 1_000


def answer(result: object) -> object:
    return {"error": [], "result": result}


def test_the_clock_is_said_to_the_second() -> None:
    query = AUDIT.clock("http://host")
    assert query.url == "http://host/0/public/Time"
    assert query.read(answer({"unixtime": SECOND})) == SECOND * 1_000


def test_the_newest_trade_and_the_best_prices_take_a_question_each() -> None:
    trades, book, *others = AUDIT.newest("http://host", ("BTC/USD", "DOGE/USD"))
    assert trades.url == "http://host/0/public/Trades?pair=XBTUSD&count=1"
    assert trades.read(answer({"X": [["1.0", "2.0", 3.0, "b", "l", "", 77]], "last": "3"})) == [
        Issued("BTC/USD", 77, None)
    ]
    assert trades.read(answer({"X": [], "last": "3"})) == [Issued("BTC/USD", -1, None)]
    sides = {"bids": [["10.0", "1", 5]], "asks": [["11.0", "1", 5]]}
    assert book.read(answer({"X": sides})) == [Issued("BTC/USD", -1, (10.0, 11.0))]
    assert book.read(answer({"X": {"bids": [], "asks": []}})) == [Issued("BTC/USD", -1, None)]
    assert "pair=XDGUSD" in others[0].url


def test_trades_are_counted_by_candles_where_there_are_some() -> None:
    query = AUDIT.trade_counts("http://host", "BTC/USD", "5m", NOW_MS, NOW_MS + 300_000)
    assert query.url == f"http://host/0/public/OHLC?pair=XBTUSD&interval=5&since={SECOND - 1}"
    rows = [[SECOND + at, *"123456", count] for at, count in ((0, 4), (300, 5), (600, 6))]
    assert query.read(answer({"X": rows, "last": 1})) == {NOW_MS: 4, NOW_MS + 300_000: 5}


def test_and_by_trades_for_seconds_as_far_as_the_page_is_whole() -> None:
    query = AUDIT.trade_counts("http://host", "BTC/USD", "1s", NOW_MS, NOW_MS + 5_000)
    assert query.url == f"http://host/0/public/Trades?pair=XBTUSD&since={NOW_MS * 1_000_000 - 1}"
    rows = [["1", "1", SECOND + at, "b", "l", "", 1] for at in (0.2, 0.7, 2.1, 9.0)]
    assert query.read(answer({"X": rows, "last": "1"})) == {NOW_MS: 2, NOW_MS + 2_000: 1}
    full = [["1", "1", SECOND + at // 500 + 0.1, "b", "l", "", 1] for at in range(1_000)]
    assert query.read(answer({"X": full, "last": "1"})) == {NOW_MS: 500}


def test_a_refusal_can_be_asked_again() -> None:
    with pytest.raises(ExchangeUnavailable, match="Too many"):
        AUDIT.clock("http://host").read({"error": ["EGeneral:Too many requests"]})
    assert AUDIT.reachable("http://host") == "http://host/0/public/SystemStatus"
