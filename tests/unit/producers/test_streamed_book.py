"""Books that come over the stream: exact, or not synced with the cause."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers import book_side, streamed_book
from producers.exchanges.stream_events import BookUpdate
from producers.order_book import Apply, Resync, Synced
from producers.streamed_book import Resubscribe, StreamedBook
from tests.builders import depth
from tests.unit.producers.kraken_stream import Change, KrakenStream, Subscriber

_PRICES = st.integers(1, 30)
CHANGES: st.SearchStrategy[list[Change]] = st.lists(
    st.one_of(
        st.tuples(
            st.just("bids"), _PRICES.map(lambda n: f"{100 - n}.50"), st.sampled_from(["0", "1", "0.25"])
        ),
        st.tuples(
            st.just("asks"), _PRICES.map(lambda n: f"{100 + n}.50"), st.sampled_from(["0", "1", "0.25"])
        ),
    ).map(lambda change: (change[0], change[1], f"{float(change[2]):.8f}")),
    min_size=1,
    max_size=12,
)


def update(
    kind: str, bids: Any = (), asks: Any = (), *, at_us: int = 0, checksum: int | None = None
) -> BookUpdate:
    message = depth(kind=kind, first_update_id=0, final_update_id=0, bids=list(bids), asks=list(asks))
    return BookUpdate(message, at_us, checksum)


def counted() -> StreamedBook:
    """A book whose proof is the connection's counter."""
    book = StreamedBook()
    book.receive(update("snapshot", [["100", "1"], ["99", "2"]], [["101", "1"], ["102", "2"]], at_us=500))
    return book


@given(CHANGES, st.lists(CHANGES, max_size=20))
@settings(max_examples=60)
def test_a_checked_book_follows_the_exchange_through_truncation(
    first: list[Change], later: list[list[Change]]
) -> None:
    exchange, subscriber = KrakenStream(10), Subscriber(10)
    exchange.change(first)
    subscriber.receive(exchange.snapshot())
    for changes in later:
        effects = subscriber.receive(exchange.change(changes))
        assert [type(effect) for effect in effects] == [Apply]
        assert subscriber.sides() == (exchange.visible("bids"), exchange.visible("asks"))


@given(CHANGES, st.lists(st.tuples(CHANGES, st.booleans()), max_size=20))
@settings(max_examples=60)
def test_a_checked_book_is_never_wrong_while_synced_whatever_is_lost(
    first: list[Change], later: list[tuple[list[Change], bool]]
) -> None:
    exchange, subscriber = KrakenStream(10), Subscriber(10)
    exchange.change(first)
    subscriber.receive(exchange.snapshot())
    for changes, is_lost in later:
        frame = exchange.change(changes)
        if is_lost:
            continue
        wanted = [each for each in subscriber.receive(frame) if isinstance(each, Resubscribe)]
        if subscriber.book.synced:
            assert subscriber.sides() == (exchange.visible("bids"), exchange.visible("asks"))
        if wanted:
            subscriber.receive(exchange.snapshot())
            assert subscriber.sides() == (exchange.visible("bids"), exchange.visible("asks"))


@given(CHANGES, st.lists(CHANGES, max_size=12))
@settings(max_examples=40)
def test_the_topic_alone_replays_the_book(first: list[Change], later: list[list[Change]]) -> None:
    exchange, subscriber = KrakenStream(10), Subscriber(10)
    exchange.change(first)
    effects = subscriber.receive(exchange.snapshot())
    for changes in later:
        effects += subscriber.receive(exchange.change(changes))
    sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
    last_id = None
    for effect in effects:
        assert isinstance(effect, Apply | Synced)
        message: Any = effect.diff if isinstance(effect, Apply) else effect.snapshot
        assert last_id is None or message["first_update_id"] == last_id + 1
        last_id = message["final_update_id"]
        for side, levels in sides.items():
            for price, quantity in message[side]:
                levels.pop(price, None)
                if quantity.strip("0."):
                    levels[price] = quantity
    assert sides == {side: dict(exchange.visible(side)) for side in sides}


def test_a_wrong_checksum_unsyncs_and_asks_for_this_book_again() -> None:
    exchange, subscriber = KrakenStream(10), Subscriber(10)
    exchange.change([("bids", "99.50", "1.00000000"), ("asks", "100.50", "1.00000000")])
    subscriber.receive(exchange.snapshot())
    good_id = subscriber.book.update_id
    exchange.change([("bids", "99.00", "3.00000000")])  # lost
    unsynced, again = subscriber.receive(exchange.change([("asks", "101.50", "2.00000000")]))
    assert isinstance(unsynced, Resync)
    assert (unsynced.last_good_id, unsynced.offending_id > good_id) == (good_id, True)
    assert isinstance(again, Resubscribe)
    assert subscriber.book.cause == unsynced.reason == again.reason
    assert "is not the exchange's" in unsynced.reason
    assert (subscriber.book.top(10), subscriber.book.best, subscriber.book.full()) == (None, None, None)
    # What still comes of the old subscription says nothing.
    assert subscriber.receive(exchange.change([("asks", "101.50", "1.00000000")])) == []
    (synced,) = subscriber.receive(exchange.snapshot())
    assert isinstance(synced, Synced)
    assert subscriber.book.cause is None


def test_a_snapshot_without_a_checksum_waits_for_the_first_one() -> None:
    book = StreamedBook(checksum=lambda bids, asks: len(bids) * 10 + len(asks))
    assert book.receive(update("snapshot", [["100", "1"]], [["101", "1"]], at_us=5)) == []
    assert book.cause == "the snapshot awaits its first checksum"
    synced, applied = book.receive(update("diff", [["99", "1"]], at_us=9, checksum=21))
    assert isinstance(synced, Synced)
    assert synced.snapshot["bids"] == [["100", "1"]]
    assert isinstance(applied, Apply)
    assert (applied.diff["first_update_id"], applied.diff["final_update_id"]) == (6, 9)
    broken, _ = book.receive(update("diff", [["98", "1"]], at_us=11))
    assert isinstance(broken, Resync)
    assert broken.reason == "a change without a checksum"


def test_a_changed_level_of_zero_removes_and_an_unknown_one_is_no_fault() -> None:
    book = counted()
    book.receive(update("diff", [["100.00", "0.00000000"], ["98", "0"]], [["101", "0"], ["103", "5"]]))
    top = book.top(10)
    assert top is not None
    assert (top.bids, top.asks) == ([["99", "2"]], [["102", "2"], ["103", "5"]])
    assert book.best == ((99.0, 2.0), (102.0, 2.0))


def test_a_book_may_have_one_side_only() -> None:
    book = StreamedBook()
    (synced,) = book.receive(update("snapshot", [["100", "1"], ["99", "0"]]))
    assert isinstance(synced, Synced)
    assert synced.snapshot["bids"] == [["100", "1"]]
    assert book.synced
    assert book.best is None
    top = book.top(5)
    assert top is not None
    assert (top.bids, top.asks) == ([["100", "1"]], [])
    book.receive(update("diff", [["100", "0"]]))
    assert book.synced
    assert book.level_counts() == (0, 0)


def test_if_a_price_occurs_twice_the_last_one_counts() -> None:
    book = counted()
    book.receive(update("diff", [["100", "0"], ["100", "7"], ["99", "3"], ["99", "0"]]))
    top = book.top(10)
    assert top is not None
    assert top.bids == [["100", "7"]]


def test_prices_that_a_float_cannot_tell_apart_are_two_levels() -> None:
    book = StreamedBook()
    book.receive(update("snapshot", [["0.12345678901234567", "1"], ["0.12345678901234568", "2"]]))
    assert book.level_counts() == (2, 0)


def test_a_crossed_book_is_not_exact() -> None:
    book = counted()
    unsynced, again = book.receive(update("diff", [["101", "1"]]))
    assert isinstance(unsynced, Resync)
    assert unsynced.reason == "crossed: bid 101 is not below ask 101"
    assert again == Resubscribe(unsynced.reason, 1.0)


def test_a_lost_message_of_the_connection_unsyncs_until_the_next_snapshot() -> None:
    book = counted()
    unsynced, again = book.distrust("message 7 is missing on the connection")
    assert isinstance(unsynced, Resync)
    assert again == Resubscribe("message 7 is missing on the connection", 0.0)
    assert book.receive(update("diff", [["100", "3"]])) == []
    assert not book.synced
    # The snapshot may be what a second jump has lost: it is asked for again.
    (later,) = book.distrust("message 9 is missing on the connection")
    assert isinstance(later, Resubscribe)
    assert later.delay_s == 1.0
    book.receive(update("snapshot", [["100", "3"]], [["101", "1"]]))
    assert book.synced


def test_a_connection_that_ends_needs_no_new_subscription() -> None:
    book = counted()
    (unsynced,) = book.lose("the connection has ended")
    assert isinstance(unsynced, Resync)
    assert book.cause == "the connection has ended"
    assert book.lose("the connection has ended") == []


def test_subscriptions_that_fail_are_repeated_with_growing_delays() -> None:
    book = counted()
    book.distrust("a jump")
    delays = []
    for _ in range(10_000):
        (again,) = book.subscription_failed("refused")
        assert isinstance(again, Resubscribe)
        delays.append(again.delay_s)
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0] + [20.0] * 9_995


def test_a_book_whose_new_subscription_is_refused_is_not_exact_though_the_former_snapshot_came() -> None:
    book = counted()
    book.distrust("a jump")
    book.distrust("a second jump")
    book.receive(update("snapshot", [["100", "3"]], [["101", "1"]]))
    assert book.synced
    unsynced, again = book.subscription_failed("refused")
    assert isinstance(unsynced, Resync) and isinstance(again, Resubscribe)
    assert not book.synced and book.receive(update("diff", [["100", "4"]])) == []


def test_update_ids_are_times_that_rise_over_snapshots_and_equal_times() -> None:
    book = counted()
    ids = []
    for kind, at_us in (("diff", 500), ("diff", 400), ("diff", 900), ("snapshot", 900)):
        for effect in book.receive(update(kind, [["100", "1"]], [["101", "1"]], at_us=at_us)):
            message: Any = effect.diff if isinstance(effect, Apply) else effect.snapshot  # type: ignore[union-attr]
            ids.append((message["first_update_id"], message["final_update_id"]))
    assert ids == [(501, 501), (502, 502), (503, 900), (901, 901)]


def test_a_change_too_long_for_kafka_is_published_as_a_snapshot() -> None:
    book = counted()
    (synced,) = book.receive(update("diff", [[f"{n}.5", "1"] for n in range(1, 99)] * 60))
    assert isinstance(synced, Synced)
    assert synced.snapshot["final_update_id"] == book.update_id


@pytest.mark.thorough
def test_a_snapshot_for_kafka_has_the_nearest_levels_that_fit() -> None:
    book = StreamedBook()
    bids = [[f"{10**15 + n}.12345678", "1.00000000"] for n in range(40_000)]
    (synced,) = book.receive(update("snapshot", bids))
    assert isinstance(synced, Synced)
    sent = synced.snapshot["bids"]
    assert sent[0] == bids[-1]
    assert 8_000 < len(sent) < 12_000
    assert book.level_counts() == (40_000, 0)


def test_a_book_knows_prices_by_their_numbers_also_if_many_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_side, "_REMEMBERED", 3)
    book = counted()
    for number in range(10):
        book.receive(update("diff", [[f"9{number}", "1"]], [[f"11{number}", "1"]]))
    book.receive(update("diff", [["99.00", "5"], ["98.0", "0.00"]], [["101.0", "7"], ["119.00", "00"]]))
    full = book.full()
    assert full is not None
    assert full.bids == [["100", "1"], ["99.00", "5"], *([f"9{number}", "1"] for number in range(7, -1, -1))]
    assert full.asks == [["101.0", "7"], ["102", "2"], *([f"11{number}", "1"] for number in range(9))]


def test_a_side_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_book, "MOST_LEVELS", 3)
    book = counted()
    unsynced, _ = book.receive(update("diff", [["90", "1"], ["91", "1"]]))
    assert isinstance(unsynced, Resync)
    assert unsynced.reason == "more than 3 levels on one side"
    assert book.level_counts() == (0, 0)


def test_the_known_range_ends_with_the_last_level_of_a_full_depth() -> None:
    exchange, subscriber = KrakenStream(2), Subscriber(2)
    exchange.change([("bids", f"{price}.00", "1.00000000") for price in (90, 91, 92)])
    exchange.change([("asks", "93.00", "1.00000000")])
    subscriber.receive(exchange.snapshot())
    assert subscriber.book.known_range == (91.0, float("inf"))
    assert counted().known_range == (0.0, float("inf"))


def test_two_connections_agree_if_their_best_levels_do() -> None:
    one, other = counted(), counted()
    assert one.agrees_with(other)
    other.receive(update("diff", [["100.0", "1.0"]]))
    assert one.agrees_with(other)
    other.receive(update("diff", [["100", "2"]]))
    assert not one.agrees_with(other)
    other.receive(update("diff", [["100", "1"]]))
    other.distrust("a jump")
    assert not one.agrees_with(other)
