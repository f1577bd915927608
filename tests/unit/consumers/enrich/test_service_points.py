"""What services say of themselves becomes points every ten seconds."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from consumers.enrich.service_points import ServicePoints, decode_metrics
from consumers.measurements import INSTRUMENT
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


TOLD: dict[str, Any] = {
    "exchange": "coinbase",
    "symbol": "BTC-USDC",
    "since_ms": NOW_MS - 5,
    "base": "BTC",
    "quote": "USDC",
    "tick": "0.01",
    "lot": "0.00000001",
    "alias": "BTC-USD",
    "status": "TRADING",
    "trades_repaired_by": "id",
    "bars_from": "trades",
    "book_proved_by": "counter",
    "quotes_from": "book",
}


def told(*instruments: object) -> Any:
    return decode_metrics(orjson.dumps({**metrics(), "instruments": list(instruments)}))


def test_what_a_producer_tells_of_an_instrument_is_a_point_of_the_exchanges_time() -> None:
    nothing = dict.fromkeys(TOLD) | {
        "exchange": "kraken",
        "symbol": "币安/USD",
        "since_ms": 0,
        "new": "field",
    }
    points = ServicePoints().points(told(TOLD, nothing))
    _, coinbase, kraken = points
    assert (coinbase.series.measurement.name, coinbase.series.tags) == (
        "instrument",
        ("coinbase", "BTC-USDC"),
    )
    assert coinbase.time_ns == (NOW_MS - 5) * 1_000_000
    assert dict(zip((column.name for column in INSTRUMENT.columns), coinbase.values, strict=True)) == {
        **{name: TOLD[name] for name in TOLD if name not in ("exchange", "symbol", "since_ms")},
        "tick": 0.01,
        "lot": 1e-8,
    }
    assert (kraken.time_ns, set(kraken.values)) == (0, {None})
    assert [point.series.measurement.name for point in ServicePoints().points(told())] == ["service"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("exchange", ""), ("symbol", None), ("symbol", "a\nb"), ("symbol", "X" * 201)),
        *(("since_ms", -1), ("since_ms", 2**63), ("since_ms", True), ("since_ms", "1")),
        *(
            ("tick", 0.01),
            ("lot", "1e-8"),
            ("tick", "nan"),
            ("base", 5),
            ("status", "x" * 201),
            ("alias", "\0"),
        ),
    ],
)
def test_an_instrument_of_another_form_is_rejected_by_its_field(field: str, value: object) -> None:
    with pytest.raises(InvalidMessage, match=field):
        told(TOLD, TOLD | {field: value})


@pytest.mark.parametrize("instruments", [None, {}, [1], "x"])
def test_instruments_that_are_no_list_of_objects_are_rejected(instruments: object) -> None:
    with pytest.raises(InvalidMessage, match="instruments"):
        decode_metrics(orjson.dumps({**metrics(), "instruments": instruments}))


def slowest(points: ServicePoints, now_ms: int) -> Any:
    """What is stored last of a period with a slow and a fast service."""
    points.points(metrics("consumer-klines-1s", now_ms, stored=900))
    return points.points(metrics("consumer-klines-1m", now_ms + 100, stored=1))[1].values


@pytest.mark.parametrize("wrong_by_ms", [-3_600_000, -10_000, 10_000, 3_600_000])
def test_a_host_whose_clock_is_wrong_does_not_hide_the_slowest(wrong_by_ms: int) -> None:
    points = ServicePoints()
    for period in range(3):
        now_ms = NOW_MS + period * 10_000
        points.points(metrics("consumer-klines-1s", now_ms, stored=900))
        other = points.points(metrics("consumer-book", now_ms + wrong_by_ms, stored=5))[1]
        assert other.time_ns == (now_ms + wrong_by_ms) * 1_000_000
        assert points.points(metrics("consumer-klines-1m", now_ms + 100, stored=1))[1].values == (900.0,) * 3


def test_one_report_of_another_time_does_not_hide_the_slowest_of_later_periods() -> None:
    points = ServicePoints()
    points.points(metrics("consumer-book", NOW_MS + 3_600_000, stored=5))
    for late_ms in (10_000, 600_000, 3_590_000, 3_610_000):
        assert slowest(points, NOW_MS + late_ms) == (900.0,) * 3


def test_reports_that_come_late_do_not_replace_the_slowest_of_their_period() -> None:
    points = ServicePoints()
    points.points(metrics("consumer-klines-1s", NOW_MS, stored=900))
    points.points(metrics("consumer-klines-1s", NOW_MS + 10_000, stored=2))
    late = points.points(metrics("consumer-klines-1m", NOW_MS + 9_999, stored=1))[1]
    assert (late.time_ns, late.values) == (NOW_MS * 1_000_000, (900.0,) * 3)


def test_however_many_periods_are_reported_few_are_remembered() -> None:
    points = ServicePoints()
    points.points(metrics("consumer-klines-1s", NOW_MS, stored=900))
    for period in range(1, 31):
        points.points(metrics("consumer-klines-1m", NOW_MS + period * 10_000, stored=1))
    assert points.points(metrics("consumer-klines-1m", NOW_MS, stored=1))[1].values == (1.0,) * 3


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
