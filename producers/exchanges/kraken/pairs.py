"""Kraken's pairs and their names: `BTC/USD` on the WebSocket v2, `XBT/USD` before, `XBTUSD` over REST."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from producers.exchanges.fields import field_of, list_of, name_of, object_of, whole_of
from producers.exchanges.rest_port import Listing
from producers.exchanges.values import decimal_text
from shared.errors import UnknownSymbol
from shared.shortened import OF_NAME, quoted, shortened

# Assets that REST and the WebSocket v1 call otherwise (COINBASE_KRAKEN.md §4.5).
ALIASES: Final[Mapping[str, str]] = {"XBT": "BTC", "XDG": "DOGE"}
_NEW_TO_OLD: Final = {new: old for old, new in ALIASES.items()}
# Trades happen in these; also in `reduce_only`, which only bounds what an account may do.
TRADING_STATUSES: Final = frozenset(("online", "limit_only", "reduce_only"))
_MOST_PLACES: Final = 20


class Pair(NamedTuple):
    """One pair.

    Attributes:
        symbol: as the WebSocket v2 has it, and we do.
        rest_name: what REST wants; "" if only the stream has named the pair.
        price_places, quantity_places: digits behind the point on the wire.
        tick, lot: least steps of price and quantity; None where the source does not say.
        status: the exchange's own word.
    """

    symbol: str
    base: str
    quote: str
    rest_name: str
    price_places: int
    quantity_places: int
    tick: str | None
    lot: str | None
    status: str

    @property
    def trading(self) -> bool:
        return self.status in TRADING_STATUSES


def renamed(name: str) -> str:
    """A pair with a slash by its present names: `XBT/USD` is `BTC/USD`."""
    base, slash, quote = name.partition("/")
    return f"{ALIASES.get(base, base)}{slash}{ALIASES.get(quote, quote)}"


def rest_name(symbol: str) -> str:
    """What REST calls a pair of this symbol: `BTC/USD` is `XBTUSD`."""
    base, _, quote = symbol.partition("/")
    return _NEW_TO_OLD.get(base, base) + _NEW_TO_OLD.get(quote, quote)


def unlisted(symbol: str) -> Pair:
    """A pair of which only the name is known: its numbers are taken with the digits that were sent."""
    base, _, quote = symbol.partition("/")
    return Pair(symbol, base, quote, rest_name(symbol), 0, 0, None, None, "")


def pair_of_listing(rest_name: str, fields: Any) -> Pair:
    """A pair of the REST answer AssetPairs; `fields` decoded by `decode_exact`.

    Raises:
        InvalidMessage: it is of another form.
    """
    fields = object_of("pair", fields)
    symbol = renamed(name_of(fields, "wsname"))
    base, _, quote = symbol.partition("/")
    tick = fields.get("tick_size")
    return Pair(
        symbol=symbol,
        base=base,
        quote=quote,
        rest_name=rest_name,
        price_places=whole_of(fields, "pair_decimals", _MOST_PLACES),
        quantity_places=whole_of(fields, "lot_decimals", _MOST_PLACES),
        tick=None if tick is None else decimal_text("tick_size", tick),
        lot=None,
        status=shortened(fields.get("status", "online"), OF_NAME),
    )


def pair_of_instrument(fields: Any) -> Pair:
    """A pair of the WebSocket's channel `instrument`; `fields` decoded by `decode_exact`.

    Raises:
        InvalidMessage: it is of another form.
    """
    fields = object_of("pair", fields)
    return Pair(
        symbol=name_of(fields, "symbol"),
        base=name_of(fields, "base"),
        quote=name_of(fields, "quote"),
        rest_name="",
        price_places=whole_of(fields, "price_precision", _MOST_PLACES),
        quantity_places=whole_of(fields, "qty_precision", _MOST_PLACES),
        tick=decimal_text("price_increment", field_of(fields, "price_increment")),
        lot=decimal_text("qty_increment", field_of(fields, "qty_increment")),
        status=name_of(fields, "status"),
    )


def pairs_of_instruments(snapshot: Any) -> list[Any]:
    """The pairs of a message of that channel, whose `data` is one object; not yet read one by one.

    A message about nothing but assets has none.
    """
    content = object_of("data", snapshot)
    return (
        [] if "assets" in content and "pairs" not in content else list_of("pairs", field_of(content, "pairs"))
    )


def listing_of(pair: Pair) -> Listing:
    """Assets and steps; a lot that REST does not say is the last place that it gives quantities."""
    places = pair.quantity_places
    return Listing(pair.base, pair.quote, pair.tick, pair.lot or f"{Decimal(1).scaleb(-places):f}")


def carried(symbol: str) -> bool:
    """Whether a pair of this name can be named here: symbols of settings are in upper case."""
    return symbol == symbol.upper()


def resolve(symbol: str, pairs: Mapping[str, Pair]) -> Pair:
    """The pair that a user means.

    Args:
        pairs: by `Pair.symbol`.

    Raises:
        UnknownSymbol: Kraken has none of that name; the message says which one is probably meant.
    """
    pair = pairs.get(symbol)
    if pair is not None:
        return pair
    meant = _meant(symbol, pairs)
    if meant is None:
        mixed = next((name for name in pairs if name.upper() == symbol.upper()), None)
        if mixed is not None:
            raise UnknownSymbol(
                f"kraken: {mixed} cannot be carried; names with lower-case letters, as tokenized stocks have,"
                " are not supported"
            )
        near = difflib.get_close_matches(symbol.upper(), filter(carried, pairs), n=3)
        hint = f"nearest: {', '.join(near)}" if near else "see the pairs of its AssetPairs"
        raise UnknownSymbol(f"kraken: {quoted(symbol)} is not a pair of Kraken; {hint}")
    old = sorted(asset for asset in symbol.upper().split("/") if asset in ALIASES)
    because = (
        f" ({', '.join(f'{asset} is called {ALIASES[asset]}' for asset in old)})"
        if old
        else ""
        if "/" in symbol
        else " (base and quote are separated by a slash)"
    )
    raise UnknownSymbol(f"kraken: {quoted(symbol)} is not a pair of Kraken; write {meant}{because}")


def _meant(symbol: str, pairs: Mapping[str, Pair]) -> str | None:
    """The pair that has this name in another spelling."""
    wanted = symbol.upper().replace("-", "/").replace("_", "/").replace(":", "/")
    if renamed(wanted) in pairs:
        return renamed(wanted)
    joined = wanted.replace("/", "")
    spelled = (pair.symbol for pair in pairs.values() if joined in _spellings(pair))
    return next(spelled, None)


def _spellings(pair: Pair) -> Iterable[str]:
    """`BTCUSD`, `XBTUSD`, `XXBTZUSD` and the like, without separators."""
    bases = {pair.base, _NEW_TO_OLD.get(pair.base, pair.base)}
    quotes = {pair.quote, _NEW_TO_OLD.get(pair.quote, pair.quote)}
    joined = {base + quote for base in bases for quote in quotes}
    # The oldest names have a letter before each asset: X for currencies of the net, Z for others.
    return joined | {f"X{base}{letter}{quote}" for base in bases for quote in quotes for letter in "XZ"}
