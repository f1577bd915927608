"""The local order book's messages: diffs, snapshots, the top at a steady pace, and its outages. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from producers.book_audit import MEAN_INTERVAL_MS, BookAudit, differing_levels
from producers.effects import AuditBook, Effect, FetchSnapshot, LedgerEvent, Publish
from producers.order_book import Apply, BookEffect, BookSync, NeedSnapshot, Resync, Synced
from shared.messages import BookMessage, DepthMessage
from shared.models import SCHEMA_VERSION
from shared.topics import BOOK, DEPTH

BOOK_LEVELS: Final = 20
# A full snapshot of our own book each hour lets a reader of `market.depth` start in the middle (DESIGN §4.1).
SNAPSHOT_INTERVAL_MS: Final = 3_600_000
# A step back of the host's clock: more than messages are ever received out of order.
SET_BACK_MS: Final = 5_000


def _is_due(now_ms: int, last_ms: int, interval_ms: int) -> bool:
    """Whether the interval is over, or the clock was set back: it must not last until the old time."""
    return now_ms - last_ms >= interval_ms or last_ms - now_ms > SET_BACK_MS


class BookFeed:
    """Turns the synchroniser's effects into messages. All windows run in message time (DESIGN §4.2).

    Args:
        book_interval_ms: least time between two messages on `market.book`.
        random, audit_interval_ms: see `BookAudit`.

    Attributes:
        audits: how often the book was compared with a fresh snapshot.
        drift_levels: levels that differed the last time.
    """

    def __init__(
        self,
        symbol: str,
        book_interval_ms: int,
        random: Callable[[], float],
        audit_interval_ms: int = MEAN_INTERVAL_MS,
    ) -> None:
        self._symbol = symbol
        self._book_interval_ms = book_interval_ms
        self._sync = BookSync()
        self._newest: DepthMessage | None = None  # newest diff applied
        self._book_ms = 0  # message time of the last `market.book`
        self._snapshot_ms = 0
        # Since when, and from which update ids on, the book is not exact; no ids before the first diff.
        self._lost_ms: int | None = None
        self._lost_ids: tuple[int, int] | None = None
        self._audit = BookAudit(random, audit_interval_ms)
        self.audits = self.drift_levels = 0

    @property
    def synced(self) -> bool:
        return self._sync.synced

    @property
    def best(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Best bid and ask, each (price, quantity); None while the book is not exact or a side is empty."""
        return self._sync.best

    def receive(self, diff: DepthMessage) -> list[Effect]:
        """Take a diff of the stream."""
        effects = self._begun(diff) if self._lost_ids is None else []
        effects += self._effects(self._sync.receive(diff), diff)
        if self._audit.receive(diff):
            effects.append(AuditBook(self._symbol))
        return effects + self._audited()

    def receive_snapshot(self, snapshot: DepthMessage | None) -> list[Effect]:
        """Take a snapshot of REST; None without one."""
        if snapshot is None:
            return self._effects(self._sync.snapshot_failed(), None)
        return self._effects(self._sync.receive_snapshot(snapshot), None)

    def receive_audit_snapshot(self, snapshot: DepthMessage | None) -> list[Effect]:
        """Take the answer to `AuditBook`; None without one."""
        self._audit.receive_snapshot(snapshot)
        return self._audited()

    def lose(self, reason: str) -> list[Effect]:
        """The stream broke, or the book is wrong."""
        self._audit.give_up()
        return self._effects(self._sync.lose(reason), None)

    def _begun(self, diff: DepthMessage) -> list[Effect]:
        """The book is unknown before the first diff: a span that a stop left open continues here."""
        first = diff["first_update_id"]
        self._lost_ms, self._lost_ids = diff["received_time_ms"], (first, first)
        return [LedgerEvent("unsynced", first, first, diff["event_time_ms"], "the producer has started")]

    def _audited(self) -> list[Effect]:
        """Compare, as soon as the fresh book has our update id."""
        fresh = self._audit.ready(self._sync) if self._sync.synced else None
        if fresh is None or self._newest is None:
            return []
        self.audits += 1
        self.drift_levels = differing_levels(self._sync, fresh)
        if self.drift_levels:
            return self.lose(f"{self.drift_levels} levels differ from a fresh snapshot")
        # The fresh book knows the prices around the present ones: it replaces ours.
        self._sync.adopt(fresh)
        return self._own_snapshot(self._newest)

    def _effects(self, book_effects: list[BookEffect], diff: DepthMessage | None) -> list[Effect]:
        effects: list[Effect] = []
        for effect in book_effects:
            match effect:
                case Apply(applied):
                    effects.append(Publish(DEPTH, applied))
                    self._newest = applied
                case Synced(snapshot):
                    effects.append(Publish(DEPTH, snapshot))
                    effects += self._synced_again(diff or snapshot)
                case Resync():
                    self._audit.give_up()
                    effects += self._lost(effect, diff)
                case NeedSnapshot(delay_s):
                    effects.append(FetchSnapshot(self._symbol, delay_s))
        if self._sync.synced and self._newest is not None:
            effects += self._due(self._newest)
        return effects

    def _due(self, newest: DepthMessage) -> list[Effect]:
        now_ms = newest["received_time_ms"]
        effects: list[Effect] = []
        if _is_due(now_ms, self._book_ms, self._book_interval_ms):
            self._book_ms = now_ms
            top = self._sync.top(BOOK_LEVELS)
            if top is None:
                return []
            # A recording has no later snapshot: its book continues from the first one.
            if newest["source"] != "replay":
                if not self._sync.knows(top, BOOK_LEVELS):
                    return self.lose("prices have left the range that the snapshot covered")
                if self._audit.due(now_ms, urgent=self._sync.near_edge):
                    self._audit.begin(now_ms)
            effects.append(Publish(BOOK, self._book(newest, top.bids, top.asks, synced=True)))
        if _is_due(now_ms, self._snapshot_ms, SNAPSHOT_INTERVAL_MS):
            effects += self._own_snapshot(newest)
        return effects

    def _own_snapshot(self, newest: DepthMessage) -> list[Effect]:
        full = self._sync.full()
        if full is None:
            return []
        self._snapshot_ms = newest["received_time_ms"]
        own: DepthMessage = {
            **newest,
            "kind": "snapshot",
            "first_update_id": full.update_id,
            "final_update_id": full.update_id,
            "bids": full.bids,
            "asks": full.asks,
        }
        return [Publish(DEPTH, own)]

    def _book(
        self, newest: DepthMessage, bids: list[list[str]], asks: list[list[str]], *, synced: bool
    ) -> BookMessage:
        return {
            "schema": SCHEMA_VERSION,
            "exchange": newest["exchange"],
            "symbol": self._symbol,
            "event_time_ms": newest["event_time_ms"],
            "received_time_ms": newest["received_time_ms"],
            "source": newest["source"],
            "update_id": self._sync.update_id,
            "bids": bids,
            "asks": asks,
            "synced": synced,
            "age_ms": 0,
        }

    def _synced_again(self, cause: DepthMessage) -> list[Effect]:
        # The exchange's own snapshot has just been published; ours is due an hour later.
        self._snapshot_ms = cause["received_time_ms"]
        self._book_ms = 0
        lost_ms, self._lost_ms = self._lost_ms, None
        if lost_ms is None or self._lost_ids is None:
            return []
        after_ms = max(0, cause["received_time_ms"] - lost_ms)
        detail = f"synced again after {after_ms} ms"
        return [LedgerEvent("unsynced", *self._lost_ids, cause["event_time_ms"], detail)]

    def _lost(self, resync: Resync, diff: DepthMessage | None) -> list[Effect]:
        newest = self._newest
        if newest is None:
            return []
        last_event_ms = newest["event_time_ms"] or 0
        event_ms = (diff or newest)["event_time_ms"] or 0
        unsynced = self._book(diff or newest, [], [], synced=False)
        # Not the time of a point already written: that point's other fields would remain in this one.
        unsynced["event_time_ms"] = max(event_ms, last_event_ms + 1)
        unsynced["update_id"] = resync.last_good_id
        unsynced["age_ms"] = max(0, unsynced["received_time_ms"] - newest["received_time_ms"])
        self._lost_ms = unsynced["received_time_ms"]
        # If update ids begin anew, the offending one is the lower.
        ids = (resync.last_good_id, resync.offending_id)
        self._lost_ids = (min(ids), max(ids))
        return [
            Publish(BOOK, unsynced),
            LedgerEvent("unsynced", *self._lost_ids, unsynced["event_time_ms"], resync.reason),
        ]
