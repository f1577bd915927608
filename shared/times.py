"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from shared.shortened import quoted

NS_PER_MS: Final = 10**6
_MOST_DIGITS: Final = 20  # Python refuses to parse numbers of thousands of digits
_LONGEST: Final = 64


def parse_time_ns(text: str) -> int:
    """Nanoseconds since the epoch of milliseconds, or of ISO 8601 (UTC where it names no zone).

    Raises:
        ValueError: neither, or not from 1970 to 2262.
    """
    if text.isascii() and text.isdigit() and 8 < len(text) < _MOST_DIGITS:
        time_ms = int(text)
    else:
        try:
            moment = datetime.fromisoformat(text[:_LONGEST])
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
            time_ms = round(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            raise ValueError(
                f"{quoted(text)} is not a time; write it like 2026-08-03T14:25 or 1785767100000"
            ) from None
    if not 0 <= time_ms * NS_PER_MS < 2**63:
        raise ValueError(f"{quoted(text)} is not a time from 1970 to 2262")
    return time_ms * NS_PER_MS


def iso(time_ms: int) -> str:
    """A time as ISO 8601 in UTC, with milliseconds only if there are any."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    fraction = f".{time_ms % 1000:03d}" if time_ms % 1000 else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
