"""Series and who watches them. Pure: events of taps and messages of clients in, effects out.

What a client must get waits in its `Client`; the shell takes frames from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api import answers
from api.client import Client
from api.configured import Configured, Instrument
from api.feeds import SINGLE, Feed, Tags, Watched
from api.inbox import Overrun
from api.latency import Latency
from api.limits import MOST_SERIES, Limits
from api.protocol import Ack, Refused, Request, Subscribe, Time, Unsubscribe, parse
from api.states import Conditions
from api.subscription import Subscription
from api.unconfigured import Unconfigured
from consumers.tap.port import Arrived, Condition, Event, Fetched, Filled, Hole, LiveRow, Source
from consumers.tap.series import LiveKind, LiveSeries

# Of a series that was forgotten, so many of its partition's newest records are read again.
_MOST_RECORDS: Final = 50_000
# A ring that shrinks because all are watched keeps so many rows.
_LEAST_ROWS: Final = 60


@dataclass(frozen=True, slots=True)
class Activate:
    """Ask the taps for a series; all tags are "" for a kind that is followed as a whole."""

    series: LiveSeries


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the taps for older rows."""

    request: int
    series: LiveSeries
    offset: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Nobody watches an instrument any more, and the taps need not follow it."""

    exchange: str
    symbol: str


Effect = Activate | Fetch | Drop


@dataclass(frozen=True, slots=True)
class _Refill:
    """A series that was forgotten is read again, from an offset on."""

    series: LiveSeries
    offset: int


@dataclass(frozen=True, slots=True)
class _Resume:
    """A subscription goes on from a cursor; rows from `before` on come by themselves."""

    subscription: Subscription
    before: int


class Hub:
    """
    Attributes:
        effects: what the shell is to do, in order; it clears the list.
        latency: of all clients' frames.
        clients: at present.

    Args:
        configured: instruments of the settings, to which all others leave room; None: there are no others.
    """

    def __init__(
        self,
        kinds: Mapping[str, LiveKind],
        limits: Limits,
        configured: Configured | None = None,
    ) -> None:
        self.effects: list[Effect] = []
        self.latency = Latency()
        self.clients: dict[Client, None] = {}
        self._kinds = kinds
        self._limits = limits
        self._watched: dict[LiveSeries, Watched] = {}
        self._unconfigured = Unconfigured(configured)
        self._feeds: dict[str, dict[Tags, Feed]] = defaultdict(dict)
        self._whole_kinds: dict[str, bool] = {}  # asked for → its rows so far are known
        self._conditions = Conditions()
        self._requests: dict[int, _Refill | _Resume] = {}
        self._next_request = 1
        # Of forgotten series: the offset of the oldest row that was kept.
        self._forgotten_at: dict[LiveSeries, int] = {}

    # Clients.

    def join(self) -> Client:
        """A client has come."""
        client = Client(self._limits, self.latency)
        self.clients[client] = None
        return client

    def leave(self, client: Client, now_ms: int) -> None:
        """A client has gone."""
        for number in list(client.subscriptions):
            self._unsubscribe(client, number, now_ms)
        self.clients.pop(client, None)

    def receive(self, client: Client, message: str | bytes, now_ms: float) -> None:
        """A client's message.

        Raises:
            ProtocolError: the connection must be closed.
        """
        for request in parse(message, self._kinds, self._limits.subscriptions):
            self._do(client, request, now_ms)

    def _do(self, client: Client, request: Request, now_ms: float) -> None:
        match request:
            case Ack(frame, painted_ms):
                refusal = client.ack(frame, painted_ms, now_ms)
                if refusal is not None:
                    client.answer(answers.error(None, "acknowledgement refused", refusal))
            case Time(echo):
                client.answer(answers.time(echo, now_ms))
            case Subscribe():
                self._subscribe(client, request, int(now_ms))
            case Unsubscribe(number):
                if number in client.subscriptions:
                    self._unsubscribe(client, number, int(now_ms))
                else:
                    detail = f"unsubscribe: {number} is no subscription of this connection"
                    client.answer(answers.error(number, "request refused", detail))
            case Refused(refused, title, detail):
                client.answer(answers.error(refused, title, detail))

    def _subscribe(self, client: Client, request: Subscribe, now_ms: int) -> None:
        number = request.number
        most = self._limits.subscriptions
        detail = None
        if number in client.subscriptions:
            detail = f"id: {number} is in use; unsubscribe it first, or take another"
        elif len(client.subscriptions) >= most:
            detail = f"subscribe: a connection has at most {most} subscriptions; unsubscribe one first"
        elif request.tags not in self._feeds[request.kind.name]:
            detail = self._no_room(request.kind, request.tags)
        if detail is not None:
            client.answer(answers.error(number, "subscription refused", detail))
            return
        feed = self._feed(request.kind, request.tags, now_ms)
        view = feed.view(request.columns)
        subscription = Subscription(client, view, request, self._limits)
        client.subscriptions[number] = subscription
        view.subscriptions[subscription] = None
        gaps: list[Hole] = []
        if feed.filled:
            self._begin(subscription, now_ms)
            gaps, subscription.gaps = subscription.gaps, []
        kind = request.kind
        client.answer(answers.subscribed(number, view.columns, view.types, kind.delivery, gaps))
        client.note(subscription)

    def _no_room(self, kind: LiveKind, tags: Tags) -> str | None:
        """Why a feed cannot be made; None if it can."""
        instrument = self._unconfigured.instrument(_series(kind, tags))
        if instrument is not None and self._unconfigured.full:
            idle = self._unconfigured.idle()
            if idle is None:
                most = f"{self._unconfigured.most:,} series of instruments that SYMBOLS does not name"
                return f"symbol: {most} are followed already; ask again later, or add it to SYMBOLS"
            self._drop(idle)
        if len(self._watched) >= MOST_SERIES:
            return f"series: {MOST_SERIES:,} are followed already; ask again later, or another instance"
        return None

    def _unsubscribe(self, client: Client, number: int, now_ms: int) -> None:
        subscription = client.remove(number)
        if subscription is None:
            return
        view = subscription.view
        feed = view.feed
        view.subscriptions.pop(subscription, None)
        for watched in feed.watched.values():
            watched.ring.used_ms = now_ms
        if feed.drop_unused():
            self._feeds[feed.kind.name].pop(feed.tags, None)
            instrument = self._unconfigured.instrument(_series(feed.kind, feed.tags))
            if instrument is not None and self._unconfigured.leave(instrument):
                self._drop(instrument)
        if subscription.fetch is not None:
            self._requests.pop(subscription.fetch, None)

    def _drop(self, instrument: Instrument) -> None:
        for series in self._unconfigured.drop(instrument):
            self._watched.pop(series, None)
            self._forgotten_at.pop(series, None)
        self.effects.append(Drop(*instrument))

    def _watch(self, series: LiveSeries, kind: LiveKind) -> Watched | None:
        """Follow a series that came by itself; None if it has no room, or nobody asks for its instrument."""
        instrument = self._unconfigured.instrument(series)
        # A fill may have been under way when its instrument was dropped.
        unwanted = instrument is not None and (
            self._unconfigured.full or not self._unconfigured.is_asked_for(instrument)
        )
        return None if unwanted or len(self._watched) >= MOST_SERIES else self._follow(series, kind)

    def _follow(self, series: LiveSeries, kind: LiveKind) -> Watched:
        watched = self._watched[series] = Watched(series, kind, self._limits.ring_rows)
        instrument = self._unconfigured.instrument(series)
        if instrument is not None:
            self._unconfigured.watch(instrument, watched)
        return watched

    def _feed(self, kind: LiveKind, tags: Tags, now_ms: int) -> Feed:
        feed = self._feeds[kind.name].get(tags)
        if feed is not None:
            return feed
        feed = self._feeds[kind.name][tags] = Feed(kind, tags, now_ms)
        if kind.name in SINGLE:
            series = _series(kind, tags)
            instrument = self._unconfigured.instrument(series)
            if instrument is not None:
                self._unconfigured.enter(instrument)
            watched = self._watched.get(series)
            if watched is None:
                watched = self._follow(series, kind)
                self.effects.append(Activate(series))
            feed.watched[series.tags] = watched
            if watched.ring.forgotten:
                self._read_again(watched)
            feed.filled = watched.ring.filled
        else:
            if kind.name not in self._whole_kinds:
                self._whole_kinds[kind.name] = False
                self.effects.append(Activate(LiveSeries(kind.name, ("",) * len(kind.tags))))
            for series, watched in self._watched.items():
                if feed.has(series):
                    feed.watched[series.tags] = watched
                    if watched.ring.forgotten:
                        self._read_again(watched)
            feed.filled = self._whole_kinds[kind.name]
        for watched in feed.watched.values():
            watched.ring.used_ms = now_ms
        feed.state = feed.current(self._conditions, now_ms)
        return feed

    def _begin(self, subscription: Subscription, now_ms: int) -> None:
        offset = subscription.begin(now_ms)
        watched = subscription.view.feed.single
        if offset is None or watched is None:
            return
        request = self._request(_Resume(subscription, watched.ring.end))
        subscription.fetch = request
        self.effects.append(Fetch(request, watched.series, offset))

    def _request(self, purpose: _Refill | _Resume) -> int:
        request = self._next_request
        self._next_request += 1
        self._requests[request] = purpose
        return request

    # Rows.

    def publish(self, events: Iterable[Event | Overrun], now_ms: int) -> None:
        """Events of taps, in order."""
        for event in events:
            match event:
                case Arrived(series, rows, end):
                    self._arrived(series, rows, end, now_ms)
                case Filled():
                    self._filled(event, now_ms)
                case Fetched(request, _, rows, reason):
                    self._fetched(request, rows, reason, now_ms)
                case Condition():
                    self._conditions.note(event)
                    self._states(
                        now_ms, [each for name in event.names for each in self._feeds[name].values()]
                    )
                case Overrun(series, dropped):
                    self._overrun(series, dropped)

    def refuse(self, series: LiveSeries, reason: str) -> None:
        """The taps have no such series."""
        for feed in self._feeds_of(series, whole=True):
            for subscription in feed.subscriptions():
                client, number = subscription.client, subscription.number
                client.answer(answers.error(number, "subscription refused", reason))
                self._unsubscribe(client, number, 0)
        self._watched.pop(series, None)
        instrument = self._unconfigured.instrument(series)
        if self._unconfigured.forget(series) and instrument is not None:
            self._drop(instrument)
        self._whole_kinds.pop(series.name, None)

    def _arrived(self, series: LiveSeries, rows: Sequence[LiveRow], end: int, now_ms: int) -> None:
        watched = self._watched.get(series)
        if watched is None:
            kind = self._kinds.get(series.name)
            if kind is None or series.name in SINGLE:
                return  # nobody has asked for it
            watched = self._appear(series, kind)
            if watched is None:
                return
        if not rows:
            watched.ring.end = max(watched.ring.end, end)
            return
        watched.note(rows, now_ms)
        watched.ring.add(rows, end)
        for feed in self._feeds_of(series):
            if feed.state.name != "live" or watched.sync.state is not None:
                self._states(now_ms, [feed])
            for view in feed.views.values():
                batch = view.batch(series.tags, rows, end)
                for subscription in view.subscriptions:
                    subscription.push(batch)
        for feed in self._feeds_of(series):
            for subscription in feed.subscriptions():
                subscription.bound()

    def _appear(self, series: LiveSeries, kind: LiveKind) -> Watched | None:
        """A series of a kind that is followed as a whole has its first row."""
        watched = self._watch(series, kind)
        if watched is None:
            return None
        watched.ring.filled = True
        for feed in self._feeds_of(series):
            feed.watched[series.tags] = watched
        return watched

    def _filled(self, filled: Filled, now_ms: int) -> None:
        series = filled.series
        kind = self._kinds.get(series.name)
        if kind is None:
            return
        if series.name not in SINGLE and not self._whole_kinds.get(series.name):
            self._whole_filled(series.name, now_ms)
        if series.name not in SINGLE and not any(series.tags):
            return  # the kind as a whole
        watched = self._watched.get(series) or self._watch(series, kind)
        if watched is None:
            return
        former = watched.ring.source if watched.ring.filled else None
        again = watched.ring.filled
        watched.note(filled.rows, now_ms)
        watched.ring.fill(filled)
        self._forgotten_at.pop(series, None)
        for feed in self._feeds_of(series):
            fresh = series.tags not in feed.watched
            feed.watched[series.tags] = watched
            if fresh and feed.filled:
                for subscription in feed.subscriptions():
                    subscription.appear(watched)
            elif again or feed.filled:
                for subscription in feed.subscriptions():
                    subscription.gaps = list(watched.ring.holes)
                    subscription.restart(_why_again(former, filled.source))
            else:
                self._open(feed, now_ms)
            self._states(now_ms, [feed])
        self._bound()

    def _whole_filled(self, name: str, now_ms: int) -> None:
        self._whole_kinds[name] = True
        for feed in self._feeds[name].values():
            self._open(feed, now_ms)
            self._states(now_ms, [feed])

    def _open(self, feed: Feed, now_ms: int) -> None:
        """The rows so far of a feed are known."""
        feed.filled = True
        feed.begun_ms = now_ms
        for subscription in feed.subscriptions():
            self._begin(subscription, now_ms)

    def _fetched(self, request: int, rows: tuple[LiveRow, ...] | None, reason: str, now_ms: int) -> None:
        purpose = self._requests.pop(request, None)
        match purpose:
            case _Resume(subscription, before):
                if subscription.fetch == request:
                    subscription.fetched(rows, reason, before)
            case _Refill(series, offset):
                self._refilled(series, offset, rows, reason, now_ms)

    def _overrun(self, series: LiveSeries, dropped: int) -> None:
        """Rows of a series were dropped before they came to us."""
        for feed in self._feeds_of(series):
            for subscription in feed.subscriptions():
                if subscription.delivery == "exact":
                    subscription.restart(f"the server was behind by {dropped:,} rows")
                elif subscription.delivery == "tape":
                    subscription.skipped += dropped
                    subscription.client.note(subscription)
        watched = self._watched.get(series)
        if watched is not None:
            # No resume may go on across the rows that are missing.
            watched.ring.low = watched.ring.end

    # Memory.

    def _bound(self) -> None:
        total = sum(each.ring.bytes for each in self._watched.values())
        if total <= self._limits.ring_bytes:
            return
        in_use = {
            id(each)
            for feeds in self._feeds.values()
            for feed in feeds.values()
            for each in feed.watched.values()
        }
        idle = [each for each in self._watched.values() if id(each) not in in_use and not each.ring.forgotten]
        for watched in sorted(idle, key=lambda each: each.ring.used_ms):
            if total <= self._limits.ring_bytes:
                return
            total -= watched.ring.bytes
            self._forget(watched)
            total += watched.ring.bytes
        while total > self._limits.ring_bytes:
            largest = max((each.ring for each in self._watched.values()), key=lambda ring: ring.bytes)
            if len(largest) <= _LEAST_ROWS:
                return
            total -= largest.bytes
            largest.shrink(max(_LEAST_ROWS, len(largest) // 2))
            total += largest.bytes

    def _forget(self, watched: Watched) -> None:
        ring = watched.ring
        self._forgotten_at[watched.series] = ring.low
        ring.forget()

    def _read_again(self, watched: Watched) -> None:
        ring = watched.ring
        offset = max(self._forgotten_at.pop(watched.series, 0), ring.end - _MOST_RECORDS)
        ring.await_refill()
        self.effects.append(Fetch(self._request(_Refill(watched.series, offset)), watched.series, offset))

    def _refilled(
        self, series: LiveSeries, offset: int, rows: tuple[LiveRow, ...] | None, reason: str, now_ms: int
    ) -> None:
        watched = self._watched.get(series)
        if watched is None or watched.ring.filled:
            return
        watched.ring.refill(rows or (), watched.ring.low if rows is None else offset)
        if rows is None:
            newest = watched.pace.newest_ms or now_ms
            watched.ring.holes = (Hole(newest, now_ms, reason or "older rows cannot be read again"),)
        for feed in self._feeds_of(series):
            if not feed.filled:
                self._open(feed, now_ms)
            self._states(now_ms, [feed])

    # Time.

    def turn(self, now_ms: int) -> None:
        """Time has passed: a few times a second."""
        feeds = [feed for of_kind in self._feeds.values() for feed in of_kind.values()]
        for feed in feeds:
            for subscription in feed.subscriptions():
                subscription.turn(now_ms)
        self._states(now_ms, feeds)
        self._bound()

    def snapshot(self, name: str, tags: Tags, last: int) -> list[tuple[tuple[str, ...], list[LiveRow]]]:
        """The newest rows of each series of a kind, by time; tags that are None are any."""
        return [
            (series.tags, watched.ring.snapshot(last))
            for series, watched in self._watched.items()
            if series.name == name
            and all(tag is None or tag == value for tag, value in zip(tags, series.tags, strict=True))
        ]

    @property
    def unread(self) -> str | None:
        """Why some kind of series is not read from Kafka at all; None if each is."""
        return self._conditions.unread

    @property
    def ring_bytes(self) -> int:
        """Of all rings, estimated."""
        return sum(each.ring.bytes for each in self._watched.values())

    def _states(self, now_ms: int, feeds: Iterable[Feed]) -> None:
        for feed in feeds:
            state = feed.current(self._conditions, now_ms)
            if state != feed.state:
                feed.state = state
                for subscription in feed.subscriptions():
                    subscription.client.note(subscription)

    def _feeds_of(self, series: LiveSeries, *, whole: bool = False) -> list[Feed]:
        feeds = self._feeds.get(series.name)
        if not feeds:
            return []
        if series.name in SINGLE:
            feed = feeds.get(series.tags)
            return [] if feed is None else [feed]
        return [feed for feed in feeds.values() if whole or feed.has(series)]


def _series(kind: LiveKind, tags: Tags) -> LiveSeries:
    """The series of a feed; with "" for tags that were left out."""
    return LiveSeries(kind.name, tuple(tag or "" for tag in tags))


def _why_again(former: Source | None, source: Source | None) -> str:
    if former is not None and source is not None and former.epoch != source.epoch:
        return "the topic was made anew"
    return "the rows so far were read again"
