"""A set of indicators as one function gives what its indicators give one by one, bit for bit."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from consumers.indicators.bars import Bar
from consumers.indicators.registry import ALL_COLUMNS, columns_of, indicator_set
from tests.unit.consumers.indicators.plain import plain_rows
from tests.unit.consumers.indicators.series import awkward, made_up

ODD_PARAMETERS = (
    "momentum_rsi(2)",
    "momentum_stoch_rsi_d(10 5 4)",
    "momentum_kama(20)",
    "momentum_pvo_hist(3 20 2)",
    "momentum_uo(5 9 40)",
    "trend_macd_diff(5 35 3)",
    "trend_sma_fast(2)",
    "trend_wma(21)",
    "trend_stc(30 10 8 5 4)",
    "trend_adx(2)",
    "trend_aroon_ind(7)",
    "trend_cci(3)",
    "trend_dpo(3)",
    "trend_ichimoku_a(5 13 30)",
    "trend_kst_sig(2)",
    "trend_mass_index(5 10)",
    "volatility_bbp(10 3)",
    "volatility_kcp(21)",
    "volatility_ui(7)",
    "volume_mfi(28)",
    "volume_vwap(2)",
)
FLAT = [Bar(index, 0.3, 0.3, 0.3, 0.3, 1.0 if index % 3 else 0.0) for index in range(70)]
BARS = made_up(130)


def assert_compiled_is_plain(names: tuple[str, ...], bars: list[Bar]) -> None:
    indicators = indicator_set(names)
    state = indicators.initial()
    for place, (bar, expected) in enumerate(zip(bars, plain_rows(columns_of(names), bars), strict=True)):
        open_bar = indicators.values(state, bar)
        state, values = indicators.step(state, bar)
        for column, ours, provisional, plain in zip(
            indicators.columns, values, open_bar, expected, strict=True
        ):
            assert bits(ours) == bits(provisional) == bits(plain), (column, place, ours, provisional, plain)


def bits(value: float) -> bytes:
    # A NaN has a sign and a payload that mean nothing.
    return b"nan" if value != value else struct.pack("<d", value)  # noqa: PLR0124


@pytest.mark.thorough
@pytest.mark.parametrize("bars", [BARS, FLAT, [*BARS[:60], *FLAT, *BARS[60:]]], ids=["walk", "flat", "both"])
@pytest.mark.parametrize("names", [("all",), ODD_PARAMETERS, ("all", *ODD_PARAMETERS)])
def test_a_whole_set(names: tuple[str, ...], bars: list[Bar]) -> None:
    assert_compiled_is_plain(names, bars)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [*ALL_COLUMNS, *ODD_PARAMETERS])
def test_a_column_alone(name: str) -> None:
    assert_compiled_is_plain((name,), BARS)


@pytest.mark.thorough
@hypothesis_settings(max_examples=8)
@given(awkward())
def test_awkward_series(bars: list[Bar]) -> None:
    assert_compiled_is_plain(("all", "momentum_rsi(3)", "trend_macd_diff(5 35 3)"), bars)
