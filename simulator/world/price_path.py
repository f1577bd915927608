"""The path of quotes through time: a continuous, rough curve that can be computed at any instant.

It is a sum of value noises, one for each time scale from months to half a second, in integers only, so that
it is the same on every machine and for any number of instants at once.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.world.hashing import Int64s, hash_array, hash_key, scaled

MINUTE_MS: Final = 60_000
SLOT_MS: Final = 100

_ONE: Final = 2**30  # fractions of the base price have units of 2**-30
# (scale in minutes, amplitude as a fraction of the base price); all together stay below one half.
_COARSE: Final = (
    (180_000, 0.22), (45_000, 0.10), (11_520, 0.06), (2_880, 0.03), (720, 0.014),
    (180, 0.007), (60, 0.004), (15, 0.002), (4, 0.0008), (1, 0.0003),
)  # fmt: skip
# (scale in milliseconds, amplitude): a few ticks of BTC within a 100 ms slot.
_FINE: Final = ((15_000, 0.0001), (3_000, 0.00003), (500, 0.000002))
# The spread is constant for this many slots.
_SPREAD_SLOTS: Final = 16


class PricePath:
    """Best bid and ask, in ticks, of one symbol at any time."""

    def __init__(self, seed: int, symbol: str, base_price_ticks: int) -> None:
        self._base = base_price_ticks
        self._coarse = [
            (hash_key(seed, symbol, "coarse", scale), scale, round(amplitude * _ONE))
            for scale, amplitude in _COARSE
        ]
        self._fine = [
            (hash_key(seed, symbol, "fine", scale), scale, round(amplitude * _ONE))
            for scale, amplitude in _FINE
        ]
        self._spread_key = hash_key(seed, symbol, "spread")

    def bid_ticks(self, times_ms: Int64s, *, fine: bool = True) -> Int64s:
        """Best bid at each time.

        Args:
            times_ms: ascending; the cost grows with the span too, not only with the count.
            fine: False leaves out what happens within a minute (for the thin past).
        """
        minutes = times_ms // MINUTE_MS
        first = int(minutes[0])
        anchors = self._anchors(first, int(minutes[-1]) - first + 2)
        index = minutes - first
        low = anchors[index]
        fraction = low + (anchors[index + 1] - low) * (times_ms - minutes * MINUTE_MS) // MINUTE_MS
        if fine:
            for key, scale, amplitude in self._fine:
                cell = times_ms // scale
                low = _noise(key, cell)
                value = low + (_noise(key, cell + 1) - low) * (times_ms - cell * scale) // scale
                fraction += (amplitude * value) >> 15
        return np.asarray(self._base + ((self._base * fraction) >> 30), dtype=np.int64)

    def spread_ticks(self, times_ms: Int64s) -> Int64s:
        """Best ask minus best bid: mostly one tick, sometimes up to five."""
        draw = scaled(hash_array(self._spread_key, times_ms // (SLOT_MS * _SPREAD_SLOTS)), 16)
        return np.maximum(draw - 11, 0) + 1

    def _anchors(self, first_minute: int, count: int) -> Int64s:
        # Coarse scales are whole minutes, so only their grid points need a hash.
        minutes = np.arange(first_minute, first_minute + count, dtype=np.int64)
        total = np.zeros(count, dtype=np.int64)
        for key, scale, amplitude in self._coarse:
            cell = minutes // scale
            first_cell = int(cell[0])
            grid = _noise(key, np.arange(first_cell, int(cell[-1]) + 2, dtype=np.int64))
            index = cell - first_cell
            low = grid[index]
            value = low + (grid[index + 1] - low) * (minutes - cell * scale) // scale
            total += (amplitude * value) >> 15
        return total


def _noise(key: int, counters: Int64s) -> Int64s:
    """−32768 … 32767 for each counter."""
    return (hash_array(key, counters) >> np.uint64(48)).astype(np.int64) - 32_768
