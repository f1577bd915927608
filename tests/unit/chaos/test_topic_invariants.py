"""The invariants of the topics: kept by good records, broken by bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaos.differences import Differences, Kind
from chaos.exchange_log import BAR_FIELDS
from chaos.topic_invariants import DepthInvariants, KlineInvariants, TradeInvariants
from shared.messages import DepthMessage, KlineMessage
from tests.builders import book, depth, kline, trade

MINUTE_MS = 60_000


def broken_by(invariants: Any, messages: Sequence[Any]) -> dict[tuple[str, Kind], int]:
    found = Differences()
    for message in messages:
        found.update(invariants.receive(message))
    return dict(found.counts)


def test_trades_in_order_with_late_repairs_break_nothing() -> None:
    invariants = TradeInvariants("X")
    messages = [trade(trade_id=n) for n in (1, 2, 5)]
    assert broken_by(invariants, [*messages, *(trade(trade_id=n, source="backfill") for n in (3, 4))]) == {}
    assert list(invariants.ids) == [(1, 5)]


def test_a_trade_published_twice_is_found_and_a_late_one_is_kept() -> None:
    assert broken_by(TradeInvariants("X"), [trade(trade_id=n) for n in (1, 2, 2)]) == {
        ("market.trades", "twice"): 1
    }
    invariants = TradeInvariants("X")
    assert broken_by(invariants, [trade(trade_id=n) for n in (1, 3, 2)]) == {}
    assert list(invariants.late) == [(2, 2)]


def bars(*minutes: int, **fields: Any) -> list[KlineMessage]:
    return [kline(open_time_ms=minute * MINUTE_MS, **fields) for minute in minutes]


def test_bars_without_a_hole_are_lawful_and_holes_are_kept_as_ids() -> None:
    invariants = KlineInvariants("X", "1m")
    assert broken_by(invariants, bars(5, 6, 9)) == {}
    assert invariants.first_ms == 5 * MINUTE_MS
    assert list(invariants.holes) == [(7, 8)]


def test_a_bar_twice_late_or_open_is_found() -> None:
    topic = "market.klines.1m"
    assert broken_by(KlineInvariants("X", "1m"), bars(5, 5)) == {(topic, "twice"): 1}
    assert broken_by(KlineInvariants("X", "1m"), bars(5, 6, 5)) == {(topic, "broken"): 1}
    assert broken_by(KlineInvariants("X", "1m"), bars(5, closed=False)) == {(topic, "broken"): 1}


def test_a_bar_that_comes_again_with_other_content_keeps_its_first_version() -> None:
    invariants = KlineInvariants("X", "1m")
    again = [*bars(5, 6), *bars(5, trade_count=7), *bars(5, trade_count=8)]
    assert broken_by(invariants, again) == {}
    (at_ms, numbers), *others = invariants.superseded.items()
    assert (at_ms, others) == (5 * MINUTE_MS, [])
    assert numbers[BAR_FIELDS.index("trade_count")] == bars(5)[0]["trade_count"]
    assert broken_by(invariants, bars(5, trade_count=8)) == {("market.klines.1m", "broken"): 1}


def snapshot(update_id: int) -> DepthMessage:
    levels = {"bids": [["100.0", "1"], ["99.0", "2"]], "asks": [["101.0", "1"], ["102.0", "3"]]}
    return depth(kind="snapshot", first_update_id=update_id, final_update_id=update_id, **levels)


def diff(first: int, final: int, **sides: list[list[str]]) -> DepthMessage:
    return depth(first_update_id=first, final_update_id=final, **{"bids": [], "asks": [], **sides})


def test_the_replayed_book_equals_the_published_one() -> None:
    invariants = DepthInvariants("X")
    assert broken_by(invariants, [snapshot(10), diff(11, 12, bids=[["99.5", "7"], ["99.0", "0"]])]) == {}
    assert invariants.update_id == 12
    good = {
        "update_id": 12,
        "bids": [["100.0", "1"], ["99.5", "7"]],
        "asks": [["101.0", "1"], ["102.0", "3"]],
    }
    assert not invariants.compare(book(**good))
    assert invariants.compare(book(**{**good, "asks": [["101.0", "1"], ["102.0", "4"]]}))
    assert invariants.compare(book(**{**good, "bids": [["99.5", "7"], ["100.0", "1"]]}))


def test_a_hole_in_the_diffs_is_found_unless_a_snapshot_ends_it() -> None:
    assert broken_by(DepthInvariants("X"), [snapshot(10), diff(11, 12), diff(14, 15)]) == {
        ("market.depth", "missing"): 1
    }
    invariants = DepthInvariants("X")
    assert broken_by(invariants, [snapshot(10), diff(11, 12), snapshot(20), diff(21, 22)]) == {}
    assert (invariants.snapshots, invariants.holes) == (2, 1)


def test_diffs_before_a_snapshot_and_diffs_twice_are_found() -> None:
    assert broken_by(DepthInvariants("X"), [diff(1, 2)]) == {("market.depth", "broken"): 1}
    assert broken_by(DepthInvariants("X"), [snapshot(10), diff(11, 12), diff(11, 12)]) == {
        ("market.depth", "twice"): 1
    }


def test_a_book_that_crosses_is_found() -> None:
    assert broken_by(DepthInvariants("X"), [snapshot(10), diff(11, 11, bids=[["101.5", "1"]])]) == {
        ("market.depth", "broken"): 1
    }


def test_where_books_are_streamed_a_snapshot_with_the_same_best_levels_is_no_hole() -> None:
    strict, streamed = DepthInvariants("X"), DepthInvariants("X", streamed=True)
    for invariants in (strict, streamed):
        broken_by(invariants, [snapshot(10), snapshot(17)])
    assert (strict.holes, streamed.holes) == (1, 0)
    other = snapshot(25) | {"bids": [["100.0", "2"], ["99.0", "2"]]}
    broken_by(streamed, [other])
    assert streamed.holes == 1
