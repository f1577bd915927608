"""Every column equals `ta` 0.11 on recorded and on awkward series (TA.md); on months: `make parity`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import ta
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings

from consumers.indicators.bars import Bar
from consumers.indicators.registry import ALL_COLUMNS, indicator_set
from tests.unit.consumers.indicators.reference import LOOK_AHEAD, Comparison, compare
from tests.unit.consumers.indicators.series import (
    SPOT_HOURS,
    SPOT_MINUTES,
    USDM_AVAX_MINUTES,
    USDM_LTC_MINUTES,
    awkward,
    made_up,
    recorded,
)

HOURS = 1_200


@pytest.fixture(scope="module")
def spot_hours(recordings: Path) -> dict[str, Comparison]:
    return compare(recorded(recordings, SPOT_HOURS)[:HOURS])


@pytest.mark.thorough
@pytest.mark.parametrize("column", ALL_COLUMNS)
def test_a_column_equals_ta_on_hours(column: str, spot_hours: dict[str, Comparison]) -> None:
    assert_equal_on_a_liquid_market(column, spot_hours[column], HOURS)


def assert_equal_on_a_liquid_market(column: str, result: Comparison, bars: int) -> None:
    assert not result.wrong, (column, result.wrong[:5])
    ahead = LOOK_AHEAD.get(column, slice(0, 0))
    assert result.look_ahead == ahead.stop - ahead.start
    assert result.undefined <= 5  # a liquid market does not stand still
    assert result.compared == bars - result.look_ahead - result.undefined


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        (SPOT_MINUTES, slice(400)),
        (USDM_LTC_MINUTES, slice(10_000, 10_400)),
        # Prices of one decimal point in 10,000 steps: many ties, bars without a trade.
        (USDM_AVAX_MINUTES, slice(20_000, 20_400)),
    ],
)
def test_all_columns_equal_ta_on_minutes(recordings: Path, pattern: str, part: slice) -> None:
    assert_equal(compare(recorded(recordings, pattern)[part]))


# Without shrinking: an example takes half a second of ta, and the message names column and row anyway.
@pytest.mark.thorough
@hypothesis_settings(max_examples=10, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(awkward())
def test_all_columns_equal_ta_on_awkward_series(bars: list[Bar]) -> None:
    assert_equal(compare(bars))


def assert_equal(results: dict[str, Comparison]) -> None:
    wrong = {column: result.wrong[:3] for column, result in results.items() if result.wrong}
    assert not wrong


def _ta_with_other_parameters(frame: pd.DataFrame) -> dict[str, pd.Series]:
    high, low, close, volume = frame["high"], frame["low"], frame["close"], frame["volume"]
    return {
        "momentum_rsi(21)": ta.momentum.RSIIndicator(close, 21).rsi(),
        "momentum_stoch_rsi_d(10 5 4)": ta.momentum.StochRSIIndicator(close, 10, 5, 4).stochrsi_d(),
        "momentum_stoch_signal(5 4)": ta.momentum.StochasticOscillator(high, low, close, 5, 4).stoch_signal(),
        "momentum_wr(7)": ta.momentum.WilliamsRIndicator(high, low, close, 7).williams_r(),
        "momentum_roc(2)": ta.momentum.ROCIndicator(close, 2).roc(),
        "momentum_uo(5 9 40)": ta.momentum.UltimateOscillator(
            high, low, close, 5, 9, 40
        ).ultimate_oscillator(),
        "momentum_tsi(13 7)": ta.momentum.TSIIndicator(close, 13, 7).tsi(),
        "momentum_kama(20)": ta.momentum.KAMAIndicator(close, 20).kama(),
        "momentum_ppo_hist(20 8 5)": ta.momentum.PercentagePriceOscillator(close, 20, 8, 5).ppo_hist(),
        "trend_sma_fast(50)": ta.trend.SMAIndicator(close, 50).sma_indicator(),
        "trend_ema_fast(9)": ta.trend.EMAIndicator(close, 9).ema_indicator(),
        "trend_wma(21)": ta.trend.WMAIndicator(close, 21).wma(),
        "trend_macd_diff(35 5 5)": ta.trend.MACD(close, 35, 5, 5).macd_diff(),
        "trend_stc(30 10 8 5 4)": ta.trend.STCIndicator(close, 30, 10, 8, 5, 4).stc(),
        "trend_adx(7)": ta.trend.ADXIndicator(high, low, close, 7).adx(),
        "trend_adx_neg(20)": ta.trend.ADXIndicator(high, low, close, 20).adx_neg(),
        "trend_cci(14)": ta.trend.CCIIndicator(high, low, close, 14).cci(),
        "trend_aroon_ind(14)": ta.trend.AroonIndicator(high, low, 14).aroon_indicator(),
        "trend_dpo(7)": ta.trend.DPOIndicator(close, 7).dpo(),
        "trend_trix(5)": ta.trend.TRIXIndicator(close, 5).trix(),
        "trend_mass_index(5 10)": ta.trend.MassIndex(high, low, 5, 10).mass_index(),
        "trend_vortex_ind_diff(5)": ta.trend.VortexIndicator(high, low, close, 5).vortex_indicator_diff(),
        "trend_ichimoku_a(5 13 30)": ta.trend.IchimokuIndicator(high, low, 5, 13, 30).ichimoku_a(),
        "trend_ichimoku_b(5 13 30)": ta.trend.IchimokuIndicator(high, low, 5, 13, 30).ichimoku_b(),
        "volatility_atr(14)": ta.volatility.AverageTrueRange(high, low, close, 14).average_true_range(),
        "volatility_bbh(10 3)": ta.volatility.BollingerBands(close, 10, 3).bollinger_hband(),
        "volatility_kch(20)": ta.volatility.KeltnerChannel(high, low, close, 20).keltner_channel_hband(),
        "volatility_dcp(5)": ta.volatility.DonchianChannel(high, low, close, 5).donchian_channel_pband(),
        "volatility_ui(7)": ta.volatility.UlcerIndex(close, 7).ulcer_index(),
        "volume_cmf(5)": ta.volume.ChaikinMoneyFlowIndicator(
            high, low, close, volume, 5
        ).chaikin_money_flow(),
        "volume_fi(5)": ta.volume.ForceIndexIndicator(close, volume, 5).force_index(),
        "volume_mfi(7)": ta.volume.MFIIndicator(high, low, close, volume, 7).money_flow_index(),
        "volume_vwap(30)": ta.volume.VolumeWeightedAveragePrice(
            high, low, close, volume, 30
        ).volume_weighted_average_price(),
    }


def test_columns_with_other_parameters_equal_ta_with_the_same() -> None:
    bars = made_up(400)
    frame = pd.DataFrame(bars, columns=list(Bar._fields))
    expected = _ta_with_other_parameters(frame)
    indicators = indicator_set(tuple(expected))
    state, rows = indicators.initial(), []
    for bar in bars:
        state, row = indicators.step(state, bar)
        rows.append(row)
    ours = pd.DataFrame(rows, columns=list(indicators.columns))
    for stored, (name, series) in zip(indicators.columns, expected.items(), strict=True):
        # 1e-10: the series' own size times ta's rounding; values near zero are differences of far larger
        # ones.
        pd.testing.assert_series_equal(
            ours[stored], series, check_names=False, rtol=1e-9, atol=1e-10, obj=f"{name} as {stored}"
        )
