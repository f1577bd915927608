"""Coinbase behind the port: its connections, symbols and parsers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from producers.exchanges.coinbase.exchange import COINBASE, SYMBOLS_PER_CONNECTION
from producers.exchanges.coinbase.products import Product
from producers.exchanges.frame_types import Rejected, StreamMessage
from producers.exchanges.port import Addresses
from producers.exchanges.stream_events import BookUpdate, Subscribed
from shared.errors import ExchangeUnavailable, InvalidMessage, UsageError
from shared.settings import Settings
from tests.builders import NOW_MS
from tests.unit.producers.exchanges.coinbase.host import BTC, XRP, Host
from tests.unit.simulator.protocols.market import Market

ADDRESSES = Addresses("http://rest", "ws://stream", "http://exchange")
TRADE = {
    "trade_id": "7",
    "product_id": BTC,
    "price": "105433.6",
    "size": "0.5",
    "side": "BUY",
    "time": "2026-08-03T14:24:59.5Z",
}


def frame(channel: str, event: Any) -> bytes:
    envelope = {"channel": channel, "timestamp": "2026-08-03T14:25:00Z", "sequence_num": 3}
    return json.dumps(envelope | {"events": [event]}).encode()


TRADES = frame("market_trades", {"type": "update", "trades": [TRADE]})


def test_its_addresses_are_those_of_its_settings() -> None:
    given = Settings(coinbase_rest_url="http://a", coinbase_ws_url="ws://b", coinbase_exchange_url="http://c")
    assert COINBASE.addresses(given) == ("http://a", "ws://b", "http://c")
    assert COINBASE.settings == ("COINBASE_REST_URL", "COINBASE_WS_URL", "COINBASE_EXCHANGE_URL")
    assert COINBASE.addresses(Settings()) == (
        "https://api.coinbase.com",
        "wss://advanced-trade-ws.coinbase.com",
        "https://api.exchange.coinbase.com",
    )


def test_heartbeats_are_subscribed_first_and_one_message_has_all_products_of_a_channel() -> None:
    (plan,) = COINBASE.connections(ADDRESSES, (BTC, XRP), ("1s",))
    assert [json.loads(each) for each in plan.opening] == [
        {"type": "subscribe", "channel": "heartbeats"},
        {"type": "subscribe", "channel": "market_trades", "product_ids": [BTC, XRP]},
        {"type": "subscribe", "channel": "level2", "product_ids": [BTC, XRP]},
    ]
    # The whole book of BTC-USD came in one frame of 5.1 MB; 8 messages a second are allowed an address.
    assert plan.max_frame_bytes >= 8_000_000
    assert plan.messages_a_second is not None and plan.messages_a_second + len(plan.opening) <= 8
    assert [json.loads(each)["product_ids"] for each in plan.renewals[XRP]] == [[XRP], [XRP]]


def test_few_books_share_a_counter() -> None:
    symbols = [f"A{number}-USD" for number in range(2 * SYMBOLS_PER_CONNECTION + 1)]
    plans = COINBASE.connections(ADDRESSES, symbols, ())
    assert [len(plan.renewals) for plan in plans] == [SYMBOLS_PER_CONNECTION, SYMBOLS_PER_CONNECTION, 1]
    assert [symbol for plan in plans for symbol in plan.renewals] == symbols


def test_the_exchange_acknowledges_each_stream_by_the_name_that_the_plan_has() -> None:
    market = Market("coinbase", (BTC, XRP))
    client = market.connect("/")
    (plan,) = COINBASE.connections(ADDRESSES, (BTC, XRP), ())
    parse = COINBASE.parser(replace(plan, listed={symbol: product(symbol) for symbol in (BTC, XRP)}))
    said: set[tuple[str, str]] = set()
    for opening in plan.opening:
        for text in client.say(**json.loads(opening)):
            events = parse(text.encode(), market.now_ms)
            said |= {(each.channel, each.symbol) for each in events if isinstance(each, Subscribed)}
    assert {(stream.name, stream.symbol) for stream in plan.streams} <= said


def product(symbol: str, streamed_as: str | None = None) -> Product:
    base, _, quote = symbol.partition("-")
    return Product(symbol, base, quote, streamed_as or symbol, "0.01", "0.1", "online", trading=True)


def test_what_is_sent_for_an_alias_is_published_under_what_was_asked() -> None:
    (plan,) = COINBASE.connections(ADDRESSES, ("BTC-USDC",), ())
    assert json.loads(plan.opening[1])["product_ids"] == ["BTC-USDC"]
    parse = COINBASE.parser(replace(plan, listed={"BTC-USDC": product("BTC-USDC", BTC)}))
    (event,) = parse(TRADES, NOW_MS)
    assert isinstance(event, StreamMessage) and event.message["symbol"] == "BTC-USDC"
    # The listing goes before the documented rule.
    parse = COINBASE.parser(replace(plan, listed={"BTC-USDC": product("BTC-USDC", "BTC-EUR")}))
    (event,) = parse(TRADES.replace(BTC.encode(), b"BTC-EUR"), NOW_MS)
    assert isinstance(event, StreamMessage) and event.message["symbol"] == "BTC-USDC"


def test_before_products_are_listed_the_documented_twins_are_taken() -> None:
    symbols = ("BTC-USDC", "EURC-USDC", "ETH-USD")
    (plan,) = COINBASE.connections(ADDRESSES, symbols, ())
    parse = COINBASE.parser(plan)
    for named, asked in ((BTC, "BTC-USDC"), ("EURC-USDC", "EURC-USDC"), ("ETH-USD", "ETH-USD")):
        (event,) = parse(TRADES.replace(BTC.encode(), named.encode()), NOW_MS)
        assert isinstance(event, StreamMessage) and event.message["symbol"] == asked


@pytest.mark.parametrize("text", ["BTCUSD", "BTC/USD", "BTC-", "-USD", "BTC-USD-X", ""])
def test_a_symbol_of_another_form_is_refused_with_the_right_one(text: str) -> None:
    assert COINBASE.symbol("btc-usd") == BTC
    with pytest.raises(UsageError, match="with a hyphen, like BTC-USD"):
        COINBASE.symbol(text)


def test_a_single_frame_is_read_without_knowing_the_products() -> None:
    (event,) = COINBASE.parser()(TRADES, NOW_MS)
    assert isinstance(event, StreamMessage)
    # The maker bought.
    assert (event.message["symbol"], event.message["buyer_is_maker"]) == (BTC, True)
    book = frame("l2_data", {"type": "snapshot", "product_id": BTC, "updates": []})
    assert [type(each) for each in COINBASE.parser()(book, NOW_MS)] == [BookUpdate]
    for bad in (b"{", b"[]", b'{"events":[5]}', b'{"events":[{"trades":[7]}]}'):
        assert any(isinstance(each, Rejected) for each in COINBASE.parser()(bad, NOW_MS))


def test_a_row_of_trades_is_read_again_and_no_other() -> None:
    row = {"trade_id": 9, "price": "1.50", "size": "2.0", "side": "sell", "time": "2026-08-03T14:25:00Z"}
    read = COINBASE.read_row("trades", BTC, row, NOW_MS, NOW_MS)
    assert read is not None
    assert (read[0], read[1]["trade_id"], read[1]["source"]) == ("trade", 9, "backfill")
    with pytest.raises(InvalidMessage, match="latest"):
        COINBASE.read_row("trades", BTC, row, NOW_MS, 5)
    with pytest.raises(InvalidMessage, match="rest:klines"):
        COINBASE.read_row("klines", BTC, row, NOW_MS, NOW_MS)


def test_processes_of_a_deployment_start_one_after_another() -> None:
    limits = COINBASE.limits
    assert limits.start_delay_s(0, ("1s",), 1_000) == 0 < limits.start_delay_s(4, ("1s",), 1_000) <= 30
    assert [limits.share(own, deployed) for own, deployed in ((4, 4), (1, 4), (2, 1))] == [0.5, 0.125, 0.5]
    assert limits.probe_pace(60).probe_s > limits.probe_pace(1).probe_s


# --- Single questions. ---


def test_single_questions_are_answered() -> None:
    host = Host()

    async def asked() -> None:
        async with host.served() as addresses:
            enquiry = COINBASE.enquiry(addresses)
            try:
                assert await enquiry.time_ms() == host.now_ms
                assert await enquiry.listed_statuses([BTC, "NOT-USD"]) == {BTC: "TRADING"}
                assert "BTC-USDC" in await enquiry.names()
                await enquiry.old_trades("BTC-USDC")
            finally:
                await enquiry.close()

    asyncio.run(asked())
    assert host.asked[-1] == f"/products/{BTC}/trades?after=2&limit=1"


def test_a_host_that_does_not_answer_is_named_with_what_to_do() -> None:
    async def asked() -> None:
        enquiry = COINBASE.enquiry(Addresses("http://127.0.0.1:1", "", "http://127.0.0.1:1"))
        try:
            await enquiry.time_ms()
        finally:
            await enquiry.close()

    with pytest.raises(
        ExchangeUnavailable, match=r"127\.0\.0\.1:1/.*; check the network, .*COINBASE_REST_URL"
    ):
        asyncio.run(asked())
