"""JSON lines of combined frames, with or without a receive time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from shared.errors import RecordingError
from simulator.recordings.items import Item, spot_frame

_APART_MS: Final = 100


def read(path: Path, lines: Iterable[str]) -> Iterator[Item]:
    """Frames; those without a time of their own stand 100 ms apart from their neighbours.

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
