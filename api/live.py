"""The hub in the event loop: events come from the taps' threads, clients are woken when a frame may go."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.client import Client
from api.configured import Configured
from api.feeds import Tags
from api.hub import Activate, Drop, Fetch, Hub
from api.inbox import Inbox
from api.latency import Key, Quantiles
from api.limits import Limits
from consumers.tap.port import Arrived, Event, LiveRow, OnEvents, Taps
from consumers.tap.series import LiveKind, LiveSeries
from shared.errors import UsageError
from shared.settings import Settings

log: Final = logging.getLogger(__name__)

# Rows within it become one turn.
TURN_S: Final = 0.010
# States, and what depends on time alone.
_STATES_S: Final = 0.25
_FRESHNESS_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Series:
    """Newest rows of a series, by time."""

    tags: tuple[str, ...]
    rows: list[LiveRow]


class Live:
    """All live series and their clients. Everything but `on_events` belongs to the loop's thread.

    Attributes:
        rows_received: since the start, of all series that are followed.

    Args:
        make_taps: makes the taps for a callback.
        kinds: by name.
        configured: as of `Hub`.
        most_clients: at once.
        instance: of this service, a tag of its freshness.
        clock_ms: milliseconds since the epoch.
    """

    def __init__(
        self,
        make_taps: Callable[[OnEvents], Taps],
        kinds: Mapping[str, LiveKind],
        limits: Limits,
        *,
        configured: Configured | None = None,
        most_clients: int = 100,
        instance: str = "0",
        clock_ms: Callable[[], float] = lambda: time.time() * 1000,
    ) -> None:
        self.hub = Hub(kinds, limits, configured)
        self.most_clients = most_clients
        self.now_ms = clock_ms
        self._kinds = kinds
        self._instance = instance
        self._wakes: dict[Client, asyncio.Event] = {}
        self._inbox = Inbox(kinds)
        self._inbox_lock = threading.Lock()
        self._announced = False  # the loop knows of what is in the inbox
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: asyncio.Future[None] | None = None  # of turns between those of `run`
        self._turned_s = float("-inf")
        self.rows_received = 0
        self._due: asyncio.TimerHandle | None = None
        self._taps = make_taps(self.on_events)

    # Of the taps' threads.

    def on_events(self, events: Sequence[Event]) -> None:
        """Take events of a tap, from any thread; never waits for viewers."""
        with self._inbox_lock:
            self._inbox.add(events)
            announced, self._announced = self._announced, True
            loop = self._loop
        if announced or loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._rows_came)
        except RuntimeError:
            log.debug("events of a tap after the loop's end")

    # Of the loop.

    async def run(self) -> None:
        """Read and serve until cancelled. Raises what a turn raises."""
        self._loop = asyncio.get_running_loop()
        self._failure = self._loop.create_future()
        self._taps.start()
        told_s = 0.0
        try:
            while True:
                self._turn()
                self.hub.turn(int(self.now_ms()))
                if self._loop.time() >= told_s + _FRESHNESS_S:
                    told_s = self._loop.time()
                    self._tell_freshness()
                self._after()
                await asyncio.wait([self._failure], timeout=_STATES_S)
                if self._failure.done():
                    self._failure.result()
        finally:
            with self._inbox_lock:
                self._loop = None
            await asyncio.to_thread(self._taps.close)

    def join(self) -> tuple[Client, asyncio.Event] | None:
        """A client, and what wakes its sender; None if there are too many."""
        if len(self._wakes) >= self.most_clients:
            return None
        client = self.hub.join()
        wake = self._wakes[client] = asyncio.Event()
        return client, wake

    def leave(self, client: Client) -> None:
        """A client has gone."""
        self._wakes.pop(client, None)
        self.hub.leave(client, int(self.now_ms()))

    def receive(self, client: Client, message: str | bytes) -> None:
        """A client's message.

        Raises:
            ProtocolError: the connection must be closed.
        """
        now_ms = self.now_ms()
        self.hub.receive(client, message, now_ms)
        if self.hub.effects:
            self._after()
        elif client.answers or client.ready(now_ms):
            self._wakes[client].set()
        elif client.due_ms is not None:
            self._wake_later()

    def sent(self, client: Client) -> None:
        """A client's sender has nothing to do until it is woken."""
        if client.due_ms is not None:
            self._wake_later()

    # For HTTP.

    def snapshot(self, name: str, tags: Tags, last: int) -> list[Series]:
        """The newest rows, of series that are followed already; tags that are None are any."""
        return [Series(*each) for each in self.hub.snapshot(name, tags, last)]

    def clients(self) -> list[dict[str, Any]]:
        """What is known of each client at present."""
        now_ms = self.now_ms()
        return [
            {
                "subscriptions": len(client.subscriptions),
                "pending_bytes": client.pending_bytes,
                "unanswered_ms": round(client.unanswered_ms(now_ms)),
            }
            for client in self._wakes
        ]

    @property
    def unread(self) -> str | None:
        """Why Kafka is not read, or some of its topics; None if all are."""
        return self.hub.unread

    @property
    def bad_records(self) -> int:
        """Records that broke their contract and were passed, since the start."""
        return self._taps.bad_records

    def waiting(self) -> tuple[int, int]:
        """Clients, and bytes that wait for them, estimated."""
        return len(self._wakes), sum(client.pending_bytes for client in self._wakes)

    def freshness(self) -> dict[Key, Quantiles]:
        """Latencies of the last minute by exchange, stream and hop (`pushed`, `painted`)."""
        return self.hub.latency.quantiles(self.now_ms())

    # Turns.

    def _rows_came(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = self._turned_s + TURN_S - loop.time()
        if wait_s > 0:
            loop.call_later(wait_s, self._turn_and_wake)
        else:
            self._turn_and_wake()

    def _turn_and_wake(self) -> None:
        try:
            self._turn()
            self._after()
        except Exception as error:  # noqa: BLE001 - it ends `run`, and with it the service
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)

    def _turn(self) -> None:
        self._turned_s = asyncio.get_running_loop().time()
        with self._inbox_lock:
            events, self._announced = self._inbox.take(), False
        if events:
            self.rows_received += sum(len(event.rows) for event in events if isinstance(event, Arrived))
            self.hub.publish(events, int(self.now_ms()))

    def _after(self) -> None:
        """Carry out the hub's effects, and wake who may send."""
        effects = self.hub.effects[:]
        self.hub.effects.clear()
        for effect in effects:
            match effect:
                case Activate(series):
                    try:
                        self._taps.activate(series)
                    except UsageError as error:
                        self.hub.refuse(series, str(error))
                case Fetch(request, series, offset):
                    self._taps.fetch(request, series, offset)
                case Drop(exchange, symbol):
                    self._taps.drop(exchange, symbol)
        now_ms = self.now_ms()
        later = False
        for client, wake in self._wakes.items():
            if client.answers or client.ready(now_ms):
                wake.set()
            elif client.due_ms is not None:
                later = True
        if later:
            self._wake_later()

    def _wake_later(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(TURN_S, self._wake_due)

    def _wake_due(self) -> None:
        self._due = None
        try:
            self._after()
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)

    def _tell_freshness(self) -> None:
        if "freshness" not in self._kinds:
            return
        now_ms = int(self.now_ms())
        events = []
        for (exchange, stream, hop), quantiles in self.freshness().items():
            row = LiveRow(now_ms // 1000 * 1_000_000_000, tuple(quantiles), -1, now_ms)
            series = LiveSeries("freshness", (exchange, stream, hop, self._instance))
            events.append(Arrived(series, (row,), 0))
        self.hub.publish(events, now_ms)


def limits_of(settings: Settings) -> Limits:
    """The limits that settings ask for."""
    return Limits(
        frame_ms=settings.api_frame_ms,
        credits=settings.api_credits,
        trades_per_frame=settings.api_trades_per_frame,
        backlog_rows=settings.api_backlog_rows,
    )
