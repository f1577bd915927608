"""cryptofeed's text format, version 1: received frames, REST answers, connections, the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import orjson

from shared.errors import RecordingError
from simulator.recordings.items import Item, RecordedListing, snapshot, spot_frame

_FRAME: Final = re.compile(r"(\d{10})(?:\.(\d+))?: (.*)", re.DOTALL)
_ANSWER: Final = re.compile(r"(https?://\S+) -> (\d{10})(?:\.(\d+))?: (.*)", re.DOTALL)
_OTHER: Final = re.compile(r"wss?://\S+ <->? |configuration: ")
_BINANCE_SPOT: Final = re.compile(r"(www|api\d?|data-api)\.binance\.(com|vision)$")


def read(path: Path, lines: Iterable[str]) -> Iterator[Item]:
    """Frames, depth snapshots (`/api/v1` and `/api/v3`) and exchangeInfo."""
    for number, line in enumerate(lines, 1):
        if found := _FRAME.match(line):
            received_us = _microseconds(found[1], found[2])
            yield spot_frame(received_us, found[3], orjson.loads(found[3]), path, number)
        elif found := _ANSWER.match(line):
            yield from _answer(found, path, number)
        elif not _OTHER.match(line):
            raise RecordingError(f"{path}, line {number}: neither a frame nor an answer: {line[:60]!r}")


def _answer(found: re.Match[str], path: Path, number: int) -> Iterator[Item]:
    url = urlsplit(found[1])
    if not _BINANCE_SPOT.match(url.netloc):
        raise RecordingError(
            f"{path}, line {number}: an answer of {url.netloc}; only Binance spot can be replayed"
        )
    body = orjson.loads(found[4])
    if url.path.endswith("/depth"):
        symbol = parse_qs(url.query)["symbol"][0]
        yield snapshot(symbol, _microseconds(found[2], found[3]), body)
    elif url.path.endswith("/exchangeInfo"):
        yield RecordedListing(body)


def _microseconds(seconds: str, fraction: str | None) -> int:
    return int(seconds) * 1_000_000 + int((fraction or "").ljust(6, "0")[:6])
