"""What the service of a producer does beside its cores."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from producers.effects import Effect
from producers.instrument import Instrument
from producers.ledger_writer import MOST_IN_FLIGHT
from producers.service import Assignment, ProducerService
from producers.start_positions import OpenHole, StartPosition
from shared.settings import Settings
from shared.topics import LEDGER

# A test that is red ends, too.
PATIENCE_S = 10


def test_a_broker_that_does_not_answer_cannot_hold_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer, in_vain = threading.Event(), threading.Event(), threading.Event()

    def never(*_: object) -> Sequence[str]:
        asked.set()
        if not answer.wait(PATIENCE_S):
            in_vain.set()
        return []

    monkeypatch.setattr(ProducerService, "_read_start_state", never)

    async def stopped_meanwhile() -> None:
        settings = Settings(kafka_bootstrap_servers="127.0.0.1:9")
        service = ProducerService(settings, Assignment(("BTCUSDC",), ("1m",)))
        monkeypatch.setattr(service._rest, "time_ms", _one)
        reading = asyncio.create_task(service._start_positions())
        await asyncio.to_thread(asked.wait, PATIENCE_S)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading

    asyncio.run(stopped_meanwhile())
    held = in_vain.is_set()
    answer.set()
    assert not held


def test_thousands_of_ledger_events_are_sent_before_the_second_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def sent_after(holes: int) -> int:
        settings = Settings(kafka_bootstrap_servers="127.0.0.1:9")
        service = ProducerService(settings, Assignment(("BTCUSDC",), ("1m",), memory_broker=True))
        sent: list[str] = []
        monkeypatch.setattr(service._publisher, "send", lambda topic, *_: sent.append(topic))
        instrument = Instrument("binance", "BTCUSDC", ("1m",), book_interval_ms=1_000, warmup_bars=0)
        service._instruments["BTCUSDC"] = instrument
        service._runner.register(instrument, ("1m",))
        missing = tuple(OpenHole(at, at, 1, 2) for at in range(1, 2 * holes, 2))
        instrument.begin({"binance:BTCUSDC:trades": StartPosition(3 * holes, missing)}, 3)
        service._send_ledger()
        return sent.count(LEDGER)

    assert asyncio.run(sent_after(MOST_IN_FLIGHT)) == 0  # they wait for the second, joined to ranges
    assert asyncio.run(sent_after(MOST_IN_FLIGHT + 1)) == MOST_IN_FLIGHT


async def _one() -> int:
    return 1


@pytest.mark.parametrize("lie_ms", [0, 3_600_000])
def test_one_wrong_answer_of_the_exchanges_clock_does_not_say_what_the_stream_has_brought(
    monkeypatch: pytest.MonkeyPatch, lie_ms: int
) -> None:
    brought: list[int] = []

    class Followed:
        trouble, symbols = "", ("BTCUSDC",)

        def brought_to_s(self, now_s: float) -> float:
            return now_s - 1.0

        def watch(self, *_: object, brought_to_ms: int) -> list[Effect]:
            brought.append(brought_to_ms)
            return []

    async def watch() -> int:
        service = ProducerService(
            Settings(kafka_bootstrap_servers="127.0.0.1:9"),
            Assignment(("BTCUSDC",), ("1m",), memory_broker=True),
        )
        stand: Any = Followed()
        service._feeds, service._instruments = [stand], {"BTCUSDC": stand}
        monkeypatch.setattr(service._runner, "run", lambda *_: None)
        monkeypatch.setattr(service._telemetry, "log_uncarried", lambda _: None)
        clock = service._clock
        now_ms = clock.now_ms()
        clock.receive(clock.steady_ms(), now_ms)
        clock.receive_event(time.monotonic(), now_ms)
        clock.receive(clock.steady_ms(), now_ms + lie_ms)
        service._watch()
        return now_ms - 1_000

    expected_ms = asyncio.run(watch())
    assert abs(brought[0] - expected_ms) < 500
