from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from producers.exchanges.frame_types import Rejected, StreamMessage
from producers.exchanges.kraken.exchange import KRAKEN
from producers.exchanges.port import Addresses
from producers.exchanges.stream_events import BookUpdate
from shared.errors import InvalidMessage, UnknownSymbol, UsageError
from shared.settings import Settings
from tests.builders import NOW_MS
from tests.unit.producers.exchanges.kraken.rest_host import Host, row

ADDRESSES = Addresses("http://rest", "ws://stream", "http://rest")
TRADE = (
    b'{"channel":"trade","type":"%s","data":[{"symbol":"BTC/USD","side":"sell","price":105433.6,'
    b'"qty":0.50000000,"ord_type":"limit","trade_id":7,"timestamp":"2026-08-03T14:24:59.5Z"}]}'
)


def test_its_addresses_are_those_of_its_settings() -> None:
    given = Settings(kraken_rest_url="http://a", kraken_ws_url="ws://b")
    assert KRAKEN.addresses(given) == ("http://a", "ws://b", "http://a")
    assert KRAKEN.settings == ("KRAKEN_REST_URL", "KRAKEN_WS_URL", "KRAKEN_REST_URL")
    assert KRAKEN.addresses(Settings()) == (
        *("https://api.kraken.com", "wss://ws.kraken.com", "https://api.kraken.com"),
    )


def test_one_connection_has_all_pairs_and_asks_for_each_channel() -> None:
    (plan,) = KRAKEN.connections(ADDRESSES, ("BTC/USD", "ETH/USD"), ("1s",))
    assert plan.url == "ws://stream/v2"
    assert {(stream.symbol, stream.kind, stream.name) for stream in plan.streams} == {
        (symbol, kind, name)
        for symbol in ("BTC/USD", "ETH/USD")
        for kind, name in (("trade", "trade"), ("depth", "book"), ("quote", "ticker"))
    }
    params = [json.loads(frame)["params"] for frame in plan.opening]
    assert [each["channel"] for each in params] == ["trade", "book", "ticker", "instrument"]
    assert params[0] == {"channel": "trade", "symbol": ["BTC/USD", "ETH/USD"], "snapshot": True}
    assert params[1]["depth"] == KRAKEN.promises.book.depth == 10
    assert params[2]["event_trigger"] == "bbo"


def test_a_book_is_asked_for_anew_alone() -> None:
    (plan,) = KRAKEN.connections(ADDRESSES, ("BTC/USD", "ETH/USD"), ())
    frames = [json.loads(frame) for frame in plan.renewals["ETH/USD"]]
    assert [frame["method"] for frame in frames] == ["unsubscribe", "subscribe"]
    assert all(frame["params"]["symbol"] == ["ETH/USD"] for frame in frames)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("BTCUSD", "with a slash"),
        ("XBT/USD", "write BTC/USD"),
        ("BTC/", "with a slash"),
        ("/", "with a slash"),
    ],
)
def test_a_symbol_of_another_form_is_refused_with_the_right_one(text: str, said: str) -> None:
    assert KRAKEN.symbol("btc/usd") == "BTC/USD"
    with pytest.raises(UsageError, match=said):
        KRAKEN.symbol(text)


def test_trades_that_a_subscription_begins_with_have_no_time_of_arrival() -> None:
    (plan,) = KRAKEN.connections(ADDRESSES, ("BTC/USD",), ())
    parse = KRAKEN.parser(plan)
    for kind, event_ms in ((b"snapshot", None), (b"update", NOW_MS - 500)):
        (event,) = parse(TRADE % kind, NOW_MS)
        assert isinstance(event, StreamMessage)
        assert event.message["event_time_ms"] == event_ms
        assert event.message["trade_time_ms"] == NOW_MS - 500
        assert event.message["buyer_is_maker"]


def test_the_parser_writes_the_places_that_rest_has_named() -> None:
    async def listed() -> dict[str, Any]:
        host = Host()
        async with host.serve():
            rest = KRAKEN.rest(Addresses(host.url, "", host.url), lambda: NOW_MS, lambda *_: None)
            await rest.statuses(("BTC/USD",))
            await rest.close()
            return dict(rest.listed)

    (plan,) = KRAKEN.connections(ADDRESSES, ("BTC/USD",), ())
    named = replace(plan, listed=asyncio.run(listed()))
    frame = TRADE.replace(b"0.50000000", b"0.5") % b"update"
    (event,) = KRAKEN.parser(named)(frame, NOW_MS)
    assert isinstance(event, StreamMessage) and event.message["quantity"] == "0.50000000"


def test_a_single_frame_is_read_without_knowing_the_pairs() -> None:
    (event,) = KRAKEN.parser()(TRADE % b"update", NOW_MS)
    assert isinstance(event, StreamMessage) and event.message["price"] == "105433.6"
    book = b'{"channel":"book","type":"snapshot","data":[{"symbol":"A/B","bids":[],"asks":[],"checksum":0}]}'
    assert isinstance(KRAKEN.parser()(book, NOW_MS)[0], BookUpdate)
    assert any(isinstance(event, Rejected) for event in KRAKEN.parser()(b"{", NOW_MS))


def test_a_frame_that_breaks_off_concerns_the_books_only_if_it_may_be_one() -> None:
    (rejected,) = KRAKEN.parser()((TRADE % b"update")[:60], NOW_MS)
    assert isinstance(rejected, Rejected) and rejected.stream == "trade"
    broken, _ = KRAKEN.parser()(b'{"channel":"book","type":"upd', NOW_MS)
    assert type(broken).__name__ == "BooksBroken"


def test_a_row_of_trades_is_read_again_and_no_other() -> None:
    read = KRAKEN.read_row("trades", "BTC/USD", row(9), NOW_MS, NOW_MS)
    assert read is not None
    assert (read[0], read[1]["trade_id"], read[1]["source"]) == ("trade", 9, "backfill")
    with pytest.raises(InvalidMessage, match="latest"):
        KRAKEN.read_row("trades", "BTC/USD", row(9), NOW_MS, 5)
    with pytest.raises(InvalidMessage, match="rest:klines"):
        KRAKEN.read_row("klines", "BTC/USD", [], NOW_MS, NOW_MS)


def test_doctor_asks_the_clock_the_pairs_and_the_first_trade() -> None:
    async def ask() -> object:
        host = Host()
        async with host.serve():
            enquiry = KRAKEN.enquiry(Addresses(host.url, "", host.url))
            try:
                await enquiry.old_trades("BTC/USD")
                with pytest.raises(UnknownSymbol):
                    await enquiry.old_trades("FOO/BAR")
                statuses = await enquiry.listed_statuses(("ETH/USD", "FOO/BAR"))
                return await enquiry.time_ms(), statuses, await enquiry.names()
            finally:
                await enquiry.close()

    assert asyncio.run(ask()) == (
        NOW_MS // 1_000 * 1_000 + 500,
        {"ETH/USD": "maintenance"},
        ["BTC/USD", "ETH/USD"],
    )


def test_producers_start_one_after_another_and_share_the_pace_of_probes() -> None:
    limits = KRAKEN.limits
    assert [limits.start_delay_s(position, ("1s",), 1_000) for position in (0, 2)] == [0.0, 32.0]
    assert [limits.share(own, deployed) for own, deployed in ((4, 4), (1, 4), (2, 1))] == [0.5, 0.125, 0.5]
    assert limits.probe_pace(1).probe_s < limits.probe_pace(10).probe_s
