"""Reads `pipeline.dead-letters`, and the marks of what was replayed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from confluent_kafka import Message

from cryptostream.dead_letters.replay_marks import ReplayMark, decode_mark, partition_of_mark
from cryptostream.output import ProgressLine
from producers.progress import decode_progress
from shared.dead_letters import Origin, origin_of
from shared.errors import InvalidMessage, NothingFound, UsageError
from shared.kafka_reader import TopicReader
from shared.topics import DEAD_LETTERS, PROGRESS
from shared.trade_ids import split

_TRADES: Final = b":trades"  # the end of the key of a series of trades


class Position(NamedTuple):
    """Partition and offset on `pipeline.dead-letters`; written `3@17`."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Position:
        """Raises UsageError."""
        partition, at, offset = text.partition("@")
        if not at or not all(
            part.isascii() and part.isdigit() and len(part) < 19 for part in (partition, offset)
        ):
            raise UsageError(
                f"{text!r} is not a letter; write PARTITION@OFFSET as `list` shows it, like 3@17"
            )
        return cls(int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


class DeadLetter(NamedTuple):
    """One record of `pipeline.dead-letters`; `time_ms` is the broker's append time."""

    position: Position
    time_ms: int
    key: bytes | None
    value: bytes | None
    origin: Origin

    @classmethod
    def of(cls, message: Message) -> DeadLetter:
        headers = message.headers()
        return cls(
            Position(message.partition() or 0, message.offset() or 0),
            message.timestamp()[1],
            _as_bytes(message.key()),
            _as_bytes(message.value()),
            origin_of(headers.items() if isinstance(headers, dict) else headers),
        )

    @property
    def key_text(self) -> str:
        """The key as text, like binance:BTCUSDC."""
        return (self.key or b"").decode(errors="replace")

    @property
    def exchange(self) -> str:
        """The exchange of the key, like binance."""
        return self.key_text.partition(":")[0]

    @property
    def symbol(self) -> str:
        """The symbol of the key, like BTCUSDC."""
        return self.key_text.partition(":")[2]


Replayed = Mapping[int, ReplayMark]  # by partition
Numberings = Mapping[bytes, int]  # the newest numbering of trade ids, by key like binance:BTCUSDC


class Known(NamedTuple):
    """What is known of letters and symbols beside the letters themselves."""

    replayed: dict[int, ReplayMark]
    numberings: dict[bytes, int]


def was_replayed(letter: DeadLetter, replayed: Replayed) -> bool:
    """Whether this letter was replayed before, and not another one that had its position."""
    mark = replayed.get(letter.position.partition)
    return mark is not None and mark.has(letter.position.offset, letter.time_ms)


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects dead letters; an attribute of None selects all.

    Attributes:
        source: a topic, `websocket` or `rest` with all their streams and paths, or a single one of these.
        reason: a part of the reason, in any case.
        from_ms, to_ms: append time; the end is not included.
        exchange, symbol: of the key.
    """

    source: str | None = None
    reason: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    exchange: str | None = None
    symbol: str | None = None

    def matches(self, letter: DeadLetter) -> bool:
        origin, time_ms = letter.origin, letter.time_ms
        return (
            (self.source in (None, origin.source) or origin.source.startswith(f"{self.source}:"))
            and (self.reason is None or self.reason.lower() in origin.reason.lower())
            and (self.from_ms is None or time_ms >= self.from_ms)
            and (self.to_ms is None or time_ms < self.to_ms)
            and self.exchange in (None, letter.exchange)
            and self.symbol in (None, letter.symbol)
        )


class DeadLetterTopic:
    """The topic up to the end that it had when this object was made.

    Attributes:
        first_readable: by partition, the offset of its oldest dead letter.
    """

    def __init__(self, topics: TopicReader) -> None:
        """Raises BrokerError, BrokerUnavailable."""
        self._topics = topics
        self._bounds = {number: ends for (_, number), ends in topics.bounds(DEAD_LETTERS).items()}
        self.first_readable = {number: low for number, (low, _) in self._bounds.items()}

    def known(self) -> Known:
        """What `pipeline.progress` has of replays and of trade ids."""
        known = Known({}, {})
        for message in self._topics.whole(PROGRESS):
            key, value = _as_bytes(message.key()), message.value()
            partition = partition_of_mark(key)
            if value is None:
                continue
            if partition is not None:
                known.replayed[partition] = decode_mark(value)
            elif key is not None and key.endswith(_TRADES):
                market = key.removesuffix(_TRADES)
                known.numberings[market] = max(known.numberings.get(market, 0), _numbering_of(value))
        return known

    def read(self, wanted: Filter) -> Iterator[DeadLetter]:
        """All that match, partition by partition."""
        starts = {(DEAD_LETTERS, number): low for number, low in self.first_readable.items()}
        if wanted.from_ms is not None:
            starts = self._topics.offsets_at(DEAD_LETTERS, wanted.from_ms)
        return self._read(starts, wanted)

    def newest(self, count: int, wanted: Filter) -> list[DeadLetter]:
        """The newest that match, in ascending order of time."""
        if wanted != Filter():
            letters: Iterable[DeadLetter] = self.read(wanted)
        else:
            # The newest of each partition suffice.
            starts = {
                (DEAD_LETTERS, number): max(low, high - count) for number, (low, high) in self._bounds.items()
            }
            letters = self._read(starts, wanted)
        return sorted(heapq.nlargest(count, letters, key=_age), key=_age)

    def at(self, positions: Iterable[Position]) -> list[DeadLetter]:
        """The dead letters at these positions.

        Raises:
            NothingFound: a position has none.
        """
        found = []
        for position in sorted(set(positions)):
            low, high = self._bounds.get(position.partition, (0, 0))
            letter = None
            if low <= position.offset < high:
                records = self._topics.to_end({(DEAD_LETTERS, position.partition): position.offset})
                letter = DeadLetter.of(next(records))
            if letter is None or letter.position != position:
                raise NothingFound(
                    f"{position}: there is no such letter; see `cryptostream dead-letters list`"
                )
            found.append(letter)
        return found

    def _read(self, starts: dict[tuple[str, int], int], wanted: Filter) -> Iterator[DeadLetter]:
        total = sum(self._bounds[number][1] - offset for (_, number), offset in starts.items())
        with ProgressLine(f"reading {DEAD_LETTERS}", "letters", total) as line:
            for message in self._topics.to_end(starts):
                line.advance()
                letter = DeadLetter.of(message)
                # A replay must not replay the dead letters that it causes.
                before = letter.position.offset < self._bounds[letter.position.partition][1]
                if before and wanted.matches(letter):
                    yield letter


def _numbering_of(progress: bytes) -> int:
    """The numbering that a series of trades has reached; 0 if that cannot be read."""
    try:
        return max(0, split(decode_progress(progress).last_id or 0)[0])
    except InvalidMessage:
        return 0  # a producer's start names it


def _age(letter: DeadLetter) -> tuple[int, Position]:
    return letter.time_ms, letter.position


def _as_bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
