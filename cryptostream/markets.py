"""The market that a command line means: `kraken:BTC/USD`, or `BTC/USD` if the deployment tells whose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from producers.exchanges.registry import symbol_at
from shared.arguments import nearest
from shared.errors import UsageError
from shared.markets import Market, split_market
from shared.settings import Settings
from shared.shortened import quoted

# Two symbols with the same quote are alike by that alone: BTCUSDC and ETHUSDC by 0.71, two slips by 0.86.
_NEAR: Final = 0.8


def chosen_market(text: str, settings: Settings, exchange: str | None = None) -> Market:
    """The market of a name.

    The exchange is that before the colon, or `exchange`; else the one of the deployment that has the symbol;
    if none has it, the one of the setting EXCHANGE.

    Args:
        exchange: that the user has named otherwise.

    Raises:
        UsageError: two of the deployment have it, no exchange has this name, or it is empty or otherwise no
            symbol.
    """
    prefix, symbol = _split(text)
    asked = None if exchange is None else exchange.lower()
    if prefix is not None and asked not in (None, prefix):
        raise UsageError(f"--exchange {exchange}: {text} names another one; leave one of them out")
    named = prefix or asked or _of_deployment(symbol, settings) or settings.exchange
    return Market(named, symbol_at(named, symbol))


def filtered_market(text: str, settings: Settings) -> tuple[str | None, str]:
    """Exchange and symbol for a filter; the exchange is None if neither name nor deployment tells it.

    Raises:
        UsageError: as `chosen_market`.
    """
    prefix, symbol = _split(text)
    return prefix or _of_deployment(symbol, settings), symbol.upper()


def meant(symbol: str, symbols: Iterable[str]) -> str | None:
    """The symbol that was probably meant; None if it is one of them, or none is near."""
    known = list(symbols)
    return None if symbol.upper() in known else nearest(symbol, known, near=_NEAR)


def _split(text: str) -> tuple[str | None, str]:
    try:
        prefix, symbol = split_market(text.strip())
    except ValueError as error:
        raise UsageError(str(error)) from None
    if not symbol:
        raise UsageError(f"{quoted(text)} names no symbol; write one like BTCUSDC or kraken:BTC/USD")
    return prefix, symbol


def _of_deployment(symbol: str, settings: Settings) -> str | None:
    """The exchange of the deployment that has a symbol."""
    having = [market for market in settings.markets if market.symbol == symbol.upper()]
    if len(having) > 1:
        raise UsageError(
            f"{symbol}: several exchanges of SYMBOLS have it; say which one: " + " or ".join(map(str, having))
        )
    return having[0].exchange if having else None
