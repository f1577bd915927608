"""Indicators: cost of a bar, beside the libraries that a user would pick instead.

`make bench ARGS=indicators` needs neither Kafka nor InfluxDB. All sides run in turn in one process; times are
CPU times, median and range of the rounds are shown. `--long` adds memory over a million bars.
"""

from __future__ import annotations

import importlib.util
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

import psutil

from bench import report
from bench.bars import walk
from consumers.indicators.bars import Bar
from consumers.indicators.indicator_set import IndicatorSet
from consumers.indicators.registry import indicator_set
from consumers.measurements import INDICATOR, Point, Series
from consumers.stores.line_protocol import LineEncoder
from shared.arguments import Parser, whole

SIX: Final = (
    "momentum_rsi",
    "trend_ema_fast",
    "trend_sma_fast",
    "trend_macd",
    "trend_macd_signal",
    "trend_macd_diff",
    "volatility_bbm",
    "volatility_bbh",
    "volatility_bbl",
    "volatility_atr",
)
SERIES: Final = 300
_WARM: Final = 100  # bars before the measurement: every indicator has warmed up
_WINDOW: Final = 500  # bars that `ta` and pandas recompute for each bar
_LONG: Final = 1_000_000
_TRACED: Final = 20

Work = Callable[[], float]
"""One round: microseconds per bar (or line, or state)."""


def main(arguments: list[str]) -> int:
    """Run it, print the tables, write the JSON."""
    parser = Parser(prog="bench indicators")
    parser.add_argument("--rounds", type=whole, default=15, help="rounds of each side, in turn (default 15)")
    parser.add_argument(
        "--long", action="store_true", help="memory over 1,000,000 bars too (a minute or two)"
    )
    asked = parser.parse_args(arguments)
    bars = walk(_WINDOW + 1_000)
    works = {**_ours(bars), **_others(bars)}
    rounds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(asked.rounds + 1):
        for name, work in works.items():
            took = work()
            if number:  # the first round warms up
                rounds[name].append(took)
    report.show(
        f"Indicators, µs ({asked.rounds} rounds in turn, median and range)",
        ["", "µs"],
        [[name, report.spread(values, 1)] for name, values in rounds.items()],
    )
    memory = _memory(bars, asked.long)
    report.show(
        "Memory of a series, all indicators", ["", "kB"], [[k, f"{v:,.1f}"] for k, v in memory.items()]
    )
    print(f"written: {report.write('indicators', {'us': rounds, 'memory_kb': memory})}")
    return 0


def _ours(bars: list[Bar]) -> dict[str, Work]:
    works: dict[str, Work] = {}
    for title, names in (("all", ("all",)), ("the usual six", SIX)):
        indicators = indicator_set(names)
        for count in (1, SERIES):
            states = list(_warm(indicators, bars, count))
            works[f"{title}, closed bar, {count} series"] = _closed(indicators, states, bars)
            works[f"{title}, open bar, {count} series"] = _open(indicators, states, bars)
    indicators = indicator_set()
    (state,) = _warm(indicators, bars, 1)
    encoder = LineEncoder()
    series = Series(INDICATOR.with_columns(indicators.columns), ("binance", "BTCUSDC", "1m"))
    point = Point(series, 1_767_225_600_000_000_000, indicators.values(state, bars[_WARM]))
    data = indicators.dump(state)
    works["all, line protocol"] = _repeated(lambda: encoder.line(point))
    works[f"all, state to {len(data):,} bytes"] = _repeated(lambda: indicators.dump(state))
    works["all, state from bytes"] = _repeated(lambda: indicators.load(data))
    return works


def _warm(indicators: IndicatorSet, bars: list[Bar], count: int) -> Iterator[Any]:
    for number in range(count):
        state = indicators.initial()
        for bar in bars[number : number + _WARM]:
            state, _ = indicators.step(state, _own(bar))
        yield state


def _closed(indicators: IndicatorSet, states: list[Any], bars: list[Bar]) -> Work:
    def work() -> float:
        step, taken = indicators.step, _taken(states, bars)
        start = time.process_time_ns()
        for each in taken:
            for place, bar in enumerate(each):
                states[place], _ = step(states[place], bar)
        return (time.process_time_ns() - start) / 1e3 / len(taken) / len(states)

    return work


def _open(indicators: IndicatorSet, states: list[Any], bars: list[Bar]) -> Work:
    def work() -> float:
        values, taken = indicators.values, _taken(states, bars)
        start = time.process_time_ns()
        for each in taken:
            for state, bar in zip(states, each, strict=True):
                values(state, bar)
        return (time.process_time_ns() - start) / 1e3 / len(taken) / len(states)

    return work


def _taken(states: list[Any], bars: list[Bar]) -> list[list[Bar]]:
    """Bars of a round, separate objects for each series."""
    return [[_own(bar) for _ in states] for bar in bars[_WARM : _WARM + max(3, 600 // len(states))]]


def _repeated(action: Callable[[], object], times: int = 1_000) -> Work:
    def work() -> float:
        start = time.process_time_ns()
        for _ in range(times):
            action()
        return (time.process_time_ns() - start) / 1e3 / times

    return work


def _others(bars: list[Bar]) -> dict[str, Work]:
    """The alternatives; those not installed are named and left out."""
    makers = {"ta": _ta, "pandas": _pandas, "talipp": _talipp, "talib": _talib}
    missing = [module for module in makers if importlib.util.find_spec(module) is None]
    if missing:
        print(f"Not installed, left out: {', '.join(missing)} (pip install -e '.[bench]')")
    works: dict[str, Work] = {}
    for module, make in makers.items():
        if module not in missing:
            works.update(make(bars))
    return works


def _ta(bars: list[Bar]) -> dict[str, Work]:
    import pandas as pd
    import ta

    frame = pd.DataFrame(bars[:_WINDOW], columns=list(Bar._fields))

    def recompute() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ta.add_all_ta_features(frame.copy(), "open", "high", "low", "close", "volume")

    return {f"ta, all columns of {_WINDOW} bars again": _repeated(recompute, 1)}


def _pandas(bars: list[Bar]) -> dict[str, Work]:
    import pandas as pd

    frame = pd.DataFrame(bars[:_WINDOW], columns=list(Bar._fields))

    def recompute() -> object:
        close, high, low = frame["close"], frame["high"], frame["low"]
        change = close.diff()
        gain = change.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean().iloc[-1]
        loss = (-change).clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean().iloc[-1]
        rsi = 100 - 100 / (1 + gain / loss)
        ema = close.ewm(span=12, adjust=False).mean()
        macd = ema - close.ewm(span=26, adjust=False).mean()
        signal = macd.ewm(span=9, adjust=False).mean().iloc[-1]
        middle = close.rolling(20).mean().iloc[-1]
        width = 2 * close.rolling(20).std(ddof=0).iloc[-1]
        before = close.shift()
        true_range = pd.concat([high - low, (high - before).abs(), (low - before).abs()], axis=1).max(axis=1)
        atr = true_range.ewm(alpha=1 / 10, adjust=False).mean().iloc[-1]
        sma = close.rolling(12).mean().iloc[-1]
        return rsi, ema.iloc[-1], sma, macd.iloc[-1], signal, middle + width, middle - width, atr

    return {f"pandas, the usual six of {_WINDOW} bars again": _repeated(recompute, 5)}


def _talipp(bars: list[Bar]) -> dict[str, Work]:
    from talipp.indicators import ATR, BB, EMA, MACD, RSI, SMA
    from talipp.ohlcv import OHLCV

    def made() -> tuple[list[Any], Any]:
        return [RSI(14), EMA(12), SMA(12), MACD(12, 26, 9), BB(20, 2.0)], ATR(10)

    by_close, by_bar = made()

    def add(bar: Bar) -> None:
        for indicator in by_close:
            indicator.add(bar.close)
        by_bar.add(OHLCV(bar.open, bar.high, bar.low, bar.close, bar.volume))

    def update(bar: Bar) -> None:
        for indicator in by_close:
            indicator.update(bar.close)
        by_bar.update(OHLCV(bar.open, bar.high, bar.low, bar.close, bar.volume))

    for bar in bars[:_WARM]:
        add(bar)
    taken = bars[_WARM : _WARM + 300]

    def over(one: Callable[[Bar], None]) -> Work:
        def work() -> float:
            start = time.process_time_ns()
            for bar in taken:
                one(bar)
            took = (time.process_time_ns() - start) / 1e3 / len(taken)
            for indicator in (*by_close, by_bar):  # its lists grow without end
                indicator.purge_oldest(max(0, len(indicator) - _WARM))
            return took

        return work

    return {
        "talipp, the usual six, closed bar, 1 series": over(add),
        "talipp, the usual six, open bar, 1 series": over(update),
    }


def _talib(bars: list[Bar]) -> dict[str, Work]:
    import numpy as np
    from talib import stream

    high, low, close = (
        np.array([getattr(bar, name) for bar in bars[:_WINDOW]]) for name in ("high", "low", "close")
    )

    def recompute() -> object:
        return (
            stream.RSI(close, 14),
            stream.EMA(close, 12),
            stream.SMA(close, 12),
            stream.MACD(close, 12, 26, 9),
            stream.BBANDS(close, 20, 2.0, 2.0),
            stream.ATR(high, low, close, 10),
        )

    return {f"TA-Lib stream, the usual six, of {_WINDOW} bars": _repeated(recompute, 300)}


def _memory(bars: list[Bar], long: bool) -> dict[str, float]:
    """Kilobytes of a series; with `long` also the growth of a process over a million bars of one series."""
    indicators = indicator_set()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    states = list(_warm(indicators, bars, _TRACED))
    sizes = {"a series": (tracemalloc.get_traced_memory()[0] - before) / 1_000 / len(states)}
    tracemalloc.stop()
    if long:
        state, process = states[0], psutil.Process()
        for number in range(_LONG):
            state, _ = indicators.step(state, _own(bars[number % len(bars)]))
            if number == _LONG // 100:
                resident = process.memory_info().rss
        sizes[f"growth of the process over {_LONG:,} bars"] = (process.memory_info().rss - resident) / 1_000
    return sizes


def _own(bar: Bar) -> Bar:
    """The same bar with float objects of its own, as if decoded."""
    return Bar(bar.open_time_ms, *(number + 0.0 for number in bar[1:]))
