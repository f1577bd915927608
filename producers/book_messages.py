"""What a local order book publishes: changes, snapshots, the top at a steady pace, its outages. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Final, Protocol

from producers.effects import Effect, LedgerEvent, Publish
from producers.order_book import Apply, BookTop, Resync, Synced
from shared.messages import SYNCED_AGAIN, BookMessage, DepthMessage
from shared.models import SCHEMA_VERSION
from shared.topics import BOOK, DEPTH

BOOK_LEVELS: Final = 20
# A full snapshot of our own book each hour lets a reader of `market.depth` start in the middle (DESIGN §4.1).
SNAPSHOT_INTERVAL_MS: Final = 3_600_000
# A step back of the host's clock: more than messages are ever received out of order.
SET_BACK_MS: Final = 5_000

Best = tuple[tuple[float, float], tuple[float, float]]


class LocalBook(Protocol):
    """A local book; everything but `update_id` is None while it is not exact."""

    @property
    def update_id(self) -> int: ...

    @property
    def synced(self) -> bool: ...

    @property
    def best(self) -> Best | None: ...

    def top(self, levels: int) -> BookTop | None: ...

    def full(self) -> BookTop | None: ...


def _is_due(now_ms: int, last_ms: int, interval_ms: int) -> bool:
    """Whether the interval is over, or the clock was set back: it must not last until the old time."""
    return now_ms - last_ms >= interval_ms or last_ms - now_ms > SET_BACK_MS


class BookMessages(ABC):
    """Turns the effects of a local book into messages. All windows run in message time (DESIGN §4.2).

    Subclasses keep the book in step, and give what else it asks for.

    Args:
        book_interval_ms: least time between two messages on `market.book`.
        book: the local book.
    """

    def __init__(self, symbol: str, book_interval_ms: int, book: LocalBook) -> None:
        self._symbol = symbol
        self._book_interval_ms = book_interval_ms
        self._local = book
        self._newest: DepthMessage | None = None  # newest diff applied
        self._book_ms = 0  # message time of the last `market.book`
        self._snapshot_ms = 0
        # Since when, and from which update ids on, the book is not exact; no ids before the first diff.
        self._lost_ms: int | None = None
        self._lost_ids: tuple[int, int] | None = None

    @property
    def synced(self) -> bool:
        return self._local.synced

    @property
    def best(self) -> Best | None:
        """Best bid and ask, each (price, quantity); None while the book is not exact or a side is empty."""
        return self._local.best

    @abstractmethod
    def _asked(self, effect: Any) -> list[Effect]:
        """What another effect of the book asks for."""

    # Not every book has such doubts, or anything to note of an outage.
    def _doubted(self, newest: DepthMessage, top: BookTop) -> list[Effect] | None:  # noqa: B027
        """Effects that take the place of a due top; None if it may be published."""

    def _outage(self) -> None:  # noqa: B027
        """The book is no longer exact."""

    def _begun(self, message: DepthMessage, first: int) -> list[Effect]:
        """The book is unknown before the first diff: a span that a stop left open continues here."""
        self._lost_ms, self._lost_ids = message["received_time_ms"], (first, first)
        return [LedgerEvent("unsynced", first, first, message["event_time_ms"], "the producer has started")]

    def _effects(self, book_effects: Iterable[Any], diff: DepthMessage | None) -> list[Effect]:
        effects: list[Effect] = []
        for effect in book_effects:
            # Nearly all are changes, and a class pattern takes half as long again as this.
            if type(effect) is Apply:
                self._newest = effect.diff
                effects.append(Publish(DEPTH, effect.diff))
                continue
            match effect:
                case Synced(snapshot):
                    effects.append(Publish(DEPTH, snapshot))
                    effects += self._synced_again(diff or snapshot)
                case Resync():
                    self._outage()
                    effects += self._lost(effect, diff)
                case _:
                    effects += self._asked(effect)
        if self._local.synced and self._newest is not None:
            effects += self._due(self._newest)
        return effects

    def _due(self, newest: DepthMessage) -> list[Effect]:
        now_ms = newest["received_time_ms"]
        effects: list[Effect] = []
        if _is_due(now_ms, self._book_ms, self._book_interval_ms):
            self._book_ms = now_ms
            top = self._local.top(BOOK_LEVELS)
            if top is None:
                return []
            instead = self._doubted(newest, top)
            if instead is not None:
                return instead
            effects.append(Publish(BOOK, self._book(newest, top.bids, top.asks, synced=True)))
        if _is_due(now_ms, self._snapshot_ms, SNAPSHOT_INTERVAL_MS):
            effects += self._own_snapshot(newest)
        return effects

    def _own_snapshot(self, newest: DepthMessage) -> list[Effect]:
        full = self._local.full()
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
            "update_id": self._local.update_id,
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
        detail = f"{SYNCED_AGAIN} after {after_ms} ms"
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
