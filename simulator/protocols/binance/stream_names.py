"""Stream names of subscriptions (BINANCE_SPOT.md §4.1). Case matters: `1m` is not `1M`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from simulator.world.calendar import INTERVALS

Kind = Literal["trade", "aggTrade", "kline", "bookTicker", "depth", "partial"]
_PLAIN: Final[dict[str, Kind]] = {"trade": "trade", "aggTrade": "aggTrade", "bookTicker": "bookTicker"}
_KLINE: Final = re.compile(r"kline_(\w+?)(@\+08:00)?")
_DEPTH: Final = re.compile(r"depth(5|10|20)?(@100ms|@1000ms)?")
EAST_EIGHT_MS: Final = 8 * 3_600_000


@dataclass(frozen=True, slots=True)
class StreamName:
    """A stream that the world can feed.

    Attributes:
        interval: of a kline stream, with `offset_ms` its time zone.
        levels: of a partial depth stream.
        pace_slots: of a book stream: 1 or 10 slots of 100 ms.
    """

    name: str
    symbol: str
    kind: Kind
    interval: str = ""
    offset_ms: int = 0
    levels: int = 0
    pace_slots: int = 10


def well_formed(name: str) -> bool:
    """Whether a name is accepted, though it may stay silent for ever (BINANCE_SPOT.md §3)."""
    return bool(name) and not any(sign in name for sign in " ,\"'") and ("@" in name or name.startswith("!"))


def parse_stream_name(name: str) -> StreamName | None:
    """The stream of a name; None for names that stay silent."""
    lower, _, rest = name.partition("@")
    if not lower or lower != lower.lower():
        return None
    symbol = lower.upper()
    if rest in _PLAIN:
        return StreamName(name, symbol, _PLAIN[rest], pace_slots=1)
    if found := _KLINE.fullmatch(rest):
        if found[1] not in INTERVALS:
            return None
        return StreamName(
            name, symbol, "kline", interval=found[1], offset_ms=EAST_EIGHT_MS if found[2] else 0
        )
    if found := _DEPTH.fullmatch(rest):
        kind: Kind = "partial" if found[1] else "depth"
        pace = 1 if found[2] == "@100ms" else 10
        return StreamName(name, symbol, kind, levels=int(found[1] or 0), pace_slots=pace)
    return None
