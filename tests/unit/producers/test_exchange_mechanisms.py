"""Each mechanism by which books, trades and bars are proven is needed: without it, a named check fails.

A check here holds with all mechanisms in place, and fails when one is taken out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from producers import order_book
from producers.bar_builder import BarBuilder, FinalBar
from producers.exchanges.coinbase import frames as coinbase_frames
from producers.exchanges.coinbase import trades as coinbase_trades
from producers.exchanges.coinbase.frames import CoinbaseFrames
from producers.exchanges.coinbase.products import Product
from producers.exchanges.frame_types import StreamMessage
from producers.exchanges.kraken import frames as kraken_frames
from producers.exchanges.stream_events import BooksBroken, BookUpdate, TradingStatus
from producers.gaps import Continuity
from producers.order_book import BookSync
from producers.since_pages import SincePages
from producers.streamed_book import StreamedBook
from producers.trade_pages import KRAKEN, TradePages
from tests.builders import NOW_MS, depth, trade
from tests.unit.producers.kraken_stream import KrakenStream, Subscriber

ETH = Product("ETH-USD", "ETH", "USD", "ETH-USD", "0.01", "0.00000001", "online", True)


def coinbase_frame(channel: str, number: int, **event: Any) -> str:
    envelope = {"channel": channel, "timestamp": f"2026-08-03T14:25:{number:02}Z", "sequence_num": number}
    return json.dumps(envelope | {"events": [event]})


def levels(number: int, kind: str, *rows: tuple[str, str, str]) -> str:
    updates = [
        {"side": side, "price_level": price, "new_quantity": quantity} for side, price, quantity in rows
    ]
    return coinbase_frame("l2_data", number, type=kind, product_id="ETH-USD", updates=updates)


def coinbase_book(*frames: str) -> StreamedBook:
    parser, book = CoinbaseFrames({"ETH-USD": ETH}), StreamedBook()
    for frame in frames:
        for event in parser.parse(frame, NOW_MS):
            if isinstance(event, BookUpdate):
                book.receive(event)
            elif isinstance(event, BooksBroken):
                book.distrust(event.reason)
    return book


def check_statuses() -> None:
    frame = {"channel": "status", "type": "update", "data": [{"system": "maintenance"}]}
    (status,) = kraken_frames.KrakenFrames({}).parse(json.dumps(frame), NOW_MS)
    assert status == TradingStatus(None, "maintenance", False)


def check_aggressors_of_coinbase() -> None:
    row = {
        "trade_id": "1",
        "product_id": "ETH-USD",
        "price": "1",
        "size": "1",
        "time": "2026-08-03T14:25:00Z",
    }
    frame = coinbase_frame("market_trades", 0, type="update", trades=[row | {"side": "BUY"}])
    (event,) = CoinbaseFrames({"ETH-USD": ETH}).parse(frame, NOW_MS)
    assert isinstance(event, StreamMessage)
    # The maker bought, so that the aggressor sold.
    assert event.message["buyer_is_maker"] is True


def check_aggressors_of_kraken() -> None:
    row = (
        '{"symbol":"ETH/USD","side":"sell","price":1,"qty":1,"trade_id":1,"timestamp":"2026-08-03T14:25:00Z"}'
    )
    (event,) = Subscriber(10).frames.parse(f'{{"channel":"trade","type":"update","data":[{row}]}}', NOW_MS)
    assert isinstance(event, StreamMessage)
    assert event.message["buyer_is_maker"] is True


def check_offers_are_asks() -> None:
    book = coinbase_book(levels(0, "snapshot", ("bid", "1", "1"), ("offer", "2", "1"), ("offer", "3", "1")))
    assert book.level_counts() == (1, 2)


def check_counter() -> None:
    whole = levels(0, "snapshot", ("bid", "1", "1"), ("offer", "2", "1"))
    lost = levels(1, "update", ("bid", "1", "0"))
    after = levels(2, "update", ("offer", "3", "1"))
    assert coinbase_book(whole, lost, after).synced
    assert not coinbase_book(whole, after).synced


def check_update_ids() -> None:
    book = BookSync()
    book.receive(depth(first_update_id=99, final_update_id=100, bids=[], asks=[]))
    whole = {"bids": [["1.0", "1"]], "asks": [["2.0", "1"]]}
    book.receive_snapshot(depth(kind="snapshot", first_update_id=100, final_update_id=100, **whole))
    book.receive(depth(first_update_id=101, final_update_id=102, bids=[], asks=[["2.0", "3"]]))
    assert book.synced
    book.receive(depth(first_update_id=104, final_update_id=105, bids=[], asks=[["3.0", "1"]]))
    assert not book.synced


def check_truncation() -> None:
    exchange, subscriber = KrakenStream(10), Subscriber(10)
    exchange.change([("bids", f"{90 + n}.00", "1.00000000") for n in range(10)])
    subscriber.receive(exchange.snapshot())
    # A better price pushes the worst one out, which is changed unseen, and then comes back.
    subscriber.receive(exchange.change([("bids", "100.00", "1.00000000")]))
    exchange.book["bids"]["90.00"] = "7.00000000"
    subscriber.receive(exchange.change([("asks", "101.00", "1.00000000")]))
    assert subscriber.sides() == (exchange.visible("bids"), exchange.visible("asks"))


def check_checksum() -> None:
    exchange, subscriber = KrakenStream(10), Subscriber(10)
    exchange.change([("bids", "90.00", "1.00000000")])
    subscriber.receive(exchange.snapshot())
    exchange.change([("bids", "91.00", "1.00000000")])  # lost
    subscriber.receive(exchange.change([("asks", "101.00", "1.00000000")]))
    assert not subscriber.book.synced


def check_overlap() -> None:
    pages = SincePages(3, 8, [], before_ms=NOW_MS, rules=KRAKEN._replace(page=3))
    pages.receive([trade(trade_id=each) for each in (2, 3, 4)], NOW_MS * 1_000_000, 3)
    later_ms = NOW_MS + 5_000
    later = [trade(trade_id=each, trade_time_ms=later_ms) for each in (8, 9)]
    pages.receive([trade(trade_id=7), *later], later_ms * 1_000_000, 3)
    assert pages.repair().never == []


def check_finality() -> None:
    bars = BarBuilder("kraken", "BTC/USD", ["1s"])
    bars.begin(0, NOW_MS - 1, NOW_MS, "100")
    bars.receive(trade(trade_id=1, trade_time_ms=NOW_MS + 10))
    # Trade 2, which is missing, may belong to the first second.
    effects = bars.receive(trade(trade_id=3, trade_time_ms=NOW_MS + 5_000))
    effects += bars.tick(NOW_MS + 60_000, 0)
    effects += bars.receive(trade(trade_id=2, trade_time_ms=NOW_MS + 20))
    first = next(effect for effect in effects if isinstance(effect, FinalBar))
    assert first.bar["trade_count"] == 2


TakeOut = Callable[[pytest.MonkeyPatch], None]


def without_coinbases_flip(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(coinbase_trades, "_BUYER_IS_MAKER", {"BUY": False, "SELL": True})


def without_krakens_side(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kraken_frames, "_BUYER_IS_MAKER", {"sell": False, "buy": True})


def without_statuses(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        kraken_frames, "TradingStatus", lambda symbol, said, trading: TradingStatus(symbol, "", True)
    )


def without_offers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(coinbase_frames, "_IS_BID", {"bid": True, "ask": False, "offer": True})


def without_counter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CoinbaseFrames, "_count", lambda parser, number, timestamp: ([], False))


def without_update_ids(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order_book, "_continuity", lambda known, diff: Continuity.CONTIGUOUS)


def without_truncation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StreamedBook, "_truncate", lambda book: ([], []))


def without_checksum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StreamedBook, "_fault", lambda book, update: None)


def without_overlap(patch: pytest.MonkeyPatch) -> None:
    take = TradePages._take
    patch.setattr(TradePages, "_take", lambda pages, rows, edge: take(pages, rows, None))


def without_finality(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BarBuilder, "_complete_to_ms", lambda bars: bars._newest_ms)


MECHANISMS: dict[str, tuple[TakeOut, Callable[[], None]]] = {
    "side flip of coinbase": (without_coinbases_flip, check_aggressors_of_coinbase),
    "taker's side of kraken": (without_krakens_side, check_aggressors_of_kraken),
    "statuses": (without_statuses, check_statuses),
    "offers": (without_offers, check_offers_are_asks),
    "counter": (without_counter, check_counter),
    "update ids": (without_update_ids, check_update_ids),
    "truncation": (without_truncation, check_truncation),
    "checksum": (without_checksum, check_checksum),
    "overlap": (without_overlap, check_overlap),
    "bar finality": (without_finality, check_finality),
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_check_holds_with_the_mechanism(mechanism: str) -> None:
    MECHANISMS[mechanism][1]()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_check_fails_without_the_mechanism(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_out, check = MECHANISMS[mechanism]
    take_out(monkeypatch)
    with pytest.raises(AssertionError):
        check()
