"""Kraken's v2 as the simulator speaks it, seen by a client that trusts the reference alone."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import UsageError
from simulator.faults.script import parse_script
from simulator.protocols.instants import ms_of
from simulator.protocols.kraken.dialect import KRAKEN
from simulator.protocols.kraken.names import DEPTHS, checked_pair, rest_pair
from tests.unit.simulator.protocols.kraken_client import KrakenBook, Number, check, crc, read
from tests.unit.simulator.protocols.market import START_MS, Client, Market

BTC, XRP = "BTC/USD", "XRP/USD"
SYMBOLS = (BTC, XRP)


def subscribe(client: Client, channel: str, *symbols: str, **params: Any) -> list[dict[str, Any]]:
    asked: dict[str, Any] = {"channel": channel, **params}
    if symbols:
        asked["symbol"] = list(symbols)
    return [read(text) for text in client.say(method="subscribe", params=asked, req_id=5)]


def messages(client: Client, channel: str) -> list[dict[str, Any]]:
    found = [read(text) for text in client.texts]
    return [message for message in found if message.get("channel") == channel]


def book_of(client: Client, depth: int, symbol: str = BTC) -> KrakenBook:
    book = KrakenBook(depth)
    for message in messages(client, "book"):
        if message["data"][0]["symbol"] == symbol:
            book.apply(message)
    return book


def trades_of(client: Client, symbol: str = BTC) -> list[dict[str, Any]]:
    entries = [entry for message in messages(client, "trade") for entry in message["data"]]
    return [entry for entry in entries if entry["symbol"] == symbol]


def test_the_clients_checksum_is_that_of_the_reference() -> None:
    asks = [("0.05121", "250.00000000"), ("0.05130", "12.50000000"), ("0.05200", "0.00400000")]
    bids = [("0.05118", "100.00000000"), ("0.05100", "3.25000000"), ("0.04999", "75.10000000")]
    assert crc(asks, bids) == 1_376_268_028


@pytest.mark.thorough
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(DEPTHS))
def test_every_message_is_one_of_the_reference_and_every_checksum_verifies(seed: int, depth: int) -> None:
    market = Market("kraken", SYMBOLS, seed=seed)
    client = market.connect("/v2")
    for channel in ("trade", "ticker", "instrument"):
        subscribe(client, channel, *(SYMBOLS if channel != "instrument" else ()), snapshot=True)
    subscribe(client, "book", *SYMBOLS, depth=depth)
    market.run(8)
    for text in client.texts:
        check(read(text))
    for symbol in SYMBOLS:
        book = book_of(client, depth, symbol)
        assert book.messages > (5 if symbol == BTC else 0) and book.mismatches == 0
        assert book.prices("bids")[0] < book.prices("asks")[0]
        assert max(len(side) for side in book.sides.values()) <= depth


def test_what_better_prices_push_out_of_the_depth_gets_no_message() -> None:
    market = Market("kraken", SYMBOLS)
    client = market.connect("/v2")
    subscribe(client, "book", BTC, depth=10)
    market.run(30)
    lazy = KrakenBook(10_000)  # never cuts
    for message in messages(client, "book"):
        lazy.apply(message)
    assert len(lazy.sides["bids"]) > 10
    assert book_of(client, 10).mismatches == 0 < lazy.mismatches


def test_trades_are_consecutive_and_the_snapshot_joins_the_updates(tmp_path: Path) -> None:
    log = tmp_path / "log"
    market = Market("kraken", SYMBOLS, log=log)
    client = market.connect("/v2")
    assert not any("data" in reply for reply in subscribe(client, "trade", XRP))  # no snapshot by default
    subscribe(client, "trade", BTC, snapshot=True)
    market.run(20)
    snapshot, *updates = [m for m in messages(client, "trade") if m["data"][0]["symbol"] == BTC]
    assert snapshot["type"] == "snapshot" and len(snapshot["data"]) == 50
    assert {message["type"] for message in updates} == {"update"}
    assert any(len(message["data"]) > 1 for message in updates)
    ids = [entry["trade_id"] for entry in trades_of(client)]
    assert all(later == earlier + 1 for earlier, later in pairwise(ids)) and len(ids) > 100
    market.log.close()
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    entries = {e["trade_id"]: e for e in logged if e["kind"] == "trade" and e["symbol"] == BTC}
    assert sorted(entries) == ids
    for trade in trades_of(client):
        entry = entries[trade["trade_id"]]
        assert Decimal(trade["price"]) == Decimal(entry["price"])
        assert ms_of(trade["timestamp"]) == entry["trade_time_ms"]
        # The side is the taker's.
        assert (trade["side"] == "sell") is entry["buyer_is_maker"]


def test_numbers_keep_the_pairs_places() -> None:
    market = Market("kraken", SYMBOLS)
    client = market.connect("/v2")
    subscribe(client, "instrument")
    subscribe(client, "book", BTC)
    market.run(5)
    pairs = {pair["symbol"]: pair for pair in messages(client, "instrument")[0]["data"]["pairs"]}
    places = {
        len(level["price"].partition(".")[2])
        for message in messages(client, "book")
        for level in message["data"][0]["bids"]
    }
    assert places == {pairs[BTC]["price_precision"]}


def test_each_symbol_is_acknowledged_by_itself() -> None:
    market = Market("kraken", SYMBOLS)
    client = market.connect("/v2")
    assert read(client.texts[0])["data"][0]["system"] == "online"
    acknowledged, snapshot, refused = subscribe(client, "book", BTC, "FOO/BAR", depth=25)
    assert acknowledged["result"] == {"channel": "book", "symbol": BTC, "depth": 25, "snapshot": True}
    assert (acknowledged["success"], acknowledged["req_id"]) == (True, 5)
    assert snapshot["type"] == "snapshot" and len(snapshot["data"][0]["bids"]) == 25
    assert (refused["success"], refused["error"]) == (False, "Currency pair not supported FOO/BAR")
    market.run(1)
    assert book_of(client, 25).mismatches == 0
    (again,) = subscribe(client, "book", BTC, depth=25)
    assert (again["success"], again["error"]) == (False, "Already subscribed")


def test_after_unsubscribing_nothing_comes_and_a_new_subscription_has_a_new_snapshot() -> None:
    market = Market("kraken", SYMBOLS)
    client = market.connect("/v2")
    subscribe(client, "book", BTC)
    market.run(1)
    asked = {"channel": "book", "symbol": [BTC], "depth": 10}
    (left,) = [read(text) for text in client.say(method="unsubscribe", params=asked)]
    assert left["success"] and left["method"] == "unsubscribe"
    before = len(client.texts)
    market.run(3)
    assert len(client.texts) == before
    subscribe(client, "book", BTC)
    market.run(3)
    assert book_of(client, 10).mismatches == 0
    (missing,) = [read(text) for text in client.say(method="unsubscribe", params={**asked, "symbol": [XRP]})]
    assert missing["error"] == "Subscription Not Found"


def asking(channel: str, **params: Any) -> dict[str, Any]:
    return {"method": "subscribe", "params": {"channel": channel, **params}}


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (asking("candles", symbol=[BTC]), "'channel'"),
        (asking("book", symbol=[BTC], depth=7), "depth"),
        (asking("book"), "Symbol(s) missing"),
        (asking("trade", symbol=[BTC], snapshot=1), "'snapshot'"),
        (asking("ticker", symbol=[BTC], event_trigger="x"), "trigger"),
        ({"method": "dance"}, "Unsupported method"),
        ({"event": "subscribe", "pair": ["XBT/USD"]}, "Unsupported method"),
    ],
)
def test_wrong_requests_are_refused(request_: dict[str, Any], error: str) -> None:
    client = Market("kraken", SYMBOLS).connect("/v2")
    (refused,) = [read(text) for text in client.say(**request_)]
    assert refused["success"] is False and error in refused["error"]
    assert not client.session.streams


def test_text_that_is_no_request_is_refused() -> None:
    client = Market("kraken", SYMBOLS).connect("/v2")
    for text in ("", "[]", "nonsense"):
        (refused,) = client.session.replies(text)
        assert json.loads(refused)["error"] == "Malformed request"


def test_pings_are_answered_and_heartbeats_fill_silence_only() -> None:
    market = Market("kraken", SYMBOLS)
    client = market.connect("/v2")
    (pong,) = [read(text) for text in client.say(method="ping", req_id=7)]
    assert (pong["method"], pong["req_id"]) == ("pong", 7)
    assert client.beat() == []  # before any subscription
    subscribe(client, "trade", BTC)
    assert client.beat(quiet=False) == []
    assert client.beat() == ['{"channel":"heartbeat"}']


def test_clients_that_come_later_have_the_same_book() -> None:
    market = Market("kraken", SYMBOLS)
    first = market.connect("/v2")
    subscribe(first, "book", BTC, depth=100)
    market.run(3.05)
    second, third = market.connect("/v2"), market.connect("/v2")
    subscribe(second, "book", BTC, depth=100)
    subscribe(third, "book", BTC, depth=10)
    market.run(3)
    books = book_of(first, 100), book_of(second, 100), book_of(third, 10)
    assert [book.mismatches for book in books] == [0, 0, 0]
    assert books[0].sides == books[1].sides
    assert books[2].prices("asks") == books[0].prices("asks")[:10]


def test_a_halt_is_told_by_both_channels_and_by_rest() -> None:
    market = Market("kraken", SYMBOLS, "halt:at=2,duration=3")
    client = market.connect("/v2")
    for channel in ("book", "trade"):
        subscribe(client, channel, BTC)
    subscribe(client, "instrument")
    market.run(2.5)
    assert read(client.beat()[0])["data"][0]["system"] == "maintenance"
    assert {p["status"] for p in messages(client, "instrument")[-1]["data"]["pairs"]} == {"maintenance"}
    assert market.ask("/0/public/SystemStatus").body["result"]["status"] == "maintenance"
    pairs = market.ask("/0/public/AssetPairs").body["result"]
    assert {pair["status"] for pair in pairs.values()} == {"maintenance"}
    before = len(client.texts)
    market.run(2.4)
    assert len(client.texts) == before
    market.run(3)
    assert read(client.beat()[0])["data"][0]["system"] == "online"
    statuses = [m["data"]["pairs"][0]["status"] for m in messages(client, "instrument")[1:]]
    assert statuses == ["maintenance", "maintenance", "online", "online"]
    ids = [entry["trade_id"] for entry in trades_of(client)]
    assert all(later == earlier + 1 for earlier, later in pairwise(ids))
    assert book_of(client, 10).mismatches == 0


# --- REST ---


def page(market: Market, **query: object) -> tuple[list[list[Any]], int]:
    answer = market.ask("/0/public/Trades", pair="XBTUSD", **query).body
    assert answer["error"] == []
    return answer["result"]["XXBTZUSD"], int(answer["result"]["last"])


def test_pages_of_trades_since_a_time_are_complete_and_carry_ids() -> None:
    market = Market("kraken", SYMBOLS, rate=40.0)
    client = market.connect("/v2")
    subscribe(client, "trade", BTC)
    market.run(30)
    streamed = {entry["trade_id"]: entry for entry in trades_of(client)}
    rows: list[list[Any]] = []
    since = START_MS * 1_000_000
    while True:
        found, last = page(market, since=since)
        assert len(found) <= 1_000
        known = {row[6] for row in rows}
        rows += [row for row in found if row[6] not in known]
        if len(found) < 1_000:
            break
        # One below the last time: trades that share it may be on the next page.
        since = last - 1
    ids = [row[6] for row in rows]
    assert len(ids) > 2_000 and all(later == earlier + 1 for earlier, later in pairwise(ids))
    assert streamed.keys() <= set(ids)
    for price, quantity, time_s, side, kind, nothing, trade_id in rows:
        if (entry := streamed.get(trade_id)) is not None:
            assert Decimal(price) == Decimal(entry["price"]) and Decimal(quantity) == Decimal(entry["qty"])
            assert {"b": "buy", "s": "sell"}[side] == entry["side"]
            assert {"l": "limit", "m": "market"}[kind] == entry["ord_type"] and nothing == ""
            assert int(time_s * 1000) == ms_of(entry["timestamp"])


def test_since_is_exclusive_and_trades_of_one_time_may_be_cut_by_a_page() -> None:
    market = Market("kraken", SYMBOLS, rate=300.0)
    market.run(10)
    cut = 0
    for offset_s in range(1, 9):
        found, last = page(market, since=(START_MS // 1000 + offset_s) * 10**9, count=200)
        later, _ = page(market, since=last)
        assert later[0][2] > found[-1][2]
        cut += later[0][6] != found[-1][6] + 1
        overlapping, _ = page(market, since=last - 1)
        # None is missing: all that share the last time come again.
        assert overlapping[0][6] <= found[-1][6] and overlapping[0][2] == found[-1][2]
    assert cut


def test_without_since_the_newest_trades_are_answered_and_seconds_are_a_time_too() -> None:
    market = Market("kraken", SYMBOLS)
    market.run(5)
    newest, _ = page(market)
    assert len(newest) == 1_000
    assert page(market, since=START_MS // 1000)[0] == page(market, since=START_MS * 10**6)[0]
    assert page(market, count=3)[0] == newest[-3:]
    oldest, _ = page(market, since=0)
    assert oldest[0][6] == market.world.markets[BTC].tape.first_id


def test_bars_are_the_sums_of_the_trades_flat_ones_included() -> None:
    market = Market("kraken", SYMBOLS, "halt:at=60,duration=1", rate=0.02)
    market.run(400)
    body = market.ask("/0/public/OHLC", pair=XRP, interval=1).body["result"]
    rows, last = body[rest_pair(XRP).key], body["last"]
    assert len(rows) == 720 and rows[-2][0] == last
    since_ns = rows[-6][0] * 10**9 - 1
    trades, _ = market.ask("/0/public/Trades", pair=XRP, since=since_ns).body["result"].values()
    for row in rows[-6:]:
        mine = [trade for trade in trades if row[0] <= trade[2] < row[0] + 60]
        assert row[7] == len(mine)
        assert Decimal(row[6]) == sum(Decimal(trade[1]) for trade in mine)
        if mine:
            prices = [Decimal(trade[0]) for trade in mine]
            assert [Decimal(text) for text in row[1:5]] == [prices[0], max(prices), min(prices), prices[-1]]
        else:
            assert len(set(row[1:5])) == 1 and row[5] == "0.0"
    since = market.ask("/0/public/OHLC", pair=XRP, interval=1, since=rows[-3][0]).body["result"]
    assert since[rest_pair(XRP).key] == rows[-2:]


@pytest.mark.parametrize("name", ["XBTUSD", "XXBTZUSD", "XBT/USD", "BTC/USD", "BTCUSD"])
def test_a_pair_goes_by_all_of_its_names(name: str) -> None:
    market = Market("kraken", SYMBOLS)
    assert list(market.ask("/0/public/AssetPairs", pair=name).body["result"]) == ["XXBTZUSD"]


def test_wrong_requests_have_status_200_and_an_error() -> None:
    market = Market("kraken", SYMBOLS)
    asked: list[tuple[str, dict[str, object]]] = [
        ("Trades", {"pair": "NOPE"}), ("Trades", {"pair": "XBTUSD", "since": "x"}),
        ("OHLC", {"pair": "XBTUSD", "interval": 7}), ("Depth", {"pair": "XBTUSD", "count": 0}),
    ]  # fmt: skip
    answers = [market.ask(f"/0/public/{path}", **query) for path, query in asked]
    assert [answer.status for answer in answers] == [200] * 4
    assert [answer.body["error"] for answer in answers] == [
        ["EQuery:Unknown asset pair"], *[["EGeneral:Invalid arguments"]] * 3,
    ]  # fmt: skip


def test_the_depth_of_rest_is_the_streams_book() -> None:
    market = Market("kraken", SYMBOLS)
    client = market.connect("/v2")
    subscribe(client, "book", BTC)
    market.run(3)
    (sides,) = market.ask("/0/public/Depth", pair=BTC, count=10).body["result"].values()
    book = book_of(client, 10)
    for name in ("asks", "bids"):
        assert [Decimal(price) for price, _, _ in sides[name]] == book.prices(name)


def test_too_many_requests_are_refused_until_time_has_passed() -> None:
    market = Market("kraken", SYMBOLS)
    asked = market.face.read("/0/public/Time", [], {}, market.now_ms)
    assert asked is not None
    refusals = [market.face.charge("1.2.3.4", asked)[1] for _ in range(25)]
    assert refusals[0] is None and refusals[-1] is not None
    assert json.loads(refusals[-1].body) == {"error": ["EGeneral:Too many requests"]}
    assert market.face.charge("5.6.7.8", asked)[1] is None


# --- faults ---


def test_a_bad_checksum_is_in_the_struck_messages_and_in_no_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    market = Market("kraken", SYMBOLS, "bad_checksum:every=2,symbols=BTC/USD", log=log)
    client = market.connect("/v2")
    subscribe(client, "book", *SYMBOLS)
    market.run(10)
    assert book_of(client, 10).mismatches == market.hits()["bad_checksum"] >= 4
    assert book_of(client, 10, XRP).mismatches == 0
    market.log.close()
    kinds = {json.loads(line)["kind"] for line in log.read_text().splitlines() if "bad_checksum" in line}
    assert kinds == {"altered"}


def test_a_lost_change_of_the_book_shows_in_the_next_checksum() -> None:
    market = Market("kraken", SYMBOLS, "skip:streams=depth,at=2")
    client = market.connect("/v2")
    subscribe(client, "book", BTC)
    market.run(8)
    assert market.hits()["skip"] == 1 and book_of(client, 10).mismatches


def test_a_wrong_acknowledgement_names_another_pair_and_nothing_is_sent() -> None:
    market = Market("kraken", SYMBOLS, "wrong_ack:at=0")
    client = market.connect("/v2")
    (wrong,) = subscribe(client, "trade", BTC, snapshot=True)
    assert wrong["success"] and wrong["result"]["symbol"] == XRP
    market.run(3)
    assert not messages(client, "trade") and market.hits()["wrong_ack"] == 1
    acknowledged, _snapshot = subscribe(client, "trade", BTC, snapshot=True)
    assert acknowledged["result"]["symbol"] == BTC


@pytest.mark.parametrize(
    "fault", ["skip:every=2", "duplicate:every=2", "reorder:every=2", "wrong_trade_id:every=2"]
)
def test_ids_show_every_fault_of_trades(fault: str) -> None:
    market = Market("kraken", SYMBOLS, fault + (",streams=trade" if "wrong" not in fault else ""))
    client = market.connect("/v2")
    subscribe(client, "trade", BTC)
    market.run(10)
    ids = [entry["trade_id"] for entry in trades_of(client)]
    assert sum(market.hits().values()) >= 4
    assert any(later != earlier + 1 for earlier, later in pairwise(ids))


def test_broken_messages_are_no_json_or_lack_what_the_reference_demands() -> None:
    for fault in ("malformed", "truncated", "wrong_type", "missing_field"):
        market = Market("kraken", SYMBOLS, f"{fault}:streams=trade+depth,probability=1")
        client = market.connect("/v2")
        subscribe(client, "trade", BTC)
        subscribe(client, "book", BTC, snapshot=False)
        market.run(2)
        struck = [text for text in client.texts if "time_in" not in text][1:]
        assert len(struck) > 5
        for text in struck:
            with pytest.raises((ValueError, AssertionError, AttributeError, TypeError, KeyError)):
                check(read(text))


def test_a_far_trade_time_is_a_lie_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    market = Market("kraken", SYMBOLS, "far_trade_time:at=1,offset_ms=-5000", log=log)
    client = market.connect("/v2")
    subscribe(client, "trade", BTC)
    market.run(4)
    market.log.close()
    (lie,) = [json.loads(line) for line in log.read_text().splitlines() if '"lie"' in line]
    (told,) = [entry for entry in trades_of(client) if entry["trade_id"] == lie["trade_id"]]
    assert ms_of(told["timestamp"]) == lie["trade_time_ms"]


@pytest.mark.parametrize("kind", ["late_kline", "counter_jump", "rest_418", "rest_old_snapshot"])
def test_faults_of_other_exchanges_are_refused(kind: str) -> None:
    with pytest.raises(UsageError, match=f"fault {kind} cannot happen on kraken; choose from .*bad_checksum"):
        parse_script(None, [f"{kind}:at=1"], KRAKEN.scope)


def test_scripts_name_krakens_own_streams_and_endpoints() -> None:
    (fault,) = parse_script(None, ["rest_5xx:paths=Trades+OHLC"], KRAKEN.scope).faults
    assert fault.paths == {"Trades", "OHLC"}
    with pytest.raises(UsageError, match="streams=kline is not one or more of trade, depth, quote"):
        parse_script(None, ["skip:streams=kline"], KRAKEN.scope)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("BTCUSD", "names pairs like BTC/USD"),
        ("XBT/USD", "write BTC/USD"),
        ("BTC-USD", "like BTC/USD"),
        ("/USD", "BTC/USD"),
    ],
)
def test_wrong_pair_names_are_refused_with_the_right_form(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checked_pair(name)
    assert checked_pair("btc/usd") == BTC


def test_numbers_of_the_client_are_text() -> None:
    assert isinstance(read('{"a":0.10}')["a"], Number) and read('{"a":0.10}')["a"] == "0.10"


def test_a_pair_that_is_listed_later_begins_with_its_first_trade() -> None:
    market = Market("kraken", SYMBOLS, "new_listing:at=2,symbols=BTC/USD")
    client = market.connect("/v2")
    for channel in ("book", "ticker", "trade"):
        subscribe(client, channel, BTC, snapshot=True)
    assert not messages(client, "ticker") and messages(client, "trade")[0]["data"] == []
    assert market.ask("/0/public/OHLC", pair=BTC).body["result"]["XXBTZUSD"] == []
    market.run(10)
    ids = [entry["trade_id"] for entry in trades_of(client)]
    assert ids == list(range(1, len(ids) + 1)) and len(ids) > 20
    assert [row[6] for row in page(market, since=0)[0]] == ids
    assert messages(client, "ticker") and book_of(client, 10).mismatches == 0


def test_ids_that_begin_again_do_so_between_messages_and_over_rest(tmp_path: Path) -> None:
    log = tmp_path / "log"
    market = Market("kraken", SYMBOLS, "ids_anew:at=5,streams=trade", rate=40.0, log=log)
    client = market.connect("/v2")
    subscribe(client, "trade", BTC)
    market.run(10)
    for message in messages(client, "trade"):
        ids = [entry["trade_id"] for entry in message["data"]]
        assert all(later == earlier + 1 for earlier, later in pairwise(ids))
    ids = [entry["trade_id"] for entry in trades_of(client)]
    begin = ids.index(1)
    assert begin > 100 and ids[begin:] == list(range(1, len(ids) - begin + 1))
    assert [row[6] for row in page(market, since=0)[0]] == ids[begin:][:1_000]
    market.log.close()
    numberings = {json.loads(line).get("numbering", 0) for line in log.read_text().splitlines()}
    assert numberings == {0, 1}
