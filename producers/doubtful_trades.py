"""Doubtful trades, whose ids do not fit their times: held until REST's newest trades classify them. Pure.

A single frame whose ids jump or begin anew may be wrong: it is neither published nor dropped.
Source of the rules: BINANCE_SPOT.md §4.2 (ids rise by 1), §9 (REST trails the stream by 1–5 s).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, NamedTuple

from shared.messages import TradeMessage

# What a market can issue: 20,000 trades a second, several times the busiest seconds of the busiest symbols;
# and half a second of these at once, since times have milliseconds only.
_MOST_A_MS: Final = 20
_AT_ONCE: Final = 10_000
# Ids rise with time, but for the difference between servers of an exchange.
DISORDER_MS: Final = 1_000
# If the time of the newest trade is unknown: some days of the busiest symbols.
_UNTIMED: Final = 10_000_000
# Trades held at a time; later ones are found again as a hole.
MAX_HELD: Final = 1_000
# REST trails the stream: it is asked so often again, after 1 + 2 + 4 s.
_PATIENCE: Final = 3
_LONGEST_S: Final = 60.0
_ROW: Final = 10
# Newest trades of one REST answer (§8.4).
FULL_PAGE: Final = 1_000


class Mark(NamedTuple):
    """A trade's id in the exchange's present numbering, and its time (None: unknown)."""

    trade_id: int
    time_ms: int | None


def can_follow(before: Mark, after: Mark) -> bool:
    """Whether a market can have issued `after`, by its id and time, after `before`."""
    jump = after.trade_id - before.trade_id
    if before.time_ms is None or after.time_ms is None:
        return 0 < jump <= _UNTIMED
    passed_ms = after.time_ms - before.time_ms
    return passed_ms >= -DISORDER_MS and 0 < jump <= _AT_ONCE + max(0, passed_ms) * _MOST_A_MS


def mark_of(trade: TradeMessage) -> Mark:
    return Mark(trade["trade_id"], trade["trade_time_ms"])


def lie_of(trade: TradeMessage, known: Mark) -> str:
    """Why a trade is impossible."""
    return (
        f"trade_id: {trade['trade_id']} at {trade['trade_time_ms']} cannot be, with {known.trade_id} the"
        " newest known, and REST's newest trades do not confirm it"
    )


@dataclass(frozen=True, slots=True)
class Classification:
    """The held trades by kind.

    Attributes:
        begun_anew: the lowest known id of a new numbering; None: the numbering is the old one.
        genuine: issued as received, in the order of ids.
        impossible: never issued.
        repeated: of an earlier numbering, as in a recording that is played again.
        not_held: the last of those beyond MAX_HELD; None if all were held.
    """

    begun_anew: int | None
    genuine: list[TradeMessage] = field(default_factory=list)
    impossible: list[TradeMessage] = field(default_factory=list)
    repeated: list[TradeMessage] = field(default_factory=list)
    not_held: Mark | None = None


class DoubtfulTrades:
    """The doubtful trades of one symbol.

    Attributes:
        since_ms: when the first was received; None while there is none.
        asked: number of REST answers that did not decide.
    """

    def __init__(self) -> None:
        self._held: list[TradeMessage] = []
        self._overflow: Mark | None = None
        self._newest: Mark | None = None
        self.since_ms: int | None = None
        self.asked = 0

    def __bool__(self) -> bool:
        return self._newest is not None

    def __len__(self) -> int:
        """Number of trades held."""
        return len(self._held)

    @property
    def newest_id(self) -> int:
        """Id of the one received last; -2, which nothing follows, if there is none."""
        return -2 if self._newest is None else self._newest.trade_id

    @property
    def delay_s(self) -> float:
        """Seconds until REST is asked (again)."""
        return min(_LONGEST_S, 2.0 ** min(self.asked - 1, 10)) if self.asked else 0.0

    def followed_by(self, trade: TradeMessage) -> bool:
        """Whether the market can have issued the trade after the doubtful ones, so that it is one of them."""
        return self._newest is not None and can_follow(self._newest, mark_of(trade))

    def hold(self, trade: TradeMessage) -> bool:
        """Take a doubtful trade; whether it is the first."""
        first, self._newest = self._newest is None, mark_of(trade)
        if first:
            self.since_ms, self.asked = trade["received_time_ms"], 0
        if len(self._held) < MAX_HELD:
            self._held.append(trade)
        else:
            self._overflow = self._newest
        return first

    def classify(
        self, known: Mark, awaited: Callable[[int], bool], rows: Sequence[TradeMessage]
    ) -> Classification | None:
        """Classify them by REST's newest trades; None if these do not decide yet: ask again after `delay_s`.

        Args:
            known: the newest trade known to be genuine.
            awaited: whether an id below it may still come: then REST's newest trade may be such an id.
            rows: empty if REST gave no answer.
        """
        newest = max(map(mark_of, rows), key=lambda mark: (mark.time_ms, mark.trade_id), default=None)
        classified = None if newest is None else self._classified(known, awaited, newest, rows)
        if classified is None:
            self.asked += 1
            return None
        self._held, self._newest, self._overflow, self.since_ms = [], None, None, None
        return classified

    def _classified(
        self, known: Mark, awaited: Callable[[int], bool], newest: Mark, rows: Sequence[TradeMessage]
    ) -> Classification | None:
        assert newest.time_ms is not None
        times = _of_newest_numbering(rows)
        anew = self._is_anew(known, awaited, newest, times)
        behind = newest.trade_id < known.trade_id and not awaited(newest.trade_id)
        if not anew and (behind or newest.time_ms < (known.time_ms or 0)):
            return None  # REST trails the stream
        issued = set(map(mark_of, rows))
        classified = Classification(_beginning(times, len(rows)) if anew else None)
        for trade in self._held:
            if self._is_genuine(trade, newest, times, known, anew=anew):
                classified.genuine.append(trade)
            elif mark_of(trade) in issued and trade["trade_id"] not in times:
                classified.repeated.append(trade)
            elif trade["trade_time_ms"] > newest.time_ms and self.asked < _PATIENCE:
                return None
            else:
                classified.impossible.append(trade)
        classified.genuine.sort(key=lambda trade: trade["trade_id"])
        return replace(classified, not_held=self._not_held(newest))

    def _is_anew(
        self, known: Mark, awaited: Callable[[int], bool], newest: Mark, times: dict[int, int]
    ) -> bool:
        """Whether REST has trades later than the known one, with lower ids."""
        if known.time_ms is None:
            # An answer that is as new as the doubtful trades is not older than what we know.
            first = self._held[0]
            as_new = first["source"] != "replay" and (newest.time_ms or 0) >= first["trade_time_ms"]
            return as_new and newest.trade_id < known.trade_id and not awaited(newest.trade_id)
        if min(times) > known.trade_id:
            # REST shows trades of neither numbering. One frame may be wrong, but not ten in a row.
            reaches = self._newest is not None and (
                newest == self._newest or can_follow(self._newest, newest)
            )
            return reaches and self._are_in_a_row()
        since_ms = known.time_ms + DISORDER_MS
        return any(
            trade_id <= known.trade_id and time_ms > since_ms and not awaited(trade_id)
            for trade_id, time_ms in times.items()
        )

    def _are_in_a_row(self) -> bool:
        steps = [after["trade_id"] - before["trade_id"] for before, after in pairwise(self._held)]
        return steps.count(1) >= _ROW

    @staticmethod
    def _is_genuine(
        trade: TradeMessage, newest: Mark, times: dict[int, int], known: Mark, *, anew: bool
    ) -> bool:
        trade_id, time_ms = mark_of(trade)
        if trade_id > newest.trade_id:
            return can_follow(newest, mark_of(trade))
        oldest_id = min(times)
        if trade_id >= oldest_id:
            return times.get(trade_id) == time_ms
        # Below REST's page: it must be older, and not contradict the known trade.
        unseen = anew or trade_id > known.trade_id or known.time_ms is None
        return unseen and trade["trade_time_ms"] <= times[oldest_id]

    def _not_held(self, newest: Mark) -> Mark | None:
        if self._overflow is None:
            return None
        sound = self._overflow.trade_id <= newest.trade_id or can_follow(newest, self._overflow)
        return self._overflow if sound else None


def _of_newest_numbering(rows: Sequence[TradeMessage]) -> dict[int, int]:
    """Times by id of the trades up to the newest in which ids rise with time."""
    times: dict[int, int] = {}
    lowest: int | None = None
    for time_ms, trade_id in sorted(((row["trade_time_ms"], row["trade_id"]) for row in rows), reverse=True):
        if lowest is not None and trade_id >= lowest:
            break
        lowest, times[trade_id] = trade_id, time_ms
    return times


def _beginning(times: dict[int, int], rows: int) -> int:
    """First id of a new numbering: a page that is not full holds all trades; before a full page there may be
    more, and exchanges count from 1."""
    oldest_id = min(times)
    return oldest_id if len(times) < rows or rows < FULL_PAGE else min(oldest_id, 1)
