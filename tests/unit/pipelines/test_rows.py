"""Invariants of rows: whatever runs did, in whatever order, one row per key remains, always the same."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.snapshots.rows import BrokenRow, SnapshotRow, better, check_row, fitting, merge, missing
from tests.snapshot_builders import FIVE_MINUTES, SLOT, row

rows = st.builds(
    lambda place, status, symbol, late, price, reason: row(
        SLOT + place * FIVE_MINUTES,
        status,
        symbol=symbol,
        observed_ms=SLOT + late,
        reason=None if status == "complete" else reason,
        last_price=price,
    ),
    st.integers(0, 2),
    st.sampled_from(["complete", "backfilled", "missing"]),
    st.sampled_from(["BTCUSDT", "ETHUSDT"]),
    st.integers(0, 3),
    st.sampled_from(["100", "101"]),
    st.sampled_from(["not taken", "no_trading", "halted (BREAK)"]),
)


@given(st.lists(rows, max_size=12), st.randoms())
def test_any_order_and_repetition_of_runs_leaves_the_same_rows(
    found: list[SnapshotRow], random: object
) -> None:
    shuffled = found + found
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    half = len(shuffled) // 2
    whole = merge(found)
    assert merge(merge(shuffled[:half]), merge(shuffled[half:])) == whole
    assert len({one.key for one in whole}) == len(whole) == len({one.key for one in found})


@given(rows, rows)
def test_the_better_of_two_does_not_depend_on_who_came_first(one: SnapshotRow, other: SnapshotRow) -> None:
    other = replace(other, symbol=one.symbol, slot_ms=one.slot_ms)
    assert better(one, other) == better(other, one)


def test_a_complete_row_beats_a_backfilled_one_and_that_a_missing_one() -> None:
    complete, backfilled, absent = (row(status=status) for status in ("complete", "backfilled", "missing"))
    assert merge([absent], [complete], [backfilled]) == [complete]
    assert merge([absent], [backfilled]) == [backfilled]


def test_of_two_complete_rows_the_earlier_observation_stays() -> None:
    early, late = row(observed_ms=SLOT + 5), row(observed_ms=SLOT + 9, last_price="101")
    assert merge([late], [early]) == [early]


def test_missing_for_good_replaces_missing_so_far() -> None:
    so_far = missing("binance", "BTCUSDT", SLOT, "halted (BREAK)", "scheduled", SLOT)
    for_good = missing("binance", "BTCUSDT", SLOT, "no_trading", "backfill", SLOT + FIVE_MINUTES)
    assert merge([so_far], [for_good]) == [for_good]
    assert for_good.settled and not so_far.settled


@pytest.mark.parametrize("status", ["complete", "backfilled", "missing"])
def test_the_laws_of_each_status_hold(status: str) -> None:
    check_row(row(status=status))  # type: ignore[arg-type]


@pytest.mark.parametrize("status", ["complete", "backfilled"])
def test_a_measure_less_than_the_status_says_is_refused(status: str) -> None:
    whole = row(status=status)  # type: ignore[arg-type]
    holed = {name: value for name, value in whole.measures.items() if name != "last_price"}
    with pytest.raises(BrokenRow, match="last_price does not fit"):
        check_row(replace(whole, measures=holed))


def test_a_missing_row_with_a_price_is_refused() -> None:
    with pytest.raises(BrokenRow, match="last_price"):
        check_row(replace(row(status="missing"), measures={"last_price": Decimal(1)}))


def test_a_complete_row_has_no_reason_and_every_other_has_one() -> None:
    with pytest.raises(BrokenRow, match="with reason"):
        check_row(replace(row(), reason="why"))
    with pytest.raises(BrokenRow, match="with reason"):
        check_row(replace(row(status="missing"), reason=None))


@pytest.mark.parametrize(
    ("number", "fits"),
    [("99999999999999999999.999999999999999999", True), ("1e20", False), ("1e-18", True), ("1e-19", False)],
)
def test_numbers_keep_all_their_digits_or_are_refused(number: str, fits: bool) -> None:
    assert fitting(Decimal(number)) is fits
