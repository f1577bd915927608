"""The line of each registry that makes the toy an exchange."""

from __future__ import annotations

import pytest

from producers.exchanges.registry import EXCHANGES
from shared.markets import NOTATIONS, Notation
from simulator.protocols.registry import EXCHANGES as SPOKEN
from tests.exchange_contract.stand import SYMBOLS
from tests.exchange_contract.toy.exchange import EXCHANGE, TOY
from tests.exchange_contract.toy.simulated import SPOKEN as SPOKEN_BY_TOY


def register(patch: pytest.MonkeyPatch) -> None:
    """Enter it until the patch is undone."""
    patch.setitem(EXCHANGES, EXCHANGE, TOY)
    patch.setitem(SPOKEN, EXCHANGE, SPOKEN_BY_TOY)
    patch.setitem(SYMBOLS, EXCHANGE, ("BTC-USD", "XRP-USD"))
    patch.setitem(NOTATIONS, EXCHANGE, Notation("a product of Toy", "-", ("BTC-USD", "XRP-USD")))
