"""Readiness and figures of the service, as its port tells them."""

from __future__ import annotations

from typing import Any

from api.history import History
from api.report import Report
from shared.errors import StoreUnavailable
from shared.metrics import ServiceMetrics
from tests.unit.api.api_parts import FakeReader, bars, client

NOW_MS = 1_700_000_000_000


class Followed:
    unread: str | None = None
    bad_records = 2
    rows_received = 0

    def waiting(self) -> tuple[int, int]:
        return 3, 4_000


def told(history: History, live: Followed) -> tuple[ServiceMetrics, dict[str, Any]]:
    metrics = ServiceMetrics("api", "0")
    report = Report(metrics, history, live, lambda: NOW_MS)
    report.beat()
    return metrics, metrics.message(NOW_MS)["gauges"]


def unused() -> History:
    return History(lambda: FakeReader({}))


def test_kafka_away_is_unready_until_it_is_back() -> None:
    metrics, live = ServiceMetrics("api", "0"), Followed()
    report = Report(metrics, unused(), live, lambda: NOW_MS)
    report.beat()
    assert metrics.health.troubles() == []
    live.unread = "Kafka at host:1 does not answer"
    report.beat()
    assert metrics.health.troubles() == ["kafka: Kafka at host:1 does not answer"]
    live.unread = None
    report.beat()
    assert metrics.health.troubles() == []


def test_figures_of_the_live_half() -> None:
    _, gauges = told(unused(), Followed())
    assert gauges == {"clients": 3, "pending_bytes": 4_000, "bad_records": 2, "history_away": False}


def test_rows_are_counted_once() -> None:
    metrics, live = ServiceMetrics("api", "0"), Followed()
    report = Report(metrics, unused(), live, lambda: NOW_MS)
    for received in (5, 5, 9):
        live.rows_received = received
        report.beat()
    assert metrics.message(NOW_MS)["messages"] == 9


def test_a_store_that_is_away_is_told_and_leaves_the_service_ready() -> None:
    away = True

    def open_reader() -> FakeReader:
        if away:
            raise StoreUnavailable("nobody answers")
        return FakeReader({"kline": bars(3)})

    history = History(open_reader)
    http = client(history=history)
    rows = "/api/v1/rows/kline?exchange=binance&symbol=BTCUSDC&interval=1m&last=3"
    assert http.get(rows).status_code == 503
    metrics, gauges = told(history, Followed())
    assert gauges["history_away"] and metrics.health.troubles() == []
    away = False
    assert http.get(rows).status_code == 200
    assert not told(history, Followed())[1]["history_away"]
