from __future__ import annotations

import pytest

from pipelines.snapshots.plan import batches, holes_of, is_late, slot_weight, slots_to_fill, weight_share
from tests.snapshot_builders import FIVE_MINUTES, SLOT, row


def test_a_run_within_its_slot_is_not_late() -> None:
    assert not is_late(SLOT, SLOT + FIVE_MINUTES - 1, FIVE_MINUTES)
    assert not is_late(SLOT, SLOT - 400, FIVE_MINUTES)


def test_a_late_run_does_not_take_the_present_for_the_past() -> None:
    end = SLOT + FIVE_MINUTES
    assert is_late(SLOT, end, FIVE_MINUTES)
    assert holes_of(SLOT, end, FIVE_MINUTES, set(), symbols=3) == (SLOT,)
    assert holes_of(SLOT, end, FIVE_MINUTES, {SLOT}, symbols=3) == ()


def test_holes_are_the_slots_since_the_first_that_has_rows() -> None:
    known = {SLOT - 5 * FIVE_MINUTES, SLOT - 2 * FIVE_MINUTES}
    assert holes_of(SLOT, SLOT, FIVE_MINUTES, known, symbols=3) == (
        SLOT - 4 * FIVE_MINUTES,
        SLOT - 3 * FIVE_MINUTES,
        SLOT - FIVE_MINUTES,
    )


def test_a_first_run_invents_no_past() -> None:
    assert holes_of(SLOT, SLOT, FIVE_MINUTES, set(), symbols=3) == ()


def test_holes_older_than_a_week_are_left_alone() -> None:
    eight_days = {SLOT - 8 * 86_400_000}
    assert holes_of(SLOT, SLOT, FIVE_MINUTES, eight_days, symbols=3) == ()


def test_after_an_outage_of_more_than_a_week_the_last_week_is_a_hole() -> None:
    holes = holes_of(SLOT, SLOT, FIVE_MINUTES, set(), symbols=3, past=True)
    assert holes == tuple(range(SLOT - 7 * 86_400_000, SLOT, FIVE_MINUTES))


def test_unsettled_rows_are_wanted_again_for_their_symbol_alone_once_their_slot_is_over() -> None:
    before, own = SLOT - FIVE_MINUTES, SLOT
    unsettled = {
        before: [row(before, "missing", symbol="ETHUSDT", reason="the exchange failed")],
        own: [row(own, "missing")],
    }
    hole = SLOT - 3 * FIVE_MINUTES
    assert slots_to_fill(["BTCUSDT"], [hole], unsettled, over_ms=SLOT + 1_000 - FIVE_MINUTES) == {
        "BTCUSDT": {hole: "not taken"},
        "ETHUSDT": {before: "the exchange failed"},
    }


@pytest.mark.parametrize(
    ("symbols", "weight", "share"),
    [
        (3, 3 * 32 + 20 + 1, 0.5),
        (275, 275 * 32 + 3 * 20 + 1, 0.5),
        (500, 500 * 32 + 5 * 20 + 1, 16_101 / 18_000),
    ],
)
def test_many_symbols_take_a_larger_share_of_the_weight(symbols: int, weight: int, share: float) -> None:
    assert slot_weight(symbols) == weight
    assert weight_share(symbols, FIVE_MINUTES) == pytest.approx(share)


def test_more_symbols_than_a_slot_has_weight_for_have_no_share() -> None:
    assert weight_share(600, FIVE_MINUTES) is None
    assert weight_share(600, 3 * FIVE_MINUTES) is not None


def test_statuses_are_asked_for_a_hundred_symbols_at_a_time() -> None:
    assert [len(batch) for batch in batches([f"S{number}" for number in range(250)])] == [100, 100, 50]
