"""Decides when a run may stop: signals, a silent source, a store that has everything."""

from __future__ import annotations

import enum
import signal
from collections.abc import Mapping
from types import FrameType
from typing import Final, Self

from shared.command import stop_signals

QUIESCENCE_DEADLINE_S: Final = 30.0
DRAIN_DEADLINE_S: Final = 60.0
DRAIN_STALL_S: Final = 15.0
# The producers' last records are acknowledged before they end; reading them takes less than a second.
DRAIN_STABLE_S: Final = 1.0


class StopRequest:
    """Counts the signals that ask this process to stop, while entered.

    Before `begin` the first signal raises KeyboardInterrupt, since nothing needs an orderly stop yet.
    """

    def __init__(self) -> None:
        self._count = 0
        self._orderly = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in stop_signals():
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    def begin(self) -> None:
        """Make stops orderly from now on."""
        self._orderly = True

    @property
    def asked(self) -> bool:
        return self._count > 0

    @property
    def hastened(self) -> bool:
        """Asked a second time: end at once."""
        return self._count > 1

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if not self._orderly:
            raise KeyboardInterrupt


class QuiescenceDetector:
    """Detects by their metrics that the producers have published everything of the source. Pure.

    Quiescent means: nothing is being fetched, and two successive reports count the same messages.

    Args:
        since: when the source fell silent; earlier reports do not count.
        source_silent: False for a live exchange, which never falls silent: then only fetches count.
    """

    def __init__(self, since: float, *, source_silent: bool = True) -> None:
        self._since = since
        self._source_silent = source_silent
        self._last: tuple[float, int] | None = None
        self._quiescent = False

    def receive(self, at: float, messages: int, *, fetched: bool) -> bool:
        """Take the newest report, or the same again, and decide.

        Args:
            at: time of the report, by the clock of `since`.
            messages: counted since the producers' start.
            fetched: nothing is being fetched.
        """
        if at <= self._since:
            return False
        if not self._source_silent:
            return fetched
        if self._last is None or at > self._last[0]:
            self._quiescent = fetched and self._last is not None and messages == self._last[1]
            self._last = at, messages
        return self._quiescent


def all_fetched(gauges: Mapping[str, float]) -> bool:
    """Whether a producer is warm and fetches nothing, by its gauges."""
    return gauges.get("pending_fills", 0) == 0 and gauges.get("warm", 0) == 1


class DrainState(enum.Enum):
    WAITING = "waiting"
    COMPLETE = "complete"
    GIVEN_UP = "given up"


class Drain:
    """Decides when a stopping run has waited long enough for the store. Pure.

    It waits until all that is expected was read and is stored: 60 s at most, and 15 s without progress.

    Args:
        now_s: when the last producer ended.
    """

    def __init__(self, now_s: float) -> None:
        self._began_s = self._progress_s = now_s
        self._seen: tuple[int, int, bool] | None = None

    def step(self, now_s: float, expected: int, missing: int, *, read: bool) -> DrainState:
        """Decide.

        Args:
            expected: ids expected so far, of all series.
            missing: how many of them are neither stored nor excused (halted, offline).
            read: the ledger was read up to where it ended after the producers, without which the counts prove
                nothing.
        """
        if not read or (expected, missing, read) != self._seen:
            self._seen = (expected, missing, read)
            self._progress_s = now_s
        still_s = now_s - self._progress_s
        if missing == 0 and still_s >= DRAIN_STABLE_S:
            return DrainState.COMPLETE
        if still_s >= DRAIN_STALL_S or now_s - self._began_s >= DRAIN_DEADLINE_S:
            # Nothing missing at the deadline is complete, however lively.
            return DrainState.GIVEN_UP if missing or not read else DrainState.COMPLETE
        return DrainState.WAITING
