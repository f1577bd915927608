"""The top of the book as numbers."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from consumers.enrich.book import BookEnricher, book_values
from consumers.measurements import BOOK as MEASURED
from consumers.measurements import Point
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from shared.errors import InvalidMessage
from shared.messages import encode
from shared.topics import BOOK
from tests.builders import NOW_MS, book


def point(**fields: object) -> Point:
    enricher = BookEnricher()
    message = enricher.decode(BOOK, encode(book(**fields)))
    return enricher.receive([(0, 0, message)], 0).points[0]


def test_a_synced_book_gives_prices_spread_and_depths() -> None:
    bids = [["99.99", "1.5"], ["99.98", "0.5"]]
    asks = [["100.01", "1"], ["100.02", "0.25"], ["100.03", "0.25"]]
    bid, ask, mid, spread, spread_bps, imbalance, bid_depth, ask_depth, synced = book_values(bids, asks)
    assert (bid, ask, mid, spread) == (99.99, 100.01, 100.0, 0.02)
    assert (spread_bps, synced) == (2.0, True)
    assert (bid_depth, ask_depth) == (2.0, 1.5)
    assert imbalance == pytest.approx(0.5 / 3.5, abs=0)


def test_prices_a_cent_apart_are_a_cent_apart() -> None:
    assert book_values([["61602.01", "1"]], [["61602.02", "1"]])[3] == 0.01


def test_a_book_with_one_side_says_what_it_can() -> None:
    assert book_values([["1", "2"]], []) == (1.0, None, None, None, None, 1.0, 2.0, 0.0, True)
    assert book_values([], [])[5:] == (None, 0.0, 0.0, True)


def test_a_book_out_of_sync_says_only_that() -> None:
    unsynced = point(synced=False, bids=[], asks=[])
    assert unsynced.values == (None,) * 8 + (False,)
    assert unsynced.time_ns == NOW_MS * 1_000_000


@pytest.mark.parametrize(
    "lacking",
    [{"asks": []}, {"bids": []}, {"bids": [], "asks": []}, {"synced": False, "bids": [], "asks": []}],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_book_of_the_same_millisecond_that_lacks_values_is_stored_without_them(
    tmp_path: Path, lacking: dict[str, Any], at_once: bool
) -> None:
    # A store keeps a field that the same point was written with before.
    enricher, path = BookEnricher(), tmp_path / "store.db"
    messages = [book(), book(**lacking), book(symbol="OTHER"), book(**lacking, event_time_ms=NOW_MS + 1)]
    records = [(0, offset, message) for offset, message in enumerate(messages)]
    with closing(SqliteStore(path, ticks_expiry_ns=None)) as store:
        for batch in [records] if at_once else [[record] for record in records]:
            store.write(enricher.receive(batch, 0).points)
    with closing(SqliteReader(path)) as reader:
        rows = list(reader.read("book", {"symbol": "BTCUSDC"}))
    names = [column.name for column in MEASURED.columns]
    told = [tuple(row.get(name) for name in names) for row in rows]
    assert told == [point().values, point(**lacking).values, point(**lacking).values]
    times = [int(row["time_ns"] or 0) - NOW_MS * 1_000_000 for row in rows]
    assert times == [0, 1, 1_000_000]


def test_books_of_one_millisecond_are_one_point_as_long_as_none_lacks_a_value() -> None:
    enricher = BookEnricher()
    messages = [book(synced=False, bids=[], asks=[]), book(asks=[]), book(), book(asks=[]), book()]
    points = enricher.receive([(0, offset, told) for offset, told in enumerate(messages)], 0).points
    assert [point.time_ns - NOW_MS * 1_000_000 for point in points] == [0, 0, 0, 1, 1]


def test_a_book_that_saw_no_event_has_the_time_of_its_arrival() -> None:
    assert point(event_time_ms=None, synced=False).time_ns == (NOW_MS + 5) * 1_000_000


def test_a_time_that_no_point_can_have_is_invalid() -> None:
    with pytest.raises(InvalidMessage):
        point(event_time_ms=2**63 - 1)
