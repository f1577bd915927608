"""Delivers events from the feed to the connections that have subscribed to their streams."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from simulator.faults.events import Effect, EventFaults, Fire, Hit, Lie, Send
from simulator.faults.market import unissued
from simulator.faults.replies import ReplyFaults
from simulator.faults.script import Fault
from simulator.faults.tally import Tally
from simulator.faults.targets import strikes
from simulator.outgoing import Outgoing
from simulator.protocols.port import Dialect, Session
from simulator.server.arrivals import Arrivals
from simulator.server.exchange_log import ExchangeLog


class Listener(Protocol):
    """A connection as the hub sees it.

    Attributes:
        struck_by: the last fault that ends or silences it.
        leaving: it has announced its end; events that others get too are sent twice.
    """

    session: Session
    struck_by: Fault | None
    leaving: bool

    def number(self, event: Outgoing) -> None:
        """Reserve the place of an event, sent or lost, in the connection's count."""

    def put(self, event: Outgoing) -> None:
        """Queue an event, or call `lost` of the hub; must not block."""

    def strike(self, fault: Fault) -> None:
        """Suffer a fault of connections."""

    @property
    def waiting(self) -> int:
        """Frames put and not yet written."""


class Hub:
    """All connections and their subscriptions.

    Args:
        replies: decides which subscriptions are acknowledged wrongly.
        log: streams that it follows are wanted for ever once they have had a subscriber: the exchange issues
            their events with or without subscribers.
        always: streams that the log follows from the beginning.

    Attributes:
        arrivals: of the clients' frames, and of requests over REST.
        wanted: names of all streams to be fed; the same object until it changes.
        dialect: how the streams are read.
        listened_to: set once enough connections have subscribed.
    """

    def __init__(
        self,
        log: ExchangeLog,
        tally: Tally,
        faults: EventFaults,
        dialect: Dialect,
        replies: ReplyFaults,
        *,
        connections_awaited: int = 1,
        always: frozenset[str] = frozenset(),
    ) -> None:
        self.wanted = always
        self.listened_to = asyncio.Event()
        self.arrivals = Arrivals()
        self._log = log
        self._tally = tally
        self._faults = faults
        self.dialect = dialect
        self._replies = replies
        self._connections_awaited = connections_awaited
        self._listeners: dict[str, list[Listener]] = {}
        self._connections: list[Listener] = []
        # Streams without subscribers since a fault ended their last connection.
        self._cut_by: dict[str, Fault] = {}

    def join(self, listener: Listener) -> None:
        self._connections.append(listener)
        self.subscriptions_changed()

    def leave(self, listener: Listener) -> None:
        self._connections.remove(listener)
        self.subscriptions_changed()
        if listener.struck_by is not None:
            self._cut_by |= dict.fromkeys(
                listener.session.streams.keys() - self._listeners.keys(), listener.struck_by
            )

    def subscriptions_changed(self) -> None:
        """A session's streams have changed."""
        by_stream: defaultdict[str, list[Listener]] = defaultdict(list)
        for connection in self._connections:
            for name in connection.session.streams:
                by_stream[name].append(connection)
        self._listeners = dict(by_stream)
        for name in self._cut_by.keys() & by_stream.keys():
            del self._cut_by[name]
        wanted = frozenset(by_stream) | frozenset(name for name in self.wanted if self._log.follows(name))
        if wanted != self.wanted:
            self.wanted = wanted
        subscribed = sum(1 for connection in self._connections if connection.session.streams)
        if subscribed >= self._connections_awaited:
            self.listened_to.set()

    def send(self, events: Sequence[Outgoing], until_ms: int) -> None:
        """Log the market's events up to a time, and send them as the faults allow."""
        for event in events:
            self._log.issued(event)
        if not self._faults.scripted:
            for event in events:
                self._count_in(event)
                self._deliver(event)
            return
        for effect in self._faults.step(events, until_ms):
            self._obey(effect)

    def release(self) -> None:
        """Send the events that faults hold back: the market has ended."""
        for effect in self._faults.release():
            self._obey(effect)

    def lost(self, event: Outgoing, listener: Listener) -> None:
        """A connection has dropped an event."""
        event.receivers -= 1
        if not event.receivers:
            self._missed(event, listener.struck_by, listener.struck_by)

    def misheard(self) -> bool:
        """Whether the next subscription is acknowledged wrongly."""
        struck = self._replies.meet()
        if struck is None:
            return False
        fault, first = struck
        if first:
            self._tally.fired(fault)
        else:
            self._tally.goes_on(fault)
        self._tally.hit(fault, "reply")
        return True

    def delayed(self, event: Outgoing, fault: Fault) -> None:
        """A connection sends an event later because of a fault."""
        self._count(fault, event)

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def waiting(self) -> int:
        """The longest queue of frames not yet written to a connection."""
        return max((listener.waiting for listener in self._connections), default=0)

    def _obey(self, effect: Effect) -> None:
        match effect:
            case Send(event):
                self._count_in(event)
                self._deliver(event)
            case Hit(fault, event, first, withheld, marked):
                self._count_in(event)
                # Without a listener it is missed in any case.
                if event.stream not in self._listeners:
                    if withheld:
                        self._missed(event, None, self._cut_by.get(event.stream))
                    return
                if first:
                    self._tally.fired(fault)
                else:
                    self._tally.goes_on(fault)
                self._count(fault, event)
                if marked:
                    self._log.struck(fault.kind, event, withheld=withheld)
            case Lie(fault, event) if event.stream in self._listeners:
                self._log.lied(fault.kind, event)
            case Fire(fault) if fault.declared.place == "connection":
                self._strike(fault)
            case Fire():
                self._begun(effect)

    def _count_in(self, event: Outgoing) -> None:
        """Reserve the place of an event that is due in each connection's count, whatever becomes of it."""
        origin = event.origin
        if not self.dialect.counted or origin.counted:
            return
        origin.counted = True
        for listener in self._listeners.get(origin.stream, ()):
            listener.number(origin)

    def _begun(self, fire: Fire) -> None:
        """A fault of the market itself begins."""
        self._tally.fired(fire.fault)
        if fire.fault.kind == "halt":
            for record, count in unissued(fire, self.wanted, self.dialect.target_of).items():
                self._tally.hit(fire.fault, record, count)

    def _deliver(self, event: Outgoing) -> None:
        listeners = self._listeners.get(event.stream)
        if not listeners:
            self._missed(event, None, self._cut_by.get(event.stream))
            return
        event.receivers = len(listeners)
        for listener in listeners:
            if listener.leaving and len(listeners) > 1 and listener.struck_by is not None:
                self._count(listener.struck_by, event)
            listener.put(event)

    def _missed(self, event: Outgoing, named: Fault | None, counted: Fault | None) -> None:
        if not event.genuine or not self.dialect.carried(event.stream):
            return
        self._log.struck(named.kind if named else "disconnected", event, withheld=True)
        if counted is not None:
            self._count(counted, event)

    def _strike(self, fault: Fault) -> None:
        struck = [
            connection
            for connection in self._connections
            if any(
                target is not None and strikes(fault, target)
                for target in map(self.dialect.target_of, connection.session.streams)
            )
        ]
        if struck:
            self._tally.fired(fault)
        for connection in struck:
            connection.strike(fault)

    def _count(self, fault: Fault, event: Outgoing) -> None:
        target = self.dialect.target_of(event.stream)
        if target is not None:
            is_live = target.kind == "kline" and not self.dialect.is_final(event)
            self._tally.hit(fault, "kline_live" if is_live else target.kind)
