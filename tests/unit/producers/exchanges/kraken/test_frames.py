"""Kraken's v2 frames as events, and what is none."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.frame_types import ControlReply, Ignored, Rejected, StreamMessage
from producers.exchanges.kraken.frames import KrakenFrames
from producers.exchanges.kraken.pairs import Pair
from producers.exchanges.stream_events import (
    BooksBroken,
    BookUpdate,
    Heartbeat,
    Listed,
    StreamEvent,
    Subscribed,
    SubscriptionRefused,
    TradingStatus,
)
from shared.messages import check
from tests.builders import NOW_MS

ETH = Pair("ETH/USD", "ETH", "USD", "ETHUSD", 2, 8, "0.01", "0.00000001", "online")
TRADE = (
    '{"symbol":"ETH/USD","side":"buy","price":3120.4,"qty":0.25000000,"ord_type":"market",'
    '"trade_id":77000001,"timestamp":"2026-08-03T14:25:03.120331Z"}'
)
BOOK = (
    '{"channel":"book","type":"update","data":[{"symbol":"ETH/USD","bids":[{"price":3120.40,"qty":0}],'
    '"asks":[{"price":3120.41,"qty":1e-8}],"checksum":3310070434,"timestamp":"2026-08-03T14:25:03.120331Z"}]}'
)


def parse(frame: str | bytes, **bounds: int) -> list[StreamEvent]:
    return KrakenFrames({ETH.symbol: ETH}).parse(frame, NOW_MS, **bounds)


def trades(*rows: str) -> str:
    return f'{{"channel":"trade","type":"update","data":[{",".join(rows)}]}}'


def changed(row: str, **fields: Any) -> str:
    return json.dumps(json.loads(row) | fields)


def test_a_trade_has_the_takers_side_and_all_its_digits() -> None:
    (event,) = parse(trades(TRADE))
    assert isinstance(event, StreamMessage)
    assert event.message == {
        "schema": 1,
        "exchange": "kraken",
        "symbol": "ETH/USD",
        "event_time_ms": 1785767103120,
        "received_time_ms": NOW_MS,
        "source": "stream",
        "trade_id": 77000001,
        "price": "3120.40",
        "quantity": "0.25000000",
        "trade_time_ms": 1785767103120,
        "buyer_is_maker": False,
    }
    (sold,) = parse(trades(changed(TRADE, side="sell")))
    assert isinstance(sold, StreamMessage)
    assert sold.message["buyer_is_maker"] is True


def test_trades_of_one_frame_come_by_id() -> None:
    events = parse(trades(*(changed(TRADE, trade_id=trade_id) for trade_id in (9, 7, 8))))
    assert [event.message["trade_id"] for event in events if isinstance(event, StreamMessage)] == [7, 8, 9]


def test_a_trade_that_cannot_be_read_does_not_cost_the_others() -> None:
    rejected, good = parse(trades(changed(TRADE, price=None), TRADE))
    assert isinstance(rejected, Rejected)
    assert rejected.stream == "trade"
    assert "price" in rejected.reason
    assert isinstance(good, StreamMessage)


def test_a_trade_ahead_of_the_exchanges_clock_is_rejected_as_such() -> None:
    (event,) = parse(trades(TRADE), latest_ms=1785767103119)
    assert isinstance(event, Rejected)
    assert (event.field, event.ahead) == ("trade_time_ms", True)


def test_a_book_carries_padded_levels_and_its_checksum() -> None:
    (event,) = parse(BOOK)
    assert isinstance(event, BookUpdate)
    check("depth", event.message)
    assert (event.message["kind"], event.checksum, event.event_us) == ("diff", 3310070434, 1785767103120331)
    assert event.message["bids"] == [["3120.40", "0.00000000"]]
    assert event.message["asks"] == [["3120.41", "0.00000001"]]


@pytest.mark.parametrize(
    "wrong",
    [
        BOOK.replace('"qty":0', '"qty":-1'),
        BOOK.replace(',"checksum":3310070434', ""),
        BOOK.replace("3310070434", str(2**32)),
        BOOK.replace('"price":3120.41', '"prize":1'),
        BOOK.replace("2026-08-03T14:25:03.120331Z", "yesterday"),
    ],
)
def test_a_book_message_that_cannot_be_read_breaks_that_book(wrong: str) -> None:
    broken, rejected = parse(wrong)
    assert isinstance(broken, BooksBroken)
    assert broken.symbol == "ETH/USD"
    assert isinstance(rejected, Rejected)


@pytest.mark.parametrize(
    "frame",
    ["{", "[]", "5", "\x00", '{"channel":"book","type":"update"}', BOOK.replace('"update"', '"other"')],
)
def test_a_frame_that_may_have_been_any_book_breaks_all(frame: str) -> None:
    broken, rejected = parse(frame)
    assert isinstance(broken, BooksBroken)
    assert broken.symbol is None
    assert isinstance(rejected, Rejected)


def test_quotes_are_the_best_prices_of_the_ticker() -> None:
    row = '{"symbol":"ETH/USD","bid":3120.4,"bid_qty":1.2,"ask":3120.41,"ask_qty":0}'
    first, second = parse(f'{{"channel":"ticker","type":"update","data":[{row},{row}]}}')
    assert isinstance(first, StreamMessage)
    assert isinstance(second, StreamMessage)
    check("quote", first.message)
    assert (first.message["bid_price"], first.message["bid_quantity"]) == ("3120.40", "1.20000000")
    assert (first.message["ask_price"], first.message["ask_quantity"]) == (None, None)
    assert second.message["update_id"] > first.message["update_id"]


def test_statuses_of_the_exchange_and_of_pairs_and_their_precisions() -> None:
    status = '{"channel":"status","type":"update","data":[{"system":"%s","api_version":"v2"}]}'
    assert parse(status % "online") == [TradingStatus(None, "online", True)]
    assert parse(status % "cancel_only") == [TradingStatus(None, "cancel_only", False)]
    row = (
        '{"symbol":"%s","base":"ETH","quote":"USD","status":"maintenance","price_precision":3,"qty_precision":8,'
        '"price_increment":0.001,"qty_increment":1e-8}'
    )
    pairs = f"{row % 'ETH/USD'},{row % 'OTHER/USD'}"
    frame = f'{{"channel":"instrument","type":"snapshot","data":{{"assets":[],"pairs":[{pairs}]}}}}'
    frames = KrakenFrames({ETH.symbol: ETH})
    listed, halted = frames.parse(frame, NOW_MS)
    assert listed == Listed(
        "ETH/USD", ETH._replace(price_places=3, tick="0.001", lot="0.00000001", status="maintenance")
    )
    assert halted == TradingStatus("ETH/USD", "maintenance", False)
    (trade,) = frames.parse(trades(TRADE), NOW_MS)
    assert isinstance(trade, StreamMessage)
    assert trade.message["price"] == "3120.400"


INSTRUMENT = {
    "symbol": "ETH/USD",
    "base": "ETH",
    "quote": "USD",
    "status": "cancel_only",
    "price_precision": 2,
    "qty_precision": 8,
    "price_increment": "0.01",
    "qty_increment": "0.00000001",
}
HALTED = TradingStatus("ETH/USD", "cancel_only", False)


def instruments(**content: Any) -> list[StreamEvent]:
    two = KrakenFrames({symbol: ETH._replace(symbol=symbol) for symbol in ("ETH/USD", "XRP/USD")})
    return list(two.parse(json.dumps({"channel": "instrument", "type": "update", "data": content}), NOW_MS))


@pytest.mark.parametrize(
    "foreign", [{"symbol": "X" * 70}, {"symbol": "OTHER/USD"}, {"symbol": []}, {}, 5, None]
)
def test_a_foreign_pair_in_whatever_form_costs_nothing(foreign: Any) -> None:
    listed, halted = instruments(assets=[], pairs=[foreign, INSTRUMENT])
    assert isinstance(listed, Listed)
    assert halted == HALTED


def test_a_pair_of_ours_that_cannot_be_read_costs_no_other() -> None:
    bad = {name: INSTRUMENT[name] for name in INSTRUMENT if name != "price_increment"} | {"symbol": "XRP/USD"}
    rejected, listed, halted = instruments(assets=[], pairs=[bad, INSTRUMENT])
    assert rejected == Rejected("instrument", "price_increment: missing", symbol="XRP/USD")
    assert isinstance(listed, Listed)
    assert halted == HALTED


def test_a_message_about_assets_alone_says_nothing_of_pairs() -> None:
    assert instruments(assets=[{"id": "ETH"}]) == []
    assert instruments() == [Rejected("instrument", "pairs: missing")]


def test_a_quote_or_a_status_that_cannot_be_read_costs_no_other() -> None:
    quote = {"symbol": "ETH/USD", "bid": 3120.4, "bid_qty": 1.2, "ask": 3120.41, "ask_qty": 1}
    message = {"channel": "ticker", "type": "update", "data": [5, {"symbol": "ETH/USD"}, quote]}
    assert [type(event) for event in parse(json.dumps(message))] == [Rejected, Rejected, StreamMessage]
    message = {"channel": "status", "type": "update", "data": [{}, {"system": "maintenance"}]}
    assert parse(json.dumps(message)) == [
        Rejected("status", "system: missing"),
        TradingStatus(None, "maintenance", False),
    ]


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        ('{"channel":"heartbeat"}', Heartbeat()),
        ('{"method":"pong","req_id":7}', Heartbeat()),
        (
            '{"method":"subscribe","req_id":1,"success":true,"result":{"channel":"book","symbol":"ETH/USD","depth":10}}',
            Subscribed("book", "ETH/USD"),
        ),
        (
            '{"method":"subscribe","req_id":1,"success":false,"error":"Unknown FOO/BAR","symbol":"FOO/BAR"}',
            SubscriptionRefused(
                "",
                "FOO/BAR",
                "kraken refuses the subscription of FOO/BAR: Unknown FOO/BAR",
            ),
        ),
        (
            '{"method":"subscribe","success":false,"error":"Exceeded msg rate"}',
            SubscriptionRefused("", "", "kraken refuses a subscription: Exceeded msg rate"),
        ),
        ('{"method":"unsubscribe","req_id":3,"success":true}', ControlReply("3", None)),
        ('{"error":"Malformed request","success":false,"req_id":4}', ControlReply("4", "Malformed request")),
        ('{"channel":"ohlc","type":"update","data":[]}', Ignored("ohlc")),
        ("{}", Rejected("", "neither a channel's message nor a reply")),
    ],
)
def test_other_frames(frame: str, event: StreamEvent) -> None:
    assert parse(frame) == [event]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["trade", "book", "ticker", "instrument", "status", "subscribe"]), st.data())
def test_nothing_raises_and_whatever_is_published_keeps_the_contract(
    value: Any, channel: str, data: Any
) -> None:
    good = orjson.loads(BOOK) if channel == "book" else orjson.loads(trades(TRADE))
    rows = good["data"][0]
    rows[data.draw(st.sampled_from(sorted(rows)))] = value
    good["channel"] = channel
    if data.draw(st.booleans()):
        good["data"] = value
    for event in parse(json.dumps(good)):
        if isinstance(event, StreamMessage):
            check(event.kind, event.message)
        elif isinstance(event, BookUpdate):
            check("depth", event.message)
