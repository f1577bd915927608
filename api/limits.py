"""What one client, and all together, may hold and send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# A cursor may be ahead of a replica that is about to read the same records.
AHEAD_MS: Final = 5_000
# Series that the API follows at once: symbols × kinds × intervals of a large deployment.
MOST_SERIES: Final = 4_096


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Attributes:
        frame_ms: least time between two frames of a client.
        credits: frames that may be unacknowledged.
        trades_per_frame: above it the oldest are skipped and counted.
        backlog_rows: exact rows of a subscription that may wait; above it the subscription starts over.
        frame_bytes: of one frame; a larger row goes alone.
        client_bytes: estimate of what waits for one client.
        subscriptions: of one client.
        ring_rows: of one ring, where its kind has not less.
        ring_bytes: estimate of all rings.
    """

    frame_ms: int = 50
    credits: int = 2
    trades_per_frame: int = 200
    backlog_rows: int = 20_000
    frame_bytes: int = 256_000
    client_bytes: int = 1_000_000
    subscriptions: int = 64
    ring_rows: int = 2_000
    ring_bytes: int = 48 * 2**20
