"""What every exchange behind the port has to keep, case by case, on the simulated exchange in virtual time.

A fourth exchange is accepted when its folder passes here: it is a line of `stand.SYMBOLS`, and the faults
that only its protocol has are lines of `cases.FAULTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import pytest

from producers.exchanges.registry import EXCHANGES
from producers.exchanges.rest_port import TRADING
from tests.exchange_contract.cases import (
    CALM,
    CASES,
    HEARD,
    MESSAGES_A_SECOND,
    REQUESTS_IN_10_S,
    TRIMMED,
    UNCOUNTED,
    UNDISTURBED,
    WITHHELD,
    WRITTEN_PLACES,
    books_to_see,
    repaired,
    unsynced_for,
)
from tests.exchange_contract.stand import SYMBOLS, Run

every_exchange = pytest.mark.parametrize("exchange", SYMBOLS)
every_case = pytest.mark.parametrize(("exchange", "case"), CASES)


def trade_ids(run: Run, symbol: str) -> list[int]:
    return [trade["trade_id"] for trade in run.trades(symbol)]


def test_every_exchange_of_the_registry_is_here() -> None:
    assert list(SYMBOLS) == list(EXCHANGES)


@every_exchange
def test_01_names_are_those_that_were_asked_for(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "none"]
    market = {at: values for at, values in run.records.items() if at[0].startswith("market.")}
    assert {key for _, key in market} == {f"{exchange}:{symbol}" for symbol in run.symbols}
    assert all(
        f"{value['exchange']}:{value['symbol']}" == key
        for (_, key), values in market.items()
        for value in values
    )


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
        # A poll may come only after this halt.
        if EXCHANGES[exchange].promises.halts.startswith("channels"):
            told = [each["status"] == TRADING for each in run.told(symbol)]
            assert told == [True, False, True]


@every_exchange
def test_11_a_bad_frame_costs_only_itself(runs: Mapping[Any, Run], exchange: str) -> None:
    run = runs[exchange, "bad frame"]
    struck = run.hits["malformed"] + run.hits["truncated"]
    assert struck >= 3
    # A frame may have some trades.
    assert 1 <= len(run.letters) <= 3 * struck


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
    carried_under = {key for topic, key in run.records if topic.startswith("market.")}
    assert carried_under == {f"coinbase:{symbol}" for symbol in run.symbols}
    # By what the stream said of its other name, and by what REST repaired.
    assert {trade["source"] for trade in run.trades("BTC-USDC")} >= {"stream", "backfill"}
    assert not run.ledger("BTC-USDC", "lost")


@every_exchange
def test_20_an_instrument_is_told_once_as_the_exchange_has_it(runs: Mapping[Any, Run], exchange: str) -> None:
    run, promises = runs[exchange, "none"], EXCHANGES[exchange].promises
    for symbol in run.symbols:
        (told,) = run.told(symbol)
        market = run.market(symbol).instrument
        assert (told["exchange"], told["status"], told["alias"]) == (exchange, "TRADING", None)
        assert (told["base"], told["quote"]) == (market.base_asset, market.quote_asset)
        assert Decimal(told["tick"]) == Decimal(1).scaleb(-market.price_decimals)
        places = WRITTEN_PLACES.get(exchange, market.quantity_decimals)
        assert Decimal(told["lot"]) == Decimal(1).scaleb(-places)
        assert told["trades_repaired_by"] == promises.trades.repair
        assert told["bars_from"] == promises.bars.source
        assert run.asked_ms - 600_000 < told["since_ms"] <= run.asked_ms
        # The law of these steps: prices and quantities are whole numbers of them.
        for trade in run.trades(symbol):
            assert not Decimal(trade["price"]) % Decimal(told["tick"])
            assert not Decimal(trade["quantity"]) % Decimal(told["lot"])


def test_21_a_halt_that_a_stream_tells_is_told_with_its_end(runs: Mapping[Any, Run]) -> None:
    run = runs["kraken", "halt"]
    for symbol in run.symbols:
        statuses = [each["status"] for each in run.told(symbol)]
        assert statuses[0] == statuses[-1] == "TRADING" and len(set(statuses)) == 2
        times = [each["since_ms"] for each in run.told(symbol)]
        assert times == sorted(set(times))


def test_22_an_alias_is_told(runs: Mapping[Any, Run]) -> None:
    run = runs["coinbase", "alias"]
    assert {each["alias"] for each in run.told("BTC-USDC")} == {"BTC-USD"}
