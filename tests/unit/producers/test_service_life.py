"""How a producer's service starts, what ends it, and what it still does then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from copy import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import producers.service
from producers.instrument import Instrument
from producers.progress import BadProgress, Progress
from producers.progress_reader import StartState
from producers.read_back import NOTHING_READ, ReadBack, Windows
from producers.start_positions import FoundRange, StartPosition
from shared.errors import BrokerError, BrokerUnavailable, ExchangeRefused, ExchangeUnreadable
from shared.kafka import KafkaClients
from shared.topics import TRADES, klines_topic
from shared.trade_ids import EPOCH_SPAN, number
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
def test_a_series_awaits_its_base_unless_it_is_known_where_it_began(
    monkeypatch: pytest.MonkeyPatch, positions: dict[str, StartPosition], begun: dict[str, int], awaits: bool
) -> None:
    async def at_once(answer: Any = None) -> Any:
        return answer

    async def start(bench: Bench) -> None:
        service = bench.service
        monkeypatch.setattr(service, "_at_broker", lambda _ask: at_once())
        monkeypatch.setattr(service, "_await_turn", at_once)
        monkeypatch.setattr(service, "_measure_clock", at_once)
        monkeypatch.setattr(service, "_start_positions", lambda: at_once(positions))
        service._begun_ms = begun
        bench.rest.statuses = lambda _symbols: at_once({"BTCUSDC": "TRADING"})
        bench.rest.recorded_halts, bench.rest.listed = {}, {}
        service._runner.register = lambda *_: None
        await service._start()
        bench.calls.append(service._instruments["BTCUSDC"].awaits_trade_base)

    assert in_service(monkeypatch, start).calls[-1] is awaits


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


class TestStartPositions:
    """What the first trades of a series are, of which an earlier process may have delivered none."""

    SERIES = "binance:BTCUSDC:trades"

    def positions(self, monkeypatch: pytest.MonkeyPatch, state: StartState, first: int | Exception) -> Any:
        found: list[Any] = []

        async def ask(bench: Bench) -> None:
            bench.first = first
            monkeypatch.setattr(bench.service, "_read_start_state", lambda _now_ms: state)
            found.append(await bench.service._start_positions())
            found.append(bench.service._begun_ms)
            found.append([call for call in bench.calls if call[0] == "first"])

        in_service(monkeypatch, ask)
        return found

    def test_a_known_base_needs_no_request(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = StartState(bad=(), begun_ms={"BTCUSDC": 500}, bases={"BTCUSDC": 41})
        positions, begun, asked = self.positions(monkeypatch, state, 7)
        assert (positions, begun, asked) == ({self.SERIES: StartPosition(41)}, {}, [])

    def test_the_first_trade_since_the_subscription_is_asked_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = StartState(bad=(), begun_ms={"BTCUSDC": 500})
        positions, begun, asked = self.positions(monkeypatch, state, 100)
        assert (positions, begun) == ({self.SERIES: StartPosition(99)}, {})
        assert asked == [("first", "BTCUSDC", 500, 1 + 86_400_000)]

    @pytest.mark.parametrize(
        "answer", [ExchangeRefused("too old"), ExchangeUnreadable("a page lacks those after 7")]
    )
    def test_an_exchange_that_refuses_or_contradicts_itself_is_asked_again_beside_the_streams(
        self, monkeypatch: pytest.MonkeyPatch, answer: Exception
    ) -> None:
        state = StartState(bad=(), begun_ms={"BTCUSDC": 500})
        positions, begun, _ = self.positions(monkeypatch, state, answer)
        assert (positions, begun) == ({}, {"BTCUSDC": 500})

    @pytest.mark.parametrize(("first", "last_id"), [(50, 49), (90, 79)])
    def test_what_the_topic_has_is_not_forgotten(
        self, monkeypatch: pytest.MonkeyPatch, first: int, last_id: int
    ) -> None:
        later = (FoundRange(80, 85, 1, 2),)
        state = StartState(
            bad=(),
            begun_ms={"BTCUSDC": 500},
            start_positions={self.SERIES: StartPosition(79, later=later)},
        )
        positions, _, _ = self.positions(monkeypatch, state, first)
        assert positions == {self.SERIES: StartPosition(last_id, later=later)}

    def test_ids_that_have_begun_anew_keep_their_numbering(self, monkeypatch: pytest.MonkeyPatch) -> None:
        at = StartPosition(number(1, 79), later=(FoundRange(number(1, 80), number(1, 85), 1, 2),))
        begun = {"BTCUSDC": 500}
        state = StartState(bad=(), begun_ms=begun, start_positions={self.SERIES: at})
        positions, _, _ = self.positions(monkeypatch, state, 50)
        assert positions == {self.SERIES: replace(at, last_id=EPOCH_SPAN + 49)}
        # Those found behind them are of a later one: REST no longer knows the first before.
        anew = replace(at, later=(FoundRange(number(2, 1), number(2, 2), 1, 2),))
        state = StartState(bad=(), begun_ms=begun, start_positions={self.SERIES: anew})
        assert self.positions(monkeypatch, state, 50)[0] == {self.SERIES: anew}

    @pytest.mark.parametrize(
        "assignment",
        [{"memory_broker": True}, {"start_positions": {SERIES: StartPosition(5)}}, {"start_positions": {}}],
    )
    def test_given_positions_and_the_memory_broker_ask_nobody(
        self, monkeypatch: pytest.MonkeyPatch, assignment: dict[str, Any]
    ) -> None:
        found: list[Any] = []

        async def ask(bench: Bench) -> None:
            found.append(await bench.service._start_positions())

        assert in_service(monkeypatch, ask, **assignment).calls == []
        assert found == [assignment.get("start_positions", {})]


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


@pytest.mark.parametrize(
    ("source", "known", "windows"),
    [
        ("native", True, Windows((TRADES, BARS), {"BTCUSDC": NOW_MS - 60_000}, NOW_MS + 100_000)),
        ("native", False, None),  # a first start
        ("trades", True, Windows((BARS,), {"BTCUSDC": NOW_MS - 300_000}, NOW_MS + 100_000)),
        ("trades", False, None),
    ],
)
def test_bars_and_what_they_are_compared_with_are_read_back_and_given_to_the_instrument(
    monkeypatch: pytest.MonkeyPatch, source: str, known: bool, windows: Windows | None
) -> None:
    series = "binance:BTCUSDC:klines:1m"
    seen = {series: Progress(NOW_MS, BARS, 0, 9, NOW_MS, NOW_MS)} if known else {}
    positions = {series: StartPosition(NOW_MS)} if known else {}
    was_read = ReadBack(bars=(kline(open_time_ms=NOW_MS),))

    async def at_once(answer: Any = None) -> Any:
        return answer

    async def start(bench: Bench) -> None:
        service, calls = bench.service, bench.calls

        class Ends:
            def __init__(self, address: str, kafka: KafkaClients) -> None:
                calls.append((address, kafka is service._kafka))

            def read_back(self, exchange: str, windows: Windows) -> dict[str, ReadBack]:
                calls.append((exchange, windows))
                return {"BTCUSDC": was_read}

            def close(self) -> None:
                calls.append("closed")

        class Reader:
            def __init__(self, *_: Any) -> None:
                pass

            def start_state(self, *_: Any, stored: Any) -> StartState:
                return StartState(bad=(), seen=seen, start_positions=positions)

            def close(self) -> None:
                pass

        monkeypatch.setattr(producers.service, "TopicEnds", Ends)
        monkeypatch.setattr(producers.service, "ProgressReader", Reader)
        begin = Instrument.begin

        def begun(self: Instrument, *arguments: Any, read_back: ReadBack, **named: Any) -> Any:
            calls.append(("begun", read_back))
            return begin(self, *arguments, read_back=read_back, **named)

        monkeypatch.setattr(Instrument, "begin", begun)
        promises = service._exchange.promises
        bars = replace(promises.bars, source=source)
        service._exchange = copy(service._exchange)
        service._exchange.promises = replace(promises, bars=bars)
        monkeypatch.setattr(service, "_await_turn", at_once)
        monkeypatch.setattr(service, "_measure_clock", at_once)
        service._publisher.start = lambda _topics: None
        service._publisher.flush_now = lambda _timeout_s: None
        for name in ("forget", "write", "begin"):
            setattr(service._progress, name, lambda _: None)
        bench.rest.statuses = lambda _symbols: at_once({"BTCUSDC": "TRADING"})
        bench.rest.recorded_halts, bench.rest.listed = {}, {}
        bench.rest.time_ms = lambda: at_once(NOW_MS + 90_000)
        service._runner.register = lambda *_: None
        calls.clear()
        await service._start()
        assert service._read_back == {}  # the instrument has what it needs

    found = in_service(monkeypatch, start).calls
    asked = [("broker:9092", True), ("binance", windows), "closed"] if windows is not None else []
    assert found[: len(asked) + 1] == [*asked, ("begun", was_read if windows is not None else NOTHING_READ)]


@pytest.mark.parametrize(("source", "warmup_bars"), [("native", 30), ("built", 0)])
def test_what_kafka_has_is_read_once_and_marked_before_the_first_record(
    monkeypatch: pytest.MonkeyPatch, source: str, warmup_bars: int
) -> None:
    """Bars that are built begin where the trades do: no earlier ones warm them up."""
    true, seen = Progress(1, TRADES, 0, 0, 1, 1), Progress(2, TRADES, 0, 1, 1, 1)
    marker = Progress(None, BARS, 0, 0, 1, 1)
    state = StartState(
        bad=(BadProgress(0, 5, b"key", b"value", "garbage"),),
        progress={"trades": true},
        markers={"bars": marker},
        untrue=["gone"],
        seen={"trades": seen},
    )
    stored = {"trades": StartPosition(5)}

    async def read(bench: Bench) -> None:
        calls = bench.calls

        class Reader:
            def __init__(self, address: str, kafka: KafkaClients) -> None:
                calls.append((address, kafka is bench.service._kafka))

            def start_state(self, *asked: Any, stored: Any) -> StartState:
                calls.append((*asked, stored))
                return state

            def close(self) -> None:
                calls.append("closed")

        monkeypatch.setattr(producers.service, "ProgressReader", Reader)
        service, progress = bench.service, bench.progress
        service._settings = service._settings.model_copy(update={"warmup_bars": 30})
        promises = SimpleNamespace(bars=SimpleNamespace(source=source))
        service._exchange = SimpleNamespace(name="binance", promises=promises)
        service._rejections = SimpleNamespace(reject_progress=lambda bad: calls.append(("bad", bad.offset)))
        progress.forget = lambda series: calls.append(("forgotten", series))
        progress.write = lambda progress: calls.append(("written", progress))
        progress.begin = lambda log: calls.append(("begun", log.newest))
        bench.publisher.flush_now = lambda timeout_s: calls.append(("flushed", timeout_s))
        assert service._read_start_state(77) is state

    assert in_service(monkeypatch, read, stored=stored).calls == [
        ("broker:9092", True),
        ("binance", ("BTCUSDC",), ("1m",), 77, warmup_bars, stored),
        "closed",
        ("bad", 5),
        ("forgotten", ["gone"]),
        ("written", {"bars": marker}),
        ("flushed", 30.0),
        ("begun", {"trades": seen, "bars": marker}),
    ]
