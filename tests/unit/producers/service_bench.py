"""A producer's service around parts that say what they were asked, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

import producers.service
from producers.assignment import Assignment
from producers.service import ProducerService
from shared.settings import Settings
from tests.kafka_doubles import clients
from tests.virtual_time import run_virtually


class AtOnce:
    """A worker whose jobs are done when they are submitted."""

    def __init__(self, name: str) -> None:
        self.name = name

    def submit(self, job: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(job())
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks the future
            future.set_exception(error)
        return future

    def close(self) -> None:
        """There is no thread."""


class LoopTime:
    """The time of the running event loop."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()


class Idle:
    """A client of Kafka that nobody should need here."""

    def __len__(self) -> int:
        return 0


class Bench:
    """A service whose parts say what they were asked, in `calls`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **assignment: Any) -> None:
        self.calls: list[Any] = []
        background: Any = AtOnce
        service: Any = ProducerService(
            Settings(kafka_bootstrap_servers="broker:9092", symbols=("ETHUSDC", "BTCUSDC")),
            Assignment(("BTCUSDC",), ("1m",), **assignment),
            kafka=clients(producer=lambda _config: Idle()),
            background=background,
        )
        self.service = service
        self.publisher = service._publisher = SimpleNamespace(
            congested=False,
            congested_s=0.0,
            outstanding=0,
            delivered=0,
            poll=lambda: self.calls.append("poll"),
            flush=self._flush,
        )
        service._progress = self.progress = SimpleNamespace(
            unverified=(),
            verified=lambda count: self.calls.append(("verified", count)),
            write_final=lambda: self.calls.append("final"),
        )
        service._rest = self.rest = SimpleNamespace(
            time_ms=self._time_ms, listed_statuses=self._statuses, first_trade=self._first_trade
        )
        service._telemetry = SimpleNamespace(publish=lambda *_: self.calls.append("telemetry"))
        service._runner = SimpleNamespace(
            short_way=lambda *_: None,
            run=lambda _instrument, effects: self.calls.append(("run", effects)),
            repairs=SimpleNamespace(check=lambda: self.calls.append("check repairs"), finish=self._finish),
        )
        service._ledger = SimpleNamespace(
            write=lambda ledger: self.calls.append(("ledger", list(ledger))),
            send_queued=lambda most=None: self.calls.append("queued"),
            undelivered=7,
        )
        self.statuses: dict[str, str] = {}
        self.left = 0
        self.first: int | Exception = 100
        for name in ("_watch", "_retry", "_write_ledger", "_send_ledger", "_check_queue"):
            monkeypatch.setattr(service, name, lambda name=name: self.calls.append(name))
        monkeypatch.setattr(producers.service, "time", LoopTime)

    async def _flush(self, timeout_s: float) -> int:
        self.calls.append(("flush", timeout_s))
        return self.left

    async def _time_ms(self) -> int:
        self.calls.append(("clock", LoopTime.monotonic()))
        return 1

    async def _statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        self.calls.append(("statuses", LoopTime.monotonic()))
        return self.statuses

    async def _first_trade(self, symbol: str, from_ms: int, to_ms: int) -> int:
        self.calls.append(("first", symbol, from_ms, to_ms))
        if isinstance(self.first, Exception):
            raise self.first
        return self.first

    async def _finish(self, timeout_s: float) -> None:
        self.calls.append(("finish", timeout_s))

    def times(self, what: str) -> list[float]:
        return [call[1] for call in self.calls if isinstance(call, tuple) and call[0] == what]


def in_service(
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Bench], Coroutine[Any, Any, Any]],
    **assignment: Any,
) -> Bench:
    """Run the work on a bench, in virtual time."""

    async def run() -> Bench:
        bench = Bench(monkeypatch, **assignment)
        await work(bench)
        return bench

    return run_virtually(run())


async def during(seconds: float, work: Coroutine[Any, Any, Any]) -> None:
    """Let the endless work go on for so long."""
    with suppress(TimeoutError):
        await asyncio.wait_for(work, seconds)
