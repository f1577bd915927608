"""Exchanges' archives of market data: what their names say, and times in whichever unit they come.

Source: BINANCE_SPOT.md §9; data.binance.vision, whose files are called SYMBOL-INTERVAL-DATE or
SYMBOL-KIND-DATE.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath, PurePosixPath
from typing import Any, Final, NamedTuple

_NAME: Final = re.compile(r"([^\s/\\-]+)-(?:(\d+)(mo|[smhdwM])|([A-Za-z]+))-")
_DATED: Final = re.compile(_NAME.pattern + r"\d{4}(?!\d)")
# Any other word is one of a user's own names.
_KINDS: Final = frozenset(
    ("trades", "aggTrades", "bookTicker", "bookDepth", "metrics", "fundingRate", "liquidationSnapshot")
)
# Series of futures that are called like their klines.
_OTHER_PRICES: Final = {
    "markpriceklines": "mark prices of ",
    "indexpriceklines": "index prices of ",
    "premiumindexklines": "premium indices of ",
}
# Of contracts that are settled in coins, and of those that end on a day; all other names do not tell.
_COIN_MARGINED: Final = re.compile(r"\w+USD_(?:PERP|\d{6})")
_DELIVERED: Final = re.compile(r"\w+_\d{6}")
# Folders of data.binance.vision, wherever they were put.
_FOLDERS: Final = (
    (("data", "spot"), "spot"),
    (("spot", "monthly"), "spot"),
    (("spot", "daily"), "spot"),
    (("futures", "um"), "USD-M futures"),
    (("futures", "cm"), "COIN-M futures"),
    (("data", "option"), "options"),
)
# What packers and downloads leave beside the data.
_LITTER: Final = re.compile(
    r"(?:^|/)(?:__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)|\.checksum$", re.I
)
# From 2001 to 2286 seconds have 10 digits, milliseconds 13, microseconds 16, nanoseconds 19: as a finer unit
# each would be a time of 1970, of which no market has data.
_MS_OF_A_SECOND: Final = 1000
_LEAST_S: Final = 10**9
_DIGITS: Final = re.compile(r"\s*(\d{1,19})(?:\.0*)?\s*", re.ASCII)


class ArchiveName(NamedTuple):
    """What the name of an archive says.

    Attributes:
        interval: like 1h or 1M; empty if it is no archive of klines.
        kind: klines, trades, aggTrades, …
    """

    symbol: str
    interval: str
    kind: str


def archive_name(title: str, *, dated: bool = True) -> ArchiveName | None:
    """Symbol, in whichever alphabet, and what of it; None for other files' names.

    Args:
        dated: a year must follow, or it is a name of the user's own.
    """
    # Some file systems take accents and syllables apart; exchanges do not.
    found = (_DATED if dated else _NAME).match(unicodedata.normalize("NFC", title))
    if found is None:
        return None
    symbol, count, unit, kind = found.groups()
    if kind is not None:
        return ArchiveName(symbol.upper(), "", kind) if kind in _KINDS else None
    return ArchiveName(symbol.upper(), f"{count}{'M' if unit == 'mo' else unit}", "klines")


def market_of(path: PurePath, symbol: str) -> str | None:
    """The market of an archive by its folder, else by its symbol; None where neither tells."""
    folders = [part.lower() for part in path.parent.parts]
    prices = next((_OTHER_PRICES[part] for part in folders if part in _OTHER_PRICES), "")
    for names, market in _FOLDERS:
        if any(tuple(folders[at : at + 2]) == names for at in range(len(folders) - 1)):
            return prices + market
    if prices:
        return f"{prices}futures"
    if _COIN_MARGINED.fullmatch(symbol):
        return "COIN-M futures"
    return "USD-M futures" if _DELIVERED.fullmatch(symbol) else None


def is_litter(member: str) -> bool:
    """Whether a file in a ZIP is none of its data."""
    return _LITTER.search(str(PurePosixPath(member))) is not None


def time_ms(value: Any) -> int:
    """Milliseconds of a time in seconds, milliseconds, microseconds or nanoseconds: its size tells.

    Raises:
        ValueError: it is none of these, or not between 2001 and 2286.
    """
    return _ms_and_unit(value)[0]


def end_ms(close_time: Any) -> int:
    """When a bar ends whose last second, millisecond, microsecond or nanosecond is given, ms (exclusive).

    Raises:
        ValueError: as `time_ms`.
    """
    last_ms, unit_ms = _ms_and_unit(close_time)
    return last_ms + unit_ms


def _ms_and_unit(value: Any) -> tuple[int, int]:
    """Milliseconds, and how many the unit has, at least one."""
    if type(value) is str and len(value) == 13 and value.isascii() and value.isdigit() and value[0] != "0":
        return int(value), 1  # nearly all
    found = _DIGITS.fullmatch(str(value)) if type(value) in (str, int, float) else None
    if found is None:
        raise ValueError(value)
    number = int(found[1])
    for unit in (1, 10**3, 10**6, 10**9):
        if _LEAST_S * unit <= number < 10 * _LEAST_S * unit:
            unit_ms = _MS_OF_A_SECOND if unit == 1 else 1
            return number * 1000 // unit, unit_ms
    raise ValueError(value)
