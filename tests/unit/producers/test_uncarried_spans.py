"""Spans in which a stream is not carried, over restarts: on the progress topic, and in the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from consumers.ledger_incidents import SeriesIncidents
from cryptostream.ledger_report.report import Note
from producers.start_positions import StartPosition
from producers.stream_health import DEPTH, QUOTE, TRADE, Entry
from producers.uncarried_spans import SpanRecords, UncarriedSpans, decode_spans, spans_series
from shared.errors import InvalidMessage
from shared.ledger import LedgerSeries
from shared.messages import CARRIED_AGAIN
from shared.topics import LEDGER, PROGRESS
from tests.builders import NOW_MS, kline, ledger, quote, trade
from tests.unit.producers.shell import SERIES, Shell

KEY = spans_series("binance", "BTCUSDC").encode()
TRADES = LedgerSeries("binance", "BTCUSDC", "trades", "")


def records_of(values: Iterable[bytes | None]) -> SpanRecords:
    records = SpanRecords("binance", ["BTCUSDC"])
    for offset, value in enumerate(values):
        records.receive(KEY, 3, offset, value)
    return records


class Producer:
    """A process that begins `at_s`; the progress topic has what those before it have noted."""

    def __init__(self, at_s: int, before: Producer | None = None) -> None:
        self.shell = Shell()
        self.at_s = at_s
        self._earlier: list[bytes | None] = [] if before is None else before.noted
        spans, _ = records_of(self._earlier).read(self.now_ms)
        left = spans.get("BTCUSDC", ())
        self.shell.progress.begin(self.shell.log, spans)
        self.shell.instrument.uncarried_before = left
        self.shell.instrument.begin({SERIES: StartPosition(100, time_ms=NOW_MS)}, self.now_ms)

    @property
    def noted(self) -> list[bytes | None]:
        own = [value for _, key, value in self.shell.broker.of(PROGRESS) if key == KEY]
        return [*self._earlier, *own]

    @property
    def now_ms(self) -> int:
        return NOW_MS + self.at_s * 1_000

    def bar(self, last_trade_id: int) -> None:
        ids = {"first_trade_id": 100, "last_trade_id": last_trade_id, "trade_count": last_trade_id - 99}
        bar = kline(open_time_ms=NOW_MS, closed=False, event_time_ms=self.now_ms, **ids)
        self.shell.instrument.receive("kline", bar)

    def seconds(self, count: int, *, brings: bool = False, bars: bool = True) -> None:
        """Of a market with a trade a second; its stream may not bring them."""
        for _ in range(count):
            self.at_s += 1
            newest = 100 + self.at_s
            if brings:
                message = trade(trade_id=newest, trade_time_ms=self.now_ms, received_time_ms=self.now_ms)
                self.shell.instrument.receive("trade", message)
            self.shell.instrument.receive("quote", quote(update_id=1))
            if bars:
                self.bar(newest)
            self.shell.instrument.watch(float(self.at_s), self.now_ms, self.now_ms, brought_to_ms=self.now_ms)
            self.shell.ledger.write([(self.shell.instrument, self.shell.instrument.tick())])
            self.shell.broker.deliver()

    @property
    def events(self) -> list[Any]:
        events = [orjson.loads(value or b"") for _, _, value in self.shell.broker.of(LEDGER)]
        return [event for event in events if (event["stream"], event["kind"]) == ("trades", "uncarried")]


def notes_of(*producers: Producer) -> list[Note]:
    incidents = SeriesIncidents()
    for producer in producers:
        for event in producer.events:
            incidents.receive(TRADES, event)
    return [Note(TRADES, *each) for each in incidents.newest()]


def uncarried() -> Producer:
    """A producer whose trades have stopped, and that is killed."""
    producer = Producer(0)
    producer.seconds(5, brings=True)
    producer.seconds(20)
    assert [note.goes_on for note in notes_of(producer)] == [True]
    return producer


def test_what_a_killed_producer_left_open_ends_when_its_successor_is_brought_the_stream() -> None:
    killed = uncarried()
    successor = Producer(60, killed)
    successor.seconds(1, brings=True)
    ended_ms = successor.now_ms
    successor.seconds(70, brings=True)
    (note,) = notes_of(killed, successor)
    assert (note.first, note.last, note.goes_on) == (killed.events[0]["first"], ended_ms, False)
    assert len(successor.events) == 1


def test_a_restart_alone_ends_nothing() -> None:
    killed = uncarried()
    successor = Producer(60, killed)
    successor.seconds(130)
    (note,) = notes_of(killed, successor)
    assert (note.first, note.goes_on) == (killed.events[0]["first"], True)
    assert note.last > NOW_MS + 180_000 - 60_000


def test_two_restarts_in_a_row_double_nothing() -> None:
    killed = uncarried()
    second = Producer(60, killed)
    second.seconds(3)
    third = Producer(70, second)
    third.seconds(3, brings=True)
    ended = notes_of(killed, second, third)
    fourth = Producer(80, third)
    fourth.seconds(30, brings=True)
    assert [note.goes_on for note in ended] == [False]
    assert notes_of(killed, second, third, fourth) == ended


def test_an_end_is_noted_before_it_is_entered_and_a_kill_between_loses_neither() -> None:
    killed = uncarried()
    second = Producer(60, killed)
    second.seconds(1, brings=True)
    third = Producer(70, second)
    third.seconds(1, brings=True)
    assert notes_of(killed, third) == notes_of(killed, second)
    sent = [(topic, key == KEY) for topic, key, _ in second.shell.broker.sent]
    noted = sent.index((PROGRESS, True))
    assert (LEDGER, False) not in sent[:noted]


def event(stream: str, first: int, last: int, detail: str, interval: str | None = None) -> Any:
    return ledger(kind="uncarried", stream=stream, interval=interval, first=first, last=last, detail=detail)


def test_that_a_span_goes_on_is_no_news() -> None:
    spans = UncarriedSpans()
    assert spans.receive([event("depth", 1, 2, "late")])
    assert not spans.receive([event("depth", 1, 60, "late"), ledger(kind="gap")])
    assert spans.receive([event("depth", 1, 70, "late" + CARRIED_AGAIN)])
    assert spans.receive([event("depth", 80, 90, "late")])
    assert spans.receive([event("klines", 80, 90, "late", "1m")])
    assert decode_spans(spans.encode(7)) == (
        7,
        [Entry(DEPTH, 80, 90, "late"), Entry(("kline", "1m"), 80, 90, "late")],
    )


def test_a_span_that_is_not_read_any_more_stays_noted() -> None:
    spans = UncarriedSpans([Entry(("kline", "5m"), 1, 2, "late")])
    spans.receive([event("trades", 3, 4, "late")])
    assert [entry.stream for entry in decode_spans(spans.encode(7))[1]] == [("kline", "5m"), TRADE]


def test_what_ended_long_ago_is_not_entered_again() -> None:
    over, open_ = Entry(QUOTE, 1, 2, CARRIED_AGAIN), Entry(DEPTH, 1, 2, "late")
    records = SpanRecords("binance", ["BTCUSDC"])
    records.receive(KEY, 0, 0, UncarriedSpans([over, open_]).encode(7))
    assert records.read(2)[0] == {"BTCUSDC": [over, open_]}
    assert records.read(NOW_MS)[0] == {"BTCUSDC": [open_]}


@pytest.mark.parametrize("partitions", [(0, 1), (1, 0)])
def test_of_records_in_two_partitions_the_later_one_counts(partitions: tuple[int, int]) -> None:
    written = {0: UncarriedSpans([Entry(DEPTH, 1, 2, "late")]).encode(7), 1: UncarriedSpans().encode(8)}
    records = SpanRecords("binance", ["BTCUSDC"])
    for partition in partitions:
        records.receive(KEY, partition, 0, written[partition])
    assert records.read(NOW_MS) == ({}, [])


def test_a_deleted_record_and_those_of_others_say_nothing() -> None:
    records = SpanRecords("binance", ["BTCUSDC"])
    value = UncarriedSpans([Entry(DEPTH, 1, 2, "late")]).encode(7)
    records.receive(KEY, 0, 0, value)
    records.receive(KEY, 0, 1, None)
    records.receive(b"kraken:BTC/USD:uncarried", 0, 2, value)
    assert records.read(NOW_MS) == ({}, [])


@pytest.mark.parametrize(
    "value",
    [
        b"garbage",
        b"[]",
        b'{"schema":2,"updated_ms":1,"uncarried":[]}',
        b'{"schema":1,"uncarried":[]}',
        b'{"schema":1,"updated_ms":"1","uncarried":[]}',
        b'{"schema":1,"updated_ms":1,"uncarried":[1]}',
        b'{"schema":1,"updated_ms":1,"uncarried":[["depth",null,1,2]]}',
        b'{"schema":1,"updated_ms":1,"uncarried":[["depth",null,2,1,"late"]]}',
        b'{"schema":1,"updated_ms":1,"uncarried":[["depth",null,1,2.5,"late"]]}',
        b'{"schema":1,"updated_ms":1,"uncarried":[["depth","1m",1,2,"late"]]}',
        b'{"schema":1,"updated_ms":1,"uncarried":[["kline",null,1,2,"late"]]}',
        b'{"schema":1,"updated_ms":1,"uncarried":[["other",null,1,2,"late"]]}',
        b'{"schema":1,"updated_ms":1,"uncarried":[[[],null,1,2,"late"]]}',
        b'{"schema":1,"updated_ms":1,"uncarried":[["depth",null,1,2,null]]}',
    ],
)
def test_an_unreadable_record_says_nothing_and_is_named(value: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_spans(value)
    records = SpanRecords("binance", ["BTCUSDC"])
    records.receive(KEY, 4, 9, value)
    spans, (bad,) = records.read(NOW_MS)
    assert (spans, bad[:4]) == ({}, (4, 9, KEY, value))
