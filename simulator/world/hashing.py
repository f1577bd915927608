"""Counter-based random numbers: any element of a sequence can be computed by itself, in any order.

The mixer is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014), which relies on uint64 overflow.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
UInt64s = NDArray[np.uint64]

_GOLDEN: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB
_MASK: Final = 2**64 - 1


def hash_key(*parts: object) -> int:
    """A 64-bit key for one purpose, such as (seed, symbol, "trade times")."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hash_array(key: int, counters: Int64s) -> UInt64s:
    """One hash for each counter."""
    mixed = counters.astype(np.uint64)
    mixed *= np.uint64(_GOLDEN)
    mixed += np.uint64(key)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(_FIRST)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(_SECOND)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def hash_one(key: int, counter: int) -> int:
    """The same hash as `hash_array`, of one counter."""
    mixed = (counter * _GOLDEN + key) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * _FIRST) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * _SECOND) & _MASK
    return mixed ^ (mixed >> 31)


def scaled(hashes: UInt64s, below: int) -> Int64s:
    """The hashes' upper 32 bits scaled to 0 … `below` − 1; `below` at most 2**31."""
    return (((hashes >> np.uint64(32)) * np.uint64(below)) >> np.uint64(32)).astype(np.int64)
