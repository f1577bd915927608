"""The frames of recordings in order, read as they are needed."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Final

from shared.errors import RecordingError
from simulator.recordings.items import Frame

# How far frames of one file may be out of order: those of a busy minute of one symbol.
WINDOW: Final = 2_048
_WINDOW_BYTES: Final = 8 * 2**20


class InOrder:
    """Frames of a nearly ordered file by receive time.

    Attributes:
        late: number of frames more than WINDOW frames behind their time. They stay where they are, and get
            the time of the one before.
    """

    def __init__(self, frames: Iterator[Frame]) -> None:
        self.late = 0
        self._frames = frames
        self._last_us = 0

    def __iter__(self) -> Iterator[Frame]:
        held: list[Frame] = []
        size = 0
        for frame in self._frames:
            held.append(frame)
            size += len(frame.body)
            if len(held) >= 2 * WINDOW or size > 2 * _WINDOW_BYTES:
                held.sort(key=_received)
                half = (len(held) + 1) // 2
                yield from map(self._placed, held[:half])
                del held[:half]
                size = sum(len(frame.body) for frame in held)
        held.sort(key=_received)
        yield from map(self._placed, held)

    def _placed(self, frame: Frame) -> Frame:
        if frame.received_us < self._last_us:
            self.late += 1
            return frame._replace(received_us=self._last_us)
        self._last_us = frame.received_us
        return frame


@dataclass(slots=True)
class FrameFile:
    """The frames of one file.

    Attributes:
        read: reads them from the first on.
        count, first_us: when the recording was opened.
    """

    name: str
    read: Callable[[], Generator[Frame]]
    count: int
    first_us: int

    def __iter__(self) -> Iterator[Frame]:
        """Read the same frames again.

        Raises:
            RecordingError: the file has changed.
        """
        given = 0
        # A recorder may still be writing: frames added since are ignored.
        with closing(self.read()) as frames:
            for frame in InOrder(islice(frames, self.count)):
                given += 1
                yield frame
        if given < self.count:
            raise RecordingError(
                f"{self.name}: has {given:,} frames, and had {self.count:,} when it was opened; leave it"
                " as it is while it is played"
            )


class Frames:
    """All frames of some files, in receive-time order; each pass reads the files again.

    Only files that overlap in time are open at once.
    """

    def __init__(self, files: Sequence[FrameFile]) -> None:
        self._files = sorted((file for file in files if file.count), key=lambda file: file.first_us)
        self._count = sum(file.count for file in files)

    def __len__(self) -> int:
        return self._count

    @property
    def first_us(self) -> int:
        return self._files[0].first_us

    def __iter__(self) -> Iterator[Frame]:
        to_come = iter(self._files)
        coming = next(to_come, None)
        # By time, then by the unique number of the file.
        open_: list[tuple[int, int, Frame, Iterator[Frame]]] = []
        number = 0
        while open_ or coming is not None:
            while coming is not None and (not open_ or coming.first_us <= open_[0][0]):
                frames = iter(coming)
                first = next(frames)
                heapq.heappush(open_, (first.received_us, number, first, frames))
                number += 1
                coming = next(to_come, None)
            _, place, frame, frames = open_[0]
            yield frame
            following = next(frames, None)
            if following is None:
                heapq.heappop(open_)
            else:
                heapq.heapreplace(open_, (following.received_us, place, following, frames))


def _received(frame: Frame) -> int:
    return frame.received_us
