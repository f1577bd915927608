"""The exchanges that can be simulated: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.exchange import WorldExchange
from simulator.protocols.coinbase.dialect import COINBASE
from simulator.protocols.coinbase.face import CoinbaseWorld
from simulator.protocols.coinbase.names import checked_product
from simulator.protocols.kraken.dialect import KRAKEN
from simulator.protocols.kraken.face import KrakenWorld
from simulator.protocols.kraken.names import checked_pair
from simulator.protocols.port import Dialect
from simulator.world.world import World


class Spoken(NamedTuple):
    """An exchange's protocol.

    Attributes:
        world: makes a seeded world that speaks it.
        symbols: served unless others are asked for; empty: those of the settings.
        checked: a symbol as the exchange names it; raises UsageError. None: any name will do.
    """

    dialect: Dialect
    world: Callable[..., World]
    symbols: tuple[str, ...] = ()
    checked: Callable[[str], str] | None = None


EXCHANGES: Final[Mapping[str, Spoken]] = {
    "binance": Spoken(BINANCE, WorldExchange),
    "kraken": Spoken(KRAKEN, KrakenWorld, ("BTC/USD", "ETH/USD", "XRP/USD", "SOL/USD"), checked_pair),
    "coinbase": Spoken(
        COINBASE, CoinbaseWorld, ("BTC-USD", "ETH-USD", "XRP-USD", "SOL-USD"), checked_product
    ),
}
