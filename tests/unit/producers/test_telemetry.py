"""What a producer says of itself each second: figures, health, and the streams that are not carried."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

import producers.telemetry
from producers.stream_health import TRADE, Uncarried
from producers.telemetry import Telemetry
from shared.health import SILENT_BROKER_S
from shared.metrics import ServiceMetrics
from shared.topics import METRICS
from tests.virtual_time import FakeTime

QUIET = Uncarried(TRADE, 1_767_225_600_000, "bars count more")


def instrument(**fields: Any) -> Any:
    """One that has nothing to complain of."""
    usual = {
        "symbol": "BTCUSDC",
        "pending_fills": 0,
        "missing_trades": 0,
        "missing_bars": 0,
        "questioned": 0,
        "uncarried": [],
        "doubtful_trades": 0,
        "keeps_book": True,
        "synced": True,
        "halted": False,
        "book_audits": (0, 0),
        "audited_bars": (0, 0, 0),
        "compared_bars": 0,
    }
    return SimpleNamespace(**usual | fields)


def feed(received: int = 0, *, carrying: bool = True, **fields: Any) -> Any:
    watchdog = SimpleNamespace(ages_ms=lambda now_s: {"trade": (now_s - 999.0) * 1000})
    usual = {"ignored": 0, "reconnects": 0, "rollovers": 0, "watchdog": watchdog}
    return SimpleNamespace(received=received, carrying=carrying, **usual | fields)


class Bench:
    """Telemetry of parts whose figures a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = FakeTime(1_000.0)
        monkeypatch.setattr(producers.telemetry, "time", self.time)
        self.metrics = ServiceMetrics("producer", "0")
        self.sent: list[tuple[str, bytes, dict[str, Any]]] = []
        self.publisher = SimpleNamespace(
            outstanding=0,
            delivered=0,
            congested=False,
            retriable_errors=0,
            dead_letters=SimpleNamespace(lost=0),
            send=lambda topic, key, value: self.sent.append((topic, key, orjson.loads(value))),
        )
        parts: Any = SimpleNamespace(
            rejections=SimpleNamespace(count=0),
            rest=SimpleNamespace(budget=SimpleNamespace(used=0)),
            clock=SimpleNamespace(exchange_ms=lambda: 5_300, now_ms=lambda: 5_000),
            backpressure=SimpleNamespace(active=False, entered=0),
            listings=SimpleNamespace(due=lambda *_: []),
        )
        publisher: Any = self.publisher
        self.telemetry = Telemetry(
            self.metrics,
            publisher,
            parts.rejections,
            rest=parts.rest,
            clock=parts.clock,
            backpressure=parts.backpressure,
            listings=parts.listings,
        )

    def publish(self, *instruments: Any, feeds: tuple[Any, ...] = (feed(),)) -> dict[str, Any]:
        """The gauges of the record that was sent."""
        self.telemetry.publish(instruments, feeds)
        return dict(self.sent[-1][2]["gauges"]) if self.sent else {}

    def troubles(self) -> list[str]:
        return [line for line in self.metrics.health.troubles() if not line.startswith("loop")]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_what_the_feeds_received_is_counted_once(bench: Bench) -> None:
    for received in (5, 5, 8):
        bench.publish(feeds=(feed(received), feed(2)))
    assert [record["messages"] for _, _, record in bench.sent] == [7, 7, 10]
    assert {(topic, key) for topic, key, _ in bench.sent} == {(METRICS, b"producer")}


def test_a_producer_is_warm_when_nothing_is_to_be_filled_in(bench: Bench) -> None:
    found = bench.publish(instrument(pending_fills=2), instrument(pending_fills=1))
    assert (found["pending_fills"], found["warm"]) == (3, 0.0)
    assert bench.publish(instrument())["warm"] == 1.0


def test_figures_of_instruments_are_added_up(bench: Bench) -> None:
    found = bench.publish(
        instrument(
            missing_trades=3, book_audits=(2, 7), audited_bars=(10, 1, 2), compared_bars=9, uncarried=[QUIET]
        ),
        instrument(
            missing_trades=4, book_audits=(1, 0), audited_bars=(5, 0, 1), compared_bars=5, keeps_book=False
        ),
    )
    assert (found["missing_trades"], found["uncarried"], found["books"], found["synced_books"]) == (
        7,
        1,
        1,
        2,
    )
    assert (found["book_audits"], found["book_drift_levels"]) == (3, 7)
    assert (found["audited_bars"], found["different_bars"], found["unaudited_bars"]) == (15, 1, 3)
    assert found["compared_bars"] == 14


def test_the_exchanges_clock_is_told_by_how_far_it_is_ahead(bench: Bench) -> None:
    assert bench.publish()["clock_offset_ms"] == 300


def test_the_age_of_a_stream_is_that_of_now(bench: Bench) -> None:
    assert bench.publish()["age_ms_trade"] == 1_000


def test_figures_of_a_congested_second_are_dropped(bench: Bench) -> None:
    bench.publisher.congested = True
    bench.publish(instrument())
    assert bench.sent == []
    assert bench.troubles() == []


def test_kafka_is_silent_once_nothing_was_acknowledged_for_long(bench: Bench) -> None:
    bench.publisher.delivered = 5
    bench.publish()
    bench.time.now_s += SILENT_BROKER_S
    bench.publish()
    assert bench.troubles() == []
    bench.time.now_s += 1.0
    bench.publish()
    assert bench.troubles() == [f"kafka: nothing acknowledged for {SILENT_BROKER_S + 1:.0f} s"]
    bench.publisher.delivered = 6
    bench.publish()
    assert bench.troubles() == []
    bench.time.now_s += SILENT_BROKER_S
    bench.publish()
    assert bench.troubles() == []


def test_all_connections_must_be_read(bench: Bench) -> None:
    bench.publish(feeds=(feed(), feed(carrying=False), feed()))
    assert bench.troubles() == ["exchange: 2 of 3 connections are read"]
    bench.publish(feeds=(feed(), feed()))
    assert bench.troubles() == []


def test_streams_that_are_not_carried_are_named(bench: Bench) -> None:
    bench.publish(instrument(), instrument(symbol="ETHUSDC", uncarried=[QUIET]))
    (said,) = bench.troubles()
    assert said == "streams: ETHUSDC trades not carried since 2026-01-01 00:00:00Z: bars count more"
    bench.publish(instrument(), instrument(symbol="ETHUSDC"))
    assert bench.troubles() == []


@pytest.mark.parametrize(
    ("fields", "well"),
    [
        ({"synced": True}, True),
        ({"synced": False}, False),
        ({"synced": False, "halted": True}, True),
        ({"synced": False, "keeps_book": False}, True),
        ({"synced": False, "halted": True, "keeps_book": False}, True),
    ],
)
def test_a_book_is_in_step_unless_trading_is_halted_or_nobody_keeps_it(
    bench: Bench, fields: dict[str, Any], well: bool
) -> None:
    bench.publish(instrument(), instrument(**fields))
    assert bench.troubles() == ([] if well else ["book: an order book is not in step with the exchange"])


def test_a_stream_is_said_to_be_lost_and_to_be_back_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[int] = []
    for uncarried in ([], [QUIET], [QUIET], [], []):
        bench.telemetry.log_uncarried(instrument(uncarried=uncarried))
        bench.telemetry.log_uncarried(instrument(symbol="ETHUSDC"))
        said.append(len(caplog.messages))
    assert said == [0, 1, 1, 2, 2]
    assert caplog.messages == [
        "BTCUSDC trades: not carried since 2026-01-01 00:00:00Z: bars count more",
        "BTCUSDC trades: carried again",
    ]
