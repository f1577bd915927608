from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.exchange import Span
from simulator.protocols.binance.exchange import WorldExchange
from simulator.world.book import slot_at

START_MS = 1_785_767_097_500  # 2.5 s before a minute's end
SYMBOLS = ("BTCUSDC", "XRPUSDC")
STREAMS = frozenset(
    f"{symbol}@{kind}"
    for symbol in ("btcusdc", "xrpusdc")
    for kind in (
        "trade", "aggTrade", "bookTicker", "depth", "depth@100ms", "depth5@100ms",
        "kline_1s", "kline_1m", "kline_1h",
    )
)  # fmt: skip

Played = tuple[WorldExchange, dict[str, list[dict[str, Any]]]]


def world(start_ms: int = START_MS) -> WorldExchange:
    return WorldExchange(SYMBOLS, 11, start_ms, 1.0)


def played(
    exchange: WorldExchange, until_ms: int, wanted: frozenset[str] = STREAMS
) -> list[tuple[str, dict[str, Any]]]:
    events = []
    while exchange.feed.emitted_until_ms < until_ms:
        events += exchange.feed.due(until_ms, wanted)
    return [(event.stream, dict(event.event)) for event in events]


def by_stream(events: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    streams = defaultdict(list)
    for stream, event in events:
        streams[stream].append(event)
    return streams


@pytest.fixture(scope="module")
def five_minutes() -> Played:
    exchange = world()
    return exchange, by_stream(played(exchange, START_MS + 150_000))


@pytest.mark.thorough
@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 9_000), max_size=20))
def test_events_do_not_depend_on_how_often_the_feed_is_asked(steps: list[int]) -> None:
    at_once = played(world(), START_MS + 9_000)
    exchange, events = world(), []
    for step in sorted(steps):
        events += played(exchange, START_MS + step)
    events += played(exchange, START_MS + 9_000)
    assert events == at_once


@pytest.mark.thorough
def test_streamed_trades_are_exactly_those_of_rest(five_minutes: Played) -> None:
    exchange, streams = five_minutes
    for symbol in SYMBOLS:
        streamed = streams[f"{symbol.lower()}@trade"]
        first = streamed[0]["t"]
        rows = exchange.trades(symbol, first, 1000, START_MS + 150_000)
        assert [(e["t"], e["p"], e["q"], e["T"], e["m"]) for e in streamed][:1000] == [
            (row.trade_id, row.price, row.quantity, row.trade_time_ms, row.buyer_is_maker) for row in rows
        ]
        assert exchange.trades(symbol, first - 1, 1, START_MS + 150_000)[0].trade_time_ms <= START_MS


def test_aggregates_are_contiguous_and_cover_every_trade(five_minutes: Played) -> None:
    _, streams = five_minutes
    aggregates = streams["btcusdc@aggTrade"]
    assert all(b["a"] == a["a"] + 1 and b["f"] == a["l"] + 1 for a, b in pairwise(aggregates))
    assert [a["f"] for a in aggregates] == [t["t"] for t in streams["btcusdc@trade"]]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "stream", ["btcusdc@depth@100ms", "xrpusdc@depth@100ms", "btcusdc@depth", "xrpusdc@depth"]
)
def test_a_snapshot_and_the_diffs_rebuild_every_later_snapshot(five_minutes: Played, stream: str) -> None:
    exchange, streams = five_minutes
    symbol = stream.partition("@")[0].upper()
    snapshot = exchange.depth(symbol, 5000, START_MS + 1_234)
    book: dict[str, dict[str, str]] = {"b": dict(snapshot.bids), "a": dict(snapshot.asks)}
    last = snapshot.last_update_id
    diffs = streams[stream]
    assert len(diffs) > 20
    assert all(after["U"] == before["u"] + 1 for before, after in pairwise(diffs))
    for diff in diffs:
        if diff["u"] <= last:
            continue
        assert diff["U"] <= last + 1
        for side in "ab":
            for price, quantity in diff[side]:
                if float(quantity):
                    book[side][price] = quantity
                else:
                    book[side].pop(price, None)
        last = diff["u"]
        if diff is not diffs[-1] and len(diffs) > 300 and last // 8 % 7:
            continue  # of thousands of books a seventh is enough
        later = exchange.depth(symbol, 5000, diff["E"])
        assert later.last_update_id == last
        assert book["b"] == dict(later.bids)
        assert book["a"] == dict(later.asks)


def test_slots_without_a_change_are_not_sent(five_minutes: Played) -> None:
    _, streams = five_minutes
    assert len(streams["xrpusdc@depth@100ms"]) < 1_250
    assert any(diff["u"] - diff["U"] + 1 > 8 for diff in streams["xrpusdc@depth@100ms"])


def test_the_book_is_deep_ordered_and_never_crossed(five_minutes: Played) -> None:
    exchange, _ = five_minutes
    for symbol in SYMBOLS:
        for time_ms in range(START_MS, START_MS + 60_000, 700):
            depth = exchange.depth(symbol, 5000, time_ms)
            bids, asks = ([float(price) for price, _ in side] for side in (depth.bids, depth.asks))
            assert bids == sorted(set(bids), reverse=True)
            assert asks == sorted(set(asks))
            assert bids[-1] > 0 and bids[0] < asks[0]
            assert min(len(bids), len(asks)) > 200


def test_book_tickers_and_partial_books_equal_the_book_of_their_id(five_minutes: Played) -> None:
    exchange, streams = five_minutes
    for quote in streams["btcusdc@bookTicker"][:300]:
        depth = exchange.depth("BTCUSDC", 5, quote["u"] // 8 * 100)
        assert depth.last_update_id == quote["u"]
        assert [[quote["b"], quote["B"]], [quote["a"], quote["A"]]] == [depth.bids[0], depth.asks[0]]
    for partial in streams["btcusdc@depth5@100ms"][:300]:
        depth = exchange.depth("BTCUSDC", 5, partial["lastUpdateId"] // 8 * 100)
        assert (partial["bids"], partial["asks"]) == (depth.bids, depth.asks)


def test_trades_hit_the_touch_of_the_book_before_them(five_minutes: Played) -> None:
    exchange, streams = five_minutes
    for trade in streams["btcusdc@trade"][:500]:
        depth = exchange.depth("BTCUSDC", 1, slot_at(trade["T"]) * 100 + 100)
        assert trade["p"] == (depth.bids if trade["m"] else depth.asks)[0][0]


@pytest.mark.parametrize("interval", ["1s", "1m", "1h"])
def test_kline_events_keep_their_pace_and_every_bar_opens_once_and_closes_once(
    five_minutes: Played, interval: str
) -> None:
    exchange, streams = five_minutes
    pace = 1_000 if interval == "1s" else 2_000
    for symbol in SYMBOLS:
        events = streams[f"{symbol.lower()}@kline_{interval}"]
        bars = defaultdict(list)
        for event in events:
            bars[event["k"]["t"]].append(event)
        opens = list(bars)
        assert opens == sorted(opens)
        whole = opens[1:-1] if len(opens) > 1 else []
        for open_ms in whole:
            first, *_, final = bars[open_ms]
            assert not first["k"]["x"] and 2 <= first["E"] - open_ms <= 51
            assert [event["k"]["x"] for event in bars[open_ms]].count(True) == 1 and final["k"]["x"]
            assert 1 <= final["E"] - final["k"]["T"] - 1 <= 50
            running = bars[open_ms][:-1]
            assert all(b["E"] - a["E"] >= pace and b["k"]["n"] > a["k"]["n"] for a, b in pairwise(running))
        finals = [event["k"] for event in events if event["k"]["x"]]
        span = [k["t"] for k in finals]
        if span:
            rows = exchange.klines(symbol, interval, 0, Span(span[0], span[-1], 1000), START_MS + 150_000)
            assert [
                (k["t"], k["o"], k["h"], k["l"], k["c"], k["v"], k["q"], k["n"], k["V"], k["Q"])
                for k in finals
            ] == [(r[0], r[1], r[2], r[3], r[4], r[5], r[7], r[8], r[9], r[10]) for r in rows]


def test_a_bar_without_trades_is_announced_and_closed_flat(five_minutes: Played) -> None:
    _, streams = five_minutes
    flat = [e["k"] for e in streams["xrpusdc@kline_1s"] if e["k"]["x"] and e["k"]["n"] == 0]
    assert flat
    for k in flat:
        assert k["o"] == k["h"] == k["l"] == k["c"] and k["f"] == k["L"] == -1
        assert {k["v"], k["q"], k["V"], k["Q"]} == {"0.00000000"}


def test_a_final_still_pending_at_the_subscription_is_sent() -> None:
    border = START_MS - START_MS % 60_000 + 60_000
    final_ms = next(
        e["E"] for _, e in played(world(), border + 100, frozenset({"btcusdc@kline_1m"})) if e["k"]["x"]
    )
    late = world(final_ms - 1)
    events = played(late, final_ms + 1, frozenset({"btcusdc@kline_1m"}))
    assert [e["k"]["x"] for _, e in events][:1] == [True]


def test_unknown_symbols_and_streams_stay_silent() -> None:
    assert (
        played(world(), START_MS + 5_000, frozenset({"nope@trade", "btcusdc@nothing", "BTCUSDC@trade"})) == []
    )


def test_a_stream_wanted_later_says_what_it_would_have_said_anyway() -> None:
    whole = by_stream(played(world(), START_MS + 60_000))["btcusdc@trade"]
    exchange = world()
    played(exchange, START_MS + 30_000, frozenset())
    later = by_stream(played(exchange, START_MS + 60_000))["btcusdc@trade"]
    assert later == [trade for trade in whole if trade["T"] > START_MS + 30_000]
