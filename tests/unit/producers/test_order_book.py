"""The synchroniser by its published vectors (BINANCE_SPOT.md §6.3) and by its law."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.rest_port import SNAPSHOT_LEVELS
from producers.order_book import (
    BUFFERED_LEVELS,
    KNOWN_PRICES,
    MAX_LEVELS,
    Apply,
    BookSync,
    NeedSnapshot,
    Prices,
    Resync,
    Synced,
)
from tests.builders import NOW_MS, depth


def diff(first: int, last: int, bids: Any = (), asks: Any = ()) -> Any:
    return depth(first_update_id=first, final_update_id=last, bids=list(bids), asks=list(asks))


def snapshot(last_update_id: int, bids: Any = (["100.0", "1"],), asks: Any = (["101.0", "1"],)) -> Any:
    return depth(
        kind="snapshot",
        first_update_id=last_update_id,
        final_update_id=last_update_id,
        bids=list(bids),
        asks=list(asks),
    )


def applied(effects: Any) -> list[int]:
    return [effect.diff["final_update_id"] for effect in effects if isinstance(effect, Apply)]


EVENTS = (diff(990, 996), diff(997, 1003), diff(1004, 1004), diff(1006, 1010))


@pytest.mark.parametrize(
    ("last_update_id", "expected", "gap"),
    [
        (989, [996, 1003, 1004], True),
        (995, [996, 1003, 1004], True),
        (996, [1003, 1004], True),
        (1000, [1003, 1004], True),
        (1008, [1010], False),
    ],
)
def test_the_worked_vectors(last_update_id: int, expected: list[int], gap: bool) -> None:
    book = BookSync()
    for event in EVENTS:
        book.receive(event)
    effects = book.receive_snapshot(snapshot(last_update_id))
    assert applied(effects) == expected
    assert any(isinstance(effect, Resync) for effect in effects) is gap
    assert book.synced is not gap


def test_a_snapshot_older_than_the_first_diff_is_fetched_again() -> None:
    book = BookSync()
    assert book.receive(EVENTS[0]) == [NeedSnapshot(0.0)]
    effects = book.receive_snapshot(snapshot(985))
    (again,) = effects
    assert isinstance(again, NeedSnapshot)
    assert again.delay_s > 0
    assert not book.synced


def test_a_snapshot_that_ends_where_the_gap_is_rebuilds_the_book() -> None:
    book = BookSync()
    for event in EVENTS:
        book.receive(event)
    effects = book.receive_snapshot(snapshot(1004))
    assert applied(effects) == []
    assert not book.synced
    assert any(isinstance(effect, NeedSnapshot) for effect in effects)


def test_a_snapshot_newer_than_all_diffs_waits_for_the_one_that_follows() -> None:
    book = BookSync()
    for event in EVENTS:
        book.receive(event)
    assert book.receive_snapshot(snapshot(2000)) == []
    assert book.top(20) is None
    effects = book.receive(diff(1999, 2001))
    assert [type(effect) for effect in effects] == [Synced, Apply]
    assert book.synced


def test_a_skipped_update_id_unsyncs_the_book_and_names_both_ends() -> None:
    book = BookSync()
    book.receive(diff(101, 105))
    book.receive_snapshot(snapshot(100))
    effects = book.receive(diff(107, 110))
    assert effects == [Resync("update id 106 is missing", 105, 107), NeedSnapshot(1.0)]
    assert not book.synced
    assert book.top(20) is None


def test_a_crossed_book_is_thrown_away() -> None:
    book = BookSync()
    book.receive(diff(101, 105))
    book.receive_snapshot(snapshot(100))
    effects = book.receive(diff(106, 106, bids=[["101.5", "1"]]))
    assert isinstance(effects[0], Resync)
    assert "crossed" in effects[0].reason
    assert book.top(1) is None


def test_a_lost_connection_ends_the_synchronisation() -> None:
    book = BookSync()
    book.receive(diff(101, 105))
    book.receive_snapshot(snapshot(100))
    assert book.lose("connection closed") == [Resync("connection closed", 105, 105)]
    assert book.receive(diff(106, 107)) == [NeedSnapshot(0.0)]


def test_levels_are_the_exchanges_own_strings_best_first() -> None:
    book = BookSync()
    book.receive(diff(101, 105, bids=[["99.50000000", "2.0"], ["100.0", "0.00000000"]]))
    book.receive_snapshot(snapshot(100, bids=[["100.0", "1"], ["99.0", "3"]]))
    top = book.top(20)
    assert top is not None
    assert top.bids == [["99.50000000", "2.0"], ["99.0", "3"]]
    assert top.asks == [["101.0", "1"]]


class Exchange:
    """A true book, its diffs, and its snapshots at any id."""

    def __init__(self, steps: list[tuple[int, int, int]]) -> None:
        self.diffs: list[Any] = []
        self.states: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
        bids, asks = {50: 1}, {60: 1}
        update_id = 100
        self.states[update_id] = (dict(bids), dict(asks))
        for offset, quantity, width in steps:
            first = update_id + 1
            changes: tuple[list[list[str]], list[list[str]]] = ([], [])
            for change in range(width):
                update_id += 1
                side, price = (0, 50 - offset) if (offset + change) % 2 else (1, 60 + offset)
                (bids, asks)[side][price] = quantity
                if quantity == 0:
                    del (bids, asks)[side][price]
                changes[side].append([str(price), str(quantity)])
                self.states[update_id] = (dict(bids), dict(asks))
            self.diffs.append(diff(first, update_id, changes[0], changes[1]))

    def snapshot(self, update_id: int) -> Any:
        bids, asks = self.states[update_id]
        return snapshot(update_id, _levels(bids, reverse=True), _levels(asks))


def _levels(side: dict[int, int], *, reverse: bool = False) -> list[list[str]]:
    return [[str(price), str(side[price])] for price in sorted(side, reverse=reverse)]


steps = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3), st.integers(1, 4)), min_size=3, max_size=40)


@given(steps=steps, choices=st.data())
def test_whatever_is_lost_and_whenever_snapshots_come_the_book_is_never_wrong_while_synced(
    steps: list[tuple[int, int, int]], choices: st.DataObject
) -> None:
    exchange = Exchange(steps)
    book, asked = BookSync(), False
    for event in exchange.diffs:
        if choices.draw(st.integers(0, 9)) == 0:
            continue  # lost on the way
        effects = book.receive(event)
        asked = asked or any(isinstance(effect, NeedSnapshot) for effect in effects)
        if asked and choices.draw(st.booleans()):
            update_id = choices.draw(st.sampled_from(sorted(exchange.states)))
            effects = book.receive_snapshot(exchange.snapshot(update_id))
            asked = any(isinstance(effect, NeedSnapshot) for effect in effects)
        full = book.full()
        if full is not None:
            bids, asks = exchange.states[full.update_id]
            assert (full.bids, full.asks) == (_levels(bids, reverse=True), _levels(asks))


@given(steps=steps, choices=st.data())
def test_without_loss_any_interleaving_of_snapshot_and_diffs_ends_in_the_same_book(
    steps: list[tuple[int, int, int]], choices: st.DataObject
) -> None:
    exchange = Exchange(steps)
    update_id = choices.draw(st.sampled_from(sorted(exchange.states)[:-1]))
    last = exchange.diffs[-1]["final_update_id"]
    # The answer comes at any time after the snapshot's first diff was sent.
    arrives_after = choices.draw(st.integers(1, len(exchange.diffs)))
    book = BookSync()
    for number, event in enumerate(exchange.diffs, start=1):
        book.receive(event)
        if number == arrives_after:
            book.receive_snapshot(exchange.snapshot(update_id))
    full = book.full()
    if update_id < last:
        assert full is not None
        bids, asks = exchange.states[last]
        assert (full.update_id, full.bids, full.asks) == (last, _levels(bids, reverse=True), _levels(asks))


def ladders(low: int, high: int) -> dict[str, Any]:
    """Sides of as many levels as a snapshot is asked for: there may be more behind them."""
    count = SNAPSHOT_LEVELS
    return {
        "bids": [[str(low - number), "1"] for number in range(count)],
        "asks": [[str(high + number), "1"] for number in range(count)],
    }


def cut_off() -> BookSync:
    book = BookSync()
    book.receive(diff(101, 101))
    book.receive_snapshot(snapshot(100, **ladders(5_000, 5_001)))
    return book


def test_a_snapshot_with_as_many_levels_as_asked_for_is_known_to_end_somewhere() -> None:
    assert cut_off().known_range == (4_001.0, 6_000.0)
    book = BookSync()
    book.receive(diff(101, 101))
    book.receive_snapshot(snapshot(100))
    assert book.known_range == (0.0, float("inf"))


def test_levels_beyond_the_snapshot_are_named_by_diffs_but_do_not_make_the_range_known() -> None:
    book = cut_off()
    gone = [[str(price), "0"] for price in range(5_000, 4_010, -1)]
    book.receive(diff(102, 102, bids=[*gone, ["3999", "5"], ["3000", "5"]]))
    top = book.top(12)
    assert top is not None
    assert book.near_edge
    assert book.knows(top, 10) is False  # it has twelve; two of them lie beyond
    ten = book.top(10)
    assert ten is not None and book.knows(ten, 10)
    full = book.full()
    assert full is not None
    assert full.bids[-1] == ["4001", "1"]


def test_a_side_of_which_all_is_known_may_have_few_levels() -> None:
    book = BookSync()
    book.receive(diff(101, 101))
    book.receive_snapshot(snapshot(100))
    top = book.top(20)
    assert top is not None
    assert book.knows(top, 20)


def test_levels_are_bounded_and_what_is_dropped_is_unknown() -> None:
    book = BookSync()
    book.receive(diff(101, 101))
    book.receive_snapshot(snapshot(100, bids=[["20000", "1"]], asks=[["20001", "1"]]))
    book.receive(diff(102, 102, bids=[[str(price), "1"] for price in range(5, 5 + MAX_LEVELS)]))
    assert len(book.sides[0]) == MAX_LEVELS
    lowest, highest = book.known_range
    assert (5 < lowest < 6, highest) == (True, float("inf"))


# -- update ids that begin anew


def at(first: int, last: int, after_ms: int, **fields: Any) -> Any:
    return diff(first, last) | {"event_time_ms": NOW_MS + after_ms} | fields


def synced_at(last_update_id: int) -> BookSync:
    book = BookSync()
    book.receive(at(last_update_id - 5, last_update_id, 0))
    book.receive_snapshot(snapshot(last_update_id - 3))
    assert book.synced
    return book


def reasons(effects: Any) -> list[str]:
    return [effect.reason for effect in effects if isinstance(effect, Resync)]


def test_update_ids_that_begin_anew_unsync_the_book_and_a_new_snapshot_syncs_it_again() -> None:
    book = synced_at(90_000)
    effects = book.receive(at(1, 4, 100))
    assert reasons(effects) == ["update ids begin anew: 4 comes after 90000"]
    assert any(isinstance(effect, NeedSnapshot) for effect in effects)
    assert not book.synced
    book.receive(at(5, 9, 200))
    assert applied(book.receive_snapshot(snapshot(6))) == [9]
    assert (book.synced, book.update_id) == (True, 9)
    assert applied(book.receive(at(10, 12, 300))) == [12]


@pytest.mark.parametrize("after_ms", [0, -100])
def test_a_repeated_diff_is_no_new_numbering(after_ms: int) -> None:
    book = synced_at(90_000)
    assert book.receive(at(89_990, 89_999, after_ms)) == []
    assert book.synced


def test_a_diff_that_claims_ids_of_the_future_does_not_freeze_the_book() -> None:
    book = synced_at(90_000)
    book.receive(at(90_001, 2**53 - 1, 100))
    effects = book.receive(at(90_005, 90_009, 200))
    assert reasons(effects) == [f"update ids begin anew: 90009 comes after {2**53 - 1}"]
    assert applied(book.receive_snapshot(snapshot(90_006))) == [90_009]


def test_a_snapshot_is_not_waited_for_between_the_diffs_of_two_numberings() -> None:
    book = BookSync()
    book.receive(at(90_000, 90_005, 0))
    book.receive(at(1, 4, 100))
    assert applied(book.receive_snapshot(snapshot(2))) == [4]
    assert book.synced


def test_a_snapshot_of_a_numbering_that_is_over_is_not_waited_on_for_ever() -> None:
    book = BookSync()
    book.receive(at(1, 4, 0))
    assert book.receive_snapshot(snapshot(90_000)) == []
    for number in range(400):
        effects = book.receive(at(5 + number, 5 + number, 100 * number))
        if effects:
            break
    assert [type(effect) for effect in effects] == [NeedSnapshot]
    assert number == 299
    assert applied(book.receive_snapshot(snapshot(5 + number))) == []
    assert applied(book.receive(at(6 + number, 7 + number, 40_000))) == [7 + number]


def test_a_snapshot_later_than_many_diffs_that_have_waited_is_as_good_as_any() -> None:
    book = BookSync()
    for number in range(1, 900):
        book.receive(at(number, number, number))
    assert book.receive_snapshot(snapshot(899)) == []
    assert applied(book.receive(at(900, 901, 1_000))) == [901]


def test_a_diff_that_lies_does_not_keep_the_book_from_its_snapshot() -> None:
    book = BookSync()
    for lie in ((2**31, 2**53 - 1), (90_000, 2**32)):
        book.receive(at(*lie, 0))
    book.receive(at(89_990, 89_999, 0))
    for number in range(10):
        book.receive(at(90_000 + number, 90_000 + number, 100 + number))
    assert applied(book.receive_snapshot(snapshot(90_004))) == list(range(90_005, 90_010))
    assert book.synced


def test_after_any_number_of_lies_the_next_snapshot_is_not_far() -> None:
    book = synced_at(90_000)
    delays = []
    for number in range(50):
        effects = book.receive(at(2**40 + 2 * number, 2**40 + 2 * number, number))
        delays += [effect.delay_s for effect in effects if isinstance(effect, NeedSnapshot)]
        effects = book.snapshot_failed()
        delays += [effect.delay_s for effect in effects if isinstance(effect, NeedSnapshot)]
    assert max(delays) == 20.0


def test_what_waits_for_a_snapshot_is_bounded_by_its_levels() -> None:
    book = BookSync()
    levels = [["1.0", "1.0"]] * (BUFFERED_LEVELS // 10)
    for number in range(1, 101):
        book.receive(at(number, number, number, bids=levels))
    # The first 90 were let go: a snapshot of before them is too old.
    assert isinstance(book.receive_snapshot(snapshot(50))[-1], NeedSnapshot)
    assert applied(book.receive_snapshot(snapshot(95))) == [96, 97, 98, 99, 100]


def test_a_full_book_of_the_longest_prices_fits_into_a_message() -> None:
    book, digits, per_diff = BookSync(), "9" * 20, 1_000
    quantity = f"{digits}.{digits}"
    # Far enough apart that each is a number of its own.
    bids, asks = (
        [[f"{side}{number * 10**14:019}.{digits}", quantity] for number in range(MAX_LEVELS)]
        for side in (1, 2)
    )
    book.receive(at(90_001, 90_001, 1))
    book.receive_snapshot(snapshot(90_000, bids=(), asks=()))
    for number in range(MAX_LEVELS // per_diff):
        part = slice(number * per_diff, (number + 1) * per_diff)
        book.receive(at(90_002 + number, 90_002 + number, number, bids=bids[part], asks=asks[part]))
    whole = book.full()
    assert whole is not None
    assert 1_000 < len(whole.bids) < MAX_LEVELS
    assert len(orjson.dumps([whole.bids, whole.asks])) < 900_000
    assert whole.bids[0] == max(bids)


def test_after_days_without_a_snapshot_it_is_still_asked_for_every_twenty_seconds() -> None:
    book = BookSync()
    book.receive(depth())
    for _ in range(10_000):
        asked = book.snapshot_failed()
    assert asked == [NeedSnapshot(20.0)]


def test_prices_are_known_again_and_bounded_however_many_come() -> None:
    prices = Prices()
    for number in range(KNOWN_PRICES + 10):
        assert prices[f"{number}.50"] == number + 0.5
        assert len(prices) <= KNOWN_PRICES
    assert prices["0.50"] == 0.5
