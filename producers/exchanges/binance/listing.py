"""Finds out which symbols the exchange lists without asking for all 3,000, which are about 20 MB."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from shared.errors import UnknownSymbol

# About 7 kB each.
SYMBOLS_AT_ONCE: Final = 100

Ask = Callable[[Sequence[str]], Awaitable[dict[str, str]]]


def named(symbols: Sequence[str]) -> dict[str, str]:
    """The parameter `symbols` of exchangeInfo and of tickers."""
    return {"symbols": '["' + '","'.join(symbols) + '"]'}


async def listed(symbols: Sequence[str], ask: Ask) -> dict[str, str]:
    """Status of those symbols that are listed.

    An unlisted symbol makes the exchange refuse the whole request (-1121) without naming it: then each half
    is asked for by itself. One among n takes 2 log2 n requests more.

    Args:
        ask: status of symbols by exchangeInfo; UnknownSymbol if one of them is not listed.
    """
    found: dict[str, str] = {}
    for at in range(0, len(symbols), SYMBOLS_AT_ONCE):
        found |= await _halving(symbols[at : at + SYMBOLS_AT_ONCE], ask)
    return found


async def _halving(symbols: Sequence[str], ask: Ask) -> dict[str, str]:
    try:
        found = await ask(symbols)
    except UnknownSymbol:
        if len(symbols) == 1:
            return {}
        half = len(symbols) // 2
        return await _halving(symbols[:half], ask) | await _halving(symbols[half:], ask)
    return {symbol: found[symbol] for symbol in symbols if symbol in found}


def names_of(rows: Sequence[Any]) -> list[str]:
    """Symbols of /ticker/price, which has all of them in 150 kB."""
    return [row["symbol"] for row in rows if type(row) is dict and type(row.get("symbol")) is str]
