"""A market that stands still: nothing happens in it, on streams and over REST alike."""

from collections import defaultdict
from itertools import pairwise

import pytest

from simulator.exchange import Span
from simulator.faults.events import Fire
from simulator.faults.market import halts_by_symbol, unissued
from simulator.faults.script import parse_script
from simulator.outgoing import Outgoing
from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.exchange import WorldExchange
from simulator.protocols.binance.rest import answer
from simulator.protocols.port import RestRequest
from simulator.world.halts import Halts

START_MS = 1_785_767_130_000
END_MS = START_MS + 240_000
# Cuts a minute short, covers one wholly, ends within a third.
HALT = (START_MS + 20_400, START_MS + 110_000)
STREAMS = frozenset(f"btcusdc@{kind}" for kind in (
    "trade", "aggTrade", "bookTicker", "depth@100ms", "depth", "kline_1s", "kline_1m", "kline_5m",
))  # fmt: skip

Played = tuple[WorldExchange, dict[str, list[Outgoing]]]


def world(halts: Halts | None = None, symbols: tuple[str, ...] = ("BTCUSDC",)) -> WorldExchange:
    return WorldExchange(symbols, 11, START_MS, 1.0, halts={"BTCUSDC": halts} if halts else None)


def played(exchange: WorldExchange, streams: frozenset[str] = STREAMS) -> dict[str, list[Outgoing]]:
    found = defaultdict(list)
    while exchange.feed.emitted_until_ms < END_MS:
        for event in exchange.feed.due(END_MS, streams):
            found[event.stream].append(event)
    return found


@pytest.fixture(scope="module")
def halted() -> Played:
    exchange = world(Halts([HALT]))
    return exchange, played(exchange)


@pytest.mark.thorough
def test_nothing_is_sent_in_a_halt_and_ids_go_on_after_it(halted: Played) -> None:
    _, streams = halted
    assert all(not HALT[0] <= e.time_ms < HALT[1] for events in streams.values() for e in events)
    assert all(any(e.time_ms >= HALT[1] for e in events) for name, events in streams.items())
    ids = [e.event["t"] for e in streams["btcusdc@trade"]]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert all(b.event["U"] == a.event["u"] + 1 for a, b in pairwise(streams["btcusdc@depth@100ms"]))


@pytest.mark.thorough
def test_before_the_halt_the_world_is_the_same(halted: Played) -> None:
    _, streams = halted
    for name, events in played(world()).items():
        before = [e.event for e in events if e.time_ms < HALT[0]]
        assert [e.event for e in streams[name] if e.time_ms < HALT[0]] == before


def test_rest_trades_are_those_of_the_stream(halted: Played) -> None:
    exchange, streams = halted
    streamed = [e.event for e in streams["btcusdc@trade"]]
    rows = exchange.trades("BTCUSDC", streamed[0]["t"], 1000, END_MS)
    assert [(r.trade_id, r.trade_time_ms, r.price) for r in rows] == [
        (e["t"], e["T"], e["p"]) for e in streamed[:1000]
    ]
    newest = exchange.trades("BTCUSDC", None, 1, HALT[1] - 1)
    assert newest[0].trade_time_ms < HALT[0]


@pytest.mark.parametrize(("interval", "length"), [("1s", 1_000), ("1m", 60_000), ("5m", 300_000)])
def test_bars_without_a_moment_of_trading_exist_nowhere(halted: Played, interval: str, length: int) -> None:
    exchange, streams = halted
    rows = exchange.klines(
        "BTCUSDC", interval, 0, Span(START_MS - START_MS % length, END_MS - 1, 1000), END_MS
    )
    opens = [row.open_time_ms for row in rows]
    first = START_MS - START_MS % length
    assert opens == [
        open_ms
        for open_ms in range(first, END_MS, length)
        if not (HALT[0] <= open_ms and open_ms + length <= HALT[1])
    ]
    closed = {row.open_time_ms: row for row in rows if row.close_time_ms < END_MS - 60}
    finals = [e.event["k"] for e in streams[f"btcusdc@kline_{interval}"] if e.event["k"]["x"]]
    assert [k["t"] for k in finals if k["t"] in closed] == list(closed)
    for k in finals:
        if k["t"] in closed:
            row = closed[k["t"]]
            assert (k["o"], k["c"], k["v"], k["n"]) == (row.open, row.close, row.base_volume, row.trade_count)


def test_the_newest_bars_reach_back_over_the_halt(halted: Played) -> None:
    exchange, _ = halted
    now_ms = HALT[1] + 15_000
    rows = exchange.klines("BTCUSDC", "1s", 0, Span(None, None, 40), now_ms)
    assert len(rows) == 40
    assert [b.open_time_ms - a.open_time_ms for a, b in pairwise(rows)].count(1000) == 38
    in_halt = exchange.klines("BTCUSDC", "1s", 0, Span(None, None, 2), HALT[1] - 1)
    assert in_halt[-1].open_time_ms == HALT[0] - HALT[0] % 1000


def test_a_bar_that_is_cut_short_closes_when_the_market_opens_again(halted: Played) -> None:
    _, streams = halted
    cut = HALT[0] - HALT[0] % 60_000
    (final,) = (e for e in streams["btcusdc@kline_1m"] if e.event["k"]["x"] and e.event["k"]["t"] == cut)
    assert HALT[1] < final.time_ms <= HALT[1] + 50


def test_the_book_stands_still_and_diffs_rebuild_it_afterwards(halted: Played) -> None:
    exchange, streams = halted
    before = exchange.depth("BTCUSDC", 5000, HALT[0] - 1)
    assert (
        exchange.depth("BTCUSDC", 5000, HALT[0] + 500)
        == exchange.depth("BTCUSDC", 5000, HALT[1] - 1)
        == before
    )
    book = {"b": dict(before.bids), "a": dict(before.asks)}
    last = before.last_update_id
    for event in streams["btcusdc@depth@100ms"]:
        diff = event.event
        if diff["u"] <= last or event.time_ms > HALT[1] + 3_000:
            continue
        assert diff["U"] <= last + 1
        last = diff["u"]
        for side in "ba":
            for price, quantity in diff[side]:
                book[side].pop(price, None)
                if float(quantity):
                    book[side][price] = quantity
        later = exchange.depth("BTCUSDC", 5000, event.time_ms)
        assert (later.last_update_id, dict(later.bids), dict(later.asks)) == (last, book["b"], book["a"])
    assert last > before.last_update_id


def test_exchange_info_says_break_for_that_symbol_only() -> None:
    exchange = world(Halts([HALT]), ("BTCUSDC", "ETHUSDC"))

    def statuses(now_ms: int) -> list[str]:
        body = answer(exchange, RestRequest("exchangeInfo", [], None, now_ms)).body
        return [entry["status"] for entry in body["symbols"]]

    assert statuses(HALT[0] - 1) == statuses(HALT[1]) == ["TRADING", "TRADING"]
    assert statuses(HALT[0]) == statuses(HALT[1] - 1) == ["BREAK", "TRADING"]


def test_joining_in_a_halt_or_just_after_a_covered_bar_goes_on_rightly() -> None:
    for after_ms in (HALT[0] + 5_000, HALT[1] - 10, HALT[1] + 5, HALT[1] + 900):
        exchange = WorldExchange(
            ("BTCUSDC",), 11, START_MS, 1.0, clock_start_ms=after_ms, halts={"BTCUSDC": Halts([HALT])}
        )
        events = played(exchange, frozenset({"btcusdc@kline_1s", "btcusdc@trade"}))
        opens = [e.event["k"]["t"] for e in events["btcusdc@kline_1s"] if e.event["k"]["x"]]
        regular = [open_ms for open_ms in opens if open_ms >= HALT[1]]
        assert regular == list(range(regular[0], regular[0] + len(regular) * 1000, 1000))
        assert regular[0] == HALT[1] and len(opens) <= len(regular) + 1
        assert all(e.time_ms > max(after_ms, HALT[1] - 1) for e in events["btcusdc@trade"])


def test_spans_that_touch_are_one_and_are_cut_to_the_books_step() -> None:
    halts = Halts([(1_050, 2_010), (2_050, 3_000)])
    assert halts.end_of(999) is None and halts.end_of(1_000) == halts.end_of(2_100) == 3_000
    assert halts.live_slot(9) == halts.live_slot(20) == 8 and halts.live_slot(29) == 29


def test_the_script_says_when_which_markets_stand_still() -> None:
    script = parse_script(
        None, ["halt:at=10,duration=5,symbols=BTCUSDC", "halt:from=20,to=22"], BINANCE.scope
    )
    halts = halts_by_symbol(script.faults, 1, START_MS, ("BTCUSDC", "ETHUSDC"))
    assert halts["BTCUSDC"].end_of(START_MS + 12_000) == START_MS + 15_000
    assert halts["ETHUSDC"].end_of(START_MS + 12_000) is None
    assert halts["ETHUSDC"].end_of(START_MS + 21_000) == START_MS + 22_000
    fire = Fire(script.faults[0], START_MS + 10_000, START_MS + 15_000)
    streams = ("btcusdc@kline_1s", "btcusdc@kline_1m", "btcusdc@depth@100ms", "ethusdc@kline_1s")
    assert unissued(fire, streams, BINANCE.target_of) == {"kline": 5, "depth": 50}
