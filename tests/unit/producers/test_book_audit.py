"""The live book against a fresh one: what differs is found, what does not never is."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.book_audit import BookAudit, differing_levels
from producers.book_feed import BookFeed
from producers.effects import AuditBook, FetchSnapshot, LedgerEvent, Publish
from producers.exchanges.rest_port import SNAPSHOT_LEVELS
from producers.order_book import BookSync
from shared.topics import DEPTH
from tests.builders import NOW_MS, depth

MEAN_MS = 600_000


def diff(first: int, last: int, bids: Any = (), asks: Any = (), at_ms: int = 0, **fields: Any) -> Any:
    times = {"event_time_ms": NOW_MS + at_ms, "received_time_ms": NOW_MS + at_ms + 5}
    return depth(
        first_update_id=first, final_update_id=last, bids=list(bids), asks=list(asks), **times, **fields
    )


def snapshot(last_update_id: int, bids: Any = (["100.0", "1"],), asks: Any = (["101.0", "1"],)) -> Any:
    ids = {"first_update_id": last_update_id, "final_update_id": last_update_id}
    return depth(kind="snapshot", **ids, bids=list(bids), asks=list(asks))


def ladder(best: int, step: int, count: int) -> list[list[str]]:
    return [[str(best + step * number), "1"] for number in range(count)]


def synced(bids: Any, asks: Any, last_update_id: int = 100) -> BookSync:
    book = BookSync()
    book.receive(diff(last_update_id + 1, last_update_id + 1))
    book.receive_snapshot(snapshot(last_update_id, bids, asks))
    return book


levels = st.dictionaries(st.integers(1, 40), st.integers(1, 5), min_size=1, max_size=20)


def as_levels(side: dict[int, int], offset: int) -> list[list[str]]:
    return [[str(price + offset), str(quantity)] for price, quantity in side.items()]


@given(bids=levels, asks=levels)
def test_equal_books_never_differ(bids: dict[int, int], asks: dict[int, int]) -> None:
    sides = as_levels(bids, 0), as_levels(asks, 50)
    assert differing_levels(synced(*sides), synced(*sides)) == 0


@given(bids=levels, asks=levels, choices=st.data())
def test_each_corrupted_level_is_found(
    bids: dict[int, int], asks: dict[int, int], choices: st.DataObject
) -> None:
    price = choices.draw(st.sampled_from(sorted(bids)))
    change = choices.draw(st.sampled_from(["quantity", "missing", "too many"]))
    wrong = dict(bids)
    if change == "quantity":
        wrong[price] += 1
    elif change == "missing":
        del wrong[price]
    else:
        wrong[45] = 1
    live, fresh = (synced(as_levels(side, 0), as_levels(asks, 50)) for side in (wrong, bids))
    assert differing_levels(live, fresh) == 1


def test_levels_that_only_one_of_them_can_know_are_not_compared() -> None:
    near = synced(ladder(2_000, -1, SNAPSHOT_LEVELS), ladder(2_001, 1, SNAPSHOT_LEVELS))
    moved = synced(ladder(2_100, -1, SNAPSHOT_LEVELS), ladder(2_101, 1, SNAPSHOT_LEVELS))
    # Between 2,001 and 2,100 one has asks where the other has bids; all else is equal or out of sight.
    assert differing_levels(near, moved) == 200
    assert differing_levels(near, near) == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_audits_come_at_random_times_with_the_mean_that_was_asked_for(seed: int) -> None:
    audit, now_ms, count = BookAudit(random.Random(seed).random, MEAN_MS), NOW_MS, 0
    for _ in range(20_000):
        now_ms += 30_000
        if audit.due(now_ms, urgent=False):
            count += 1
            audit.begin(now_ms)
            audit.give_up()
    assert 20_000 * 30_000 / count == pytest.approx(MEAN_MS, rel=0.1)


def test_an_urgent_audit_comes_at_once_but_not_in_a_flood() -> None:
    audit = BookAudit(lambda: 0.5, MEAN_MS)
    assert not audit.due(NOW_MS, urgent=True)
    assert audit.due(NOW_MS + 10_000, urgent=True)
    audit.begin(NOW_MS + 10_000)
    audit.give_up()
    assert not audit.due(NOW_MS + 11_000, urgent=True)


class Live:
    """A feed that is in step; `uniform` 0 audits as soon as it may, 0.9 as good as never."""

    def __init__(
        self, bids: Any = (["100.0", "1"],), asks: Any = (["101.0", "1"],), uniform: float = 0.0
    ) -> None:
        self.feed = BookFeed("BTCUSDC", 0, lambda: uniform, 10**15)
        self.update_id, self.at_ms = 101, 0
        self.feed.receive(diff(101, 101))
        self.feed.receive_snapshot(snapshot(100, bids, asks))

    def change(self, bids: Any = (), asks: Any = (), **fields: Any) -> list[Any]:
        self.update_id, self.at_ms = self.update_id + 1, self.at_ms + 20_000
        return list(self.feed.receive(diff(self.update_id, self.update_id, bids, asks, self.at_ms, **fields)))

    def until_asked(self) -> None:
        for _ in range(3):
            if AuditBook("BTCUSDC") in self.change():
                return
        raise AssertionError("no audit was asked for")


def unsynced(effects: list[Any]) -> list[str | None]:
    return [effect.detail for effect in effects if isinstance(effect, LedgerEvent)]


def test_a_book_that_agrees_stays_and_goes_on_from_a_snapshot_of_its_own() -> None:
    live = Live()
    live.until_asked()
    live.change(bids=[["99.0", "4"]])
    effects = live.feed.receive_audit_snapshot(snapshot(102))
    assert (live.feed.audits, live.feed.drift_levels, live.feed.synced) == (1, 0, True)
    [own] = [effect.message for effect in effects if isinstance(effect, Publish) and effect.topic == DEPTH]
    assert (own["kind"], own["bids"]) == ("snapshot", [["100.0", "1"], ["99.0", "4"]])


def test_a_snapshot_newer_than_the_book_is_compared_when_the_book_has_come_there() -> None:
    live = Live()
    live.until_asked()
    ahead = live.update_id + 1
    assert live.feed.receive_audit_snapshot(snapshot(ahead, [["100.0", "1"], ["98.0", "2"]])) == []
    live.change(bids=[["98.0", "2"]])
    assert live.feed.audits == 0
    live.change()
    assert (live.feed.audits, live.feed.drift_levels) == (1, 0)


def test_a_book_that_drifted_is_given_up_with_its_cause() -> None:
    live = Live()
    live.until_asked()
    live.change()
    effects = live.feed.receive_audit_snapshot(
        snapshot(102, [["100.0", "7"]], [["101.0", "1"], ["102.0", "1"]])
    )
    assert (live.feed.audits, live.feed.drift_levels, live.feed.synced) == (1, 2, False)
    assert unsynced(effects) == ["2 levels differ from a fresh snapshot"]
    assert any(isinstance(effect, FetchSnapshot) for effect in live.change())


@pytest.mark.parametrize("answer", [None, snapshot(90)])
def test_without_a_usable_snapshot_the_book_stays_and_is_audited_another_time(answer: Any) -> None:
    live = Live()
    live.until_asked()
    live.change()
    assert live.feed.receive_audit_snapshot(answer) == []
    assert (live.feed.audits, live.feed.synced) == (0, True)
    live.until_asked()


def test_an_audit_ends_with_the_stream_that_it_listened_to() -> None:
    live = Live()
    live.until_asked()
    live.feed.lose("connection closed")
    assert live.feed.receive_audit_snapshot(snapshot(102)) == []
    assert live.feed.audits == 0


def test_a_recording_is_not_audited() -> None:
    live = Live()
    asked = [effect for _ in range(5) for effect in live.change(source="replay")]
    assert not any(isinstance(effect, AuditBook) for effect in asked)


def around(price: int) -> tuple[list[list[str]], list[list[str]]]:
    return ladder(price, -1, SNAPSHOT_LEVELS), ladder(price + 1, 1, SNAPSHOT_LEVELS)


def sell_off(best: int, to: int) -> dict[str, Any]:
    """The bids from `best` down to `to` are gone."""
    return {"bids": [[str(price), "0"] for price in range(best, to, -1)]}


def test_a_book_whose_prices_come_near_the_end_of_its_range_takes_a_fresh_one_before() -> None:
    live = Live(*around(5_000), uniform=0.9)
    assert AuditBook("BTCUSDC") not in live.change()
    assert AuditBook("BTCUSDC") in live.change(**sell_off(5_000, 4_200))
    live.change()
    bids, asks = ladder(4_200, -1, SNAPSHOT_LEVELS), ladder(5_001, 1, SNAPSHOT_LEVELS)
    live.feed.receive_audit_snapshot(snapshot(live.update_id - 1, bids, asks))
    live.change()
    assert (live.feed.audits, live.feed.drift_levels) == (1, 0)
    live.change(**sell_off(4_200, 3_500))
    assert live.feed.synced


def test_a_book_whose_prices_leave_its_range_says_so() -> None:
    live = Live(*around(5_000))
    effects = live.change(**sell_off(5_000, 4_010))
    assert unsynced(effects) == ["prices have left the range that the snapshot covered"]
    assert not live.feed.synced
