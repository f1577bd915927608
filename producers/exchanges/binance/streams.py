"""Stream names, URLs and SUBSCRIBE frames of Binance spot (BINANCE_SPOT.md §2.1, §2.3, §3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import orjson

from producers.exchanges.frame_types import Stream

# Of 1,024 allowed: losing a connection then costs at most the repair of 25 symbols.
STREAMS_PER_CONNECTION: Final = 200
# Longer control frames are answered late (§2.3); instead of longer URLs SUBSCRIBE is used.
_URL_CHARACTERS: Final = 4_000
_FRAME_BYTES: Final = 3_500


def streams_of(symbol: str, intervals: Sequence[str]) -> list[Stream]:
    """All streams of one symbol, which they name in lower case; intervals keep their case (§4.5)."""
    lower = symbol.lower()
    return [
        *(Stream(symbol, "kline", interval, f"{lower}@kline_{interval}") for interval in intervals),
        Stream(symbol, "trade", None, f"{lower}@trade"),
        Stream(symbol, "depth", None, f"{lower}@depth@100ms"),
        Stream(symbol, "quote", None, f"{lower}@bookTicker"),
    ]


def connections(symbols: Sequence[str], intervals: Sequence[str]) -> list[list[Stream]]:
    """The streams of all symbols, divided among connections; those of a symbol stay together."""
    groups: list[list[Stream]] = []
    for symbol in symbols:
        streams = streams_of(symbol, intervals)
        if not groups or len(groups[-1]) + len(streams) > STREAMS_PER_CONNECTION:
            groups.append([])
        groups[-1] += streams
    return groups


def open_with(websocket_url: str, streams: Sequence[Stream]) -> tuple[str, list[bytes]]:
    """The URL of a combined connection, and the frames to send once it is open."""
    names = [stream.name for stream in streams]
    url = f"{websocket_url}/stream?streams={'/'.join(quote(name, safe='@') for name in names)}"
    if len(url) < _URL_CHARACTERS:
        return url, []
    return f"{websocket_url}/stream", _subscribe_frames(names)


def _subscribe_frames(names: Sequence[str]) -> list[bytes]:
    chunks: list[list[str]] = [[]]
    size = 0
    for name in names:
        size += len(name.encode()) + 3  # two quotation marks and a comma
        if size > _FRAME_BYTES:
            chunks.append([])
            size = len(name.encode()) + 3
        chunks[-1].append(name)
    return [
        orjson.dumps({"method": "SUBSCRIBE", "params": chunk, "id": request_id})
        for request_id, chunk in enumerate(chunks, start=1)
    ]
