"""What every exchange behind the port has to keep, case by case, on the simulated exchange.

A fourth exchange is accepted when its folder passes here: it is a line of `stand.SYMBOLS`, and the faults
that only its protocol has are lines of `FAULTS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any, Final

import pytest

from producers.exchanges.registry import EXCHANGES
from tests.exchange_contract.stand import ALIASES, SYMBOLS, Run, carried

# Seconds lie between two faults: a book proved by a counter of all messages is exact between them.
# By case: the simulator's faults, and after how many seconds a connection is replaced.
FAULTS: Final[Mapping[str, tuple[Sequence[str], float | None]]] = {
    "none": ((), None),
    "gap": (("skip:every=3,streams=trade",), None),
    "duplicate": (("duplicate:every=1,streams=trade",), None),
    "reorder": (("reorder:every=3,streams=trade",), None),
    "reconnect": (("drop:at=6",), None),
    "silent": (("silent:at=4,duration=60",), None),
    # Of a quiet stream the next connection takes over after 10 s.
    "rollover": ((), 3.0),
    "halt": (("halt:at=6,duration=4",), None),
    "bad frame": (("malformed:every=5,streams=trade", "truncated:every=7,streams=trade"), None),
    "bad book": (("malformed:every=6,streams=depth", "skip:every=8,streams=depth"), None),
    "repair": (("skip:every=4,streams=trade", "rest_5xx:every=5", "rest_garbage:every=7"), None),
    "checksum": (("bad_checksum:every=4",), None),
    "acknowledgement": (("wrong_ack:at=0",), None),
    "counter": (("counter_jump:every=4,streams=trade",), None),
    "alias": (("skip:every=3,streams=trade", "drop:at=8"), None),
}
ONLY: Final = {
    "checksum": ("kraken",),
    "acknowledgement": ("kraken",),
    "counter": ("coinbase",),
    "alias": ("coinbase",),
}
# Cases in which the connection stays as it is.
CALM: Final = ("none", "gap", "duplicate", "reorder", "bad frame", "repair")
# In which the stream withholds trades while it lives: a quiet bar may be closed without them, and is revised.
WITHHELD: Final = ("gap", "reorder", "repair", "alias")
# A message of any channel that does not come in its turn leaves no book proved by a counter.
UNCOUNTED: Final = ("gap", "reorder", "repair")
# Heartbeats tell within seconds that a connection is dead.
HEARD: Final = ("kraken", "coinbase")
# Its stream leaves closing zeros out.
TRIMMED: Final = ("coinbase",)
UNDISTURBED: Final = ("none", "gap", "duplicate", "reorder", "repair", "rollover")
# What a case has to show, by kind of fault: how often it has struck at least.
STRUCK: Final[Mapping[str, Mapping[str, int]]] = {
    "gap": {"skip": 5},
    "duplicate": {"duplicate": 5},
    "reorder": {"reorder": 3},
    "reconnect": {"drop": 1},
    "silent": {"silent": 1},
    "halt": {"halt": 1},
    "bad frame": {"malformed": 2, "truncated": 1},
    "bad book": {"malformed": 2, "skip": 2},
    "repair": {"skip": 3},
    "checksum": {"bad_checksum": 3},
    "acknowledgement": {"wrong_ack": 1},
    "counter": {"counter_jump": 3},
    "alias": {"skip": 3, "drop": 1},
}
# What an address may do, by exchange: messages a second on its connections, and requests over REST in ten
# seconds, of which a start may send a burst (the documents of the first two name no figure for all requests
# alike: Binance weighs them, Kraken only says that it may refuse).
MESSAGES_A_SECOND: Final = {"binance": 5, "coinbase": 8}
REQUESTS_IN_10_S: Final = {"kraken": 20 + 10, "coinbase": 20 + 80}
# Exact books of the busy symbol.
BOOKS: Final = 10
CASES: Final = [
    (exchange, case) for exchange in SYMBOLS for case in FAULTS if exchange in ONLY.get(case, (exchange,))
]


def books_to_see(case: str, symbol_at: int) -> int:
    return BOOKS if symbol_at == 0 and case != "silent" else 0


def shown(case: str, run: Run) -> bool:
    """Whether all has happened that the tests of a case look at."""
    if any(run.hits.get(kind, 0) < least for kind, least in STRUCK.get(case, {}).items()):
        return False
    changed, calm = run.rollovers + run.reconnects, run.symbols[1]
    match case:
        case "none":
            flat = any(not bar["trade_count"] for bar in run.bars(calm))
            seen = flat and all(len(run.quotes(symbol)) >= 3 for symbol in run.symbols)
        case "gap":
            seen = sum(repaired(run, symbol) for symbol in run.symbols) >= 5
        case "duplicate":
            seen = any(run.ledger(symbol, "duplicate") for symbol in run.symbols)
        case "reconnect" | "alias":
            seen = run.reconnects >= 1
        case "rollover":
            seen = run.rollovers >= 1
        case "silent":
            seen = changed >= (1 if run.exchange in HEARD else 0)
        case "acknowledgement":
            seen = changed >= 1
        case "repair":
            seen = run.hits.get("rest_5xx", 0) + run.hits.get("rest_garbage", 0) >= 1
        case "checksum":
            seen = unsynced_for(run, "is not the exchange's", any)
        case "counter":
            seen = unsynced_for(run, "missing on the connection", all)
        case _:
            seen = True
    return seen and (case == "silent" or books_seen(run))


def repaired(run: Run, symbol: str) -> int:
    return sum(trade["source"] == "backfill" for trade in run.trades(symbol))


def books_seen(run: Run) -> bool:
    """Whether there are exact books of the busy symbol, and diffs that they can be held to."""
    tops = {book["update_id"] for book in run.books(run.symbols[0]) if book["synced"]}
    diffs = [each for each in run.diffs(run.symbols[0]) if each["kind"] == "diff"]
    return sum(each["final_update_id"] in tops for each in diffs) >= BOOKS


def unsynced_for(run: Run, reason: str, of_symbols: Callable[[Iterable[bool]], bool]) -> bool:
    return of_symbols(
        any(reason in (each["detail"] or "") for each in run.ledger(symbol, "unsynced"))
        for symbol in run.symbols
    )


class _Runs(dict[tuple[str, str], Run]):
    """Those of an exchange go on at the same time, once one of them is asked for."""

    def __missing__(self, key: tuple[str, str]) -> Run:
        asyncio.run(self._of(key[0]))
        return self[key]

    async def _of(self, exchange: str) -> None:
        cases = [case for at, case in CASES if at == exchange]
        work = [
            carried(
                exchange,
                FAULTS[case][0],
                partial(shown, case),
                age_s=FAULTS[case][1],
                aliases=ALIASES if case == "alias" else None,
            )
            for case in cases
        ]
        for case, run in zip(cases, await asyncio.gather(*work), strict=True):
            self[exchange, case] = run


@pytest.fixture(scope="session")
def runs() -> Mapping[tuple[str, str], Run]:
    """All runs."""
    return _Runs()


every_exchange = pytest.mark.parametrize("exchange", SYMBOLS)
every_case = pytest.mark.parametrize(("exchange", "case"), CASES)


def trade_ids(run: Run, symbol: str) -> list[int]:
    return [trade["trade_id"] for trade in run.trades(symbol)]


def test_every_exchange_of_the_registry_is_here() -> None:
    assert list(SYMBOLS) == list(EXCHANGES)


@every_exchange
def test_01_names_are_those_that_were_asked_for(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "none"]
    market = [(key, value) for topic, key, value in run.records.taken if topic.startswith("market.")]
    assert {key for key, _ in market} == {f"{exchange}:{symbol}".encode() for symbol in run.symbols}
    assert all(f"{value['exchange']}:{value['symbol']}".encode() == key for key, value in market)


@every_exchange
def test_02_the_side_is_the_takers(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "none"]
    for symbol in run.symbols:
        trades = run.trades(symbol)
        assert {trade["buyer_is_maker"] for trade in trades} == {True, False}
        assert all(
            trade["buyer_is_maker"] == run.true_trade(symbol, trade["trade_id"]).buyer_is_maker
            for trade in trades
        )


@every_exchange
def test_03_prices_quantities_and_times_are_exact(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "none"]
    for symbol in run.symbols:
        for trade in run.trades(symbol):
            true = run.true_trade(symbol, trade["trade_id"])
            assert Decimal(trade["price"]) == Decimal(true.price)
            assert Decimal(trade["quantity"]) == Decimal(true.quantity)
            assert abs(trade["trade_time_ms"] - true.trade_time_ms) <= 1
        places = {len(trade["price"].partition(".")[2]) for trade in run.trades(symbol)}
        # Trailing zeros are those of the exchange.
        if exchange in TRIMMED:
            assert not any("." in each["price"] and each["price"][-1] == "0" for each in run.trades(symbol))
        else:
            assert len(places) == 1


@every_case
def test_04_every_trade_once_whatever_the_stream_does(
    runs: Mapping[Any, Run], exchange: str, case: str
) -> None:
    run = runs[exchange, case]
    for symbol in run.symbols:
        ids = trade_ids(run, symbol)
        assert sorted(ids) == list(range(min(ids), max(ids) + 1))
        assert max(ids) >= run.newest_trade(symbol, run.asked_ms)


@every_exchange
def test_05_a_gap_is_found_and_repaired_over_rest(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "gap"]
    assert run.hits["skip"] >= 5
    assert sum(repaired(run, symbol) for symbol in run.symbols) >= 5
    assert any(run.ledger(symbol, "gap") for symbol in run.symbols)


@every_exchange
def test_06_a_duplicate_is_counted_and_dropped(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "duplicate"]
    assert run.hits["duplicate"] >= 5
    assert any(run.ledger(symbol, "duplicate") for symbol in run.symbols)


@every_exchange
def test_07_disorder_loses_nothing(runs: Mapping[Any, Run], exchange: str) -> None:
    assert runs[exchange, "reorder"].hits["reorder"] >= 3


@every_exchange
def test_08_a_cut_connection_is_opened_again(runs: Mapping[Any, Run], exchange: str) -> None:
    assert runs[exchange, "reconnect"].hits["drop"] == 1
    assert runs[exchange, "reconnect"].reconnects >= 1
    silent = runs[exchange, "silent"]
    assert silent.hits["silent"] >= 1
    assert silent.reconnects + silent.rollovers >= (1 if exchange in HEARD else 0)


@every_exchange
def test_09_the_next_connection_takes_over_without_a_seam(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "rollover"]
    assert run.rollovers >= 1
    for symbol in run.symbols:
        # The first ones may have been issued before the subscription.
        later = [each for each in run.trades(symbol) if each["received_time_ms"] > run.asked_ms - 10_000]
        assert all(trade["source"] == "stream" for trade in later)
        # From the first exact book on there is none that is not.
        synced = [book["synced"] for book in run.books(symbol)]
        assert all(synced[synced.index(True) :])


@every_exchange
def test_10_a_halt_is_no_loss(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "halt"]
    for symbol in run.symbols:
        assert not run.ledger(symbol, "lost")
        assert not [each for each in run.ledger(symbol, "uncarried") if each["stream"] == "trades"]


@every_exchange
def test_11_a_bad_frame_costs_only_itself(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "bad frame"]
    struck = run.hits["malformed"] + run.hits["truncated"]
    assert struck >= 3
    # A frame may have some trades.
    assert 1 <= len(run.records.letters) <= 3 * struck


@every_exchange
def test_12_rest_that_fails_now_and_then_only_delays(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "repair"]
    assert run.hits["rest_5xx"] + run.hits["rest_garbage"] >= 1
    assert run.hits["skip"] >= 3


def levels_of(exchange: str) -> int:
    return EXCHANGES[exchange].promises.book.depth or 20


@every_case
def test_13_a_book_is_right_whenever_it_says_so(runs: Mapping[Any, Run], exchange: str, case: str) -> None:
    run, levels = runs[exchange, case], levels_of(exchange)
    for at, symbol in enumerate(run.symbols):
        synced = [book for book in run.books(symbol) if book["synced"]]
        assert len(synced) >= books_to_see(case, at)
        for book in synced:
            true = run.true_book(symbol, book["event_time_ms"], levels)
            ours = book["bids"][:levels], book["asks"][:levels]
            assert [[(Decimal(price), Decimal(quantity)) for price, quantity in side] for side in ours] == [
                [(Decimal(price), Decimal(quantity)) for price, quantity in side] for side in true
            ]
        # Once it is exact it stays so, while nothing is wrong with the stream that proves it.
        counted = EXCHANGES[exchange].promises.book.integrity == "counter"
        if case in UNDISTURBED and not (counted and case in UNCOUNTED):
            assert all(book["synced"] for book in run.books(symbol) if book["event_time_ms"] < run.asked_ms)


@every_case
def test_13b_the_topic_of_diffs_alone_gives_the_same_book(
    runs: Mapping[Any, Run], exchange: str, case: str
) -> None:
    run, levels = runs[exchange, case], levels_of(exchange)
    for place, symbol in enumerate(run.symbols):
        tops = {book["update_id"]: book for book in run.books(symbol) if book["synced"]}
        bids: dict[Decimal, Decimal] = {}
        asks: dict[Decimal, Decimal] = {}
        at: int | None = None
        compared = 0
        for message in run.diffs(symbol):
            if message["kind"] == "snapshot":
                bids, asks = {}, {}
            else:
                assert at is not None and message["first_update_id"] <= at + 1, "diffs join"
            for side, name in ((bids, "bids"), (asks, "asks")):
                for price, quantity in message[name]:
                    side[Decimal(price)] = Decimal(quantity)
                    if not Decimal(quantity):
                        del side[Decimal(price)]
            at = message["final_update_id"]
            if at in tops and message["kind"] == "diff":
                compared += 1
                assert sorted(bids.items(), reverse=True)[:levels] == [
                    (Decimal(price), Decimal(quantity)) for price, quantity in tops[at]["bids"][:levels]
                ]
                assert sorted(asks.items())[:levels] == [
                    (Decimal(price), Decimal(quantity)) for price, quantity in tops[at]["asks"][:levels]
                ]
        assert compared >= books_to_see(case, place)


def test_13c_a_wrong_checksum_unsyncs_that_book_and_asks_for_a_new_one(runs: Mapping[Any, Run]) -> None:
    run = runs["kraken", "checksum"]
    assert run.hits["bad_checksum"] >= 3
    assert unsynced_for(run, "is not the exchange's", any)


def test_13d_a_subscription_under_a_wrong_name_is_noticed(runs: Mapping[Any, Run]) -> None:
    run = runs["kraken", "acknowledgement"]
    assert run.hits["wrong_ack"] == 1
    assert run.rollovers + run.reconnects == 1


def test_13e_a_jump_of_the_counter_unsyncs_all_books_and_asks_for_new_ones(runs: Mapping[Any, Run]) -> None:
    run = runs["coinbase", "counter"]
    assert run.hits["counter_jump"] >= 3
    assert run.reconnects == run.rollovers == 0
    assert unsynced_for(run, "missing on the connection", all)
    for symbol in run.symbols:
        assert not run.ledger(symbol, "gap")


CONTENT: Final = (
    *("open", "high", "low", "close", "base_volume", "quote_volume", "trade_count"),
    *("taker_buy_base_volume", "taker_buy_quote_volume"),
)


@every_case
def test_14_closed_bars_are_right_in_order_and_without_a_hole(
    runs: Mapping[Any, Run], exchange: str, case: str
) -> None:
    run = runs[exchange, case]
    for at, symbol in enumerate(run.symbols):
        revised = {event["first"] for event in run.ledger(symbol, "revised")}
        # After the market has stopped, the clock goes on without it.
        published = [bar for bar in run.bars(symbol) if bar["close_time_ms"] < run.asked_ms]
        bars = {bar["open_time_ms"]: bar for bar in published}
        opens = list(bars)
        assert opens == sorted(bars)
        # A trade that the stream withheld, and that came later than the clock could wait: of the busy symbol
        # the next trade shows before that it is missing.
        assert len(published) == len(bars) or (revised and case in WITHHELD and at == 1)
        if case != "halt":
            assert all(after == before + 1_000 for before, after in pairwise(opens))
            assert opens[-1] >= run.asked_ms - 4_000
            for bar in bars.values():
                true = run.true_bar(symbol, "1s", bar["open_time_ms"])
                assert {name: Decimal(bar[name]) for name in CONTENT} == {
                    name: Decimal(getattr(true, name)) for name in CONTENT
                }


@every_exchange
def test_15_a_quiet_second_is_a_flat_bar(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "none"]
    flat = [bar for bar in run.bars(run.symbols[1]) if not bar["trade_count"]]
    assert flat
    assert all(bar["open"] == bar["high"] == bar["low"] == bar["close"] for bar in flat)


@every_exchange
def test_16_quotes_are_the_worlds_best_prices(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "none"]
    for symbol in run.symbols:
        quotes = run.quotes(symbol)
        assert len(quotes) >= 3
        ids = [quote["update_id"] for quote in quotes]
        assert ids == sorted(set(ids))
        assert all(Decimal(quote["bid_price"]) < Decimal(quote["ask_price"]) for quote in quotes)


@pytest.mark.parametrize("case", CALM)
@every_exchange
def test_17_nothing_is_lost_or_missing_at_the_end(runs: Mapping[Any, Run], exchange: str, case: str) -> None:
    run = runs[exchange, case]
    for symbol in run.symbols:
        assert not run.ledger(symbol, "lost")
        expected = {
            number
            for event in run.ledger(symbol, "expected")
            if event["stream"] == "trades"
            for number in range(event["first"], event["last"] + 1)
        }
        assert expected == set(trade_ids(run, symbol))


@every_case
def test_18_no_limit_of_the_exchange_is_passed(runs: Mapping[Any, Run], exchange: str, case: str) -> None:
    asked = runs[exchange, case].asked
    assert asked["requests"] > 0
    assert (asked["refused"], asked["closed"]) == (0, 0)
    assert asked["requests_in_10_s"] <= REQUESTS_IN_10_S.get(exchange, asked["requests"])
    assert asked["messages_in_1_s"] <= MESSAGES_A_SECOND.get(exchange, asked["messages"])


def test_19_an_alias_is_published_under_the_name_that_was_asked_for(runs: Mapping[Any, Run]) -> None:
    run = runs["coinbase", "alias"]
    assert run.symbols[0] == "BTC-USDC" and "BTC-USDC" not in run.world.symbols
    carried_under = {key for topic, key, _ in run.records.taken if topic.startswith("market.")}
    assert carried_under == {f"coinbase:{symbol}".encode() for symbol in run.symbols}
    # By what the stream said of its other name, and by what REST repaired.
    assert {trade["source"] for trade in run.trades("BTC-USDC")} >= {"stream", "backfill"}
    assert not run.ledger("BTC-USDC", "lost")
