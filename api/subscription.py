"""One subscription of one client: first a snapshot out of the rings, then what comes, without a seam.

    filling ──▶ open ◀── fetching        the rows so far are read; rows after a cursor are read
                 └─ snapshot, then pending

The snapshot is read from the rings while frames go out, so that a client who reads slowly holds no copy of
it; what comes meanwhile waits behind it. A row that comes again leaves the snapshot and waits, so that each
goes once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from api import answers
from api.cursors import cursor_at, parse_cursor, why_not_from
from api.feeds import View, Watched
from api.limits import AHEAD_MS, Limits
from api.pending import Batch, Exact, Latest, Pending, Taken, Tape
from api.states import State, filling
from consumers.tap.port import Hole, LiveRow

if TYPE_CHECKING:
    from api.client import Client
    from api.protocol import Subscribe

_BEYOND: Final = "the cursor lies beyond the end of the topic"


class _Join:
    """A span of a ring that is still to be sent.

    Attributes:
        resumes: the client has all before `from_offset`: each row of the span is a place to go on from.
    """

    def __init__(self, watched: Watched, first: int, from_offset: int = 0, *, resumes: bool = False) -> None:
        self.watched = watched
        self.next = first
        self.end = watched.ring.next_number
        self.from_offset = from_offset
        self.resumes = resumes

    def gone(self) -> int:
        """Rows that the ring dropped before they were sent."""
        return max(0, min(self.watched.ring.gone, self.end) - self.next)


class Subscription:
    """
    Attributes:
        number: the client's name for it.
        since: a cursor to go on from, instead of a snapshot.
        skipped: rows that were left out; told with the rows after them.
        gaps: holes that are still to be told.
        fetch: request for older rows that is under way.
        cursor: the last one that was sent, or that the client came with.
    """

    def __init__(self, client: Client, view: View, request: Subscribe, limits: Limits) -> None:
        self.number = request.number
        self.client = client
        self.view = view
        self.since = request.since
        self.cursor = request.since
        self.skipped = 0
        self.gaps: list[Hole] = []
        self.fetch: int | None = None
        self.delivery = view.feed.kind.delivery
        self.sent_state: State | None = None
        self._last = request.last
        self._limits = limits
        self._open = False
        self._holds_rows = request.since is not None
        self._joins: deque[_Join] = deque()
        self._joined_at: int | None = None  # cursor after the snapshot
        self._ahead: int | None = None
        self._ahead_until_ms = 0
        self._waiting_since_ms = 0
        self.pending: Pending = (
            Exact()
            if self.delivery == "exact"
            else Tape(limits.trades_per_frame)
            if self.delivery == "tape"
            else Latest()
        )

    @property
    def state(self) -> State:
        """Its feed's, or filling while rows after its cursor are awaited."""
        state = self.view.feed.state
        if state.name == "away" or not self._waits:
            return state
        return filling(self._waiting_since_ms)

    @property
    def _waits(self) -> bool:
        return self.fetch is not None or self._ahead is not None

    def begin(self, now_ms: int) -> int | None:
        """The rows so far are known.

        Returns:
            the offset from which older rows must be fetched; None if all are here.
        """
        self._open = True
        feed = self.view.feed
        self.gaps = [hole for each in feed.watched.values() for hole in each.ring.holes]
        self.client.note(self)
        if self.since is None:
            self._join_newest()
            return None
        watched, cursor = feed.single, parse_cursor(self.since)
        reason = why_not_from(cursor, None if watched is None else watched.ring.source)
        if reason is not None or watched is None or cursor is None:
            self.restart(reason or "this series has no cursors")
            return None
        self._waiting_since_ms = now_ms
        ring = watched.ring
        if cursor.offset > ring.end:
            self._ahead, self._ahead_until_ms = cursor.offset, now_ms + AHEAD_MS
        elif cursor.offset >= ring.low:
            self._join([_Join(watched, ring.first_from(cursor.offset), cursor.offset, resumes=True)])
        else:
            return cursor.offset
        return None

    def fetched(self, rows: tuple[LiveRow, ...] | None, reason: str, before: int) -> None:
        """The rows after the cursor, of which those of records from `before` on have come by themselves."""
        self.fetch = None
        self.client.note(self)
        watched = self.view.feed.single
        if rows is None or watched is None:
            self.restart(reason or "the rows after the cursor cannot be read")
            return
        older = tuple(row for row in rows if row.offset < before)
        if len(older) > self._limits.backlog_rows:
            self.restart(f"behind by {len(older):,} rows")
            return
        if older and isinstance(self.pending, Exact):
            batch = self.view.batch(watched.series.tags, older, before, past=True)
            self.skipped += self.pending.push_first(batch)
            self.bound()

    def push(self, batch: Batch) -> None:
        """Rows came; once all subscriptions have them, `bound` must follow.

        Not at once: another that starts over for it has them in its snapshot, and must not get them again.
        """
        if not self._open:
            return  # they are in the ring, and so in the snapshot
        if self._ahead is not None:
            begun = batch.end > self._ahead
            part = batch.since(self._ahead)
            if begun:
                self._ahead = None
            if part is None:
                return
            batch = part
        self.skipped += self.pending.push(batch)
        self.client.note(self)

    def appear(self, watched: Watched) -> None:
        """Another series of the feed has its rows so far."""
        if self._open:
            self.gaps.extend(watched.ring.holes)
            self._joins.append(_Join(watched, watched.ring.first_of_newest(self._last)))
            self.client.note(self)

    def turn(self, now_ms: int) -> None:
        """Time has passed: a cursor ahead of us is reached, or never will be."""
        watched = self.view.feed.single
        if self._ahead is None or watched is None:
            return
        if watched.ring.end >= self._ahead:
            self._ahead = None
            self.client.note(self)
        elif now_ms > self._ahead_until_ms:
            self.restart(_BEYOND)

    def restart(self, reason: str) -> None:
        """Begin anew with a snapshot, and say so if the client has rows of it."""
        if self._holds_rows:
            self.client.answer(answers.restart(self.number, reason, self.cursor))
        self._holds_rows = False
        self.since = self.fetch = self._ahead = None
        self.pending.clear()
        if self._open:
            self._join_newest()
        self.client.note(self)

    def close(self) -> None:
        """Wait for the rows so far to be read again."""
        self._open = False
        self._joins.clear()

    def drop(self) -> None:
        """Give its memory back."""
        if self.delivery == "exact":
            self.restart(f"more than {self._limits.client_bytes:,} bytes waited")
        elif self.delivery == "tape":
            self.skipped += self.pending.rows
            self.pending.clear()
        else:
            self.pending.clear()
            self._last = min(self._last, 1)  # the newest are in the rings
            self._join_newest()

    def take(self, taken: Taken) -> None:
        """Move rows into a frame."""
        self._pass_gone()
        while self._joins:
            join = self._joins[0]
            tags = join.watched.series.tags
            for number, row in join.watched.ring.rows(join.next, join.end):
                if not 0 <= row.offset < join.from_offset:
                    if not taken.add(self.view.fragment(tags, row), row.event_ms):
                        if join.resumes and row.offset >= 0:
                            taken.cursor = row.offset
                        return self._sent(taken)
                    taken.past = True
                join.next = number + 1
            self._joins.popleft()
            if not self._joins:
                taken.cursor = self._joined_at
        before = len(taken.fragments)
        if self.fetch is None:
            self.pending.take(taken)
        taken.passed = len(taken.fragments) > before or (before > 0 and not self.pending.rows)
        return self._sent(taken)

    @property
    def waits(self) -> bool:
        """Whether something of it could go into a frame."""
        return bool(
            self._joins
            or (self.pending.rows and self.fetch is None)
            or self.gaps
            or self.state != self.sent_state
        )

    def _sent(self, taken: Taken) -> None:
        if not taken.fragments:
            return
        self._holds_rows = True
        watched = self.view.feed.single
        if taken.cursor is None or watched is None or watched.ring.source is None:
            return  # in the midst of a snapshot there is no place to go on from
        cursor = cursor_at(watched.ring.source, taken.cursor)
        if cursor is not None and self.delivery != "latest":
            self.cursor = taken.cursor_text = str(cursor)

    def _join_newest(self) -> None:
        watched = self.view.feed.watched.values()
        self._join([_Join(each, each.ring.first_of_newest(self._last)) for each in watched])

    def _join(self, joins: list[_Join]) -> None:
        self._joins = deque(joins)
        single = self.view.feed.single
        self._joined_at = None if single is None else single.ring.end

    def _pass_gone(self) -> None:
        """Rows of the snapshot that are not in the ring any more cannot be sent."""
        gone = sum(join.gone() for join in self._joins)
        if not gone:
            return
        if self.delivery == "exact":
            self.restart(f"behind by {gone + self.pending.rows:,} rows")
        elif self.delivery == "tape":
            self.skipped += gone
        for join in self._joins:
            join.next += join.gone()

    def bound(self) -> None:
        """Start over if too much waits, or let the client's largest do so."""
        if self.delivery == "exact" and self.pending.rows > self._limits.backlog_rows:
            self.restart(f"behind by {self.pending.rows:,} rows")
        # As long as none holds more than its part, all together hold no more than the client may.
        elif self.pending.size > self._limits.client_bytes // self._limits.subscriptions:
            self.client.bound()
