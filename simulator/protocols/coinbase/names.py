"""Streams of Coinbase's world, and the names of its products.

A stream is `channel@product`: `market_trades@BTC-USD`, `level2@BTC-USD`, `ticker@BTC-USD`, `status@`;
`kline_1s@BTC-USD` serves the log alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from shared.errors import UsageError
from shared.shortened import OF_VALUE, shortened

STATUS: Final = "status@"
_OWN_MARKETS: Final = ("USDT-USDC", "EURC-USDC")


class StreamName(NamedTuple):
    """A stream."""

    channel: str
    product: str


def parse(stream: str) -> StreamName:
    """The parts of a name."""
    channel, _, product = stream.partition("@")
    return StreamName(channel, product)


def canonical(product: str) -> str:
    """The product under whose name public channels serve another: quoted in USD instead of USDC (§2.3)."""
    if product.endswith("-USDC") and product not in _OWN_MARKETS:
        return product.removesuffix("C")
    return product


def alias_of(product: str) -> str:
    """The product in USDC that is served under this one's name; empty if there is none."""
    return f"{product}C" if product.endswith("-USD") else ""


def checked_product(symbol: str) -> str:
    """A product as public channels name it.

    Raises:
        UsageError: the name is of another form.
    """
    base, sign, quote = symbol.upper().partition("-")
    if not sign or not base.isalnum() or not quote.isalnum():
        raise UsageError(
            f"--symbols {shortened(symbol, OF_VALUE)}: Coinbase names products like BTC-USD; "
            "write base and quote with -"
        )
    return canonical(f"{base}-{quote}")
