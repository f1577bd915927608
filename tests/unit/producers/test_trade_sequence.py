"""Trades: every id once, holes repaired late or given up."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.effects import FillTrades, LedgerEvent, ProveTrades, Publish, Reject
from producers.exchanges.rest_port import PAGE
from producers.halts import Halts
from producers.missing_ids import DELAYS_S, LEAST_ASKED, PATIENCE_S, SOON_S
from producers.start_positions import FoundRange
from producers.trade_sequence import TradeSequence
from shared.id_ranges import IdRanges
from tests.builders import NOW_MS, trade
from tests.unit.producers.numbered_trades import (
    LATER,
    Rest,
    details,
    events,
    exhausted,
    fills,
    published,
    row,
    stream,
)


@pytest.fixture
def trades() -> TradeSequence:
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.receive(stream(100))
    return sequence


def test_a_series_begins_with_the_first_trade_seen() -> None:
    effects = TradeSequence("BTCUSDC", Halts()).receive(stream(100))
    assert (published(effects), events(effects)) == ([100], [])


def test_a_hole_does_not_hold_later_trades_back(trades: TradeSequence) -> None:
    effects = trades.receive(stream(104))
    assert (published(effects), fills(effects), events(effects)) == ([104], [(101, 103)], [("gap", 101, 103)])
    assert published(trades.receive_rows(101, 103, [row(101), row(102), row(103)], 0.0)) == [101, 102, 103]
    assert trades.missing == 0


def test_an_id_seen_before_is_dropped_and_counted(trades: TradeSequence) -> None:
    assert events(trades.receive(stream(100))) == [("duplicate", 100, 100)]


def test_progress_goes_on_above_an_open_hole_and_names_it(trades: TradeSequence) -> None:
    assert cast(Publish, trades.receive(stream(101))[0]).progress_id == 101
    assert cast(Publish, trades.receive(stream(103))[0]).progress_id == 103
    assert cast(Publish, trades.receive(stream(104))[0]).progress_id == 104
    assert [(hole.first, hole.last) for hole in trades.open_holes()] == [(102, 102)]
    # A repair says nothing: it may be one of many that are on their way together.
    assert [e.progress_id for e in trades.receive_rows(102, 102, [row(102)], 0.0) if type(e) is Publish] == [
        None
    ]
    assert list(trades.open_holes()) == []


def test_an_id_that_rest_does_not_have_is_expected_and_asked_for_a_day_before_it_is_lost(
    trades: TradeSequence,
) -> None:
    rest = Rest(trades)
    rest.has = {101}
    assert published(rest.answer(trades.receive(stream(103)))) == [103, 101]
    assert events(rest.until(20.0)) == [("expected", 102, 102)]
    assert len(rest.asked) == 1 + len(SOON_S)
    assert events(rest.until(PATIENCE_S - 60.0)) == []
    [lost] = [effect for effect in rest.until(PATIENCE_S + DELAYS_S[-1]) if isinstance(effect, LedgerEvent)]
    assert (lost.kind, lost.first, lost.last, lost.time_ms) == ("lost", 102, 102, NOW_MS + 103)
    assert lost.detail == f"asked {len(rest.asked)} times in 24.3 h"
    assert len(rest.asked) > LEAST_ASKED
    assert trades.missing == 0


@pytest.mark.parametrize("refusals_s", [45.0, 3_600.0])
def test_rest_that_refuses_for_a_while_costs_no_trade(trades: TradeSequence, refusals_s: float) -> None:
    rest = Rest(trades)
    rest.has = None
    rest.answer(trades.receive(stream(200)))
    said = events(rest.until(refusals_s))
    assert {kind for kind, _, _ in said} == {"expected"}
    rest.has = set(range(101, 200))
    came = rest.until(refusals_s + DELAYS_S[-1])
    assert (sorted(published(came)), events(came), trades.missing) == (list(range(101, 200)), [], 0)


def test_a_hole_that_rest_lacks_for_long_does_not_hold_up_another(trades: TradeSequence) -> None:
    rest = Rest(trades)
    rest.answer(trades.receive(stream(102)))
    rest.until(600.0)
    rest.has = {103}
    assert published(rest.answer(trades.receive(stream(104)))) == [104, 103]


def test_a_clock_that_jumps_a_day_ends_no_patience(trades: TradeSequence) -> None:
    rest = Rest(trades)
    rest.answer(trades.receive(stream(103)))
    rest.until(20.0)
    rest.now_s += 30 * PATIENCE_S
    assert "lost" not in [kind for kind, _, _ in events(rest.until(rest.now_s + 60.0))]


def test_what_the_exchange_gives_no_more_is_asked_for_as_a_whole_not_page_by_page(
    trades: TradeSequence,
) -> None:
    rest = Rest(trades)
    rest.oldest = 10_000_001
    rest.has = {10_000_001}
    rest.answer(trades.receive(stream(10_000_002)))
    rest.until(100.0)
    assert len(rest.asked) < 3 * len(DELAYS_S)
    assert trades.missing == 10_000_000 - 100


def test_ids_older_than_the_newest_that_the_exchange_gives_are_asked_for_again(trades: TradeSequence) -> None:
    trades.receive(stream(200))
    newest = [row(number) for number in range(150, 201)]
    effects = trades.receive_rows(101, 199, newest, 0.0, oldest_available=150)
    assert published(effects) == list(range(150, 200))
    assert fills(trades.retry(0.5)) == []
    assert fills(trades.retry(SOON_S[0])) == [(101, 149)]


def test_ids_that_the_exchange_gives_again_after_a_refusal_are_not_lost(trades: TradeSequence) -> None:
    trades.receive(stream(200))
    trades.receive_rows(101, 199, [row(number) for number in range(150, 201)], 0.0, oldest_available=150)
    effects = trades.receive_rows(101, 149, [row(number) for number in range(101, 150)], 1.0)
    assert (published(effects), trades.missing) == (list(range(101, 150)), 0)


def test_a_restart_fills_what_came_while_we_were_off() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    assert sequence.begin(100) == []
    effects = sequence.receive(stream(150))
    assert (published(effects), fills(effects)) == ([150], [(101, 149)])


def test_a_restart_knows_what_was_published_above_an_open_hole() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    assert fills(sequence.begin(100, [LATER])) == [(101, 104)]
    assert events(sequence.receive(stream(107))) == [("duplicate", 107, 107)]
    assert published(sequence.receive(stream(111))) == [111]


@pytest.mark.thorough
def test_after_a_long_absence_everything_is_fetched_that_rest_can_page() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.begin(100)
    rest = Rest(sequence)
    rest.has = set(range(101, 120_000))
    effects = rest.answer(sequence.receive(stream(120_000)))
    assert events(effects) == [("gap", 101, 119_999)]
    assert sorted(published(effects)) == list(range(101, 120_001))


@pytest.mark.thorough
@given(choices=st.data(), count=st.integers(2, 80))
def test_every_id_is_published_once_or_lost_under_any_loss_order_and_repetition(
    choices: st.DataObject, count: int
) -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    seen = [number for number in range(1, count) if choices.draw(st.integers(0, 2))]
    seen += choices.draw(st.lists(st.sampled_from(seen), max_size=5)) if seen else []
    seen = choices.draw(st.permutations(seen)) if choices.draw(st.booleans()) else seen
    pending = [0, *seen, count]
    asked: list[Any] = []
    out: list[int] = []
    lost, expected = IdRanges(), IdRanges()
    now_s = 0.0
    while pending or asked or sequence.missing:
        if asked and (not pending or choices.draw(st.booleans())):
            effect = asked.pop()
            if isinstance(effect, ProveTrades):
                effects = sequence.receive_proof(effect, [], [], now_s)
            else:
                ids = range(effect.first, effect.last + 1)
                have = (
                    None
                    if choices.draw(st.booleans())
                    else [row(n) for n in ids if choices.draw(st.integers(0, 4))]
                )
                effects = sequence.receive_rows(effect.first, effect.last, have, now_s)
        elif pending:
            effects = sequence.receive(stream(pending.pop(0)))
        else:
            now_s += PATIENCE_S / 10
            effects = sequence.retry(now_s)
        out += published(effects)
        asked += [effect for effect in effects if isinstance(effect, FillTrades | ProveTrades)]
        assert len(asked) <= 1
        for kind, low, high in events(effects):
            if kind in ("lost", "expected"):
                (lost if kind == "lost" else expected).add(low, high)
    assert len(out) == len(set(out))
    assert IdRanges((number, number) for number in out).difference(lost) == IdRanges(
        (number, number) for number in out
    )
    assert len(out) + lost.id_count() == count + 1
    assert not lost.difference(expected), "lost without having been expected before"


def test_what_came_while_we_were_off_and_rest_lacks_is_offline() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.begin(100)
    effects = sequence.receive(stream(103))
    assert details(effects) == [("gap", "offline")]
    assert events(exhausted(sequence, effects))[1:] == [("expected", 101, 102), ("offline", 101, 102)]


def test_a_hole_from_before_the_restart_is_lost_not_offline() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    effects = sequence.begin(100, [LATER])
    assert events(exhausted(sequence, effects)) == [("expected", 101, 104), ("lost", 101, 104)]


def over_a_halt(**proofs: Any) -> list[Any]:
    """Trades 101 to 110 are missing across a halt that was seen."""
    halts = Halts()
    sequence = TradeSequence("BTCUSDC", halts)
    halts.receive_status("TRADING", NOW_MS)
    sequence.receive(trade(trade_id=100, trade_time_ms=NOW_MS))
    halts.receive_status("BREAK", NOW_MS + 60_000)
    halts.receive_status("TRADING", NOW_MS + 600_000)
    effects = sequence.receive(trade(trade_id=111, trade_time_ms=NOW_MS + 600_001))
    assert details(effects) == [("gap", "halted")]
    return events(exhausted(sequence, effects, **proofs))[1:]


def test_ids_that_a_halt_skipped_are_halted_not_lost() -> None:
    assert over_a_halt() == [("expected", 101, 110), ("halted", 101, 110)]


def test_trades_of_a_halt_that_agg_trades_prove_are_lost_not_halted() -> None:
    assert over_a_halt(issued=[(99, 108)]) == [
        ("expected", 101, 110),
        ("halted", 109, 110),
        ("lost", 101, 108),
    ]


def test_ids_that_agg_trades_prove_never_issued_are_not_expected_and_the_rest_is_asked_for(
    trades: TradeSequence,
) -> None:
    rest = Rest(trades, issued=[(100, 102), (106, 110)], never=[(103, 105)])
    effects = rest.answer(trades.receive(stream(110))) + rest.until(20.0)
    [asked] = [effect for effect in effects if isinstance(effect, ProveTrades)]
    assert (asked.first, asked.last) == (101, 109)
    assert (asked.begin_ms, asked.end_ms) == (NOW_MS + 100, NOW_MS + 110)
    assert events(effects)[1:] == [("expected", 101, 102), ("expected", 106, 109)]
    assert details(effects)[1][1] == "the exchange does not have them for now; aggTrades prove 2 of them"
    assert trades.missing == 6


@pytest.mark.parametrize("by", ["by_time", "by_neighbours"])
def test_where_no_agg_trades_prove_an_id_the_ledger_does_not_name_them(by: str) -> None:
    sequence = TradeSequence("BTC/USD", Halts(), **{by: True})
    sequence.receive(stream(100))
    rest = Rest(sequence, issued=[(100, 102)])
    effects = rest.answer(sequence.receive(stream(110))) + rest.until(20.0)
    said = [detail for kind, detail in details(effects) if kind == "expected"]
    assert said == ["the exchange does not have them for now; pages of REST prove 2 of them"]
    rest.never = [(103, 105)]
    effects = rest.until(200.0)
    assert ("halted", "pages of REST prove that they were never issued") in details(effects)


def test_ids_proved_never_issued_only_after_they_were_expected_are_excused(trades: TradeSequence) -> None:
    rest = Rest(trades)
    rest.answer(trades.receive(stream(104)))
    assert events(rest.until(20.0)) == [("expected", 101, 103)]
    rest.never = [(101, 103)]
    assert (events(rest.until(60.0)), trades.missing) == ([("halted", 101, 103)], 0)


def test_ids_that_a_bar_counts_are_expected_whatever_agg_trades_prove(trades: TradeSequence) -> None:
    trades.counted(90, 102)
    rest = Rest(trades, never=[(101, 103)])
    effects = rest.answer(trades.receive(stream(104))) + rest.until(20.0)
    assert events(effects)[1:] == [("expected", 101, 102)]
    assert trades.missing == 2
    rest.has = {101, 102}
    assert published(rest.until(40.0)) == [101, 102]


def test_a_row_that_is_earlier_than_what_came_before_the_hole_is_refused_and_asked_for_again(
    trades: TradeSequence,
) -> None:
    trades.receive(stream(103))
    others = [row(each) | {"trade_time_ms": NOW_MS - 60_000} for each in (101, 102)]
    effects = trades.receive_rows(101, 102, others, 0.0)
    assert published(effects) == [] and trades.missing == 2
    assert [(each.message["trade_id"], each.reason) for each in effects if isinstance(each, Reject)] == [
        (101, misplaced(101)),
        (102, misplaced(102)),
    ]
    # One letter is enough for it.
    assert not [each for each in trades.receive_rows(101, 102, others, 5.0) if isinstance(each, Reject)]
    assert published(trades.receive_rows(101, 102, [row(101), row(102)], 9.0)) == [101, 102]


def misplaced(trade_id: int) -> str:
    return (
        f"trade_id: REST gives {trade_id} with the time {NOW_MS - 60_000}, and the trade before the missing"
        f" ones is of {NOW_MS + 100}"
    )


def test_holes_that_one_page_reaches_are_fetched_with_one_request(trades: TradeSequence) -> None:
    assert fills(trades.receive(stream(102))) == [(101, 101)]
    for trade_id in (105, 107, 3_000):
        assert fills(trades.receive(stream(trade_id))) == []
    effects = trades.receive_rows(101, 101, [row(101)], 0.0)
    assert fills(effects) == [(103, 103 + PAGE - 1)]


def test_a_hole_that_is_retried_keeps_no_other_from_being_found_and_ids_that_come_late_are_taken(
    trades: TradeSequence,
) -> None:
    trades.receive(stream(102))
    trades.receive_rows(101, 101, [], 0.0)
    assert events(trades.receive(stream(104))) == [("gap", 103, 103)]
    assert published(trades.receive(stream(103))) == [103]
    assert trades.missing == 1


def test_an_id_is_awaited_until_it_came_or_is_given_up(trades: TradeSequence) -> None:
    trades.receive(stream(103))
    assert trades.awaits(100, 103)
    assert trades.awaits(103, 104)
    trades.receive_rows(101, 102, [row(101), row(102)], 0.0)
    assert not trades.awaits(100, 103)


def test_what_a_bar_knows_and_nobody_brings_is_expected_and_fetched(trades: TradeSequence) -> None:
    effects = trades.issued(104, NOW_MS + 5_000)
    assert events(effects) == [("expected", 101, 104), ("gap", 101, 104)]
    assert fills(effects) == [(101, 104)]
    assert trades.issued(104, NOW_MS + 6_000) == []
    rows = [row(101), row(102), row(103), row(104)]
    effects = trades.receive_rows(101, 104, rows, 0.0)
    assert published(effects) == [101, 102, 103, 104]
    assert [cast(Publish, effect).progress_id for effect in effects] == [None, None, None, 104]
    assert published(trades.receive(stream(105))) == [105]


def test_the_stream_may_still_bring_what_is_being_fetched(trades: TradeSequence) -> None:
    trades.issued(102, NOW_MS + 5_000)
    assert published(trades.receive(stream(101))) == [101]
    assert published(trades.receive(stream(103))) == [103]
    assert published(trades.receive_rows(101, 102, [row(101), row(102)], 0.0)) == [102]


def test_an_id_that_no_market_can_have_reached_is_not_believed(trades: TradeSequence) -> None:
    assert trades.issued(100 + 10**9, NOW_MS + 5_000) == []


def test_a_series_without_a_trade_begins_where_it_is_told_to() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    assert sequence.issued(7, NOW_MS) == []
    sequence.begin_after(7)
    assert fills(sequence.issued(9, NOW_MS)) == [(8, 9)]


def test_what_is_missing_at_the_end_is_expected(trades: TradeSequence) -> None:
    trades.receive(stream(104))
    assert events(trades.conclude()) == [("expected", 101, 103)]


def _beside(sequence: TradeSequence, trade_id: int) -> Any:
    (fill,) = [each for each in sequence.receive(stream(trade_id)) if type(each) is FillTrades]
    return fill.beside


def test_where_neighbours_are_the_proof_a_request_has_them_as_the_stream_gave_them() -> None:
    sequence = TradeSequence("BTC-USD", Halts(), by_neighbours=True)
    for trade_id in (100, 101, 102):
        sequence.receive(stream(trade_id))
    beside = _beside(sequence, 105)
    assert beside.held == (stream(102), stream(105)) and beside.marks == ()


def test_after_a_restart_it_has_id_and_time_of_the_newest_trade_before() -> None:
    sequence = TradeSequence("BTC-USD", Halts(), by_neighbours=True)
    sequence.begin(99, [FoundRange(100, 100, NOW_MS - 5, NOW_MS - 5)], NOW_MS - 9)
    beside = _beside(sequence, 105)
    assert beside.held == (stream(105),) and beside.marks == ((100, NOW_MS - 5),)
