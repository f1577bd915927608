"""The clocks of a producer process: ours, the exchange's, and that of the messages."""

from __future__ import annotations

import time

from producers.clock_offset import ClockOffset


class Clock:
    """Times in ms since the epoch.

    Attributes:
        offset: how far the exchange's clock is ahead of ours.
        replay_ms: receive time of the newest recorded message; None while the source is live.
    """

    def __init__(self) -> None:
        self.offset = ClockOffset()
        self.replay_ms: int | None = None

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def exchange_ms(self) -> int:
        return self.now_ms() + round(self.offset.offset_ms)

    def message_ms(self) -> int:
        """What is received now gets this time: in replay all windows run in message time (DESIGN §4.2)."""
        return self.now_ms() if self.replay_ms is None else self.replay_ms
