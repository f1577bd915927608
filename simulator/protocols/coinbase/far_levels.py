"""The far part of Coinbase's books: orders that nobody ever reaches, for snapshots of real size."""

from __future__ import annotations

from simulator.world.book import Level
from simulator.world.hashing import hash_key, hash_one
from simulator.world.market import Market


def far_levels(market: Market, seed: int, count: int) -> tuple[list[Level], list[Level]]:
    """Up to `count` bids and asks that never change, best first.

    The price stays between half and one and a half times its mean, and the near levels reach a quarter of it
    further: below a fifth and above twice the mean nothing else ever is.
    """
    base = market.instrument.base_price_ticks
    key = hash_key(seed, market.instrument.symbol, "far levels")
    most = 20 * market.instrument.typical_lots
    below = range(base // 5, max(0, base // 5 - count), -1)
    above = range(2 * base, 2 * base + count)
    bids, asks = ([(price, 1 + hash_one(key, price) % most) for price in prices] for prices in (below, above))
    return bids, asks
