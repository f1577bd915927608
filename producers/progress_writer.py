"""Follows the progress of each series on its topic, and writes it to `pipeline.progress` (DESIGN §5.5)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from producers.clock import Clock
from producers.effects import Publish
from producers.instrument import Instrument
from producers.progress import (
    MOST_NOTED_HOLES,
    MS_A_HOLE,
    Acknowledged,
    Entered,
    Progress,
    ProgressLog,
)
from producers.publisher import Delivered, Publisher
from producers.start_positions import FoundRange, OpenHole, klines_series, still_open, trades_series
from producers.stream_health import Entry
from producers.uncarried_spans import UncarriedSpans, spans_series
from shared.messages import LedgerMessage
from shared.topics import PROGRESS, TRADES, klines_topic
from shared.trade_ids import number_of

_NONE: Final[Mapping[str, Sequence[Entry]]] = {}


class ProgressWriter:
    """Notes what the broker has acknowledged, and writes it in an order that is safe against a kill.

    Attributes:
        sent: records sent of each series, by symbol and topic; counted by their sender.
    """

    def __init__(self, publisher: Publisher, clock: Clock) -> None:
        self._publisher = publisher
        self._clock = clock
        # None: nothing is noted, since the in-memory broker has no progress topic.
        self._log: ProgressLog | None = None
        self._series: dict[tuple[str, str], str] = {}
        self.sent: dict[tuple[str, str], int] = {}
        # Number of records of a series sent up to the one that it has reached.
        self._reached: dict[tuple[str, str], int] = {}
        # The same, and the progress, of trades whose base is unknown yet.
        self._held: dict[str, tuple[Progress, int]] = {}
        # When the holes of a series were last noted, and their number.
        self._noted: dict[tuple[str, str], tuple[int, int]] = {}
        # By partition of the ledger topic.
        self._entered: dict[int, Entered] = {}
        self._spans: dict[str, UncarriedSpans] = {}  # by symbol
        self._suspected = False  # before there was a log
        self._unverified: list[Acknowledged] = []

    def begin(self, log: ProgressLog, uncarried: Mapping[str, Sequence[Entry]] = _NONE) -> None:
        """Note progress from now on; `log` and `uncarried`, spans by symbol, are what the topic has."""
        self._log = log
        self._spans = {symbol: UncarriedSpans(entries) for symbol, entries in uncarried.items()}
        if self._suspected:
            self.suspect_loss()

    def register(self, instrument: Instrument, intervals: Iterable[str]) -> None:
        """Make an instrument's series known."""
        exchange, symbol = instrument.exchange, instrument.symbol
        self._series[symbol, TRADES] = trades_series(exchange, symbol)
        for interval in intervals:
            self._series[symbol, klines_topic(interval)] = klines_series(exchange, symbol, interval)
        self.sent |= {place: 0 for place in self._series if place[0] == symbol}

    def follow(self, instrument: Instrument, effect: Publish) -> Delivered | None:
        """What to call when the broker has the record now being sent; None if it is not followed."""
        log, (topic, message, progress_id) = self._log, effect
        place = instrument.symbol, topic
        if log is None or place not in self._series:
            return None
        if progress_id is None:
            return self._seen(log, place, message)
        number = self.sent[place]
        event_time_ms = message.get("trade_time_ms", message["event_time_ms"])
        # The holes of now: repairs follow after this record, where a restart reads.
        holes = self._holes_to_note(instrument, message, place, progress_id)
        awaited = topic == TRADES and instrument.awaits_trade_base

        def delivered(partition: int, offset: int) -> None:
            now_ms = self._clock.now_ms()
            reached = Progress(
                progress_id, topic, partition, offset, event_time_ms, now_ms, missing=holes or ()
            )
            self._note(log, place, reached)
            if holes is None:
                return
            if awaited:
                # It is not known yet whether trades are missing below.
                self._held[instrument.symbol] = reached, number
                self._release(instrument)
            else:
                log.reached(self._series[place], reached)
                self._reached[place] = number

        return delivered

    def _note(self, log: ProgressLog, place: tuple[str, str], record: Progress) -> None:
        """Note the newest record of a topic: an outage is suspected if another one had its offset before.

        The client says so only at its next poll, when records that follow may be acknowledged already.
        """
        if not log.seen(self._series[place], record):
            self.suspect_loss()

    def entered(self, partition: int, event: Entered) -> None:
        """The ledger topic has an event: a restart would not enter all of them again."""
        newest = self._entered.get(partition)
        if newest is not None and event.offset <= newest.offset:
            self.suspect_loss()  # as in `_note`
        else:
            self._entered[partition] = event

    def _seen(self, log: ProgressLog, place: tuple[str, str], message: Any) -> Delivered:
        """For a record that advances nothing: an outage of the broker may take it nevertheless."""
        topic = place[1]
        filled, time_ms = (
            (number_of(message), message["trade_time_ms"])
            if topic == TRADES
            else (message["open_time_ms"], message["open_time_ms"])
        )

        def delivered(partition: int, offset: int) -> None:
            record = Progress(filled, topic, partition, offset, time_ms, self._clock.now_ms())
            self._note(log, place, record)

        return delivered

    def _holes_to_note(
        self, instrument: Instrument, message: Any, place: tuple[str, str], last_id: int
    ) -> tuple[OpenHole, ...] | None:
        """The holes below a record; None if there are too many to note, or they were noted just now.

        Thousands of holes ten times a second would take much of a core and, while the broker is away,
        hundreds of MB.
        """
        now_ms = message["received_time_ms"]
        noted_ms, count = self._noted.get(place, (0, 0))
        if abs(now_ms - noted_ms) < count * MS_A_HOLE:
            return None
        holes = self._holes(instrument, message.get("interval"), last_id)
        self._noted[place] = now_ms, len(holes)
        return holes if len(holes) <= MOST_NOTED_HOLES else None

    def _holes(self, instrument: Instrument, interval: str | None, last_id: int) -> tuple[OpenHole, ...]:
        holes = instrument.open_holes(interval, self._clock.exchange_ms(), time.monotonic())
        return tuple(hole for hole in holes if hole.last < last_id)

    def note_trade_base(self, instrument: Instrument, base: int) -> None:
        """For the next start: a series without published trades begins after this one."""
        if self._log is not None:
            self._log.based(self._series[instrument.symbol, TRADES], base, self._clock.now_ms())
            self._release(instrument)

    def _release(self, instrument: Instrument) -> None:
        """Once the base is known, note what was held, with the holes of then and of now.

        Those of now are below the first trade; those of then may be filled meanwhile, after the held record.
        """
        if self._log is None or instrument.symbol not in self._held or instrument.awaits_trade_base:
            return
        reached, number = self._held.pop(instrument.symbol)
        assert reached.last_id is not None
        now = self._holes(instrument, None, reached.last_id)
        ranges = [FoundRange(hole.first, hole.last, 0, 0) for hole in now]
        holes = tuple(sorted([*now, *still_open(reached.missing, ranges)], key=lambda hole: hole.first))
        if len(holes) <= MOST_NOTED_HOLES:
            place = instrument.symbol, TRADES
            self._log.reached(self._series[place], replace(reached, missing=holes))
            self._reached[place] = number

    def commit(self) -> None:
        """Write what the previous call staged: its ledger events are delivered. Stage what is delivered now.

        Ledger events of the latter are among those sent next, which are awaited before it is written.
        """
        if self._log is not None and not self._unverified:
            self.write(self._log.commit())
            self._log.stage()

    def note_uncarried(self, instrument: Instrument, events: Iterable[LedgerMessage]) -> None:
        """Note where streams begin or end not to be carried. Call it before these events are sent: what is
        noted here and lost to the ledger is entered by the next start, but not the other way round."""
        spans = self._spans.setdefault(instrument.symbol, UncarriedSpans())
        if spans.receive(events) and self._log is not None:
            key = spans_series(instrument.exchange, instrument.symbol).encode()
            self._publisher.send(PROGRESS, key, spans.encode(self._clock.now_ms()))

    def write(self, progress: Mapping[str, Progress]) -> None:
        """Send records of progress, by series."""
        for series, reached in progress.items():
            self._publisher.send(PROGRESS, series.encode(), reached.encode())

    def forget(self, series: Iterable[str]) -> None:
        """Delete progress that its topic contradicts: later records could make it look true."""
        for name in series:
            self._publisher.send(PROGRESS, name.encode(), None)

    def write_final(self) -> None:
        """Everything is delivered and the process ends."""
        if self._log is not None and not self._unverified:
            after = {self._series[place]: self.sent[place] - at for place, at in self._reached.items()}
            self.write(self._log.final(after, self._clock.now_ms()))

    def suspect_loss(self) -> None:
        """The broker is away, and may come back without the last records that it acknowledged.

        No progress is written until `verified`: it would hide holes below it.
        """
        if self._log is None:
            self._suspected = True
            return
        acknowledged = Acknowledged(self._log.newest, dict(self._entered))
        if not self._unverified or self._unverified[-1] != acknowledged:
            self._unverified.append(acknowledged)

    @property
    def unverified(self) -> Sequence[Acknowledged]:
        """What had been acknowledged at each outage of the broker, oldest first."""
        return tuple(self._unverified)

    def verified(self, count: int) -> None:
        """The broker still has the first `count` of `unverified`."""
        del self._unverified[:count]
