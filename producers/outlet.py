"""Carries the cores' messages to Kafka, and follows how far each series has come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from producers.bearings import OpenHole, klines_series, trades_series
from producers.clock import Clock
from producers.effects import Effect, Publish
from producers.instrument import Instrument
from producers.progress import MOST_NOTED_HOLES, MS_A_HOLE, BadProgress, Progress, ProgressLog
from producers.publisher import Delivered, Publisher
from shared.dead_letters import Origin, dead_letter
from shared.messages import encode, message_key, to_keep
from shared.metrics import ServiceMetrics
from shared.topics import LEDGER, PROGRESS, TRADES, klines_topic

SERVICE: Final = "producer"
# Deliveries are followed ten times a second and topic, which tells latency and progress well enough.
_FOLLOW_MS: Final = 100
# Ledger events on their way: some 700 bytes each with librdkafka, and a start has thousands of each symbol.
MOST_UNDELIVERED: Final = 1_000


class Outlet:
    """Everything that leaves the process, besides its metrics.

    Attributes:
        progress: None where there is no progress topic (the in-memory broker).
        start: begins what is not a message: snapshots and fills.
    """

    def __init__(self, exchange: str, publisher: Publisher, metrics: ServiceMetrics, clock: Clock) -> None:
        self._exchange = exchange
        self.publisher = publisher
        self.progress: ProgressLog | None = None
        self.start: Callable[[Instrument, Effect], None] | None = None
        self.dead_letters = 0
        self._metrics = metrics
        self._clock = clock
        self._series: dict[tuple[str, str], str] = {}
        self._keys: dict[str, bytes] = {}
        self._followed_ms: dict[str, dict[str, int]] = {}
        # Records of each series that were sent; and how many, up to the one that it has reached.
        self._sent: dict[tuple[str, str], int] = {}
        self._reached: dict[tuple[str, str], int] = {}
        # What trades have reached of which it is not known where they begin; and how many were sent.
        self._held: dict[str, tuple[Progress, int]] = {}
        # When the holes of a series were noted the last time, and how many they were.
        self._noted: dict[tuple[str, str], tuple[int, int]] = {}
        self._unsaid: deque[tuple[bytes, bytes]] = deque()  # ledger events that wait for others' delivery
        self._ledger_outstanding = 0
        self._doubtful: list[dict[str, Progress]] = []

    def carry(self, instrument: Instrument, intervals: Iterable[str]) -> None:
        """Make an instrument's series known."""
        exchange, symbol = instrument.exchange, instrument.symbol
        self._keys[symbol] = message_key(exchange, symbol)
        self._followed_ms[symbol] = {}
        self._series[symbol, TRADES] = trades_series(exchange, symbol)
        for interval in intervals:
            self._series[symbol, klines_topic(interval)] = klines_series(exchange, symbol, interval)
        self._sent |= {place: 0 for place in self._series if place[0] == symbol}

    def perform(self, instrument: Instrument, effects: Iterable[Effect]) -> None:
        """Send the messages among the effects and begin the rest."""
        symbol = instrument.symbol
        key, followed_ms, sent = self._keys[symbol], self._followed_ms[symbol], self._sent
        for effect in effects:
            if type(effect) is not Publish:
                if self.start is not None:
                    self.start(instrument, effect)
                continue
            topic, message, progress_id = effect
            received_ms = message["received_time_ms"]
            place = symbol, topic
            if place in sent:
                sent[place] += 1
            if abs(received_ms - followed_ms.get(topic, 0)) < _FOLLOW_MS and (
                progress_id is None or topic == TRADES
            ):
                self.publisher.send(topic, key, encode(message))
                continue
            followed_ms[topic] = received_ms
            self.publisher.send(topic, key, encode(message), self._follow(instrument, effect))

    def _follow(self, instrument: Instrument, effect: Publish) -> Delivered:
        topic, message, progress_id = effect
        place = instrument.symbol, topic
        received_ms, exchange = message["received_time_ms"], message["exchange"]
        event_time_ms = message.get("trade_time_ms", message["event_time_ms"])
        live = message["source"] == "stream"
        number = self._sent.get(place, 0)
        # As they are now: behind this record they may be repaired, and a restart reads what lies behind.
        holes = None if progress_id is None else self._holes_to_note(instrument, effect)
        awaited = topic == TRADES and progress_id is not None and instrument.awaits_trade_base

        def delivered(partition: int, offset: int) -> None:
            now_ms = self._clock.now_ms()
            if live:
                stream = topic.removeprefix("market.").split(".")[0]
                self._metrics.latency(exchange, stream, "kafka", now_ms, now_ms - received_ms)
            if self.progress is not None and progress_id is not None:
                reached = Progress(
                    progress_id, topic, partition, offset, event_time_ms, now_ms, missing=holes or ()
                )
                if holes is None:
                    self.progress.seen(self._series[place], reached)
                    return
                if awaited:
                    # Nobody could say yet that nothing is missing below.
                    self._held[instrument.symbol] = reached, number
                    self._release(instrument)
                    return
                self.progress.reached(self._series[place], reached)
                self._reached[place] = number

        return delivered

    def _holes_to_note(self, instrument: Instrument, effect: Publish) -> tuple[OpenHole, ...] | None:
        """What is missing below a record; None if that is more than may be noted, or was noted just now.

        Thousands of holes ten times a second would cost a good part of a core, and, while the broker is
        away, hundreds of MB.
        """
        topic, message, progress_id = effect
        assert progress_id is not None
        place, now_ms = (instrument.symbol, topic), message["received_time_ms"]
        noted_ms, count = self._noted.get(place, (0, 0))
        if abs(now_ms - noted_ms) < count * MS_A_HOLE:
            return None
        holes = self._holes(instrument, message, progress_id)
        self._noted[place] = now_ms, len(holes)
        return holes if len(holes) <= MOST_NOTED_HOLES else None

    def _holes(self, instrument: Instrument, message: Any, last_id: int) -> tuple[OpenHole, ...]:
        holes = instrument.open_holes(message.get("interval"), self._clock.exchange_ms(), time.monotonic())
        return tuple(hole for hole in holes if hole.last < last_id)

    def settle(self, ledger: Iterable[tuple[Instrument, list[Publish]]]) -> None:
        """Once a second: send completeness events, and progress in the order that a kill cannot break.

        Those beyond `MOST_UNDELIVERED` wait here for `say_on`.

        Args:
            ledger: what `Instrument.tick` gave.
        """
        # 1. The ledger events of the last call are delivered: the progress staged with them may be written.
        if self.progress is not None and not self.unsaid and not self._doubtful:
            self.write_progress(self.progress.settled())
            # 2. What is delivered by now has its ledger events among those sent next; only they are awaited.
            self.progress.stage()
        for instrument, events in ledger:
            key = self._keys[instrument.symbol]
            self._unsaid.extend((key, to_keep(encode(event.message))) for event in events)
        self.say_on()

    @property
    def unsaid(self) -> int:
        """Ledger events that Kafka does not have yet."""
        return len(self._unsaid) + self._ledger_outstanding

    def say_on(self, most: int = MOST_UNDELIVERED) -> None:
        """Send the ledger events that wait, in order, as far as `most` undelivered ones allow.

        Call it often, and always from the same thread: delivery reports may come from another one, and
        events that they sent could overtake each other.
        """
        while self._unsaid and self._ledger_outstanding < most:
            key, event = self._unsaid.popleft()
            self._ledger_outstanding += 1
            self.publisher.send(LEDGER, key, event, self._ledger_delivered)

    def doubt(self) -> None:
        """The broker is away, and may come back without the last that it has acknowledged.

        No progress is written until `believe`: it would hide what is missing below it.
        """
        if self.progress is not None:
            reached = self.progress.newest
            if not self._doubtful or self._doubtful[-1] != reached:
                self._doubtful.append(reached)

    @property
    def doubtful(self) -> Sequence[dict[str, Progress]]:
        """What the series had reached each time that the broker was away, since it was last believed."""
        return tuple(self._doubtful)

    def believe(self, proved: int) -> None:
        """The broker still has the first so many of `doubtful`."""
        del self._doubtful[:proved]

    def _ledger_delivered(self, _partition: int, _offset: int) -> None:
        self._ledger_outstanding -= 1

    def note_trade_base(self, instrument: Instrument, base: int) -> None:
        """For the next start: a series of trades of which nothing is published begins after this one."""
        if self.progress is not None:
            self.progress.based(self._series[instrument.symbol, TRADES], base, self._clock.now_ms())
            self._release(instrument)

    def _release(self, instrument: Instrument) -> None:
        """Once it is known where trades begin, the holes of now go with what has been reached."""
        if self.progress is None or instrument.symbol not in self._held or instrument.awaits_trade_base:
            return
        reached, number = self._held.pop(instrument.symbol)
        assert reached.last_id is not None
        holes = self._holes(instrument, {}, reached.last_id)
        if len(holes) <= MOST_NOTED_HOLES:
            place = instrument.symbol, TRADES
            self.progress.reached(self._series[place], replace(reached, missing=holes))
            self._reached[place] = number

    def write_progress(self, progress: dict[str, Progress]) -> None:
        for series, reached in progress.items():
            self.publisher.send(PROGRESS, series.encode(), reached.encode())

    def forget_progress(self, series: Iterable[str]) -> None:
        """Delete progress that its topic contradicts: the topic may come to look like it."""
        for name in series:
            self.publisher.send(PROGRESS, name.encode(), None)

    def write_final_progress(self) -> None:
        """Everything is delivered and the process ends."""
        if self.progress is not None and not self._doubtful:
            after = {self._series[place]: self._sent[place] - at for place, at in self._reached.items()}
            self.write_progress(self.progress.final(after, self._clock.now_ms()))

    def reject(self, source: str, symbol: str, reason: str, value: bytes) -> None:
        """Send bytes that break the contract to the dead letters; see `shared.dead_letters`.

        Args:
            source: `websocket:<stream>` or `rest:<path>`.
        """
        self.dead_letters += 1
        key = message_key(self._exchange, symbol)
        self.publisher.put_aside(dead_letter(Origin(reason, source, -1, -1, SERVICE), key, value))

    def put_aside(self, bad: BadProgress) -> None:
        """Send a record of `pipeline.progress` that breaks its contract to the dead letters."""
        self.dead_letters += 1
        origin = Origin(bad.reason, PROGRESS, bad.partition, bad.offset, SERVICE)
        self.publisher.put_aside(dead_letter(origin, bad.key, bad.value))
