"""The clocks of a producer process: ours, the exchange's, and that of the messages."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from producers.clock_offset import ClockOffset
from shared.errors import ExchangeError

# How far a time may lie beyond the exchange's clock as we know it: half a round trip, a server of it
# whose clock is a little off. Below the 15 s for which REST is asked for a bar (producers.effects), so that
# what is let through can be confirmed.
AHEAD_MS: Final = 10_000
# Before the exchange's clock was ever heard: no bound but that of times themselves (the year 2248).
_UNBOUNDED_MS: Final = 7 * 10**12
_ASK_AGAIN_S: Final = 1.0
# A clock that runs at another pace than ours is a simulated one; below it is the noise of round trips.
_OTHER_PACE: Final = 2.0
_PACE_OVER_S: Final = 0.5


class Clock:
    """Times in ms since the epoch.

    Attributes:
        offset: how far the exchange's clock is ahead of ours.
        replay_ms: receive time of the newest recorded message; None while the source is live.
        ask: asks the exchange for its clock and tells `receive`; None where nobody can.
        ahead_ms: a time up to `now_ms() + ahead_ms` is none beyond the exchange's clock; beyond it, ask
            `latest_ms`, which knows when ours was set meanwhile.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.offset = ClockOffset()
        self.replay_ms: int | None = None
        self.ask: Callable[[], Awaitable[None]] | None = None
        self.ahead_ms = _UNBOUNDED_MS
        self._monotonic = monotonic
        self._heard: tuple[float, int] | None = None  # monotonic seconds, and the exchange's clock then
        self._pace = 1.0
        self._asked_s = -_ASK_AGAIN_S

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def exchange_ms(self) -> int:
        return self.now_ms() + round(self.offset.offset_ms)

    def message_ms(self) -> int:
        """What is received now gets this time: in replay all windows run in message time (DESIGN §4.2)."""
        return self.now_ms() if self.replay_ms is None else self.replay_ms

    def receive(self, sent_ms: int, server_time_ms: int) -> None:
        """Take the exchange's answer, just come, to a question asked at `sent_ms` of our clock."""
        self.offset.receive(sent_ms, server_time_ms, self.now_ms())
        now_s = self._monotonic()
        if self._heard is not None and now_s - self._heard[0] >= _PACE_OVER_S:
            pace = (server_time_ms - self._heard[1]) / 1000 / (now_s - self._heard[0])
            self._pace = pace if pace > _OTHER_PACE else 1.0
        self._heard = now_s, server_time_ms
        self.latest_ms()

    def latest_ms(self) -> int:
        """No event of the exchange can have a later time than this. Setting our clock does not change it."""
        now_ms = self.now_ms()
        if self._heard is not None:
            heard_s, server_time_ms = self._heard
            passed_ms = (self._monotonic() - heard_s) * 1000 * self._pace
            self.ahead_ms = server_time_ms + int(passed_ms) + AHEAD_MS - now_ms
        return now_ms + self.ahead_ms

    async def ask_latest_ms(self) -> int:
        """`latest_ms` after asking the exchange, at most once a second.

        A machine that slept has no other way to know. While the exchange does not answer, our own clock may
        vouch for a time as well.
        """
        now_s = self._monotonic()
        if self.ask is None or now_s - self._asked_s < _ASK_AGAIN_S:
            return self.latest_ms()
        self._asked_s = now_s
        try:
            await self.ask()
        except ExchangeError:
            return max(self.latest_ms(), self.exchange_ms() + AHEAD_MS)
        return self.latest_ms()
