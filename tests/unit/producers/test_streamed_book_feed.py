"""What is published of books that streams bring whole, over one connection and from one to the next."""

from __future__ import annotations

from typing import Any

import pytest

from producers.effects import Effect, LedgerEvent, Publish, Resubscribe
from producers.exchanges.kraken.checksum import checksum
from producers.exchanges.kraken.frames import KrakenFrames
from producers.exchanges.port import BookPromise, QuotesPromise
from producers.exchanges.stream_events import BookUpdate
from producers.streamed_book_feed import SNAPSHOT_AFTER_S, StreamedBookFeed
from shared.messages import check
from shared.topics import BOOK, DEPTH, QUOTES
from tests.builders import NOW_MS
from tests.unit.producers.kraken_stream import PAIR, KrakenStream

OLD, NEXT = "old", "next"
BID, ASK = ("bids", "100.00", "1.00000000"), ("asks", "101.00", "2.00000000")


class Stand:
    """One exchange, whose frames a feed gets on connections of any name."""

    def __init__(self) -> None:
        self.exchange = KrakenStream(10)
        self.promise = BookPromise("crc", "", "", 10, checksum)
        self.feed = StreamedBookFeed("ETH/USD", 0, self.promise)
        self._frames = KrakenFrames({PAIR.symbol: PAIR})
        self._at_ms = NOW_MS

    def update(self, frame: str) -> BookUpdate:
        self._at_ms += 10
        (event,) = self._frames.parse(frame, self._at_ms)
        assert isinstance(event, BookUpdate)
        return event

    def snapshot(self, connection: object) -> list[Effect]:
        return self.feed.receive(self.update(self.exchange.snapshot()), connection)

    def change(self, *changes: tuple[str, str, str], on: tuple[object, ...] = (OLD,)) -> list[Effect]:
        update = self.update(self.exchange.change(changes))
        return [effect for connection in on for effect in self.feed.receive(update, connection)]


@pytest.fixture
def stand() -> Stand:
    stand = Stand()
    stand.exchange.change((BID, ASK))
    stand.feed.follow(OLD)
    stand.snapshot(OLD)
    return stand


def of(effects: list[Effect], topic: str) -> list[Any]:
    return [effect.message for effect in effects if isinstance(effect, Publish) and effect.topic == topic]


def outages(effects: list[Effect]) -> list[str | None]:
    return [effect.detail for effect in effects if isinstance(effect, LedgerEvent)]


def test_a_book_is_published_with_the_time_of_its_snapshot_and_then_of_each_change(stand: Stand) -> None:
    effects = stand.change(("bids", "100.50", "3.00000000"))
    (book,) = of(effects, BOOK)
    (diff,) = of(effects, DEPTH)
    assert book["synced"] and book["bids"][0] == ["100.50", "3.00000000"]
    assert book["update_id"] == diff["final_update_id"] and book["event_time_ms"] == diff["event_time_ms"]


def test_after_an_outage_the_first_book_has_the_time_of_its_own_snapshot(stand: Stand) -> None:
    lost = stand.feed.lose("cut")
    assert not of(lost, BOOK)[0]["synced"] and outages(lost) == ["cut"]
    stand.feed.follow(NEXT)
    effects = stand.snapshot(NEXT)
    (book,), (snapshot,) = of(effects, BOOK), of(effects, DEPTH)
    assert book["synced"] and book["event_time_ms"] == snapshot["event_time_ms"]
    assert (outages(effects)[0] or "").startswith("synced again")


def test_a_wrong_checksum_unsyncs_the_book_and_asks_for_it_on_its_connection(stand: Stand) -> None:
    update = stand.update(stand.exchange.change((("bids", "100.60", "1.00000000"),)))
    effects = stand.feed.receive(update._replace(checksum=1), OLD)
    assert not stand.feed.synced and not of(effects, BOOK)[0]["synced"]
    assert [effect for effect in effects if isinstance(effect, Resubscribe)] == [
        Resubscribe("ETH/USD", OLD, 1.0)
    ]


def test_the_next_connection_takes_over_when_both_books_agree_and_diffs_go_on(stand: Stand) -> None:
    before = stand.change(("bids", "100.10", "1.00000000"))
    assert stand.snapshot(NEXT) != []  # it agrees at once, and is published anew
    effects = stand.change(("bids", "100.20", "1.00000000"), on=(OLD, NEXT))
    (diff,) = of(effects, DEPTH)
    assert diff["first_update_id"] > of(before, DEPTH)[0]["final_update_id"]
    assert of(effects, BOOK)[0]["bids"][0][0] == "100.20"
    assert outages(effects) == []
    assert stand.feed.ended(OLD) == [] and stand.feed.follow(NEXT) == []


def test_a_connection_that_is_behind_takes_over_once_it_has_caught_up(stand: Stand) -> None:
    snapshot = stand.update(stand.exchange.snapshot())
    change = stand.update(stand.exchange.change((("bids", "100.30", "1.00000000"),)))
    stand.feed.receive(change, OLD)
    assert stand.feed.receive(snapshot, NEXT) == []
    (published,) = of(stand.feed.receive(change, NEXT), DEPTH)
    assert published["kind"] == "snapshot" and published["bids"][0][0] == "100.30"


def test_a_book_that_never_agreed_is_an_outage_when_its_connection_is_the_only_one(stand: Stand) -> None:
    snapshot = stand.update(stand.exchange.snapshot())
    (former,) = of(stand.change(("bids", "100.30", "1.00000000")), BOOK)
    stand.feed.receive(snapshot, NEXT)
    effects = stand.feed.follow(NEXT)
    assert [book["synced"] for book in of(effects, BOOK)] == [False, True]
    assert outages(effects)[0] == "the next connection's book differs"
    assert (of(effects, BOOK)[1]["bids"][0][0], stand.feed.synced) == ("100.00", True)
    # One id names one book: who replays the changes up to the former book's id must find that one.
    assert of(effects, BOOK)[1]["update_id"] > former["update_id"]
    assert of(effects, DEPTH)[0]["final_update_id"] == of(effects, BOOK)[1]["update_id"]


def test_after_an_outage_another_connections_book_has_an_id_of_its_own(stand: Stand) -> None:
    snapshot = stand.update(stand.exchange.snapshot())
    (former,) = of(stand.change(("bids", "100.30", "1.00000000")), BOOK)
    stand.feed.distrust("a frame was lost", OLD)
    stand.feed.receive(snapshot, NEXT)
    (after,) = [book for book in of(stand.feed.follow(NEXT), BOOK) if book["synced"]]
    assert after["bids"] != former["bids"] and after["update_id"] > former["update_id"]


def test_when_the_connection_that_took_over_ends_the_older_ones_book_is_asked_for(stand: Stand) -> None:
    stand.snapshot(NEXT)
    effects = stand.feed.ended(NEXT)
    assert not stand.feed.synced
    assert [e.connection for e in effects if isinstance(e, Resubscribe)] == [OLD]
    assert of(stand.snapshot(OLD), BOOK)[0]["synced"]


def test_a_snapshot_that_does_not_come_is_asked_for_again(stand: Stand) -> None:
    stand.feed.lose("cut")
    stand.feed.follow(NEXT)
    assert stand.feed.tick(100.0) == []
    effects = stand.feed.tick(100.0 + SNAPSHOT_AFTER_S)
    assert [e.connection for e in effects if isinstance(e, Resubscribe)] == [NEXT]
    assert stand.feed.tick(100.1 + SNAPSHOT_AFTER_S) == []
    stand.snapshot(NEXT)
    assert stand.feed.tick(200.0) == stand.feed.tick(300.0) == []


def test_a_snapshot_is_awaited_on_its_connection_until_it_comes(stand: Stand) -> None:
    assert not stand.feed.awaits_snapshot(OLD) and not stand.feed.awaits_snapshot(NEXT)
    stand.feed.distrust("a jump", OLD)
    stand.feed.distrust("another one", NEXT)
    assert stand.feed.awaits_snapshot(OLD) and stand.feed.awaits_snapshot(NEXT)
    stand.snapshot(OLD)
    assert not stand.feed.awaits_snapshot(OLD) and stand.feed.awaits_snapshot(NEXT)


def test_a_refused_subscription_is_repeated_with_growing_delays(stand: Stand) -> None:
    stand.feed.lose("cut")
    stand.feed.follow(NEXT)
    delays = [
        effect.delay_s
        for _ in range(4)
        for effect in stand.feed.refused("no", NEXT)
        if isinstance(effect, Resubscribe)
    ]
    assert delays == [1.0, 2.0, 4.0, 8.0]


# --- Quotes of exchanges that have none of their own. ---


@pytest.fixture
def quoting() -> Stand:
    stand = Stand()
    stand.feed = StreamedBookFeed("ETH/USD", 0, stand.promise, QuotesPromise("book", "", ""))
    stand.exchange.change((BID, ASK))
    stand.feed.follow(OLD)
    return stand


def test_the_best_prices_are_quoted_when_they_change_and_only_then(quoting: Stand) -> None:
    (quote,) = of(quoting.snapshot(OLD), QUOTES)
    check("quote", quote)
    prices = [quote[name] for name in ("bid_price", "bid_quantity", "ask_price", "ask_quantity")]
    assert prices == ["100.00", "1.00000000", "101.00", "2.00000000"]
    assert of(quoting.change(("bids", "99.00", "5.00000000")), QUOTES) == []
    (second,) = of(quoting.change(("bids", "100.00", "3.00000000")), QUOTES)
    assert second["bid_quantity"] == "3.00000000" and second["update_id"] > quote["update_id"]


def test_an_inexact_book_and_the_next_connections_are_not_quoted(quoting: Stand) -> None:
    quoting.snapshot(OLD)
    quoting.feed.distrust("lost", OLD)
    assert of(quoting.change(("bids", "100.50", "1.00000000")), QUOTES) == []
    assert of(quoting.snapshot(NEXT), QUOTES) == []
    assert len(of(quoting.snapshot(OLD), QUOTES)) == 1


def test_where_the_stream_has_quotes_the_book_gives_none(stand: Stand) -> None:
    assert of(stand.change(("bids", "100.50", "1.00000000")), QUOTES) == []
