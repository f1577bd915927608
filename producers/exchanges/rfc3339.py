"""RFC 3339 times with up to nine digits of a second, as Kraken and Coinbase send them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from shared.errors import InvalidMessage

_EXPECTED: Final = "an RFC 3339 time from 1970 to 2262, such as 2026-08-03T14:25:03.120331Z"
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_NS: Final = 1_000_000_000
# Where int64 nanoseconds end, in 2262.
_LATEST_NS: Final = 2**63


def time_ns(field: str, text: Any) -> int:
    """Nanoseconds since the epoch, UTC; digits beyond the ninth of a second are cut off.

    Args:
        field: its name in an error.

    Raises:
        InvalidMessage: no such time.
    """
    found = _TIME.fullmatch(text) if type(text) is str else None
    seconds = _seconds(found[1], found[2]) if found is not None else None
    if found is None or seconds is None:
        raise InvalidMessage(field, text, _EXPECTED)
    if found[4]:
        hours, minutes = int(found[5]), int(found[6])
        if hours > 23 or minutes > 59:
            raise InvalidMessage(field, text, _EXPECTED)
        offset = hours * 3_600 + minutes * 60
        seconds += -offset if found[4] == "+" else offset
    time = seconds * _NS + int((found[3] or "0")[:9].ljust(9, "0"))
    if not 0 <= time < _LATEST_NS:
        raise InvalidMessage(field, text, _EXPECTED)
    return time


def time_ms(field: str, text: Any) -> int:
    """The same in whole milliseconds, cut off, so that a time stays within its bar."""
    return time_ns(field, text) // 1_000_000


# Frames of one second share it; parsing a date costs ten times a look-up.
@lru_cache(maxsize=1 << 10)
def _seconds(date: str, time: str) -> int | None:
    # A leap second is the last one of its minute for us, as for the clocks of exchanges.
    leap = time.endswith(":60")
    try:
        parsed = datetime.fromisoformat(f"{date}T{time[:6]}59" if leap else f"{date}T{time}")
    except ValueError:
        return None
    return int(parsed.replace(tzinfo=UTC).timestamp())
