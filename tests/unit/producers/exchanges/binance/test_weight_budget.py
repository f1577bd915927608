"""Half of the limit, per calendar minute, counted by the exchange's own header."""

from __future__ import annotations

import pytest

from producers.exchanges.binance.weight_budget import (
    WeightBudget,
    pace_of,
    start_delay_s,
    starting_weight,
    status_period_s,
)
from producers.exchanges.port import Pace

MINUTE_MS = 60_000
NOW_MS = 1_785_767_100_000 + 20_000


def spent(budget: WeightBudget, used: int) -> None:
    budget.started(1, NOW_MS)
    budget.finished(1, NOW_MS, used)


def test_other_containers_use_counts_through_the_header() -> None:
    budget = WeightBudget(6_000)
    spent(budget, 2_950)
    assert budget.wait_ms(50, NOW_MS) == 0
    assert budget.wait_ms(51, NOW_MS) == 40_000


def test_requests_on_their_way_count_too() -> None:
    budget = WeightBudget(6_000)
    spent(budget, 2_900)
    budget.started(50, NOW_MS)
    assert budget.wait_ms(51, NOW_MS) == 40_000
    budget.finished(50, NOW_MS, 2_950)
    assert budget.wait_ms(50, NOW_MS) == 0


def test_the_count_begins_anew_with_the_calendar_minute() -> None:
    budget = WeightBudget(6_000)
    spent(budget, 6_000)
    assert budget.wait_ms(1, NOW_MS + 40_000) == 0


def test_answers_out_of_order_never_lower_the_count() -> None:
    budget = WeightBudget(6_000)
    spent(budget, 500)
    spent(budget, 300)
    assert budget.used == 500


def test_without_a_header_our_own_weight_is_counted() -> None:
    budget = WeightBudget(6_000)
    budget.started(50, NOW_MS)
    budget.finished(50, NOW_MS, None)
    assert budget.used == 50


def test_a_request_heavier_than_the_budget_goes_alone() -> None:
    budget = WeightBudget(100)
    assert budget.wait_ms(250, NOW_MS) == 0


@pytest.mark.parametrize("containers", [1, 4, 30, 200])
def test_staggered_starts_stay_under_half_the_limit_in_every_minute(containers: int) -> None:
    weight = starting_weight(("1s", "1m", "15m", "1h", "1d"), 1_000)
    starts = [start_delay_s(position, weight) for position in range(containers)]
    assert starts[0] == 0.0
    for begin in starts:
        # One start may begin at the very end of the minute.
        assert sum(begin <= other < begin + 60 for other in starts) * weight <= 3_000 + weight


@pytest.mark.parametrize("symbols", [1, 30, 300])
def test_looking_at_the_status_takes_at_most_a_tenth_of_the_limit(symbols: int) -> None:
    assert symbols * 20 * 60 / status_period_s(symbols) <= 600


def test_what_nothing_waits_for_leaves_half_of_the_share_to_repairs() -> None:
    budget = WeightBudget(6_000)
    budget.finished(0, NOW_MS, 1_450)
    assert budget.spare(50, NOW_MS)
    budget.started(50, NOW_MS)
    assert not budget.spare(50, NOW_MS)
    assert budget.wait_ms(50, NOW_MS) == 0


@pytest.mark.parametrize(("symbols", "probe_s", "fill_s"), [(1, 10, 10), (4, 10, 10), (200, 400, 250)])
def test_many_symbols_share_what_may_be_asked(symbols: int, probe_s: float, fill_s: float) -> None:
    assert pace_of(symbols) == Pace(probe_s, fill_s)
