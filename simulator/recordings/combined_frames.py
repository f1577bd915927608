"""JSON lines of combined frames, with or without a receive time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from simulator.recordings.recording import Frame, Recording, spot_frame

_APART_MS: Final = 100


def read(path: Path, lines: Iterator[str]) -> Recording:
    """Frames; those without a time of their own stand 100 ms apart from their neighbours."""
    frames: list[Frame] = []
    times: list[int | None] = []
    for number, line in enumerate(lines, 1):
        message = orjson.loads(line)
        frames.append(spot_frame(0, line, message, path, number))
        times.append(_time_ms(message))
    first = next((index for index, time in enumerate(times) if time is not None), None)
    # Where no frame has a time, the recording begins at the epoch.
    current = (times[first] or 0) - _APART_MS * (first + 1) if first is not None else -_APART_MS
    for index, time in enumerate(times):
        current = current + _APART_MS if time is None else max(current, time)
        frames[index] = frames[index]._replace(received_us=current * 1000)
    return Recording(frames=frames)


def _time_ms(message: Any) -> int | None:
    if not isinstance(message, dict):
        return None
    received = message.get("receivedTime")
    event = message.get("data")
    created = event.get("E") if isinstance(event, dict) else None
    return received if isinstance(received, int) else created if isinstance(created, int) else None
