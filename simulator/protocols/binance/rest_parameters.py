"""Query parameters of REST requests, refused with Binance's own codes (BINANCE_SPOT.md §7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import orjson

from simulator.exchange import Span
from simulator.world.calendar import INTERVALS

_SYMBOL: Final = re.compile(r"[^\W_a-z]{1,20}", re.UNICODE)
_HOUR_MS: Final = 3_600_000
# Times beyond this are microseconds (BINANCE_SPOT.md §7.3): 13 digits are ms until the year 2286.
_LARGEST_MS: Final = 10**13


class BadRequest(Exception):
    """A request that gets status 400 (404 for an unknown path) and a body with this code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


INVALID_SYMBOL: Final = (-1121, "Invalid symbol.")


class Parameters:
    """The query of one request. Reading marks a parameter as known; `finish` refuses the rest."""

    def __init__(self, query: Sequence[tuple[str, str]], symbols: Sequence[str]) -> None:
        self._query = dict(query)
        self._sent = len(query)
        self._read: set[str] = set()
        self._symbols = symbols

    def text(self, name: str) -> str | None:
        self._read.add(name)
        return self._query.get(name)

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise BadRequest(
                -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
            )
        return value

    def symbol(self) -> str:
        return self._known(self.required("symbol"))

    def chosen_symbols(self) -> tuple[list[str], bool] | None:
        """Symbols by `symbol` or `symbols` and whether it was the single form; None if neither was sent."""
        single, several = self.text("symbol"), self.text("symbols")
        if single is not None and several is not None:
            raise BadRequest(-1128, "Combination of optional parameters invalid.")
        if single is not None:
            return [self.symbol()], True
        if several is None:
            return None
        try:
            names = orjson.loads(several)
        except orjson.JSONDecodeError:
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise BadRequest(
                -1100,
                "Illegal characters found in parameter 'symbols'; legal range is "
                """'^\\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\\]$'.""",
            )
        if len(set(names)) < len(names):
            raise BadRequest(-1151, "Symbol is present multiple times in the list.")
        return [self._known(name) for name in names], False

    def interval(self) -> str:
        value = self.required("interval")
        if value not in INTERVALS:
            raise BadRequest(-1120, "Invalid interval.")
        return value

    def limit(self, default: int, most: int) -> int:
        """A count; larger ones are cut to `most` (BINANCE_SPOT.md §8.1, §8.6)."""
        value = self.integer("limit")
        if value is None:
            return default
        if value < 1:
            raise BadRequest(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(value, most)

    def integer(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,20}", value):
            raise BadRequest(
                -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
            )
        return int(value)

    def span(self, default: int, most: int) -> Span:
        limit = self.limit(default, most)
        return Span(self._time("startTime", round_up=True), self._time("endTime", round_up=False), limit)

    def time_zone_ms(self) -> int:
        """Offset of `timeZone` in ms: H, HH, H:MM or HH:MM with an optional sign, −12:00 to +14:00."""
        value = self.text("timeZone")
        if value is None:
            return 0
        # An unencoded plus sign arrives as a blank.
        found = re.fullmatch(r"([ +-]?)(\d{1,2})(?::([0-5]\d))?", value)
        offset = 0
        if found:
            offset = int(found[2]) * _HOUR_MS + int(found[3] or 0) * 60_000
            offset = -offset if found[1] == "-" else offset
        if not found or not -12 * _HOUR_MS <= offset <= 14 * _HOUR_MS:
            raise BadRequest(-1130, "Data sent for parameter 'timeZone' is not valid.")
        return offset

    def finish(self) -> None:
        """Refuse parameters that no one has read."""
        if self._query.keys() - self._read:
            read = len(self._query.keys() & self._read)
            raise BadRequest(
                -1104,
                f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{self._sent}'.",
            )

    def _known(self, name: str) -> str:
        if not _SYMBOL.fullmatch(name.replace("_", "").replace("-", "").replace(".", "")):
            raise BadRequest(
                -1100,
                "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.",
            )
        if name not in self._symbols:
            raise BadRequest(*INVALID_SYMBOL)
        return name

    def _time(self, name: str, *, round_up: bool) -> int | None:
        value = self.integer(name)
        if value is None or value < _LARGEST_MS:
            return value
        return -(-value // 1000) if round_up else value // 1000
