"""Two connections with the same streams: what goes on is the sequence, each id once and in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.frame_types import StreamMessage
from producers.overlap import GRACE_S, HELD_MESSAGES, Overlap, Side, StreamId
from shared.messages import KlineMessage
from tests.builders import NOW_MS, depth, kline, quote, trade

OLD, NEXT = Side.OLD, Side.NEXT
TRADES: StreamId = ("BTCUSDC", "trade", None)
DEPTH: StreamId = ("BTCUSDC", "depth", None)
MINUTES: StreamId = ("BTCUSDC", "kline", "1m")
QUOTES: StreamId = ("BTCUSDC", "quote", None)
MINUTE_MS = 60_000


class Merge:
    """An overlap of one stream; collects what goes on."""

    def __init__(self, stream: StreamId = TRADES, silent: Iterable[StreamId] = ()) -> None:
        self.stream = stream
        self.overlap = Overlap([stream], silent)
        self.passed: list[Any] = []

    def says(self, side: Side, *messages: Any) -> None:
        kind: Any = self.stream[1]
        for message in messages:
            self._collect(self.overlap.receive(side, self.stream, StreamMessage(kind, message)))

    def trades(self, side: Side, *ids: int) -> None:
        self.says(side, *(trade(trade_id=trade_id) for trade_id in ids))

    def ends(self, side: Side) -> None:
        self._collect(self.overlap.ended(side))

    def tick(self, now_s: float) -> None:
        self._collect(self.overlap.tick(now_s))

    @property
    def ids(self) -> list[int]:
        return [message["trade_id"] for message in self.passed]

    def _collect(self, messages: list[StreamMessage]) -> None:
        self.passed += [message for _, message in messages]


def bar(minute: int, *, closed: bool = False, after_ms: int = 0) -> KlineMessage:
    """An event of the bar that many minutes after a beginning."""
    open_time_ms = NOW_MS + minute * MINUTE_MS
    return kline(open_time_ms=open_time_ms, closed=closed, event_time_ms=open_time_ms + after_ms)


def test_the_next_connection_is_held_until_the_old_one_has_caught_up() -> None:
    merge = Merge()
    merge.trades(OLD, 1)
    merge.trades(NEXT, 4, 5)
    assert merge.ids == [1]
    assert not merge.overlap.taken_over
    merge.trades(OLD, 2, 3)
    assert merge.ids == [1, 2, 3, 4, 5]
    assert merge.overlap.taken_over
    merge.trades(OLD, 4, 5, 6)
    merge.trades(NEXT, 6, 7)
    assert merge.ids == [1, 2, 3, 4, 5, 6, 7]
    assert merge.overlap.held == 0


def test_a_next_connection_that_is_behind_repeats_nothing() -> None:
    merge = Merge()
    merge.trades(OLD, 10, 11)
    merge.trades(NEXT, 9)
    assert merge.overlap.taken_over
    merge.trades(OLD, 12)
    merge.trades(NEXT, 10, 11, 12, 13)
    assert merge.ids == [10, 11, 12, 13]
    merge.trades(OLD, 14)
    merge.ends(OLD)
    assert not merge.overlap.settled
    merge.trades(NEXT, 14, 15)
    assert merge.ids == [10, 11, 12, 13, 14, 15]
    assert merge.overlap.settled


def test_what_one_connection_leaves_out_the_other_one_gives() -> None:
    merge = Merge()
    merge.trades(OLD, 1)
    merge.trades(NEXT, 3, 4)
    merge.trades(OLD, 5)
    assert merge.ids == [1, 3, 4, 5]
    merge.trades(NEXT, 5, 8)
    merge.trades(OLD, 6, 7, 8)
    assert merge.ids == [1, 3, 4, 5, 8]


def test_before_the_old_connection_has_spoken_nobody_knows_where_it_stands() -> None:
    merge = Merge()
    merge.trades(NEXT, 5)
    assert merge.ids == []
    merge.trades(OLD, 4, 5)
    assert merge.ids == [4, 5]


def test_a_quiet_stream_goes_over_after_a_grace() -> None:
    merge = Merge()
    merge.tick(100.0)
    merge.trades(NEXT, 5)
    merge.tick(200.0)
    merge.tick(200.0 + GRACE_S - 0.1)
    assert merge.ids == []
    merge.tick(200.0 + GRACE_S)
    assert merge.ids == [5]
    assert merge.overlap.taken_over


def test_no_stream_goes_over_by_time_while_the_next_connection_is_mute_or_the_old_one_speaks() -> None:
    merge = Merge()
    for second in range(60):
        merge.tick(float(second))
    assert not merge.overlap.taken_over
    merge.trades(NEXT, 1_000)
    for second in range(60, 120):
        merge.trades(OLD, second)
        merge.tick(float(second))
    assert not merge.overlap.taken_over
    assert merge.overlap.behind == [TRADES]


def test_a_stream_found_silent_is_not_waited_for() -> None:
    merge = Merge(silent=[TRADES])
    merge.trades(NEXT, 50)
    assert merge.ids == [50]
    assert merge.overlap.taken_over


def test_when_the_old_connection_is_cut_the_next_one_is_passed_at_once() -> None:
    merge = Merge()
    merge.trades(OLD, 1)
    merge.trades(NEXT, 4)
    merge.ends(OLD)
    assert merge.ids == [1, 4]
    assert merge.overlap.settled


def test_after_a_cut_the_one_that_is_left_repeats_nothing() -> None:
    merge = Merge()
    merge.trades(OLD, 1, 2, 3)
    merge.ends(OLD)
    assert not merge.overlap.settled
    merge.trades(NEXT, 2, 3, 4)
    assert merge.ids == [1, 2, 3, 4]
    assert merge.overlap.settled


def test_one_that_is_left_and_quiet_is_settled_after_the_grace() -> None:
    merge = Merge()
    merge.trades(OLD, 1, 2)
    merge.trades(NEXT, 1)
    merge.ends(OLD)
    merge.tick(0.0)
    assert not merge.overlap.settled
    merge.tick(GRACE_S)
    assert merge.overlap.settled


def test_a_next_connection_that_is_cut_leaves_the_stream_to_the_old_one() -> None:
    merge = Merge()
    merge.trades(OLD, 1)
    merge.trades(NEXT, 2)
    merge.trades(OLD, 2, 3, 4)
    merge.ends(NEXT)
    merge.trades(OLD, 5)
    assert merge.ids == [1, 2, 3, 4, 5]
    assert merge.overlap.settled


def test_diffs_join_where_the_update_ids_do() -> None:
    merge = Merge(DEPTH)
    merge.says(OLD, depth(first_update_id=101, final_update_id=105))
    merge.says(NEXT, depth(first_update_id=111, final_update_id=115))
    merge.says(OLD, depth(first_update_id=106, final_update_id=110))
    merge.says(OLD, depth(first_update_id=111, final_update_id=115))
    assert [message["final_update_id"] for message in merge.passed] == [105, 110, 115]
    assert merge.overlap.taken_over


def test_a_final_bar_comes_once_and_before_the_next_bar() -> None:
    merge = Merge(MINUTES)
    merge.says(OLD, bar(0, after_ms=50_000))
    merge.says(NEXT, bar(1, after_ms=2_000))
    assert len(merge.passed) == 1
    merge.says(OLD, bar(0, closed=True, after_ms=60_005))
    assert merge.passed[1:] == [bar(0, closed=True, after_ms=60_005), bar(1, after_ms=2_000)]
    merge.says(OLD, bar(1, after_ms=1_000), bar(1, after_ms=2_000))
    merge.says(NEXT, bar(1, closed=True, after_ms=60_001))
    merge.says(OLD, bar(1, closed=True, after_ms=60_009))
    assert merge.passed[3:] == [bar(1, closed=True, after_ms=60_001)]


def test_an_open_bar_goes_over_within_the_bar() -> None:
    merge = Merge(("BTCUSDC", "kline", "1d"))
    midnight_ms = NOW_MS - NOW_MS % 86_400_000
    updates = [
        kline(interval="1d", open_time_ms=midnight_ms, closed=False, event_time_ms=NOW_MS + after_ms)
        for after_ms in (0, 2_000, 4_000)
    ]
    merge.says(OLD, updates[0])
    merge.says(NEXT, updates[1])
    merge.says(OLD, updates[1])
    merge.says(NEXT, updates[2])
    assert merge.passed == updates
    assert merge.overlap.taken_over


def test_of_quotes_the_newest_goes_on_at_once() -> None:
    merge = Merge(QUOTES)
    merge.says(NEXT, quote(update_id=9))
    merge.says(OLD, quote(update_id=8), quote(update_id=9))
    assert [message["update_id"] for message in merge.passed] == [9]
    assert merge.overlap.taken_over


def test_what_waits_is_bounded_and_nothing_of_it_is_dropped() -> None:
    merge = Merge()
    merge.trades(OLD, 1)
    merge.trades(NEXT, *range(10, 10 + HELD_MESSAGES))
    assert merge.overlap.held == HELD_MESSAGES
    merge.trades(NEXT, 10 + HELD_MESSAGES)
    assert merge.overlap.held == 0
    assert merge.ids == [1, *range(10, 11 + HELD_MESSAGES)]


def test_a_stream_that_was_not_asked_for_does_not_go_on() -> None:
    merge = Merge()
    assert merge.overlap.receive(NEXT, ("OTHER", "trade", None), StreamMessage("trade", trade())) == []


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[tuple[Side, int]], Side | None]:
    """What two connections bring of one sequence, in the order of arrival, and which of them is cut."""
    length = draw(st.integers(2, 40))
    # The next connection begins after the old one, and before its end.
    begin = draw(st.integers(2, length))
    cut = draw(st.sampled_from([None, OLD, NEXT]))
    ends = {OLD: length, NEXT: length}
    if cut is not None:
        ends[cut] = draw(st.integers(begin, length))
    left = {OLD: list(range(1, ends[OLD] + 1)), NEXT: list(range(begin, ends[NEXT] + 1))}
    # The old one has spoken before the next one is opened.
    arrivals = [(OLD, left[OLD].pop(0))]
    while left[OLD] or left[NEXT]:
        side = draw(st.sampled_from([side for side in Side if left[side]]))
        arrivals.append((side, left[side].pop(0)))
    return arrivals, cut


@given(deliveries())
def test_any_interleaving_gives_the_sequence_each_id_once_and_in_order(
    delivered: tuple[list[tuple[Side, int]], Side | None],
) -> None:
    arrivals, cut = delivered
    merge = Merge()
    last = {side: max((i for i, (of, _) in enumerate(arrivals) if of is side), default=-1) for side in Side}
    for index, (side, trade_id) in enumerate(arrivals):
        merge.trades(side, trade_id)
        if side is cut and index == last[side]:
            merge.ends(side)
    if cut is None:
        merge.ends(OLD)
    assert merge.ids == sorted({trade_id for _, trade_id in arrivals})
    assert merge.overlap.held == 0


def test_ids_that_begin_anew_during_the_overlap_are_passed_on() -> None:
    merge = Merge()
    merge.trades(OLD, 5_000, 5_001)
    merge.trades(NEXT, 5_001, 5_002)
    anew = [trade(trade_id=number, trade_time_ms=NOW_MS + 60_000 + number) for number in range(1, 6)]
    merge.says(OLD, *anew[:3])
    merge.says(NEXT, *anew)
    merge.ends(OLD)
    assert merge.ids[-5:] == [1, 2, 3, 4, 5]
    assert set(merge.ids) == {5_000, 5_001, 5_002, 1, 2, 3, 4, 5}


def test_a_lie_far_ahead_on_one_connection_does_not_stop_the_stream_of_the_other() -> None:
    merge = Merge()
    merge.trades(OLD, 1, 2**50)
    later = [trade(trade_id=number, trade_time_ms=NOW_MS + 2_000 + number) for number in range(2, 7)]
    merge.says(NEXT, *later)
    merge.ends(OLD)
    assert set(range(2, 7)) <= set(merge.ids)
