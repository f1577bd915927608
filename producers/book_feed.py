"""The order book of an exchange that numbers its updates: in step by ids and by snapshots of REST. Pure."""

from __future__ import annotations

from collections.abc import Callable

from producers.book_audit import MEAN_INTERVAL_MS, BookAudit, differing_levels
from producers.book_messages import BOOK_LEVELS, BookMessages
from producers.effects import AuditBook, Effect, FetchSnapshot
from producers.order_book import BookSync, BookTop, NeedSnapshot
from shared.messages import DepthMessage


class BookFeed(BookMessages):
    """Keeps the book in step by update ids, and compares it with fresh snapshots.

    Args:
        book_interval_ms: see `BookMessages`.
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
        self._sync = BookSync()
        super().__init__(symbol, book_interval_ms, self._sync)
        self._audit = BookAudit(random, audit_interval_ms)
        self.audits = self.drift_levels = 0

    def is_next(self, first_update_id: int) -> bool:
        """Whether a diff that begins with this update id follows on the exact book without a hole."""
        return self._sync.synced and first_update_id == self._sync.update_id + 1

    def receive(self, diff: DepthMessage) -> list[Effect]:
        """Take a diff of the stream."""
        effects = self._begun(diff, diff["first_update_id"]) if self._lost_ids is None else []
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

    def _asked(self, effect: NeedSnapshot) -> list[Effect]:
        return [FetchSnapshot(self._symbol, effect.delay_s)]

    def _doubted(self, newest: DepthMessage, top: BookTop) -> list[Effect] | None:
        # A recording has no later snapshot: its book continues from the first one.
        if newest["source"] == "replay":
            return None
        if not self._sync.knows(top, BOOK_LEVELS):
            return self.lose("prices have left the range that the snapshot covered")
        if self._audit.due(newest["received_time_ms"], urgent=self._sync.near_edge):
            self._audit.begin(newest["received_time_ms"])
        return None

    def _outage(self) -> None:
        self._audit.give_up()
