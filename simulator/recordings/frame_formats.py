"""Text formats of recorded frames: hftbacktest, cryptofeed, and JSON lines of combined frames."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson

from shared.errors import RecordingError
from simulator.recordings.items import Item, RecordedListing, snapshot, spot_frame

# cryptofeed's version 1.
_FRAME: Final = re.compile(r"(\d{10})(?:\.(\d+))?: (.*)", re.DOTALL)
_ANSWER: Final = re.compile(r"(https?://\S+) -> (\d{10})(?:\.(\d+))?: (.*)", re.DOTALL)
_OTHER: Final = re.compile(r"wss?://\S+ <->? |configuration: ")
_BINANCE_SPOT: Final = re.compile(r"(www|api\d?|data-api)\.binance\.(com|vision)$")
_APART_MS: Final = 100


def read_hftbacktest(path: Path, lines: Iterable[str]) -> Iterator[Item]:
    """`<receive time, ns> <json>`, a combined frame or a bare REST depth body.

    A snapshot's symbol is that of the file name, since the body has none.
    """
    symbol_in_name = re.search(r"hft_(?:[a-z]+_)?([a-z0-9]+)_\d{8}", path.name)
    for number, line in enumerate(lines, 1):
        received_ns, _, text = line.partition(" ")
        message = orjson.loads(text)
        received_us = int(received_ns) // 1000
        if "lastUpdateId" not in message:
            yield spot_frame(received_us, text, message, path, number)
            continue
        if "T" in message:
            raise RecordingError(
                f"{path}, line {number}: an order book of Binance USD-M futures; "
                "only Binance spot can be replayed"
            )
        if symbol_in_name is None:
            raise RecordingError(
                f"{path}: the order book's symbol must stand in the name, as in hft_btcusdt_20240808.gz"
            )
        yield snapshot(symbol_in_name[1].upper(), received_us, message)


def read_cryptofeed(path: Path, lines: Iterable[str]) -> Iterator[Item]:
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


def read_combined(path: Path, lines: Iterable[str]) -> Iterator[Item]:
    """JSON lines; frames without a time of their own stand 100 ms apart from their neighbours.

    Args:
        lines: read twice, up to the first that has a time.

    Raises:
        RecordingError: none has one, so that nobody knows when it was.
    """
    current = _begin_ms(path, lines)
    for number, line in enumerate(lines, 1):
        message = orjson.loads(line)
        time = _time_ms(message)
        current = current + _APART_MS if time is None else max(current, time)
        yield spot_frame(current * 1000, line, message, path, number)


def _begin_ms(path: Path, lines: Iterable[str]) -> int:
    """From when on untimed frames stand apart."""
    for index, line in enumerate(lines):
        time = _time_ms(orjson.loads(line))
        if time is not None:
            return time - _APART_MS * (index + 1)
    raise RecordingError(
        f"{path}: no frame has a time, neither receivedTime beside its stream nor E in its data;"
        " record when each one came"
    )


def _time_ms(message: Any) -> int | None:
    if not isinstance(message, dict):
        return None
    received = message.get("receivedTime")
    event = message.get("data")
    created = event.get("E") if isinstance(event, dict) else None
    return received if isinstance(received, int) else created if isinstance(created, int) else None
