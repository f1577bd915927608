"""Runs the effects of the cores: messages go to Kafka, requests to REST, rejects to the dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from producers.clock import Clock
from producers.connection import Connection
from producers.dead_letters import Rejections
from producers.effects import Distrust, Effect, LedgerEvent, Publish, Reject, Resubscribe
from producers.exchanges.lane_port import Lane, Take, Taken
from producers.exchanges.rest_port import Rest
from producers.instrument import Instrument
from producers.progress_writer import ProgressWriter
from producers.publisher import Delivered, Publisher
from producers.repairs import Repairs
from shared.messages import encode, message_key
from shared.metrics import ServiceMetrics
from shared.topics import TRADES

# Deliveries are followed ten times a second and topic: enough for latency and progress.
_FOLLOW_MS: Final = 100


class EffectRunner:
    """The shell around the cores: every effect of `producers.effects` ends here.

    Args:
        distrust: called with the symbol, kind of stream and reason of `Distrust`.

    Attributes:
        repairs: the requests to REST, whose answers come back to `run` as effects of the instrument.
    """

    def __init__(
        self,
        publisher: Publisher,
        rest: Rest,
        clock: Clock,
        metrics: ServiceMetrics,
        *,
        progress: ProgressWriter,
        rejections: Rejections,
        distrust: Callable[[str, str, str], None],
    ) -> None:
        self.publisher = publisher
        self.progress = progress
        self.rejections = rejections
        self.repairs = Repairs(rest, clock, room=publisher.room, run=self._run_answer)
        self._clock = clock
        self._metrics = metrics
        self._sent = progress.sent
        self._distrust = distrust
        self._keys: dict[str, bytes] = {}
        self._followed_ms: dict[str, dict[str, int]] = {}

    def register(self, instrument: Instrument, intervals: Iterable[str]) -> None:
        """Register an instrument and its series, before its first effects."""
        self._keys[instrument.symbol] = message_key(instrument.exchange, instrument.symbol)
        self._followed_ms[instrument.symbol] = {}
        self.progress.register(instrument, intervals)

    def run(self, instrument: Instrument, effects: Iterable[Effect]) -> None:
        """Send the messages among the effects, in order, and start the others."""
        symbol = instrument.symbol
        key, followed_ms, sent = self._keys[symbol], self._followed_ms[symbol], self._sent
        for effect in effects:
            # Nearly all are messages, and a class pattern takes half as long again as this.
            if type(effect) is not Publish:
                self._run_other(instrument, effect)
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

    def _run_answer(self, instrument: Instrument, effects: Sequence[Effect]) -> None:
        """As `run`, of an answer of REST: the last record of each series in it is followed in any case.

        A broker that is gone before the next one is followed may have lost the page, and has to be asked.
        """
        symbol = instrument.symbol
        last = {effect.topic: at for at, effect in enumerate(effects) if isinstance(effect, Publish)}
        begun = 0
        for topic, at in sorted(last.items(), key=lambda item: item[1]):
            if (symbol, topic) in self._sent:
                self.run(instrument, effects[begun:at])
                self._followed_ms[symbol][topic] = 0
                begun = at
        self.run(instrument, effects[begun:])

    def short_way(self, instrument: Instrument, lane: Lane) -> Take:
        """Run the frames that a lane takes, but for those whose delivery is to be followed."""
        symbol, topic, take = instrument.symbol, lane.topic, lane.take
        key, followed_ms, sent = self._keys[symbol], self._followed_ms[symbol], self._sent
        place = symbol, topic
        counted = place in sent
        send, run = self.publisher.sender(topic, key), self.run
        followed_ms.setdefault(topic, 0)

        def pass_on(frame: bytes, at: int, now_ms: int, latest_ms: int) -> Taken | None:
            if not -_FOLLOW_MS < now_ms - followed_ms[topic] < _FOLLOW_MS:
                return None
            taken = take(frame, at, now_ms, latest_ms)
            if taken is None:
                return None
            value, _, effects = taken
            if value is not None:
                if counted:
                    sent[place] += 1
                send(value)
            if effects:
                run(instrument, effects)
            return taken

        return pass_on

    def _run_other(self, instrument: Instrument, effect: Effect) -> None:
        match effect:
            case Reject(symbol, stream, reason, message):
                self.rejections.reject(f"websocket:{stream}", symbol, reason, encode(message))
            case Distrust(symbol, kind, reason):
                self._distrust(symbol, kind, reason)
            case Resubscribe(symbol, connection, delay_s):
                assert isinstance(connection, Connection)  # as the reader names it
                connection.renew(symbol, delay_s, lambda: instrument.awaits_book(connection))
            case LedgerEvent() | Publish():
                # `Instrument` enters ledger events into its ledger, and `run` has sent what is published.
                raise TypeError(f"{instrument.symbol}: no {type(effect).__name__} may get here: {effect}")
            case _:
                self.repairs.start(instrument, effect)

    def _follow(self, instrument: Instrument, effect: Publish) -> Delivered:
        topic, message, _ = effect
        received_ms, exchange = message["received_time_ms"], message["exchange"]
        live = message["source"] == "stream"
        note_progress = self.progress.follow(instrument, effect)
        bar = instrument.entry_when_delivered(effect)

        def delivered(partition: int, offset: int) -> None:
            if live:
                now_ms = self._clock.now_ms()
                stream = topic.removeprefix("market.").split(".")[0]
                self._metrics.latency(exchange, stream, "kafka", now_ms, now_ms - received_ms)
            if bar is not None:
                instrument.delivered(bar)  # before its progress, which is written after its entry
            if note_progress is not None:
                note_progress(partition, offset)

        return delivered
