"""Closed bars: each once, in order, without a hole, whatever the stream loses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.effects import FillKlines, Publish
from producers.exchanges.rest_port import PAGE
from producers.halts import Halts
from producers.kline_sequence import WAITING_BARS, KlineSequence
from producers.missing_ids import (
    AFTER_PROOF_S,
    DELAYS_S,
    LEAST_ASKED,
    ORDER_DELAYS_S,
    PATIENCE_S,
    SOON_S,
    UNANSWERED_S,
)
from tests.builders import NOW_MS
from tests.unit.producers.kline_bars import (
    MINUTE,
    Rest,
    answer,
    at,
    bar,
    begun,
    causes,
    events,
    exhausted,
    fills,
    ids,
    kinds_but_gaps,
    live,
    published,
    row,
)


def test_a_bar_that_is_next_is_published_at_once() -> None:
    sequence = begun()
    assert published(sequence.receive(bar(0))) == [0]
    assert published(sequence.receive(bar(1))) == [1]


def test_a_later_bar_waits_until_rest_has_filled_the_hole() -> None:
    sequence = begun()
    sequence.receive(bar(0))
    effects = sequence.receive(bar(3))
    assert (published(effects), fills(effects), events(effects)) == ([], [(1, 2)], [("gap", 1, 2)])
    assert published(sequence.receive(bar(4))) == []
    assert published(answer(sequence, 1, 2, [1, 2])) == [1, 2, 3, 4]
    assert not sequence.filling


def test_a_series_without_bars_is_warmed_up_before_live_bars() -> None:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    effects = sequence.begin(None, NOW_MS + 5_000, 3)
    assert fills(effects) == [(-3, -1)]
    assert published(sequence.receive(bar(0))) == []
    effects = answer(sequence, -3, -1, [-3, -2, -1])
    assert published(effects) == [-3, -2, -1, 0]
    assert events(effects) == []


def test_what_rest_does_not_have_before_its_first_row_is_not_missing() -> None:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    sequence.begin(None, NOW_MS, 10)
    effects = answer(sequence, -10, -1, [-2, -1])
    assert (published(effects), events(effects), fills(effects)) == ([-2, -1], [], [])


def test_a_series_that_rest_knows_nothing_of_begins_with_the_stream() -> None:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    sequence.begin(None, NOW_MS, 10)
    assert answer(sequence, -10, -1, []) == []
    assert not sequence.filling
    assert published(sequence.receive(bar(0))) == [0]


def test_a_series_begins_with_a_bar_of_the_stream_that_is_older_than_what_rest_has() -> None:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    sequence.begin(None, NOW_MS, 1)
    sequence.receive(bar(0))
    sequence.receive(bar(2))
    assert fills(answer(sequence, -1, -1, [])) == [(0, 2)]
    effects = answer(sequence, 0, 2, [1])
    assert (published(effects), sequence.filling) == ([0, 1, 2], False)


def test_a_restart_fills_from_the_last_bar_page_by_page() -> None:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    effects = sequence.begin(NOW_MS - 2_001 * MINUTE, NOW_MS, 5)
    assert (fills(effects), causes(effects)) == ([(-2_000, -1_001)], [("gap", -2_000, -1, "offline")])
    effects = answer(sequence, -2_000, -1_001, range(-2_000, -1_000))
    assert len(published(effects)) == PAGE
    assert fills(effects) == [(-1_000, -1)]


def test_a_bar_that_rest_lacks_though_it_has_a_later_one_is_passed_over_and_asked_for_a_day() -> None:
    sequence = begun()
    sequence.receive(bar(0))
    rest = Rest(sequence, [0, 2])
    rest.take(sequence.receive(bar(2)))
    effects = rest.until(sum(SOON_S) + 1.0)
    assert (events(effects), published(effects)) == ([("expected", 1, 1)], [2])
    assert published(sequence.receive(bar(3))) == [3]
    assert events(rest.until(PATIENCE_S - 60.0)) == []
    effects = rest.until(PATIENCE_S + 2 * DELAYS_S[-1])
    assert events(effects) == [("lost", 1, 1)]
    assert rest.asked > LEAST_ASKED
    assert causes(effects)[0][3] == f"asked {rest.asked} times in 24.2 h"


@pytest.mark.parametrize("refusal", [None, []], ids=["refused", "trailing"])
def test_bars_wait_in_order_while_rest_refuses_or_trails(refusal: Any) -> None:
    sequence = begun()
    sequence.receive(bar(0))
    rest = Rest(sequence, refusal)
    rest.take(sequence.receive(bar(2)))
    waiting = rest.until(60.0)
    assert (published(waiting), events(waiting)) == ([], [])
    rest.has = [1, 2]
    effects = rest.until(60.0 + max(ORDER_DELAYS_S))
    assert (published(effects), events(effects)) == ([1, 2], [])


@pytest.mark.parametrize(("refusal", "waits_s"), [(None, UNANSWERED_S), ([], sum(ORDER_DELAYS_S))])
def test_bars_do_not_wait_for_ever_and_what_was_passed_over_follows_late(
    refusal: Any, waits_s: float
) -> None:
    sequence = begun()
    sequence.receive(bar(0))
    rest = Rest(sequence, refusal)
    rest.take(sequence.receive(bar(2)))
    effects = rest.until(waits_s + 120.0)
    assert (published(effects), events(effects)) == ([2], [("expected", 1, 1)])
    rest.has = [1]
    effects = rest.until(rest.now_s + 2 * DELAYS_S[-1])
    assert (published(effects), events(effects)) == ([1], [("late", 1, 1)])
    assert events(rest.until(rest.now_s + PATIENCE_S)) == []


def test_a_final_of_a_bar_that_was_passed_over_is_published_late() -> None:
    sequence = begun()
    sequence.receive(bar(0))
    rest = Rest(sequence, [0, 2])
    rest.take(sequence.receive(bar(2)))
    rest.until(60.0)
    effects = sequence.receive(bar(1))
    assert (published(effects), events(effects)) == ([1], [("late", 1, 1)])
    assert events(sequence.receive(bar(1))) == [("duplicate", 1, 1)]


def test_a_warm_up_that_rest_refuses_is_asked_for_again() -> None:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    rest = Rest(sequence, None)
    rest.take(sequence.begin(None, NOW_MS, 2))
    assert published(rest.until(45.0)) == []
    rest.has = [-2, -1]
    assert published(rest.until(45.0 + max(ORDER_DELAYS_S))) == [-2, -1]


def test_a_bar_missing_while_the_exchange_was_closed_is_halted_not_lost() -> None:
    halts = Halts()
    halts.receive_status("TRADING", NOW_MS - 3_600_000)
    sequence = KlineSequence("BTCUSDC", "1m", halts)
    sequence.begin(None, NOW_MS, 0)
    sequence.receive(bar(0))
    for minute in (100, 104, 108):
        halts.receive_status("BREAK", NOW_MS + minute * MINUTE)
    halts.receive_status("TRADING", NOW_MS + 110 * MINUTE)
    rest = Rest(sequence, [120])
    rest.take(sequence.receive(bar(120)))
    effects = rest.until(20.0)
    # Seen closed before and after; what lies beside it may have been closed.
    assert [event for event in events(effects) if event[0] == "halted"] == [("halted", 100, 107)]
    assert published(effects) == [120]
    effects = rest.until(60.0)
    assert events(effects) == [("halted", 96, 99), ("halted", 108, 110)]
    assert sequence.missing == 104  # 1 to 95, 111 to 119: no excuse


def test_bars_that_a_halt_may_have_left_out_are_taken_when_rest_has_them_yet() -> None:
    halts = Halts()
    halts.receive_status("BREAK", NOW_MS)
    sequence = KlineSequence("BTCUSDC", "1m", halts)
    sequence.begin(NOW_MS - MINUTE, NOW_MS, 0)
    halts.receive_status("TRADING", at(5))
    rest = Rest(sequence, [3])
    rest.take(sequence.receive(bar(3)))
    effects = rest.until(30.0)
    assert (kinds_but_gaps(effects), published(effects)) == ([("expected", 0, 2)], [3])
    rest.has = [0, 1, 2, 3]
    effects = rest.until(60.0)
    assert (published(effects), sequence.missing) == ([0, 1, 2], 0)
    assert "halted" not in {kind for kind, *_ in events(effects)}


def test_bars_said_to_be_halted_are_asked_for_some_time_longer() -> None:
    halts = Halts()
    sequence = KlineSequence("BTCUSDC", "1m", halts)
    sequence.begin(NOW_MS - MINUTE, NOW_MS, 0)
    halts.receive_status("TRADING", NOW_MS)
    halts.receive_status("BREAK", NOW_MS)
    halts.receive_status("BREAK", at(9))
    halts.receive_status("TRADING", at(9))
    rest = Rest(sequence, [3])
    rest.take(sequence.receive(bar(3)))
    assert kinds_but_gaps(rest.until(120.0)) == [("halted", 0, 2)]
    rest.has = [0, 1, 2, 3]
    effects = rest.until(600.0)
    assert (published(effects), sequence.missing) == ([0, 1, 2], 0)


def test_bars_said_to_be_halted_are_not_asked_for_for_ever() -> None:
    sequence = begun()
    sequence.receive(bar(0, **ids(1, 12)))
    rest = Rest(sequence, [4])
    rest.take(sequence.receive(bar(4, **ids(13, 20))))
    rest.until(3 * AFTER_PROOF_S)
    asked = rest.asked
    rest.until(6 * AFTER_PROOF_S)
    assert rest.asked == asked


def test_a_rest_that_trails_proves_no_excuse() -> None:
    sequence = begun()
    sequence.receive(bar(0, **ids(1, 12)))
    rest = Rest(sequence, [])
    rest.take(sequence.receive(bar(4, **ids(13, 20))))
    effects = rest.until(3_000.0)
    assert (kinds_but_gaps(effects), sequence.missing) == ([("expected", 1, 3)], 3)


def test_a_halt_longer_than_a_page_is_proven_soon_after_its_end() -> None:
    sequence = begun()
    sequence.receive(bar(0, **ids(1, 12)))
    end = PAGE + 400
    rest = Rest(sequence, [end, end + 1])
    rest.take(sequence.receive(bar(end, **ids(13, 20))))
    effects = rest.until(100.0)
    assert (published(effects), sequence.missing, sequence.questioned) == ([end], 0, False)
    assert {event for event in events(effects) if event[0] == "halted"} == {
        ("halted", 1, PAGE),
        ("halted", PAGE + 1, end - 1),
    }


def test_an_excuse_that_is_not_proven_at_the_end_is_none() -> None:
    sequence = begun()
    sequence.receive(bar(0, **ids(1, 12)))
    sequence.receive(bar(2, **ids(13, 20)))
    assert sequence.questioned
    assert ("expected", 1, 1) in events(sequence.conclude())


def test_bars_at_the_end_that_rest_does_not_have_yet_are_asked_for_again_and_never_lost() -> None:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    sequence.begin(NOW_MS - 3 * MINUTE, NOW_MS, 0)
    effects = answer(sequence, -2, -1, [-2])
    assert (published(effects), fills(effects)) == ([-2], [(-1, -1)])
    for _ in SOON_S:
        effects = answer(sequence, -1, -1, [])
    assert (events(effects), fills(effects)) == ([], [])
    assert not sequence.filling


def test_repetitions_are_dropped_and_other_contents_entered_as_revised() -> None:
    sequence = begun()
    sequence.receive(bar(0))
    assert events(sequence.receive(bar(0))) == [("duplicate", 0, 0)]
    assert events(sequence.receive(bar(0, close="101.50000000"))) == [("revised", 0, 0)]


def test_open_updates_go_through_and_coalesce_while_a_fill_runs() -> None:
    sequence = begun()
    assert live(sequence.receive(bar(0, closed=False, event_time_ms=NOW_MS))) == [0]
    sequence.receive(bar(0))
    sequence.receive(bar(2))
    assert sequence.receive(bar(3, closed=False, close="1.0")) == []
    assert sequence.receive(bar(3, closed=False, close="2.0")) == []
    effects = answer(sequence, 1, 1, [1])
    assert (published(effects), live(effects)) == ([1, 2], [3])
    assert effects[-1].message["close"] == "2.0"


def test_an_open_bar_well_under_way_proves_that_a_final_was_missed() -> None:
    sequence = begun()
    early = bar(1, closed=False, event_time_ms=NOW_MS + MINUTE + 1_000)
    assert fills(sequence.receive(early)) == []
    late = bar(1, closed=False, event_time_ms=NOW_MS + MINUTE + 6_000)
    assert fills(sequence.receive(late)) == [(0, 0)]


def test_waiting_bars_are_bounded_and_the_rest_is_fetched_again() -> None:
    sequence = begun()
    for number in range(1, WAITING_BARS + 50):
        sequence.receive(bar(number))
    effects = answer(sequence, 0, 0, [0])
    assert len(published(effects)) == WAITING_BARS + 1
    assert fills(effects) == [(WAITING_BARS + 1, WAITING_BARS + 49)]


@pytest.mark.thorough
@given(choices=st.data(), count=st.integers(1, 60), warmup=st.integers(0, 5))
def test_every_open_time_is_published_once_in_order_under_any_loss_order_and_repetition(
    choices: st.DataObject, count: int, warmup: int
) -> None:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    asked = fills(sequence.begin(None, NOW_MS, warmup))
    stream = [number for number in range(count) if choices.draw(st.integers(0, 3))]
    stream += choices.draw(st.lists(st.sampled_from(stream), max_size=5)) if stream else []
    stream = choices.draw(st.permutations(stream)) if choices.draw(st.booleans()) else stream
    stream.append(count)
    out: list[int] = []
    pending = list(stream)
    while pending or asked:
        if asked and (not pending or choices.draw(st.booleans())):
            first, last = asked.pop()
            have = [n for n in range(first, last + 1) if n <= count and choices.draw(st.integers(0, 4))]
            effects = answer(sequence, first, last, None if choices.draw(st.integers(0, 5)) == 5 else have)
        else:
            effects = sequence.receive(bar(pending.pop(0)))
        for effect in effects:
            out += published([effect])
            out += [n for kind, a, b in events([effect]) if kind == "expected" for n in range(a, b + 1)]
        asked += fills(effects)
        assert len(asked) <= 1
    assert out == list(range(out[0], count + 1))
    # Where there is nothing to warm up from, the series may begin later.
    assert out[0] <= 0 or warmup


def test_a_bar_that_rest_lacks_from_the_time_we_were_off_is_offline_not_lost() -> None:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    effects = sequence.begin(NOW_MS - 4 * MINUTE, NOW_MS, 5)
    assert causes(effects) == [("gap", -3, -1, "offline")]
    effects = exhausted(sequence, -3, -1, [-1])
    passed_over = "the exchange does not have it now; later bars are published"
    assert (causes(effects), published(effects)) == ([("expected", -3, -2, passed_over)], [-1])
    rest = Rest(sequence, [])
    assert events(rest.until(PATIENCE_S + 2 * DELAYS_S[-1])) == [("offline", -3, -2)]


def test_a_halt_that_goes_on_when_we_start_is_halted_back_to_the_last_bar_known() -> None:
    halts = Halts()
    halts.receive_status("BREAK", NOW_MS)
    sequence = KlineSequence("BTCUSDC", "1m", halts)
    rest = Rest(sequence, [])
    rest.take(sequence.begin(NOW_MS - 100 * MINUTE, NOW_MS, 5))
    rest.until(60.0)
    halts.receive_status("TRADING", NOW_MS + 10 * MINUTE)
    rest.has = [11]
    rest.take(sequence.receive(bar(11)))
    effects = rest.until(120.0)
    assert published(effects) == [11]
    assert kinds_but_gaps(effects) == [("expected", -99, 10), ("halted", -99, 10)]


def test_bars_that_the_exchange_leaves_out_since_there_was_no_trade_need_proof() -> None:
    sequence = begun()
    sequence.receive(bar(0, **ids(1, 12)))
    sequence.receive(bar(1, trade_count=0, **ids(-1, -1)))
    rest = Rest(sequence, [4])
    effects = rest.take(sequence.receive(bar(4, **ids(13, 20))))
    assert causes(effects) == [("gap", 2, 3, "no trades")]
    effects = rest.until(30.0)
    assert (events(effects), published(effects)) == ([("expected", 2, 3)], [4])
    assert sequence.questioned
    assert (events(rest.until(60.0)), sequence.missing) == ([("halted", 2, 3)], 0)
    assert not sequence.questioned


@pytest.mark.parametrize(("first_after", "cause"), [(18, "no trades"), (19, "missed")])
def test_trades_of_a_bar_that_came_over_rest_are_counted(first_after: int, cause: str) -> None:
    sequence = begun()
    sequence.receive(bar(0, **ids(1, 12)))
    sequence.receive(bar(2, trade_count=0, **ids(-1, -1)))
    filled = {"first_trade_id": None, "last_trade_id": None, "source": "backfill"}
    row = bar(1, trade_count=5, **filled)
    effects = sequence.receive_rows(row["open_time_ms"], row["open_time_ms"], [row], 0.0)
    assert published(effects) == [1, 2]
    assert causes(sequence.receive(bar(5, **ids(first_after, 30)))) == [("gap", 3, 4, cause)]


def test_a_trade_between_two_bars_makes_those_between_them_expected() -> None:
    sequence = begun()
    sequence.receive(bar(0, **ids(1, 12)))
    assert causes(sequence.receive(bar(2, **ids(14, 20)))) == [("gap", 1, 1, "missed")]
    assert events(exhausted(sequence, 1, 1)) == [("expected", 1, 1)]


def test_holes_of_one_page_are_asked_for_and_passed_over_together() -> None:
    sequence = begun()
    sequence.receive(bar(0))
    assert fills(sequence.receive(bar(2))) == [(1, 1)]
    effects = sequence.receive(bar(4))
    effects += sequence.receive(bar(7))
    assert fills(effects) == []
    effects = answer(sequence, 1, 1, [1])
    assert (published(effects), fills(effects)) == ([1, 2], [(3, 6)])
    effects = exhausted(sequence, 3, 6, [5])
    assert (events(effects), published(effects)) == ([("expected", 3, 3), ("expected", 6, 6)], [4, 5, 7])
    assert not sequence.filling


def test_a_final_long_after_its_close_is_published_and_entered_as_late() -> None:
    sequence = begun()
    late = bar(0, event_time_ms=NOW_MS + MINUTE + 7_000)
    effects = sequence.receive(late)
    assert (published(effects), causes(effects)) == ([0], [("late", 0, 0, "came 7000 ms after its close")])


def test_a_final_after_its_fill_is_late_once_and_then_a_repetition() -> None:
    sequence = begun()
    sequence.receive(bar(1))
    answer(sequence, 0, 0, [0])
    assert causes(sequence.receive(bar(0))) == [("late", 0, 0, "came after it was filled over REST")]
    assert events(sequence.receive(bar(0))) == [("duplicate", 0, 0)]


def test_a_revision_names_every_field_that_differs() -> None:
    sequence = begun()
    sequence.receive(bar(0))
    [event] = causes(sequence.receive(bar(0, close="101.5", trade_count=13)))
    assert event == ("revised", 0, 0, "close 101.00000000, now 101.5; trade_count 12, now 13")


def test_a_row_of_rest_that_differs_from_the_bar_published_is_a_revision() -> None:
    sequence = begun()
    sequence.receive(bar(1))
    sequence.receive(bar(0))
    rows = [row(0, high="103.0"), row(1)]
    effects = sequence.receive_rows(NOW_MS, NOW_MS, rows, 0.0)
    assert causes(effects) == [("revised", 0, 0, "high 102.00000000, now 103.0")]


@pytest.mark.parametrize("ahead", [1, 100 * 60])
def test_a_bar_of_the_future_that_is_on_the_topic_stops_no_real_bar(ahead: int) -> None:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    effects = sequence.begin(NOW_MS + ahead * MINUTE, NOW_MS, 2)
    [fill] = [effect for effect in effects if isinstance(effect, FillKlines)]
    assert (fill.first, fill.last) == (NOW_MS - 2 * MINUTE, NOW_MS - MINUTE)
    effects = sequence.receive_rows(fill.first, fill.last, [row(-2), row(-1)], 0.0)
    effects += sequence.receive(bar(0))
    assert [e.message["open_time_ms"] for e in effects if isinstance(e, Publish)] == [
        NOW_MS + number * MINUTE for number in (-2, -1, 0)
    ]
