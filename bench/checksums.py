"""What Kraken's checksum costs a message, within the real book, on the simulated market's frames."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.venue_frames import SYMBOL
from producers.exchanges.port import Addresses
from producers.exchanges.registry import exchange_named
from producers.exchanges.stream_events import BookUpdate
from producers.streamed_book import StreamedBook
from shared.messages import Levels


class NotProven(Exception):
    """A checksum did not fit: the figure would be of another job."""


class Timed:
    """A checksum function that counts its calls, and their CPU time, whatever else runs on the machine."""

    def __init__(self) -> None:
        checksum = exchange_named("kraken").promises.book.checksum
        assert checksum is not None
        self._checksum = checksum
        self.calls = 0
        self.spent_ns = 0

    def __call__(self, bids: Levels, asks: Levels) -> int:
        began = time.thread_time_ns()
        found = self._checksum(bids, asks)
        self.spent_ns += time.thread_time_ns() - began
        self.calls += 1
        return found


def microseconds(snapshot: bytes, frames: Sequence[bytes]) -> float:
    """Mean of a message of the book, over all of them.

    Args:
        snapshot: of the book at the market's start.
        frames: that follow it.

    Raises:
        NotProven: a book did not fit its checksum.
    """
    kraken = exchange_named("kraken")
    plan = kraken.connections(Addresses("", "", ""), (SYMBOL["kraken"],), ())[0]
    parse, timed = kraken.parser(plan), Timed()
    book = StreamedBook(depth=kraken.promises.book.depth, checksum=timed)
    updates = 0
    for frame in (snapshot, *frames):
        for event in parse(frame, time.time_ns() // 1_000_000):
            if isinstance(event, BookUpdate):
                book.receive(event)
                updates += 1
                if not book.synced:
                    raise NotProven(f"after {updates} messages: {book.cause}")
    if timed.calls < updates:
        raise NotProven(f"{timed.calls} checksums of {updates} messages")
    return timed.spent_ns / timed.calls / 1e3
