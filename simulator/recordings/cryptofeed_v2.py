"""Recordings in cryptofeed's format 2: a JSON object a line, with the raw text of a frame or an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from shared.errors import RecordingError

_FORMAT: Final = 2
_KINDS: Final = frozenset(("header", "http", "connect", "send", "recv"))


class RecordedHeader(NamedTuple):
    """What the recorder was asked for; `exchange` in capitals, as cryptofeed has it."""

    exchange: str
    asked: dict[str, Any]


class RecordedAnswer(NamedTuple):
    """An answer of REST; times here are microseconds since the epoch."""

    received_us: int
    url: str
    body: bytes


class RecordedRequest(NamedTuple):
    """A frame that the recorder sent."""

    sent_us: int
    connection: str
    body: bytes


class ReceivedFrame(NamedTuple):
    """A frame that the exchange sent, byte by byte; counters hold within one `connection`."""

    received_us: int
    connection: str
    body: bytes


Line = RecordedHeader | RecordedAnswer | RecordedRequest | ReceivedFrame


def read_cryptofeed_v2(path: Path, lines: Iterable[str]) -> Iterator[Line]:
    """All lines but those that only say that a connection was opened.

    Raises:
        RecordingError: a line is of another format.
    """
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            item = _item(orjson.loads(text))
        except (LookupError, TypeError, AttributeError, ValueError) as error:  # orjson's is a ValueError
            raise RecordingError(
                f"{path}, line {number}: no line of cryptofeed's format {_FORMAT} ({error})"
            ) from None
        if item is not None:
            yield item


def _item(line: dict[str, Any]) -> Line | None:
    kind = line["t"]
    if kind not in _KINDS:
        raise ValueError(f"a line of the unknown kind {str(kind)[:40]!r}")
    if kind == "header":
        if line["format"] != _FORMAT:
            raise ValueError(f"format {str(line['format'])[:40]}")
        return RecordedHeader(line["exchange"], line["config"])
    time_us = round(line["ts"] * 1_000_000)
    match kind:
        case "http":
            return RecordedAnswer(time_us, line["url"], line["data"].encode())
        case "send":
            return RecordedRequest(time_us, line["conn"], line["data"].encode())
        case "recv":
            return ReceivedFrame(time_us, line["conn"], line["data"].encode())
    return None
