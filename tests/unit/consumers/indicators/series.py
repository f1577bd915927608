"""Series of bars for tests: recorded, made up, and drawn by hypothesis."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from consumers.indicators.bars import Bar

MINUTE_MS = 60_000

SPOT_HOURS = "binance_spot_archive/BTCUSDT-1h-*.csv.gz"
SPOT_MINUTES = "binance_spot_archive/BTCUSDT-1m-2025-07-13.csv.gz"
USDM_LTC_MINUTES = "binance_usdm_archive/LTCUSDT-1m-2026-02.csv.gz"
USDM_AVAX_MINUTES = "binance_usdm_archive/AVAXUSDT-1m-2026-02.csv.gz"


def recorded(recordings: Path, pattern: str) -> list[Bar]:
    """The bars of an archive, of several files one series; µs and ms alike (data README §2.5, §3.5)."""
    return [bar for path in sorted(recordings.glob(pattern)) for bar in _read(path)]


def _read(path: Path) -> Iterator[Bar]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in csv.reader(lines):
            if row and row[0].isdigit():
                time_ms = int(row[0]) // 1000 if len(row[0]) == 16 else int(row[0])
                yield Bar(time_ms, *(float(text) for text in row[1:6]))


def made_up(count: int, *, seed: int = 1, tick: float = 0.01, volume: float = 10.0) -> list[Bar]:
    """A random walk on a grid of prices, with flat bars and bars without volume among others."""
    draw = random.Random(seed)
    bars, price = [], 10_000
    for index in range(count):
        kind = draw.random()
        step = 0 if kind < 0.1 else 20
        opening = price
        price = max(100, price + draw.randint(-step, step))
        high, low = max(opening, price) + draw.randint(0, step), min(opening, price) - draw.randint(0, step)
        quantity = 0.0 if kind < 0.05 else draw.random() * volume
        prices = (float(ticks * tick) for ticks in (opening, high, low, price))
        bars.append(Bar(index * MINUTE_MS, *(*prices, quantity)))
    return bars


@st.composite
def awkward(draw: st.DrawFn) -> list[Bar]:
    """Walks, standstill, no volume and jumps, at prices from 1e-8 to 1e12, on a coarse grid (ties)."""
    tick = draw(st.sampled_from((1e-8, 0.01, 1.0, 1e8)))
    bars: list[Bar] = []
    ticks = draw(st.integers(50, 10_000))
    kinds = st.sampled_from(("walk", "walk", "flat", "flat", "silent", "jump"))
    while len(bars) < 80:
        kind = draw(kinds)
        step = 0 if kind == "flat" else draw(st.integers(1, 40))
        if kind == "jump":
            ticks = draw(st.integers(1, 10_000))
        chance = draw(st.randoms(use_true_random=False))
        for _ in range(draw(st.integers(8, 45))):
            opening = ticks
            ticks = max(1, ticks + chance.randint(-step, step))
            high = max(opening, ticks) + chance.randint(0, step)
            low = max(1, min(opening, ticks) - chance.randint(0, step))
            lots = 0 if kind == "silent" else chance.randint(0, chance.choice((10, 1_000, 10**9, 10**14)))
            prices = (value * tick for value in (opening, high, low, ticks))
            # Quantities come in steps of 1e-8 at the finest.
            bars.append(Bar(len(bars) * MINUTE_MS, *(*prices, lots / 1e8)))
    return bars
