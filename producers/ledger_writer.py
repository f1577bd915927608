"""Sends completeness events to the ledger topic, a bounded number at a time, and progress only after them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Final
from zlib import crc32

from producers.effects import Publish
from producers.instrument import Instrument
from producers.progress import Entered
from producers.progress_writer import ProgressWriter
from producers.publisher import Publisher
from shared.messages import encode, message_key, to_keep
from shared.topics import LEDGER

# Some 700 bytes each within librdkafka, and a start has thousands for each symbol.
MOST_IN_FLIGHT: Final = 1_000


class LedgerWriter:
    """A queue of ledger events, of which at most `MOST_IN_FLIGHT` await their acknowledgement."""

    def __init__(self, publisher: Publisher, progress: ProgressWriter) -> None:
        self._publisher = publisher
        self._progress = progress
        self._queue: deque[tuple[bytes, bytes]] = deque()
        self._in_flight = 0

    @property
    def undelivered(self) -> int:
        """Events that Kafka does not have yet."""
        return len(self._queue) + self._in_flight

    def write(self, ledger: Iterable[tuple[Instrument, list[Publish]]]) -> None:
        """Once a second: send the events of `Instrument.tick`, and progress in an order safe to kill."""
        # 1. If the events of the last call are delivered, the progress staged with them may be written.
        if not self.undelivered:
            self._progress.commit()
        # 2. Queue the events of what was staged just now.
        for instrument, events in ledger:
            self._progress.note_uncarried(instrument, (event.message for event in events))
            key = message_key(instrument.exchange, instrument.symbol)
            self._queue.extend((key, to_keep(encode(event.message))) for event in events)
        self.send_queued()

    def send_queued(self, most: int = MOST_IN_FLIGHT) -> None:
        """Send queued events, in order, up to `most` in flight.

        Call it often, always from one thread: sent from delivery reports, which may come from another
        thread, events could overtake each other.
        """
        while self._queue and self._in_flight < most:
            key, event = self._queue.popleft()
            self._in_flight += 1
            self._publisher.send(LEDGER, key, event, partial(self._delivered, crc32(event, crc32(key))))

    def _delivered(self, crc: int, partition: int, offset: int) -> None:
        self._in_flight -= 1
        self._progress.entered(partition, Entered(offset, crc))
