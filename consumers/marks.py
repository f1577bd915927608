"""Marks: checksums of records read and written, committed with offsets (DESIGN §5.2, §5.4).

A committed offset does not identify the records before it. If a power cut truncates a partition and others
write to it, the offset points into records that were never read. So marks are committed with each offset: for
some earlier positions the checksum of the last record read, and those of the last records written to the
state topic and to the ledger by then. A truncated log keeps its beginning unchanged, so that a mark that was
made before the loss, and whose records are all found, proves everything before it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from confluent_kafka import Message

# With growing distances, 16 marks reach some 10,000 checkpoints back (hours); their text stays below the
# broker's 4,096 bytes of metadata.
MOST_MARKS: Final = 16
_BEGIN: Final = " marks="


class Spot(NamedTuple):
    """A record's offset and checksum."""

    offset: int
    crc: int


class Mark(NamedTuple):
    """A position in a partition, with checksums that identify it.

    Attributes:
        position: everything before it was read, and is stored.
        crc: of the record just before it.
        state, ledger: the last records that we had written to these topics; None if there was none.
    """

    position: int
    crc: int
    state: Spot | None = None
    ledger: Spot | None = None


def as_bytes(content: str | bytes | None) -> bytes | None:
    """Key or value of a record: the client's types allow text."""
    return content.encode() if isinstance(content, str) else content


def crc_of(key: bytes | None, value: bytes | None) -> int:
    return zlib.crc32(value or b"", zlib.crc32(key or b""))


def crc_of_record(record: Message) -> int:
    return crc_of(as_bytes(record.key()), as_bytes(record.value()))


class Trail:
    """The marks of one partition, the newest first."""

    def __init__(self, marks: Sequence[Mark] = ()) -> None:
        self.marks = list(marks)

    def add(self, mark: Mark) -> None:
        """Add the newest mark; older ones are thinned out."""
        # Positions that are read again get new marks.
        left = [mark, *(older for older in self.marks if older.position < mark.position)]
        kept = left[:1]
        for older, oldest in zip(left[1:], [*left[2:], None], strict=False):
            before = mark.position - kept[-1].position
            # Dropped unless the next mark's distance would then be more than four times the last one's.
            if oldest is None or mark.position - oldest.position > 4 * before:
                kept.append(older)
        self.marks = kept[:MOST_MARKS]


def with_marks(metadata: str, trail: Trail) -> str:
    """Metadata of a commit, with the marks."""
    return metadata + _BEGIN + ",".join(map(_text, trail.marks)) if trail.marks else metadata


def without_marks(metadata: str) -> tuple[str, Trail]:
    """Inverse of `with_marks`; ignores text that is no mark."""
    before, _, text = metadata.partition(_BEGIN)
    marks = (_mark(part) for part in text.split(",") if part)
    return before, Trail([mark for mark in marks if mark is not None])


def _text(mark: Mark) -> str:
    spots = ("" if spot is None else f"{spot.offset:x}.{spot.crc:x}" for spot in (mark.state, mark.ledger))
    return ":".join((f"{mark.position:x}.{mark.crc:x}", *spots))


_SPOT: Final = r"([0-9a-f]{1,16})\.([0-9a-f]{1,8})"
_MARK: Final = re.compile(rf"{_SPOT}:(?:{_SPOT})?:(?:{_SPOT})?")


def _mark(text: str) -> Mark | None:
    matched = _MARK.fullmatch(text)
    if matched is None:
        return None
    numbers = [None if group is None else int(group, 16) for group in matched.groups()]
    position, crc = numbers[:2]
    assert position is not None
    assert crc is not None
    return Mark(position, crc, _spot(*numbers[2:4]), _spot(*numbers[4:6]))


def _spot(offset: int | None, crc: int | None) -> Spot | None:
    return None if offset is None or crc is None else Spot(offset, crc)
