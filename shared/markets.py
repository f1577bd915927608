"""Markets: an instrument on an exchange, and how users write it: `BTC/USD`, or `kraken:BTC/USD`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.shortened import shortened

_SHOWN: Final = 200  # of a name in an error
_LONGEST_SYMBOL: Final = 40  # twice Binance's own limit (BINANCE_SPOT.md §7.7)
_SIGN_NAMES: Final = {"/": "slash", "-": "hyphen"}


class Notation(NamedTuple):
    """How an exchange writes its symbols.

    Attributes:
        noun: what it calls one.
        sign: between base and quote; "" if nothing divides them.
        usual: symbols of a deployment that names none.
    """

    noun: str
    sign: str
    usual: tuple[str, ...]

    @property
    def example(self) -> str:
        return ",".join(self.usual[:2])


# What symbols without a sign end with, the longer of two that both fit first.
_QUOTES: Final = (
    *("FDUSD", "USDC", "USDT", "TUSD", "USD1", "EURI", "DOGE"),
    *("BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY", "ARS", "MXN", "PLN", "USD"),
)

# An exchange that the settings may name is a line here.
NOTATIONS: Final[dict[str, Notation]] = {
    "binance": Notation("a symbol of Binance", "", ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")),
    "kraken": Notation("a pair of Kraken", "/", ("BTC/USD", "ETH/USD", "XRP/USD", "SOL/USD")),
    "coinbase": Notation("a product of Coinbase", "-", ("BTC-USD", "ETH-USD", "XRP-USD", "SOL-USD")),
}


@dataclass(frozen=True, slots=True)
class Market:
    """An instrument on an exchange; its text is the key of its records."""

    exchange: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.exchange}:{self.symbol}"


def known_exchange(name: str) -> str:
    """The name of an exchange as it is declared.

    Raises:
        ValueError: there is none of this name.
    """
    if name.lower() not in NOTATIONS:
        raise ValueError(
            f'"{shortened(name, _SHOWN)}" is not an exchange here; choose from {", ".join(NOTATIONS)}'
        )
    return name.lower()


def split_market(text: str) -> tuple[str | None, str]:
    """The exchange that a name begins with, None without one, and the rest of it, unchecked.

    Raises:
        ValueError: what stands before the colon is no exchange.
    """
    prefix, colon, symbol = text.partition(":")
    if not colon:
        return None, text
    if prefix.strip().lower() not in NOTATIONS:
        raise ValueError(
            f'"{shortened(text, _SHOWN)}" names no exchange that is here; exchanges: {", ".join(NOTATIONS)}'
        )
    return prefix.strip().lower(), symbol.strip()


def read_markets(names: Iterable[str], exchange: str) -> tuple[Market, ...]:
    """The markets that names mean, each once, in their order.

    Args:
        exchange: that names without a prefix belong to.

    Raises:
        ValueError: one is not written as its exchange writes symbols, or names an exchange that is not here.
    """
    return tuple(dict.fromkeys(_read_market(name, exchange) for name in names))


def _read_market(text: str, exchange: str) -> Market:
    prefix, name = split_market(text)
    named = prefix or exchange
    if not _is_symbol(name, NOTATIONS[named]):
        raise ValueError(
            f'"{shortened(text, _SHOWN)}" {_fault(name, named)}{"" if prefix else _elsewhere(name)}'
        )
    return Market(named, name.upper())


def _is_symbol(name: str, notation: Notation) -> bool:
    # A slash between base and quote belongs to some exchanges' symbols alone.
    if not _is_name(name, "_-./" if notation.sign == "/" else "_-."):
        return False
    if not notation.sign:
        return True
    base, sign, quote = name.partition(notation.sign)
    return bool(sign) and base.isalnum() and quote.isalnum()


def _is_name(name: str, signs: str) -> bool:
    # Letters of any script: Binance lists symbols beyond A–Z (BINANCE_SPOT.md §2.1).
    letters = name.translate({ord(sign): None for sign in signs})
    return 0 < len(letters) <= len(name) <= _LONGEST_SYMBOL and all(
        letter.isalpha() or letter.isdecimal() for letter in letters
    )


def _fault(name: str, exchange: str) -> str:
    notation = NOTATIONS[exchange]
    if notation.sign and _is_name(name, "_-./"):
        form = f"write base and quote with a {_SIGN_NAMES[notation.sign]}, like {notation.usual[0]}"
        return f"is not {notation.noun}; {form}"
    return f"is not a symbol; write them like {notation.example}"


def _elsewhere(name: str) -> str:
    """The exchanges that write symbols as this one is written, in brackets; "" if none divides so."""
    return "".join(
        f" ({notation.noun} is named like {exchange}:{notation.usual[0]})"
        for exchange, notation in NOTATIONS.items()
        if notation.sign and _is_symbol(name, notation)
    )


def assets_of(market: Market) -> tuple[str, str] | tuple[None, None]:
    """Base and quote of a market, by its name alone; None twice if that does not show them."""
    notation = NOTATIONS.get(market.exchange)
    if notation is None:
        return None, None
    if notation.sign:
        base, sign, quote = market.symbol.partition(notation.sign)
        return (base, quote) if sign and base and quote else (None, None)
    quote = next((each for each in _QUOTES if market.symbol.endswith(each)), "")
    base = market.symbol.removesuffix(quote).rstrip("-_./")
    return (base, quote) if quote and base else (None, None)


def exchanges_of(markets: Iterable[Market]) -> tuple[str, ...]:
    """The exchanges of markets, each once, in their order."""
    return tuple(dict.fromkeys(market.exchange for market in markets))


def names_of(markets: Iterable[Market]) -> dict[Market, str]:
    """What people call markets: by their symbols, with the exchange where there are several."""
    listed = tuple(markets)
    several = len(exchanges_of(listed)) > 1
    return {market: str(market) if several else market.symbol for market in listed}
