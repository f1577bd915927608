"""Rows that wait for a client: encoded once for all who see the same, and bounded for each."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

# Of a fragment beside its bytes: the object, its places in lists, its offset and its time.
FRAGMENT_BYTES: Final = 120


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one arrival, encoded; shared by the clients, so never changed.

    Attributes:
        fragments: JSON arrays, one a row.
        offsets, events: of each row, as in `LiveRow`.
        end: offset of the record after the last.
        identity: values of the tags that are columns.
        size: bytes that it holds, estimated.
        past: read again from the topic, not just come: its ages say nothing of the way.
    """

    fragments: tuple[bytes, ...]
    offsets: tuple[int, ...]
    events: tuple[int, ...]
    end: int
    identity: tuple[str, ...]
    size: int
    past: bool = False

    def since(self, offset: int) -> Batch | None:
        """The rows of records from `offset` on, and those of no record; None if there is none."""
        wanted = [index for index, each in enumerate(self.offsets) if each < 0 or each >= offset]
        return self._part(wanted) if wanted else None

    def without_first(self, count: int) -> Batch:
        """The batch without its first rows, but not without all."""
        return self._part(list(range(count, len(self.fragments))))

    def _part(self, wanted: list[int]) -> Batch:
        fragments = tuple(self.fragments[index] for index in wanted)
        return Batch(
            fragments,
            tuple(self.offsets[index] for index in wanted),
            tuple(self.events[index] for index in wanted),
            self.end,
            self.identity,
            size_of(fragments),
            self.past,
        )


def size_of(fragments: tuple[bytes, ...]) -> int:
    """Bytes that they hold, estimated."""
    return sum(map(len, fragments)) + FRAGMENT_BYTES * len(fragments)


class Taken:
    """Rows for one frame.

    Attributes:
        room: bytes that are left in the frame.
        newest_ms: the exchange's time of the newest row; None without rows.
        cursor: offset from which a reader of these rows goes on; None if unknown.
        cursor_text: the same as text, if the client is to be told.
        past: rows that did not just come are among them: of a snapshot, or read again.
        passed: the cursor is after all rows that were skipped.
    """

    def __init__(self, room: int, *, may_exceed: bool) -> None:
        self.room = room
        self.fragments: list[bytes] = []
        self.newest_ms: int | None = None
        self.cursor: int | None = None
        self.cursor_text: str | None = None
        self.past = False
        self.passed = False
        self._may_exceed = may_exceed  # a row that is larger than a frame goes alone

    def add(self, fragment: bytes, event_ms: int) -> bool:
        """False if there is no room for it."""
        cost = len(fragment) + 1
        if cost > self.room and not (self._may_exceed and not self.fragments):
            return False
        self.room -= cost
        self.fragments.append(fragment)
        if self.newest_ms is None or event_ms > self.newest_ms:
            self.newest_ms = event_ms
        return True


class Pending(Protocol):
    """Rows of one subscription that wait."""

    @property
    def size(self) -> int:
        """Bytes, estimated."""

    @property
    def rows(self) -> int:
        """How many wait."""

    def push(self, batch: Batch) -> int:
        """Add a batch; the number of rows that were skipped for it."""

    def take(self, taken: Taken) -> None:
        """Move rows, as many as there is room for."""

    def clear(self) -> None:
        """Drop all."""


class Exact:
    """All rows, in order."""

    def __init__(self) -> None:
        self.size = 0
        self.rows = 0
        self._batches: deque[Batch] = deque()
        self._done = 0  # rows of the first batch that have gone

    def push(self, batch: Batch) -> int:
        self._batches.append(batch)
        self.size += batch.size
        self.rows += len(batch.fragments)
        return 0

    def push_first(self, batch: Batch) -> int:
        """Add a batch that comes before all others, of which nothing has gone."""
        self._batches.appendleft(batch)
        self.size += batch.size
        self.rows += len(batch.fragments)
        return 0

    def take(self, taken: Taken) -> None:
        while self._batches:
            batch = self._batches[0]
            for fragment, event_ms in islice(
                zip(batch.fragments, batch.events, strict=True), self._done, None
            ):
                if not taken.add(fragment, event_ms):
                    if self._done:
                        taken.cursor = batch.offsets[self._done] if batch.offsets[self._done] >= 0 else None
                    return
                taken.past |= batch.past
                self._done += 1
                self.rows -= 1
            taken.cursor = batch.end
            self._drop_first()

    def clear(self) -> None:
        self._batches.clear()
        self.size = self.rows = self._done = 0

    def skip(self, rows: int) -> None:
        """Drop this many of the oldest."""
        while rows:
            left = len(self._batches[0].fragments) - self._done
            step = min(left, rows)
            self._done += step
            self.rows -= step
            rows -= step
            if step == left:
                self._drop_first()

    def _drop_first(self) -> None:
        self.size -= self._batches.popleft().size
        self._done = 0


class Tape(Exact):
    """The newest rows, at most so many a frame; the others are counted.

    Args:
        most: rows.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def push(self, batch: Batch) -> int:
        # A part alone, so that a large batch is not held for a few of its rows.
        too_many = max(0, len(batch.fragments) - self._most)
        super().push(batch.without_first(too_many) if too_many else batch)
        return too_many + self._skip_oldest()

    def push_first(self, batch: Batch) -> int:
        too_many = max(0, len(batch.fragments) - self._most)
        super().push_first(batch.without_first(too_many) if too_many else batch)
        return too_many + self._skip_oldest()

    def _skip_oldest(self) -> int:
        too_many = max(0, self.rows - self._most)
        self.skip(too_many)
        return too_many


class Latest:
    """The newest row of each identity."""

    def __init__(self) -> None:
        self.size = 0
        self._batches: dict[tuple[str, ...], Batch] = {}

    @property
    def rows(self) -> int:
        return len(self._batches)

    def push(self, batch: Batch) -> int:
        former = self._batches.pop(batch.identity, None)
        if former is not None:
            self.size -= former.size
        self._batches[batch.identity] = batch
        self.size += batch.size
        return 0

    def take(self, taken: Taken) -> None:
        while self._batches:
            identity, batch = next(iter(self._batches.items()))
            if not taken.add(batch.fragments[-1], batch.events[-1]):
                return
            self.size -= batch.size
            del self._batches[identity]

    def clear(self) -> None:
        self._batches.clear()
        self.size = 0
