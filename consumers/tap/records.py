"""Records of one key as a tap passes them on, and their decoding by an enricher."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from consumers.arrival import Arrivals, TimeAhead
from consumers.tap.port import LiveRow
from consumers.tap.series import LiveSeries, Value
from shared.errors import InvalidMessage


class RawRecord(NamedTuple):
    """A record as it is on its topic."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


class SeriesRows(NamedTuple):
    """New rows of a series.

    Attributes:
        end: offset after the last record of the series' source among those received.
    """

    series: LiveSeries
    rows: tuple[LiveRow, ...]
    end: int


class KeyTap(Protocol):
    """What becomes of the records of one key; owned by one thread at a time."""

    def receive(self, records: Sequence[RawRecord]) -> list[SeriesRows]:
        """Rows of a batch, in the order of its records."""


class BadRecords:
    """Counts records that break their contract; of all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self, number: int) -> None:
        with self._lock:
            self._count += number

    @property
    def count(self) -> int:
        return self._count


class Decoder:
    """Decodes one key's records; bad ones are counted and passed over: the consumers file them.

    Times beyond their arrival are accepted as the consumers accept them: if most records show the same, our
    clocks are behind.
    """

    def __init__(self, decode: Callable[[str, bytes | None], Any], bad: BadRecords) -> None:
        self._decode = decode
        self._bad = bad
        self._arrivals = Arrivals()

    def decode(self, records: Sequence[RawRecord]) -> list[tuple[RawRecord, Any]]:
        decoded: list[tuple[RawRecord, Any]] = []
        ahead: dict[int, TimeAhead] = {}
        for record in records:
            try:
                decoded.append((record, self._decode(record.topic, record.value)))
            except TimeAhead as error:
                ahead[len(decoded)] = error
                decoded.append((record, error.message))
            except InvalidMessage:
                self._bad.add(1)
        sound = [message for index, (_, message) in enumerate(decoded) if index not in ahead]
        rejected = self._arrivals.receive(sound, list(ahead.values()), time.monotonic())
        for index, early in reversed(ahead.items()):
            if early in rejected:
                del decoded[index]
                self._bad.add(1)
        return decoded


def as_stored(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Values as a store gives them back: NaN, ±inf and "" are no values."""
    return tuple(
        None if (type(value) is float and not math.isfinite(value)) or value == "" else value
        for value in values
    )
