"""Missing ids, which an exchange has issued and we do not have: what to ask REST for, when, how long. Pure.

REST is asked soon after a hole is found, since its database trails the stream by 1–5 s (BINANCE_SPOT.md §9),
then at growing delays. After an answer without the id, a refusal or a missing path the id stays missing; it
counts as lost only after a day of requests.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from shared.messages import KlineMessage, TradeMessage

# Seconds until the next request, after the first, second, … answer; then the last of them.
SOON_S: Final = (1.0, 2.0, 3.0, 4.0, 5.0)
DELAYS_S: Final = (*SOON_S, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1_280.0, 1_800.0)
PATIENCE_S: Final = 86_400.0
# Half a day by the delays above: a clock alone, which may be wrong, does not end the requests.
LEAST_ASKED: Final = 30
# Some 200 bytes each, 2 MB a series.
MAX_HOLES: Final = 10_000
# So many answers with later ids and without a doubtful one prove that it was never issued: three quarters of
# a minute by the delays above. It is asked for some time longer.
PROVEN_BY: Final = 8
AFTER_PROOF_S: Final = 3_600.0
# How long later bars wait for a missing one: two minutes if REST has none later either and may only trail,
# else as long as it usually trails. Then they are published, and the missing one when REST has it.
ORDER_DELAYS_S: Final = (*SOON_S, 10.0, 15.0, 30.0, 60.0)
UNANSWERED_S: Final = 3_600.0  # an hour if REST refuses to answer


def delay_s(asked: int) -> float:
    """Seconds until REST is asked again for what it did not give `asked` times, at least once."""
    return DELAYS_S[min(asked, len(DELAYS_S)) - 1]


@dataclass(slots=True)
class MissingRange:
    """Neighbouring ids that are missing for the same reason and were asked for as often.

    Attributes:
        first, last: both inclusive.
        before_ms, after_ms: times of the neighbours when the hole was found; None if unknown.
        offline: we were switched off between them.
        asked: number of REST answers without them.
        since_s: time of the first answer, None before it. due_s: when to ask next.
        doubtful: they may never have been issued.
        lacking: number of REST answers with later ids and without them.
    """

    first: int
    last: int
    before_ms: int | None
    after_ms: int
    offline: bool
    asked: int = 0
    since_s: float | None = None
    due_s: float = -math.inf
    doubtful: bool = False
    lacking: int = 0

    @property
    def soon(self) -> bool:
        """Whether it is still asked for in short intervals."""
        return self.asked <= len(SOON_S)

    def exhausted(self, now_s: float) -> bool:
        """Whether REST was asked for as long and as often as it is asked at all."""
        asked_for_s = 0.0 if self.since_s is None else now_s - self.since_s
        return asked_for_s >= PATIENCE_S and self.asked >= LEAST_ASKED

    def asking(self, now_s: float) -> str:
        """How often and how long REST was asked, in words."""
        asked_for_s = 0.0 if self.since_s is None else now_s - self.since_s
        return f"asked {self.asked} times in {asked_for_s / 3600:.1f} h"

    def follows(self, before: MissingRange) -> bool:
        """Whether the two can be joined."""
        return (
            self.first == before.last + 1
            and (self.asked, self.lacking) == (before.asked, before.lacking)
            and (self.before_ms, self.after_ms, self.offline, self.doubtful)
            == (before.before_ms, before.after_ms, before.offline, before.doubtful)
        )


class MissingIds:
    """The missing ids of one series, in order; times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._ranges: list[MissingRange] = []
        self._count = 0

    def add(self, missing: MissingRange) -> None:
        """Enter a range of which no id is missing yet."""
        self._ranges.insert(self._index(missing.first), missing)
        self._count += missing.last - missing.first + 1

    def remove(self, first: int, last: int) -> None:
        """Remove those of these ids that are missing."""
        begin, end = self._cut_out(first, last)
        self._count -= sum(missing.last - missing.first + 1 for missing in self._ranges[begin:end])
        del self._ranges[begin:end]

    def within(self, first: int, last: int) -> Iterator[MissingRange]:
        """The parts of ranges that lie in `first` to `last`, both inclusive; copies, in order."""
        for index in range(self._index(first), len(self._ranges)):
            missing = self._ranges[index]
            if missing.first > last:
                return
            yield replace(missing, first=max(first, missing.first), last=min(last, missing.last))

    def unanswered(self, first: int, last: int, now_s: float, reached: int = -1) -> list[MissingRange]:
        """Take an answer to a request for these ids, without those that are still missing.

        Args:
            reached: the newest id that REST has, if known.

        Returns: the exhausted ranges; they stay until removed.
        """
        begin, end = self._cut_out(first, last)
        touched = self._ranges[begin:end]
        for missing in touched:
            missing.asked += 1
            passed = reached > missing.last
            missing.lacking += passed
            missing.since_s = now_s if missing.since_s is None else missing.since_s
            # A proof begins with the first answer that has later ids, however long REST trailed before.
            missing.due_s = now_s + delay_s(missing.lacking if missing.doubtful and passed else missing.asked)
        exhausted = [replace(missing) for missing in touched if missing.exhausted(now_s)]
        self._join(first, last)
        return exhausted

    def proven(self) -> list[MissingRange]:
        """Ranges that REST's answers prove never issued; they stay until removed."""
        return [
            replace(missing) for missing in self._ranges if missing.doubtful and missing.lacking >= PROVEN_BY
        ]

    def due(self, now_s: float, page: int) -> tuple[int, int] | None:
        """First and last missing id of the next page to ask for; None if nothing is due."""
        for missing in self._ranges:
            if missing.due_s <= now_s:
                *_, last = self.within(missing.first, missing.first + page - 1)
                return missing.first, last.last
        return None

    @property
    def soon(self) -> bool:
        """Whether a range is still asked for in short intervals."""
        return any(missing.soon for missing in self._ranges)

    def range_count(self) -> int:
        return len(self._ranges)

    def __contains__(self, item: int) -> bool:
        index = self._index(item)
        return index < len(self._ranges) and self._ranges[index].first <= item

    def __iter__(self) -> Iterator[MissingRange]:
        return iter(self._ranges)

    def id_count(self) -> int:
        """Number of ids; `len` would be that of the ranges."""
        return self._count

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def _index(self, item: int) -> int:
        """Index of the range that holds the id, or else of the next one."""
        return bisect_left(self._ranges, item, key=lambda missing: missing.last)

    def _cut_out(self, first: int, last: int) -> tuple[int, int]:
        """Indices, the second exclusive, of the ranges from `first` to `last`; those that cross are cut."""
        for at in (first, last + 1):
            index = self._index(at)
            if index < len(self._ranges) and self._ranges[index].first < at:
                crossing = self._ranges[index]
                self._ranges.insert(index, replace(crossing, last=at - 1))
                crossing.first = at
        begin = self._index(first)
        end = begin
        while end < len(self._ranges) and self._ranges[end].last <= last:
            end += 1
        return begin, end

    def _join(self, first: int, last: int) -> None:
        """Join neighbours that were asked for as often: otherwise a long hole would become many ranges."""
        index = max(self._index(first), 1)
        while index < len(self._ranges) and self._ranges[index].first <= last + 1:
            before, missing = self._ranges[index - 1], self._ranges[index]
            if missing.follows(before):
                # The later times are kept: nothing is asked too often, or counts as lost too early.
                missing.first = before.first
                del self._ranges[index - 1]
            else:
                index += 1


class PageRetries:
    """REST's answers about a page of missing bars that later ones wait for.

    Attributes:
        asked: number of answers without the first bar of the page.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._answers = 0
        self._lacking = 0  # answers with a later bar
        self._since_s: float | None = None

    def answered(self, rows: Sequence[KlineMessage] | None, first: int, now_s: float) -> None:
        """Take an answer without the bar `first`; None if REST refused to answer."""
        self._since_s = now_s if self._since_s is None else self._since_s
        self.asked += 1
        if rows is not None:
            self._answers += 1
            self._lacking += any(row["open_time_ms"] > first for row in rows)

    @property
    def delay_s(self) -> float:
        """Seconds until the next request."""
        return ORDER_DELAYS_S[min(self.asked, len(ORDER_DELAYS_S)) - 1] if self.asked else 0.0

    def soon_over(self, now_s: float) -> bool:
        """REST has answered for as long as its database usually trails, or has long refused to."""
        return self._answers > len(SOON_S) or self.unanswered_for_long(now_s)

    def order_over(self, now_s: float) -> bool:
        """Later bars have waited long enough."""
        return (
            self._lacking > len(SOON_S)
            or self._answers > len(ORDER_DELAYS_S)
            or self.unanswered_for_long(now_s)
        )

    def unanswered_for_long(self, now_s: float) -> bool:
        return self._since_s is not None and now_s - self._since_s >= UNANSWERED_S

    def continued(self, missing: MissingRange, now_s: float, *, passed: bool) -> MissingRange:
        """The range, asked for as often and as long as the page; `passed`: REST has a later bar."""
        return replace(
            missing,
            asked=self.asked,
            since_s=self._since_s,
            due_s=now_s + delay_s(self.asked),
            lacking=self._lacking if passed else 0,
        )


def misplaced(row: TradeMessage, hole: MissingRange) -> str:
    """Why a trade does not belong to a hole: it is too early."""
    return (
        f"trade_id: REST gives {row['trade_id']} with the time {row['trade_time_ms']}, and the trade before"
        f" the missing ones is of {hole.before_ms}"
    )
