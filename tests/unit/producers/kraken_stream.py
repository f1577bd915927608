"""A small exchange that streams one book as Kraken does, written apart from the code under test."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from decimal import Decimal

from producers.exchanges.kraken.checksum import checksum
from producers.exchanges.kraken.frames import KrakenFrames
from producers.exchanges.kraken.pairs import Pair
from producers.exchanges.stream_events import BooksBroken, BookUpdate
from producers.streamed_book import StreamedBook, StreamedEffect
from tests.builders import NOW_MS

PAIR = Pair("ETH/USD", "ETH", "USD", "ETHUSD", 2, 8, "0.01", "0.00000001", "online")

Change = tuple[str, str, str]
"""Side ("bids" or "asks"), price, quantity; the quantity "0.00000000" removes."""


class KrakenStream:
    """The whole book, of which subscribers see the best `depth` levels a side."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.book: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
        self._sent_ms = NOW_MS

    def visible(self, side: str) -> list[list[str]]:
        prices = sorted(self.book[side], key=Decimal, reverse=side == "bids")
        return [[price, self.book[side][price]] for price in prices[: self.depth]]

    def snapshot(self) -> str:
        return self._frame("snapshot", self.visible("bids"), self.visible("asks"))

    def change(self, changes: Sequence[Change]) -> str:
        """Changes of the whole book; the frame says what subscribers must write, truncation apart."""
        before = {side: dict(self.visible(side)) for side in self.book}
        for side, price, quantity in changes:
            if Decimal(quantity):
                self.book[side][price] = quantity
            else:
                self.book[side].pop(price, None)
        return self._frame("update", *(self._news(side, before[side]) for side in ("bids", "asks")))

    def _news(self, side: str, before: dict[str, str]) -> list[list[str]]:
        now = dict(self.visible(side))
        gone = [[price, "0.00000000"] for price in before if price not in self.book[side]]
        return [*gone, *([price, now[price]] for price in now if before.get(price) != now[price])]

    def _frame(self, kind: str, bids: list[list[str]], asks: list[list[str]]) -> str:
        self._sent_ms += 1
        levels = [",".join(f'{{"price":{p},"qty":{q}}}' for p, q in side) for side in (bids, asks)]
        second, ms = divmod(self._sent_ms - NOW_MS, 1000)
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"ETH/USD","bids":[{levels[0]}],'
            f'"asks":[{levels[1]}],"checksum":{self.checksum()},'
            f'"timestamp":"2026-08-03T14:{25 + second // 60:02}:{second % 60:02}.{ms:03}000Z"}}]}}'
        )

    def checksum(self) -> int:
        texts = [
            text.replace(".", "").lstrip("0")
            for side in ("asks", "bids")
            for level in self.visible(side)[:10]
            for text in level
        ]
        return zlib.crc32("".join(texts).encode())


class Subscriber:
    """Parser and book of one subscription, as a producer has them."""

    def __init__(self, depth: int) -> None:
        self.frames = KrakenFrames({PAIR.symbol: PAIR})
        self.book = StreamedBook(depth=depth, checksum=checksum)

    def receive(self, frame: str) -> list[StreamedEffect]:
        effects: list[StreamedEffect] = []
        for event in self.frames.parse(frame, NOW_MS):
            if isinstance(event, BookUpdate):
                effects += self.book.receive(event)
            elif isinstance(event, BooksBroken):
                effects += self.book.distrust(event.reason)
        return effects

    def sides(self) -> tuple[list[list[str]], list[list[str]]]:
        """All bids and asks of a book that must be exact."""
        top = self.book.top(10_000)
        assert top is not None, self.book.cause
        return top.bids, top.asks
