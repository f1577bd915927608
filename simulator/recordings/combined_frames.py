"""JSON lines of combined frames, with or without a receive time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from simulator.recordings.recording import Recording, spot_frame

_APART_MS: Final = 100


def read(path: Path, lines: Iterator[str]) -> Recording:
    """Frames; those without a time of their own stand 100 ms apart from their neighbours."""
    messages = [orjson.loads(line) for line in lines]
    times = [_time_ms(message) for message in messages]
    first = next((index for index, time in enumerate(times) if time is not None), None)
    # Where no frame has a time, the recording begins at the epoch.
    current = (times[first] or 0) - _APART_MS * (first + 1) if first is not None else -_APART_MS
    frames = []
    for number, (message, time) in enumerate(zip(messages, times, strict=True), 1):
        current = current + _APART_MS if time is None else max(current, time)
        frames.append(spot_frame(current * 1000, message, path, number))
    return Recording(frames=frames)


def _time_ms(message: Any) -> int | None:
    if not isinstance(message, dict):
        return None
    received = message.get("receivedTime")
    event = message.get("data")
    created = event.get("E") if isinstance(event, dict) else None
    return received if isinstance(received, int) else created if isinstance(created, int) else None
