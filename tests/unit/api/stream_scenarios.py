"""Interleavings in which something once could go wrong: played on the model of the stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.unit.api.stream_model import StreamMachine


def older_rows_are_fetched_while_others_come(stream: StreamMachine) -> None:
    stream.begin(4, warm=True)
    stream.lose_connection(0, bars=6, anew=False)
    stream.show(4)


def a_flood_of_trades(stream: StreamMachine) -> None:
    stream.begin(0, warm=True)
    for count in (2, 6, 6, 1):
        stream.append_trades(count)
        stream.read_topics(0)
        stream.show(2)


def a_page_that_acknowledges_nothing(stream: StreamMachine) -> None:
    stream.begin(0, warm=True)
    for _ in range(5):
        stream.update_open_bar(1)
        stream.pass_time(10)
        stream.take()


def bars_come_faster_than_the_snapshot_goes(stream: StreamMachine) -> None:
    stream.begin(8, warm=False)
    stream.answer_all(0)
    for _ in range(8):
        stream.show(1)
        stream.append_bars(2, again=False)
        stream.read_topics(0)


def a_topic_is_made_anew_while_the_page_is_away(stream: StreamMachine) -> None:
    stream.begin(8, warm=True)
    stream.show(4)
    stream.lose_connection(0, bars=6, anew=True)
    stream.show(4)


def another_replica_is_behind(stream: StreamMachine) -> None:
    stream.begin(4, warm=True)
    stream.append_bars(2, again=False)
    stream.read_topics(0)
    stream.show(4)
    stream.lose_connection(1, bars=1, anew=False)
    stream.show(4)


def a_tab_is_hidden_for_a_while(stream: StreamMachine) -> None:
    stream.begin(4, warm=True)
    for _ in range(4):
        stream.append_bars(3, again=False)
        stream.append_bars(1, again=True)
        stream.read_topics(0)
        stream.update_open_bar(2)
        for _ in range(3):
            stream.pass_time(10)
            stream.take()
    stream.show(8)


def the_connection_is_lost_within_a_snapshot(stream: StreamMachine) -> None:
    stream.begin(8, warm=False)
    stream.answer_all(0)
    for _ in range(6):
        stream.show(1)
        stream.lose_connection(0, bars=1, anew=False)
    stream.show(6)


def bars_come_within_a_snapshot(stream: StreamMachine) -> None:
    stream.begin(2, warm=False)
    stream.answer_all(0)
    stream.append_bars(1, again=False)
    stream.read_topics(0)
    for _ in range(3):
        stream.show(1)
        stream.append_bars(1, again=True)
        stream.read_topics(0)
    stream.show(6)


def two_views_of_the_same_bars_outgrow_the_memory(stream: StreamMachine) -> None:
    stream.begin(0, warm=True)
    for count in (3, 4, 6):
        stream.append_bars(count, again=False)
        stream.read_topics(0)
    stream.show(6)


def the_ring_drops_what_a_slow_snapshot_has_not_sent(stream: StreamMachine) -> None:
    stream.begin(0, warm=True)
    stream.lose_connection(0, bars=1, anew=False)
    stream.append_bars(3, again=False)


SCENARIOS: Final[tuple[Callable[[StreamMachine], None], ...]] = (
    older_rows_are_fetched_while_others_come,
    a_flood_of_trades,
    a_page_that_acknowledges_nothing,
    bars_come_faster_than_the_snapshot_goes,
    a_topic_is_made_anew_while_the_page_is_away,
    another_replica_is_behind,
    a_tab_is_hidden_for_a_while,
    the_connection_is_lost_within_a_snapshot,
    bars_come_within_a_snapshot,
    two_views_of_the_same_bars_outgrow_the_memory,
    the_ring_drops_what_a_slow_snapshot_has_not_sent,
)


def play(scenario: Callable[[StreamMachine], None]) -> None:
    """Raises AssertionError if a law is broken."""
    stream = StreamMachine()
    scenario(stream)
    stream.check()
    stream.teardown()
