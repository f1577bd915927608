"""All exchanges: the only module that imports their folders. An exchange is one line here."""

from __future__ import annotations

from typing import Final

from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.coinbase.exchange import COINBASE
from producers.exchanges.kraken.exchange import KRAKEN
from producers.exchanges.port import Exchange
from shared.errors import SettingsError
from shared.shortened import shortened

EXCHANGES: Final[dict[str, Exchange]] = {
    BINANCE.name: BINANCE,
    KRAKEN.name: KRAKEN,
    COINBASE.name: COINBASE,
}


def exchange_named(name: str) -> Exchange:
    """The exchange of a name.

    Raises:
        SettingsError: there is none.
    """
    exchange = EXCHANGES.get(name)
    if exchange is None:
        raise SettingsError(
            f'EXCHANGE: "{shortened(name)}" is not an exchange here; choose from {", ".join(EXCHANGES)}'
        )
    return exchange


def symbol_at(name: str, text: str) -> str:
    """The symbol that a user means; of exchanges that are not here, what a store may hold of them.

    Raises:
        UsageError: see `Exchange.symbol`.
    """
    exchange = EXCHANGES.get(name)
    return text.upper() if exchange is None else exchange.symbol(text)
