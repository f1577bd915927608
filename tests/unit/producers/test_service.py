"""What the service of a producer does beside its cores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress

import pytest

from producers.service import Assignment, ProducerService
from shared.settings import Settings

# A test that is red ends, too.
PATIENCE_S = 10


def test_a_broker_that_does_not_answer_cannot_hold_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer, in_vain = threading.Event(), threading.Event(), threading.Event()

    def never(*_: object) -> Sequence[str]:
        asked.set()
        if not answer.wait(PATIENCE_S):
            in_vain.set()
        return []

    monkeypatch.setattr(ProducerService, "_standing", never)

    async def stopped_meanwhile() -> None:
        settings = Settings(kafka_bootstrap_servers="127.0.0.1:9")
        service = ProducerService(settings, Assignment(("BTCUSDC",), ("1m",)))
        monkeypatch.setattr(service._rest, "time_ms", _one)
        reading = asyncio.create_task(service._bearings())
        await asyncio.to_thread(asked.wait, PATIENCE_S)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading

    asyncio.run(stopped_meanwhile())
    held = in_vain.is_set()
    answer.set()
    assert not held


async def _one() -> int:
    return 1
