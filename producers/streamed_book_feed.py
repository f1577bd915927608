"""The order book of an exchange whose streams bring the snapshot too: one book a connection, one published.

While a connection takes over from another (`producers.rollover`), both bring the whole book. At a moment at
which they agree the newer one takes over, and there is no outage. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from producers.book_messages import BookMessages
from producers.effects import Effect, Publish, Resubscribe
from producers.exchanges.port import BookPromise, QuotesPromise
from producers.exchanges.stream_events import BookUpdate
from producers.order_book import Resync, Synced
from producers.streamed_book import Resubscribe as Wanted
from producers.streamed_book import StreamedBook, StreamedEffect
from shared.messages import DepthMessage, QuoteMessage
from shared.models import SCHEMA_VERSION
from shared.topics import QUOTES

# A snapshot comes within a second of its subscription.
SNAPSHOT_AFTER_S: Final = 10.0


class _OfConnection:
    """The book of one connection, its newest message, and since when it waits for a snapshot."""

    def __init__(self, promise: BookPromise) -> None:
        self.book = StreamedBook(depth=promise.depth, checksum=promise.checksum)
        self.newest: DepthMessage | None = None
        self.waits_since_s: float | None = None


class StreamedBookFeed(BookMessages):
    """Keeps a book for each connection, and publishes that of the one which is followed.

    Args:
        book_interval_ms: see `BookMessages`.
        promise: how deep the exchange's books are, and their checksum.
        quotes: whether the best prices of the book are published as the exchange's quotes.
    """

    def __init__(
        self, symbol: str, book_interval_ms: int, promise: BookPromise, quotes: QuotesPromise | None = None
    ) -> None:
        self._promise = promise
        self._gives_quotes = quotes is not None and quotes.source == "book"
        self._quoted: tuple[Any, ...] | None = None  # the best levels last published as a quote
        self._followed = _OfConnection(promise)
        super().__init__(symbol, book_interval_ms, self._followed.book)
        self._connection: object = None  # that of `_followed`
        self._retired: object = None  # the one before, while both are read
        # Other connections that are read, in the order of their first message.
        self._others: dict[object, _OfConnection] = {}

    def receive(self, update: BookUpdate, connection: object) -> list[Effect]:
        """Take a snapshot or a change that a connection has brought."""
        if connection is not self._connection:
            return self._receive_other(update, connection)
        book = self._followed.book
        book_effects = book.receive(update)
        self._followed.newest = update.message
        if any(type(effect) is Synced for effect in book_effects):
            self._newest = update.message  # whose times the book has now
        effects = self._begun(update.message, book.update_id) if self._lost_ids is None else []
        effects += self._effects(book_effects, update.message)
        if self._gives_quotes:
            effects += self._quote(update.message)
        return effects + self._changed() if self._others else effects

    def _quote(self, newest: DepthMessage) -> list[Effect]:
        """The best prices, if they have changed; none while the book is not exact."""
        levels = self._followed.book.best_levels()
        if levels is None:
            return []
        (bid, bid_quantity), (ask, ask_quantity) = levels[0] or (None, None), levels[1] or (None, None)
        best = bid, bid_quantity, ask, ask_quantity
        if best == self._quoted:
            return []
        self._quoted = best
        quote: QuoteMessage = {
            "schema": SCHEMA_VERSION,
            "exchange": newest["exchange"],
            "symbol": self._symbol,
            "event_time_ms": newest["event_time_ms"],
            "received_time_ms": newest["received_time_ms"],
            "source": newest["source"],
            "update_id": self._followed.book.update_id,
            "bid_price": bid,
            "bid_quantity": bid_quantity,
            "ask_price": ask,
            "ask_quantity": ask_quantity,
        }
        return [Publish(QUOTES, quote)]

    def _receive_other(self, update: BookUpdate, connection: object) -> list[Effect]:
        if connection is self._retired:
            return []
        other = self._other(connection)
        other.newest = update.message
        return [*self._wanted(other.book.receive(update), connection), *self._changed()]

    def _changed(self) -> list[Effect]:
        """Follow a newer connection as soon as its book is the same as ours."""
        for connection, other in self._others.items():
            if other.book.agrees_with(self._followed.book):
                return self.follow(connection)
        return []

    def follow(self, connection: object) -> list[Effect]:
        """Publish the book of this connection from now on."""
        if connection is self._connection:
            return []
        before, self._followed = self._followed, self._others.pop(connection, _OfConnection(self._promise))
        self._retired, self._connection = self._connection, connection
        self._others.clear()
        book, newest = self._followed.book, self._followed.newest
        agreed, was_synced = book.agrees_with(before.book), before.book.synced
        # Where they agree a diff follows on the id that the former book had; else an id would name two books.
        book.rise_above(before.book.update_id + (0 if agreed else 1))
        self._local = book
        if agreed and newest is not None:
            self._newest = newest
            return self._own_snapshot(newest)
        effects: list[Effect] = []
        if was_synced:
            update_id = before.book.update_id
            effects = self._lost(Resync("the next connection's book differs", update_id, update_id), newest)
        full = book.full()
        if newest is None or full is None:
            return effects
        snapshot: DepthMessage = {
            **newest,
            "kind": "snapshot",
            "first_update_id": full.update_id,
            "final_update_id": full.update_id,
            "bids": full.bids,
            "asks": full.asks,
        }
        self._newest = newest
        begun = self._begun(newest, full.update_id) if self._lost_ids is None else []
        return [*effects, *begun, *self._effects([Synced(snapshot)], newest)]

    def distrust(self, reason: str, connection: object) -> list[Effect]:
        """Something that this connection brought is lost, or cannot be read."""
        if connection is self._connection:
            return self._effects(self._followed.book.distrust(reason), None)
        return self._wanted(self._other(connection).book.distrust(reason), connection)

    def refused(self, reason: str, connection: object) -> list[Effect]:
        """The exchange did not accept the subscription on this connection."""
        if connection is self._connection:
            return self._effects(self._followed.book.subscription_failed(reason), None)
        return self._wanted(self._other(connection).book.subscription_failed(reason), connection)

    def awaits_snapshot(self, connection: object) -> bool:
        """Whether a snapshot that was asked for on this connection has not come yet."""
        each = self._followed if connection is self._connection else self._others.get(connection)
        return each is not None and each.book.awaits_snapshot

    def ended(self, connection: object) -> list[Effect]:
        """One of two connections has ended: the book of the other one is published."""
        self._others.pop(connection, None)
        if connection is not self._connection:
            if connection is self._retired:
                self._retired = None
            return []
        remaining = next(iter(self._others), self._retired)
        if remaining is None:
            return []
        effects = self.follow(remaining)
        self._retired = None
        if not self._followed.book.synced:
            # Its changes were not followed since the other one took over.
            effects += self.distrust("the connection that had taken over has ended", remaining)
        return effects

    def lose(self, reason: str) -> list[Effect]:
        """All connections have ended."""
        self._others.clear()
        self._connection = self._retired = None
        return self._effects(self._followed.book.lose(reason), None)

    def tick(self, now_s: float) -> list[Effect]:
        """Ask again for snapshots that do not come; call it about once a second, while connected."""
        effects: list[Effect] = []
        for connection, each in ((self._connection, self._followed), *self._others.items()):
            if connection is None or not each.book.awaits_snapshot:
                each.waits_since_s = None
            elif each.waits_since_s is None:
                each.waits_since_s = now_s
            elif now_s - each.waits_since_s >= SNAPSHOT_AFTER_S:
                each.waits_since_s = now_s
                effects += self.distrust(f"no snapshot came for {SNAPSHOT_AFTER_S:.0f} s", connection)
        return effects

    def _other(self, connection: object) -> _OfConnection:
        return self._others.setdefault(connection, _OfConnection(self._promise))

    def _wanted(self, effects: list[StreamedEffect], connection: object) -> list[Effect]:
        return [
            Resubscribe(self._symbol, connection, effect.delay_s)
            for effect in effects
            if isinstance(effect, Wanted)
        ]

    def _asked(self, effect: Any) -> list[Effect]:
        return self._wanted([effect], self._connection)
