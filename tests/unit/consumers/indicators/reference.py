"""`ta` 0.11 as the reference, and what "equal" to it means (TA.md "What equal means").

|ours - ta's| ≤ 1e-9·|ta's| + noise + 1e-13·(size of the terms); NaN meets NaN, ±inf the same inf.

noise is `ta`'s own rounding at that row: how far its values move when prices and volumes are multiplied by
constants that must cancel, and where running variances and sums drift (Bollinger; volumes of very different
sizes), how far they are from the same formula on each window afresh. Columns that hang on ties (MFI, ADX,
PSAR) have none: there, rescaling changes which side of a tie a bar falls on, so they are held to the plain
tolerance.

Not compared, but counted: rows in which `ta` looks ahead; rows whose exact value is 0/0, where `ta` has noise
over noise; flags on rows in which the close equals the band to within rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import ta

from consumers.indicators.bars import Bar
from consumers.indicators.registry import ALL_COLUMNS, indicator_set

Array = Any

LOOK_AHEAD = {
    "trend_kst": slice(14, 44),
    "trend_kst_sig": slice(14, 52),
    "trend_kst_diff": slice(14, 52),
    "trend_visual_ichimoku_a": slice(0, 26),
    "trend_visual_ichimoku_b": slice(0, 26),
}
HANGS_ON_TIES = ("volume_mfi", "trend_adx", "trend_psar")
FLAGS = {
    "volatility_bbhi": "volatility_bbh",
    "volatility_bbli": "volatility_bbl",
    "volatility_kchi": "volatility_kch",
    "volatility_kcli": "volatility_kcl",
}
# Powers of (price, volume) that a column grows with; (0, 0) for all others.
_PRICES = [
    "volatility_bbm",
    "volatility_bbh",
    "volatility_bbl",
    "volatility_kcc",
    "volatility_kch",
    "volatility_kcl",
    "volatility_dcl",
    "volatility_dch",
    "volatility_dcm",
    "volatility_atr",
    "trend_macd",
    "trend_macd_signal",
    "trend_macd_diff",
    "trend_sma_fast",
    "trend_sma_slow",
    "trend_ema_fast",
    "trend_ema_slow",
    "trend_wma",
    "trend_dpo",
    "trend_ichimoku_conv",
    "trend_ichimoku_base",
    "trend_ichimoku_a",
    "trend_ichimoku_b",
    "trend_visual_ichimoku_a",
    "trend_visual_ichimoku_b",
    "trend_psar_up",
    "trend_psar_down",
    "momentum_ao",
    "momentum_kama",
    "volume_vwap",
]
POWERS = {
    **dict.fromkeys(_PRICES, (1, 0)),
    **dict.fromkeys(("volume_adi", "volume_obv", "volume_vpt"), (0, 1)),
    **dict.fromkeys(("volume_em", "volume_sma_em"), (2, -1)),
    "volume_fi": (1, 1),
}
# Columns whose values are a share (0–1), not a percentage.
_SHARES = [
    "volume_cmf",
    "volatility_bbp",
    "volatility_kcp",
    "volatility_dcp",
    "momentum_stoch_rsi",
    "momentum_stoch_rsi_k",
    "momentum_stoch_rsi_d",
    "trend_vortex_ind_pos",
    "trend_vortex_ind_neg",
    "trend_vortex_ind_diff",
]


@dataclass
class Comparison:
    """What came out for one column.

    Attributes:
        compared: rows held against the reference.
        look_ahead, undefined: rows left out, see the module.
        wrong: rows that differ: (row, ours, `ta`'s, tolerance).
        largest: largest difference of the rows compared, relative to `ta`'s value or to the size of the
            terms, whichever is larger.
        noisy: rows compared that differ by more than 1e-9·|ta's|, so that they are equal to within noise.
    """

    compared: int
    look_ahead: int
    undefined: int
    wrong: list[tuple[int, float, float, float]]
    largest: float
    noisy: int


def values_of_ta(bars: Sequence[Bar], price: float = 1.0, volume: float = 1.0) -> pd.DataFrame:
    """All columns by `ta`, of the series with its prices and volumes multiplied, scaled back."""
    frame = pd.DataFrame(bars, columns=list(Bar._fields))
    frame[["open", "high", "low", "close"]] *= price
    frame["volume"] *= volume
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = ta.add_all_ta_features(frame, "open", "high", "low", "close", "volume")
        result["trend_wma"] = ta.trend.WMAIndicator(frame["close"], 9).wma()
    scaled = {}
    for column in ALL_COLUMNS:
        of_price, of_volume = POWERS.get(column, (0, 0))
        scaled[column] = result[column].to_numpy(dtype=float) / (price**of_price * volume**of_volume)
    return pd.DataFrame(scaled)


def values_of_ours(bars: Sequence[Bar]) -> pd.DataFrame:
    """All columns by the streaming indicators, bar by bar."""
    indicators = indicator_set()
    state = indicators.initial()
    rows = []
    for bar in bars:
        state, row = indicators.step(state, bar)
        rows.append(row)
    return pd.DataFrame(rows, columns=list(indicators.columns))


def compare(bars: Sequence[Bar]) -> dict[str, Comparison]:
    """Every column of `bars`, row by row from the first bar on."""
    ours, theirs = values_of_ours(bars), values_of_ta(bars)
    rescaled = [values_of_ta(bars, 1.1, 0.7), values_of_ta(bars, 0.3, 1.9)]
    exact = {**_bollinger_afresh(bars), **_volume_sums_afresh(bars, theirs)}
    sizes, undefined = _sizes_of_terms(bars, theirs), _undefined(bars, theirs)
    results = {}
    for column in ALL_COLUMNS:
        a, b = ours[column].to_numpy(), theirs[column].to_numpy()
        noise = np.zeros(len(bars))
        if not column.startswith(HANGS_ON_TIES):
            others = [frame[column].to_numpy() for frame in rescaled] + [
                exact[c] for c in (column,) if c in exact
            ]
            with np.errstate(invalid="ignore"):
                noise = np.nanmax(
                    [np.nan_to_num(np.abs(other - b), nan=0.0, posinf=0.0) for other in others], axis=0
                )
        tolerance = 1e-9 * np.abs(b) + 4.0 * noise + 1e-13 * sizes[column]
        with np.errstate(invalid="ignore"):
            same = (np.isnan(a) & np.isnan(b)) | (a == b) | (np.abs(a - b) <= tolerance)
        ahead = np.zeros(len(bars), dtype=bool)
        ahead[LOOK_AHEAD.get(column, slice(0, 0))] = True
        left_out = undefined.get(column, np.zeros(len(bars), dtype=bool)) & ~ahead
        if column in exact:  # rounding has made a 0/0 of a value, or a value of a 0/0
            left_out |= np.isfinite(exact[column]) != np.isfinite(b)
        wrong = np.flatnonzero(~same & ~ahead & ~left_out)
        held = ~ahead & ~left_out & np.isfinite(a) & np.isfinite(b)
        off, by = np.abs(a - b)[held], np.abs(b)[held]
        size = np.maximum(by, sizes[column][held])
        results[column] = Comparison(
            int((~ahead & ~left_out).sum()),
            int(ahead.sum()),
            int(left_out.sum()),
            [(int(row), float(a[row]), float(b[row]), float(tolerance[row])) for row in wrong],
            float(np.max(np.divide(off, size, out=np.zeros_like(off), where=size > 0.0), initial=0.0)),
            int((off > 1e-9 * by).sum()),
        )
    return results


def _bollinger_afresh(bars: Sequence[Bar]) -> dict[str, Array]:
    close = np.array([bar.close for bar in bars])
    windows = np.lib.stride_tricks.sliding_window_view(close, 20)
    mean, deviation = windows.mean(axis=1), windows.std(axis=1)
    start = np.full(19, np.nan)
    with np.errstate(all="ignore"):
        columns = {
            "volatility_bbm": mean,
            "volatility_bbh": mean + 2 * deviation,
            "volatility_bbl": mean - 2 * deviation,
            "volatility_bbw": 4 * deviation / mean * 100,
            "volatility_bbp": (close[19:] - (mean - 2 * deviation)) / (4 * deviation),
        }
    return {column: np.concatenate((start, values)) for column, values in columns.items()}


def _volume_sums_afresh(bars: Sequence[Bar], theirs: pd.DataFrame) -> dict[str, Array]:
    frame = pd.DataFrame(bars, columns=list(Bar._fields))
    high, low, close, volume = frame["high"], frame["low"], frame["close"], frame["volume"]
    flow = (((close - low) - (high - close)) / (high - low)).fillna(0.0) * volume
    paid = (high + low + close) / 3.0 * volume
    ease = theirs["volume_em"].where(np.isfinite(theirs["volume_em"]))
    with np.errstate(all="ignore"):
        return {
            "volume_vwap": _sums(paid, 14) / _sums(volume, 14),
            "volume_cmf": _sums(flow, 20) / _sums(volume, 20),
            "volume_sma_em": _sums(ease, 14) / 14,
        }


def _sums(values: pd.Series, window: int) -> Array:
    sums = np.lib.stride_tricks.sliding_window_view(values.to_numpy(), window).sum(axis=1)
    return np.concatenate((np.full(window - 1, np.nan), sums))


def _sizes_of_terms(bars: Sequence[Bar], theirs: pd.DataFrame) -> dict[str, Array]:
    """How large the numbers are that are added up in a column, so far."""
    frame = pd.DataFrame(bars, columns=list(Bar._fields))
    price = frame["high"].cummax().to_numpy()
    volume = frame["volume"].cumsum().to_numpy()
    force = (frame["close"].diff().abs() * frame["volume"]).fillna(0.0).cummax().to_numpy()
    by_powers = {(1, 0): price, (0, 1): volume, (1, 1): force, (2, -1): np.zeros(len(bars))}
    percent, one = np.full(len(bars), 100.0), np.ones(len(bars))
    sizes = {
        column: by_powers[POWERS[column]] if column in POWERS else one if column in _SHARES else percent
        for column in ALL_COLUMNS
    }
    # What is added up here are prices in units of the width of the band.
    for name, high, low in (("volatility_bbp", "bbh", "bbl"), ("volatility_kcp", "kch", "kcl")):
        width = (theirs[f"volatility_{high}"] - theirs[f"volatility_{low}"]).to_numpy()
        sizes[name] = np.divide(price, width, out=np.ones(len(bars)), where=width > 0.0)
    return sizes


def _undefined(bars: Sequence[Bar], theirs: pd.DataFrame) -> dict[str, Array]:
    """Rows whose exact value is 0/0, or so near that only rounding is left; flags on the band."""
    frame = pd.DataFrame(bars, columns=list(Bar._fields))
    close, price = frame["close"], frame["high"].cummax()
    typical = (frame["high"] + frame["low"] + close) / 3.0
    index_spread = _spread(theirs["momentum_rsi"], 14)
    no_index = index_spread <= 1e-9
    line = close.ewm(span=23, adjust=False).mean() - close.ewm(span=50, adjust=False).mean()
    # The average over three bars remembers a 0/0 for some forty bars, until it has faded below 1e-12.
    no_cycle = (_spread(line, 10) <= 1e-9 * price).rolling(80, min_periods=1).max() > 0
    result = {
        "volatility_bbp": _spread(close, 20) == 0.0,
        "trend_cci": _spread(typical, 20) <= 1e-12 * typical,
        "volatility_kcp": (frame["high"] - frame["low"]).rolling(10, min_periods=1).max() == 0.0,
        "momentum_stoch_rsi": no_index,
        "momentum_stoch_rsi_k": no_index.rolling(3, min_periods=1).max() > 0,
        "momentum_stoch_rsi_d": no_index.rolling(5, min_periods=1).max() > 0,
        "trend_stc": no_cycle,
    }
    for flag, band in FLAGS.items():
        result[flag] = (close - theirs[band]).abs() <= 1e-9 * price
    return {column: rows.to_numpy(dtype=bool) for column, rows in result.items()}


def _spread(values: pd.Series, window: int) -> pd.Series:
    rolling = values.rolling(window)
    return rolling.max() - rolling.min()
