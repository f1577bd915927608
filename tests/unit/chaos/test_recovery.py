"""When a stack counts as complete, and how long it took."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.recovery import RecoveryMeter, Report, all_fetched, incomplete_because, services_of

SERVICES = services_of(("1s", "1m"))
CALM = {"pending_fills": 0, "missing_trades": 0, "books": 2, "synced_books": 2}


def reports(time_ms: int = 1_000, **gauges: float) -> dict[str, Report]:
    """Of all services; the producer's with these gauges."""
    return {
        name: Report(time_ms, 10, gauges={**CALM, **gauges} if name == "producer" else {})
        for name in SERVICES
    }


def reason(
    said: dict[str, Report], since_ms: int = 0, holes: int = 0, market_open: bool = True
) -> str | None:
    return incomplete_because(said, SERVICES, since_ms, holes, market_open=market_open)


def test_a_calm_stack_is_complete() -> None:
    assert reason(reports()) is None


def test_a_service_that_has_not_reported_since_the_disturbance_is_awaited() -> None:
    assert reason(reports(1_000), since_ms=1_001) == "producer has not reported yet"
    said = reports()
    del said["consumer-klines-1m"]
    assert reason(said) == "consumer-klines-1m has not reported yet"


@pytest.mark.parametrize(
    ("gauges", "expected"),
    [
        ({"pending_fills": 3}, "pending_fills is 3"),
        ({"missing_trades": 1}, "missing_trades is 1"),
        ({"synced_books": 1}, "1 of 2 books are synchronised"),
    ],
)
def test_what_the_producer_still_waits_for_is_named(gauges: dict[str, float], expected: str) -> None:
    assert reason(reports(1_000, **gauges)) == expected


def test_books_are_not_waited_for_once_the_market_has_stopped() -> None:
    assert reason(reports(synced_books=0), market_open=False) is None


def test_records_on_their_way_are_no_lag_and_old_ones_are() -> None:
    said = reports()
    said["consumer-trades"] = replace(said["consumer-trades"], lag_messages=50, lag_s=0.4)
    assert reason(said) is None
    said["consumer-trades"] = replace(said["consumer-trades"], lag_s=1.2)
    assert reason(said) == "consumer-trades is 1.2 s behind"


def test_holes_are_incomplete() -> None:
    assert reason(reports(), holes=2) == "2 ids are missing"


def test_recovery_is_counted_from_the_last_of_several_disturbances() -> None:
    meter = RecoveryMeter()
    meter.disturbed(1_000)
    meter.sample(1_500, complete=False)
    meter.disturbed(2_000)
    meter.sample(2_500, complete=False)
    meter.sample(3_200, complete=True)
    meter.sample(9_000, complete=True)
    assert meter.times_s == [1.2]
    assert meter.disturbed_ms is None


def test_the_same_disturbance_told_again_is_no_new_one() -> None:
    meter = RecoveryMeter()
    meter.disturbed(1_000)
    meter.sample(1_400, complete=True)
    meter.disturbed(1_000)
    meter.sample(2_000, complete=True)
    assert meter.times_s == [0.4]


@pytest.mark.parametrize("name", ["pending_fills", "missing_trades", "missing_bars", "doubtful_trades"])
def test_a_producer_that_waits_for_the_exchange_has_not_fetched_all(name: str) -> None:
    assert all_fetched(Report(1, 50, gauges=CALM))
    assert not all_fetched(Report(1, 50, gauges={**CALM, name: 1}))
