"""Which pairs Kraken lists, and in which state: what REST and `doctor` both ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from producers.exchanges.kraken.answers import asset_pairs
from producers.exchanges.kraken.client import KrakenClient
from producers.exchanges.kraken.pairs import Pair, rest_name
from shared.errors import ExchangeUnreadable, InvalidMessage, UnknownSymbol


async def time_ms(client: KrakenClient) -> int:
    """The exchange's clock, which it says to the second: in the middle of it."""
    return await client.get("Time", {}, _middle_of_second)


async def listed(client: KrakenClient, symbols: Sequence[str]) -> dict[str, Pair]:
    """Those of the pairs that are listed, by symbol; the others are left out.

    Raises:
        ExchangeUnreadable: one is listed, but cannot be read; left out, it would look like delisted.
    """
    if not symbols:
        return {}
    try:
        names = ",".join(rest_name(symbol) for symbol in symbols)
        found, faults = await client.get("AssetPairs", {"pair": names}, asset_pairs)
    except UnknownSymbol:
        # One unknown name refuses all of them.
        found, faults = await client.get("AssetPairs", {}, asset_pairs)
        faults = {symbol: faults[symbol] for symbol in symbols if symbol in faults}
    if faults and not all(symbol in found for symbol in symbols):
        name, fault = next(iter(faults.items()))
        raise ExchangeUnreadable(f"kraken: its listing of {name} cannot be read ({fault})")
    return {symbol: found[symbol] for symbol in symbols if symbol in found}


async def all_listed(client: KrakenClient) -> dict[str, Pair]:
    """All pairs, by symbol."""
    pairs, faults = await client.get("AssetPairs", {}, asset_pairs)
    if faults and not pairs:
        name, fault = next(iter(faults.items()))
        raise ExchangeUnreadable(f"kraken: none of its pairs can be read ({name}: {fault})")
    return pairs


def _middle_of_second(result: dict[str, Any]) -> int:
    seconds = result["unixtime"]
    if type(seconds) is not int or not 0 < seconds < 10**10:
        raise InvalidMessage("unixtime", seconds, "a time in seconds")
    return seconds * 1000 + 500
