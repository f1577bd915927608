"""Kraken's recorded books and trades through the new cores, with the figures of the recordings' README."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from producers.bar_builder import BarBuilder, FinalBar
from producers.exchanges.frame_types import StreamMessage
from producers.exchanges.kraken.answers import asset_pairs, candles, result_of, trades_page
from producers.exchanges.kraken.checksum import checksum
from producers.exchanges.kraken.frames import KrakenFrames
from producers.exchanges.kraken.pairs import Pair
from producers.exchanges.stream_events import BookUpdate, StreamEvent
from producers.exchanges.values import decode_exact
from producers.order_book import Apply, Resync, Synced
from producers.streamed_book import Resubscribe, StreamedBook
from shared.messages import KlineMessage, TradeMessage
from simulator.recordings.kraken_v1 import RecordedFrame, RecordedPairs, read_kraken_v1


def read(recordings: Path, name: str) -> Iterator[RecordedFrame | RecordedPairs]:
    path = recordings / "kraken" / f"cf_20210417_KRAKEN.{name}.txt.gz"
    with gzip.open(path, "rt") as lines:
        yield from read_kraken_v1(path, lines)


@pytest.fixture
def pairs(recordings: Path) -> dict[str, Pair]:
    (listing,) = (item for item in read(recordings, "0_AssetPairs") if isinstance(item, RecordedPairs))
    found, faults = asset_pairs(dict(listing.answer))
    assert faults == {}
    return found


def events(recordings: Path, name: str, pairs: dict[str, Pair]) -> Iterator[StreamEvent]:
    frames = KrakenFrames(pairs)
    for item in read(recordings, name):
        assert isinstance(item, RecordedFrame)
        yield from frames.parse(item.body, item.received_us // 1000)


def test_every_checksum_of_the_recorded_books_verifies(recordings: Path, pairs: dict[str, Pair]) -> None:
    books: dict[str, StreamedBook] = {}
    seen: Counter[type] = Counter()
    for event in events(recordings, "ws.50", pairs):
        if not isinstance(event, BookUpdate):
            continue
        seen[BookUpdate] += event.checksum is not None
        symbol = event.message["symbol"]
        book = books.setdefault(symbol, StreamedBook(depth=1_000, checksum=checksum))
        seen.update(type(effect) for effect in book.receive(event))
    assert (seen[BookUpdate], seen[Apply], seen[Synced]) == (4_269, 4_269, 10)
    assert (seen[Resync], seen[Resubscribe]) == (0, 0)
    assert len(books) == 10
    assert all(book.synced for book in books.values())


def test_whatever_message_is_left_out_the_best_ten_levels_are_never_wrong_while_synced(
    recordings: Path, pairs: dict[str, Pair]
) -> None:
    updates = [each for each in events(recordings, "ws.50", pairs) if isinstance(each, BookUpdate)]
    noticed = 0
    for symbol in ("XMR/USD", "BTC/CHF", "SC/EUR"):
        own = [each for each in updates if each.message["symbol"] == symbol]
        whole, tops = StreamedBook(depth=1_000, checksum=checksum), []
        for each in own:
            whole.receive(each)
            top = whole.top(10)
            tops.append(None if top is None else (top.bids, top.asks))
        for left_out in range(5, len(own), max(1, len(own) // 12)):
            book = StreamedBook(depth=1_000, checksum=checksum)
            for number, each in enumerate(own):
                if number == left_out:
                    continue
                book.receive(each)
                top = book.top(10)
                assert top is None or (top.bids, top.asks) == tops[number]
            noticed += not book.synced
    # The others are changes far from the best prices, or repeated by the next message.
    assert noticed > 5


def test_recorded_trades_carry_the_takers_side(recordings: Path, pairs: dict[str, Pair]) -> None:
    trades = [each.message for each in events(recordings, "ws.48", pairs) if isinstance(each, StreamMessage)]
    assert Counter(trade["symbol"] for trade in trades) == {"XMR/USD": 4, "SC/EUR": 6}
    first = trades[0]
    assert (first["price"], first["quantity"], first["trade_time_ms"]) == (
        "354.11000000",
        "0.89594024",
        1618678142557,
    )
    # `s`: the taker sold.
    assert first["buyer_is_maker"] is True
    assert trades[1]["buyer_is_maker"] is False


def rest(recordings: Path, name: str) -> dict[str, object]:
    body = (recordings / "kraken" / "nautilus_samples" / name).read_bytes()
    return result_of(200, {}, body, f"GET {name}")


def recorded_trades(recordings: Path) -> list[TradeMessage]:
    found, _ = asset_pairs(rest(recordings, "http_asset_pairs.json"))
    page = trades_page(found["BTC/USDT"], rest(recordings, "http_trades.json"), 0)
    assert (len(page.trades), page.end_ns) == (1_000, 1762820035982277754)
    assert page.trades[0]["price"] == "105433.6"
    return page.trades


def bars_of(trades: list[TradeMessage], clock_ms: int) -> list[KlineMessage]:
    builder = BarBuilder("kraken", "BTC/USDT", ["1m"])
    effects = [effect for trade in trades for effect in builder.receive(trade)]
    while passed := builder.tick(clock_ms, clock_ms):
        effects += passed
    assert all(isinstance(effect, FinalBar) for effect in effects)
    return [effect.bar for effect in effects if isinstance(effect, FinalBar)]


@pytest.mark.parametrize("order", ["as sent", "backwards within a hole"])
def test_every_minute_built_from_trades_equals_rest(recordings: Path, order: str) -> None:
    trades = recorded_trades(recordings)
    if order != "as sent":
        # All but the ends were missing, and came over REST in the opposite order.
        trades = [trades[0], trades[-1], *trades[-2:0:-1]]
    theirs = {row.open_time_ms: row for row in candles("1m", rest(recordings, "http_ohlc.json"))}
    *_, before_last, running = sorted(theirs)
    bars = [bar for bar in bars_of(trades, running + 2_000) if bar["open_time_ms"] <= before_last]
    compared = Counter[tuple[bool, bool]]()
    for bar in bars:
        row = theirs[bar["open_time_ms"]]
        ours = (bar["open"], bar["high"], bar["low"], bar["close"], bar["base_volume"])
        same = [Decimal(text) for text in ours] == [Decimal(text) for text in row[1:6]]
        compared[row.trade_count > 0, same and bar["trade_count"] == row.trade_count] += 1
    traded_to = trades[-1]["trade_time_ms"] if order == "as sent" else trades[1]["trade_time_ms"]
    # The README counts the minutes that the trades themselves end; the last one is ended by the clock.
    ended = [bar for bar in bars if bar["trade_count"] and bar["close_time_ms"] < traded_to]
    assert len(ended) == 272
    assert compared == {(True, True): 273, (False, True): 140}
    assert [bar["open_time_ms"] for bar in bars] == sorted(
        at for at in theirs if bars[0]["open_time_ms"] <= at <= before_last
    )


def test_rest_trades_keep_their_exact_text(recordings: Path) -> None:
    body = (recordings / "kraken" / "nautilus_samples" / "http_trades.json").read_bytes()
    assert decode_exact(body)["result"]["XBTUSDT"][-1][2] == "1762820035.9822779"
