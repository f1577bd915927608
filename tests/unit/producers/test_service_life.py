"""How a producer's service starts, what ends it, and what it still does then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import producers.service
from producers.instrument import Instrument
from producers.read_back import ReadBack
from producers.start import Start, StartReader
from producers.start_positions import StartPosition
from producers.stream_health import TRADE, Entry
from shared.errors import BrokerError, BrokerUnavailable, ExchangeRefused
from shared.topics import klines_topic
from tests.builders import NOW_MS, kline
from tests.unit.producers.service_bench import Bench, LoopTime, in_service

BARS = klines_topic("1m")


class TestRun:
    """From the start to the exit code."""

    def run(
        self,
        monkeypatch: pytest.MonkeyPatch,
        start: Callable[[], Coroutine[Any, Any, None]],
        stop_after_s: float | None = None,
    ) -> list[Any]:
        found: list[Any] = []

        async def work(bench: Bench) -> None:
            async def carry(stopped: asyncio.Task[bool]) -> None:
                bench.calls.append(("carry", stopped.done()))

            async def close() -> None:
                bench.calls.append("closed")

            monkeypatch.setattr(producers.service, "freeze_gc", lambda: None)
            monkeypatch.setattr(bench.service, "_start", start)
            monkeypatch.setattr(bench.service, "_carry", carry)
            bench.rest.close = close
            if stop_after_s is not None:
                asyncio.get_running_loop().call_later(stop_after_s, bench.service._stop.set)
            try:
                bench.calls.append(await bench.service.run())
            except ExchangeRefused as error:
                bench.calls.append(error)
            found.extend(bench.calls)

        in_service(monkeypatch, work)
        return found

    def test_once_it_has_started_it_carries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.run(monkeypatch, lambda: asyncio.sleep(5.0))
        assert found == [("carry", False), "closed", 0]

    def test_a_stop_before_it_has_started_ends_it(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert self.run(monkeypatch, lambda: asyncio.sleep(5.0), stop_after_s=4.0) == ["closed", 0]
        assert caplog.messages == ["stopped before the series began: their gaps were not checked"]

    def test_a_start_that_fails_is_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def refused() -> None:
            raise ExchangeRefused("a ban")

        found = self.run(monkeypatch, refused)
        assert found[0] == "closed"
        assert isinstance(found[1], ExchangeRefused)


@pytest.mark.parametrize(
    ("positions", "begun", "awaits"),
    [
        ({}, {}, True),
        ({"binance:BTCUSDC:trades": StartPosition(5)}, {}, False),
        # An earlier process has not found out where the series begins.
        ({"binance:BTCUSDC:trades": StartPosition(5)}, {"BTCUSDC": 500}, True),
    ],
)
def test_a_series_has_what_was_read_of_it_and_awaits_its_base_unless_that_is_known(
    monkeypatch: pytest.MonkeyPatch, positions: dict[str, StartPosition], begun: dict[str, int], awaits: bool
) -> None:
    async def at_once(answer: Any = None) -> Any:
        return answer

    async def start(bench: Bench) -> None:
        service = bench.service
        monkeypatch.setattr(service, "_at_broker", lambda _ask: at_once())
        monkeypatch.setattr(service, "_await_turn", at_once)
        monkeypatch.setattr(service, "_measure_clock", at_once)
        was_read = ReadBack(bars=(kline(open_time_ms=NOW_MS),))
        left_open = [Entry(TRADE, NOW_MS - 2, NOW_MS - 1, "a bar has trade 5")]
        start = Start(positions, begun, {"BTCUSDC": was_read}, {"BTCUSDC": left_open})
        monkeypatch.setattr(StartReader, "read", lambda _reader: at_once(start))
        monkeypatch.setattr(Instrument, "begin", begin_of(bench.calls))
        bench.rest.statuses = lambda _symbols: at_once({"BTCUSDC": "TRADING"})
        bench.rest.recorded_halts, bench.rest.listed = {}, {}
        service._runner.register = lambda *_: None
        await service._start()
        bench.calls.append(service._instruments["BTCUSDC"].awaits_trade_base)
        assert ("begun", was_read) in bench.calls
        assert service._instruments["BTCUSDC"].uncarried_before == left_open

    assert in_service(monkeypatch, start).calls[-1] is awaits


def begin_of(calls: list[Any]) -> Any:
    """The instrument's own, which says what it was given."""
    begin = Instrument.begin

    def begun(self: Instrument, *arguments: Any, read_back: ReadBack, **named: Any) -> Any:
        calls.append(("begun", read_back))
        return begin(self, *arguments, read_back=read_back, **named)

    return begun


class TestCarry:
    """Until it is told to stop, or until a part fails for good."""

    def carried(
        self, monkeypatch: pytest.MonkeyPatch, failure: Exception | None, stop_after_s: float = 1_000.0
    ) -> list[Any]:
        async def work(bench: Bench) -> None:
            async def endless() -> None:
                await asyncio.sleep(10_000.0)

            async def feed() -> None:
                await asyncio.sleep(50.0)
                if failure is not None:
                    raise failure
                await endless()

            async def end(feeds: Sequence[Any], timers: Sequence[Any]) -> None:
                bench.calls.append(("ended", LoopTime.monotonic(), len(feeds), len(timers)))

            service = bench.service
            for name in ("_poll", "_each_second", "_watch_exchange", "_prove"):
                monkeypatch.setattr(service, name, endless)
            monkeypatch.setattr(service, "_end", end)
            service._feeds = [SimpleNamespace(run=feed, carrying=False)]
            stopped = asyncio.create_task(asyncio.sleep(stop_after_s, True))
            try:
                await service._carry(stopped)
            except (BrokerError, ExchangeRefused) as error:
                bench.calls.append(error)
            bench.calls.append(len(asyncio.all_tasks()) - len({asyncio.current_task(), stopped}))

        return in_service(monkeypatch, work).calls

    def test_a_stop_ends_it_in_order_and_leaves_no_task(self, monkeypatch: pytest.MonkeyPatch) -> None:
        *calls, left = self.carried(monkeypatch, None, stop_after_s=60.0)
        assert calls == [("ended", 60.0, 1, 4)]
        assert left <= 0

    def test_a_failure_ends_it_in_order_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended, error, _ = self.carried(monkeypatch, ExchangeRefused("a ban"))
        assert ended == ("ended", 50.0, 1, 4)
        assert isinstance(error, ExchangeRefused)

    def test_without_kafka_there_is_nothing_to_end_in_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        error, _ = self.carried(monkeypatch, BrokerError("gone"))
        assert isinstance(error, BrokerError)


@pytest.mark.parametrize("replay_ms", [None, 5])
def test_at_the_end_the_clock_is_measured_once_more_unless_it_is_a_recordings(
    monkeypatch: pytest.MonkeyPatch, replay_ms: int | None
) -> None:
    async def probe(bench: Bench) -> None:
        bench.service._clock.replay_ms = replay_ms
        await bench.service._last_probe()

    assert len(in_service(monkeypatch, probe).times("clock")) == (0 if replay_ms else 1)


class TestEnd:
    """Within ten seconds, whatever takes how long."""

    def ended(self, monkeypatch: pytest.MonkeyPatch, fills_s: float, left: int = 0) -> Bench:
        async def end(bench: Bench) -> None:
            async def finish(timeout_s: float) -> None:
                bench.calls.append(("finish", timeout_s))
                await asyncio.sleep(fills_s)

            bench.service._runner.repairs.finish = finish
            bench.left = left
            feed = asyncio.create_task(asyncio.sleep(0.5))
            timer = asyncio.create_task(asyncio.sleep(1_000))
            try:
                await bench.service._end([feed], [timer])
            except BrokerUnavailable as error:
                bench.calls.append(error)
            assert timer.cancelling()

        return in_service(monkeypatch, end)

    @pytest.mark.parametrize("fills_s", [0.0, 4.0])
    def test_kafka_has_what_is_left_of_the_time_less_a_second_for_progress(
        self, monkeypatch: pytest.MonkeyPatch, fills_s: float
    ) -> None:
        calls = self.ended(monkeypatch, fills_s).calls
        entered = ["_write_ledger", "queued"]
        # Bars before the first subscription are entered once they are delivered, and then the end.
        assert calls[-9:-2] == [
            ("finish", 4.0),
            *entered,
            ("flush", 8.0 - fills_s),
            *entered,
            ("flush", 8.5 - fills_s),
        ]
        assert calls[-2:] == ["final", ("flush", 9.0 - fills_s)]

    def test_without_all_records_delivered_no_progress_says_that_none_follows(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = self.ended(monkeypatch, 0.0, left=3).calls
        assert isinstance(calls[-1], BrokerUnavailable)
        assert str(calls[-1]).startswith("3 records were not delivered to broker:9092 in time")
        assert "final" not in calls
