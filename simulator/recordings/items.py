"""The items of recordings, whatever the format of their files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from shared.errors import RecordingError
from simulator.exchange import Depth, KlineRow

Series = tuple[str, str]

_DECODER: Final = json.JSONDecoder()
_LONGEST_STREAM: Final = 200


class Frame(NamedTuple):
    """One received frame.

    Attributes:
        received_us: receive time in microseconds since the epoch.
        stream: its name in the combined envelope.
        body: the raw event, JSON.
    """

    received_us: int
    stream: str
    body: bytes


class Snapshot(NamedTuple):
    """A book as REST gave it; `depth` is JSON of a `Depth`."""

    symbol: str
    received_us: int
    depth: bytes


class Archive(NamedTuple):
    """Bars of a series follow, from a file of a market, if known."""

    series: Series
    file: str
    market: str | None


class ArchivedBar(NamedTuple):
    """A bar of the preceding `Archive`, and its line."""

    line: int
    row: KlineRow


class RecordedListing(NamedTuple):
    """exchangeInfo as REST gave it."""

    answer: Mapping[str, Any]


class Note(NamedTuple):
    """A remark about a file, for the user."""

    text: str


Item = Frame | Snapshot | Archive | ArchivedBar | RecordedListing | Note


def snapshot(symbol: str, received_us: int, body: Mapping[str, Any]) -> Snapshot:
    """A snapshot from an answer of /depth."""
    depth = Depth(int(body["lastUpdateId"]), body["bids"], body["asks"])
    return Snapshot(symbol, received_us, orjson.dumps(list(depth)))


def spot_frame(received_us: int, text: str, message: Any, path: Path, line: int) -> Frame:
    """A frame from a combined message.

    Args:
        text: the message as recorded, whose bytes are kept.
        message: the same, decoded.

    Raises:
        RecordingError: the message is no combined frame, or has what only futures have (`pu`, typed book
            tickers, order types on trades; the recordings' README §2.8).
    """
    if not _is_combined(message):
        raise RecordingError(
            f'{path}, line {line}: not a frame of Binance spot; expected {{"stream":…,"data":…}} '
            "(recordings of other exchanges cannot be replayed)"
        )
    event, stream = message["data"], message["stream"]
    kind = event.get("e")
    if (
        "pu" in event
        or kind == "bookTicker"
        or (kind == "trade" and "X" in event)
        or kind == "markPriceUpdate"
    ):
        raise RecordingError(
            f"{path}, line {line}: a recording of Binance USD-M futures ({stream}); "
            "only Binance spot can be replayed"
        )
    return Frame(received_us, stream, _as_recorded(event, text))


def _is_combined(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and isinstance(message.get("data"), dict)
        and isinstance(stream := message.get("stream"), str)
        and len(stream) <= _LONGEST_STREAM
    )


def _as_recorded(event: Mapping[str, Any], text: str) -> bytes:
    """The event's own bytes within the message."""
    compact = orjson.dumps(event)
    if compact.decode() in text:
        return compact
    # With blanks, or with details that decoding does not keep: 1e3, 0.10, \u escapes.
    found = re.search(r'"data"\s*:\s*', text)
    if found is None:
        return compact
    _, end = _DECODER.raw_decode(text, found.end())
    return text[found.end() : end].encode()
