"""Coinbase's frames as events, what is none, and the connection's counter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.coinbase.frames import CoinbaseFrames
from producers.exchanges.coinbase.products import Product
from producers.exchanges.frame_types import Ignored, Rejected, StreamMessage
from producers.exchanges.stream_events import (
    BooksBroken,
    BookUpdate,
    Heartbeat,
    StreamEvent,
    Subscribed,
    SubscriptionRefused,
)
from shared.messages import check
from tests.builders import NOW_MS

ETH = Product("ETH-USD", "ETH", "USD", "ETH-USD", "0.01", "0.00000001", "online", True)
ETH_USDC = ETH._replace(symbol="ETH-USDC", quote="USDC")
TRADE = {
    "trade_id": "880000001",
    "product_id": "ETH-USD",
    "price": "3120.41",
    "size": "0.25",
    "side": "BUY",
    "time": "2026-08-03T14:25:03.120Z",
}
LEVELS = [
    {"side": "bid", "event_time": "1970-01-01T00:00:00Z", "price_level": "3120.40", "new_quantity": "0"},
    {
        "side": "offer",
        "event_time": "2026-08-03T14:25:04.180Z",
        "price_level": "3120.41",
        "new_quantity": "0.65",
    },
]


def frame(channel: str, number: int, *events: Any, second: float = 4) -> str:
    envelope = {
        "channel": channel,
        "client_id": "",
        "timestamp": f"2026-08-03T14:25:{second:06.3f}Z",
        "sequence_num": number,
        "events": list(events),
    }
    return json.dumps(envelope)


def trades(number: int, *rows: Any, second: float = 4) -> str:
    return frame("market_trades", number, {"type": "update", "trades": list(rows)}, second=second)


def book(number: int, kind: str = "update", *, second: float = 4, **fields: Any) -> str:
    event = {"type": kind, "product_id": "ETH-USD", "updates": LEVELS} | fields
    return frame("l2_data", number, event, second=second)


@pytest.fixture
def parser() -> CoinbaseFrames:
    return CoinbaseFrames({"ETH-USD": ETH})


def kinds(events: list[StreamEvent]) -> list[type]:
    return [type(event) for event in events]


def test_a_trade_has_the_opposite_of_the_makers_side(parser: CoinbaseFrames) -> None:
    (bought,) = parser.parse(trades(0, TRADE), NOW_MS)
    assert isinstance(bought, StreamMessage)
    # The maker bought: the aggressor sold.
    assert bought.message == {
        "schema": 1,
        "exchange": "coinbase",
        "symbol": "ETH-USD",
        "event_time_ms": 1785767104000,
        "received_time_ms": NOW_MS,
        "source": "stream",
        "trade_id": 880000001,
        "price": "3120.41",
        "quantity": "0.25",
        "trade_time_ms": 1785767103120,
        "buyer_is_maker": True,
    }
    (sold,) = parser.parse(trades(1, TRADE | {"side": "SELL"}), NOW_MS)
    assert isinstance(sold, StreamMessage)
    assert sold.message["buyer_is_maker"] is False


def test_trades_come_by_id_though_the_newest_is_sent_first(parser: CoinbaseFrames) -> None:
    rows = [TRADE | {"trade_id": str(trade_id)} for trade_id in (9, 8, 7)]
    events = parser.parse(trades(0, *rows), NOW_MS)
    assert [event.message["trade_id"] for event in events if isinstance(event, StreamMessage)] == [7, 8, 9]


def test_a_trade_that_cannot_be_read_does_not_cost_the_others(parser: CoinbaseFrames) -> None:
    bad: list[Any] = [TRADE | {"side": "BID"}, TRADE | {"product_id": "X"}, 5, TRADE | {"size": 0.25}]
    assert kinds(parser.parse(trades(0, *bad, TRADE), NOW_MS)) == [Rejected] * 4 + [StreamMessage]


@pytest.mark.parametrize("odd", [5, {"type": "update"}, {"type": "update", "trades": None}])
def test_an_event_of_another_form_does_not_cost_the_others(parser: CoinbaseFrames, odd: Any) -> None:
    text = frame("market_trades", 0, odd, {"type": "update", "trades": [TRADE]})
    assert kinds(parser.parse(text, NOW_MS)) == [Rejected, StreamMessage]


def test_a_trade_ahead_of_the_exchanges_clock_is_rejected_as_such(parser: CoinbaseFrames) -> None:
    (event,) = parser.parse(trades(0, TRADE), NOW_MS, latest_ms=1785767103119)
    assert isinstance(event, Rejected)
    assert (event.field, event.ahead) == ("trade_time_ms", True)


def test_offers_are_the_asks(parser: CoinbaseFrames) -> None:
    snapshot, update = (*parser.parse(book(0, "snapshot"), NOW_MS), *parser.parse(book(1), NOW_MS))
    assert isinstance(snapshot, BookUpdate)
    assert isinstance(update, BookUpdate)
    assert (snapshot.message["kind"], update.message["kind"]) == ("snapshot", "diff")
    check("depth", update.message)
    assert (update.message["bids"], update.message["asks"]) == ([["3120.40", "0"]], [["3120.41", "0.65"]])
    # The envelope's time: rows of a snapshot may have none of their own.
    assert (update.event_us, update.checksum) == (1785767104000000, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"updates": [LEVELS[0] | {"side": "sell"}]},
        {"updates": [LEVELS[0] | {"new_quantity": "-1"}]},
        {"updates": [LEVELS[0] | {"price_level": None}]},
        {"updates": None},
        {"type": "l2"},
    ],
)
def test_a_book_message_that_cannot_be_read_breaks_that_book(parser: CoinbaseFrames, wrong: Any) -> None:
    broken, rejected = parser.parse(book(0, **wrong), NOW_MS)
    assert isinstance(broken, BooksBroken)
    assert broken.symbol == "ETH-USD"
    assert isinstance(rejected, Rejected)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        book(0).replace('"sequence_num": 0', '"sequence_num": "x"'),
        book(0).replace("ETH-USD", ""),
        book(0).replace("2026-08-03T14", "2026-08-03X14"),
    ],
)
def test_a_frame_that_may_have_been_any_book_breaks_all(parser: CoinbaseFrames, text: str) -> None:
    broken, rejected = parser.parse(text, NOW_MS)
    assert isinstance(broken, BooksBroken)
    assert broken.symbol is None
    assert isinstance(rejected, Rejected)


@pytest.mark.parametrize("text", ["{", "[]", book(7).replace('"sequence_num": 7', '"sequence_num": "x"')])
def test_a_frame_that_cannot_be_read_is_not_missing_too(parser: CoinbaseFrames, text: str) -> None:
    parser.parse(book(6, "snapshot"), NOW_MS)
    assert kinds(parser.parse(text, NOW_MS)) == [BooksBroken, Rejected]
    assert kinds(parser.parse(book(8), NOW_MS)) == [BookUpdate]
    assert kinds(parser.parse(text, NOW_MS)) == [BooksBroken, Rejected]
    assert parser.parse(book(11), NOW_MS)[0] == BooksBroken(None, "message 10 is missing on the connection")


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3), (2, 3, 0, 1), (0, 2, 1, 3), (2, 0, 3, 1), (0, 1), (2, 3), ()]
)
@pytest.mark.parametrize("asks", ["offer", "ask"])
def test_each_side_keeps_its_order_whatever_the_order_of_both(
    parser: CoinbaseFrames, order: tuple[int, ...], asks: str
) -> None:
    sides = ("bid", "bid", asks, asks)
    rows = [
        {"side": side, "price_level": f"{number}.5", "new_quantity": "1"} for number, side in enumerate(sides)
    ]
    (update,) = parser.parse(book(0, updates=[rows[at] for at in order]), NOW_MS)
    assert isinstance(update, BookUpdate)
    assert update.message["bids"] == [[f"{at}.5", "1"] for at in order if at < 2]
    assert update.message["asks"] == [[f"{at}.5", "1"] for at in order if at >= 2]


def test_a_book_that_nobody_asked_for_breaks_none(parser: CoinbaseFrames) -> None:
    assert kinds(parser.parse(book(0, product_id="BTC-USD"), NOW_MS)) == [Rejected]


def test_a_jump_of_the_counter_breaks_all_books_before_the_frame_is_read(parser: CoinbaseFrames) -> None:
    parser.parse(frame("heartbeats", 4, {}), NOW_MS)
    broken, update = parser.parse(book(6, "snapshot"), NOW_MS)
    assert broken == BooksBroken(None, "message 5 is missing on the connection")
    assert isinstance(update, BookUpdate)
    broken, _ = parser.parse(frame("heartbeats", 10, {}), NOW_MS)
    assert broken == BooksBroken(None, "messages 7–9 are missing on the connection")


def refusal(**fields: Any) -> str:
    return json.dumps({"type": "error", "message": "Failed to subscribe", **fields})


def test_an_error_is_counted_if_it_has_a_number(parser: CoinbaseFrames) -> None:
    parser.parse(frame("heartbeats", 4, {}), NOW_MS)
    assert kinds(parser.parse(refusal(sequence_num=5), NOW_MS)) == [SubscriptionRefused]
    assert kinds(parser.parse(refusal(), NOW_MS)) == [SubscriptionRefused]
    assert kinds(parser.parse(book(6), NOW_MS)) == [BookUpdate]
    broken, refused = parser.parse(refusal(sequence_num=8), NOW_MS)
    assert broken == BooksBroken(None, "message 7 is missing on the connection")
    assert isinstance(refused, SubscriptionRefused)


def test_an_error_whose_number_or_time_cannot_be_read_is_a_refusal_nevertheless(
    parser: CoinbaseFrames,
) -> None:
    parser.parse(frame("heartbeats", 4, {}), NOW_MS)
    unread = [BooksBroken, Rejected, SubscriptionRefused]
    assert kinds(parser.parse(refusal(sequence_num="five"), NOW_MS)) == unread
    assert kinds(parser.parse(refusal(sequence_num=2, timestamp="now"), NOW_MS)) == unread
    assert kinds(parser.parse(refusal(sequence_num=2), NOW_MS)) == [SubscriptionRefused]
    assert kinds(parser.parse(book(6), NOW_MS)) == [BookUpdate], "the first of them was the fifth message"


def test_the_counter_runs_over_all_channels_from_any_number_on(parser: CoinbaseFrames) -> None:
    parser.parse(frame("subscriptions", 41, {"subscriptions": {}}), NOW_MS)
    parser.parse(frame("ticker", 42), NOW_MS)
    assert kinds(parser.parse(book(43), NOW_MS)) == [BookUpdate]


def test_a_late_or_repeated_message_gives_its_trades_and_nothing_of_books(parser: CoinbaseFrames) -> None:
    parser.parse(book(5, second=5), NOW_MS)
    assert kinds(parser.parse(book(5, second=5), NOW_MS)) == [Ignored]
    assert kinds(parser.parse(book(3, second=3), NOW_MS)) == [Ignored]
    assert kinds(parser.parse(trades(4, TRADE, second=4), NOW_MS)) == [StreamMessage]
    assert kinds(parser.parse(book(6, second=6), NOW_MS)) == [BookUpdate]


def test_a_counter_that_falls_in_a_newer_message_breaks_all_books(parser: CoinbaseFrames) -> None:
    parser.parse(book(500, second=5), NOW_MS)
    broken, update = parser.parse(book(0, second=6), NOW_MS)
    assert broken == BooksBroken(None, "the connection's counter fell from 500 to 0")
    assert isinstance(update, BookUpdate)
    assert kinds(parser.parse(book(1, second=7), NOW_MS)) == [BookUpdate]


def test_an_alias_is_published_under_what_was_asked_for() -> None:
    alone = CoinbaseFrames({"ETH-USDC": ETH_USDC})
    both = CoinbaseFrames({"ETH-USDC": ETH_USDC, "ETH-USD": ETH})
    for parser, symbols in ((alone, ["ETH-USDC"]), (both, ["ETH-USD", "ETH-USDC"])):
        events = parser.parse(trades(0, TRADE), NOW_MS) + parser.parse(book(1), NOW_MS)
        for kind in (StreamMessage, BookUpdate):
            assert sorted(event.message["symbol"] for event in events if isinstance(event, kind)) == symbols
    listed = frame("subscriptions", 2, {"subscriptions": {"level2": ["ETH-USD"]}})
    assert alone.parse(listed, NOW_MS) == [Subscribed("level2", "ETH-USDC")]


def test_each_subscription_is_told_once(parser: CoinbaseFrames) -> None:
    first = frame("subscriptions", 0, {"subscriptions": {"level2": ["ETH-USD"]}})
    second = frame(
        "subscriptions", 1, {"subscriptions": {"level2": ["ETH-USD"], "heartbeats": ["heartbeats"]}}
    )
    assert parser.parse(first, NOW_MS) == [Subscribed("level2", "ETH-USD")]
    assert parser.parse(second, NOW_MS) == [Subscribed("heartbeats", "heartbeats")]


def test_a_channel_that_cannot_be_read_costs_no_other_subscription(parser: CoinbaseFrames) -> None:
    said = {"level2": ["ETH-USD"], "market_trades": ["ETH-USD"]}
    odd = Rejected("subscriptions", "market_trades: 'None' is not a list")
    texts = [
        frame("subscriptions", number, {"subscriptions": said | change})
        for number, change in enumerate(({"market_trades": None}, {}, {"market_trades": None}, {}))
    ]
    assert [parser.parse(text, NOW_MS) for text in texts] == [
        [odd, Subscribed("level2", "ETH-USD")],
        [Subscribed("market_trades", "ETH-USD")],
        [odd],
        [],
    ]


def test_other_frames(parser: CoinbaseFrames) -> None:
    assert parser.parse(frame("heartbeats", 0, {"heartbeat_counter": "41"}), NOW_MS) == [Heartbeat()]
    assert parser.parse(frame("candles", 1), NOW_MS) == [Ignored("candles")]
    error = '{"type":"error","message":"Failed to subscribe","reason":"XBT-USD is not a valid product"}'
    assert parser.parse(error, NOW_MS) == [
        SubscriptionRefused(
            "", "", "coinbase refuses a subscription: Failed to subscribe, XBT-USD is not a valid product"
        )
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.thorough
@given(JSON, st.sampled_from([trades(0, TRADE), book(0)]), st.data())
def test_nothing_raises_and_whatever_is_published_keeps_the_contract(
    value: Any, text: str, data: Any
) -> None:
    good = json.loads(text)
    event = good["events"][0]
    rows = event.get("trades") or event.get("updates")
    target = data.draw(st.sampled_from([good, event, rows[0]]))
    target[data.draw(st.sampled_from(sorted(target)))] = value
    for found in CoinbaseFrames({"ETH-USD": ETH}).parse(json.dumps(good), NOW_MS):
        if isinstance(found, StreamMessage):
            check(found.kind, found.message)
        elif isinstance(found, BookUpdate):
            check("depth", found.message)


def test_what_a_jump_has_broken_is_said_again_if_a_time_lies_ahead_of_the_clock(
    parser: CoinbaseFrames,
) -> None:
    parser.parse(trades(7, TRADE), NOW_MS)
    ahead = trades(9, TRADE | {"trade_id": "880000002", "time": "2026-08-03T14:25:09Z"}, second=9)
    for _ in range(2):
        broken, rejected = parser.parse(ahead, NOW_MS, latest_ms=NOW_MS)
        assert broken == BooksBroken(None, "message 8 is missing on the connection")
        assert isinstance(rejected, Rejected) and rejected.ahead
    # With a later clock it is taken, and the books are still broken.
    broken, trade = parser.parse(ahead, NOW_MS, latest_ms=NOW_MS + 60_000)
    assert isinstance(broken, BooksBroken) and isinstance(trade, StreamMessage)
    assert [type(event) for event in parser.parse(trades(10, TRADE, second=10), NOW_MS)] == [StreamMessage]


def test_trades_that_a_subscription_begins_with_have_no_time_of_arrival(parser: CoinbaseFrames) -> None:
    text = frame("market_trades", 0, {"type": "snapshot", "trades": [TRADE]})
    (event,) = parser.parse(text, NOW_MS)
    assert isinstance(event, StreamMessage) and event.message["event_time_ms"] is None
    check("trade", event.message)
