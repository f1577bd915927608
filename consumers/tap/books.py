"""Order books and quotes of one instrument: `book`, `levels` and `quote` rows."""

from __future__ import annotations

from collections.abc import Sequence

from consumers.enrich.book import BookEnricher
from consumers.enrich.quotes import QuoteEnricher
from consumers.measurements import BOOK, QUOTE
from consumers.tap.port import LiveRow
from consumers.tap.records import BadRecords, Decoder, RawRecord, SeriesRows, as_stored
from consumers.tap.series import LEVELS, Levels, LiveSeries
from shared import messages


class BookTap:
    """A row of both kinds for each book."""

    def __init__(self, tags: tuple[str, str], bad: BadRecords) -> None:
        self._enricher = BookEnricher()
        self._decoder = Decoder(self._enricher.decode, bad)
        self._book, self._levels = LiveSeries(BOOK.name, tags), LiveSeries(LEVELS.name, tags)

    def receive(self, records: Sequence[RawRecord]) -> list[SeriesRows]:
        decoded = self._decoder.decode(records)
        if not decoded:
            return []
        points = self._enricher.receive([(at.partition, at.offset, told) for at, told in decoded], 0).points
        books, levels = [], []
        for point, (record, message) in zip(points, decoded, strict=True):
            time_ms = point.time_ns // 1_000_000
            books.append(LiveRow(point.time_ns, as_stored(point.values), record.offset, time_ms))
            sides = message["update_id"], message["synced"], _side(message["bids"]), _side(message["asks"])
            levels.append(LiveRow(point.time_ns, sides, record.offset, time_ms))
        end = decoded[-1][0].offset + 1
        return [SeriesRows(self._book, tuple(books), end), SeriesRows(self._levels, tuple(levels), end)]


def _side(levels: messages.Levels) -> Levels:
    return [(float(price), float(quantity)) for price, quantity in levels]


class QuoteTap:
    """The last quote of each period, as the consumer stores it."""

    def __init__(self, tags: tuple[str, str], bad: BadRecords) -> None:
        self._enricher = QuoteEnricher()
        self._decoder = Decoder(self._enricher.decode, bad)
        self._series = LiveSeries(QUOTE.name, tags)

    def receive(self, records: Sequence[RawRecord]) -> list[SeriesRows]:
        decoded = self._decoder.decode(records)
        if not decoded:
            return []
        points = self._enricher.receive([(at.partition, at.offset, told) for at, told in decoded], 0).points
        newest, message = decoded[-1]
        # Quotes carry no time of the exchange; they arrive within milliseconds.
        event_ms = message["event_time_ms"] or message["received_time_ms"]
        rows = tuple(LiveRow(at.time_ns, as_stored(at.values), newest.offset, event_ms) for at in points)
        return [SeriesRows(self._series, rows, newest.offset + 1)]
