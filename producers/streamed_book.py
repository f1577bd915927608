"""A book whose snapshot and changes both come over the stream, with the exchange's own proof of it.

Kraken sends a checksum of the best levels with every message (COINBASE_KRAKEN.md §4.4), which the book
computes too. Coinbase counts the messages of a connection (§2.2), which the connection's parser follows: it
says `BooksBroken`, and the shell calls `distrust` on every book of that connection. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from producers.book_side import BookSide
from producers.exchanges.stream_events import BookUpdate
from producers.exchanges.values import scaled
from producers.order_book import Apply, BookTop, Resync, Synced, sendable
from shared.messages import DepthMessage, Levels

# Coinbase's largest snapshot seen has 43,635 levels a side.
MOST_LEVELS: Final = 200_000
# The longest levels (82 characters and 8 of JSON) of a change make 450 kB, which Kafka takes.
_MOST_CHANGED: Final = 5_000
# After so many changes a book counts as stable, and the delays between subscriptions start again.
_STABLE_AFTER: Final = 100
_MAX_DELAY_S: Final = 20.0
_NO_SNAPSHOT: Final = "no snapshot yet"
# An update id is below 2^53; microseconds reach that in 2255.
_LATEST_ID: Final = 2**53 - 1

Checksum = Callable[[Levels, Levels], int]
"""The exchange's checksum of a book, of which it gets the best ten bids and asks, best first."""

CHECKED_LEVELS: Final = 10


class Resubscribe(NamedTuple):
    """This book alone is to be subscribed again, `delay_s` seconds from now; the stream then brings a new
    snapshot. At most one is wanted at a time.
    """

    reason: str
    delay_s: float


StreamedEffect = Apply | Synced | Resync | Resubscribe


class StreamedBook:
    """Gives nothing of the book unless it is proven to be whole.

    A checksum proves the best ten levels of each side, whatever the depth: only a book of that depth is
    proven to its end. Of a deeper one a lost change is noticed once it comes among the ten.

    Args:
        depth: levels a side that the exchange keeps for this subscription: better prices push others out
            without a message; None if it sends the whole book.
        checksum: the exchange's, which every change must then carry; None if a counter is its proof.

    Attributes:
        cause: why the book is not exact; None while it is.
        update_id: of the newest change. Ids are the exchange's times in microseconds, made to rise, so that
            they are contiguous in `market.depth`, and rise over restarts.
    """

    def __init__(self, *, depth: int | None = None, checksum: Checksum | None = None) -> None:
        self._depth = depth
        self._checksum = checksum
        self._bids, self._asks = BookSide(1), BookSide(-1)
        self.cause: str | None = _NO_SNAPSHOT
        self.update_id = 0
        self._unproved: DepthMessage | None = None  # a snapshot that came without a checksum
        self._filled = False
        self._asking = True  # the first subscription is under way
        self._failures = 0
        self._applied = 0

    @property
    def synced(self) -> bool:
        return self.cause is None

    @property
    def known_range(self) -> tuple[float, float]:
        """Lowest and highest price between which every level is known."""
        cut_bids, cut_asks = (
            self._depth is not None and len(side) >= self._depth for side in (self._bids, self._asks)
        )
        return self._bids.worst if cut_bids else 0.0, self._asks.worst if cut_asks else float("inf")

    @property
    def best(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Best bid and ask, each (price, quantity); None while the book is not exact or a side is empty."""
        top = self.top(1)
        if top is None or not top.bids or not top.asks:
            return None
        (bid,), (ask,) = top.bids, top.asks
        return (float(bid[0]), float(bid[1])), (float(ask[0]), float(ask[1]))

    def best_levels(self) -> tuple[list[str] | None, list[str] | None] | None:
        """The best bid and the best ask, None for an empty side; None while the book is not exact."""
        return (self._bids.best_level, self._asks.best_level) if self.cause is None else None

    def top(self, levels: int) -> BookTop | None:
        """The best levels, or None while the book is not exact."""
        if not self.synced:
            return None
        return BookTop(self.update_id, self._bids.best(levels), self._asks.best(levels))

    def full(self) -> BookTop | None:
        """All levels that Kafka takes in one message, the nearest of each side; None while not exact."""
        if not self.synced:
            return None
        return BookTop(self.update_id, sendable(self._bids.all()), sendable(self._asks.all()))

    def level_counts(self) -> tuple[int, int]:
        """Bids and asks that are known, exact or not."""
        return len(self._bids), len(self._asks)

    def agrees_with(self, other: StreamedBook, levels: int = CHECKED_LEVELS) -> bool:
        """Whether both are exact and have the same best levels: one connection may replace the other."""
        ours, theirs = self.top(levels), other.top(levels)
        if ours is None or theirs is None:
            return False
        return _numbers(ours.bids) == _numbers(theirs.bids) and _numbers(ours.asks) == _numbers(theirs.asks)

    @property
    def awaits_snapshot(self) -> bool:
        """A subscription is under way whose snapshot has not come."""
        return self._asking

    def rise_above(self, update_id: int) -> None:
        """Go on after the ids of another book of the same symbol."""
        self.update_id = max(self.update_id, update_id)

    def receive(self, update: BookUpdate) -> list[StreamedEffect]:
        """Take a snapshot or a change of the stream; changes before a snapshot say nothing."""
        if update.message["kind"] == "snapshot":
            return self._load(update)
        return self._change(update) if self._filled else []

    def lose(self, reason: str) -> list[StreamedEffect]:
        """The connection has ended; the next one brings a snapshot by itself."""
        effects = self._clear(reason, self.update_id)
        self._asking = True
        return effects

    def distrust(self, reason: str) -> list[StreamedEffect]:
        """Something of the stream was lost: a new snapshot is wanted, also if one was already under way."""
        effects = self._clear(reason, self.update_id)
        if self._asking:
            self._failures += 1
        self._asking = False
        return [*effects, *self._ask(reason)]

    def subscription_failed(self, reason: str) -> list[StreamedEffect]:
        """The exchange did not accept the new subscription: ask again, with growing delays.

        It has ended the former one, whose snapshot may have come meanwhile: no change follows on it.
        """
        effects = self._clear(reason, self.update_id)
        self._asking = False
        self._failures += 1
        return [*effects, *self._ask(reason)]

    def _load(self, update: BookUpdate) -> list[StreamedEffect]:
        self._asking = False
        last_good_id = self.update_id
        self._bids.replace(update.message["bids"])
        self._asks.replace(update.message["asks"])
        self._truncate()
        self.update_id = self._id_of(update)
        self._filled, self._applied = True, 0
        fault = self._fault(update)
        if fault is not None:
            return self._break(fault, last_good_id)
        snapshot = self._snapshot(update)
        if self._checksum is not None and update.checksum is None:
            effects = self._unsync("the snapshot awaits its first checksum", last_good_id)
            self._unproved = snapshot
            return effects
        self.cause, self._unproved = None, None
        return [Synced(snapshot)]

    def _change(self, update: BookUpdate) -> list[StreamedEffect]:
        message = update.message
        last_good_id = self.update_id
        self._bids.write(message["bids"])
        self._asks.write(message["asks"])
        dropped_bids, dropped_asks = self._truncate()
        self.update_id = self._id_of(update)
        fault = self._fault(update)
        if fault is None and self._checksum is not None and update.checksum is None:
            fault = "a change without a checksum"
        if fault is not None:
            return self._break(fault, last_good_id)
        effects: list[StreamedEffect] = []
        if self._unproved is not None:
            effects.append(Synced(self._unproved))
            self.cause, self._unproved = None, None
        self._applied += 1
        if self._applied == _STABLE_AFTER:
            self._failures = 0
        if len(message["bids"]) + len(message["asks"]) > _MOST_CHANGED:
            return [*effects, Synced(self._snapshot(update))]
        diff: DepthMessage = {
            **message,
            "first_update_id": last_good_id + 1,
            "final_update_id": self.update_id,
            "bids": message["bids"] + dropped_bids,
            "asks": message["asks"] + dropped_asks,
        }
        return [*effects, Apply(diff)]

    def _truncate(self) -> tuple[Levels, Levels]:
        if self._depth is None:
            return [], []
        return self._bids.truncate(self._depth), self._asks.truncate(self._depth)

    def _id_of(self, update: BookUpdate) -> int:
        return max(self.update_id + 1, min(update.event_us, _LATEST_ID))

    def _fault(self, update: BookUpdate) -> str | None:
        """What is wrong with the book, by the exchange's proof and by its own sense; None if nothing is."""
        if self._checksum is not None and update.checksum is not None:
            ours = self._checksum(self._bids.best(CHECKED_LEVELS), self._asks.best(CHECKED_LEVELS))
            if ours != update.checksum:
                return f"checksum {ours} of the book is not the exchange's {update.checksum}"
        bid, ask = self._bids.best_key, self._asks.best_key
        if bid is not None and ask is not None and bid + ask >= 0:
            return f"crossed: bid {self._bids.best(1)[0][0]} is not below ask {self._asks.best(1)[0][0]}"
        if len(self._bids) > MOST_LEVELS or len(self._asks) > MOST_LEVELS:
            return f"more than {MOST_LEVELS:,} levels on one side"
        return None

    def _snapshot(self, update: BookUpdate) -> DepthMessage:
        return {
            **update.message,
            "kind": "snapshot",
            "first_update_id": self.update_id,
            "final_update_id": self.update_id,
            "bids": sendable(self._bids.all()),
            "asks": sendable(self._asks.all()),
        }

    def _break(self, reason: str, last_good_id: int) -> list[StreamedEffect]:
        offending_id = self.update_id
        effects = self._clear(reason, last_good_id, offending_id)
        self._failures += 1
        return [*effects, *self._ask(reason)]

    def _ask(self, reason: str) -> list[StreamedEffect]:
        if self._asking:
            return []
        self._asking = True
        delay_s = min(_MAX_DELAY_S, 2.0 ** min(self._failures - 1, 10)) if self._failures else 0.0
        return [Resubscribe(reason, delay_s)]

    def _clear(self, reason: str, last_good_id: int, offending_id: int | None = None) -> list[StreamedEffect]:
        effects = self._unsync(reason, last_good_id, offending_id)
        self._bids.replace([])
        self._asks.replace([])
        self._filled, self._unproved = False, None
        return effects

    def _unsync(
        self, reason: str, last_good_id: int, offending_id: int | None = None
    ) -> list[StreamedEffect]:
        was_synced, self.cause = self.synced, reason
        if not was_synced:
            return []
        return [Resync(reason, last_good_id, last_good_id if offending_id is None else offending_id)]


def _numbers(levels: Levels) -> list[tuple[int, int]]:
    return [(scaled(price), scaled(quantity)) for price, quantity in levels]
