"""Trades: every id once, holes repaired late or given up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.effects import PAGE, AskNewestTrades, FillTrades, LedgerEvent, ProveTrades, Publish, Reject
from producers.found_ids import FoundRange
from producers.halts import Halts
from producers.lookout import LaterBar
from producers.missing_ids import DELAYS_S, LEAST_ASKED, PATIENCE_S, SOON_S
from producers.trade_doubts import FULL_PAGE, MAX_HELD
from producers.trade_sequence import TradeSequence
from shared.id_ranges import IdRanges
from shared.trade_ids import number, number_of
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


class Rest:
    """Answers a sequence as time goes by; every question of it is answered at once.

    Args:
        has: ids that it gives; None while it refuses to answer.
        issued, never: what aggTrades prove.
    """

    def __init__(self, sequence: TradeSequence, *, issued: Any = (), never: Any = ()) -> None:
        self.sequence = sequence
        self.has: set[int] | None = set()
        self.issued, self.never = issued, never
        self.oldest = 0
        self.now_s = 0.0
        self.asked: list[tuple[float, int, int]] = []

    def answer(self, effects: Any) -> list[Any]:
        """All that follows from these effects now."""
        out: list[Any] = []
        pending = list(effects)
        while pending:
            effect = pending.pop(0)
            out.append(effect)
            if isinstance(effect, FillTrades):
                self.asked.append((self.now_s, effect.first, effect.last))
                rows = None if self.has is None else self._rows(effect.first, effect.last)
                pending += self.sequence.receive_rows(
                    effect.first, effect.last, rows, self.now_s, self.oldest
                )
            elif isinstance(effect, ProveTrades):
                pending += self.sequence.receive_proof(effect, self.issued, self.never, self.now_s)
        return out

    def _rows(self, first: int, last: int) -> list[Any]:
        assert self.has is not None
        return [row(number) for number in range(first, min(last, first + PAGE - 1) + 1) if number in self.has]

    def until(self, now_s: float) -> list[Any]:
        """Second after second, or longer steps where time is long."""
        out: list[Any] = []
        while self.now_s < now_s:
            self.now_s += 1.0 if self.now_s < 100 else 60.0
            out += self.answer(self.sequence.retry(self.now_s))
        return out


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
    assert trades.receive(stream(101))[0].progress_id == 101  # type: ignore[union-attr]
    assert trades.receive(stream(103))[0].progress_id == 103  # type: ignore[union-attr]
    assert trades.receive(stream(104))[0].progress_id == 104  # type: ignore[union-attr]
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


LATER = FoundRange(105, 110, NOW_MS + 105, NOW_MS + 110)


def span(epoch: int, first: int, last: int) -> FoundRange:
    return FoundRange(number(epoch, first), number(epoch, last), NOW_MS, NOW_MS)


def test_a_restart_knows_what_was_published_above_an_open_hole() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    assert fills(sequence.begin(100, [LATER])) == [(101, 104)]
    assert events(sequence.receive(stream(107))) == [("duplicate", 107, 107)]
    assert published(sequence.receive(stream(111))) == [111]


def test_after_a_long_absence_everything_is_fetched_that_rest_can_page() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.begin(100)
    rest = Rest(sequence)
    rest.has = set(range(101, 120_000))
    effects = rest.answer(sequence.receive(stream(120_000)))
    assert events(effects) == [("gap", 101, 119_999)]
    assert sorted(published(effects)) == list(range(101, 120_001))


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
    assert len(out) + len(lost) == count + 1
    assert not lost.difference(expected), "lost without having been expected before"


def details(effects: Any) -> list[tuple[str, str | None]]:
    return [(effect.kind, effect.detail) for effect in effects if isinstance(effect, LedgerEvent)]


def exhausted(sequence: TradeSequence, effects: Any, **proofs: Any) -> list[Any]:
    """All that follows from a hole that REST never fills, over a day and a bit."""
    rest = Rest(sequence, **proofs)
    return rest.answer(effects) + rest.until(PATIENCE_S + 2 * DELAYS_S[-1])


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


# -- doubtful trades, and a numbering that begins anew


def at(trade_id: int, after_ms: int, **fields: Any) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + after_ms, **fields)


def kinds(effects: Any) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def received(sequence: TradeSequence, *trades: Any) -> Any:
    return [effect for each in trades for effect in sequence.receive(each)]


def numbers(effects: Any) -> list[int]:
    return [number_of(effect.message) for effect in effects if isinstance(effect, Publish)]


ANEW = [at(1, 60_000), at(2, 60_400), at(3, 60_800)]


def test_ids_that_begin_anew_are_held_until_rest_says_so_and_then_published_as_a_new_numbering(
    trades: TradeSequence,
) -> None:
    effects = received(trades, *ANEW)
    assert kinds(effects) == ["AskNewestTrades"]
    assert trades.doubtful == 3
    effects = trades.receive_newest(ANEW)
    assert numbers(effects) == [number(1, 1), number(1, 2), number(1, 3)]
    assert [each.message["trade_id"] for each in effects if isinstance(each, Publish)] == [1, 2, 3]
    assert events(effects) == [("gap", number(1, 1), number(1, 1))]
    assert details(effects) == [("gap", "trade ids begin anew after 100: numbering 2")]
    assert (trades.doubtful, trades.missing, trades.epoch) == (0, 0, 1)


LATER_BAR = LaterBar(first=1, last=3, open_ms=NOW_MS + 60_000, time_ms=NOW_MS + 62_000)


def test_ids_that_only_a_bar_shows_to_begin_anew_are_asked_about_and_fetched(trades: TradeSequence) -> None:
    [asked] = trades.counted_later(LATER_BAR)
    assert isinstance(asked, AskNewestTrades)
    effects = trades.receive_newest(ANEW)
    assert events(effects) == [
        ("gap", number(1, 1), number(1, 1)),
        ("expected", number(1, 1), number(1, 3)),
        ("gap", number(1, 1), number(1, 3)),
    ]
    assert fills(effects) == [(number(1, 1), number(1, 3))]
    rows = [each | {"epoch": 1} for each in ANEW]
    assert published(trades.receive_rows(number(1, 1), number(1, 3), rows, 0.0)) == [1, 2, 3]
    # Later bars go on from there.
    assert trades.counted_later(LATER_BAR) == []
    more = trades.counted_later(LaterBar(4, 5, NOW_MS + 70_000, NOW_MS + 71_000))
    assert fills(more) == [(number(1, 4), number(1, 5))]


def test_a_bar_alone_is_not_believed_that_ids_begin_anew(trades: TradeSequence) -> None:
    trades.counted_later(LATER_BAR)
    assert trades.receive_newest([row(99), row(100)]) == []
    assert trades.receive_newest(ANEW) == []  # nobody has asked
    assert trades.epoch == 0


def test_the_new_numbering_goes_on_like_any_other(trades: TradeSequence) -> None:
    received(trades, *ANEW)
    trades.receive_newest(ANEW)
    [publish] = trades.receive(at(4, 61_200))
    assert isinstance(publish, Publish)
    assert publish.progress_id == number(1, 4)
    assert events(trades.receive(at(4, 61_200))) == [("duplicate", number(1, 4), number(1, 4))]
    effects = trades.receive(at(7, 61_300))
    assert fills(effects) == [(number(1, 5), number(1, 6))]
    rows = [at(5, 61_250, epoch=1), at(6, 61_260, epoch=1)]
    assert numbers(trades.receive_rows(number(1, 5), number(1, 6), rows, 1.0)) == [number(1, 5), number(1, 6)]


def test_the_old_numberings_future_is_not_missing_and_its_holes_can_be_had_no_more(
    trades: TradeSequence,
) -> None:
    trades.receive(stream(104))
    received(trades, *ANEW)
    effects = trades.receive_newest(ANEW)
    assert events(effects)[0] == ("lost", 101, 103)
    assert "begun anew" in (details(effects)[0][1] or "")
    assert trades.missing == 0
    # An answer to what was asked before says nothing of the new one.
    assert published(trades.receive_rows(101, 103, [row(101), row(102), row(103)], 1.0)) == []


def test_after_a_restart_numbers_go_on_in_the_numbering_they_were_in() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.begin(number(1, 12))
    [publish] = sequence.receive(at(13, 70_000))
    assert isinstance(publish, Publish)
    assert (publish.progress_id, publish.message["epoch"]) == (number(1, 13), 1)


def test_a_restart_after_a_kill_in_the_middle_of_the_change_misses_nothing_between_the_numberings() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    effects = sequence.begin(100, [span(1, 1, 3), span(1, 5, 6)], NOW_MS)
    assert fills(effects) == [(number(1, 4), number(1, 4))]
    assert (sequence.missing, sequence.epoch) == (1, 1)


def test_a_restart_gives_up_the_holes_of_a_numbering_that_is_over() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    effects = sequence.begin(100, [LATER, span(1, 1, 3)], NOW_MS)
    assert (fills(effects), events(effects)) == ([], [("lost", 101, 104)])


def test_a_lie_far_ahead_holds_up_no_other_trade_and_declares_nothing_missing(trades: TradeSequence) -> None:
    effects = received(trades, at(2**40, 150), at(101, 160), at(102, 170), at(104, 180))
    assert published(effects) == [101, 102, 104]
    assert events(effects) == [("gap", 103, 103)]
    effects = trades.receive_newest([at(101, 160), at(102, 170), at(103, 175), at(104, 180)])
    assert kinds(effects) == ["Reject", "Distrust"]
    assert str(2**40) in effects[0].reason
    assert (trades.missing, trades.doubtful) == (1, 0)


def test_an_id_seen_before_with_a_later_time_is_not_called_a_duplicate_unseen(trades: TradeSequence) -> None:
    effects = received(trades, at(90, 150), at(101, 160))
    assert (published(effects), events(effects)) == ([101], [])
    assert kinds(trades.receive_newest([at(100, 100), at(101, 160)])) == ["Reject", "Distrust"]


def test_a_jump_that_rest_confirms_is_a_hole_like_any_other(trades: TradeSequence) -> None:
    assert published(trades.receive(at(90_000, 200))) == []
    effects = trades.receive_newest([at(89_999, 190), at(90_000, 200)])
    assert (published(effects), events(effects)) == ([90_000], [("gap", 101, 89_999)])
    assert fills(effects) == [(101, 100 + PAGE)]


def test_while_rest_does_not_answer_it_is_asked_again_and_the_doubt_is_seen(trades: TradeSequence) -> None:
    trades.receive(at(1, 60_000))
    for delay_s in (1.0, 2.0, 4.0):
        [asked] = trades.receive_newest([])
        assert isinstance(asked, AskNewestTrades)
        assert asked.delay_s == delay_s
    assert trades.doubtful == 1
    assert trades.doubtful_since_ms == ANEW[0]["received_time_ms"]


def test_what_follows_on_doubtful_trades_is_doubtful_though_it_may_be_the_next_one() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    received(sequence, at(1, 0), at(2, 10), at(3, 20))
    assert published(received(sequence, *ANEW, at(4, 61_200))) == []
    effects = sequence.receive_newest([*ANEW, at(4, 61_200)])
    assert numbers(effects) == [number(1, each) for each in (1, 2, 3, 4)]


def test_more_doubtful_trades_than_can_be_held_are_found_again_as_a_hole(trades: TradeSequence) -> None:
    rows = [at(each, 60_000 + each) for each in range(1, MAX_HELD + 201)]
    received(trades, *rows)
    effects = trades.receive_newest(rows[-FULL_PAGE:])
    assert numbers(effects) == [number(1, each) for each in range(1, MAX_HELD + 1)]
    assert fills(effects) == [(number(1, MAX_HELD + 1), number(1, MAX_HELD + 200))]


def test_a_trade_of_a_new_numbering_fills_no_hole_of_the_old_one(trades: TradeSequence) -> None:
    trades.receive(stream(104))
    later = at(102, 60_000, source="backfill")
    assert published(trades.receive_rows(101, 103, [row(101), later], 1.0)) == [101]
    assert trades.missing == 2


@given(
    st.lists(st.integers(1, 40), max_size=60),
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 2**50), st.integers(0, 70_000)), max_size=4),
    st.data(),
)
def test_whatever_lies_and_repeats_come_between_each_trade_of_both_numberings_is_published(
    repeated: list[int], count: int, lies: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Repeats and lies among 50 trades of the old and some of a new numbering, REST answering at any time."""
    old = [at(5_000 + each, each * 10) for each in range(50)]
    new = [at(each, 60_000 + each * 10) for each in range(1, count + 1)]
    issued = {(each["trade_id"], each["trade_time_ms"]) for each in (*old, *new)}
    sequence = TradeSequence("BTCUSDC", Halts())
    out: list[int] = []
    asked = False
    told: list[Any] = []
    for real in (*old, *new):
        told.append(real)
        coming = [real]
        if repeated and data.draw(st.booleans()):
            coming.append(dict(told[repeated.pop() % len(told)]))
        if lies and data.draw(st.booleans()):
            trade_id, after_ms = lies.pop()
            time_ms = min(NOW_MS + after_ms, real["trade_time_ms"] + 5)
            if (trade_id, time_ms) not in issued and abs(trade_id - real["trade_id"]) > 20_000_000:
                coming.append(trade(trade_id=trade_id, trade_time_ms=time_ms))
        for each in coming:
            effects = sequence.receive(dict(each))
            out += numbers(effects)
            asked = asked or any(isinstance(effect, AskNewestTrades) for effect in effects)
        if asked and data.draw(st.booleans()):
            effects = sequence.receive_newest([dict(each) for each in told])
            out += numbers(effects)
            asked = any(isinstance(effect, AskNewestTrades) for effect in effects)
    for _ in range(10):
        if asked:
            effects = sequence.receive_newest([dict(each) for each in told])
            out += numbers(effects)
            asked = any(isinstance(effect, AskNewestTrades) for effect in effects)
    wanted = [each["trade_id"] for each in old] + [number(1, each["trade_id"]) for each in new]
    assert sorted(set(out)) == wanted
    # Only what is repeated of a numbering that is over is published again; it has its place.
    assert all(out.count(each) == 1 for each in out if each >= number(1, 0))
    assert (sequence.missing, sequence.doubtful) == (0, 0)


def test_a_recording_that_is_played_again_brings_no_third_numbering(trades: TradeSequence) -> None:
    """All of it is stored: what was before the change once more in its place, the rest as duplicates."""
    old = [at(5_000 + each, each) for each in range(3)]
    again = TradeSequence("BTCUSDC", Halts())
    again.begin(number(1, 3), (), ANEW[-1]["trade_time_ms"])
    effects = received(again, *(dict(each) for each in old))
    assert again.receive_newest(old)[0] == AskNewestTrades("BTCUSDC", 1.0)
    assert events(received(again, *(dict(each) for each in ANEW))) == [
        ("duplicate", number(1, each), number(1, each)) for each in (1, 2, 3)
    ]
    effects = again.receive_newest([*old, *ANEW])
    assert numbers(effects) == [5_000, 5_001, 5_002]
    assert (again.epoch, again.missing, again.doubtful) == (1, 0, 0)


def test_what_a_bar_knows_and_nobody_brings_is_expected_and_fetched(trades: TradeSequence) -> None:
    effects = trades.issued(104, NOW_MS + 5_000)
    assert events(effects) == [("expected", 101, 104), ("gap", 101, 104)]
    assert fills(effects) == [(101, 104)]
    assert trades.issued(104, NOW_MS + 6_000) == []
    rows = [row(101), row(102), row(103), row(104)]
    effects = trades.receive_rows(101, 104, rows, 0.0)
    assert published(effects) == [101, 102, 103, 104]
    assert [effect.progress_id for effect in effects] == [None, None, None, 104]
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
