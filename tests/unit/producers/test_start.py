"""What a producer reads at its start, and where each of its series goes on then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import producers.start
from producers.assignment import Assignment
from producers.exchanges.registry import exchange_named
from producers.progress import BadProgress, Progress
from producers.progress_reader import StartState
from producers.read_back import ReadBack, Windows
from producers.start import Start, StartReader, retrying
from producers.start_positions import FoundRange, StartPosition
from producers.stream_health import Entry
from shared.background import Background
from shared.errors import ExchangeRefused, ExchangeUnavailable, ExchangeUnreadable
from shared.kafka import KAFKA, KafkaClients
from shared.settings import Settings
from shared.topics import TRADES, klines_topic
from shared.trade_ids import EPOCH_SPAN, number
from tests.builders import NOW_MS, kline
from tests.unit.producers.service_bench import AtOnce, LoopTime
from tests.virtual_time import run_virtually

BARS = klines_topic("1m")
SERIES = "binance:BTCUSDC:trades"
# A test that is red ends, too.
PATIENCE_S = 10


class Asked:
    """A reader whose parts say what they were asked, in `calls`.

    Args:
        first: REST's answer about the first trade since a time.
        source: of the exchange's bars.
    """

    def __init__(self, first: int | Exception = 100, source: str = "native", **assignment: Any) -> None:
        self.calls: list[Any] = []
        self.first = first
        exchange: Any = copy(exchange_named("binance"))
        bars = replace(exchange.promises.bars, source=source)
        exchange.promises = replace(exchange.promises, bars=bars)
        rest: Any = SimpleNamespace(time_ms=self._time_ms, first_trade=self._first_trade)
        publisher: Any = SimpleNamespace(
            flush_now=lambda timeout_s: self.calls.append(("flushed", timeout_s))
        )
        progress: Any = SimpleNamespace(
            forget=lambda series: self.calls.append(("forgotten", series)),
            write=lambda written: self.calls.append(("written", written)),
            begin=lambda log, uncarried: self.calls.append(("begun", log.newest, uncarried)),
        )
        rejections: Any = SimpleNamespace(reject_progress=lambda bad: self.calls.append(("bad", bad.offset)))
        broker: Any = AtOnce("broker")
        self.reader = StartReader(
            Settings(kafka_bootstrap_servers="broker:9092", symbols=("BTCUSDC",), warmup_bars=30),
            Assignment(("BTCUSDC",), ("1m",), **assignment),
            exchange,
            rest,
            kafka=KAFKA,
            publisher=publisher,
            progress=progress,
            rejections=rejections,
            broker=broker,
        )

    async def _time_ms(self) -> int:
        return NOW_MS

    async def _first_trade(self, symbol: str, from_ms: int, to_ms: int) -> int:
        self.calls.append(("first", symbol, from_ms, to_ms))
        if isinstance(self.first, Exception):
            raise self.first
        return self.first

    def read(self) -> Start:
        return run_virtually(self.reader.read())


def positions_of(
    state: StartState, first: int | Exception
) -> tuple[Mapping[str, StartPosition], Mapping[str, int], list[Any]]:
    """Positions, symbols that are asked for again, and requests of first trades."""
    asked = Asked(first)
    reader: Any = asked.reader
    reader._read_topics = lambda _now_ms: (state, {})
    start = asked.read()
    return start.positions, start.begun_ms, asked.calls


def of_topics(
    monkeypatch: pytest.MonkeyPatch, asked: Asked, state: StartState, read: dict[str, ReadBack]
) -> Start:
    """What is read where the topics have this."""

    class Reader:
        def __init__(self, address: str, kafka: KafkaClients) -> None:
            asked.calls.append(("progress", address, kafka is KAFKA))

        def start_state(self, *of: Any, stored: Any) -> StartState:
            asked.calls.append((*of, stored))
            return state

        def close(self) -> None:
            asked.calls.append("closed")

    class Ends(Reader):
        def __init__(self, address: str, kafka: KafkaClients) -> None:
            asked.calls.append(("ends", address, kafka is KAFKA))

        def read_back(self, exchange: str, windows: Windows) -> dict[str, ReadBack]:
            asked.calls.append((exchange, windows))
            return read

    monkeypatch.setattr(producers.start, "ProgressReader", Reader)
    monkeypatch.setattr(producers.start, "TopicEnds", Ends)
    return asked.read()


def test_a_known_base_needs_no_request() -> None:
    state = StartState(bad=(), begun_ms={"BTCUSDC": 500}, bases={"BTCUSDC": 41})
    positions, begun, asked = positions_of(state, 7)
    assert (positions, begun, asked) == ({SERIES: StartPosition(41)}, {}, [])


def test_the_first_trade_since_the_subscription_is_asked_for() -> None:
    state = StartState(bad=(), begun_ms={"BTCUSDC": 500})
    positions, begun, asked = positions_of(state, 100)
    assert (positions, begun) == ({SERIES: StartPosition(99)}, {})
    assert asked == [("first", "BTCUSDC", 500, NOW_MS + 86_400_000)]


@pytest.mark.parametrize(
    "answer", [ExchangeRefused("too old"), ExchangeUnreadable("a page lacks those after 7")]
)
def test_an_exchange_that_refuses_or_contradicts_itself_is_asked_again_beside_the_streams(
    answer: Exception,
) -> None:
    state = StartState(bad=(), begun_ms={"BTCUSDC": 500})
    positions, begun, _ = positions_of(state, answer)
    assert (positions, begun) == ({}, {"BTCUSDC": 500})


@pytest.mark.parametrize(("first", "last_id"), [(50, 49), (90, 79)])
def test_what_the_topic_has_is_not_forgotten(first: int, last_id: int) -> None:
    later = (FoundRange(80, 85, 1, 2),)
    state = StartState(
        bad=(),
        begun_ms={"BTCUSDC": 500},
        start_positions={SERIES: StartPosition(79, later=later)},
    )
    positions, _, _ = positions_of(state, first)
    assert positions == {SERIES: StartPosition(last_id, later=later)}


def test_ids_that_have_begun_anew_keep_their_numbering() -> None:
    at = StartPosition(number(1, 79), later=(FoundRange(number(1, 80), number(1, 85), 1, 2),))
    begun = {"BTCUSDC": 500}
    state = StartState(bad=(), begun_ms=begun, start_positions={SERIES: at})
    positions, _, _ = positions_of(state, 50)
    assert positions == {SERIES: replace(at, last_id=EPOCH_SPAN + 49)}
    # Those found behind them are of a later one: REST no longer knows the first before.
    anew = replace(at, later=(FoundRange(number(2, 1), number(2, 2), 1, 2),))
    state = StartState(bad=(), begun_ms=begun, start_positions={SERIES: anew})
    assert positions_of(state, 50)[0] == {SERIES: anew}


@pytest.mark.parametrize(
    "assignment",
    [{"memory_broker": True}, {"start_positions": {SERIES: StartPosition(5)}}, {"start_positions": {}}],
)
def test_given_positions_and_the_memory_broker_ask_nobody(assignment: dict[str, Any]) -> None:
    asked = Asked(**assignment)
    assert asked.read() == Start(assignment.get("start_positions", {}))
    assert asked.calls == []


@pytest.mark.parametrize(
    ("source", "known", "windows"),
    [
        ("native", True, Windows((TRADES, BARS), {"BTCUSDC": NOW_MS - 60_000}, NOW_MS + 10_000)),
        ("native", False, None),  # a first start
        ("trades", True, Windows((BARS,), {"BTCUSDC": NOW_MS - 300_000}, NOW_MS + 10_000)),
        ("trades", False, None),
    ],
)
def test_bars_and_what_the_exchange_s_are_compared_with_are_read_back(
    monkeypatch: pytest.MonkeyPatch, source: str, known: bool, windows: Windows | None
) -> None:
    was_read = {"BTCUSDC": ReadBack(bars=(kline(open_time_ms=NOW_MS),))}
    series = "binance:BTCUSDC:klines:1m"
    seen = {series: Progress(NOW_MS, BARS, 0, 9, NOW_MS, NOW_MS)} if known else {}
    positions = {series: StartPosition(NOW_MS)} if known else {}
    asked = Asked(source=source)
    state = StartState(bad=(), seen=seen, start_positions=positions)
    start = of_topics(monkeypatch, asked, state, was_read)
    assert start == Start(positions, {}, was_read if windows is not None else {})
    ends = [call for call in asked.calls if call[0] in ("ends", "binance") and call[-1] != {}]
    assert ends == ([("ends", "broker:9092", True), ("binance", windows)] if windows is not None else [])


@pytest.mark.parametrize(("source", "warmup_bars"), [("native", 30), ("trades", 0)])
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
        uncarried={"BTCUSDC": [Entry(("depth", None), 1, 2, "REST knows more")]},
    )
    stored = {"trades": StartPosition(5)}
    asked = Asked(source=source, stored=stored)
    assert of_topics(monkeypatch, asked, state, {}).uncarried == state.uncarried
    assert asked.calls == [
        ("progress", "broker:9092", True),
        ("binance", ("BTCUSDC",), ("1m",), NOW_MS, warmup_bars, stored),
        "closed",
        ("bad", 5),
        ("forgotten", ["gone"]),
        ("written", {"bars": marker}),
        ("flushed", 30.0),
        ("begun", {"trades": seen, "bars": marker}, state.uncarried),
    ]


def test_without_a_progress_topic_the_store_says_which_streams_were_not_carried() -> None:
    known = {SERIES: StartPosition(5), "binance:BTCUSDC:uncarried:depth": StartPosition(70, time_ms=90)}
    start = Asked(start_positions=known, memory_broker=True).read()
    assert [entry[:3] for entry in start.uncarried["BTCUSDC"]] == [(("depth", None), 70, 90)]
    assert Asked(memory_broker=True).read().uncarried == {}


def test_a_broker_that_does_not_answer_cannot_hold_a_stop() -> None:
    asked, answer, in_vain = threading.Event(), threading.Event(), threading.Event()

    def never(*_: object) -> Sequence[str]:
        asked.set()
        if not answer.wait(PATIENCE_S):
            in_vain.set()
        return []

    async def stopped_meanwhile() -> None:
        reader: Any = Asked().reader
        reader._broker, reader._read_topics = Background("broker"), never
        reading = asyncio.create_task(reader.read())
        await asyncio.to_thread(asked.wait, PATIENCE_S)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading

    asyncio.run(stopped_meanwhile())
    held = in_vain.is_set()
    answer.set()
    assert not held


def test_an_exchange_that_does_not_answer_is_asked_until_it_does() -> None:
    answers: list[Any] = [ExchangeUnavailable("no", 3.0), ExchangeUnavailable("no", 2.0), 5]

    async def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    async def asked() -> tuple[int, float]:
        return await retrying(ask), LoopTime.monotonic()

    found, after_s = run_virtually(asked())
    assert found == 5
    assert 5.0 <= after_s <= 6.5, "the waits that were asked for, and a random part of half a second and one"
