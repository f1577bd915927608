"""The warm-up check finds how long each column remembers."""

from __future__ import annotations

import pytest

from consumers.indicators.declarations import INDICATORS
from consumers.indicators.registry import ALL_COLUMNS, indicator_set
from cryptostream.indicator_files.warm_up import check_warm_up, horizon
from tests.unit.consumers.indicators.series import made_up

BARS = made_up(3_000)


def stable_after(*names: str) -> dict[str, int | None]:
    found = check_warm_up(indicator_set(names), BARS, len(BARS))
    return {column: stable for column, _, stable in found}


def test_a_window_is_stable_as_soon_as_it_is_full() -> None:
    found = stable_after(
        "trend_sma_fast", "trend_sma_fast(50)", "volatility_dch", "momentum_roc", "trend_wma"
    )
    assert found == {
        "trend_sma_fast": 11,
        "trend_sma_fast_50": 49,
        "volatility_dch": 19,
        "momentum_roc": 12,
        "trend_wma": 8,
    }


def test_an_average_forgets_at_the_rate_of_its_weight() -> None:
    # (1 - 2/13)^n = 1e-9 after 124 bars, (1 - 2/27)^n after 269; the start differs by less than the price.
    found = stable_after("trend_ema_fast", "trend_ema_slow")
    assert found["trend_ema_fast"] is not None and 60 < found["trend_ema_fast"] <= 124
    assert found["trend_ema_slow"] is not None and 130 < found["trend_ema_slow"] <= 269


def test_what_sums_from_the_first_bar_is_never_stable() -> None:
    sums = ("volume_adi", "volume_obv", "volume_vpt", "volume_nvi", "others_cr")
    assert stable_after(*sums) == dict.fromkeys(sums)
    rest = [column for column in ALL_COLUMNS if column not in sums]
    assert None not in stable_after(*rest).values()


@pytest.mark.parametrize("declared", INDICATORS, ids=lambda declared: next(iter(declared.columns)))
def test_no_value_is_stable_before_it_is_there(declared: object) -> None:
    for column, warm_up, stable in check_warm_up(
        indicator_set(tuple(declared.columns)),  # type: ignore[attr-defined]
        BARS[:600],
        600,
    ):
        assert stable is None or stable >= warm_up, column


def test_a_series_too_short_to_tell_is_said_to_be() -> None:
    indicators = indicator_set(("trend_sma_fast(50)",))
    assert horizon(indicators, 101) == 0
    assert horizon(indicators, 102) == 51
    assert horizon(indicators, 10**6) == 1_000
