from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from pipelines.snapshots.quality.bounds import Bounds
from pipelines.snapshots.quality.rules import RULES, Baseline, check_rules
from pipelines.snapshots.rows import SnapshotRow
from tests.snapshot_builders import FIVE_MINUTES, SLOT, row

BASELINE = Baseline(
    FIVE_MINUTES, {"BTCUSDT": Bounds(1.0, 0.02)}, {"BTCUSDT": (SLOT - FIVE_MINUTES, 100.0)}, {}
)


def broken(one: SnapshotRow, baseline: Baseline = BASELINE) -> tuple[str, ...]:
    checked = check_rules([one], baseline)
    return checked.broken[0][1] if checked.broken else ()


def test_a_sound_row_keeps_every_rule() -> None:
    assert check_rules([row()], BASELINE).good == (row(),)
    assert check_rules([], BASELINE).good == ()


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"best_bid": "100.6"}, "bid_below_ask"),
        ({"last_price": "102.5"}, "last_within_day"),
        ({"low_24h": "101"}, "last_within_day"),
        ({"weighted_average_price_24h": "103"}, "average_within_day"),
        ({"base_volume_24h": "-1"}, "volumes_not_negative"),
        ({"best_ask_quantity": "0"}, "quantities_above_zero"),
        ({"last_trades_mean_price": "0"}, "prices_above_zero"),
        ({"spread_percent": "1.01"}, "spread_usual"),
        ({"last_price": "98.0"}, "price_jump_usual"),
    ],
)
def test_each_rule_finds_what_it_is_for(changed: dict[str, str], rule: str) -> None:
    assert rule in broken(row(**changed))  # type: ignore[arg-type]


def test_digits_beyond_floats_are_compared() -> None:
    crossed = row(best_bid="100.000000000000000001", best_ask="100")
    assert "bid_below_ask" in broken(crossed)
    assert "bid_below_ask" not in broken(row(best_bid="100", best_ask="100.000000000000000001"))


@pytest.mark.parametrize("observed_ms", [SLOT - 3_000, SLOT + FIVE_MINUTES])
def test_a_row_taken_outside_of_its_slot_is_none_of_it(observed_ms: int) -> None:
    assert "taken_within_slot" in broken(row(observed_ms=observed_ms))


def test_an_old_answer_is_not_fresh() -> None:
    old = row(observed_ms=SLOT + 61_000)
    assert broken(old) == ("fresh",)


def test_a_price_may_move_further_in_more_slots() -> None:
    moved = row(last_price="98.1")
    long_ago = replace(BASELINE, before={"BTCUSDT": (SLOT - 4 * FIVE_MINUTES, 100.0)})
    assert "price_jump_usual" not in broken(moved, long_ago)
    assert "price_jump_usual" in broken(row(last_price="103.5", high_24h="110"), BASELINE)


def test_without_a_price_before_there_is_no_jump() -> None:
    assert broken(row(last_price="98.1"), replace(BASELINE, before={})) == ()


def test_another_price_than_the_stream_has_is_held_back() -> None:
    assert broken(row(), replace(BASELINE, stream_closes={"BTCUSDT": 100.4})) == ()
    assert broken(row(), replace(BASELINE, stream_closes={"BTCUSDT": 90.0})) == ("agrees_with_stream",)


def test_one_bad_row_costs_no_other() -> None:
    rows = [row(), row(symbol="ETHUSDT", best_bid="200"), row(symbol="BNBUSDT")]
    checked = check_rules(rows, BASELINE)
    assert [good.symbol for good in checked.good] == ["BTCUSDT", "BNBUSDT"]
    assert [bad.symbol for bad, _ in checked.broken] == ["ETHUSDT"]
    results = {result.rule: (result.checked, result.failed) for result in checked.results()}
    assert results == {rule.name: (3, int(rule.name == "bid_below_ask")) for rule in RULES}


@pytest.mark.thorough
def test_ten_thousand_rows_of_any_numbers_are_judged_as_plain_comparisons_would() -> None:
    random_ = random.Random(3)
    numbers = ["0", "1", "99", "100.4", "100.5", "100.6", "102", "98", "-1", "1e19"]

    def drawn() -> SnapshotRow:
        names = ["best_bid", "best_ask", "last_price", "high_24h", "low_24h", "base_volume_24h"]
        changed: Any = {name: random_.choice(numbers) for name in random_.sample(names, 2)}
        return row(**changed)

    rows = [drawn() for _ in range(10_000)]
    checked = check_rules(rows, BASELINE)
    assert len(checked.good) + len(checked.broken) == len(rows)
    by_row = {id(one): names for one, names in checked.broken}
    for one in rows:
        measured: dict[str, Any] = dict(one.measures)
        names = by_row.get(id(one), ())
        assert ("bid_below_ask" in names) == (measured["best_bid"] >= measured["best_ask"])
        inside = measured["low_24h"] <= measured["last_price"] <= measured["high_24h"]
        assert ("last_within_day" in names) == (not inside)
        assert ("volumes_not_negative" in names) == (measured["base_volume_24h"] < Decimal(0))
