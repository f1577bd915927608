"""Trades: every id once, holes repaired late or given up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.effects import PAGE, RETRY_DELAYS_S, FillTrades, LedgerEvent, ProveTrades, Publish
from producers.halts import Halts
from producers.trade_sequence import TRADE_FILL_BOUND, TradeSequence
from shared.id_ranges import IdRanges
from tests.builders import NOW_MS, trade


def stream(trade_id: int) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + trade_id)


def row(trade_id: int) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + trade_id, source="backfill", event_time_ms=None)


def published(effects: Any) -> list[int]:
    return [effect.message["trade_id"] for effect in effects if isinstance(effect, Publish)]


def fills(effects: Any) -> list[tuple[int, int]]:
    return [(effect.first, effect.last) for effect in effects if isinstance(effect, FillTrades)]


def events(effects: Any) -> list[tuple[str, int, int]]:
    return [(effect.kind, effect.first, effect.last) for effect in effects if isinstance(effect, LedgerEvent)]


def answered(sequence: TradeSequence, effects: Any, issued: Any = (), never: Any = ()) -> Any:
    """The effects after the one question about aggTrades among these is answered."""
    [asked] = [effect for effect in effects if isinstance(effect, ProveTrades)]
    return sequence.receive_proof(asked, issued, never)


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
    assert published(trades.receive_rows(101, 103, [row(101), row(102), row(103)])) == [101, 102, 103]
    assert trades.missing == 0


def test_an_id_seen_before_is_dropped_and_counted(trades: TradeSequence) -> None:
    assert events(trades.receive(stream(100))) == [("duplicate", 100, 100)]


def test_progress_is_claimed_only_while_no_id_is_missing(trades: TradeSequence) -> None:
    assert trades.receive(stream(101))[0].progress_id == 101  # type: ignore[union-attr]
    assert trades.receive(stream(103))[0].progress_id is None  # type: ignore[union-attr]
    assert trades.receive(stream(104))[0].progress_id is None  # type: ignore[union-attr]
    trades.receive_rows(102, 102, [row(102)])
    assert trades.receive(stream(105))[0].progress_id == 105  # type: ignore[union-attr]


def test_an_id_that_rest_never_has_is_lost_after_the_retries(trades: TradeSequence) -> None:
    trades.receive(stream(103))
    for _ in RETRY_DELAYS_S:
        effects = trades.receive_rows(101, 102, [row(101)])
        assert fills(effects) == [(102, 102)]
    effects = answered(trades, trades.receive_rows(102, 102, []))
    assert (events(effects), fills(effects)) == ([("lost", 102, 102)], [])
    lost = effects[0]
    assert isinstance(lost, LedgerEvent)
    assert lost.time_ms == NOW_MS + 103


def test_ids_older_than_the_newest_that_the_exchange_gives_are_asked_for_again_and_then_lost(
    trades: TradeSequence,
) -> None:
    trades.receive(stream(200))
    newest = [row(number) for number in range(150, 201)]
    effects = trades.receive_rows(101, 199, newest, oldest_available=150)
    assert published(effects) == list(range(150, 200))
    for _ in RETRY_DELAYS_S:
        assert fills(effects) == [(101, 149)]
        effects = trades.receive_rows(101, 149, newest, oldest_available=150)
    assert events(answered(trades, effects)) == [("lost", 101, 149)]


def test_ids_that_the_exchange_gives_again_after_a_refusal_are_not_lost(trades: TradeSequence) -> None:
    trades.receive(stream(200))
    trades.receive_rows(101, 199, [row(number) for number in range(150, 201)], oldest_available=150)
    effects = trades.receive_rows(101, 149, [row(number) for number in range(101, 150)])
    assert (published(effects), trades.missing) == (list(range(101, 150)), 0)


def test_a_restart_fills_what_came_while_we_were_off() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    assert sequence.begin(100) == []
    effects = sequence.receive(stream(150))
    assert (published(effects), fills(effects)) == ([150], [(101, 149)])


def test_a_restart_knows_what_was_published_above_an_open_hole() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    assert fills(sequence.begin(100, [(105, 110)])) == [(101, 104)]
    assert events(sequence.receive(stream(107))) == [("duplicate", 107, 107)]
    assert published(sequence.receive(stream(111))) == [111]


def test_after_a_long_absence_only_the_newest_are_fetched_and_the_rest_is_offline() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.begin(100)
    first = 101 + TRADE_FILL_BOUND + 500
    effects = sequence.receive(stream(first))
    assert ("offline", 101, 600) in events(effects)
    assert fills(effects) == [(601, 600 + PAGE)]


@given(choices=st.data(), count=st.integers(2, 80))
def test_every_id_is_published_once_or_lost_under_any_loss_order_and_repetition(
    choices: st.DataObject, count: int
) -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    seen = [number for number in range(1, count) if choices.draw(st.integers(0, 2))]
    seen += choices.draw(st.lists(st.sampled_from(seen), max_size=5)) if seen else []
    seen = choices.draw(st.permutations(seen)) if choices.draw(st.booleans()) else seen
    pending = [0, *seen, count]
    asked: list[tuple[int, int]] = []
    out: list[int] = []
    lost = IdRanges()
    while pending or asked:
        if asked and (not pending or choices.draw(st.booleans())):
            first, last = asked.pop()
            have = [number for number in range(first, last + 1) if choices.draw(st.integers(0, 4))]
            effects = sequence.receive_rows(first, last, [row(number) for number in have])
        else:
            effects = sequence.receive(stream(pending.pop(0)))
        out += published(effects)
        if any(isinstance(effect, ProveTrades) for effect in effects):
            effects = answered(sequence, effects)
        asked += fills(effects)
        assert len(asked) <= 1
        for kind, low, high in events(effects):
            if kind == "lost":
                lost.add(low, high)
    assert len(out) == len(set(out))
    assert IdRanges((number, number) for number in out).difference(lost) == IdRanges(
        (number, number) for number in out
    )
    assert len(out) + len(lost) == count + 1


def details(effects: Any) -> list[tuple[str, str | None]]:
    return [(effect.kind, effect.detail) for effect in effects if isinstance(effect, LedgerEvent)]


def exhausted(sequence: TradeSequence, first: int, last: int) -> Any:
    """The question about aggTrades, after REST has given nothing as often as it is asked."""
    for _ in range(len(RETRY_DELAYS_S) + 1):
        effects = sequence.receive_rows(first, last, [])
    return effects


def test_what_came_while_we_were_off_and_rest_lacks_is_offline() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.begin(100)
    assert details(sequence.receive(stream(103))) == [("gap", "offline")]
    effects = answered(sequence, exhausted(sequence, 101, 102))
    assert events(effects) == [("offline", 101, 102)]


def test_a_hole_from_before_the_restart_is_lost_not_offline() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.begin(100, [(105, 110)], NOW_MS)
    assert events(answered(sequence, exhausted(sequence, 101, 104))) == [("lost", 101, 104)]


def test_ids_that_a_halt_skipped_are_halted_not_lost() -> None:
    halts = Halts()
    sequence = TradeSequence("BTCUSDC", halts)
    halts.receive_status("TRADING", NOW_MS)
    sequence.receive(trade(trade_id=100, trade_time_ms=NOW_MS))
    halts.receive_status("BREAK", NOW_MS + 60_000)
    halts.receive_status("TRADING", NOW_MS + 600_000)
    effects = sequence.receive(trade(trade_id=103, trade_time_ms=NOW_MS + 600_001))
    assert details(effects) == [("gap", "halted")]
    assert events(answered(sequence, exhausted(sequence, 101, 102))) == [("halted", 101, 102)]


def test_ids_that_agg_trades_prove_never_issued_are_not_expected_and_the_rest_is_lost(
    trades: TradeSequence,
) -> None:
    trades.receive(stream(110))
    effects = exhausted(trades, 101, 109)
    [asked] = [effect for effect in effects if isinstance(effect, ProveTrades)]
    assert (asked.first, asked.last) == (101, 109)
    assert (asked.begin_ms, asked.end_ms) == (NOW_MS + 100, NOW_MS + 110)
    effects = answered(trades, effects, issued=[(100, 102), (106, 110)], never=[(103, 105)])
    assert events(effects) == [("lost", 101, 102), ("lost", 106, 109)]
    assert details(effects)[0][1] == "the exchange does not have it; aggTrades prove 2 of them"
    assert trades.missing == 0


def test_holes_that_one_page_reaches_are_fetched_with_one_request(trades: TradeSequence) -> None:
    assert fills(trades.receive(stream(102))) == [(101, 101)]
    for trade_id in (105, 107, 3_000):
        assert fills(trades.receive(stream(trade_id))) == []
    effects = trades.receive_rows(101, 101, [row(101)])
    assert fills(effects) == [(103, 103 + PAGE - 1)]


def test_a_hole_that_is_retried_keeps_no_other_from_being_found_and_ids_that_come_late_are_taken(
    trades: TradeSequence,
) -> None:
    trades.receive(stream(102))
    trades.receive_rows(101, 101, [])
    assert events(trades.receive(stream(104))) == [("gap", 103, 103)]
    assert published(trades.receive(stream(103))) == [103]
    assert trades.missing == 1


def test_an_id_is_awaited_until_it_came_or_is_given_up(trades: TradeSequence) -> None:
    trades.receive(stream(103))
    assert trades.awaits(100, 103)
    assert trades.awaits(103, 104)
    trades.receive_rows(101, 102, [row(101), row(102)])
    assert not trades.awaits(100, 103)
