"""The benchmark's frames are a market that the producer accepts whole."""

from __future__ import annotations

from collections import Counter

import orjson

from bench.frames import (
    FRAMES_PER_DIFF,
    INTERVALS,
    SPAN_MS,
    SYMBOL,
    frames,
    second_before,
    snapshot,
    symbols_of,
)
from producers.effects import Publish
from producers.exchanges.frame_types import StreamMessage
from producers.exchanges.registry import exchange_named
from producers.instrument import Instrument
from shared.messages import DepthMessage
from shared.topics import DEPTH

_START_MS = 1_785_767_100_000
_FRAMES = 6_000


def test_each_frame_gives_one_record_and_no_doubt() -> None:
    binance = exchange_named("binance")
    parse = binance.parser()
    instrument = Instrument("binance", SYMBOL, INTERVALS, book_interval_ms=10**9, warmup_bars=0)
    instrument.begin({}, _START_MS)
    topics: Counter[str] = Counter()
    for frame in frames(_FRAMES, _START_MS):
        (event,) = parse(frame, _START_MS + SPAN_MS, _START_MS + SPAN_MS)
        assert isinstance(event, StreamMessage), event
        effects = instrument.receive(*event)
        if event.kind == "depth" and not instrument.synced:
            effects += instrument.receive_snapshot(_snapshot(), _START_MS)
        topics.update(effect.topic for effect in effects if isinstance(effect, Publish))
    ledger = [effect.message for effect in instrument.tick()]
    assert {entry["kind"] for entry in ledger} <= {"expected", "unsynced"}
    assert instrument.synced
    assert (instrument.missing_trades, instrument.missing_bars, instrument.doubtful_trades) == (0, 0, 0)
    assert instrument.audited_bars[0] >= SPAN_MS // 1_000 - 1
    assert instrument.audited_bars[1] == 0
    # Beside them the snapshot, and the book's own topic.
    del topics["market.book"]
    assert sum(topics.values()) - 1 == _FRAMES
    assert topics[DEPTH] > 1


def _snapshot() -> DepthMessage:
    rows = snapshot()
    message: DepthMessage = {
        "schema": 1,
        "exchange": "binance",
        "symbol": SYMBOL,
        "event_time_ms": None,
        "received_time_ms": _START_MS,
        "source": "backfill",
        "kind": "snapshot",
        "first_update_id": rows["lastUpdateId"],
        "final_update_id": rows["lastUpdateId"],
        "bids": rows["bids"],
        "asks": rows["asks"],
    }
    return message


def test_the_newest_quote_and_the_book_agree() -> None:
    best: dict[str, str] = {}
    quoted: dict[str, str] = {}
    for frame in frames(600, _START_MS):
        message = orjson.loads(frame)
        match message["stream"].partition("@")[2]:
            case "bookTicker":
                data = message["data"]
                quoted = {data["b"]: data["B"], data["a"]: data["A"]}
            case "depth@100ms":
                levels = [*message["data"]["b"], *message["data"]["a"]]
                best = {price: quantity for price, quantity in levels if price in quoted}
                assert best == quoted
    assert best


def test_the_second_before_is_a_closed_bar_on_which_the_frames_follow() -> None:
    (event,) = exchange_named("binance").parser()(second_before(_START_MS), _START_MS, _START_MS)
    assert isinstance(event, StreamMessage), event
    bar = event.message
    assert (bar["close_time_ms"] + 1, bar["closed"], bar["trade_count"]) == (_START_MS, True, 0)


def test_markets_have_names_of_their_own_and_the_first_is_the_usual_one() -> None:
    names = symbols_of(100)
    assert names[0] == SYMBOL and len(set(names)) == 100
    frame = orjson.loads(next(frames(1, _START_MS, symbol=names[7])))
    assert (frame["stream"], frame["data"]["s"]) == (f"{names[7].lower()}@bookTicker", names[7])


def test_the_first_frames_end_with_the_first_change_of_the_book() -> None:
    streams = [orjson.loads(frame)["stream"] for frame in frames(FRAMES_PER_DIFF, _START_MS)]
    assert [stream.partition("@")[2] for stream in streams].index("depth@100ms") == FRAMES_PER_DIFF - 1


def test_aggregates_are_the_same_trades_under_other_names() -> None:
    single, aggregated = (
        [orjson.loads(frame)["data"] for frame in frames(300, _START_MS, aggregated=chosen)]
        for chosen in (False, True)
    )
    trades = [event for event in single if event.get("e") == "trade"]
    aggregates = [event for event in aggregated if event.get("e") == "aggTrade"]
    assert trades and len(trades) == len(aggregates)
    for trade, aggregate in zip(trades, aggregates, strict=True):
        assert trade["t"] == aggregate["a"] == aggregate["f"] == aggregate["l"]
        assert all(trade[field] == aggregate[field] for field in "EspqTmM")


def test_only_bars_of_the_intervals_that_are_wanted_are_sent() -> None:
    names = {orjson.loads(frame)["stream"] for frame in frames(2_000, _START_MS, intervals=("1m",))}
    assert {name for name in names if "kline" in name} == {f"{SYMBOL.lower()}@kline_1m"}
