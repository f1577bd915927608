"""Advanced Trade as the simulator speaks it, seen by a client that trusts the reference alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import UsageError
from simulator.faults.script import parse_script
from simulator.protocols.coinbase.dialect import COINBASE
from simulator.protocols.coinbase.names import checked_product
from simulator.protocols.instants import ms_of
from tests.unit.simulator.protocols.coinbase_client import CoinbaseBook, check, read
from tests.unit.simulator.protocols.market import FAR_LEVELS, START_MS, Client, Market

BTC, XRP = "BTC-USD", "XRP-USD"
SYMBOLS = (BTC, XRP)
CHANNELS = ("market_trades", "level2", "ticker", "status", "heartbeats")


def subscribe(client: Client, channel: str, *products: str) -> list[dict[str, Any]]:
    return [read(t) for t in client.say(type="subscribe", channel=channel, product_ids=list(products))]


def messages(client: Client, channel: str) -> list[dict[str, Any]]:
    found = [read(text) for text in client.texts]
    return [message for message in found if message.get("channel") == channel]


def book_of(client: Client, product: str = BTC) -> CoinbaseBook:
    book = CoinbaseBook()
    for message in messages(client, "l2_data"):
        for event in message["events"]:
            if event["product_id"] == product:
                book.apply(event)
    return book


def trades_of(client: Client, product: str = BTC) -> Iterator[dict[str, Any]]:
    """In the order of their ids within each message."""
    for message in messages(client, "market_trades"):
        for entry in reversed(message["events"][0]["trades"]):
            if entry["product_id"] == product:
                yield entry


def numbers(client: Client) -> list[int]:
    return [read(text)["sequence_num"] for text in client.texts]


def contiguous(ids: list[int]) -> bool:
    return all(later == earlier + 1 for earlier, later in pairwise(ids))


@pytest.mark.thorough
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_every_message_is_one_of_the_reference_and_the_count_leaves_none_out(seed: int) -> None:
    market = Market("coinbase", SYMBOLS, seed=seed)
    client = market.connect("/")
    for channel in CHANNELS:
        subscribe(client, channel, *SYMBOLS)
    for _ in range(8):
        market.run(1)
        client.beat()
    for text in client.texts:
        check(read(text))
    assert numbers(client) == list(range(len(client.texts)))
    assert [e["events"][0]["heartbeat_counter"] for e in messages(client, "heartbeats")] == list(range(1, 9))
    # The top of the book is what REST has.
    body = market.ask("/api/v3/brokerage/market/product_book", product_id=BTC, limit=20).body["pricebook"]
    book = book_of(client)
    for side, name in (("bid", "bids"), ("offer", "asks")):
        assert book.best(side, 20) == [(Decimal(level["price"]), level["size"]) for level in body[name]]


def test_a_snapshot_is_the_whole_book_the_far_levels_included() -> None:
    market = Market("coinbase", SYMBOLS)
    client = market.connect("/")
    snapshot, subscriptions = subscribe(client, "level2", BTC)
    assert snapshot["channel"] == "l2_data" and snapshot["events"][0]["type"] == "snapshot"
    assert subscriptions["events"] == [{"subscriptions": {"level2": [BTC]}}]
    far = book_of(client)
    market.run(20)
    book = book_of(client)
    assert book.messages > 50
    for side in ("bid", "offer"):
        prices = sorted(far.sides[side], reverse=side == "bid")[-FAR_LEVELS:]
        assert all(book.sides[side][price] == far.sides[side][price] for price in prices)
        assert len(book.sides[side]) > FAR_LEVELS + 100


def test_trades_are_contiguous_newest_first_and_the_side_is_the_makers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    market = Market("coinbase", SYMBOLS, log=log)
    client = market.connect("/")
    subscribe(client, "market_trades", BTC)
    market.run(20)
    snapshot, *updates = messages(client, "market_trades")
    assert snapshot["events"][0]["type"] == "snapshot" and len(snapshot["events"][0]["trades"]) == 100
    assert any(len(update["events"][0]["trades"]) > 1 for update in updates)
    stamps = [ms_of(update["timestamp"]) for update in updates]
    assert all(stamp % 250 == 0 for stamp in stamps) and len(set(stamps)) == len(stamps)
    trades = list(trades_of(client))
    assert contiguous([int(trade["trade_id"]) for trade in trades])
    market.log.close()
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    entries = {entry["trade_id"]: entry for entry in logged if entry["kind"] == "trade"}
    assert len(entries) == len(trades)
    for trade in trades:
        entry = entries[int(trade["trade_id"])]
        assert Decimal(trade["price"]) == Decimal(entry["price"])
        assert (trade["side"] == "BUY") is entry["buyer_is_maker"]
        assert ms_of(trade["time"]) == entry["trade_time_ms"]


def test_products_in_usdc_are_served_as_their_twins_in_usd() -> None:
    market = Market("coinbase", SYMBOLS)
    client = market.connect("/")
    *_, subscriptions = subscribe(client, "market_trades", "BTC-USDC")
    assert subscriptions["events"][0]["subscriptions"] == {"market_trades": [BTC]}
    market.run(3)
    assert {trade["product_id"] for trade in trades_of(client)} == {BTC}
    products = market.ask("/api/v3/brokerage/market/products").body["products"]
    aliases = {product["product_id"]: (product["alias"], product["alias_to"]) for product in products}
    assert aliases[BTC] == ("", ["BTC-USDC"]) and aliases["BTC-USDC"] == (BTC, [])
    assert checked_product("btc-usdc") == BTC and checked_product("USDT-USDC") == "USDT-USDC"


def test_subscriptions_are_told_as_a_whole_and_can_be_ended() -> None:
    market = Market("coinbase", SYMBOLS)
    client = market.connect("/")
    subscribe(client, "level2", BTC)
    *_, told = subscribe(client, "market_trades", BTC, XRP)
    assert told["events"][0]["subscriptions"] == {"level2": [BTC], "market_trades": [BTC, XRP]}
    (left,) = [read(t) for t in client.say(type="unsubscribe", channel="level2", product_ids=[BTC])]
    assert left["events"][0]["subscriptions"] == {"market_trades": [BTC, XRP]}
    market.run(2)
    assert len(messages(client, "l2_data")) == 1
    subscribe(client, "level2", BTC)
    market.run(2)
    events = [message["events"][0]["type"] for message in messages(client, "l2_data")]
    assert events[1] == "snapshot" and book_of(client).messages > 3
    assert contiguous(numbers(client))


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"type": "subscribe", "channel": "level2", "product_ids": ["BTC/USD"]}, "BTC/USD is not a valid"),
        ({"type": "subscribe", "channel": "level2"}, "product_ids is required"),
        ({"type": "subscribe", "channel": "matches", "product_ids": [BTC]}, "matches is not supported"),
        ({"type": "subscribe", "product_ids": [BTC]}, "channel is required"),
        ({"method": "subscribe"}, "invalid message type"),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused(request_: dict[str, Any], said: str) -> None:
    client = Market("coinbase", SYMBOLS).connect("/")
    (refused,) = [read(text) for text in client.say(**request_)]
    assert refused["type"] == "error" and said in refused["message"]
    assert not client.session.streams


def test_each_connection_counts_for_itself_and_later_ones_have_the_same_book() -> None:
    market = Market("coinbase", SYMBOLS)
    first = market.connect("/")
    subscribe(first, "level2", *SYMBOLS)
    market.run(3.05)
    second = market.connect("/")
    subscribe(second, "level2", BTC)
    market.run(3)
    for client in (first, second):
        assert numbers(client) == list(range(len(client.texts)))
    assert book_of(first).sides == book_of(second).sides


def test_a_halt_is_told_by_the_status_channel_and_by_rest() -> None:
    market = Market("coinbase", SYMBOLS, "halt:at=2,duration=3,symbols=BTC-USD")
    client = market.connect("/")
    subscribe(client, "level2", BTC)
    subscribe(client, "market_trades", BTC)
    subscribe(client, "status")
    market.run(2.5)
    products = {p["id"]: p["status"] for p in messages(client, "status")[-1]["events"][0]["products"]}
    assert products == {BTC: "offline", XRP: "online"}
    assert market.ask(f"/products/{BTC}").body["status"] == "offline"
    product = market.ask(f"/api/v3/brokerage/market/products/{BTC}").body
    assert (product["status"], product["trading_disabled"]) == ("offline", True)
    before = len(messages(client, "l2_data"))
    market.run(2.4)
    assert len(messages(client, "l2_data")) == before
    market.run(6)
    assert messages(client, "status")[-1]["events"][0]["products"][0]["status"] == "online"
    assert contiguous([int(trade["trade_id"]) for trade in trades_of(client)])
    assert book_of(client).messages > before


# --- REST ---


def test_trades_after_an_id_are_the_older_ones_page_by_page() -> None:
    market = Market("coinbase", SYMBOLS)
    client = market.connect("/")
    subscribe(client, "market_trades", BTC)
    market.run(30)
    streamed = list(trades_of(client))
    found: list[dict[str, Any]] = []
    cursor = int(streamed[-1]["trade_id"]) + 1
    while cursor > int(streamed[0]["trade_id"]):
        answer = market.ask(f"/products/{BTC}/trades", after=cursor, limit=40)
        assert [row["trade_id"] for row in answer.body] == list(range(cursor - 1, cursor - 41, -1))
        found += answer.body
        assert int(answer.headers["CB-BEFORE"]) == cursor - 1
        cursor = int(answer.headers["CB-AFTER"])
    rows = {row["trade_id"]: row for row in found}
    for trade in streamed:
        row = rows[int(trade["trade_id"])]
        assert Decimal(row["price"]) == Decimal(trade["price"])
        assert Decimal(row["size"]) == Decimal(trade["size"])
        assert (row["time"], row["side"].upper()) == (trade["time"], trade["side"])


def test_trades_before_an_id_are_the_newest_of_all_and_the_ends_are_empty() -> None:
    market = Market("coinbase", SYMBOLS)
    market.run(5)
    newest = [row["trade_id"] for row in market.ask(f"/products/{BTC}/trades", limit=5).body]
    before = market.ask(f"/products/{BTC}/trades", before=newest[-1] - 100, limit=5)
    assert [row["trade_id"] for row in before.body] == newest
    between = market.ask(f"/products/{BTC}/trades", before=newest[4], after=newest[0])
    assert [row["trade_id"] for row in between.body] == newest[1:4]
    assert market.ask(f"/products/{BTC}/trades", before=newest[0]).body == []
    first_id = market.world.markets[BTC].tape.first_id
    assert market.ask(f"/products/{BTC}/trades", after=first_id).body == []
    assert len(market.ask(f"/products/{BTC}/trades").body) == 1_000


def test_the_ticker_of_rest_has_the_newest_trades_of_a_span() -> None:
    market = Market("coinbase", SYMBOLS)
    market.run(20)
    path = f"/api/v3/brokerage/market/products/{BTC}/ticker"
    span = {"start": START_MS // 1000 + 2, "end": START_MS // 1000 + 8}
    trades = market.ask(path, limit=1_000, **span).body["trades"]
    ids = [int(trade["trade_id"]) for trade in trades]
    assert contiguous(ids[::-1]) and len(ids) > 20
    assert all(span["start"] * 1000 <= ms_of(trade["time"]) <= span["end"] * 1000 for trade in trades)
    known = {row["trade_id"] for row in market.ask(f"/products/{BTC}/trades").body}
    assert {ids[0] + 1, ids[-1] - 1} <= known  # it is all of the span
    assert [int(trade["trade_id"]) for trade in market.ask(path, limit=3, **span).body["trades"]] == ids[:3]


def test_candles_are_the_sums_of_the_trades_and_none_is_flat() -> None:
    market = Market("coinbase", SYMBOLS)
    market.run(400)
    begin = START_MS // 300_000 * 300
    path = f"/api/v3/brokerage/market/products/{BTC}/candles"
    candles = market.ask(path, granularity="FIVE_MINUTE", start=begin, end=begin + 600).body["candles"]
    trades: list[dict[str, Any]] = []
    cursor = market.ask(f"/products/{BTC}/trades", limit=1).body[0]["trade_id"] + 1
    while not trades or ms_of(trades[-1]["time"]) >= begin * 1000:
        trades += market.ask(f"/products/{BTC}/trades", after=cursor).body
        cursor = trades[-1]["trade_id"]
    opens = [int(candle["start"]) for candle in candles]
    assert opens == sorted(opens, reverse=True) and opens[-1] == begin
    for candle in candles:
        begin_ms = int(candle["start"]) * 1000
        mine = [trade for trade in trades if begin_ms <= ms_of(trade["time"]) < begin_ms + 300_000]
        prices = [Decimal(trade["price"]) for trade in mine]
        told = [Decimal(candle[name]) for name in ("open", "high", "low", "close", "volume")]
        volume = sum(Decimal(trade["size"]) for trade in mine)
        assert told == [prices[-1], max(prices), min(prices), prices[0], volume]
    minutes = market.ask(f"/products/{BTC}/candles", granularity=60).body
    assert len(minutes) == 300 and minutes[0][0] - minutes[-1][0] == 299 * 60
    too_many = market.ask(path, granularity="ONE_MINUTE", start=begin - 10**6, end=begin)
    assert too_many.status == 400 and "less than 350" in too_many.body["message"]


def test_unknown_products_and_paths_are_not_found() -> None:
    market = Market("coinbase", SYMBOLS)
    assert market.ask("/products/NO-USD/trades").status == 404
    for path in ("/nothing", "/api/v3/brokerage/products", "/market/products", "/products/BTC-USD/nothing"):
        assert market.face.read(path, [], {}, START_MS) is None
    assert market.ask(f"/products/{BTC}/trades", after="x").status == 400


# --- faults ---


@pytest.mark.parametrize("fault", ["skip:streams=depth", "skip:streams=trade"])
def test_a_message_that_is_lost_leaves_its_number_out(fault: str) -> None:
    market = Market("coinbase", SYMBOLS, f"{fault},every=2")
    client = market.connect("/")
    for channel in ("level2", "market_trades"):
        subscribe(client, channel, BTC)
    market.run(9.9)
    steps = [later - earlier for earlier, later in pairwise(numbers(client))]
    assert sorted(set(steps)) == [1, 2] and steps.count(2) == market.hits()["skip"] >= 4


def test_a_jump_of_the_counter_loses_nothing() -> None:
    market = Market("coinbase", SYMBOLS, "counter_jump:every=3,distance=5,streams=depth")
    client = market.connect("/")
    for channel in ("level2", "market_trades"):
        subscribe(client, channel, BTC)
    market.run(9.9)
    steps = [later - earlier for earlier, later in pairwise(numbers(client))]
    assert sorted(set(steps)) == [1, 6] and steps.count(6) == market.hits()["counter_jump"] >= 3
    other = Market("coinbase", SYMBOLS)
    undisturbed = other.connect("/")
    subscribe(undisturbed, "level2", BTC)
    other.run(9.9)
    assert book_of(client).sides == book_of(undisturbed).sides


def test_what_comes_late_or_twice_has_its_own_smaller_number() -> None:
    market = Market("coinbase", SYMBOLS, "reorder:every=2,streams=depth", "duplicate:every=3,streams=trade")
    client = market.connect("/")
    for channel in ("level2", "market_trades"):
        subscribe(client, channel, BTC)
    market.run(9.9)
    told = numbers(client)
    assert sorted(set(told)) == list(range(max(told) + 1))
    assert len(told) - len(set(told)) == market.hits()["duplicate"] >= 3
    smaller = sum(later <= earlier for earlier, later in pairwise(told))
    assert smaller >= market.hits()["reorder"] >= 3


def test_an_event_held_back_is_not_sent_to_who_came_after_it() -> None:
    market = Market("coinbase", SYMBOLS, "reorder:at=1,distance=30,streams=depth")
    first = market.connect("/")
    subscribe(first, "level2", BTC)
    market.run(1.5)
    second = market.connect("/")
    subscribe(second, "level2", BTC)
    market.run(6)
    assert numbers(second) == list(range(len(second.texts)))
    assert any(later < earlier for earlier, later in pairwise(numbers(first)))
    # The old change would have been counted, and wrong.
    stamps = [message["timestamp"] for message in messages(second, "l2_data")]
    assert stamps == sorted(stamps)
    fresh = market.connect("/")
    subscribe(fresh, "level2", BTC)
    assert book_of(second).sides == book_of(fresh).sides


def test_a_wrong_acknowledgement_names_another_product_and_nothing_is_sent() -> None:
    market = Market("coinbase", SYMBOLS, "wrong_ack:at=0")
    client = market.connect("/")
    (wrong,) = subscribe(client, "level2", BTC)
    assert wrong["events"][0]["subscriptions"] == {"level2": [XRP]}
    market.run(2)
    assert not messages(client, "l2_data") and market.hits()["wrong_ack"] == 1
    *_, told = subscribe(client, "level2", BTC)
    assert told["events"][0]["subscriptions"] == {"level2": [BTC]}


def test_a_skewed_clock_stamps_envelopes_and_the_time_alone() -> None:
    market = Market("coinbase", SYMBOLS, "clock_skew:offset_ms=5000")
    client = market.connect("/")
    subscribe(client, "market_trades", BTC)
    market.run(3)
    _, *updates = messages(client, "market_trades")
    for update in updates:
        newest = ms_of(update["events"][0]["trades"][0]["time"])
        assert 5_000 < ms_of(update["timestamp"]) - newest <= 5_250
    told = market.face.manners.with_server_time(market.ask("/api/v3/brokerage/time"), 5_000)
    assert int(told.body["epochMillis"]) == market.now_ms + 5_000


def test_broken_messages_are_no_json_or_lack_what_the_reference_demands() -> None:
    for fault in ("malformed", "truncated", "wrong_type", "missing_field"):
        market = Market("coinbase", SYMBOLS, f"{fault}:streams=trade+depth,probability=1")
        client = market.connect("/")
        for channel in ("level2", "market_trades"):
            subscribe(client, channel, BTC)
        good = len(client.texts)
        market.run(2)
        assert len(client.texts) > good + 5
        for text in client.texts[good:]:
            with pytest.raises((ValueError, AssertionError, AttributeError, TypeError, KeyError)):
                check(read(text))


@pytest.mark.parametrize("kind", ["bad_checksum", "missing_kline", "historical_trades_refused"])
def test_faults_of_other_exchanges_are_refused(kind: str) -> None:
    with pytest.raises(UsageError, match=f"fault {kind} cannot happen on coinbase; .*counter_jump"):
        parse_script(None, [f"{kind}:at=1"], COINBASE.scope)


@pytest.mark.parametrize("name", ["BTCUSD", "BTC/USD", "-USD"])
def test_wrong_product_names_are_refused_with_the_right_form(name: str) -> None:
    with pytest.raises(UsageError, match="names products like BTC-USD"):
        checked_product(name)


def test_a_product_that_is_listed_later_begins_with_its_first_trade() -> None:
    market = Market("coinbase", SYMBOLS, "new_listing:at=2,symbols=BTC-USD")
    client = market.connect("/")
    for channel in ("level2", "ticker", "market_trades"):
        subscribe(client, channel, BTC)
    assert not messages(client, "ticker") and not list(trades_of(client))
    assert market.ask(f"/products/{BTC}/candles").body == []
    market.run(10)
    ids = [int(trade["trade_id"]) for trade in trades_of(client)]
    assert ids == list(range(1, len(ids) + 1)) and len(ids) > 20
    assert [row["trade_id"] for row in market.ask(f"/products/{BTC}/trades").body][::-1][: len(ids)] == ids
    assert messages(client, "ticker") and contiguous(numbers(client))


def test_ids_that_begin_again_do_so_between_messages_and_over_rest() -> None:
    market = Market("coinbase", SYMBOLS, "ids_anew:at=5.1,streams=trade", rate=40.0)
    client = market.connect("/")
    subscribe(client, "market_trades", BTC)
    market.run(10)
    for message in messages(client, "market_trades"):
        assert contiguous([int(entry["trade_id"]) for entry in message["events"][0]["trades"]][::-1])
    ids = [int(trade["trade_id"]) for trade in trades_of(client)]
    begin = ids.index(1)
    assert begin > 100 and ids[begin:] == list(range(1, len(ids) - begin + 1))
    assert contiguous(numbers(client))
    page = market.ask(f"/products/{BTC}/trades", after=11).body
    assert [row["trade_id"] for row in page] == list(range(10, 0, -1))
