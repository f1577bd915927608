"""The order book as a pure function of the 100 ms slot.

Slot k covers the times k·100 … k·100 + 99 ms; the state after it is published at (k + 1)·100 and has the
update id (k + 1)·8 for every symbol. Which prices hold orders depends on the distance to the touch, how much
they hold on a hash of price and epoch. Trades of the following slot hit exactly this state's touch.
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
# (multiples of so many ticks, up to so many ticks from the touch): all near prices, round ones further out.
_REACH: Final = ((1, 60), (10, 2_000), (100, 20_000))

Level = tuple[int, int]


@dataclass(frozen=True, slots=True)
class BookState:
    """All levels after a slot: price in ticks to quantity in lots, best first on both sides."""

    slot: int
    bids: dict[int, int]
    asks: dict[int, int]

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


def changes(old: dict[int, int], new: dict[int, int]) -> dict[int, int]:
    """Absolute new quantities of the levels that differ, by price; 0 deletes."""
    found = {price: lots for price, lots in new.items() if old.get(price) != lots}
    for price in old.keys() - new.keys():
        found[price] = 0
    return found


class OrderBook:
    """The book of one symbol at any time; in a halt as it stood before."""

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
            return next(iter(kept.bids.items())), next(iter(kept.asks.items()))
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
        state = BookState(slot, self._side(bid, -1, slot), self._side(ask, 1, slot))
        self._kept[slot] = state
        if len(self._kept) > _KEPT_STATES:
            self._kept.popitem(last=False)
        return state

    def _side(self, best: int, direction: int, slot: int) -> dict[int, int]:
        parts = []
        inner = 0
        for step, reach in self._reach:
            # Distances inner … reach from the touch whose price is a multiple of the step.
            low, high = sorted((best + direction * inner, best + direction * reach))
            parts.append(np.arange(-(-low // step) * step, high + 1, step, dtype=np.int64)[::direction])
            inner = reach + 1
        prices = np.concatenate(parts)
        lots, occupied = self._quantities(prices, slot)
        occupied[0] = True  # never the touch, which trades hit
        return dict(zip(prices[occupied].tolist(), lots[occupied].tolist(), strict=True))

    def _quantities(self, prices: Int64s, slot: int) -> tuple[Int64s, NDArray[np.bool_]]:
        level = hash_array(self._level_key, prices)
        period = self._period << (level & np.uint64(3)).astype(np.int64)
        epoch = (slot + scaled(level, 1_000_000)) // period
        draw = hash_array(self._quantity_key, (prices << 32) | (epoch & 0xFFFFFFFF))
        # One level in eight is empty.
        return scaled(draw, self._lots) + 1, (draw & np.uint64(7)) != 0
