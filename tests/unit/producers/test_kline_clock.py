"""Bars that the exchange's clock says have closed, of old series and of new listings."""

from __future__ import annotations

from typing import Any

from producers.halts import Halts
from producers.kline_sequence import KlineSequence
from producers.missing_ids import SOON_S
from tests.builders import NOW_MS
from tests.unit.producers.kline_bars import MINUTE, answer, at, bar, begun, events, fills, published


def listed() -> KlineSequence:
    """A series of which REST has no bar when it is begun."""
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    sequence.begin(None, NOW_MS, 10)
    answer(sequence, -10, -1, [])
    return sequence


def opened(number: int, after_ms: int = 6_000) -> Any:
    """An update of bar `number` while it is open."""
    return bar(number, closed=False, event_time_ms=NOW_MS + number * MINUTE + after_ms)


def test_a_bar_of_a_new_listing_that_was_seen_open_and_then_missed_is_fetched() -> None:
    sequence = listed()
    sequence.receive(opened(0))
    effects = sequence.receive(bar(1))
    assert (published(effects), fills(effects), events(effects)) == ([], [(0, 0)], [("gap", 0, 0)])
    assert published(answer(sequence, 0, 0, [0])) == [0, 1]


def test_bars_of_a_new_listing_that_nobody_heard_are_asked_for_before_the_first_one_shown() -> None:
    sequence = listed()
    effects = sequence.receive(opened(3))
    assert fills(effects) == [(0, 2)]
    assert published(answer(sequence, 0, 2, [1, 2])) == [1, 2]
    assert published(sequence.receive(bar(3))) == [3]


def test_a_new_listing_begins_with_the_bar_shown_when_rest_has_none_before_it() -> None:
    sequence = listed()
    effects = sequence.receive(bar(3))
    for _ in SOON_S:
        assert fills(effects) == [(0, 3)]
        effects = answer(sequence, 0, 3, [])
    assert published(answer(sequence, 0, 3, [])) == [3]


def test_a_recording_does_not_wait_for_bars_before_its_first_one() -> None:
    assert published(listed().receive(bar(5, source="replay"))) == [5]


def test_a_bar_that_has_closed_by_the_exchanges_clock_is_asked_for_though_nothing_came() -> None:
    sequence = begun()
    assert sequence.tick(at(1) - 1) == []
    effects = sequence.tick(at(1))
    assert (fills(effects), events(effects)) == ([(0, 0)], [("gap", 0, 0)])
    assert published(answer(sequence, 0, 0, [0])) == [0]
    assert sequence.tick(at(1) + 1_000) == []
    assert fills(sequence.tick(at(2))) == [(1, 1)]


def test_the_clock_asks_for_bars_of_a_new_listing_too() -> None:
    sequence = listed()
    assert fills(sequence.tick(at(2))) == [(0, 1)]
    assert published(answer(sequence, 0, 1, [1])) == [1]


def test_the_clock_asks_for_nothing_while_bars_come_or_the_exchange_is_closed() -> None:
    halts = Halts()
    sequence = KlineSequence("BTCUSDC", "1m", halts)
    sequence.begin(None, NOW_MS, 0)
    for number in range(3):
        sequence.receive(bar(number))
        assert sequence.tick(at(number + 1)) == []
    halts.receive_status("TRADING", at(3))
    halts.receive_status("BREAK", at(3))
    assert sequence.tick(at(9)) == []


def test_an_exchange_that_stands_still_is_asked_more_and_more_seldom_and_nothing_is_expected() -> None:
    sequence = begun()
    asked: list[int] = []
    now_ms = NOW_MS
    while now_ms < at(120):
        now_ms += 1_000
        effects = sequence.tick(now_ms)
        while fills(effects):
            asked.append(now_ms)
            [(first, last)] = fills(effects)
            effects = answer(sequence, first, last, [])
        assert [event for event in events(effects) if event[0] != "gap"] == []
    # Rounds of six questions; in two hours of standing still not one a minute.
    assert len(asked) <= 6 * 30
    assert published(sequence.receive(bar(0))) == [0]


def test_bars_are_expected_by_the_clock_while_rest_answers_nothing() -> None:
    sequence = begun()
    sequence.tick(at(1))
    assert sequence.tick(at(1) + 9_000) == []
    assert events(sequence.tick(at(1) + 10_000)) == [("expected", 0, 0)]
    assert events(sequence.tick(at(3))) == [("expected", 1, 2)]
    assert sequence.tick(at(3) + 1_000) == []
    assert published(answer(sequence, 0, 0, [0])) == [0]


def test_bars_are_expected_by_the_clock_while_rest_refuses_to_answer() -> None:
    sequence = begun()
    sequence.tick(at(1))
    answer(sequence, 0, 0, None)
    assert events(sequence.tick(at(1) + 10_000)) == [("expected", 0, 0)]


def test_what_is_open_at_the_end_is_expected() -> None:
    sequence = begun()
    sequence.receive(bar(2))
    assert events(sequence.conclude()) == [("expected", 2, 2), ("expected", 0, 1)]
    whole = begun()
    whole.receive(bar(0))
    assert whole.conclude() == []
