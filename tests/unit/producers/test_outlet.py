"""What an outlet notes of the progress of its series."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from producers.bearings import OpenHole, SeriesBearings
from producers.clock import Clock
from producers.effects import Publish
from producers.instrument import Instrument
from producers.outlet import MOST_UNDELIVERED, Outlet
from producers.progress import BadProgress, Progress, ProgressLog, decode_progress
from shared.dead_letters import DeadLetter, origin_of
from shared.metrics import ServiceMetrics
from shared.topics import LEDGER, PROGRESS, TRADES
from tests.builders import NOW_MS, trade

SERIES = "binance:BTCUSDC:trades"


class Broker:
    """Takes records in order; `deliver` acknowledges them."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None]] = []
        self.letters: list[DeadLetter] = []
        self._reports: list[Any] = []

    def send(self, topic: str, key: bytes, value: bytes | None, delivered: Any = None) -> None:
        self.sent.append((topic, key, value))
        offset = sum(to == topic for to, _, _ in self.sent) - 1
        if delivered is not None:
            self._reports.append(lambda: delivered(3, offset))

    def put_aside(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def deliver(self) -> None:
        for report in self._reports:
            report()
        self._reports.clear()

    def progress(self) -> Progress:
        return decode_progress(
            next(v for to, _, v in reversed(self.sent) if to == PROGRESS and v is not None)
        )


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def outlet(broker: Broker) -> Outlet:
    made: Any = Outlet("binance", broker, ServiceMetrics("producer"), Clock())  # type: ignore[arg-type]
    made.progress = ProgressLog({})
    return made  # type: ignore[no-any-return]


@pytest.fixture
def instrument(outlet: Outlet) -> Instrument:
    made = Instrument("binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=5)
    outlet.carry(made, ["1m"])
    return made


def take(outlet: Outlet, instrument: Instrument, trade_id: int, at_ms: int) -> None:
    message = trade(trade_id=trade_id, trade_time_ms=NOW_MS + at_ms, received_time_ms=NOW_MS + at_ms)
    outlet.perform(instrument, instrument.receive("trade", message))


def settle(outlet: Outlet, broker: Broker, instrument: Instrument) -> None:
    """Two seconds."""
    for _ in range(2):
        broker.deliver()
        outlet.settle([(instrument, instrument.tick())])
        broker.deliver()


def test_progress_above_an_open_hole_names_the_hole(
    outlet: Outlet, broker: Broker, instrument: Instrument
) -> None:
    take(outlet, instrument, 1, 0)
    take(outlet, instrument, 5, 200)
    settle(outlet, broker, instrument)
    written = broker.progress()
    assert (written.last_id, written.offset, written.stopped) == (5, 1, False)
    assert written.missing == (OpenHole(2, 4, NOW_MS, NOW_MS + 200),)


def test_a_repair_that_is_still_on_its_way_is_not_noted_as_there(
    outlet: Outlet, broker: Broker, instrument: Instrument
) -> None:
    take(outlet, instrument, 1, 0)
    take(outlet, instrument, 5, 200)
    rows = [trade(trade_id=number, source="backfill", event_time_ms=None) for number in (2, 3, 4)]
    outlet.perform(instrument, instrument.receive_trade_rows(2, 4, rows, NOW_MS + 300, now_s=0.0))
    settle(outlet, broker, instrument)
    assert (broker.progress().last_id, len(broker.progress().missing)) == (5, 1)
    take(outlet, instrument, 6, 400)
    settle(outlet, broker, instrument)
    assert (broker.progress().last_id, broker.progress().missing) == (6, ())


def test_the_last_word_counts_what_lies_behind(
    outlet: Outlet, broker: Broker, instrument: Instrument
) -> None:
    for number in range(1, 8):
        take(outlet, instrument, number, number)  # within a tenth of a second: only the first is followed
    settle(outlet, broker, instrument)
    outlet.write_final_progress()
    written = broker.progress()
    assert (written.last_id, written.offset, written.stopped, written.after) == (1, 0, True, 6)


def test_bad_progress_is_put_aside_whole_and_untrue_progress_is_deleted(
    outlet: Outlet, broker: Broker
) -> None:
    outlet.put_aside(BadProgress(4, 17, SERIES.encode(), b"\x00garbage", "is no progress"))
    outlet.forget_progress([SERIES])
    assert broker.sent == [(PROGRESS, SERIES.encode(), None)]
    (letter,) = broker.letters
    assert (letter.key, letter.value) == (SERIES.encode(), b"\x00garbage")
    origin = origin_of(letter.headers)
    assert (origin.source, origin.partition, origin.offset) == (PROGRESS, 4, 17)
    assert origin.reason == "is no progress"
    assert outlet.dead_letters == 1
    assert {TRADES, LEDGER}.isdisjoint(to for to, _, _ in broker.sent)


@pytest.mark.parametrize("delivered_first", [True, False])
def test_progress_of_trades_waits_until_it_is_known_where_they_begin(
    outlet: Outlet, broker: Broker, instrument: Instrument, delivered_first: bool
) -> None:
    instrument.begin({}, NOW_MS)
    instrument.await_trade_base()
    take(outlet, instrument, 12, 0)
    if delivered_first:
        settle(outlet, broker, instrument)
        assert PROGRESS not in [topic for topic, _, _ in broker.sent]
    outlet.perform(instrument, instrument.listen_after(9, NOW_MS, NOW_MS))
    outlet.note_trade_base(instrument, 9)
    settle(outlet, broker, instrument)
    known = broker.progress()
    assert known.last_id == 12
    assert [(hole.first, hole.last) for hole in known.missing] == [(10, 11)]


def with_holes(outlet: Outlet, instrument: Instrument, holes: int) -> int:
    """A series that knows of so many single missing trades; its newest id."""
    newest = 2 * holes + 1
    missing = tuple(OpenHole(number, number, NOW_MS, NOW_MS) for number in range(2, newest, 2))
    instrument.begin({SERIES: SeriesBearings(newest, missing, time_ms=NOW_MS)}, NOW_MS)
    take(outlet, instrument, newest + 1, 0)
    return newest + 1


def test_many_holes_are_noted_no_more_often_than_they_are_written(
    outlet: Outlet, broker: Broker, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = with_holes(outlet, instrument, 500)
    settle(outlet, broker, instrument)
    looks: list[int] = []
    open_holes = instrument.open_holes

    def counted(interval: str | None, now_ms: int, now_s: float) -> Iterator[OpenHole]:
        looks.append(now_ms)
        return open_holes(interval, now_ms, now_s)

    monkeypatch.setattr(instrument, "open_holes", counted)
    for number in range(100):  # ten seconds, and a broker that acknowledges nothing
        take(outlet, instrument, newest + 1 + number, 1_000 + number * 100)
    assert len(looks) <= 3  # 500 holes: every five seconds


@pytest.mark.parametrize("holes", [500, 5_001])
def test_a_broker_is_asked_for_the_last_record_though_its_holes_were_not_noted(
    outlet: Outlet, broker: Broker, instrument: Instrument, holes: int
) -> None:
    newest = with_holes(outlet, instrument, holes) + 1
    take(outlet, instrument, newest, 200)
    broker.deliver()
    assert outlet.progress is not None
    assert outlet.progress.newest[SERIES].last_id == newest


HOLES = 4_000


def many(instrument: Instrument) -> list[Publish]:
    """Ledger events of a start with thousands of holes."""
    holes = tuple(OpenHole(at, at, NOW_MS, NOW_MS, asked=1) for at in range(1, 2 * HOLES, 2))
    instrument.begin({SERIES: SeriesBearings(3 * HOLES, holes)}, NOW_MS)
    return instrument.tick()


def started(outlet: Outlet, instrument: Instrument) -> None:
    outlet.settle([(instrument, many(instrument))])


def first_ids(broker: Broker) -> list[int]:
    return [orjson.loads(value or b"")["first"] for topic, _, value in broker.sent if topic == LEDGER]


def test_a_start_with_thousands_of_holes_has_few_ledger_events_on_their_way(
    outlet: Outlet, broker: Broker, instrument: Instrument
) -> None:
    started(outlet, instrument)
    assert outlet.unsaid == HOLES
    on_their_way = []
    while outlet.unsaid:
        before = len(broker._reports)
        assert before
        on_their_way.append(before)
        broker.deliver()
        outlet.say_on()
    assert max(on_their_way) == MOST_UNDELIVERED
    assert first_ids(broker) == list(range(1, 2 * HOLES, 2))  # all, once and in order


def test_events_that_wait_let_none_overtake_them(
    outlet: Outlet, broker: Broker, instrument: Instrument
) -> None:
    started(outlet, instrument)
    instrument.stop(NOW_MS)
    outlet.settle([(instrument, instrument.tick())])
    outlet.say_on(most=outlet.unsaid)  # the end waits for nothing
    kinds = [orjson.loads(value or b"")["kind"] for topic, _, value in broker.sent if topic == LEDGER]
    assert kinds == ["expected"] * HOLES + ["stopped"] * 2


def test_no_progress_is_written_before_the_last_of_its_ledger_events_is_delivered(
    outlet: Outlet, broker: Broker, instrument: Instrument
) -> None:
    take(outlet, instrument, 1, 0)
    broker.deliver()
    outlet.settle([(instrument, many(instrument))])  # the progress of what is delivered is staged behind them
    while outlet.unsaid:
        outlet.settle([(instrument, [])])  # with those on their way delivered, others may wait
        assert all(topic != PROGRESS for topic, _, _ in broker.sent)
        broker.deliver()
    outlet.settle([(instrument, [])])
    assert broker.progress().last_id == 1


def test_ledger_events_that_wait_take_no_more_memory_than_they_need(
    outlet: Outlet, instrument: Instrument
) -> None:
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("only glibc says how much is in use")
    events = many(instrument)
    before = _in_use()
    outlet.settle([(instrument, events)])
    assert outlet.unsaid == len(events)
    assert (_in_use() - before) / len(events) < 500


class _Heap(ctypes.Structure):
    """`struct mallinfo2` of glibc's malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _in_use() -> int:
    """Bytes that malloc has given and not got back."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Heap
    return int(ask().uordblks)
