"""What taps hand over: rows of series with their places on Kafka, and how the sources are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from consumers.tap.series import LiveSeries, Value


class Source(NamedTuple):
    """A partition of one incarnation of a topic.

    Attributes:
        epoch: 6 hex digits, others for a topic of the same name that was made anew.
    """

    topic: str
    partition: int
    epoch: str


class LiveRow(NamedTuple):
    """A row with the record that it came from.

    Attributes:
        offset: of that record in the series' source; -1 if it came from elsewhere (the store, another topic).
        event_ms: the exchange's time of that record, for ages.
    """

    time_ns: int
    values: tuple[Value, ...]
    offset: int
    event_ms: int


class Hole(NamedTuple):
    """A span of a series that cannot be given: [from_ms, to_ms), and why."""

    from_ms: int
    to_ms: int
    cause: str


@dataclass(frozen=True, slots=True)
class Filled:
    """A series became active: its newest rows so far. Rows of `Arrived` continue them without a seam.

    Attributes:
        source: of the series' records; None for series that are not made of one partition's records.
        rows: in the order of their records, whatever their times: a cursor is a place in this order.
        low: rows of records from this offset on are all among `rows`, or became rows of no series.
        end: offset of the next record to come.
    """

    series: LiveSeries
    source: Source | None
    rows: tuple[LiveRow, ...]
    low: int
    end: int
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrived:
    """New rows of an active series, in the order of their records.

    Attributes:
        end: offset of the next record to come.
    """

    series: LiveSeries
    rows: tuple[LiveRow, ...]
    end: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer to `fetch`: rows of the records from the offset asked on, up to the place that was the end.

    Attributes:
        rows: in the order of their records; None if they cannot be given, and `reason` says why.
    """

    request: int
    series: LiveSeries
    rows: tuple[LiveRow, ...] | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether the source of these series is being read.

    Attributes:
        names: of the kinds that it concerns.
        tags: None for all series of these kinds.
        away: why it is not read; None if it is.
        since_ms: our clock.
    """

    names: tuple[str, ...]
    tags: tuple[str, ...] | None
    away: str | None
    since_ms: int


Event = Filled | Arrived | Fetched | Condition
# Called from the taps' threads, with the events of one batch in order.
OnEvents = Callable[[Sequence[Event]], None]


class Taps(Protocol):
    """The taps of a process, as the API uses them; all methods may be called from any thread."""

    def start(self) -> None:
        """Begin to read."""

    def activate(self, series: LiveSeries) -> None:
        """Ask for a series, once or more; `Filled` comes once, for it and the series that come with it.

        Raises:
            UsageError: no tap has such a series (an interval that is not read).
        """

    def fetch(self, request: int, series: LiveSeries, offset: int) -> None:
        """Ask for the rows of an active series from an older record on; `Fetched` answers."""

    def drop(self, exchange: str, symbol: str) -> None:
        """Follow an instrument no more, until a series of it is asked for again. `Filled` of a fill that was
        under way may still come."""

    @property
    def bad_records(self) -> int:
        """Records that broke their contract, and were passed, since the start."""

    def close(self) -> None:
        """Stop reading; no event comes afterwards."""
