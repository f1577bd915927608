"""The clocks of a producer process: ours, the exchange's, and that of the messages."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from shared.errors import ExchangeError

# How far a time may lie beyond the exchange's clock as we know it: half a round trip, and differences between
# its servers. Below the 15 s for which REST is asked for a bar, so that an accepted bar can be confirmed.
AHEAD_MS: Final = 10_000
# Before the first measurement: no bound but that of times themselves (the year 2248).
_UNBOUNDED_MS: Final = 7 * 10**12
_ASK_AGAIN_S: Final = 1.0
# A clock that runs faster than this times ours is a simulated one; less is the noise of round trips.
_OTHER_PACE: Final = 2.0
_PACE_OVER_S: Final = 0.5
# The host's clock is corrected by far less than this in a second; more is a step, or a sleep of the host.
STEP_MS: Final = 2_000
# Answers of the exchange's clock further apart than this contradict each other.
CONTRADICTION_MS: Final = 2_000
_CONFIRMS_S: Final = 10.0  # for so long an event of the streams can confirm an answer
_SAMPLES: Final = 8
# More than two good clocks drift apart in the minutes between samples.
_DRIFT_MS: Final = 250.0


class ClockOffset:
    """Offset in ms: exchange time = our time + offset. The sample with the shortest round trip wins.

    Half a round trip is the error bound of a sample, so the shortest one is the best. A sample that differs
    by more than both bounds shows that a clock was set: earlier samples are dropped.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=_SAMPLES)
        self._best: tuple[int, float] | None = None  # of them; it is asked for with every message

    def receive(self, sent_ms: int, server_time_ms: int, received_ms: int) -> None:
        """Take one answer of `/api/v3/time` with the times of its request and its arrival."""
        round_trip_ms = received_ms - sent_ms
        offset_ms = server_time_ms - (sent_ms + received_ms) / 2
        if self._best is not None:
            best_trip_ms, best_ms = self._best
            if abs(offset_ms - best_ms) > (round_trip_ms + best_trip_ms) / 2 + _DRIFT_MS:
                self._samples.clear()
        self._samples.append((round_trip_ms, offset_ms))
        self._best = min(self._samples)

    @property
    def offset_ms(self) -> float:
        """0 before the first measurement."""
        return 0.0 if self._best is None else self._best[1]

    @property
    def round_trip_ms(self) -> int | None:
        return None if self._best is None else self._best[0]


class Clock:
    """Times in ms since the epoch.

    The exchange's clock is followed by a monotonic one: setting the host's clock does not change it.

    Args:
        monotonic: seconds of a monotonic clock.

    Attributes:
        offset: how far the exchange's clock is ahead of the monotonic one.
        replay_ms: receive time of the newest recorded message; None while the source is live.
        ask: asks the exchange for its clock and calls `receive`; None if that is not possible.
        ahead_ms: a time up to `now_ms() + ahead_ms` does not lie beyond the exchange's clock; for later ones
            see `latest_ms`, which notices when the host's clock was set.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.offset = ClockOffset()
        self.replay_ms: int | None = None
        self.ask: Callable[[], Awaitable[None]] | None = None
        self.ahead_ms = _UNBOUNDED_MS
        self._monotonic = monotonic
        # Each: monotonic seconds, and the exchange's clock then.
        self._heard: tuple[float, int] | None = None  # the newest answer
        self._agreed: tuple[float, int] | None = None  # the newest answer that nothing contradicts
        self._event: tuple[float, int] | None = None  # the newest event of the streams
        self._paced_since: tuple[float, int] | None = None  # when `_pace` was last measured
        self._pace = 1.0
        self._ours_ms = 0  # how far the exchange's clock was ahead of the host's at the newest answer
        self._asked_s = -_ASK_AGAIN_S
        self._apart_ms: int | None = None

    def now_ms(self) -> int:
        """The host's clock."""
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        """The monotonic clock."""
        return int(self._monotonic() * 1000)

    def exchange_ms(self) -> int:
        """The exchange's clock; before the first measurement, the host's."""
        if self.offset.round_trip_ms is None:
            return self.now_ms()
        return self.steady_ms() + round(self.offset.offset_ms)

    def message_ms(self) -> int:
        """Receive time of messages: in replay all windows run in message time (DESIGN §4.2)."""
        return self.now_ms() if self.replay_ms is None else self.replay_ms

    def receive(self, sent_ms: int, server_time_ms: int) -> None:
        """Take the exchange's answer to a request sent at `sent_ms` of the monotonic clock."""
        self.offset.receive(sent_ms, server_time_ms, self.steady_ms())
        self._ours_ms = server_time_ms - self.now_ms()
        now_s = self._monotonic()
        since = self._paced_since
        # Measured since a start of its own: answers may follow each other too quickly.
        if since is None or now_s - since[0] >= _PACE_OVER_S:
            if since is not None:
                pace = (server_time_ms - since[1]) / 1000 / (now_s - since[0])
                self._pace = pace if pace > _OTHER_PACE else 1.0
            self._paced_since = now_s, server_time_ms
        self._heard = now_s, server_time_ms
        fresh = self._event is not None and now_s - self._event[0] <= _CONFIRMS_S
        if (
            self._agreed is None
            or self._agrees(server_time_ms, self._agreed)
            or (fresh and self._agrees(server_time_ms, self._event))
        ):
            self._agreed = now_s, server_time_ms
        self.latest_ms()

    def receive_event(self, now_s: float, event_time_ms: int) -> None:
        """Take the time of an event of the streams that has just arrived."""
        self._event = now_s, event_time_ms

    def bounds_ms(self, server_time_ms: int) -> tuple[int, int]:
        """Least and greatest time that it can be when the exchange's clock says `server_time_ms`.

        They differ if the answer contradicts the earlier one, carried forward, or the streams. Before the
        first event only the host's clock can confirm it, which may be wrong as well.
        """
        known_ms = [self._carried_ms(heard) for heard in (self._agreed, self._event) if heard is not None]
        if all(abs(ms - server_time_ms) <= CONTRADICTION_MS for ms in known_ms):
            ours_ms = self.now_ms()
            denied = self._event is None and ours_ms < server_time_ms - CONTRADICTION_MS
            return ours_ms if denied else server_time_ms, server_time_ms
        return min(server_time_ms, *known_ms), max(server_time_ms, *known_ms)

    def least_ms(self) -> int:
        """The exchange's clock, or an earlier time that contradicts its answer.

        One wrong answer must not end what is not over.
        """
        return self.bounds_ms(self.exchange_ms())[0]

    def last_ms(self) -> int:
        """The exchange's clock after the streams have ended: it does not go back."""
        now_ms = self.exchange_ms()
        if self._agreed is None or now_ms >= self._agreed[1] - CONTRADICTION_MS:
            return now_ms
        return self._carried_ms(self._agreed)

    def _agrees(self, server_time_ms: int, heard: tuple[float, int] | None) -> bool:
        return heard is not None and abs(server_time_ms - self._carried_ms(heard)) <= CONTRADICTION_MS

    def _carried_ms(self, heard: tuple[float, int]) -> int:
        """A time that was heard, carried forward to now."""
        heard_s, heard_ms = heard
        return heard_ms + int((self._monotonic() - heard_s) * 1000)

    def latest_ms(self) -> int:
        """The latest time that an event can have now. Setting the host's clock does not change it."""
        now_ms = self.now_ms()
        if self._heard is not None:
            heard_s, server_time_ms = self._heard
            passed_ms = (self._monotonic() - heard_s) * 1000 * self._pace
            self.ahead_ms = server_time_ms + int(passed_ms) + AHEAD_MS - now_ms
        return now_ms + self.ahead_ms

    async def ask_latest_ms(self) -> int:
        """`latest_ms` after asking the exchange; at most once a second, unless its clock has jumped.

        A host that slept has no other way to know. While the exchange does not answer, the host's clock may
        confirm a time as well.
        """
        now_s = self._monotonic()
        if self.ask is None or now_s - self._asked_s < _ASK_AGAIN_S:
            return self.latest_ms()
        before_ms, self._asked_s = self.latest_ms(), now_s
        try:
            await self.ask()
        except ExchangeError:
            return max(self.latest_ms(), self.now_ms() + self._ours_ms + AHEAD_MS)
        latest_ms = self.latest_ms()
        if latest_ms - before_ms > AHEAD_MS:
            self._asked_s = -_ASK_AGAIN_S  # the clock has jumped, and may again
        return latest_ms

    def stepped(self) -> bool:
        """Whether the host's clock was set, or the host has slept, since the last call."""
        before_ms, self._apart_ms = self._apart_ms, self.now_ms() - self.steady_ms()
        return before_ms is not None and abs(self._apart_ms - before_ms) > STEP_MS
