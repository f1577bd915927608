"""Coinbase's products, their aliases and their states."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from producers.exchanges.fields import name_of, object_of
from producers.exchanges.values import decimal_text
from shared.errors import UnknownSymbol
from shared.shortened import OF_NAME, quoted, shortened

_ONLINE: Final = "online"
# All others that are quoted in USDC are streamed as their twins in USD (COINBASE_KRAKEN.md §2.3).
_OF_THEIR_OWN: Final = ("USDT-USDC", "EURC-USDC")
# Flags of a product in which nothing is traded; `limit_only` and `post_only` bound orders, not trades.
_CLOSED: Final = ("trading_disabled", "is_disabled", "cancel_only", "view_only")


class Product(NamedTuple):
    """One product.

    Attributes:
        symbol: as users ask for it.
        streamed_as: the product whose messages come instead: Coinbase carries `BTC-USDC` as `BTC-USD`.
        tick, lot: least steps of price and quantity.
        status: the exchange's own words.
        trading: trades are possible, by them.
    """

    symbol: str
    base: str
    quote: str
    streamed_as: str
    tick: str
    lot: str
    status: str
    trading: bool


def product_of_row(row: Any) -> Product:
    """A product of `/market/products`.

    Raises:
        InvalidMessage: it is of another form.
    """
    row = object_of("product", row)
    symbol = name_of(row, "product_id")
    alias = row.get("alias")
    status = shortened(row.get("status", ""), OF_NAME)
    closed = [flag for flag in _CLOSED if row.get(flag) is True]
    tick = row.get("price_increment") or row.get("quote_increment")
    return Product(
        symbol=symbol,
        base=name_of(row, "base_currency_id"),
        quote=name_of(row, "quote_currency_id"),
        streamed_as=name_of(row, "alias") if alias else symbol,
        tick=decimal_text("price_increment", tick),
        lot=decimal_text("base_increment", row.get("base_increment")),
        status=", ".join((status, *closed)),
        trading=status in ("", _ONLINE) and not closed,
    )


def resolve(symbol: str, products: Mapping[str, Product]) -> Product:
    """The product that a user means.

    Args:
        products: by `Product.symbol`.

    Raises:
        UnknownSymbol: Coinbase has none of that name; the message says which one is probably meant.
    """
    product = products.get(symbol)
    if product is not None:
        return product
    joined = _letters(symbol)
    meant = next((name for name in products if _letters(name) == joined), None)
    if meant is not None:
        raise UnknownSymbol(
            f"coinbase: {quoted(symbol)} is not a product of Coinbase; write {meant}"
            " (base and quote are separated by a hyphen)"
        )
    renamed = symbol.upper().replace("XBT", "BTC")
    near = difflib.get_close_matches(renamed.replace("/", "-"), products, n=3)
    hint = f"nearest: {', '.join(near)}" if near else "see its products"
    raise UnknownSymbol(f"coinbase: {quoted(symbol)} is not a product of Coinbase; {hint}")


def fault_of(symbol: str, products: Mapping[str, Product]) -> str:
    """What is wrong with a symbol, by all products: one line for the user."""
    try:
        resolve(symbol, products)
    except UnknownSymbol as error:
        return str(error)
    return f"coinbase: {symbol} is not listed"


def unlisted(symbol: str) -> Product:
    """A product of which only the name is known; what is streamed for it, by the rule of §2.3."""
    base, _, quote = symbol.partition("-")
    twin = f"{base}-USD" if quote == "USDC" and symbol not in _OF_THEIR_OWN else symbol
    return Product(symbol, base, quote, twin, "0", "0", "", trading=True)


def _letters(symbol: str) -> str:
    return "".join(character for character in symbol.upper() if character.isalnum())
