from __future__ import annotations

from shared.metrics import ServiceMetrics


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    metrics = ServiceMetrics("producer", "0")
    metrics.message(0)
    for second in range(1, 31):
        metrics.count(100 if second <= 15 else 50)
        message = metrics.message(second * 1000)
    assert message["messages"] == 15 * 150
    assert 49 <= message["messages_per_s"] <= 55


def test_quantiles_keep_negative_latencies_and_forget_old_ones() -> None:
    metrics = ServiceMetrics("producer", "0")
    metrics.latency("binance", "trades", "socket", 0, 9_999.0)
    for number in range(101):
        metrics.latency("binance", "trades", "socket", 20_000, float(number - 10))
    (freshness,) = metrics.message(20_000)["freshness"]
    assert (freshness["p50"], freshness["p95"], freshness["p99"]) == (40.0, 85.0, 89.0)
    assert (freshness["stream"], freshness["hop"]) == ("trades", "socket")


def test_known_gauges_are_fields_and_all_are_listed() -> None:
    metrics = ServiceMetrics("producer", "0")
    metrics.gauge("lag_messages", 7)
    metrics.gauge("pending_fills", 2)
    message = metrics.message(0)
    assert message["lag_messages"] == 7
    assert message["gauges"] == {"lag_messages": 7, "pending_fills": 2}


def test_a_host_clock_that_is_set_back_ends_the_window_and_not_the_rate() -> None:
    metrics = ServiceMetrics("producer", "0")
    for second in range(20):
        metrics.count(100)
        metrics.latency("binance", "trades", "socket", 10**10 + second * 1_000, 7_000.0)
        metrics.message(10**10 + second * 1_000)
    set_back_ms = 10**10 - 3_600_000
    for second in range(1, 12):
        metrics.count(100)
        metrics.latency("binance", "trades", "socket", set_back_ms + second * 1_000, 5.0)
        message = metrics.message(set_back_ms + second * 1_000)
        assert message["messages_per_s"] >= 0.0
    assert 95 <= message["messages_per_s"] <= 105
    assert message["freshness"][0]["p99"] == 5.0
