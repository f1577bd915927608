"""How long the buckets keep their points (DESIGN §4.3): `market` for ever, `ticks` seven days."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from consumers.measurements import BucketRole

TICKS_EXPIRY_NS: Final = 7 * 86_400 * 10**9

# Nanoseconds since the epoch; injected where tests and replays need another time.
ClockNs = Callable[[], int]
system_clock_ns: Final[ClockNs] = time.time_ns


def oldest_kept_ns(role: BucketRole, now_ns: int, ticks_expiry_ns: int | None) -> int | None:
    """Oldest time that a bucket still takes; None where it keeps everything.

    Args:
        ticks_expiry_ns: how long `ticks` keeps points, None for ever.
    """
    return now_ns - ticks_expiry_ns if role == "ticks" and ticks_expiry_ns is not None else None
