"""Exchanges' archives of market data: parsing of their file names, and of times in any unit.

Source: BINANCE_SPOT.md §9; data.binance.vision, with files named SYMBOL-INTERVAL-DATE or SYMBOL-KIND-DATE.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath, PurePosixPath
from typing import Any, Final, NamedTuple

_NAME: Final = re.compile(r"([^\s/\\-]+)-(?:(\d+)(mo|[smhdwM])|([A-Za-z]+))-")
_DATED: Final = re.compile(_NAME.pattern + r"\d{4}(?!\d)")
# Any other word is a name of the user's own.
_KINDS: Final = frozenset(
    ("trades", "aggTrades", "bookTicker", "bookDepth", "metrics", "fundingRate", "liquidationSnapshot")
)
# Folders of other futures series, whose files are named like klines.
_OTHER_PRICES: Final = {
    "markpriceklines": "mark prices of ",
    "indexpriceklines": "index prices of ",
    "premiumindexklines": "premium indices of ",
}
# Symbols of coin-margined and of delivery contracts; all other names are ambiguous.
_COIN_MARGINED: Final = re.compile(r"\w+USD_(?:PERP|\d{6})")
_DELIVERED: Final = re.compile(r"\w+_\d{6}")
# Folders of data.binance.vision, anywhere in a path.
_FOLDERS: Final = (
    (("data", "spot"), "spot"),
    (("spot", "monthly"), "spot"),
    (("spot", "daily"), "spot"),
    (("futures", "um"), "USD-M futures"),
    (("futures", "cm"), "COIN-M futures"),
    (("data", "option"), "options"),
)
# Files that archivers and downloads leave beside the data.
_LITTER: Final = re.compile(
    r"(?:^|/)(?:__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)|\.checksum$", re.I
)
# From 2001 to 2286 seconds have 10 digits, milliseconds 13, microseconds 16, nanoseconds 19: in a finer unit
# each would be a time in 1970, for which no market has data.
_MS_OF_A_SECOND: Final = 1000
_LEAST_S: Final = 10**9
_DIGITS: Final = re.compile(r"\s*(\d{1,19})(?:\.0*)?\s*", re.ASCII)
# Columns of an archive of klines without a line of names.
KLINE_COLUMNS: Final = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)


class ArchiveName(NamedTuple):
    """The parts of an archive's name.

    Attributes:
        interval: like 1h or 1M; empty for other archives than klines.
        kind: klines, trades, aggTrades, …
    """

    symbol: str
    interval: str
    kind: str


def archive_name(title: str, *, dated: bool = True) -> ArchiveName | None:
    """The parts of an archive's name, with a symbol of any alphabet; None for other files.

    Args:
        dated: a year must follow; otherwise the name is the user's own.
    """
    # Some file systems decompose accents and syllables; exchanges do not.
    found = (_DATED if dated else _NAME).match(unicodedata.normalize("NFC", title))
    if found is None:
        return None
    symbol, count, unit, kind = found.groups()
    if kind is not None:
        return ArchiveName(symbol.upper(), "", kind) if kind in _KINDS else None
    return ArchiveName(symbol.upper(), f"{count}{'M' if unit == 'mo' else unit}", "klines")


def market_of(path: PurePath, symbol: str) -> str | None:
    """The market of an archive by its folder, else by its symbol; None if neither identifies it."""
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
    """Whether a file in a ZIP is not data."""
    return _LITTER.search(str(PurePosixPath(member))) is not None


def time_ms(value: Any) -> int:
    """Milliseconds of a time in seconds, milliseconds, microseconds or nanoseconds, recognised by its size.

    Raises:
        ValueError: it is not a time between 2001 and 2286.
    """
    return _ms_and_unit(value)[0]


def end_ms(close_time: Any) -> int:
    """End of a bar (ms, exclusive), given its last second, millisecond, microsecond or nanosecond.

    Raises:
        ValueError: as `time_ms`.
    """
    last_ms, unit_ms = _ms_and_unit(close_time)
    return last_ms + unit_ms


def _ms_and_unit(value: Any) -> tuple[int, int]:
    """Milliseconds, and the length of the unit in ms, at least one."""
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
