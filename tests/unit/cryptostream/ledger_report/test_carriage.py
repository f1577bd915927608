"""Carriage by the rows of a real store: as the topic's events have it, and not known where rows expired."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.enrich.ledger import LedgerEnricher
from consumers.enrich.port import Known
from consumers.measurements import LEDGER, Point, Series
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from cryptostream.ledger_report.carriage import carriage_in_store
from cryptostream.ledger_report.claims import Claims
from cryptostream.ledger_report.report import Note, Span
from shared.ledger import LedgerSeries
from shared.messages import CARRIED_AGAIN, LedgerMessage
from tests.builders import NOW_MS, ledger

MINUTE_MS = 60_000
DAY_MS = 86_400_000
FIRST_MS = NOW_MS - NOW_MS % MINUTE_MS
TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
BARS = LedgerSeries("binance", "BTCUSDC", "klines", "1m")


def uncarried(since: int, until: int, *, over: bool = False, interval: str = "") -> LedgerMessage:
    """An event that trades (or bars) were not carried; minutes counted from FIRST_MS."""
    return ledger(
        stream="klines" if interval else "trades",
        interval=interval or None,
        kind="uncarried",
        first=FIRST_MS + since * MINUTE_MS,
        last=FIRST_MS + until * MINUTE_MS,
        event_time_ms=FIRST_MS + until * MINUTE_MS,
        count=0,
        detail=f"no trade{CARRIED_AGAIN if over else ''}",
    )


class Stored:
    """A store, and what the ledger's consumer writes to it."""

    def __init__(self, path: Path) -> None:
        self._store = SqliteStore(path)
        self._store.write([])
        self.reader = SqliteReader(path)

    def report(self, *events: LedgerMessage) -> None:
        enricher = LedgerEnricher()
        enricher.assign(0, Known(0, 0))
        points = enricher.receive([(0, offset, event) for offset, event in enumerate(events)], NOW_MS).points
        self._store.write([point for point in points if point.series.measurement.name == "carriage"])

    def count(self, series: LedgerSeries, time_ms: int) -> None:
        """A row of the ledger."""
        self._store.write([Point(Series(LEDGER, tuple(series)), time_ms * 10**6, (1, 1, 0, 0, 0, 0))])

    def close(self) -> None:
        self._store.close()


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    store = Stored(tmp_path / "store.db")
    yield store
    store.close()


def by_topic(span: Span, *events: LedgerMessage) -> list[Note]:
    """What `cryptostream ledger` says of the same events with a broker; a store keeps no reason."""
    claims = Claims(span, None)
    for event in events:
        claims.receive(event)
    claims.end()
    return [note._replace(detail=None) for note in claims.uncarried_now()]


OPEN = (uncarried(0, 0), uncarried(0, 1), uncarried(0, 2))


@pytest.mark.parametrize(
    ("events", "open_now"),
    [
        (OPEN, 1),
        ((*OPEN, uncarried(0, 3, over=True)), 0),
        ((*OPEN, uncarried(0, 3, over=True), uncarried(5, 6)), 1),
        ((*OPEN, uncarried(0, 3, over=True, interval="1m")), 1),
        ((*OPEN, uncarried(1, 2, interval="1m")), 2),
    ],
    ids=("open", "over", "again", "another stream is over", "two"),
)
def test_streams_are_not_carried_as_the_topic_has_it(
    stored: Stored, events: tuple[LedgerMessage, ...], open_now: int
) -> None:
    stored.report(*events)
    minute_ns = MINUTE_MS * 10**6
    begin_ns = FIRST_MS * 10**6
    for span in (
        Span(),
        Span(stream="trades"),
        Span(interval="1m"),
        Span("ETHUSDC"),
        Span.of(from_ns=begin_ns + minute_ns),
        Span.of(from_ns=begin_ns, to_ns=begin_ns + minute_ns),
        Span.of(to_ns=begin_ns),
    ):
        found = carriage_in_store(stored.reader, span, kept_from_ms=None)
        assert sorted(found.uncarried) == sorted(by_topic(span, *events)), span
        assert found.unknown == []
    assert len(carriage_in_store(stored.reader, Span(), kept_from_ms=None).uncarried) == open_now


def test_what_has_not_been_carried_since_before_a_time_is_not_carried_in_it(stored: Stored) -> None:
    stored.report(*OPEN)
    for minute in (1, 2, 300):
        span = Span.of(from_ns=(FIRST_MS + minute * MINUTE_MS) * 10**6)
        found = carriage_in_store(stored.reader, span, kept_from_ms=None)
        assert [(note.series, note.first) for note in found.uncarried] == [(TRADES, FIRST_MS)]
    # An hour later nobody has said it again: the producer was killed, and another carries the stream.
    later = Span.of(from_ns=(FIRST_MS + 30 * MINUTE_MS) * 10**6)
    for as_of, seen in ((2, 1), (5, 1), (60, 0)):
        found = carriage_in_store(
            stored.reader, later, as_of_ms=FIRST_MS + as_of * MINUTE_MS, kept_from_ms=None
        )
        assert len(found.uncarried) == seen
    before = Span.of(to_ns=FIRST_MS * 10**6)
    assert carriage_in_store(stored.reader, before, kept_from_ms=None).uncarried == []


def test_what_was_not_carried_at_its_end_is_not_carried_however_long_ago_that_was(stored: Stored) -> None:
    stored.report(*OPEN)
    stored.count(TRADES, FIRST_MS)
    found = carriage_in_store(stored.reader, Span(), kept_from_ms=FIRST_MS + 30 * DAY_MS)
    assert [note.series for note in found.uncarried] == [TRADES]
    assert found.unknown == []


def test_a_store_without_any_report_says_so(stored: Stored) -> None:
    stored.count(BARS, FIRST_MS)
    assert not carriage_in_store(stored.reader, Span(), kept_from_ms=None).reported
    stored.report(*OPEN, uncarried(0, 3, over=True))
    # Also where another stream is asked for: its writer reports.
    for span in (Span(), Span("ETHUSDC"), Span.of(to_ns=FIRST_MS * 10**6)):
        assert carriage_in_store(stored.reader, span, kept_from_ms=None).reported


def test_of_series_that_ended_before_what_the_store_keeps_carriage_is_unknown(stored: Stored) -> None:
    stored.count(BARS, FIRST_MS)
    stored.count(TRADES, FIRST_MS)
    end_ms = FIRST_MS + 2 * MINUTE_MS
    assert carriage_in_store(stored.reader, Span(), kept_from_ms=end_ms).unknown == []
    found = carriage_in_store(stored.reader, Span(), kept_from_ms=end_ms + 1)
    (unknown,) = found.unknown
    assert (set(unknown.series), unknown.since_ms) == ({BARS, TRADES}, None)
    assert "--from" in unknown.why
    only_bars = carriage_in_store(stored.reader, Span(stream="klines"), kept_from_ms=end_ms + 1)
    assert [each.series for each in only_bars.unknown] == [(BARS,)]
    # A span without any row of theirs is not about them.
    later = Span.of(from_ns=(FIRST_MS + MINUTE_MS) * 10**6)
    assert carriage_in_store(stored.reader, later, kept_from_ms=end_ms + 1).unknown == []


def test_trades_are_followed_as_long_as_bars_of_the_instrument_come(stored: Stored) -> None:
    stored.count(TRADES, FIRST_MS)
    stored.count(BARS, FIRST_MS + 9 * DAY_MS)
    stored.count(BARS._replace(interval="1d"), FIRST_MS + 7 * DAY_MS)
    assert carriage_in_store(stored.reader, Span(), kept_from_ms=FIRST_MS + 8 * DAY_MS).unknown == []
    # Of a symbol without anything newer it is not known.
    stored.count(TRADES._replace(symbol="ETHUSDC"), FIRST_MS)
    (unknown,) = carriage_in_store(stored.reader, Span(), kept_from_ms=FIRST_MS + 8 * DAY_MS).unknown
    assert unknown.series == (TRADES._replace(symbol="ETHUSDC"),)
