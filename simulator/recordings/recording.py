"""What a recording is once it is read, whatever its format."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from shared.errors import RecordingError
from simulator.exchange import Depth, KlineRow

_DECODER: Final = json.JSONDecoder()


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


@dataclass(slots=True)
class Recording:
    """Frames in receive-time order and the REST answers that belong to them.

    Attributes:
        snapshots: by symbol, (receive time in µs, book), in time order.
        klines: by (symbol, interval) and open time in ms.
        archives: by (symbol, interval), the files of its klines with their markets, where they are known.
        exchange_info: the newest recorded answer.
        notes: what of the files could not be read.
    """

    frames: list[Frame] = field(default_factory=list)
    snapshots: dict[str, list[tuple[int, Depth]]] = field(default_factory=dict)
    klines: dict[tuple[str, str], dict[int, KlineRow]] = field(default_factory=dict)
    archives: dict[tuple[str, str], list[tuple[str, str | None]]] = field(default_factory=dict)
    exchange_info: Mapping[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    def add_snapshot(self, symbol: str, received_us: int, body: Mapping[str, Any]) -> None:
        depth = Depth(int(body["lastUpdateId"]), body["bids"], body["asks"])
        self.snapshots.setdefault(symbol, []).append((received_us, depth))


def joined(parts: Iterable[Recording]) -> Recording:
    """Several files as one recording, in receive-time order."""
    whole = Recording()
    for part in parts:
        whole.frames += part.frames
        for symbol, snapshots in part.snapshots.items():
            whole.snapshots.setdefault(symbol, []).extend(snapshots)
        for series, rows in part.klines.items():
            _join_klines(whole, series, rows, part.archives.get(series, []))
        whole.exchange_info = part.exchange_info or whole.exchange_info
        whole.notes += part.notes
    whole.frames.sort(key=lambda frame: frame.received_us)
    for snapshots in whole.snapshots.values():
        snapshots.sort(key=lambda snapshot: snapshot[0])
    return whole


def _join_klines(
    whole: Recording,
    series: tuple[str, str],
    rows: Mapping[int, KlineRow],
    files: list[tuple[str, str | None]],
) -> None:
    """Add an archive's bars to their series.

    Raises:
        RecordingError: it is of another market than one before it, or says otherwise of the same bar.
    """
    held, known = whole.klines.setdefault(series, {}), whole.archives.setdefault(series, [])
    name = " ".join(series)
    for file, market in files:
        for before, other in (archive for archives in whole.archives.values() for archive in archives):
            if market is not None and other is not None and market != other:
                raise RecordingError(
                    f"{file}: of {market}, and {before} of {other}: give files of one market"
                )
    differs = next((open_ms for open_ms in rows if held.get(open_ms, rows[open_ms]) != rows[open_ms]), None)
    if differs is not None:
        raise RecordingError(
            f"{', '.join(file for file, _ in (*known, *files))}: two bars of {name} at {differs} with other"
            " values: give files of one market, each bar once"
        )
    held.update(rows)
    known += files


def spot_frame(received_us: int, text: str, message: Any, path: Path, line: int) -> Frame:
    """A frame from a combined message.

    Args:
        text: the message as it was recorded: what is odd in it stays as odd as it was.
        message: the same, decoded.

    Raises:
        RecordingError: the message is no combined frame, or not of Binance spot: judged by what only futures
            have (`pu`, typed book tickers, order types on trades; the recordings' README §2.8).
    """
    if not isinstance(message, dict) or "stream" not in message or not isinstance(message.get("data"), dict):
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
    # The copy is as small as its content: orjson's own bytes hold on to a kilobyte each.
    return Frame(received_us, sys.intern(stream), bytes(memoryview(_as_recorded(event, text))))


def _as_recorded(event: Mapping[str, Any], text: str) -> bytes:
    """The event's own bytes within the message."""
    compact = orjson.dumps(event)
    if compact.decode() in text:
        return compact
    # Written with blanks, or with what decoding does not keep: 1e3, 0.10, \u escapes.
    found = re.search(r'"data"\s*:\s*', text)
    if found is None:
        return compact
    _, end = _DECODER.raw_decode(text, found.end())
    return text[found.end() : end].encode()
