"""What a consumer has read and made durable, told by identity: marks on its way (DESIGN §5.2, §5.4). Pure.

A committed offset says how far a group had come, not in what. A power cut takes the end of a partition,
others write in its place, and the offset points into records that nobody has read. So with each offset marks
are committed: for some places on the way the checksum of the last record read, and of the last records that
were written to the state topic and to the ledger by then. What is left of a log after a cut is its beginning
as it was; so a mark whose records are all there proves everything before it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

# Ever wider apart, 16 of them reach some 10,000 checkpoints back (hours); their text stays below the broker's
# 4,096 bytes.
MOST_MARKS: Final = 16
_BEGIN: Final = " marks="


class Spot(NamedTuple):
    """A record by its place and its content."""

    offset: int
    crc: int


class Mark(NamedTuple):
    """How far we were.

    Attributes:
        position: everything before it was read, and is stored.
        crc: of the record just before it.
        state, ledger: the last records that we had written to these topics; None if there was none.
    """

    position: int
    crc: int
    state: Spot | None = None
    ledger: Spot | None = None


def crc_of(key: bytes | None, value: bytes | None) -> int:
    return zlib.crc32(value or b"", zlib.crc32(key or b""))


class Trail:
    """The marks of one partition, the newest first."""

    def __init__(self, marks: Sequence[Mark] = ()) -> None:
        self.marks = list(marks)

    def add(self, mark: Mark) -> None:
        """Note how far we are; older marks are kept ever wider apart."""
        # One that is read again is noted anew.
        left = [mark, *(older for older in self.marks if older.position < mark.position)]
        kept = left[:1]
        for older, oldest in zip(left[1:], [*left[2:], None], strict=False):
            before = mark.position - kept[-1].position
            # Whatever lies between two whose distances are not four to one can be spared.
            if oldest is None or mark.position - oldest.position > 4 * before:
                kept.append(older)
        self.marks = kept[:MOST_MARKS]

    def proved(self, is_true: Callable[[Mark], bool]) -> Mark | None:
        """The newest mark whose records are all there; None if there is none such."""
        return next(filter(is_true, self.marks), None)


def with_marks(metadata: str, trail: Trail) -> str:
    """What is committed along with an offset."""
    return metadata + _BEGIN + ",".join(map(_text, trail.marks)) if trail.marks else metadata


def without_marks(metadata: str) -> tuple[str, Trail]:
    """Inverse of `with_marks`; what is no mark is passed over."""
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
