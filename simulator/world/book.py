"""The order book as a pure function of the 100 ms slot.

Slot k covers the times k·100 … k·100 + 99 ms; the state after it is published at (k + 1)·100 and has the
update id (k + 1)·8 for every symbol. The distance to the touch decides which prices hold orders, a hash of
price and epoch their quantities. Trades of the following slot hit exactly this state's touch.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.world.halts import Halts
from simulator.world.hashing import Int64s, hash_array, hash_key, scaled
from simulator.world.instruments import Instrument
from simulator.world.price_path import MINUTE_MS, SLOT_MS, PricePath

UPDATE_IDS_PER_SLOT: Final = 8
_SLOTS_PER_MINUTE: Final = MINUTE_MS // SLOT_MS
_KEPT_STATES: Final = 64
# (multiples of so many ticks, up to so many ticks from the touch): all near prices, round ones farther out.
_REACH: Final = ((1, 60), (10, 2_000), (100, 20_000))

Level = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Side:
    """Levels of one side, best first: prices in ticks, quantities in lots."""

    prices: Int64s
    lots: Int64s

    def levels(self, limit: int | None = None) -> list[Level]:
        return list(zip(self.prices[:limit].tolist(), self.lots[:limit].tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class BookState:
    """All levels after a slot."""

    slot: int
    bids: Side
    asks: Side

    @property
    def update_id(self) -> int:
        return update_id(self.slot)


def slot_at(time_ms: int) -> int:
    """The last slot that is complete at a time."""
    return time_ms // SLOT_MS - 1


def published_ms(slot: int) -> int:
    return (slot + 1) * SLOT_MS


def update_id(slot: int) -> int:
    """The last update id of a slot."""
    return (slot + 1) * UPDATE_IDS_PER_SLOT


def update_ids_at(time_ms: int) -> tuple[int, int]:
    """First and last update id of the slot that is complete at a time."""
    last = update_id(slot_at(time_ms))
    return last - UPDATE_IDS_PER_SLOT + 1, last


def changes(old: Side, new: Side) -> dict[int, int]:
    """Absolute new quantities of the levels that differ, by price; 0 deletes."""
    was, now = _ascending(old), _ascending(new)
    # Positions of the old prices among the new ones.
    places = np.searchsorted(now.prices, was.prices)
    stays = now.prices.take(places, mode="clip") == was.prices
    differs = np.ones(len(now.prices), dtype=np.bool_)
    kept = places[stays]
    differs[kept] = now.lots[kept] != was.lots[stays]
    found = dict(zip(now.prices[differs].tolist(), now.lots[differs].tolist(), strict=True))
    return found | dict.fromkeys(was.prices[~stays].tolist(), 0)


def _ascending(side: Side) -> Side:
    falls = len(side.prices) > 1 and side.prices[0] > side.prices[1]
    return Side(side.prices[::-1], side.lots[::-1]) if falls else side


class OrderBook:
    """The book of one symbol at any time; unchanged in a halt."""

    def __init__(
        self, instrument: Instrument, seed: int, path: PricePath, halts: Halts | None = None
    ) -> None:
        self.halts = halts or Halts()
        self._path = path
        self._period = instrument.book_period_slots
        self._lots = instrument.typical_lots * 4
        # Prices stay positive, whatever the tick.
        widest = instrument.base_price_ticks // 4
        self._reach = tuple((step, min(reach, widest)) for step, reach in _REACH)
        self._level_key = hash_key(seed, instrument.symbol, "levels")
        self._quantity_key = hash_key(seed, instrument.symbol, "quantities")
        # (minute, best bids, best asks), replaced as a whole: two threads may ask.
        self._touches: tuple[int, list[int], list[int]] = (-1, [], [])
        self._kept: OrderedDict[int, BookState] = OrderedDict()

    def touch(self, slot: int) -> tuple[int, int]:
        """Best bid and ask, in ticks, after a slot."""
        index = slot + 1
        minute = index // _SLOTS_PER_MINUTE
        touches = self._touches
        if minute != touches[0]:
            times = np.arange(_SLOTS_PER_MINUTE, dtype=np.int64) * SLOT_MS + minute * MINUTE_MS
            bids = self._path.bid_ticks(times)
            asks = bids + self._path.spread_ticks(times)
            self._touches = touches = (minute, bids.tolist(), asks.tolist())
        position = index - minute * _SLOTS_PER_MINUTE
        return touches[1][position], touches[2][position]

    def top(self, slot: int) -> tuple[Level, Level]:
        """Best bid and ask after a slot, with their quantities: the first entries of `state`."""
        slot = self.halts.live_slot(slot)
        kept = self._kept.get(slot)
        if kept is not None:
            return kept.bids.levels(1)[0], kept.asks.levels(1)[0]
        bid, ask = self.touch(slot)
        lots = self._quantities(np.array((bid, ask), dtype=np.int64), slot)[0].tolist()
        return (bid, lots[0]), (ask, lots[1])

    def state(self, slot: int) -> BookState:
        """The whole book after a slot; the last few are kept."""
        slot = self.halts.live_slot(slot)
        kept = self._kept.get(slot)
        if kept is not None:
            return kept
        bid, ask = self.touch(slot)
        bids, asks = self._prices(bid, -1), self._prices(ask, 1)
        # Both sides at once: a numpy call costs more than some hundred levels.
        lots, occupied = self._quantities(np.concatenate((bids, asks)), slot)
        occupied[0] = occupied[len(bids)] = True  # never without the touch, which trades hit
        there, below = occupied[: len(bids)], lots[: len(bids)]
        beyond, above = occupied[len(bids) :], lots[len(bids) :]
        state = BookState(slot, Side(bids[there], below[there]), Side(asks[beyond], above[beyond]))
        self._kept[slot] = state
        if len(self._kept) > _KEPT_STATES:
            self._kept.popitem(last=False)
        return state

    def _prices(self, best: int, direction: int) -> Int64s:
        """Prices of one side that may hold orders, best first."""
        parts = []
        inner = 0
        for step, reach in self._reach:
            # Distances inner … reach from the touch whose price is a multiple of the step.
            low, high = sorted((best + direction * inner, best + direction * reach))
            parts.append(np.arange(-(-low // step) * step, high + 1, step, dtype=np.int64)[::direction])
            inner = reach + 1
        return np.concatenate(parts)

    def _quantities(self, prices: Int64s, slot: int) -> tuple[Int64s, NDArray[np.bool_]]:
        level = hash_array(self._level_key, prices)
        period = self._period << (level & np.uint64(3)).astype(np.int64)
        epoch = (slot + scaled(level, 1_000_000)) // period
        draw = hash_array(self._quantity_key, (prices << 32) | (epoch & 0xFFFFFFFF))
        # One level in eight is empty.
        return scaled(draw, self._lots) + 1, (draw & np.uint64(7)) != 0
