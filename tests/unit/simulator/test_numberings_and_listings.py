"""Ids that begin anew and symbols that are listed while the market runs: streams and REST say the same."""

import random
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest

from simulator.faults.market import listed_by_symbol, restarts_by_symbol
from simulator.faults.script import parse_script
from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.exchange import WorldExchange
from simulator.protocols.binance.rest import answer
from simulator.protocols.port import RestRequest
from simulator.world.book import slot_at, update_id
from simulator.world.numbering import UpdateNumbering

SYMBOL = "BTCUSDC"
START_MS = 1_785_767_130_000
END_MS = START_MS + 100_000
RESTART_MS = START_MS + 20_300
LISTED_MS = START_MS + 12_345
STREAMS = frozenset(
    f"btcusdc@{kind}" for kind in ("trade", "aggTrade", "bookTicker", "depth@100ms", "kline_1s", "kline_1m")
)

Played = tuple[WorldExchange, dict[str, list[dict[str, Any]]]]


def played(exchange: WorldExchange) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    while exchange.feed.emitted_until_ms < END_MS:
        for event in exchange.feed.due(END_MS, STREAMS):
            found[event.stream].append(dict(event.event))
    return found


def ask(exchange: WorldExchange, path: str, now_ms: int = END_MS, **query: object) -> Any:
    pairs = [("symbol", SYMBOL), *((name, str(value)) for name, value in query.items())]
    return answer(exchange, RestRequest(path, pairs, None, now_ms)).body


@pytest.fixture(scope="module")
def renumbered() -> Played:
    restarts = {SYMBOL: [RESTART_MS]}
    exchange = WorldExchange(
        (SYMBOL,), 11, START_MS, 2.0, trade_restarts_ms=restarts, update_restarts_ms=restarts
    )
    return exchange, played(exchange)


@pytest.fixture(scope="module")
def listed() -> Played:
    exchange = WorldExchange((SYMBOL,), 11, START_MS, 2.0, listed_ms={SYMBOL: LISTED_MS})
    return exchange, played(exchange)


def plain() -> Played:
    exchange = WorldExchange((SYMBOL,), 11, START_MS, 2.0)
    return exchange, played(exchange)


def test_trade_ids_begin_again_at_1_and_nothing_else_of_a_trade_changes(renumbered: Played) -> None:
    _, events = renumbered
    _, usual = plain()
    trades = events["btcusdc@trade"]
    after = [trade for trade in trades if trade["T"] >= RESTART_MS]
    assert [trade["t"] for trade in after] == list(range(1, len(after) + 1)) and len(after) > 100
    assert [{**trade, "t": 0} for trade in trades] == [{**trade, "t": 0} for trade in usual["btcusdc@trade"]]
    assert [trade["t"] for trade in trades[: -len(after)]] == [
        trade["t"] for trade in usual["btcusdc@trade"][: -len(after)]
    ]


def test_update_ids_begin_again_at_1_and_a_snapshot_goes_on_with_them(renumbered: Played) -> None:
    exchange, events = renumbered
    diffs = [event for event in events["btcusdc@depth@100ms"] if event["E"] >= RESTART_MS]
    assert diffs[0]["U"] == 1
    assert all(later["U"] == earlier["u"] + 1 for earlier, later in pairwise(diffs))
    assert ask(exchange, "depth", now_ms=diffs[5]["E"] + 50)["lastUpdateId"] == diffs[5]["u"]
    quote = next(event for event in reversed(events["btcusdc@bookTicker"]))
    assert quote["u"] <= diffs[-1]["u"]


def test_a_diff_that_holds_changes_of_both_numberings_is_the_first_of_the_new_one() -> None:
    numbering = UpdateNumbering([RESTART_MS])
    last_before = update_id(slot_at(RESTART_MS - 1))
    assert numbering.span(last_before - 7, last_before) == (last_before - 7, last_before)
    assert numbering.span(last_before - 7, last_before + 16) == (1, 16)
    assert numbering.span(last_before + 9, last_before + 16) == (9, 16)


def test_rest_has_the_trades_of_the_new_numbering_alone_under_the_ids_of_the_stream(
    renumbered: Played,
) -> None:
    exchange, events = renumbered
    after = {event["t"]: event for event in events["btcusdc@trade"] if event["T"] >= RESTART_MS}
    newest = ask(exchange, "trades", limit=1000)
    assert [row["id"] for row in newest] == list(after)
    assert all(
        row["time"] == after[row["id"]]["T"] and row["price"] == after[row["id"]]["p"] for row in newest
    )
    assert [row["id"] for row in ask(exchange, "historicalTrades", fromId=40, limit=5)] == [
        40,
        41,
        42,
        43,
        44,
    ]
    old_id = events["btcusdc@trade"][0]["t"]
    assert ask(exchange, "historicalTrades", fromId=old_id, limit=5) == []
    aggregates = ask(exchange, "aggTrades", fromId=7, limit=2)
    assert [(row["a"], row["f"], row["l"]) for row in aggregates] == [(7, 7, 7), (8, 8, 8)]
    # Before the restart the old ids are answered, as ever.
    before = ask(exchange, "trades", now_ms=RESTART_MS - 1, limit=3)
    assert [row["id"] for row in before] == sorted(row["id"] for row in before)
    assert before[0]["id"] > 1_000_000_000


def test_the_ticker_names_its_first_and_last_trade_as_the_stream_did(renumbered: Played) -> None:
    exchange, events = renumbered
    last = [event["t"] for event in events["btcusdc@trade"] if event["T"] <= END_MS][-1]
    of_now = ask(exchange, "ticker/24hr")
    assert of_now["lastId"] == last
    # A day ago the first numbering was in force.
    assert last < 1_000
    assert of_now["firstId"] > 1_000_000_000


def test_bars_name_their_trades_in_the_numbering_of_each(renumbered: Played) -> None:
    _, events = renumbered
    numbers = {event["T"]: event["t"] for event in events["btcusdc@trade"]}
    bars = [event["k"] for event in events["btcusdc@kline_1s"] if event["k"]["x"] and event["k"]["n"]]
    for bar in bars:
        times = [time for time in numbers if bar["t"] <= time <= bar["T"]]
        if times and len(set(times)) == bar["n"]:
            assert (bar["f"], bar["L"]) == (numbers[min(times)], numbers[max(times)])
    assert any(bar["f"] > bar["L"] for bar in bars) or any(bar["L"] < 1_000 for bar in bars)


@pytest.mark.parametrize("shift_ms", range(0, 60_000, 7_000))
def test_the_day_of_a_new_listing_begins_with_its_first_trade(shift_ms: int) -> None:
    exchange = WorldExchange((SYMBOL,), 11, START_MS, 0.5, listed_ms={SYMBOL: LISTED_MS})
    now_ms = END_MS + shift_ms
    trades = ask(exchange, "historicalTrades", fromId=1, limit=1000, now_ms=now_ms)
    day = ask(exchange, "ticker/24hr", now_ms=now_ms)
    assert (day["firstId"], day["lastId"], day["count"]) == (1, len(trades), len(trades))
    assert day["openPrice"] == trades[0]["price"]
    assert day["lastPrice"] == trades[-1]["price"]


def test_a_new_listing_has_no_past_and_opens_with_a_trade_of_id_1(listed: Played) -> None:
    exchange, events = listed
    trades = events["btcusdc@trade"]
    assert trades[0]["t"] == 1 and trades[0]["T"] >= LISTED_MS
    assert [trade["t"] for trade in trades] == list(range(1, len(trades) + 1))
    opened_ms = trades[0]["T"]
    for name, happened in events.items():
        if name != "btcusdc@trade":
            assert all(event.get("E", opened_ms) >= opened_ms - 100 for event in happened), name
    for path, more in (("klines", {"interval": "1s"}), ("klines", {"interval": "1m"}), ("trades", {}),
                       ("historicalTrades", {"fromId": 1}), ("aggTrades", {})):  # fmt: skip
        assert ask(exchange, path, now_ms=opened_ms - 1, **more) == [], path


def test_bars_of_a_new_listing_begin_with_the_one_that_holds_it_on_the_stream_and_over_rest(
    listed: Played,
) -> None:
    exchange, events = listed
    opened_ms = events["btcusdc@trade"][0]["T"]
    for interval, length_ms in (("1s", 1_000), ("1m", 60_000)):
        streamed = [event["k"] for event in events[f"btcusdc@kline_{interval}"] if event["k"]["x"]]
        rows = ask(exchange, "klines", interval=interval, limit=1000)
        closed = [row for row in rows if row[6] < END_MS - 60]
        assert [bar["t"] for bar in streamed] == [row[0] for row in closed]
        assert streamed[0]["t"] == opened_ms - opened_ms % length_ms
        assert [(bar["o"], bar["n"]) for bar in streamed] == [(row[1], row[8]) for row in closed]
    # A third has the listing in its middle: a bar all the same, short as it is.
    assert ask(exchange, "klines", interval="3m", limit=1000)[0][0] == opened_ms - opened_ms % 180_000


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(12))
def test_wherever_a_listing_falls_the_market_goes_on(seed: int) -> None:
    draw = random.Random(seed)
    start_ms = START_MS + draw.randrange(200_000)
    listed_ms = start_ms + draw.randrange(40_000)
    exchange = WorldExchange(("XRPUSDC",), seed, start_ms, 4.0, listed_ms={"XRPUSDC": listed_ms})
    kinds = ("trade", "kline_1s", "kline_1m", "kline_15m", "kline_1d", "depth@100ms", "bookTicker")
    wanted = frozenset(f"xrpusdc@{kind}" for kind in kinds)
    finals, until_ms = [], start_ms + 70_000
    while exchange.feed.emitted_until_ms < until_ms:
        for event in exchange.feed.due(until_ms, wanted):
            if event.event.get("e") == "kline" and event.event["k"]["x"]:
                finals.append(event.event["k"])
    assert sum(bar["n"] for bar in finals if bar["i"] == "1s") > 0
    assert all(bar["T"] >= listed_ms for bar in finals)


def test_restarts_and_listings_are_read_from_a_script() -> None:
    script = parse_script(
        None,
        ["ids_anew:at=5,streams=trade", "ids_anew:at=9,symbols=ETHUSDC", "new_listing:at=3,symbols=ETHUSDC"],
        BINANCE.scope,
    )
    symbols = (SYMBOL, "ETHUSDC")
    assert restarts_by_symbol(script.faults, 1_000, symbols, "trade") == {
        SYMBOL: [6_000],
        "ETHUSDC": [6_000, 10_000],
    }
    assert restarts_by_symbol(script.faults, 1_000, symbols, "depth") == {SYMBOL: [], "ETHUSDC": [10_000]}
    assert listed_by_symbol(script.faults, 1_000, symbols) == {"ETHUSDC": 4_000}
