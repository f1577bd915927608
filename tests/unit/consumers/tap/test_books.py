from __future__ import annotations

from consumers.enrich.book import BookEnricher
from consumers.enrich.quotes import QuoteEnricher
from consumers.tap.books import BookTap, QuoteTap
from consumers.tap.fill import fill_newest
from consumers.tap.records import BadRecords, as_stored
from consumers.tap.series import LiveSeries
from shared.topics import BOOK, QUOTES
from tests.builders import NOW_MS, book, quote
from tests.unit.consumers.tap.partitions import FakePartitions

TAGS, KEY = ("binance", "BTCUSDC"), b"binance:BTCUSDC"


def test_each_book_is_a_row_of_its_figures_and_one_of_its_levels() -> None:
    bids = [["100.5", "2"], ["100", "1.25"]]
    messages = [
        book(update_id=7, bids=bids, event_time_ms=NOW_MS),
        book(update_id=8, bids=[], asks=[], synced=False, event_time_ms=NOW_MS + 9),
    ]
    partitions = FakePartitions()
    partitions.add(BOOK, KEY, messages)
    books, levels = BookTap(TAGS, BadRecords()).receive(partitions.raw(BOOK))
    points = BookEnricher().receive([(0, at, told) for at, told in enumerate(messages)], 0).points
    assert [(row.time_ns, row.values) for row in books.rows] == [
        (point.time_ns, as_stored(point.values)) for point in points
    ]
    assert [row.values for row in levels.rows] == [
        (7, True, [(100.5, 2.0), (100.0, 1.25)], [(101.0, 2.0)]),
        (8, False, [], []),
    ]
    assert [row.event_ms for row in levels.rows] == [NOW_MS, NOW_MS + 9]
    assert (books.series, levels.series) == (LiveSeries("book", TAGS), LiveSeries("levels", TAGS))
    assert books.end == levels.end == 2


def test_a_fill_has_the_newest_books() -> None:
    partitions = FakePartitions()
    partitions.add(BOOK, KEY, [book(update_id=n, event_time_ms=NOW_MS + n) for n in range(3_000)])
    series = [LiveSeries("book", TAGS), LiveSeries("levels", TAGS)]
    filling = fill_newest(partitions, (BOOK, KEY), BookTap(TAGS, BadRecords()), series, 600)
    for one in filling.series:
        assert [row.offset for row in one.rows] == list(range(2_400, 3_000))
        assert one.low == 2_401 and one.end == 3_000
    assert filling.ends == {(BOOK, 0): 3_000}


def test_the_last_quote_of_a_period_is_its_row() -> None:
    messages = [quote(update_id=n, received_time_ms=NOW_MS + n * 40) for n in range(6)]
    partitions = FakePartitions()
    partitions.add(QUOTES, KEY, messages)
    (given,) = QuoteTap(TAGS, BadRecords()).receive(partitions.raw(QUOTES))
    points = QuoteEnricher().receive([(0, at, told) for at, told in enumerate(messages)], 0).points
    assert [(row.time_ns, row.values) for row in given.rows] == [(p.time_ns, p.values) for p in points]
    assert given.rows[-1].event_ms == NOW_MS + 200
