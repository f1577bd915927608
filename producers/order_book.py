"""The local order book of one instrument, kept in step with the exchange's diffs.

Source of the rules: BINANCE_SPOT.md §6.1, in the strict reading of §6.2.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping
from operator import itemgetter
from typing import Final, NamedTuple

from producers.exchanges.rest_port import SNAPSHOT_LEVELS
from producers.gaps import Continuity, continuity
from shared.messages import DepthMessage, Levels

# 100 s of diffs at 100 ms: far longer than a snapshot takes; older ones make the snapshot too old instead.
BUFFERED_DIFFS: Final = 1_000
# A side of 10,000 levels is 350 kB as JSON, so that a full snapshot stays below Kafka's 1 MB a message.
MAX_LEVELS: Final = 10_000
KNOWN_PRICES: Final = 1 << 14
# Prices longer than an exchange's could make a side of 900 kB; both sides must fit into a message.
_FULL_CHARACTERS: Final = 400_000
# Levels of all buffered diffs: about 40 MB. The oldest go first, as with the number of diffs.
BUFFERED_LEVELS: Final = 150_000
# After so many diffs that an earlier snapshot claims to contain, it is of another numbering: REST is never
# 30 s ahead of the stream. A recording may have its only snapshot late.
_STALE_DIFFS: Final = 300
# After so many applied diffs (10 s) a book counts as stable, and the backoff of snapshots starts again.
_STABLE_AFTER: Final = 100
# The book is exact within a minute of the last bad diff or snapshot: 30 s of stale diffs, and this backoff.
_MAX_DELAY_S: Final = 20.0


class Apply(NamedTuple):
    """The diff is part of the book now."""

    diff: DepthMessage


class Synced(NamedTuple):
    """The book is exact from here on; it began with this snapshot."""

    snapshot: DepthMessage


class Resync(NamedTuple):
    """The book is thrown away.

    Attributes:
        last_good_id: update id up to which it was right.
        offending_id: first update id of the diff that broke it; `last_good_id` where no diff did.
    """

    reason: str
    last_good_id: int
    offending_id: int


class NeedSnapshot(NamedTuple):
    """A REST snapshot is wanted `delay_s` seconds from now; at most one is requested at a time."""

    delay_s: float


class BookTop(NamedTuple):
    """Best levels of both sides, best first, as the exchange's own strings."""

    update_id: int
    bids: Levels
    asks: Levels


BookEffect = Apply | Synced | Resync | NeedSnapshot


class BookSync:
    """Combines snapshot and diffs; gives nothing of the book while it is not exact.

    A level beyond the last price of the snapshot is unknown until a diff names it (BINANCE_SPOT.md §6.4), so
    the book is exact only inside the snapshot's price range.
    """

    def __init__(self) -> None:
        self._bids: dict[float, list[str]] = {}
        self._asks: dict[float, list[str]] = {}
        self._best_bid = 0.0
        self._best_ask = float("inf")
        self._lowest, self._highest = 0.0, float("inf")  # all levels between are known
        self._near_edge = (0.0, float("inf"))  # best prices beyond these are near the end of that range
        self._id = 0
        self._event_ms = 0  # event time of the newest diff applied
        self._stale = 0  # diffs received after the snapshot that it contains
        self._snapshot: DepthMessage | None = None  # loaded, but no diff has followed on it yet
        self._synced = False
        self._buffer: deque[DepthMessage] = deque(maxlen=BUFFERED_DIFFS)
        self._buffered_levels = 0
        self._asking = False
        self._failures = 0
        self._applied = 0

    @property
    def synced(self) -> bool:
        return self._synced

    @property
    def update_id(self) -> int:
        """Last update id that the book contains."""
        return self._id

    @property
    def known_range(self) -> tuple[float, float]:
        """Lowest and highest price between which every level is known."""
        return self._lowest, self._highest

    @property
    def near_edge(self) -> bool:
        """Best prices are near the end of the known range."""
        return self._best_bid < self._near_edge[0] or self._best_ask > self._near_edge[1]

    @property
    def sides(self) -> tuple[Mapping[float, list[str]], Mapping[float, list[str]]]:
        """Bids and asks by price; read only."""
        return self._bids, self._asks

    @property
    def best(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Best bid and ask, each (price, quantity); None while the book is not exact or a side is empty."""
        bid, ask = self._bids.get(self._best_bid), self._asks.get(self._best_ask)
        if not self._synced or bid is None or ask is None:
            return None
        return (self._best_bid, float(bid[1])), (self._best_ask, float(ask[1]))

    def top(self, levels: int) -> BookTop | None:
        """The best levels known, or None while the book is not exact; see `knows`."""
        if not self._synced:
            return None
        return BookTop(
            self._id,
            [self._bids[price] for price in heapq.nlargest(levels, self._bids)],
            [self._asks[price] for price in heapq.nsmallest(levels, self._asks)],
        )

    def knows(self, top: BookTop, levels: int) -> bool:
        """Whether the `levels` best of both sides lie in the known range, so that none can be left out."""
        bids_known = len(top.bids) == levels and float(top.bids[-1][0]) >= self._lowest
        asks_known = len(top.asks) == levels and float(top.asks[-1][0]) <= self._highest
        # A side that is known completely may have fewer levels.
        return (bids_known or not self._lowest) and (asks_known or self._highest == float("inf"))

    def full(self) -> BookTop | None:
        """All levels of the known range, best first, or None while the book is not exact.

        Of a side that Kafka would not take, the farthest levels are left out.
        """
        if not self._synced:
            return None
        bids = sorted((price for price in self._bids if price >= self._lowest), reverse=True)
        asks = sorted(price for price in self._asks if price <= self._highest)
        return BookTop(
            self._id,
            sendable([self._bids[price] for price in bids]),
            sendable([self._asks[price] for price in asks]),
        )

    def adopt(self, fresh: BookSync) -> None:
        """Take over the levels of a book of the same update id, whose known range is wider."""
        self._bids, self._asks = fresh._bids, fresh._asks
        self._best_bid, self._best_ask = fresh._best_bid, fresh._best_ask
        self._lowest, self._highest = fresh._lowest, fresh._highest
        self._near_edge = fresh._near_edge

    def receive(self, diff: DepthMessage) -> list[BookEffect]:
        """Take one diff of the stream, in the order of arrival."""
        if self._synced:
            if diff["first_update_id"] == self._id + 1:
                return self._apply(diff)
            return self._receive_out_of_step(diff)
        if self._snapshot is not None:
            return self._start(diff)
        if self._buffer and _begins_anew(
            diff, self._buffer[-1]["final_update_id"], _event_ms(self._buffer[-1])
        ):
            # No snapshot can connect the diffs of two numberings.
            self._buffer.clear()
        self._hold(diff)
        return self._ask()

    def _hold(self, diff: DepthMessage) -> None:
        """Keep a diff until there is a snapshot for it."""
        if not self._buffer:
            self._buffered_levels = 0
        elif len(self._buffer) == BUFFERED_DIFFS:
            self._buffered_levels -= _levels(self._buffer.popleft())
        self._buffer.append(diff)
        self._buffered_levels += _levels(diff)
        while self._buffered_levels > BUFFERED_LEVELS and len(self._buffer) > 1:
            self._buffered_levels -= _levels(self._buffer.popleft())

    def receive_snapshot(self, snapshot: DepthMessage) -> list[BookEffect]:
        """Take the answer to `NeedSnapshot`."""
        self._asking = False
        if self._synced or self._snapshot is not None:
            return []
        self._drop_contradicted()
        if self._buffer and _continuity(snapshot["final_update_id"], self._buffer[0]) is Continuity.GAP:
            self._failures += 1
            return self._ask()
        self._load(snapshot)
        effects: list[BookEffect] = []
        buffered, self._buffer = self._buffer, deque(maxlen=BUFFERED_DIFFS)
        self._stale = -len(buffered)
        for diff in buffered:
            effects += self.receive(diff)
        return effects

    def _drop_contradicted(self) -> None:
        """Drop diffs with higher ids than those of later events: wrong, and no snapshot would reach them."""
        newest = max(self._buffer, key=_event_ms, default=None)
        if newest is not None and any(_is_beyond(newest, diff) for diff in self._buffer):
            sound = [diff for diff in self._buffer if not _is_beyond(newest, diff)]
            self._buffer.clear()
            for diff in sound:
                self._hold(diff)

    def snapshot_failed(self) -> list[BookEffect]:
        """There was no snapshot: ask again, with growing delays."""
        self._asking = False
        self._failures += 1
        return self._ask()

    def lose(self, reason: str) -> list[BookEffect]:
        """Drop the book because the stream broke; the next diff begins a new synchronisation."""
        was_synced, last_good_id = self._synced, self._id
        self._clear()
        return [Resync(reason, last_good_id, last_good_id)] if was_synced else []

    def _ask(self) -> list[BookEffect]:
        if self._asking or self._synced or not self._buffer:
            return []
        self._asking = True
        return [
            NeedSnapshot(min(_MAX_DELAY_S, 2.0 ** min(self._failures - 1, 10)) if self._failures else 0.0)
        ]

    def _load(self, snapshot: DepthMessage) -> None:
        self._bids = {float(level[0]): level for level in snapshot["bids"]}
        self._asks = {float(level[0]): level for level in snapshot["asks"]}
        self._best_bid = max(self._bids, default=0.0)
        self._best_ask = min(self._asks, default=float("inf"))
        cut_bids, cut_asks = len(self._bids) >= SNAPSHOT_LEVELS, len(self._asks) >= SNAPSHOT_LEVELS
        self._lowest = min(self._bids) if cut_bids else 0.0
        self._highest = max(self._asks) if cut_asks else float("inf")
        # Three quarters of the way; an open end is never near.
        self._near_edge = (
            self._lowest + (self._best_bid - self._lowest) / 4 if cut_bids else 0.0,
            self._highest - (self._highest - self._best_ask) / 4 if cut_asks else float("inf"),
        )
        self._id = snapshot["final_update_id"]
        self._event_ms = 0
        self._snapshot = snapshot

    def _start(self, diff: DepthMessage) -> list[BookEffect]:
        """The first diff after a snapshot must contain the update that follows it."""
        where = _continuity(self._id, diff)
        if where is Continuity.DUPLICATE:
            self._stale += diff["source"] != "replay"
            if self._stale < _STALE_DIFFS:
                return []
            return self._resync(f"no diff follows on the snapshot's update id {self._id}", diff)
        if where is Continuity.GAP:
            return self._resync(f"update id {self._id + 1} is missing after the snapshot", diff)
        assert self._snapshot is not None
        synced, self._snapshot, self._synced, self._applied = Synced(self._snapshot), None, True, 0
        return [synced, *self._apply(diff)]

    def _receive_out_of_step(self, diff: DepthMessage) -> list[BookEffect]:
        match _continuity(self._id, diff):
            case Continuity.DUPLICATE if _begins_anew(diff, self._id, self._event_ms):
                return self._resync(
                    f"update ids begin anew: {diff['final_update_id']} comes after {self._id}", diff
                )
            case Continuity.DUPLICATE:
                return []  # stale: the book contains it
            case Continuity.CONTIGUOUS:
                # Quantities are absolute, so an overlap, as after a reconnect, is harmless.
                return self._apply(diff)
            case Continuity.GAP:
                return self._resync(f"update id {self._id + 1} is missing", diff)

    def _apply(self, diff: DepthMessage) -> list[BookEffect]:
        self._best_bid = _write(self._bids, diff["bids"], self._best_bid, highest=True)
        self._best_ask = _write(self._asks, diff["asks"], self._best_ask, highest=False)
        if len(self._bids) > MAX_LEVELS or len(self._asks) > MAX_LEVELS:
            self._drop_farthest()
        if self._best_bid >= self._best_ask:
            return self._resync(f"crossed: bid {self._best_bid} is not below ask {self._best_ask}", diff)
        self._id, self._event_ms = diff["final_update_id"], _event_ms(diff)
        self._applied += 1
        if self._applied == _STABLE_AFTER:
            self._failures = 0
        return [Apply(diff)]

    def _resync(self, reason: str, diff: DepthMessage) -> list[BookEffect]:
        was_synced, last_good_id, offending_id = self._synced, self._id, diff["first_update_id"]
        self._clear()
        self._failures += 1
        self._hold(diff)
        effects: list[BookEffect] = [Resync(reason, last_good_id, offending_id)] if was_synced else []
        return effects + self._ask()

    def _drop_farthest(self) -> None:
        """Keep each side within its bound; dropped prices are unknown from now on."""
        for price in heapq.nsmallest(len(self._bids) - MAX_LEVELS, self._bids):
            del self._bids[price]
            self._lowest = max(self._lowest, math.nextafter(price, math.inf))
        for price in heapq.nlargest(len(self._asks) - MAX_LEVELS, self._asks):
            del self._asks[price]
            self._highest = min(self._highest, math.nextafter(price, 0.0))

    def _clear(self) -> None:
        self._bids, self._asks = {}, {}
        self._best_bid, self._best_ask = 0.0, float("inf")
        self._snapshot, self._synced = None, False
        self._buffer.clear()


def _is_beyond(newest: DepthMessage, diff: DepthMessage) -> bool:
    return diff["final_update_id"] > newest["final_update_id"] and _event_ms(diff) < _event_ms(newest)


def _levels(diff: DepthMessage) -> int:
    return len(diff["bids"]) + len(diff["asks"])


def sendable(levels: Levels) -> Levels:
    """As many of the levels, from the first on, as fit into a message beside the other side."""
    characters = 0
    for number, (price, quantity) in enumerate(levels):
        characters += len(price) + len(quantity) + 8  # brackets, quotation marks, commas
        if characters > _FULL_CHARACTERS:
            return levels[:number]
    return levels


def _event_ms(diff: DepthMessage) -> int:
    return diff["event_time_ms"] or 0


def _begins_anew(diff: DepthMessage, update_id: int, event_ms: int) -> bool:
    """Whether its ids are of another numbering than `update_id`: lower, and yet of a later event."""
    return diff["final_update_id"] <= update_id and 0 < event_ms < _event_ms(diff)


def _continuity(update_id: int, diff: DepthMessage) -> Continuity:
    return continuity(update_id, diff["first_update_id"], diff["final_update_id"])


def _write(side: dict[float, list[str]], levels: Levels, best: float, *, highest: bool) -> float:
    """Write a diff's levels into one side; its best price afterwards."""
    if not levels:
        return best
    prices = list(map(_price, map(_first, levels)))
    side.update(zip(prices, levels, strict=True))
    # A quantity of zero removes a level; checked by its digits, which costs a fraction of `float`.
    for price in [price for price, (_, text) in zip(prices, levels, strict=True) if not text.strip("0.")]:
        # If a price occurs twice, the last one counts.
        if price in side and not side[price][1].strip("0."):
            del side[price]
    edge = max(prices) if highest else min(prices)
    if edge > best if highest else edge < best:
        added = [price for price in prices if price in side]
        best = max([best, *added]) if highest else min([best, *added])
    if best not in side:
        return max(side, default=0.0) if highest else min(side, default=math.inf)
    return best


class Prices(dict[str, float]):
    """Prices by their text: they recur, and parsing one costs three times as much as looking it up."""

    def __missing__(self, text: str) -> float:
        if len(self) >= KNOWN_PRICES:
            self.clear()
        price = self[text] = float(text)
        return price


_price: Final = Prices().__getitem__
_first: Final = itemgetter(0)
