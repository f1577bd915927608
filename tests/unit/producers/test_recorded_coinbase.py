"""Coinbase's recorded connection through the new cores, with the figures of the recordings' README."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import orjson
import pytest

from producers.exchanges.coinbase.answers import decide, products
from producers.exchanges.coinbase.frames import CoinbaseFrames
from producers.exchanges.coinbase.products import Product
from producers.exchanges.frame_types import Rejected, StreamMessage
from producers.exchanges.stream_events import BooksBroken, BookUpdate, Heartbeat, Subscribed
from producers.order_book import Apply, Resync
from producers.streamed_book import StreamedBook
from simulator.recordings.cryptofeed_v2 import (
    Line,
    ReceivedFrame,
    RecordedAnswer,
    RecordedHeader,
    RecordedRequest,
    read_cryptofeed_v2,
)


@pytest.fixture(scope="module")
def lines(recordings: Path) -> list[Line]:
    path = recordings / "coinbase" / "cf_20260809_COINBASE_advancedtrade.jsonl.gz"
    with gzip.open(path, "rt") as text:
        return list(read_cryptofeed_v2(path, text))


@pytest.fixture(scope="module")
def listed(lines: list[Line]) -> dict[str, Product]:
    (answer,) = (line for line in lines if isinstance(line, RecordedAnswer))
    found, faults = decide(200, {}, answer.body, "GET /market/products", products)
    assert (len(found), faults) == (920, {})
    return found


def frames_of(lines: list[Line]) -> list[ReceivedFrame]:
    return [line for line in lines if isinstance(line, ReceivedFrame)]


def test_the_recording_is_read_whole(lines: list[Line]) -> None:
    (header,) = (line for line in lines if isinstance(line, RecordedHeader))
    assert (header.exchange, header.asked["trades"]) == ("COINBASE", ["BTC-USD", "ETH-USD"])
    assert len([line for line in lines if isinstance(line, RecordedRequest)]) == 5
    assert [orjson.loads(frame.body)["sequence_num"] for frame in frames_of(lines)] == list(range(1_030))


def test_both_books_stay_exact_to_their_end_and_no_ask_is_dropped(
    lines: list[Line], listed: dict[str, Product]
) -> None:
    symbols = ("BTC-USD", "ETH-USD")
    parser = CoinbaseFrames({symbol: listed[symbol] for symbol in symbols})
    books = {symbol: StreamedBook() for symbol in symbols}
    asks_of_snapshots, seen = 0, Counter[type]()
    for frame in frames_of(lines):
        for event in parser.parse(frame.body, frame.received_us // 1000):
            assert not isinstance(event, BooksBroken | Rejected), event
            seen[type(event)] += 1
            if not isinstance(event, BookUpdate):
                continue
            book = books[event.message["symbol"]]
            effects = book.receive(event)
            seen.update(type(effect) for effect in effects)
            if event.message["kind"] == "snapshot":
                asks_of_snapshots += book.level_counts()[1]
            best = book.best
            assert best is not None
            assert best[0][0] < best[1][0]
    assert asks_of_snapshots == 43_635
    assert (seen[Apply], seen[Resync], seen[Heartbeat], seen[Subscribed]) == (773, 0, 25, 9)
    ends = {}
    for symbol, book in books.items():
        top = book.top(1)
        assert top is not None
        ends[symbol] = (top.bids[0][0], top.asks[0][0])
    assert ends == {"BTC-USD": ("65083.66", "65083.67"), "ETH-USD": ("1919.28", "1919.38")}


def test_every_trade_carries_the_aggressors_side_once(lines: list[Line], listed: dict[str, Product]) -> None:
    parser = CoinbaseFrames({symbol: listed[symbol] for symbol in ("BTC-USD", "ETH-USD")})
    makers = {
        (trade["product_id"], int(trade["trade_id"])): trade["side"]
        for frame in frames_of(lines)
        if b"market_trades" in frame.body
        for event in orjson.loads(frame.body)["events"]
        for trade in event.get("trades", ())
    }
    trades = [
        event.message
        for frame in frames_of(lines)
        for event in parser.parse(frame.body, frame.received_us // 1000)
        if isinstance(event, StreamMessage)
    ]
    assert len(trades) == len(makers) == 279
    for trade in trades:
        aggressor = "SELL" if trade["buyer_is_maker"] else "BUY"
        assert aggressor != makers[trade["symbol"], trade["trade_id"]]
    for symbol, count in (("BTC-USD", 147), ("ETH-USD", 132)):
        ids = [trade["trade_id"] for trade in trades if trade["symbol"] == symbol]
        assert ids == list(range(ids[0], ids[0] + count))


def test_aggressors_stand_on_the_side_of_the_book_that_they_took(
    lines: list[Line], listed: dict[str, Product]
) -> None:
    """By the market itself: a seller meets a bid, a buyer an ask; trades at the mid say nothing."""
    parser = CoinbaseFrames({symbol: listed[symbol] for symbol in ("BTC-USD", "ETH-USD")})
    books = {symbol: StreamedBook() for symbol in ("BTC-USD", "ETH-USD")}
    agree = Counter[bool]()
    for frame in frames_of(lines):
        for event in parser.parse(frame.body, frame.received_us // 1000):
            if isinstance(event, BookUpdate):
                books[event.message["symbol"]].receive(event)
            elif isinstance(event, StreamMessage):
                best = books[event.message["symbol"]].best
                if best is not None:
                    price, mid = float(event.message["price"]), (best[0][0] + best[1][0]) / 2
                    if price != mid:
                        agree[event.message["buyer_is_maker"] is (price < mid)] += 1
    assert agree[True] > 5 * agree[False]


def test_a_frame_left_out_unsyncs_both_books(lines: list[Line], listed: dict[str, Product]) -> None:
    parser = CoinbaseFrames({symbol: listed[symbol] for symbol in ("BTC-USD", "ETH-USD")})
    books = {symbol: StreamedBook() for symbol in ("BTC-USD", "ETH-USD")}
    left_out = 500
    for number, frame in enumerate(frames_of(lines)):
        if number == left_out:
            assert all(book.synced for book in books.values())
            continue
        for event in parser.parse(frame.body, frame.received_us // 1000):
            if isinstance(event, BookUpdate):
                books[event.message["symbol"]].receive(event)
            elif isinstance(event, BooksBroken):
                for book in books.values():
                    book.distrust(event.reason)
        assert number < left_out or not any(book.synced for book in books.values())
    assert {book.cause for book in books.values()} == {"message 500 is missing on the connection"}
