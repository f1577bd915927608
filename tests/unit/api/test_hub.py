"""What the model of the stream does not reach: kinds as a whole, states, holes, memory, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from api.client import Client
from api.hub import Activate, Fetch, Hub
from api.inbox import Overrun
from api.limits import MOST_SERIES, Limits
from consumers.stores.port import Row
from consumers.tap.port import Arrived, Condition, Event, Fetched, Filled, Hole, LiveRow
from consumers.tap.series import LiveSeries
from shared import trade_ids
from tests.live_topics import KINDS, KLINE, LEVELS, MINUTE_MS, START_MS, TRADE, Page, Topic, subscribe
from tests.unit.api import api_parts

NOW_MS = START_MS + 5_000
LEDGER_OF_TRADES = LiveSeries("ledger", ("binance", "BTCUSDC", "trades", ""))
LEDGER_OF_BARS = LiveSeries("ledger", ("binance", "BTCUSDC", "klines", "1m"))


class Stage:
    """A hub with one client."""

    def __init__(self, *, configured: Any = None, **limits: Any) -> None:
        self.hub = Hub(KINDS, Limits(**{"frame_ms": 0, "credits": 100, **limits}), configured)
        self.client: Client = self.hub.join()
        self.page = Page()
        self.now_ms = NOW_MS

    def send(self, message: str, client: Client | None = None) -> None:
        self.hub.receive(client or self.client, message, self.now_ms)

    def publish(self, *events: Event | Overrun) -> None:
        self.hub.publish(events, self.now_ms)

    def turn(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.hub.turn(now_ms)

    def show(self) -> Page:
        while (frame := self.client.take(self.now_ms)) is not None or self.client.answers:
            while self.client.answers:
                self.page.read(self.client.answers.popleft())
            if frame is not None:
                self.page.read(frame)
                self.send(json.dumps({"ack": self.page.frames[-1]["frame"]}))
        return self.page

    def effects(self) -> list[Any]:
        taken, self.hub.effects = self.hub.effects, []
        return taken


def topic_of(series: LiveSeries, rows: Iterable[tuple[Any, ...]], start_ms: int = START_MS) -> Topic:
    topic = Topic(series)
    for number, values in enumerate(rows):
        topic.append(start_ms + number * 1_000, *values)
    return topic


def trades(count: int) -> Topic:
    return topic_of(TRADE, ((number, 2.0) for number in range(count)))


def row(time_ms: int, *values: Any, offset: int = -1) -> LiveRow:
    return LiveRow(time_ms * 1_000_000, values, offset, time_ms)


def test_a_subscription_is_filled_then_live() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE, last=2))
    assert stage.effects() == [Activate(TRADE)]
    assert stage.show().series[1].states == [("filling", "the rows so far are being read from Kafka")]
    stage.publish(trades(5).filled(5, 100))
    held = stage.show().series[1]
    assert [trade[1] for trade in held.came] == [3, 4]
    assert held.states[-1][0] == "live" and held.cursor == "t3:5@aaaaaa"
    assert stage.page.frames[-1]["ages"] == {"1": NOW_MS - START_MS - 4_000}


def test_columns_types_and_class_are_told() -> None:
    stage = Stage()
    stage.send(subscribe(KLINE, columns=["close"]))
    stage.send('{"subscribe": [{"id": 2, "series": "ledger", "exchange": "binance"}]}')
    first, second = (json.loads(answer)["subscribed"] for answer in stage.client.answers)
    assert first == {
        "id": 1,
        "columns": ["time_ms", "close"],
        "types": ["int", "float"],
        "class": "exact",
        "gaps": [],
    }
    assert second["columns"] == ["time_ms", "symbol", "stream", "interval", "lost"]
    assert second["types"] == ["int", "string", "string", "string", "int"]


def test_what_no_number_is_becomes_null() -> None:
    stage = Stage()
    stage.send(subscribe(KLINE))
    stage.publish(topic_of(KLINE, [(float("nan"), float("inf"))]).filled(1, 9))
    assert stage.show().series[1].came == [[START_MS, None, None]]


def test_a_kind_as_a_whole_has_the_rows_of_all_its_series() -> None:
    stage = Stage()
    stage.send(
        '{"subscribe": [{"id": 1, "series": "ledger"}, {"id": 2, "series": "ledger", "stream": "klines"}]}'
    )
    assert stage.effects() == [Activate(LiveSeries("ledger", ("", "", "", "")))]
    stage.publish(
        Filled(LEDGER_OF_TRADES, None, (row(START_MS, 0),), 0, 0),
        Filled(LEDGER_OF_BARS, None, (row(START_MS, 1),), 0, 0),
    )
    stage.publish(Arrived(LEDGER_OF_BARS, (row(START_MS + 1, 2),), 0))
    page = stage.show()
    assert page.series[1].came == [
        [START_MS, "binance", "BTCUSDC", "trades", "", 0],
        [START_MS, "binance", "BTCUSDC", "klines", "1m", 1],
        [START_MS + 1, "binance", "BTCUSDC", "klines", "1m", 2],
    ]
    assert [each[-1] for each in page.series[2].came] == [1, 2]
    assert page.series[1].states[-1][0] == "live"


def test_a_kind_without_any_row_is_known_to_have_none() -> None:
    stage = Stage()
    stage.send('{"subscribe": [{"id": 1, "series": "ledger"}]}')
    stage.publish(Filled(LiveSeries("ledger", ("", "", "", "")), None, (), 0, 0))
    assert stage.show().series[1].states[-1] == ("filling", "no row yet; one is due every 60 s")
    stage.publish(Arrived(LEDGER_OF_TRADES, (row(NOW_MS, 0),), 0))
    assert stage.show().series[1].states[-1][0] == "live"


def test_a_series_that_appears_later_belongs_to_the_whole() -> None:
    stage = Stage()
    stage.send('{"subscribe": [{"id": 1, "series": "freshness", "exchange": "binance"}]}')
    stage.publish(Filled(LiveSeries("freshness", ("", "", "", "")), None, (), 0, 0))
    for exchange in ("binance", "kraken"):
        for value in (1.0, 2.0):
            series = LiveSeries("freshness", (exchange, "trade", "pushed", "0"))
            stage.publish(Arrived(series, (row(START_MS, value, value, value),), 0))
    assert stage.show().series[1].came == [[START_MS, "trade", "pushed", "0", 2.0, 2.0, 2.0]]


def test_a_series_that_no_tap_has_is_refused() -> None:
    stage = Stage()
    stage.send(subscribe(KLINE))
    stage.hub.refuse(KLINE, "INTERVALS: 1m is not read; choose from 1s")
    assert stage.show().errors == [
        {"id": 1, "title": "subscription refused", "detail": "INTERVALS: 1m is not read; choose from 1s"}
    ]
    stage.effects()
    stage.send(subscribe(KLINE))
    assert stage.effects() == [Activate(KLINE)]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (subscribe(KLINE), "id: 1 is in use; unsubscribe it first"),
        ('{"unsubscribe": [7]}', "unsubscribe: 7 is no subscription"),
        ('{"ack": 7}', "frame 7 was not sent yet"),
        ('{"hello": 7}', "hello: a message has one of"),
    ],
)
def test_a_refused_request_is_answered_and_all_else_goes_on(message: str, said: str) -> None:
    stage = Stage()
    stage.send(subscribe(TRADE))
    stage.send(message)
    stage.publish(trades(1).filled(1, 9))
    page = stage.show()
    assert said in page.errors[0]["detail"]
    assert len(page.series[1].came) == 1


@pytest.mark.thorough
def test_subscriptions_and_series_are_bounded() -> None:
    stage = Stage(subscriptions=3)
    for number in range(4):
        stage.send(subscribe(TRADE, number))
    assert "at most 3 subscriptions" in stage.show().errors[0]["detail"]
    stage = Stage(subscriptions=MOST_SERIES + 1)
    for number in range(MOST_SERIES + 1):
        stage.send(subscribe(LiveSeries("trade", ("binance", f"S{number}")), number))
    assert f"{MOST_SERIES:,} are followed already" in stage.show().errors[0]["detail"]


def test_the_time_is_echoed_with_ours() -> None:
    stage = Stage()
    stage.send('{"time": 12.5}')
    assert json.loads(stage.client.answers[0]) == {"time": 12.5, "server_time_ms": NOW_MS}


def test_holes_are_told_at_once_or_when_they_are_known() -> None:
    hole = Hole(START_MS - MINUTE_MS, START_MS, "lost")
    filled = replace(trades(1).filled(1, 9), holes=(hole,))
    stage = Stage()
    stage.send(subscribe(TRADE, 1))
    stage.publish(filled)
    stage.send(subscribe(TRADE, 2))
    page = stage.show()
    assert page.series[1].gaps == page.series[2].gaps == [list(hole)]


# States.


def test_a_feed_that_stops_becomes_stale_and_live_again() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE))
    stage.publish(trades(5).filled(5, 9))
    newest_ms = START_MS + 4_000
    stage.turn(newest_ms + 3_000)
    assert [state for state, _ in stage.show().series[1].states] == ["live"] * (
        len(stage.page.series[1].states)
    )
    stage.turn(newest_ms + 3_001)
    assert stage.show().series[1].states[-1] == ("stale", "nothing newer, though a row is due every 1 s")
    stage.publish(Arrived(TRADE, (row(stage.now_ms, 9, 2.0, offset=5),), 6))
    assert stage.show().series[1].states[-1][0] == "live"


def test_a_page_that_is_opened_after_the_feed_died_sees_it_stale() -> None:
    stage = Stage()
    stage.now_ms = NOW_MS + 600_000
    stage.send(subscribe(TRADE))
    stage.publish(trades(5).filled(5, 9))
    page = stage.show()
    assert page.series[1].states[-1][0] == "stale"
    assert page.frames[-1]["state"][0][2] == START_MS + 4_000


def test_a_feed_from_which_nothing_ever_came_is_stale() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE))
    stage.publish(trades(0).filled(0, 9))
    stage.turn(NOW_MS + 3_001)
    assert stage.show().series[1].states[-1] == ("stale", "no row yet, though one is due every 1 s")


@pytest.mark.parametrize("tags", [("binance", "NOPE", "trades", ""), (None, "NOPE", None, None)])
def test_a_kind_of_which_no_series_matches_is_not_live_but_then_stale(tags: tuple[str | None, ...]) -> None:
    stage = Stage()
    given = {name: tag for name, tag in zip(KINDS["ledger"].tags, tags, strict=True) if tag is not None}
    stage.send(json.dumps({"subscribe": [{"id": 1, "series": "ledger", **given}]}))
    stage.publish(Filled(LiveSeries("ledger", ("",) * 4), None, (), 0, 0))
    assert stage.show().series[1].states[-1] == ("filling", "no row yet; one is due every 60 s")
    stage.turn(NOW_MS + 180_001)
    assert stage.show().series[1].states[-1] == ("stale", "no row yet, though one is due every 60 s")


def test_a_series_without_a_row_is_live_from_its_first_on() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE))
    stage.publish(trades(0).filled(0, 9))
    assert stage.show().series[1].states[-1] == ("filling", "no row yet; one is due every 1 s")
    stage.publish(Arrived(TRADE, (row(NOW_MS, 0, 2.0, offset=0),), 1))
    assert stage.show().series[1].states[-1][0] == "live"


def test_an_unsynced_book_says_so_until_it_is_synced() -> None:
    stage = Stage()
    stage.send(subscribe(LEVELS))
    stage.publish(topic_of(LEVELS, [(True, [(1.0, 2.0)])], NOW_MS).filled(1, 9))
    assert stage.show().series[1].states[-1][0] == "live"
    for time_ms in (NOW_MS + 1, NOW_MS + 2):
        stage.publish(Arrived(LEVELS, (row(time_ms, False, []),), 0))
    page = stage.show()
    assert page.series[1].states[-1][0] == "unsynced"
    assert page.frames[-1]["state"][0][2] == NOW_MS + 1
    stage.publish(Arrived(LEVELS, (row(NOW_MS + 3, True, []),), 0))
    assert stage.show().series[1].states[-1][0] == "live"


def test_a_broker_that_is_away_is_told_with_its_cause() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE, 1))
    stage.send(subscribe(LEVELS, 2))
    stage.publish(trades(9).filled(9, 9), topic_of(LEVELS, [(True, [])], NOW_MS).filled(1, 9))
    stage.show()
    stage.publish(Condition(("trade",), None, "Kafka does not answer", NOW_MS))
    page = stage.show()
    assert page.series[1].states[-1] == ("away", "Kafka does not answer")
    assert page.series[2].states[-1][0] == "live"
    stage.publish(Condition(("trade",), None, None, NOW_MS))
    assert stage.show().series[1].states[-1][0] == "live"


# Resuming.


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        ("t3:2@bbbbbb", "the topic was made anew since the cursor was given"),
        ("t2:2@aaaaaa", "the cursor is of another place, t2; this series is at t3"),
        ("nonsense", "the cursor cannot be read"),
    ],
)
def test_a_cursor_that_cannot_be_used_is_a_restart_with_a_reason(since: str, reason: str) -> None:
    stage = Stage()
    stage.send(subscribe(TRADE, since=since, last=2))
    stage.publish(trades(5).filled(5, 9))
    held = stage.show().series[1]
    assert held.restarts == [reason]
    assert [trade[1] for trade in held.came] == [3, 4]


def test_a_cursor_beyond_the_end_waits_for_a_replica_that_is_behind_but_not_for_ever() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE, since="t3:7@aaaaaa"))
    topic = trades(9)
    stage.publish(topic.filled(5, 9))
    assert stage.show().series[1].states[-1][0] == "filling"
    stage.publish(topic.arrived(5, 9))
    held = stage.show().series[1]
    assert [trade[1] for trade in held.came] == [7, 8]
    stage.send(subscribe(TRADE, 2, since="t3:99@aaaaaa"))
    stage.turn(NOW_MS + 5_001)
    assert stage.show().series[2].restarts == ["the cursor lies beyond the end of the topic"]


def test_older_records_that_are_gone_are_a_restart_with_the_reason_of_the_tap() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE, since="t3:1@aaaaaa"))
    topic = trades(9)
    stage.publish(topic.filled(9, 4))
    [_, fetch] = stage.effects()
    assert fetch == Fetch(1, TRADE, 1)
    assert stage.show().series[1].states[-1][0] == "filling"
    stage.publish(Fetched(1, TRADE, None, "records before 5 are not kept"))
    held = stage.show().series[1]
    assert held.restarts == ["records before 5 are not kept"]
    assert [trade[1] for trade in held.came] == [5, 6, 7, 8]


def test_a_topic_that_is_made_anew_restarts_who_watches_it() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE))
    stage.publish(trades(5).filled(5, 9))
    stage.show()
    anew = replace(trades(2), epoch="bbbbbb")
    stage.publish(anew.filled(2, 9))
    held = stage.show().series[1]
    assert held.restarts == ["the topic was made anew"]
    assert [trade[1] for trade in held.came] == [0, 1] and held.cursor == "t3:2@bbbbbb"


# Bounds.


def test_a_backlog_is_a_restart_that_says_how_much() -> None:
    stage = Stage(backlog_rows=3)
    topic = topic_of(KLINE, [(1.0, float(number)) for number in range(9)])
    stage.send(subscribe(KLINE, last=2))
    stage.publish(topic.filled(1, 9))
    stage.show()
    stage.publish(topic.arrived(1, 9))
    held = stage.show().series[1]
    assert held.restarts == ["behind by 8 rows"]
    assert [bar[2] for bar in held.came] == [7.0, 8.0]


def test_what_starts_over_for_another_gets_no_row_twice() -> None:
    stage = Stage(client_bytes=900)
    bars = topic_of(KLINE, [(1.0, float(number)) for number in range(8)])
    stage.send(subscribe(KLINE, columns=["close"]), stage.hub.join())
    stage.send(subscribe(KLINE, 2))
    stage.publish(bars.filled(1, 9))
    stage.show()
    stage.publish(bars.arrived(1, 5))
    stage.send(subscribe(KLINE, 3, columns=["close"]))
    stage.publish(
        bars.arrived(5, 8)
    )  # to 3 before 2, as another client saw its columns first; 2 has the most
    held = stage.show().series[2]
    assert held.restarts == ["more than 900 bytes waited"]
    assert [bar[2] for bar in held.came] == [float(number) for number in range(8)]


def test_rows_that_were_dropped_before_the_hub_are_told() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE, 1))
    stage.send(subscribe(KLINE, 2))
    bars = topic_of(KLINE, [(1.0, float(number)) for number in range(5)])
    stage.publish(trades(2).filled(2, 9), bars.filled(2, 9))
    stage.show()
    stage.publish(Overrun(TRADE, 7), trades(12).arrived(9, 12), Overrun(KLINE, 2), bars.arrived(4, 5))
    page = stage.show()
    assert page.series[1].skipped == 7
    assert page.series[2].restarts == ["the server was behind by 2 rows"]


def test_the_series_that_nobody_watches_is_forgotten_first_and_read_again() -> None:
    stage = Stage(ring_bytes=3_000)
    topic = trades(9)
    stage.send(subscribe(TRADE))
    stage.publish(topic.filled(4, 9))
    stage.send('{"unsubscribe": [1]}')
    stage.send(subscribe(KLINE, 2))
    stage.publish(topic_of(KLINE, [(1.0, 1.0)] * 5).filled(5, 9))
    assert stage.hub.ring_bytes <= 3_000
    assert stage.hub.snapshot("trade", TRADE.tags, 9) == [(TRADE.tags, [])]
    assert len(stage.hub.snapshot("kline", KLINE.tags, 9)[0][1]) == 5
    stage.publish(topic.arrived(4, 6))
    stage.effects()
    stage.send(subscribe(TRADE, 3))
    [fetch] = stage.effects()
    assert fetch == Fetch(1, TRADE, 0)
    stage.publish(topic.arrived(6, 8))
    stage.publish(topic.fetched(1, 0, 8))
    assert [trade[1] for trade in stage.show().series[3].came] == list(range(8))


def test_watched_rings_shrink_when_all_are_watched() -> None:
    stage = Stage(ring_bytes=60_000)
    stage.send(subscribe(TRADE))
    topic = trades(500)
    stage.publish(topic.filled(500, 500))
    assert stage.hub.ring_bytes <= 60_000
    [(_, rows)] = stage.hub.snapshot("trade", TRADE.tags, 500)
    assert rows[-1].offset == 499 and len(rows) >= 60


def test_a_frame_is_bounded_and_what_is_newest_does_not_wait_behind_a_backlog() -> None:
    stage = Stage(frame_bytes=2_000)
    stage.send(subscribe(KLINE, 1))
    stage.send(subscribe(LEVELS, 2))
    stage.publish(topic_of(KLINE, [(1.0, 1.0)] * 500).filled(500, 500))
    stage.publish(topic_of(LEVELS, [(True, [])], NOW_MS).filled(1, 9))
    frame = stage.client.take(NOW_MS)
    assert frame is not None and len(frame) <= 2_000
    assert next(number for number, _ in json.loads(frame)["rows"]) == 2


def test_a_row_that_is_larger_than_a_frame_goes_alone() -> None:
    stage = Stage(frame_bytes=1_000)
    stage.send(subscribe(LEVELS))
    stage.publish(topic_of(LEVELS, [(True, [(1.5, 2.5)] * 400)], NOW_MS).filled(1, 9))
    stage.show()
    assert len(stage.page.series[1].came[0][2]) == 400


def test_a_client_who_leaves_is_forgotten() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE))
    stage.hub.leave(stage.client, NOW_MS)
    stage.publish(trades(5).filled(5, 9), trades(9).arrived(5, 9))
    assert not stage.hub.clients
    assert stage.client.take(NOW_MS) is None


def test_one_client_who_reads_nothing_does_not_hold_up_another() -> None:
    stage = Stage(credits=1)
    other, other_page = stage.hub.join(), Page()
    topic = trades(5_000)
    for client in (stage.client, other):
        stage.send(subscribe(TRADE), client)
    stage.publish(topic.filled(1, 9))
    stage.client.take(NOW_MS)
    for start in range(1, 5_000, 100):
        stage.publish(topic.arrived(start, min(start + 100, 5_000)))
        frame = other.take(NOW_MS)
        assert frame is not None
        while other.answers:
            other_page.read(other.answers.popleft())
        other_page.read(frame)
        stage.send(json.dumps({"ack": other_page.frames[-1]["frame"]}), other)
    assert len(other_page.series[1].came) == 5_000
    assert stage.client.pending_bytes < 100_000


def test_latencies_are_of_live_rows_when_sent_and_when_painted() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE))
    stage.publish(trades(3).filled(3, 9))
    stage.show()
    assert stage.hub.latency.quantiles(NOW_MS) == {}  # a snapshot is no measure
    stage.publish(Arrived(TRADE, (row(NOW_MS - 40, 3, 2.0, offset=3),), 4))
    frame = stage.client.take(NOW_MS)
    assert frame is not None
    number = json.loads(frame)["frame"]
    stage.send(json.dumps({"ack": number, "painted_ms": NOW_MS + 20}))
    found = stage.hub.latency.quantiles(NOW_MS)
    assert found["binance", "trade", "pushed"].p50 == pytest.approx(40, rel=0.03)
    assert found["binance", "trade", "painted"].p50 == pytest.approx(60, rel=0.03)


@pytest.mark.parametrize("painted_ms", [0, -5, 2**53, NOW_MS - 5_001, NOW_MS + 5_002])
def test_a_time_of_painting_that_cannot_be_is_told_and_not_counted(painted_ms: float) -> None:
    stage = Stage(credits=1)
    stage.send(subscribe(TRADE))
    stage.publish(trades(3).filled(3, 9))
    stage.show()
    stage.publish(Arrived(TRADE, (row(NOW_MS - 40, 3, 2.0, offset=3),), 4))
    frame = stage.client.take(NOW_MS)
    assert frame is not None
    stage.send(json.dumps({"ack": json.loads(frame)["frame"], "painted_ms": painted_ms}))
    assert ("binance", "trade", "painted") not in stage.hub.latency.quantiles(NOW_MS)
    assert "painted_ms: " in json.loads(stage.client.answers.popleft())["error"]["detail"]
    stage.publish(Arrived(TRADE, (row(NOW_MS, 4, 2.0, offset=4),), 5))
    assert stage.client.take(NOW_MS) is not None  # the frame counts as taken


def test_rows_read_again_and_reports_of_services_are_no_latencies() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE, since="t3:1@aaaaaa"))
    stage.send(subscribe(LEDGER_OF_TRADES, 2))
    topic = trades(9)
    stage.publish(topic.filled(9, 4), Filled(LEDGER_OF_TRADES, None, (), 0, 0))
    assert stage.effects()[-1] == Fetch(1, TRADE, 1)
    stage.publish(Fetched(1, TRADE, tuple(topic.records[1:9])))
    stage.publish(Arrived(LEDGER_OF_TRADES, (row(NOW_MS - 60_000, 0),), 0))
    page = stage.show()
    assert [trade[1] for trade in page.series[1].came] == list(range(1, 9))
    assert page.series[2].came == [[NOW_MS - 60_000, 0]]
    assert page.frames[-1]["past"] == [1]
    assert stage.hub.latency.quantiles(NOW_MS) == {}


def test_a_trade_of_a_later_numbering_has_the_id_that_the_exchange_gave() -> None:
    stage = Stage()
    stage.send(subscribe(TRADE))
    stage.send(subscribe(TRADE, 2, columns=["price", "trade_id"]))
    numbers = [trade_ids.number(epoch, 7) for epoch in (0, 2)]
    stage.publish(topic_of(TRADE, [(numbers[0], 1.0), (numbers[1], 2.0)]).filled(2, 9))
    page = stage.show()
    assert [each[1:] for each in page.series[1].came] == [[7, 1.0], [7, 2.0]]
    assert [each[1:] for each in page.series[2].came] == [[1.0, 7], [2.0, 7]]
    # The same as history gives of what is stored.
    stored: list[Row] = [
        {"time_ns": START_MS * 10**6, "exchange": "binance", "symbol": "BTCUSDC", "trade_id": each}
        for each in numbers
    ]
    asked = "/api/v1/rows/trade?exchange=binance&symbol=BTCUSDC&last=2&columns=trade_id"
    assert [each[1] for each in api_parts.client({"trade": stored}).get(asked).json()["rows"]] == [7, 7]


def test_what_is_not_read_is_told_until_it_is() -> None:
    hub = Stage().hub
    assert hub.unread == "nothing is read yet"
    hub.publish([Condition(("trade", "kline"), None, "Kafka does not answer", NOW_MS)], NOW_MS)
    assert hub.unread == "Kafka does not answer"
    hub.publish([Condition(("trade",), None, None, NOW_MS)], NOW_MS)
    assert hub.unread == "Kafka does not answer"
    hub.publish([Condition(("kline",), None, None, NOW_MS)], NOW_MS)
    hub.publish([Condition(("kline",), KLINE.tags, "one instrument alone", NOW_MS)], NOW_MS)
    assert hub.unread is None
