"""One client: what waits for it, how much may be under way, and the next frame."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from api import answers
from api.feeds import SINGLE
from api.latency import Latency
from api.limits import Limits
from api.pending import Taken
from api.subscription import Subscription

# Answers that wait; the shell reads no further requests of a client who does not take them.
MOST_ANSWERS: Final = 256
# A page's idea of our clock is wrong by half of what its question for the time took. What is further off is
# nonsense, and would be everybody's figure of what is painted.
_CLOCK_MS: Final = 5_000
_RANK: Final = {"latest": 0, "tape": 1, "exact": 2}


class _UnderWay(NamedTuple):
    number: int
    sent_ms: float
    events: tuple[tuple[str, str, int], ...]  # exchange, stream, time of the newest row


class Client:
    """
    Attributes:
        answers: messages that go before the next frame.
        subscriptions: by the client's number.
    """

    def __init__(self, limits: Limits, latency: Latency) -> None:
        self.answers: deque[bytes] = deque()
        self.subscriptions: dict[int, Subscription] = {}
        self._limits = limits
        self._latency = latency
        self._noted: dict[Subscription, None] = {}
        self._under_way: deque[_UnderWay] = deque()
        self._frames = 0
        self._due_ms = float("-inf")

    def answer(self, message: bytes) -> None:
        """Send a message as soon as possible."""
        self.answers.append(message)

    def note(self, subscription: Subscription) -> None:
        """A subscription has something to send."""
        self._noted[subscription] = None

    def remove(self, number: int) -> Subscription | None:
        """End a subscription."""
        subscription = self.subscriptions.pop(number, None)
        if subscription is not None:
            self._noted.pop(subscription, None)
        return subscription

    @property
    def pending_bytes(self) -> int:
        """Of all rows that wait, estimated."""
        return sum(each.pending.size for each in self.subscriptions.values())

    def bound(self) -> None:
        """Let the largest start over while more waits than a client may hold."""
        while self.pending_bytes > self._limits.client_bytes:
            exact = [each for each in self.subscriptions.values() if each.delivery == "exact"]
            largest = max(exact, key=lambda each: each.pending.size, default=None)
            if largest is None or not largest.pending.size:
                largest = max(self.subscriptions.values(), key=lambda each: each.pending.size)
            largest.drop()

    def ready(self, now_ms: float) -> bool:
        """Whether a frame may go now."""
        due = self.due_ms
        # Far before it: our clock was set back.
        return due is not None and (now_ms >= due or now_ms < due - 2 * self._limits.frame_ms)

    @property
    def due_ms(self) -> float | None:
        """When the next frame may go; None while nothing waits or no credit is free."""
        if not self._noted or len(self._under_way) >= self._limits.credits:
            return None
        return self._due_ms

    def unanswered_ms(self, now_ms: float) -> float:
        """How long the oldest unacknowledged frame is under way; 0 if none is."""
        return now_ms - self._under_way[0].sent_ms if self._under_way else 0.0

    def ack(self, number: int, painted_ms: float | None, now_ms: float) -> str | None:
        """Frames up to this one were painted.

        Args:
            painted_ms: when, by our clock: the page corrects its own by the offset that it measured.

        Returns:
            why the number, or the time, is refused; None if it is not. A time alone does not hold frames up.
        """
        if number > self._frames:
            return f"frame {number:,} was not sent yet; acknowledge each frame once it is painted"
        while self._under_way and self._under_way[0].number <= number:
            frame = self._under_way.popleft()
            if painted_ms is not None and frame.number == number:
                if not frame.sent_ms - _CLOCK_MS <= painted_ms <= now_ms + _CLOCK_MS:
                    return (
                        f"painted_ms: {painted_ms:,.1f} is not between the frame's departure and now by our"
                        " clock; correct it by the offset that `time` shows, or leave it out"
                    )
                for exchange, stream, event_ms in frame.events:
                    self._latency.add(exchange, stream, "painted", painted_ms - event_ms, now_ms)
        return None

    def take(self, now_ms: float) -> bytes | None:
        """The next frame; None while nothing waits, no credit is free or the last was just sent.

        `answers` must be sent before it.
        """
        if not self.ready(now_ms):
            return None
        frame = answers.Frame(self._limits.frame_bytes)
        events: list[tuple[str, str, int]] = []
        # What is small and newest goes first, so that no backlog can hold it up.
        for subscription in sorted(self._noted, key=lambda each: _RANK[each.delivery]):
            self._collect(subscription, frame, events, now_ms)
            del self._noted[subscription]
            if subscription.waits:
                self._noted[subscription] = None  # behind the others, for the next frame
        if not frame:
            return None
        self._frames += 1
        self._due_ms = now_ms + self._limits.frame_ms
        self._under_way.append(_UnderWay(self._frames, now_ms, tuple(events)))
        for exchange, stream, event_ms in events:
            self._latency.add(exchange, stream, "pushed", now_ms - event_ms, now_ms)
        return frame.message(self._frames, now_ms)

    def _collect(
        self,
        subscription: Subscription,
        frame: answers.Frame,
        events: list[tuple[str, str, int]],
        now_ms: float,
    ) -> None:
        number = subscription.number
        state = subscription.state
        if state != subscription.sent_state and frame.add_state(number, state):
            subscription.sent_state = state
        while subscription.gaps and frame.add_gap(number, subscription.gaps[0]):
            del subscription.gaps[0]
        taken = Taken(frame.rows_room, may_exceed=not frame)
        subscription.take(taken)
        if taken.newest_ms is not None:
            age_ms = round(now_ms - taken.newest_ms)
            frame.add_rows(number, taken.fragments, age_ms, taken.cursor_text, past=taken.past)
            # What services report is seconds old by its nature.
            if not taken.past and subscription.view.feed.kind.name in SINGLE:
                events.append(
                    (subscription.view.feed.exchange, subscription.view.feed.kind.name, taken.newest_ms)
                )
        if subscription.skipped and taken.passed:
            # Not earlier: who resumes from the cursor before would count them twice.
            frame.add_skipped(number, subscription.skipped)
            subscription.skipped = 0
