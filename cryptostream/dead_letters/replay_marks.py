"""Marks of replayed dead letters on `pipeline.progress`: their offsets and append times, by partition. Pure.

The key is `dead-letters:<partition>`; no series of a producer has such a key. An offset alone is no letter's
name: a topic that was made anew gives all of them away again, and a partition whose end a power cut has taken
those of its end. Such a letter was appended later than the one that had its offset before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

from shared.errors import InvalidMessage

_SCHEMA: Final = 2
# It had offsets without times.
_SCHEMA_OF_OFFSETS: Final = 1
_PREFIX: Final = b"dead-letters:"
# Some 55 bytes each: the mark stays below the largest record that Kafka takes (1 MB).
MOST_STRETCHES: Final = 10_000


class Stretch(NamedTuple):
    """Replayed letters at all offsets from `first` to `last`, appended from `from_ms` to `to_ms`."""

    first: int
    last: int
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class ReplayMark:
    """The replayed letters of one partition.

    Attributes:
        earlier: sorted stretches of the mark that was read; they may be of letters that are gone.
        present: sorted stretches of this replay. They never grow together with earlier ones: between the
            times of the two, others may have been appended at the same offsets.
    """

    earlier: tuple[Stretch, ...] = ()
    present: tuple[Stretch, ...] = ()

    def has(self, offset: int, time_ms: int) -> bool:
        """Whether the letter that was appended at `time_ms` was replayed."""
        return _has(self.earlier, offset, time_ms) or _has(self.present, offset, time_ms)

    def including(self, letters: Iterable[tuple[int, int]]) -> ReplayMark:
        """With these letters: offset and append time in ms, ascending and after those of this replay."""
        present = list(self.present)
        for offset, time_ms in letters:
            if present and offset == present[-1].last + 1:
                first, _, from_ms, to_ms = present[-1]
                present[-1] = Stretch(first, offset, min(from_ms, time_ms), max(to_ms, time_ms))
            else:
                present.append(Stretch(offset, offset, time_ms, time_ms))
        return replace(self, present=tuple(present))

    def stretches(self, first_readable: int) -> list[Stretch]:
        """All of them from an offset on, sorted; where two meet, that of this replay."""
        kept = list(self.present)
        for stretch in self.earlier:
            kept += _without(stretch, self.present)
        return sorted(
            stretch._replace(first=max(stretch.first, first_readable))
            for stretch in kept
            if stretch.last >= first_readable
        )


def mark_key(partition: int) -> bytes:
    return _PREFIX + str(partition).encode()


def partition_of_mark(key: bytes | None) -> int | None:
    """The partition that a record of `pipeline.progress` marks; None if the record is not a replay mark."""
    number = (key or b"").removeprefix(_PREFIX)
    return int(number) if key is not None and key.startswith(_PREFIX) and number.isdigit() else None


def encode_mark(mark: ReplayMark, first_readable: int, now_ms: int) -> bytes:
    """The mark of one partition, of its newest `MOST_STRETCHES`: older letters may be replayed once more.

    Args:
        first_readable: lower offsets have expired and are left out, so that the mark stays small.
    """
    kept = [tuple(stretch) for stretch in mark.stretches(first_readable)[-MOST_STRETCHES:]]
    return orjson.dumps({"schema": _SCHEMA, "replayed": kept, "updated_ms": now_ms})


def decode_mark(value: bytes) -> ReplayMark:
    """Inverse of `encode_mark`.

    A mark of offsets alone, as earlier versions wrote it, holds for letters appended before it was written:
    one that it misses, since the host's clock is behind the broker's, is replayed again, which is harmless.

    Raises:
        InvalidMessage: it is not a replay mark.
    """
    try:
        content = orjson.loads(value)
        if content["schema"] not in (_SCHEMA, _SCHEMA_OF_OFFSETS):
            raise InvalidMessage("schema", content["schema"], f"{_SCHEMA}, the version known here")
        times = (-1, content["updated_ms"]) if content["schema"] == _SCHEMA_OF_OFFSETS else ()
        return ReplayMark(tuple(sorted(_stretch((*each, *times)) for each in content["replayed"])))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidMessage("replay mark", value, f"ranges of replayed dead letters ({error})") from None


def _stretch(numbers: Sequence[Any]) -> Stretch:
    """Raises TypeError, ValueError."""
    stretch = Stretch(*map(int, numbers))
    if stretch.first > stretch.last:
        raise ValueError(f"range {stretch.first}–{stretch.last} ends before it begins")
    return stretch


def _has(stretches: Sequence[Stretch], offset: int, time_ms: int) -> bool:
    at = bisect_right(stretches, offset, key=itemgetter(0)) - 1
    if at < 0:
        return False
    _, last, from_ms, to_ms = stretches[at]
    return offset <= last and from_ms <= time_ms <= to_ms


def _without(stretch: Stretch, others: Sequence[Stretch]) -> Iterator[Stretch]:
    """What the others, sorted, leave of a stretch."""
    first = stretch.first
    at = max(bisect_right(others, first, key=itemgetter(0)) - 1, 0)
    for other in others[at:]:
        if other.first > stretch.last:
            break
        if other.first > first:
            yield stretch._replace(first=first, last=other.first - 1)
        first = max(first, other.last + 1)
    if first <= stretch.last:
        yield stretch._replace(first=first)
