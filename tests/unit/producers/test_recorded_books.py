"""Books rebuilt from recordings of the real exchange, with the figures that the recordings' README gives."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from producers.effects import AuditBook, Effect, FetchSnapshot, Publish
from producers.exchanges.binance.rows import snapshot_of_body
from producers.exchanges.frame_types import StreamMessage
from producers.instrument import Instrument
from producers.order_book import Apply, BookSync, Resync
from shared.topics import BOOK, DEPTH, TRADES
from tests.builders import event_of

_FRAME = re.compile(r"(\d{10}\.\d+): (.*)")
_REST = re.compile(r"(https?://\S+) -> (\d{10}\.\d+): (.*)")


def hft(recordings: Path, *names: str) -> Iterator[tuple[int, str | None, bytes]]:
    """(receive time in ms, None for frames or the symbol of a snapshot, JSON)."""
    for name in names:
        with gzip.open(recordings / "binance_spot_ws" / name, "rt") as lines:
            for line in lines:
                received_ns, body = line.split(" ", 1)
                symbol = None if body.startswith('{"stream"') else "BTCUSDT"
                yield int(received_ns) // 1_000_000, symbol, body.encode()


def recorder(recordings: Path, *names: str) -> list[tuple[int, str | None, bytes]]:
    entries: list[tuple[int, str | None, bytes]] = []
    for name in names:
        with gzip.open(recordings / "binance_spot_ws" / name, "rt") as lines:
            for line in lines:
                if found := _FRAME.match(line):
                    entries.append((int(float(found[1]) * 1000), None, found[2].encode()))
                elif (found := _REST.match(line)) and "/depth" in found[1]:
                    symbol = re.search(r"symbol=(\w+)", found[1])
                    assert symbol is not None
                    entries.append((int(float(found[2]) * 1000), symbol[1], found[3].encode()))
    return sorted(entries, key=lambda entry: entry[0])


@pytest.mark.thorough
def test_the_busy_book_equals_the_recorded_one(recordings: Path) -> None:
    book = BookSync()
    applied, resyncs, compared, equal = 0, 0, 0, 0
    tops: dict[int, tuple[list[str], list[str]]] = {}
    quotes: dict[int, Any] = {}
    first_applied = None
    for received_ms, symbol, body in hft(recordings, "hft_btcusdt_20240808.gz", "hft_btcusdt_20240809.gz"):
        if symbol is not None:
            effects = book.receive_snapshot(snapshot_of_body(symbol, orjson.loads(body), received_ms))
        else:
            parsed = event_of(body, received_ms)
            assert isinstance(parsed, StreamMessage), parsed
            if parsed.kind == "quote":
                quotes[parsed.message["update_id"]] = parsed.message
            if parsed.kind != "depth":
                continue
            effects = book.receive(parsed.message)
        for effect in effects:
            resyncs += isinstance(effect, Resync)
            if isinstance(effect, Apply):
                applied += 1
                first_applied = first_applied or effect.diff
        if book.synced:
            top = book.top(1)
            assert top is not None
            tops[top.update_id] = (top.bids[0], top.asks[0])
    for update_id, (bid, ask) in tops.items():
        quote = quotes.get(update_id)
        if quote is not None:
            compared += 1
            equal += bid == [quote["bid_price"], quote["bid_quantity"]] and ask == [
                quote["ask_price"],
                quote["ask_quantity"],
            ]
    assert first_applied is not None
    assert (first_applied["first_update_id"], first_applied["final_update_id"]) == (50093239208, 50093239224)
    assert (applied, resyncs) == (6_493, 0)
    assert (compared, equal) == (1_072, 1_072)
    bid, ask = tops[max(tops)]
    assert (bid, ask) == (["61602.01000000", "1.67177000"], ["61602.02000000", "2.66795000"])


@pytest.mark.thorough
def test_the_busy_instrument_publishes_every_trade_once_and_replays_its_book(recordings: Path) -> None:
    instrument = Instrument("binance", "BTCUSDT", ["1m"], book_interval_ms=1_000, warmup_bars=0)
    snapshot = None
    trades: list[int] = []
    books: list[Any] = []
    depth: list[Any] = []

    def take(effects: list[Effect]) -> bool:
        for effect in effects:
            if isinstance(effect, Publish):
                if effect.topic == TRADES:
                    trades.append(effect.message["trade_id"])
                elif effect.topic == BOOK:
                    books.append(effect.message)
                elif effect.topic == DEPTH:
                    depth.append(effect.message)
        return any(isinstance(effect, FetchSnapshot) for effect in effects)

    for received_ms, symbol, body in hft(recordings, "hft_btcusdt_20240808.gz", "hft_btcusdt_20240809.gz"):
        if symbol is not None:
            snapshot = snapshot_of_body(symbol, orjson.loads(body), received_ms)
            take(instrument.receive_snapshot(snapshot, received_ms))
            continue
        parsed = event_of(body, received_ms)
        assert isinstance(parsed, StreamMessage)
        parsed.message["source"] = "replay"
        take(instrument.receive(parsed.kind, parsed.message))
    assert trades == list(range(3735683259, 3735703163))
    ledger = [event.message for event in instrument.tick()]
    expected = [(event["first"], event["last"]) for event in ledger if event["kind"] == "expected"]
    assert (expected[0][0], expected[-1][1]) == (3735683259, 3735703162)
    assert [first for first, _ in expected[1:]] == [last + 1 for _, last in expected[:-1]]
    assert (len(depth), depth[0]["kind"]) == (6_494, "snapshot")
    gaps = [after["received_time_ms"] - before["received_time_ms"] for before, after in pairwise(books)]
    assert len(books) > 600
    assert min(gaps) >= 1_000
    assert all(book["synced"] and len(book["bids"]) == len(book["asks"]) == 20 for book in books)


def test_prices_leave_a_snapshot_within_minutes_and_a_fresh_one_is_asked_for_before(recordings: Path) -> None:
    instrument = Instrument(
        "binance", "BTCUSDT", ["1m"], book_interval_ms=1_000, warmup_bars=0, book_audit_ms=10**12
    )
    asked_ms: list[int] = []
    for received_ms, symbol, body in hft(recordings, "hft_btcusdt_20240808.gz"):
        if symbol is not None:
            instrument.receive_snapshot(
                snapshot_of_body(symbol, orjson.loads(body), received_ms), received_ms
            )
            continue
        parsed = event_of(body, received_ms)
        assert isinstance(parsed, StreamMessage)
        if parsed.kind == "depth":
            effects = instrument.receive("depth", parsed.message)
            asked_ms += [received_ms] * (AuditBook("BTCUSDT") in effects)
            lost = [effect for effect in effects if isinstance(effect, Publish) and effect.topic == BOOK]
            if lost and not lost[-1].message["synced"]:
                break
    causes = [event.message["detail"] for event in instrument.tick() if event.message["kind"] == "unsynced"]
    # Nobody has answered, so that at last the book has to say that it does not know any more.
    assert causes[-1] == "prices have left the range that the snapshot covered"
    assert asked_ms[0] < received_ms


@pytest.mark.parametrize(
    ("symbol", "dropped", "applied"),
    [("NKNUSDT", 1, 149), ("BLZETH", 1, 9), ("LRCBTC", 2, 13), ("RUNEEUR", 1, 1)],
)
def test_the_first_kept_diff_may_begin_right_after_the_snapshot(
    recordings: Path, symbol: str, dropped: int, applied: int
) -> None:
    names = ("cf_20211012_BINANCE.ws.txt.gz", "cf_20211012_BINANCE.http.txt.gz")
    assert counts(recorder(recordings, *names), symbol) == (dropped, applied, 0)


@pytest.mark.parametrize(
    ("symbol", "dropped", "applied"), [("BTCUSDT", 10, 889), ("ETHUSDT", 13, 896), ("DOTUSDT", 9, 871)]
)
def test_three_books_of_one_connection(recordings: Path, symbol: str, dropped: int, applied: int) -> None:
    assert counts(recorder(recordings, "cf_20210404_BINANCE-ee25be.txt.gz"), symbol) == (dropped, applied, 0)


def counts(entries: list[tuple[int, str | None, bytes]], wanted: str) -> tuple[int, int, int]:
    """Diffs dropped, diffs applied, resyncs."""
    book = BookSync()
    received, applied, resyncs = 0, 0, 0
    for received_ms, symbol, body in entries:
        if symbol is not None:
            if symbol != wanted:
                continue
            effects = book.receive_snapshot(snapshot_of_body(symbol, orjson.loads(body), received_ms))
        else:
            parsed = event_of(body, received_ms)
            if not isinstance(parsed, StreamMessage) or parsed.kind != "depth":
                continue
            if parsed.message["symbol"] != wanted:
                continue
            received += 1
            effects = book.receive(parsed.message)
        applied += sum(isinstance(effect, Apply) for effect in effects)
        resyncs += sum(isinstance(effect, Resync) for effect in effects)
    return received - applied, applied, resyncs
