"""Kraken's checksum of a book (COINBASE_KRAKEN.md §4.4). Pure."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Final

from shared.messages import Levels

LEVELS: Final = 10
# Levels near the best price stay for many messages, and putting one together costs three times a look-up.
_REMEMBERED: Final = 1 << 14


def checksum(bids: Levels, asks: Levels) -> int:
    """CRC-32 of the best ten asks and then the best ten bids.

    Args:
        bids, asks: best first, in the exchange's own decimal places, trailing zeros included.
    """
    text = "".join([_digits(*level) for side in (asks, bids) for level in side[:LEVELS]])
    return zlib.crc32(text.encode())


@lru_cache(maxsize=_REMEMBERED)
def _digits(price: str, quantity: str) -> str:
    return price.replace(".", "").lstrip("0") + quantity.replace(".", "").lstrip("0")
