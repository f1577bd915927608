"""Streams of Kraken's world, and the names of its pairs.

A stream is `kind@symbol@detail`: `trade@BTC/USD@`, `book@BTC/USD@10`, `ticker@BTC/USD@bbo`, `instrument@@`;
`kline@BTC/USD@1s` serves the log alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from shared.errors import UsageError
from shared.shortened import OF_VALUE, shortened

DEPTHS: Final = (10, 25, 100, 500, 1000)
INSTRUMENT: Final = "instrument@@"
# REST's older codes (COINBASE_KRAKEN.md §4.5, trap "v1 symbols").
_OLD_CODES: Final = {"BTC": "XBT", "DOGE": "XDG"}
_PREFIXED: Final = {"XBT": "XXBT", "ETH": "XETH", "XRP": "XXRP", "LTC": "XLTC", "XDG": "XXDG"}
_MONEY: Final = ("USD", "EUR", "GBP", "JPY", "CAD")


class StreamName(NamedTuple):
    """A stream; `detail` is the depth, the trigger or the interval."""

    kind: str
    symbol: str
    detail: str


@lru_cache(maxsize=4_096)
def parse(stream: str) -> StreamName:
    """The parts of a name."""
    return StreamName(*stream.split("@", 2))


def stream_name(kind: str, symbol: str, detail: object = "") -> str:
    return f"{kind}@{symbol}@{detail}"


def checked_pair(symbol: str) -> str:
    """A pair as v2 names it.

    Raises:
        UsageError: the name is of another form, or v1's.
    """
    base, sign, quote = symbol.upper().partition("/")
    if not sign or not base.isalnum() or not quote.isalnum():
        raise UsageError(
            f"--symbols {shortened(symbol, OF_VALUE)}: Kraken names pairs like BTC/USD; "
            "write base and quote with /"
        )
    for new, old in _OLD_CODES.items():
        if old in (base, quote):
            better = symbol.upper().replace(old, new)
            raise UsageError(
                f"--symbols {shortened(symbol, OF_VALUE)}: is a name of Kraken's v1; write {better}"
            )
    return f"{base}/{quote}"


class RestPair(NamedTuple):
    """REST's names of a pair: id like XXBTZUSD, altname like XBTUSD, wsname like XBT/USD."""

    key: str
    altname: str
    wsname: str
    base: str
    quote: str


def rest_pair(symbol: str) -> RestPair:
    """REST's names of a pair of v2."""
    base, _, quote = symbol.partition("/")
    base, quote = _OLD_CODES.get(base, base), _OLD_CODES.get(quote, quote)
    base_key = _PREFIXED.get(base, base)
    quote_key = _PREFIXED.get(quote, f"Z{quote}" if quote in _MONEY else quote)
    # Only pairs of two prefixed assets have the long key.
    long = base_key != base and quote_key != quote
    key = base_key + quote_key if long else base + quote
    return RestPair(key, base + quote, f"{base}/{quote}", base_key, quote_key)
