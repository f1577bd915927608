"""All indicators, declared once: columns, warm-up, parameters with `ta`'s defaults (DESIGN §4.3, STYLE §5).

A new one is a function in its family's module and an entry in `INDICATORS`, from which its names in settings,
its row in the documentation and its parity, fork, restart and bounds tests are derived.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from consumers.indicators import adx_psar, high_low, momentum, others, trend, volatility, volume

FAMILIES: Final = ("volume", "volatility", "trend", "momentum", "others")

WarmUp = Callable[..., int] | int


@dataclass(frozen=True)
class Declaration:
    """One indicator.

    Attributes:
        make: the indicator's function; the first line of its docstring describes it.
        columns: per column the number of bars before its first value, a number or a function of the
            parameters.
        parameters: numbers of bars or deviations with `ta`'s defaults, in the order used in names.
    """

    make: Callable[..., Any]
    columns: Mapping[str, WarmUp]
    parameters: Mapping[str, int] = field(default_factory=dict)

    @property
    def family(self) -> str:
        return next(iter(self.columns)).split("_", 1)[0]

    @property
    def description(self) -> str:
        return str(self.make.__doc__).split("\n", 1)[0]

    def warm_up(self, column: str, parameters: Mapping[str, int]) -> int:
        length = self.columns[column]
        return length if isinstance(length, int) else length(**parameters)


def _full(window: int, **_: int) -> int:
    return window - 1


def _after_first(window: int, **_: int) -> int:
    """The first bar has no predecessor."""
    return window


def _slower(slow: int, fast: int, **_: int) -> int:
    return max(slow, fast) - 1


def _signal(slow: int, fast: int, signal: int) -> int:
    return max(slow, fast) + signal - 2


_MACD: Final = {"slow": 26, "fast": 12, "signal": 9}

# In the order of `ta.add_all_ta_features`; trend_wma, which it lacks, is with the other averages.
INDICATORS: Final = (
    Declaration(volume.adi, {"volume_adi": 0}),
    Declaration(volume.obv, {"volume_obv": 0}),
    Declaration(volume.cmf, {"volume_cmf": _full}, {"window": 20}),
    Declaration(volume.force_index, {"volume_fi": _after_first}, {"window": 13}),
    Declaration(volume.ease_of_movement, {"volume_em": 1, "volume_sma_em": _after_first}, {"window": 14}),
    Declaration(volume.vpt, {"volume_vpt": 1}),
    Declaration(volume.vwap, {"volume_vwap": _full}, {"window": 14}),
    Declaration(volume.mfi, {"volume_mfi": _full}, {"window": 14}),
    Declaration(volume.nvi, {"volume_nvi": 0}),
    Declaration(
        volatility.bollinger,
        {
            "volatility_bbm": _full,
            "volatility_bbh": _full,
            "volatility_bbl": _full,
            "volatility_bbw": _full,
            "volatility_bbp": _full,
            "volatility_bbhi": 0,
            "volatility_bbli": 0,
        },
        {"window": 20, "deviations": 2},
    ),
    Declaration(
        volatility.keltner,
        {
            "volatility_kcc": _full,
            "volatility_kch": 0,
            "volatility_kcl": 0,
            "volatility_kcw": _full,
            "volatility_kcp": 0,
            "volatility_kchi": 0,
            "volatility_kcli": 0,
        },
        {"window": 10},
    ),
    Declaration(
        volatility.donchian,
        dict.fromkeys(
            ("volatility_dcl", "volatility_dch", "volatility_dcm", "volatility_dcw", "volatility_dcp"), _full
        ),
        {"window": 20},
    ),
    Declaration(volatility.atr, {"volatility_atr": 0}, {"window": 10}),
    Declaration(volatility.ulcer_index, {"volatility_ui": _full}, {"window": 14}),
    Declaration(
        trend.macd, {"trend_macd": _slower, "trend_macd_signal": _signal, "trend_macd_diff": _signal}, _MACD
    ),
    Declaration(trend.sma, {"trend_sma_fast": _full}, {"window": 12}),
    Declaration(trend.sma, {"trend_sma_slow": _full}, {"window": 26}),
    Declaration(trend.ema, {"trend_ema_fast": _full}, {"window": 12}),
    Declaration(trend.ema, {"trend_ema_slow": _full}, {"window": 26}),
    Declaration(trend.wma, {"trend_wma": _full}, {"window": 9}),
    Declaration(
        high_low.vortex,
        dict.fromkeys(
            ("trend_vortex_ind_pos", "trend_vortex_ind_neg", "trend_vortex_ind_diff"), _after_first
        ),
        {"window": 14},
    ),
    Declaration(trend.trix, {"trend_trix": lambda window: 3 * window - 2}, {"window": 15}),
    Declaration(
        trend.mass_index,
        {"trend_mass_index": lambda fast, slow: 2 * fast + slow - 3},
        {"fast": 9, "slow": 25},
    ),
    Declaration(trend.dpo, {"trend_dpo": lambda window: max(window - 1, window // 2 + 1)}, {"window": 20}),
    Declaration(
        trend.kst,
        {
            "trend_kst": 44,
            "trend_kst_sig": lambda signal: 43 + signal,
            "trend_kst_diff": lambda signal: 43 + signal,
        },
        {"signal": 9},
    ),
    Declaration(
        high_low.ichimoku,
        {
            "trend_ichimoku_conv": lambda conversion, **_: conversion - 1,
            "trend_ichimoku_base": lambda base, **_: base - 1,
            "trend_ichimoku_a": lambda conversion, base, **_: max(conversion, base) - 1,
            "trend_ichimoku_b": 0,
            "trend_visual_ichimoku_a": lambda conversion, base, **_: base + max(conversion, base) - 1,
            "trend_visual_ichimoku_b": lambda base, **_: base,
        },
        {"conversion": 9, "base": 26, "span": 52},
    ),
    Declaration(
        trend.stc,
        {
            "trend_stc": lambda slow, fast, cycle, smooth1, smooth2: (
                max(slow, fast) + 2 * cycle + smooth1 + smooth2 - 5
            )
        },
        {"slow": 50, "fast": 23, "cycle": 10, "smooth1": 3, "smooth2": 3},
    ),
    Declaration(adx_psar.adx, {"trend_adx": 0, "trend_adx_pos": 0, "trend_adx_neg": 0}, {"window": 14}),
    Declaration(high_low.cci, {"trend_cci": _full}, {"window": 20}),
    Declaration(
        high_low.aroon,
        dict.fromkeys(("trend_aroon_up", "trend_aroon_down", "trend_aroon_ind"), _after_first),
        {"window": 25},
    ),
    Declaration(
        adx_psar.psar,
        {
            "trend_psar_up": 2,
            "trend_psar_down": 2,
            "trend_psar_up_indicator": 0,
            "trend_psar_down_indicator": 0,
        },
    ),
    Declaration(momentum.rsi, {"momentum_rsi": _full}, {"window": 14}),
    Declaration(
        momentum.stoch_rsi,
        {
            "momentum_stoch_rsi": lambda window, **_: 2 * window - 2,
            "momentum_stoch_rsi_k": lambda window, smooth1, **_: 2 * window + smooth1 - 3,
            "momentum_stoch_rsi_d": lambda window, smooth1, smooth2: 2 * window + smooth1 + smooth2 - 4,
        },
        {"window": 14, "smooth1": 3, "smooth2": 3},
    ),
    Declaration(momentum.tsi, {"momentum_tsi": lambda slow, fast: slow + fast - 1}, {"slow": 25, "fast": 13}),
    Declaration(
        momentum.uo,
        {"momentum_uo": lambda **windows: max(windows.values())},
        {"window1": 7, "window2": 14, "window3": 28},
    ),
    Declaration(
        momentum.stochastic,
        {"momentum_stoch": _full, "momentum_stoch_signal": lambda window, smooth: window + smooth - 2},
        {"window": 14, "smooth": 3},
    ),
    Declaration(momentum.williams_r, {"momentum_wr": _full}, {"window": 14}),
    Declaration(
        momentum.ao,
        {"momentum_ao": lambda window1, window2: max(window1, window2) - 1},
        {"window1": 5, "window2": 34},
    ),
    Declaration(momentum.roc, {"momentum_roc": _after_first}, {"window": 12}),
    Declaration(
        momentum.ppo,
        {"momentum_ppo": _slower, "momentum_ppo_signal": _signal, "momentum_ppo_hist": _signal},
        _MACD,
    ),
    Declaration(
        momentum.pvo,
        {"momentum_pvo": _slower, "momentum_pvo_signal": _signal, "momentum_pvo_hist": _signal},
        _MACD,
    ),
    Declaration(momentum.kama, {"momentum_kama": _full}, {"window": 10}),
    Declaration(others.daily_return, {"others_dr": 1}),
    Declaration(others.daily_log_return, {"others_dlr": 1}),
    Declaration(others.cumulative_return, {"others_cr": 0}),
)

BY_COLUMN: Final = {column: declared for declared in INDICATORS for column in declared.columns}
ALL_COLUMNS: Final[tuple[str, ...]] = tuple(BY_COLUMN)


class Description(NamedTuple):
    """A row of the documentation."""

    column: str
    family: str
    parameters: str
    warm_up: int
    text: str


def descriptions() -> list[Description]:
    """Every column, for the documentation: parameters with defaults, warm-up in bars, description."""
    return [
        Description(
            column,
            declared.family,
            " ".join(f"{name}={default}" for name, default in declared.parameters.items()),
            declared.warm_up(column, declared.parameters),
            declared.description,
        )
        for column, declared in BY_COLUMN.items()
    ]
