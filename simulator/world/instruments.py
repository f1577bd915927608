"""Simulated symbols: assets, size of tick and lot, usual price and pace."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from simulator.world.hashing import hash_key

# Usual prices in US dollars, plausible in their order of magnitude.
_DOLLARS: Final = {
    "BTC": 97_000.0,
    "ETH": 3_400.0,
    "BNB": 650.0,
    "SOL": 180.0,
    "LTC": 95.0,
    "XRP": 2.4,
    "ADA": 0.75,
    "TRX": 0.25,
    "DOGE": 0.2,
    "EUR": 1.1,
    "USDC": 1.0,
    "USDT": 1.0,
    "FDUSD": 1.0,
    "USD": 1.0,
}
_QUOTES: Final = ("FDUSD", "USDC", "USDT", "USD", "EUR", "TRY", "BTC", "ETH", "BNB")
# Trades a minute; the last two leave seconds without a trade, so that flat bars appear.
_TRADES_PER_MINUTE: Final = {"BTC": 300, "ETH": 150, "SOL": 40, "XRP": 30}


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol's fixed properties.

    Attributes:
        symbol: both assets joined; part of every draw, so that exchanges share a world.
        price_decimals: a tick is 10**-price_decimals; with `quantity_decimals` at most 8 together, so that
            quote volumes are exact in the wire's 8 decimals.
        base_price_ticks: mean of the price.
        typical_lots: half the upper bound of an ordinary trade's size.
        book_period_slots: how many 100 ms slots an order-book level keeps its quantity, at least.
    """

    symbol: str
    base_asset: str
    quote_asset: str
    price_decimals: int
    quantity_decimals: int
    base_price_ticks: int
    trades_per_minute: int
    typical_lots: int
    book_period_slots: int


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote asset of a symbol: written apart, or by common quote assets; else the last four letters
    are the quote."""
    for sign in "/-":
        if sign in symbol:
            apart = symbol.partition(sign)
            return apart[0], apart[2]
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol.removesuffix(quote), quote
    middle = max(1, len(symbol) - 4)
    return symbol[:middle], symbol[middle:]


def instrument(symbol: str) -> Instrument:
    """The instrument of any symbol name: always the same for the same assets, however they are joined."""
    base, quote = split_symbol(symbol)
    draw = hash_key("instrument", base)
    dollars = _DOLLARS.get(base) or round(10 ** (draw % 500 / 100 - 2), 4)  # 0.01 to 1,000
    price = dollars / _DOLLARS.get(quote, 1.0)
    magnitude = math.floor(math.log10(price))
    # About 10,000 ticks or more to the price, where 8 decimals allow it; a cent at least.
    price_decimals = min(8, max(2, 4 - magnitude))
    # A lot is worth about a dollar.
    quantity_decimals = max(0, min(8 - price_decimals, math.ceil(math.log10(dollars))))
    trades_per_minute = _TRADES_PER_MINUTE.get(base, 20 + draw // 1000 % 100)
    return Instrument(
        symbol=base + quote,
        base_asset=base,
        quote_asset=quote,
        price_decimals=price_decimals,
        quantity_decimals=quantity_decimals,
        base_price_ticks=max(100, round(price * 10**price_decimals)),
        trades_per_minute=trades_per_minute,
        typical_lots=max(2, round(1_000 / dollars * 10**quantity_decimals)),
        # Busy symbols change in every slot; on quiet ones most slots change nothing and are not sent.
        book_period_slots=max(100, 60_000 // trades_per_minute),
    )
