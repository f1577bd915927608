"""Computes rows of indicator values from bars: by the streaming indicators, or by the reference library."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from consumers.indicators.bars import Bar
from consumers.indicators.indicator_set import IndicatorSet
from consumers.indicators.registry import ALL_COLUMNS
from shared.errors import CryptoStreamError, UsageError

Values = tuple[float, ...]
Row = tuple[Bar, Values]

_LEAST_BARS: Final = 28  # with fewer, one of ta's loops runs past the end of the series


def rows_of_stream(indicators: IndicatorSet, bars: Iterable[Bar]) -> Iterator[Row]:
    """Bar by bar, as the consumers do; memory holds the state only."""
    state = indicators.initial()
    for bar in bars:
        state, values = indicators.step(state, bar)
        yield bar, values


def rows_of_ta(columns: Sequence[str], bars: Iterable[Bar]) -> Iterator[Row]:
    """By `ta` on the whole series at once, with its parameters and its use of later bars.

    Raises:
        UsageError: `ta` is not installed, or has no such column.
        CryptoStreamError: fewer bars than `ta` needs.
    """
    unknown = [column for column in columns if column not in ALL_COLUMNS]
    if unknown:
        raise UsageError(f"--engine ta: has no {unknown[0]}, only default parameters; leave one of them out")
    try:
        # Optional: some 100 MB of libraries.
        import pandas as pd  # noqa: PLC0415
        import ta  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--engine ta: the package {error.name} is not installed; run: make setup (or leave it out)"
        ) from None
    series = list(bars)
    if len(series) < _LEAST_BARS:
        raise CryptoStreamError(
            f"--engine ta: fails on fewer than {_LEAST_BARS} bars, and there are {len(series)};"
            " --engine stream gives a row from the first bar"
        )
    frame = pd.DataFrame(series, columns=list(Bar._fields))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it divides by zero regularly
        frame = ta.add_all_ta_features(frame, "open", "high", "low", "close", "volume")
        frame["trend_wma"] = ta.trend.WMAIndicator(frame["close"], 9).wma()
    return zip(series, frame[list(columns)].itertuples(index=False, name=None), strict=True)
