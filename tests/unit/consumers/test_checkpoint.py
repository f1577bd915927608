"""A crash at any step of a checkpoint repeats work, never skips it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from confluent_kafka import TopicPartition

from consumers.checkpoint import Checkpoint
from consumers.enrich.klines import KlineEnricher
from consumers.enrich.port import Commit, Known
from shared.topics import LEDGER, indicator_state_topic, klines_topic
from tests.builders import NOW_MS, kline
from tests.consumer_doubles import SumOfCloses

TOPIC, STATE_TOPIC = klines_topic("1m"), indicator_state_topic("1m")


class Crash(Exception):
    pass


class FakeBroker:
    """Writes down what happens, in order; dies at the step it is told to."""

    def __init__(
        self, crash_at: str | None = None, *, acknowledges: bool = True, accepts: bool = True
    ) -> None:
        self.steps: list[str] = []
        self.states: dict[bytes, bytes] = {}
        self.events: list[dict[str, Any]] = []
        self.committed: dict[int, Commit] = {}
        self._sent: list[tuple[str, bytes, bytes]] = []
        self._crash_at = crash_at
        self._acknowledges = acknowledges
        self._accepts = accepts

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, *, partition: int | None = None
    ) -> None:
        self._step("ledger" if topic == LEDGER else "state")
        self._sent.append((topic, key or b"", value or b""))

    def flush(self, timeout_s: float) -> bool:
        self._step("flush")
        if self._acknowledges:
            for topic, key, value in self._sent:
                if topic == LEDGER:
                    self.events.append(orjson.loads(value))
                else:
                    self.states[key] = value
        return self._acknowledges

    def commit(self, topic: str, commits: Mapping[int, Commit]) -> bool:
        self._step("commit")
        if self._accepts:
            self.committed.update(commits)
        return self._accepts

    def _step(self, name: str) -> None:
        if name == self._crash_at:
            raise Crash
        self.steps.append(name)


def enricher(known: Known | None = None) -> KlineEnricher:
    of = KlineEnricher("1m", SumOfCloses(), live_interval_ms=0)
    of.assign(0, known or Known(0, 0))
    return of


LOG = [(0, n, kline(open_time_ms=NOW_MS + n * 60_000, close=str(n + 1))) for n in range(4)]


def checkpoint(of: KlineEnricher, broker: FakeBroker) -> Checkpoint:
    return Checkpoint(of, broker, broker, topic=TOPIC, state_topic=STATE_TOPIC)


def test_the_order_is_ledger_and_state_then_acknowledgement_then_offsets() -> None:
    of, broker = enricher(), FakeBroker()
    point = checkpoint(of, broker)
    point.events.update(of.receive(LOG[:2], 0).events)
    assert point.run({TOPIC: {0: 2}}, 0, everything=True)
    assert broker.steps == ["ledger", "state", "flush", "commit"]
    assert broker.committed == {0: Commit(2)}
    assert [(event["kind"], event["count"]) for event in broker.events] == [("stored", 2)]


@pytest.mark.parametrize("crash_at", ["ledger", "state", "flush", "commit"])
def test_a_crash_at_any_step_ends_in_the_same_state(crash_at: str) -> None:
    of, broker = enricher(), FakeBroker(crash_at)
    point = checkpoint(of, broker)
    point.events.update(of.receive(LOG[:2], 0).events)
    with pytest.raises(Crash):
        point.run({TOPIC: {0: 2}}, 0, everything=True)
    assert broker.committed == {}
    known = Known(0, len(LOG), committed=None, snapshots=broker.states)
    again = enricher(known)
    enriched = again.receive(LOG, 0)
    indicators = [p for p in enriched.points if p.series.measurement.name == "indicator"]
    assert [p.values for p in indicators][-2:] == [(6.0,), (10.0,)]
    # The ledger is told again of what was read again.
    assert [(e["kind"], e["count"]) for e in enriched.events.messages(0)] == [("stored", 4)]


def test_without_acknowledgement_nothing_is_committed_and_all_is_tried_again() -> None:
    of = enricher()
    deaf = FakeBroker(acknowledges=False)
    point = checkpoint(of, deaf)
    point.events.update(of.receive(LOG[:2], 0).events)
    assert not point.run({TOPIC: {0: 2}}, 0, everything=True)
    assert "commit" not in deaf.steps
    assert of.committable(0, 2).offset == 0
    assert [state.key for state in of.state_due(0, everything=True)] == [b"binance:BTCUSDC"]


def test_refused_offsets_are_committed_next_time() -> None:
    of = enricher()
    of.receive(LOG[:2], 0)
    broker = FakeBroker(accepts=False)
    point = checkpoint(of, broker)
    assert not point.run({TOPIC: {0: 2}}, 0, everything=True)
    broker._accepts = True
    assert point.run({TOPIC: {0: 2}}, 0)
    assert broker.committed == {0: Commit(2)}


def test_what_is_committed_is_not_committed_again() -> None:
    broker = FakeBroker()
    point = checkpoint(enricher(), broker)
    point.run({TOPIC: {0: 0}}, 0)
    point.run({TOPIC: {0: 0}}, 0)
    assert broker.steps.count("commit") == 1
    point.forget([TopicPartition(TOPIC, 0)])
    point.run({TOPIC: {0: 0}}, 0)
    assert broker.steps.count("commit") == 2


def test_offsets_stay_behind_a_state_that_is_not_due() -> None:
    of, broker = enricher(), FakeBroker()
    of.receive(LOG[:2], 0)
    checkpoint(of, broker).run({TOPIC: {0: 2}}, 1)
    assert broker.committed == {0: Commit(0)}
