"""Values of tags as clients write them: one rule for HTTP and for the stream. Pure."""

from __future__ import annotations

import re
from typing import Final

from shared.intervals import INTERVAL_MS
from shared.shortened import quoted

LONGEST: Final = 100
# A record's key is `exchange:symbol`: an exchange with a colon would be taken for another instrument.
_EXCHANGE: Final = re.compile(r"[a-z0-9][a-z0-9_.-]*", re.ASCII)
# Letters of any script: Binance lists symbols beyond A–Z.
_SYMBOL: Final = re.compile(r"\w[\w.:/-]*")


def stored_tag(tag: str, text: str) -> str:
    """A tag's value in the case in which it is stored; "" for a series that does not have the tag.

    Raises:
        ValueError: no series can have it; the message says what it may be.
    """
    if len(text) > LONGEST or not (text.isprintable() or not text):
        raise ValueError(f"{quoted(text)} cannot be a value; give up to {LONGEST} printable characters")
    if not text:
        return text
    match tag:
        case "exchange":
            return _matching(_EXCHANGE, text.lower(), "no exchange; give one like binance")
        case "symbol":
            return _matching(_SYMBOL, text.upper(), "no symbol; give one like BTCUSDC")
        case "interval" if text not in INTERVAL_MS:
            raise ValueError(f"{quoted(text)} is not an interval; choose from {', '.join(INTERVAL_MS)}")
        case _:
            return text


def _matching(pattern: re.Pattern[str], text: str, fault: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{quoted(text)} is {fault}")
    return text
