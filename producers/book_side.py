"""One side of a streamed book: snapshots of tens of thousands of levels, and changes near the best. Pure.

Most levels of a snapshot never change, so they are kept as one text: an object for each of them took three
times the memory, and left as much again unusable between the objects of the frames that brought them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from producers.exchanges.values import ZEROS, is_zero, scaled
from shared.messages import Levels

_DELETED: Final = "0"
# Prices recur, and a look-up costs a tenth of reading one.
_REMEMBERED: Final = 1 << 11


class _Keys(dict[str, int]):
    """Keys of prices, by their texts: as the numbers are ordered, or the other way round for a sign of -1."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self._sign = sign

    def __missing__(self, price: str) -> int:
        if len(self) >= _REMEMBERED:
            self.clear()
        key = self[price] = self._sign * scaled(price)
        return key


class _Snapshot:
    """The levels of a snapshot by their keys, which must be among them.

    Args:
        levels: by key, in the order of the keys.
    """

    def __init__(self, levels: Mapping[int, Sequence[str]]) -> None:
        self.keys = list(levels)
        texts = [",".join(level) for level in levels.values()]
        self._text = "".join(texts)
        self._ends = array("I", accumulate(map(len, texts)))

    def __getitem__(self, key: int) -> list[str]:
        at = bisect_left(self.keys, key)
        return self._text[self._ends[at - 1] if at else 0 : self._ends[at]].split(",")


class _Levels(dict[int, list[str]]):
    """Levels by their keys: those that have been written or looked at, and for the others the snapshot's."""

    def __init__(self, snapshot: _Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def __missing__(self, key: int) -> list[str]:
        level = self[key] = self._snapshot[key]
        return level

    def look(self, key: int) -> list[str]:
        """The level, which is not remembered."""
        return self.get(key) or self._snapshot[key]


class BookSide:
    """One side of the book. Keys rise towards the best price, so that most changes move few of them.

    Args:
        sign: 1 for bids, -1 for asks.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._key_of = _Keys(sign)
        self._keys: list[int] = []  # a level is there if its key is
        self._levels = _Levels(_Snapshot({}))

    def __len__(self) -> int:
        return len(self._keys)

    def replace(self, levels: Levels) -> None:
        """Take all levels of a snapshot; rows without a quantity are none."""
        # Most prices of a whole book never come again: none is remembered.
        found = {self._sign * scaled(level[0]): level for level in levels}
        snapshot = _Snapshot({key: found[key] for key in sorted(found) if not is_zero(found[key][1])})
        self._levels, self._keys = _Levels(snapshot), snapshot.keys.copy()

    def write(self, levels: Levels) -> None:
        """Write absolute quantities; zero removes. The last one counts if a price occurs twice."""
        key_of, keys, known = self._key_of, self._keys, self._levels
        for level in levels:
            price, quantity = level
            key = key_of[price]
            if quantity in ZEROS:
                at = bisect_left(keys, key)
                if at < len(keys) and keys[at] == key:
                    del keys[at]
                    known.pop(key, None)
            else:
                if key not in known:
                    at = bisect_left(keys, key)
                    if at == len(keys) or keys[at] != key:
                        keys.insert(at, key)
                known[key] = level

    def truncate(self, depth: int) -> Levels:
        """Drop the levels beyond the best `depth`; what was dropped, as deletions."""
        if len(self._keys) <= depth:
            return []
        surplus = self._keys[: len(self._keys) - depth]
        del self._keys[: len(surplus)]
        dropped = [[self._levels.look(key)[0], _DELETED] for key in surplus]
        for key in surplus:
            self._levels.pop(key, None)
        return dropped

    def best(self, levels: int) -> Levels:
        """The best levels, best first."""
        known = self._levels
        return [known[key] for key in reversed(self._keys[-levels:])] if levels else []

    def all(self) -> Levels:
        """All levels, best first."""
        look = self._levels.look
        return [look(key) for key in reversed(self._keys)]

    @property
    def best_key(self) -> int | None:
        """The best price in units of 10^-20, of asks negative; None if the side is empty."""
        return self._keys[-1] if self._keys else None

    @property
    def best_level(self) -> list[str] | None:
        """Price and quantity of the best level; None if the side is empty."""
        return self._levels[self._keys[-1]] if self._keys else None

    @property
    def worst(self) -> float:
        """The worst price of a side that is not empty."""
        return float(self._levels.look(self._keys[0])[0])
