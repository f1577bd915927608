"""Streams as they are declared, and how many of their records are read at a time."""

from __future__ import annotations

import pytest

from consumers.indicators.registry import indicator_set
from consumers.streams import STREAMS, streams, with_batch_for

SIX = ("momentum_rsi", "trend_ema_fast", "trend_sma_fast", "trend_macd", "volatility_bbh", "volume_obv")


@pytest.mark.parametrize(("names", "batch"), [(SIX, 10_000), (("all",), 2_500), ((SIX[0],), 10_000)])
def test_batches_of_bars_are_large_where_bars_have_few_values(names: tuple[str, ...], batch: int) -> None:
    (bars,) = streams(("klines",), ("1m",), memory_broker=False)
    assert with_batch_for(bars, len(indicator_set(names).columns)).batch == batch


@pytest.mark.parametrize("columns", [0, 1, 20, 50, 87, 10_000])
def test_a_batch_of_bars_is_bounded_in_bars_and_in_values(columns: int) -> None:
    (bars,) = streams(("klines",), ("1m",), memory_broker=False)
    batch = with_batch_for(bars, columns).batch
    assert 2_500 <= batch <= 10_000
    assert batch == 2_500 or batch * (columns + 9) <= 240_000


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "klines"])
def test_other_streams_know_their_batch(name: str) -> None:
    (stream,) = streams((name,), (), memory_broker=False)
    assert with_batch_for(stream, 1) is stream
