"""Times finer than the world's milliseconds, and their text."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from simulator.world.hashing import hash_key, hash_one

_NS_A_MS: Final = 1_000_000
_NS_A_US: Final = 1_000
_NS_A_S: Final = 1_000_000_000
_KEY: Final = hash_key("below the millisecond")


def trade_ns(time_ms: int) -> int:
    """The time of a trade in ns: trades of one millisecond are of one taker and share it.

    Whole microseconds, as the streams show them: Kraken's REST gives seconds as a number that has no room for
    more, so that a time just below a millisecond would be another one there.
    """
    return time_ms * _NS_A_MS + hash_one(_KEY, time_ms) % (_NS_A_MS // _NS_A_US) * _NS_A_US


def rfc3339(time_ns: int, places: int = 6) -> str:
    """Text like 2026-08-03T14:25:03.120331Z, cut to the places."""
    fraction = f"{time_ns % _NS_A_S:09d}"[:places]
    return f"{_second(time_ns // _NS_A_S)}.{fraction}Z"


def rfc3339_ms(time_ms: int, places: int = 6) -> str:
    """The same of a time in ms."""
    return rfc3339(time_ms * _NS_A_MS, places)


def ms_of(text: str) -> int:
    """The ms since the epoch of an RFC 3339 text in UTC."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    return int(seconds) * 1000 + int((fraction + "000")[:3])


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
