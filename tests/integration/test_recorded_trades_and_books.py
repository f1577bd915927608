"""`cryptostream run` on ten recorded minutes: every trade once, and books equal to an independent rebuild."""

from __future__ import annotations

import gzip
import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from consumers.stores.sqlite_reader import SqliteReader
from tests.services import cryptostream

FILES = ("hft_btcusdt_20240808.gz", "hft_btcusdt_20240809.gz")
TRADES = 19_904
FIRST_TRADE_ID = 3_735_683_259
LEVELS = 20


def recorded(recordings: Path) -> Iterator[dict[str, Any]]:
    for name in FILES:
        with gzip.open(recordings / "binance_spot_ws" / name, "rt", encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    yield orjson.loads(line.split(" ", 1)[1])


class Rebuilt:
    """The order book by the exchange's procedure, in the plainest way; nothing of the project is used."""

    def __init__(self, messages: Iterator[dict[str, Any]]) -> None:
        everything = list(messages)
        (snapshot,) = (message for message in everything if "lastUpdateId" in message)
        self._last_id: int = snapshot["lastUpdateId"]
        self._bids = {float(price): float(quantity) for price, quantity in snapshot["bids"]}
        self._asks = {float(price): float(quantity) for price, quantity in snapshot["asks"]}
        self._diffs = [
            message["data"] for message in everything if message.get("data", {}).get("e") == "depthUpdate"
        ]

    def tops(self) -> Iterator[tuple[int, list[tuple[float, float]], list[tuple[float, float]]]]:
        """(event time, best 20 bids, best 20 asks) after every diff that applies."""
        for diff in self._diffs:
            if diff["u"] <= self._last_id:
                continue
            assert diff["U"] <= self._last_id + 1
            self._last_id = diff["u"]
            for side, levels in ((self._bids, diff["b"]), (self._asks, diff["a"])):
                for price, quantity in levels:
                    if float(quantity):
                        side[float(price)] = float(quantity)
                    else:
                        side.pop(float(price), None)
            bids = [(price, self._bids[price]) for price in heapq.nlargest(LEVELS, self._bids)]
            asks = [(price, self._asks[price]) for price in heapq.nsmallest(LEVELS, self._asks)]
            yield diff["E"], bids, asks


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Iterator[SqliteReader]:
    directory = tmp_path_factory.mktemp("recorded")
    files = [str(recordings / "binance_spot_ws" / name) for name in FILES]
    done = cryptostream(
        ["run", "--source", *files, "--speed", "20", "--no-ui", "--data-dir", "data"], directory
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    reader = SqliteReader(directory / "data" / "cryptostream.db")
    yield reader
    reader.close()


def test_every_trade_is_stored_once(store: SqliteReader, recordings: Path) -> None:
    stored: list[dict[str, Any]] = list(store.read("trade", {"symbol": "BTCUSDT"}))
    issued = [m["data"] for m in recorded(recordings) if m.get("data", {}).get("e") == "trade"]
    assert len(stored) == len(issued) == TRADES
    assert sorted(row["trade_id"] for row in stored) == list(range(FIRST_TRADE_ID, FIRST_TRADE_ID + TRADES))
    by_id = {row["trade_id"]: row for row in stored}
    for trade in issued:
        row = by_id[trade["t"]]
        assert (row["price"], row["quantity"]) == (float(trade["p"]), float(trade["q"]))
        assert row["buyer_is_maker"] is trade["m"]
        assert row["time_ns"] == trade["T"] * 1_000_000 + trade["t"] % 1_000_000


def test_books_are_never_crossed_and_equal_the_rebuilt_one(store: SqliteReader, recordings: Path) -> None:
    rebuilt = {event_ms: (bids, asks) for event_ms, bids, asks in Rebuilt(recorded(recordings)).tops()}
    books: list[dict[str, Any]] = list(store.read("book", {"symbol": "BTCUSDT"}))
    # One a second over 650 seconds, less the first ones before the book is in step.
    assert len(books) > 600
    for book in books:
        assert book["synced"] is True
        bids, asks = rebuilt[book["time_ns"] // 1_000_000]
        assert (book["bid"], book["ask"]) == (bids[0][0], asks[0][0])
        assert book["bid"] < book["ask"]
        assert book["bid_depth"] == pytest.approx(sum(quantity for _, quantity in bids), rel=1e-12)
        assert book["ask_depth"] == pytest.approx(sum(quantity for _, quantity in asks), rel=1e-12)
        assert book["spread"] == pytest.approx(asks[0][0] - bids[0][0], rel=1e-9)


def test_quotes_are_stored_ten_times_a_second_at_most(store: SqliteReader) -> None:
    quotes: list[dict[str, Any]] = list(store.read("quote", {"symbol": "BTCUSDT"}))
    assert 5_000 < len(quotes) <= 6_510
    assert all(row["time_ns"] % 100_000_000 == 0 for row in quotes)
