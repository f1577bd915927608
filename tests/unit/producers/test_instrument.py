"""One symbol as a whole: topics, ledger and restart."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.completeness import refusal
from producers.effects import (
    FetchSnapshot,
    FillKlines,
    FillTrades,
    ProbeResult,
    ProbeStreams,
    ProveTrades,
    Publish,
)
from producers.instrument import Instrument
from producers.start_positions import FoundRange, OpenHole, StartPosition
from shared import trade_ids
from shared.messages import check
from shared.topics import BOOK, DEPTH, LEDGER, QUOTES, TRADES, klines_live_topic, klines_topic
from tests.builders import NOW_MS, depth, kline, quote, trade
from tests.unit.producers.exchanges.toy import TOY

MINUTE = 60_000


@pytest.fixture
def instrument() -> Instrument:
    made = Instrument(
        "binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=0, book_audit_ms=10**12
    )
    made.begin({}, NOW_MS)
    return made


def topics(effects: Any) -> list[str]:
    return [effect.topic for effect in effects if isinstance(effect, Publish)]


def ledger(instrument: Instrument) -> list[Any]:
    published = instrument.tick()
    for effect in published:
        assert effect.topic == LEDGER
        check("ledger", effect.message)
    return [effect.message for effect in published]


def said(events: list[Any]) -> list[tuple[str, str, int, int, int]]:
    return [
        (event["stream"], event["kind"], event["first"], event["last"], event["count"]) for event in events
    ]


def snapshot(last_update_id: int, **fields: Any) -> Any:
    ids = {"first_update_id": last_update_id, "final_update_id": last_update_id}
    sides = {"bids": [["99.0", "1.0"]], "asks": [["101.0", "1.0"]]}
    return depth(kind="snapshot", source="backfill", event_time_ms=None, **ids, **sides) | fields


def diff(first: int, last: int, at_ms: int = 0) -> Any:
    return depth(
        first_update_id=first,
        final_update_id=last,
        bids=[],
        asks=[],
        event_time_ms=NOW_MS + at_ms,
        received_time_ms=NOW_MS + at_ms + 5,
    )


def test_each_kind_goes_to_its_topic(instrument: Instrument) -> None:
    assert topics(instrument.receive("trade", trade())) == [TRADES]
    assert topics(instrument.receive("quote", quote())) == [QUOTES]
    assert topics(instrument.receive("kline", kline(open_time_ms=NOW_MS))) == [klines_topic("1m")]
    live = kline(open_time_ms=NOW_MS + MINUTE, closed=False, event_time_ms=NOW_MS + MINUTE)
    assert topics(instrument.receive("kline", live)) == [klines_live_topic("1m")]


def test_bars_of_an_interval_that_is_not_ours_are_left_out(instrument: Instrument) -> None:
    assert instrument.receive("kline", kline(interval="5m")) == []


def test_expected_trades_are_joined_and_never_cross_a_minute(instrument: Instrument) -> None:
    for number in range(1, 7):
        time_ms = NOW_MS + (number // 4) * MINUTE
        instrument.receive("trade", trade(trade_id=number, trade_time_ms=time_ms))
    events = ledger(instrument)
    assert said(events) == [("trades", "expected", 1, 3, 3), ("trades", "expected", 4, 6, 3)]
    assert [event["event_time_ms"] for event in events] == [NOW_MS, NOW_MS + MINUTE]
    assert ledger(instrument) == []


def test_a_repaired_trade_is_expected_and_repaired_in_its_own_minute(instrument: Instrument) -> None:
    instrument.receive("trade", trade(trade_id=1))
    instrument.receive("trade", trade(trade_id=3, trade_time_ms=NOW_MS + MINUTE))
    ledger(instrument)
    row = trade(trade_id=2, source="backfill", event_time_ms=None)
    instrument.receive_trade_rows(2, 2, [row], NOW_MS, now_s=0.0)
    events = ledger(instrument)
    assert said(events) == [("trades", "expected", 2, 2, 1), ("trades", "repaired", 2, 2, 1)]
    assert {event["event_time_ms"] for event in events} == {NOW_MS}


def test_expected_bars_are_counted_as_bars(instrument: Instrument) -> None:
    for number in range(3):
        instrument.receive("kline", kline(open_time_ms=NOW_MS + number * MINUTE))
    assert said(ledger(instrument)) == [("klines", "expected", NOW_MS, NOW_MS + 2 * MINUTE, 3)]


def found(item: int, time_ms: int) -> FoundRange:
    return FoundRange(item, item, time_ms, time_ms)


def test_a_restart_says_again_what_a_kill_may_have_left_unsaid() -> None:
    instrument = Instrument("binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=5)
    start_positions = {
        "binance:BTCUSDC:trades": StartPosition(10, (), (found(11, NOW_MS), found(13, NOW_MS + MINUTE))),
        "binance:BTCUSDC:klines:1m": StartPosition(
            NOW_MS - 4 * MINUTE, (), (found(NOW_MS - 3 * MINUTE, NOW_MS - 3 * MINUTE),)
        ),
    }
    effects = instrument.begin(start_positions, NOW_MS)
    assert [(e.first, e.last) for e in effects if isinstance(e, FillTrades)] == [(12, 12)]
    fills = [(e.first, e.last) for e in effects if isinstance(e, FillKlines)]
    assert fills == [(NOW_MS - 2 * MINUTE, NOW_MS - MINUTE)]
    assert sorted(said(ledger(instrument))) == [
        ("klines", "expected", NOW_MS - 3 * MINUTE, NOW_MS - 3 * MINUTE, 1),
        ("klines", "gap", NOW_MS - 2 * MINUTE, NOW_MS - MINUTE, 2),
        ("trades", "expected", 11, 11, 1),
        ("trades", "expected", 13, 13, 1),
    ]


def test_holes_survive_a_restart_with_how_long_they_were_asked_for() -> None:
    day_ms = 24 * 3_600_000
    instrument = Instrument("binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=5)
    trades = OpenHole(3, 5, NOW_MS - 9, NOW_MS - 7, offline=True, asked=40, since_ms=NOW_MS - day_ms)
    bars = OpenHole(NOW_MS - 9 * MINUTE, NOW_MS - 8 * MINUTE, asked=7, since_ms=NOW_MS - 1_000)
    start_positions = {
        "binance:BTCUSDC:trades": StartPosition(10, (trades,)),
        "binance:BTCUSDC:klines:1m": StartPosition(NOW_MS - MINUTE, (bars,)),
    }
    effects = instrument.begin(start_positions, NOW_MS, now_s=500.0)
    assert [(e.first, e.last) for e in effects if isinstance(e, FillTrades)] == [(3, 5)]
    assert list(instrument.open_holes(None, NOW_MS + 2_000, 502.0)) == [trades]
    assert list(instrument.open_holes("1m", NOW_MS + 2_000, 502.0)) == [bars]
    fills = [(e.first, e.last) for e in instrument.retry(NOW_MS, 500.0) if isinstance(e, FillKlines)]
    assert fills == [(NOW_MS - 9 * MINUTE, NOW_MS - 8 * MINUTE)]


def test_what_is_lost_is_not_dated_where_nobody_knows_what_came_after_it() -> None:
    instrument = Instrument("binance", "BTCUSDC", [], book_interval_ms=1_000, warmup_bars=5)
    hole = OpenHole(3, 5, asked=40, since_ms=NOW_MS - 25 * 3_600_000)
    instrument.begin({"binance:BTCUSDC:trades": StartPosition(10, (hole,))}, NOW_MS, now_s=500.0)
    instrument.receive_trade_rows(3, 5, [], NOW_MS, now_s=500.0)
    events = ledger(instrument)
    assert ("trades", "lost", 3, 5, 3) in said(events)
    assert {event["event_time_ms"] for event in events} == {None}


def test_bars_that_a_topic_lost_between_others_are_asked_for() -> None:
    instrument = Instrument("binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=5)
    last = NOW_MS - MINUTE
    left = StartPosition(NOW_MS - 9 * MINUTE, (), (found(last, last),))
    instrument.begin({"binance:BTCUSDC:klines:1m": left}, NOW_MS)
    fills = [(e.first, e.last) for e in instrument.retry(NOW_MS, 1.0) if isinstance(e, FillKlines)]
    assert fills == [(NOW_MS - 8 * MINUTE, NOW_MS - 2 * MINUTE)]


def synced(instrument: Instrument) -> list[str]:
    [wanted] = instrument.receive("depth", diff(101, 105))
    assert isinstance(wanted, FetchSnapshot)
    published = topics(instrument.receive_snapshot(snapshot(100), NOW_MS))
    instrument.tick()
    return published


def test_the_depth_topic_alone_replays_the_book(instrument: Instrument) -> None:
    assert synced(instrument) == [DEPTH, DEPTH, BOOK]
    assert topics(instrument.receive("depth", diff(106, 107, 500))) == [DEPTH]
    assert topics(instrument.receive("depth", diff(90, 100, 500))) == []


def test_the_top_is_published_once_an_interval_of_message_time(instrument: Instrument) -> None:
    synced(instrument)
    assert topics(instrument.receive("depth", diff(106, 106, 999))) == [DEPTH]
    assert topics(instrument.receive("depth", diff(107, 107, 1_000))) == [DEPTH, BOOK]


def test_our_own_full_book_is_published_each_hour(instrument: Instrument) -> None:
    synced(instrument)
    effects = instrument.receive("depth", diff(106, 107, 3_600_000))
    assert topics(effects) == [DEPTH, BOOK, DEPTH]
    own: Any = effects[-1]
    assert (own.message["kind"], own.message["final_update_id"]) == ("snapshot", 107)
    assert own.message["bids"] == [["99.0", "1.0"]]
    check("depth", own.message)


def test_a_lost_book_says_so_once_with_cause_and_end(instrument: Instrument) -> None:
    synced(instrument)
    effects = instrument.receive("depth", diff(108, 110, 300))
    assert topics(effects) == [BOOK]
    unsynced: Any = effects[0]
    check("book", unsynced.message)
    assert not unsynced.message["synced"]
    assert (unsynced.message["bids"], unsynced.message["age_ms"]) == ([], 300)
    [event] = ledger(instrument)
    assert (event["kind"], event["first"], event["last"]) == ("unsynced", 105, 108)
    assert event["detail"] == "update id 106 is missing"
    instrument.receive_snapshot(snapshot(110, received_time_ms=NOW_MS + 400), NOW_MS + 400)
    instrument.receive("depth", diff(111, 112, 900))
    [event] = ledger(instrument)
    assert (event["kind"], event["detail"]) == ("unsynced", "synced again after 600 ms")
    assert instrument.synced


def test_a_lost_connection_unsyncs_the_book_at_a_time_of_its_own(instrument: Instrument) -> None:
    synced(instrument)
    effects: Any = instrument.disconnected("connection closed: 1001", NOW_MS + 50)
    assert topics(effects) == [BOOK]
    assert effects[0].message["event_time_ms"] == NOW_MS + 1
    assert instrument.disconnected("again", NOW_MS) == []


def test_a_snapshot_that_cannot_be_had_is_asked_for_again_later(instrument: Instrument) -> None:
    instrument.receive("depth", diff(101, 105))
    delays = []
    for _ in range(9):
        [wanted] = instrument.receive_snapshot(None, NOW_MS)
        assert isinstance(wanted, FetchSnapshot)
        delays.append(wanted.delay_s)
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0, 20.0]


def test_pending_fills_are_counted_per_series(instrument: Instrument) -> None:
    instrument.receive("trade", trade(trade_id=1))
    assert instrument.pending_fills == 0
    instrument.receive("trade", trade(trade_id=5))
    instrument.receive("kline", kline(open_time_ms=NOW_MS + MINUTE))
    assert (instrument.pending_fills, instrument.missing_trades) == (2, 3)


def test_the_first_synchronisation_is_a_span_with_its_cause_and_its_end(instrument: Instrument) -> None:
    instrument.receive("depth", diff(101, 105))
    instrument.receive_snapshot(snapshot(100, received_time_ms=NOW_MS + 300), NOW_MS + 300)
    details = [(event["kind"], event["detail"]) for event in ledger(instrument)]
    assert details == [("unsynced", "the producer has started"), ("unsynced", "synced again after 295 ms")]


def test_a_bar_that_says_otherwise_than_its_trades_is_entered_as_revised(instrument: Instrument) -> None:
    instrument.receive("trade", trade(trade_id=7, price="100.0", quantity="2.0"))
    prices = dict.fromkeys(("open", "high", "low"), "100.0")
    volumes = {"base_volume": "2.0", "quote_volume": "200.0"}
    taken = {"taker_buy_base_volume": "2.0", "taker_buy_quote_volume": "200.0"}
    ids = {"first_trade_id": 7, "last_trade_id": 7, "trade_count": 1}
    bar = kline(open_time_ms=NOW_MS, close="100.5", **prices, **volumes, **taken, **ids)
    instrument.receive("kline", bar)
    revised = [event for event in ledger(instrument) if event["kind"] == "revised"]
    assert [(event["stream"], event["interval"], event["first"]) for event in revised] == [
        ("klines", "1m", NOW_MS)
    ]
    assert revised[0]["detail"] == "trades say close 100.0"
    assert instrument.audited_bars == (1, 1, 0)


def test_trades_of_a_long_hole_are_published_and_not_kept() -> None:
    instrument = Instrument("binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=0)
    hole = OpenHole(1, 2_000, NOW_MS - 2 * 86_400_000, NOW_MS - 86_400_000, asked=1)
    instrument.begin({"binance:BTCUSDC:trades": StartPosition(2_001, (hole,))}, NOW_MS)
    for first in (1, 1_001):
        rows: list[Any] = [
            trade(trade_id=at, trade_time_ms=NOW_MS - 86_400_001, source="backfill")
            for at in range(first, first + 1_000)
        ]
        effects = instrument.receive_trade_rows(first, first + 999, rows, NOW_MS, now_s=0.0)
        assert topics(effects) == [TRADES] * 1_000
    assert not instrument._entries.candles._recent
    assert [event["count"] for event in ledger(instrument) if event["kind"] == "repaired"] == [2_000]
    assert not instrument._entries.candles._trades


def test_ids_that_were_never_issued_are_neither_expected_nor_lost(instrument: Instrument) -> None:
    instrument.receive("trade", trade(trade_id=1))
    instrument.receive("trade", trade(trade_id=4))
    ledger(instrument)
    effects: Any = []
    while not any(isinstance(effect, ProveTrades) for effect in effects):
        effects = instrument.receive_trade_rows(2, 3, [], NOW_MS, now_s=0.0)
    instrument.receive_trade_proof(effects[-1], [], [(2, 3)], NOW_MS, now_s=0.0)
    assert ledger(instrument) == []
    assert instrument.missing_trades == 0


def test_ids_that_a_bar_counts_are_expected_though_agg_trades_take_them_back(
    instrument: Instrument,
) -> None:
    instrument.receive("trade", trade(trade_id=1))
    instrument.receive("kline", kline(open_time_ms=NOW_MS, first_trade_id=1, last_trade_id=3, trade_count=3))
    instrument.receive("trade", trade(trade_id=4))
    ledger(instrument)
    effects: Any = []
    while not any(isinstance(effect, ProveTrades) for effect in effects):
        effects = instrument.receive_trade_rows(2, 3, [], NOW_MS, now_s=0.0)
    instrument.receive_trade_proof(effects[-1], [], [(2, 3)], NOW_MS, now_s=0.0)
    assert [(each["kind"], each["first"], each["last"]) for each in ledger(instrument)] == [
        ("expected", 2, 3)
    ]
    assert instrument.missing_trades == 2


# -- numberings that begin anew


def anew(trade_id: int, at_ms: int = 0) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + at_ms, received_time_ms=NOW_MS + at_ms + 5)


def test_a_new_numbering_is_entered_with_its_own_numbers(instrument: Instrument) -> None:
    instrument.receive("trade", anew(5_000))
    for each in (1, 2, 3):
        instrument.receive("trade", anew(each, 60_000 + each))
    assert instrument.doubtful_trades == 3
    assert instrument.pending_fills == 1
    effects = instrument.receive_newest_trades([anew(each, 60_000 + each) for each in (1, 2, 3)], NOW_MS)
    assert [effect.message["epoch"] for effect in effects if isinstance(effect, Publish)] == [1, 1, 1]
    for effect in effects:
        assert isinstance(effect, Publish)
        check("trade", effect.message)
    first = trade_ids.number(1, 1)
    assert said(ledger(instrument)) == [
        ("trades", "gap", first, first, 1),
        ("trades", "expected", 5_000, 5_000, 1),
        ("trades", "expected", first, first + 2, 3),
    ]
    assert (instrument.doubtful_trades, instrument.pending_fills) == (0, 0)


def test_trades_in_doubt_for_long_are_said_to_be_not_carried_and_then_to_be_again(
    instrument: Instrument,
) -> None:
    instrument.receive("trade", anew(5_000))
    instrument.receive("trade", anew(1, 60_000))
    begun_ms = NOW_MS + 60_005
    for after_ms in (1_000, 14_999, 15_000, 30_000, 74_999, 75_000):
        instrument.receive_newest_trades([], begun_ms + after_ms)
    instrument.receive_newest_trades([anew(1, 60_000)], begun_ms + 80_000)
    events = [event for event in ledger(instrument) if event["kind"] == "uncarried"]
    assert [(e["first"], e["last"], e["count"]) for e in events] == [
        (begun_ms, begun_ms + after_ms, 0) for after_ms in (15_000, 75_000, 80_000)
    ]
    assert events[0]["detail"].endswith(": 1 are held")
    assert events[-1]["detail"].endswith("; carried again")


def test_trades_in_doubt_at_the_end_are_said_however_short_it_was(instrument: Instrument) -> None:
    instrument.receive("trade", anew(5_000))
    instrument.receive("trade", anew(1, 60_000))
    instrument.end(NOW_MS + 61_000, NOW_MS + 61_000)
    assert [event["kind"] for event in ledger(instrument)] == ["uncarried", "expected"]


def test_a_bar_of_a_new_numbering_is_held_to_the_trades_of_that(instrument: Instrument) -> None:
    for each in range(12):
        instrument.receive("trade", trade(trade_id=1 + each, trade_time_ms=NOW_MS - 90_000 + each))
    rows = [anew(each, -50_000 + each) | {"price": "200.0", "quantity": "1.0"} for each in range(1, 3)]
    for row in rows:
        instrument.receive("trade", row.copy())
    instrument.receive_newest_trades([row.copy() for row in rows], NOW_MS)
    prices = dict.fromkeys(("open", "high", "low", "close"), "200.0")
    volumes = {"base_volume": "2.0", "quote_volume": "400.0"}
    taker = {"taker_buy_base_volume": "2.0", "taker_buy_quote_volume": "400.0"}
    bar = kline(
        open_time_ms=NOW_MS, first_trade_id=1, last_trade_id=2, trade_count=2, **prices, **volumes, **taker
    )
    instrument.receive("kline", bar)
    assert "revised" not in [event["kind"] for event in ledger(instrument)]
    assert instrument.audited_bars[:2] == (1, 0)


def test_a_restarted_numbering_of_update_ids_unsyncs_the_book_and_the_ledger_can_read_it(
    instrument: Instrument,
) -> None:
    instrument.receive("depth", diff(89_995, 90_000))
    instrument.receive_snapshot(snapshot(89_997), NOW_MS)
    assert instrument.synced
    effects = instrument.receive("depth", diff(1, 4, 100))
    assert BOOK in topics(effects)
    assert any(isinstance(effect, FetchSnapshot) for effect in effects)
    events = [event for event in ledger(instrument) if event["kind"] == "unsynced"]
    assert (events[-1]["first"], events[-1]["last"]) == (1, 90_000)
    assert all(refusal(event) is None for event in events)


def watched(instrument: Instrument, seconds: range, bring: Any = None) -> list[Any]:
    """Effects of these seconds, of which each may bring something."""
    effects: list[Any] = []
    for second in seconds:
        if bring is not None:
            bring(second)
        now_ms = NOW_MS + second * 1_000
        effects += instrument.watch(float(second), now_ms, now_ms)
    return effects


def test_trades_that_a_bar_counts_and_nobody_brings_are_expected_fetched_and_named(
    instrument: Instrument,
) -> None:
    instrument.receive("trade", trade(trade_id=12))
    ledger(instrument)

    def bar_goes_on(second: int) -> None:
        ids = {"first_trade_id": 1, "last_trade_id": 12 + second, "trade_count": 12 + second}
        update = kline(open_time_ms=NOW_MS, closed=False, event_time_ms=NOW_MS + second * 1_000, **ids)
        instrument.receive("kline", update)

    effects = watched(instrument, range(1, 16), bar_goes_on)
    [fill] = [effect for effect in effects if isinstance(effect, FillTrades)]
    assert (fill.first, fill.last) == (13, 12 + 5)
    assert [str(uncarried) for uncarried in instrument.uncarried] == ["trades"]
    events = ledger(instrument)
    assert ("trades", "expected", 13, 27, 15) in said(events)
    [event] = [event for event in events if event["kind"] == "uncarried"]
    assert (event["stream"], event["interval"], event["count"]) == ("trades", None, 0)
    assert (event["first"], event["last"]) == (NOW_MS + 1_000, NOW_MS + 5_000)
    instrument.receive("trade", trade(trade_id=40))
    watched(instrument, range(16, 17))
    assert instrument.uncarried == []
    [event] = [event for event in ledger(instrument) if event["kind"] == "uncarried"]
    assert event["detail"].endswith("; carried again")


def test_a_bar_that_only_rest_brings_names_its_stream(instrument: Instrument) -> None:
    watched(instrument, range(1, 68))
    effects = watched(instrument, range(68, 69))
    [fill] = [effect for effect in effects if isinstance(effect, FillKlines)]
    rows = [kline(open_time_ms=NOW_MS, close_time_ms=NOW_MS + 59_999, source="backfill", event_time_ms=None)]
    now_ms = NOW_MS + 68_500
    instrument.receive_kline_rows("1m", fill.first, fill.last, rows, now_ms, now_s=68.5, exchange_ms=now_ms)
    assert [str(uncarried) for uncarried in instrument.uncarried] == ["klines 1m"]


def test_a_book_that_is_not_carried_is_not_in_step(instrument: Instrument) -> None:
    synced(instrument)
    assert instrument.synced

    def quote_goes_on(second: int) -> None:
        instrument.receive("quote", quote(update_id=10_000 + second))

    watched(instrument, range(1, 20), quote_goes_on)
    assert [str(uncarried) for uncarried in instrument.uncarried] == ["depth"]
    assert not instrument.synced
    details = [event["detail"] for event in ledger(instrument) if event["kind"] == "unsynced"]
    assert details[-1].startswith("the stream is not carried: a quote has book update")


def test_a_market_that_falls_quiet_after_two_trades_in_the_wrong_order_is_carried(
    instrument: Instrument,
) -> None:
    for trade_id in (5, 7, 6):
        instrument.receive("trade", trade(trade_id=trade_id))
    bar = kline(trade_count=3, first_trade_id=5, last_trade_id=7, closed=False, event_time_ms=NOW_MS)
    instrument.receive("kline", bar)
    watched(instrument, range(1, 30), lambda _second: None)
    assert "trades" not in map(str, instrument.uncarried)
    assert not [event for event in ledger(instrument) if event["kind"] == "uncarried"]


def test_a_recording_may_be_silent(instrument: Instrument) -> None:
    instrument.receive("trade", trade(source="replay"))
    assert watched(instrument, range(1, 200)) == []


def test_what_was_not_looked_at_is_said_at_the_end(instrument: Instrument) -> None:
    instrument.receive("trade", trade(trade_id=5))
    instrument.receive("trade", trade(trade_id=8))
    watched(instrument, range(1, 70))
    ledger(instrument)
    end_ms = NOW_MS + 70_000
    instrument.last_probe(70.0, end_ms, end_ms)
    instrument.end(end_ms, end_ms)
    assert {("trades", "expected", 6, 7, 2), ("klines", "expected", NOW_MS, NOW_MS, 1)} <= set(
        said(ledger(instrument))
    )


@pytest.mark.parametrize("set_by_ms", [-3_600_000, 3_600_000])
def test_a_host_clock_that_is_set_does_not_silence_the_book(instrument: Instrument, set_by_ms: int) -> None:
    synced(instrument)
    books = 0
    for step in range(1, 51):
        at_ms = 2_000 + step * 100 + (set_by_ms if step > 20 else 0)
        effects = instrument.receive("depth", diff(105 + step, 105 + step, at_ms))
        books += topics(effects).count(BOOK) if step > 20 else 0
    assert books >= 3


def test_the_clock_asks_for_no_bar_of_a_stream_that_speaks(instrument: Instrument) -> None:
    """One that runs at another pace than the exchange's clock, as far as that is known, is not silent."""

    def speaks(second: int) -> None:
        instrument.receive("kline", kline(open_time_ms=NOW_MS, closed=False, event_time_ms=NOW_MS + second))

    assert [e for e in watched(instrument, range(1, 200), speaks) if isinstance(e, FillKlines)] == []


def test_the_last_word_of_each_series_says_when_it_stopped_and_counts_nothing(instrument: Instrument) -> None:
    instrument.receive("trade", trade(trade_id=1))
    instrument.stop(NOW_MS + 7)
    assert said(ledger(instrument))[-3:] == [
        ("trades", "expected", 1, 1, 1),
        ("trades", "stopped", NOW_MS + 7, NOW_MS + 7, 0),
        ("klines", "stopped", NOW_MS + 7, NOW_MS + 7, 0),
    ]


def test_a_book_that_is_not_kept_by_ids_is_neither_published_nor_asked_for() -> None:
    instrument = Instrument("toy", "T/USD", (), book_interval_ms=0, warmup_bars=0, promises=TOY.promises)
    diff: Any = {"received_time_ms": NOW_MS, "source": "stream"}
    assert instrument.receive("depth", diff) == []
    assert instrument.disconnected("cut", NOW_MS) == []
    for second in range(60):
        effects = instrument.watch(float(second), NOW_MS + second * 1_000, NOW_MS)
        assert not any(type(effect) is ProbeStreams and effect.book for effect in effects)
        instrument.receive_probe(ProbeResult(), float(second), NOW_MS)
    assert instrument.uncarried == []
