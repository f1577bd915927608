"""What services say of themselves becomes points every ten seconds."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from consumers.enrich.service_points import ServicePoints, decode_metrics
from shared.errors import InvalidMessage
from shared.metrics import ServiceMetrics
from tests.builders import NOW_MS


def metrics(service: str = "consumer-trades", now_ms: int = NOW_MS + 1_234, **latencies: float) -> Any:
    of = ServiceMetrics(service, "0")
    of.count(10)
    for hop, latency_ms in latencies.items():
        of.latency("binance", "trades", hop, now_ms, latency_ms)
    return decode_metrics(orjson.dumps(of.message(now_ms)))


def test_a_message_is_a_service_point_and_one_per_hop() -> None:
    service, consumed, stored = ServicePoints().points(metrics(consumed=5, stored=-9.5))
    assert service.series.tags == ("consumer-trades", "0")
    assert service.values == (0.0, 0, 0.0, 0, 0, True)
    assert consumed.series.tags == ("binance", "trades", "consumed", "0")
    assert (consumed.values, stored.values) == ((5.0,) * 3, (-9.5,) * 3)
    assert {point.time_ns for point in (service, consumed, stored)} == {NOW_MS * 1_000_000}


def test_of_several_services_on_one_hop_the_slowest_is_shown() -> None:
    points = ServicePoints()
    points.points(metrics("consumer-klines-1s", consumed=5))
    assert points.points(metrics("consumer-klines-1m", consumed=3))[1].values == (5.0,) * 3
    assert points.points(metrics("consumer-klines-1s", consumed=2))[1].values == (3.0,) * 3
    later = points.points(metrics("consumer-klines-1s", NOW_MS + 10_000, consumed=1))
    assert later[1].values == (1.0,) * 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("service", ""),
        ("instance", None),
        ("time_ms", 2**63),
        ("time_ms", 1.5),
        ("up", 1),
        ("lag_messages", "3"),
        ("lag_seconds", 1e300),
        ("freshness", {}),
        ("freshness", [3]),
        ("freshness", [{"exchange": "binance", "stream": "trades", "hop": "consumed", "p50": None}]),
    ],
)
def test_a_message_that_breaks_its_contract_is_invalid(field: str, value: object) -> None:
    with pytest.raises(InvalidMessage):
        decode_metrics(orjson.dumps(metrics() | {field: value} if value != 2**63 else {}))


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{"])
def test_bytes_that_are_no_message_are_invalid(value: bytes | None) -> None:
    with pytest.raises(InvalidMessage):
        decode_metrics(value)
