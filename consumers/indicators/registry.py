"""All indicators, declared once: columns, warm-up, parameters with `ta`'s defaults (DESIGN §4.3, STYLE §5).

Adding one is a function in its family's module and an entry in `INDICATORS`; its names in settings, its row
in the documentation and its parity, fork, restart and bounds tests come from here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from consumers.indicators import momentum, others, trend, turning, volatility, volume
from consumers.indicators.indicator_set import Column, IndicatorSet
from consumers.indicators.windows import LONGEST_WINDOW
from shared.errors import SettingsError

FAMILIES: Final = ("volume", "volatility", "trend", "momentum", "others")

WarmUp = Callable[..., int] | int


@dataclass(frozen=True)
class Declaration:
    """One indicator.

    Attributes:
        make: the indicator's function; its docstring's first line describes it.
        columns: per column the number of bars before its first value, a number or a function of the
            parameters.
        parameters: whole numbers of bars or deviations, in the order in which names give them, with `ta`'s
            defaults.
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
    """The first bar has nothing to be compared with."""
    return window


def _slower(slow: int, fast: int, **_: int) -> int:
    return max(slow, fast) - 1


def _signal(slow: int, fast: int, signal: int) -> int:
    return max(slow, fast) + signal - 2


_MACD: Final = {"slow": 26, "fast": 12, "signal": 9}

# In the order of `ta.add_all_ta_features`; trend_wma, which it lacks, stands with the other averages.
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
        trend.vortex,
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
        trend.ichimoku,
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
    Declaration(turning.adx, {"trend_adx": 0, "trend_adx_pos": 0, "trend_adx_neg": 0}, {"window": 14}),
    Declaration(trend.cci, {"trend_cci": _full}, {"window": 20}),
    Declaration(
        trend.aroon,
        dict.fromkeys(("trend_aroon_up", "trend_aroon_down", "trend_aroon_ind"), _after_first),
        {"window": 25},
    ),
    Declaration(
        turning.psar,
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
        {"momentum_uo": lambda window1, window2, window3: max(window1, window2, window3)},
        {"window1": 7, "window2": 14, "window3": 28},
    ),
    Declaration(
        momentum.stochastic,
        {
            "momentum_stoch": _full,
            "momentum_stoch_signal": lambda window, smooth: window + smooth - 2,
        },
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

_NAME: Final = re.compile(r"(\w+)(?:\(([^()]*)\))?", re.ASCII)


def indicator_set(names: Sequence[str] = ("all",)) -> IndicatorSet:
    """The indicators of these names, each column once, in the order named.

    Args:
        names: "all", families ("trend", …), columns ("momentum_rsi"), or columns with other parameters, in
            the order of the registry: "momentum_rsi(21)", stored as momentum_rsi_21; several are parted by
            spaces, since settings are lists parted by commas: "trend_macd(35 5 5)". Parameters left out keep
            their defaults.

    Raises:
        SettingsError: a name or parameter is wrong; the message says what was meant, or is allowed.
    """
    columns: dict[str, Column] = {}
    for name in names:
        for column in _columns(name.strip()):
            columns.setdefault(column.name, column)
    if not columns:
        raise SettingsError(
            'INDICATORS: "" names no indicator; write all, a family or columns like momentum_rsi'
        )
    return IndicatorSet(tuple(columns.values()))


def _columns(name: str) -> list[Column]:
    match = _NAME.fullmatch(name)
    if not match:
        raise _unknown(name)
    base, given = match.groups()
    if given is None and base == "all":
        return [_column(column, ()) for column in ALL_COLUMNS]
    if given is None and base in FAMILIES:
        return [_column(column, ()) for column, declared in BY_COLUMN.items() if declared.family == base]
    if base not in BY_COLUMN:
        raise _unknown(name)
    return [_column(base, tuple(re.split(r"[\s,]+", given.strip())) if given is not None else ())]


def _column(base: str, given: Sequence[str]) -> Column:
    declared = BY_COLUMN[base]
    names = tuple(declared.parameters)
    if len(given) > len(names):
        allowed = " ".join(names) or "none"
        raise SettingsError(
            f'INDICATORS: "{base}({" ".join(given)})" has too many parameters; {base} takes: {allowed}'
        )
    parameters = dict(declared.parameters)
    for parameter, text in zip(names, given, strict=False):
        parameters[parameter] = _whole_number(base, parameter, text)
    stored = base
    if parameters != declared.parameters:
        stored = "_".join((base, *(str(parameters[parameter]) for parameter in names[: len(given)])))
    return Column(
        stored,
        declared.make,
        tuple(parameters.items()),
        tuple(declared.columns).index(base),
        declared.warm_up(base, parameters),
    )


def _whole_number(base: str, parameter: str, text: str) -> int:
    # A window of one bar is the bar itself, and has no past to keep.
    least = 1 if parameter == "deviations" else 2
    if text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= LONGEST_WINDOW:
        return int(text)
    raise SettingsError(
        f'INDICATORS: "{text}" is not a {parameter} of {base}; write a whole number from {least} to {LONGEST_WINDOW}'
    )


def _unknown(name: str) -> SettingsError:
    base = name.split("(", 1)[0]
    near = difflib.get_close_matches(base, ("all", *FAMILIES, *ALL_COLUMNS), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "write columns like momentum_rsi, or one of"
    return SettingsError(
        f'INDICATORS: "{name[:80]}" is not an indicator; {hint} (all, {", ".join(FAMILIES)}, or any column)'
    )
