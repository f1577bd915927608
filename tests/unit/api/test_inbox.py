from __future__ import annotations

from api.inbox import Inbox, Overrun
from consumers.tap.port import Arrived, Condition, LiveRow
from tests.live_topics import KINDS, KLINE, LEVELS, TRADE

AWAY = Condition(("trade",), None, "the broker does not answer", 0)


def arrived(series: object, *offsets: int) -> Arrived:
    rows = tuple(LiveRow(offset, (), offset, 0) for offset in offsets)
    return Arrived(series, rows, offsets[-1] + 1)  # type: ignore[arg-type]


def test_events_are_handed_over_in_order() -> None:
    inbox = Inbox(KINDS)
    inbox.add([arrived(KLINE, 1), AWAY])
    inbox.add([arrived(TRADE, 2)])
    assert inbox.take() == [arrived(KLINE, 1), AWAY, arrived(TRADE, 2)]
    assert inbox.take() == []


def test_a_loop_that_is_behind_gets_one_event_a_series_and_only_the_newest_book() -> None:
    inbox = Inbox(KINDS, most=5)
    inbox.add(
        [arrived(KLINE, 1), arrived(LEVELS, 7), arrived(KLINE, 2), arrived(LEVELS, 8), arrived(KLINE, 3, 4)]
    )
    assert inbox.take() == [arrived(KLINE, 1, 2, 3, 4), arrived(LEVELS, 8)]


def test_what_is_dropped_is_counted_also_if_it_happens_again() -> None:
    inbox = Inbox(KINDS, most=4, most_of_one=3)
    inbox.add([arrived(TRADE, 1, 2, 3, 4, 5)])
    inbox.add([arrived(TRADE, 6, 7)])
    assert inbox.take() == [Overrun(TRADE, 4), arrived(TRADE, 5, 6, 7)]


def test_what_is_no_arrival_keeps_its_place_among_rows() -> None:
    inbox = Inbox(KINDS, most=2)
    inbox.add([arrived(TRADE, 1), AWAY, arrived(TRADE, 2), arrived(TRADE, 3)])
    assert inbox.take() == [arrived(TRADE, 1), AWAY, arrived(TRADE, 2, 3)]
