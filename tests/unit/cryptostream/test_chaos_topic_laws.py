"""The laws of the topics: kept by good records, broken by bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptostream.chaos.differences import Differences
from cryptostream.chaos.topic_laws import DepthLaw, KlineLaw, TradeLaw
from tests.builders import book, depth, kline, trade

MINUTE_MS = 60_000


def judged(law: Any, messages: Sequence[dict[str, Any]]) -> dict[tuple[str, str], int]:
    found = Differences()
    for message in messages:
        found.update(law.receive(message))
    return dict(found.counts)


def test_trades_in_order_with_late_repairs_are_lawful():
    law = TradeLaw("X")
    messages = [trade(trade_id=n) for n in (1, 2, 5)]
    assert judged(law, [*messages, *(trade(trade_id=n, source="backfill") for n in (3, 4))]) == {}
    assert list(law.ids) == [(1, 5)]


def test_a_trade_published_twice_is_found_and_a_late_one_is_kept():
    assert judged(TradeLaw("X"), [trade(trade_id=n) for n in (1, 2, 2)]) == {("market.trades", "twice"): 1}
    law = TradeLaw("X")
    assert judged(law, [trade(trade_id=n) for n in (1, 3, 2)]) == {}
    assert list(law.late) == [(2, 2)]


def bars(*minutes: int, **fields: Any) -> list[dict[str, Any]]:
    return [kline(open_time_ms=minute * MINUTE_MS, **fields) for minute in minutes]


def test_bars_without_a_hole_are_lawful_and_holes_are_kept_as_ids():
    law = KlineLaw("X", "1m")
    assert judged(law, bars(5, 6, 9)) == {}
    assert law.first_ms == 5 * MINUTE_MS
    assert list(law.holes) == [(7, 8)]


def test_a_bar_twice_late_or_open_is_found():
    topic = "market.klines.1m"
    assert judged(KlineLaw("X", "1m"), bars(5, 5)) == {(topic, "twice"): 1}
    assert judged(KlineLaw("X", "1m"), bars(5, 6, 5)) == {(topic, "broken"): 1}
    assert judged(KlineLaw("X", "1m"), bars(5, closed=False)) == {(topic, "broken"): 1}


def snapshot(update_id: int) -> dict[str, Any]:
    levels = {"bids": [["100.0", "1"], ["99.0", "2"]], "asks": [["101.0", "1"], ["102.0", "3"]]}
    return depth(kind="snapshot", first_update_id=update_id, final_update_id=update_id, **levels)


def diff(first: int, final: int, **sides: list[list[str]]) -> dict[str, Any]:
    return depth(first_update_id=first, final_update_id=final, **{"bids": [], "asks": [], **sides})


def test_the_replayed_book_equals_the_published_one():
    law = DepthLaw("X")
    assert judged(law, [snapshot(10), diff(11, 12, bids=[["99.5", "7"], ["99.0", "0"]])]) == {}
    assert law.update_id == 12
    good = {
        "update_id": 12,
        "bids": [["100.0", "1"], ["99.5", "7"]],
        "asks": [["101.0", "1"], ["102.0", "3"]],
    }
    assert not law.compare(book(**good))
    assert law.compare(book(**{**good, "asks": [["101.0", "1"], ["102.0", "4"]]}))
    assert law.compare(book(**{**good, "bids": [["99.5", "7"], ["100.0", "1"]]}))


def test_a_hole_in_the_diffs_is_found_unless_a_snapshot_ends_it():
    assert judged(DepthLaw("X"), [snapshot(10), diff(11, 12), diff(14, 15)]) == {
        ("market.depth", "missing"): 1
    }
    law = DepthLaw("X")
    assert judged(law, [snapshot(10), diff(11, 12), snapshot(20), diff(21, 22)]) == {}
    assert (law.snapshots, law.holes) == (2, 1)


def test_diffs_before_a_snapshot_and_diffs_twice_are_found():
    assert judged(DepthLaw("X"), [diff(1, 2)]) == {("market.depth", "broken"): 1}
    assert judged(DepthLaw("X"), [snapshot(10), diff(11, 12), diff(11, 12)]) == {("market.depth", "twice"): 1}


def test_a_book_that_crosses_is_found():
    assert judged(DepthLaw("X"), [snapshot(10), diff(11, 11, bids=[["101.5", "1"]])]) == {
        ("market.depth", "broken"): 1
    }
