from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.latency import Latency

KEY = ("binance", "trade", "pushed")
NOW_MS = 1_700_000_000_000.0


def test_quantiles_are_of_the_last_minute() -> None:
    latency = Latency()
    latency.add(*KEY, 5_000.0, NOW_MS - 70_000)
    for value in range(1, 101):
        latency.add(*KEY, float(value), NOW_MS)
    found = latency.quantiles(NOW_MS)[KEY]
    assert found == pytest.approx((50, 95, 99), rel=0.03)
    assert latency.quantiles(NOW_MS + 61_000) == {}


def test_negative_latencies_are_kept() -> None:
    latency = Latency()
    latency.add(*KEY, -40.0, NOW_MS)
    assert latency.quantiles(NOW_MS)[KEY].p50 == pytest.approx(-40, rel=0.03)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50))
def test_any_value_is_counted_and_quantiles_rise(values: list[float]) -> None:
    latency = Latency()
    for value in values:
        latency.add(*KEY, value, NOW_MS)
    found = latency.quantiles(NOW_MS)[KEY]
    assert found.p50 <= found.p95 <= found.p99


def test_memory_is_bounded() -> None:
    latency = Latency()
    for number in range(2_000):
        latency.add("binance", f"series{number}", "pushed", 1.0, NOW_MS)
    assert len(latency.quantiles(NOW_MS)) == 1_000
