"""Moving a recording's times by one constant, so that it plays now."""

from __future__ import annotations

from typing import Final

from shared.errors import UsageError
from simulator.protocol.stream_names import parse_stream_name
from simulator.recordings.recording import Recording
from simulator.world.calendar import bar_end

_MINUTE_MS: Final = 60_000


def shift_to(recording: Recording, now_ms: int) -> int:
    """The shift in ms with which the recording starts now, or up to a bar earlier.

    Bars stay multiples of their interval. A recording of klines alone is history: it ends now instead.
    """
    intervals = {interval for _, interval in recording.series}
    for name in recording.streams:
        stream = parse_stream_name(name)
        if stream and stream.kind == "kline":
            intervals.add(stream.interval)
    if "1M" in intervals:
        raise UsageError(
            "--shift-now: months differ in length, so klines of 1M cannot be moved; leave them out"
        )
    step = max((bar_end(interval, 0) for interval in intervals), default=_MINUTE_MS)
    frames = recording.frames
    origin_ms = frames.first_us // 1000 if len(frames) else recording.last_bar_ms + 1
    return (now_ms - origin_ms) // step * step
