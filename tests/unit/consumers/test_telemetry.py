"""What a consumer says of itself each second: how far it is behind, how late records are, and its health."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition

import consumers.telemetry
from consumers.enrich.port import Record
from consumers.telemetry import Telemetry
from shared.health import SILENT_BROKER_S
from shared.metrics import ServiceMetrics
from shared.topics import BOOK, METRICS, TRADES
from tests.builders import NOW_MS, trade
from tests.virtual_time import FakeTime


class Ends:
    """A consumer that knows the ends of its partitions as far as fetches have told them."""

    def __init__(self, **ends: Mapping[int, int]) -> None:
        self.ends = {TRADES: ends.get("trades", {}), BOOK: ends.get("book", {})}

    def get_watermark_offsets(self, at: TopicPartition, cached: bool) -> tuple[int, int] | None:
        assert cached, "asking the broker would block the loop"
        end = self.ends[at.topic].get(at.partition)
        return None if end is None else (0, end)


class Bench:
    """The telemetry of the stream of trades."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = FakeTime()
        monkeypatch.setattr(consumers.telemetry, "time", self.time)
        self.sent: list[tuple[str, bytes, dict[str, Any]]] = []
        self.writer = SimpleNamespace(
            dead_letters=0, lost_letters=0, silence_s=0.0, send_json=lambda *record: self.sent.append(record)
        )
        self.store = SimpleNamespace(expired=0)
        self.metrics = ServiceMetrics("consumer-trades", "0")
        parts: Any = self
        self.telemetry = Telemetry(self.metrics, parts.writer, parts.store, "trades")

    def report(
        self, ends: Ends | None = None, positions: Any = None, now_ms: int = NOW_MS, *, now: bool = True
    ) -> dict[str, Any]:
        """The record that was sent last."""
        consumer: Any = ends or Ends()
        self.telemetry.report(consumer, positions or {}, now_ms, now=now)
        return self.sent[-1][2]

    def troubles(self) -> list[str]:
        return [line for line in self.metrics.health.troubles() if not line.startswith("loop")]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def received(at_ms: int, **fields: Any) -> Record:
    return 0, 0, trade(**{"received_time_ms": at_ms, **fields})


def test_a_report_is_sent_once_a_second_or_at_once_if_asked_for(bench: Bench) -> None:
    for now_s, now, count in (
        (0.0, False, 1),
        (0.9, False, 1),
        (1.0, False, 2),
        (1.1, True, 3),
        (2.0, False, 3),
    ):
        bench.time.now_s = 1_000.0 + now_s
        bench.report(now=now)
        assert len(bench.sent) == count, now_s
    assert {(topic, key) for topic, key, _ in bench.sent} == {(METRICS, b"consumer-trades")}


def test_it_is_behind_by_what_its_partitions_have_beyond_its_positions(bench: Bench) -> None:
    ends = Ends(trades={0: 110, 1: 50, 2: 7}, book={0: 5})
    # Of a partition nothing has been fetched yet, in another it is ahead of the last answer.
    positions = {TRADES: {0: 100, 1: 50, 2: 8, 3: 1}, BOOK: {0: 2}}
    assert bench.report(ends, positions)["lag_messages"] == 13


@pytest.mark.parametrize(
    ("position", "now_ms", "behind_s"),
    [
        (90, NOW_MS + 2_500, 2.5),
        (100, NOW_MS + 2_500, 0.0),  # it has read everything: the market is quiet
        (90, NOW_MS - 500, 0.0),  # the host's clock was set back
    ],
)
def test_it_is_late_by_the_age_of_the_last_record_read_while_others_wait(
    bench: Bench, position: int, now_ms: int, behind_s: float
) -> None:
    bench.telemetry.consumed([received(NOW_MS - 9_000), received(NOW_MS)], NOW_MS)
    assert bench.report(Ends(trades={0: 100}), {TRADES: {0: position}}, now_ms)["lag_seconds"] == behind_s


def test_before_its_first_record_it_is_not_late(bench: Bench) -> None:
    bench.telemetry.consumed([], NOW_MS)
    assert bench.report(Ends(trades={0: 100}), {TRADES: {0: 0}})["lag_seconds"] == 0.0


def test_records_are_counted(bench: Bench) -> None:
    bench.telemetry.consumed([received(NOW_MS)] * 3, NOW_MS)
    bench.telemetry.consumed([received(NOW_MS)] * 2, NOW_MS)
    assert bench.report()["messages"] == 5


def freshness(bench: Bench) -> dict[str, tuple[float, float]]:
    """By hop, the median and the latest."""
    return {each["hop"]: (each["p50"], each["p99"]) for each in bench.report()["freshness"]}


def test_latencies_are_those_of_records_of_the_stream_alone(bench: Bench) -> None:
    batch = [received(NOW_MS - 30), received(NOW_MS - 99_000, source="backfill")]
    incident: Record = (0, 2, {**received(NOW_MS - 88_000)[2], "stream": "trades"})
    bench.telemetry.consumed([*batch, incident], NOW_MS)
    bench.telemetry.stored([received(NOW_MS - 70)], NOW_MS)
    assert freshness(bench) == {"consumed": (30, 30), "stored": (70, 70)}


def test_of_a_large_batch_some_twenty_latencies_are_taken_throughout(bench: Bench) -> None:
    bench.telemetry.consumed([received(NOW_MS - number) for number in range(1_000)], NOW_MS)
    samples = bench.metrics._latencies["binance", "trades", "consumed"]
    assert [late for _, late in samples] == list(range(0, 1_000, 50))


def test_points_that_are_too_old_are_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    for expired, said in ((0, 0), (3, 1), (4, 1)):
        bench.store.expired = expired
        assert bench.report()["gauges"]["expired"] == expired
        assert len(caplog.messages) == said


def test_kafka_is_silent_once_nothing_was_acknowledged_for_long(bench: Bench) -> None:
    bench.writer.silence_s = SILENT_BROKER_S
    bench.report()
    assert bench.troubles() == []
    bench.writer.silence_s = SILENT_BROKER_S + 1
    bench.report()
    assert bench.troubles() == [f"kafka: nothing acknowledged for {SILENT_BROKER_S + 1:.0f} s"]
