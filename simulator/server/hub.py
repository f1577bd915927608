"""Who listens to what: events go from the feed to the connections that have subscribed to their streams."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from simulator.protocol.control import ControlSession
from simulator.protocol.envelopes import Outgoing
from simulator.server.truth_log import TruthLog

EventHook = Callable[[Outgoing], Sequence[Outgoing]]


def send_unchanged(outgoing: Outgoing) -> Sequence[Outgoing]:
    """The hook between 'event made' and 'event sent' when nothing is to happen there."""
    return (outgoing,)


class Listener(Protocol):
    """A connection as the hub sees it."""

    session: ControlSession
    microseconds: bool

    def put(self, frame: bytes) -> None:
        """Queue a frame; must not block."""

    @property
    def waiting(self) -> int:
        """Frames put and not yet written."""


class Hub:
    """All connections and their subscriptions.

    Attributes:
        wanted: names of all streams with a subscriber; the same object until it changes.
        listened_to: set once the first stream has a subscriber.
        on_event: pure hook on every event; what it returns is sent instead.
    """

    def __init__(self, log: TruthLog, on_event: EventHook = send_unchanged) -> None:
        self.on_event = on_event
        self.wanted: frozenset[str] = frozenset()
        self.listened_to = asyncio.Event()
        self._log = log
        self._listeners: dict[str, list[Listener]] = {}
        self._connections: list[Listener] = []

    def join(self, listener: Listener) -> None:
        self._connections.append(listener)
        self.subscriptions_changed()

    def leave(self, listener: Listener) -> None:
        self._connections.remove(listener)
        self.subscriptions_changed()

    def subscriptions_changed(self) -> None:
        """To be called after a session's streams have changed."""
        by_stream: defaultdict[str, list[Listener]] = defaultdict(list)
        for connection in self._connections:
            for name in connection.session.streams:
                by_stream[name].append(connection)
        self._listeners = dict(by_stream)
        wanted = frozenset(by_stream)
        if wanted != self.wanted:
            self.wanted = wanted
        if wanted:
            self.listened_to.set()

    def send(self, events: Iterable[Outgoing]) -> None:
        """Put events on every connection that has subscribed to their stream, and into the log."""
        for event in events:
            for outgoing in self.on_event(event):
                listeners = self._listeners.get(outgoing.stream)
                if not listeners:
                    continue
                self._log.sent(outgoing)
                for listener in listeners:
                    listener.put(
                        outgoing.encoded(
                            combined=listener.session.combined, microseconds=listener.microseconds
                        )
                    )

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def waiting(self) -> int:
        """The longest queue of frames not yet written to a connection."""
        return max((listener.waiting for listener in self._connections), default=0)
