"""What lanes may do to an instrument: take the next message of a stream, where nothing else is due. Pure.

Each step leaves the cores as `Instrument.receive` would with the same message, or changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from producers.book_feed import BookFeed
from producers.candle_audit import Trade
from producers.effects import Effect
from producers.entries import Entries
from producers.kline_sequence import KlineSequence
from producers.newest_messages import NewestMessages
from producers.stream_health import DEPTH, QUOTE, TRADE
from producers.trade_sequence import TradeSequence
from shared.messages import DepthMessage, KlineMessage


class NextSteps:
    """The steps of one symbol; see `producers.exchanges.lane_port.Steps`.

    Args:
        newest: the newest message of each stream, or its bytes.
        klines: by interval.
        book: kept by update ids; None: there is no such book.
    """

    def __init__(
        self,
        symbol: str,
        newest: NewestMessages,
        entries: Entries,
        *,
        trades: TradeSequence,
        klines: Mapping[str, KlineSequence],
        book: BookFeed | None,
    ) -> None:
        self.symbol = symbol
        self._newest = newest
        self._entries = entries
        self._candles, self._ledger = entries.candles, entries.ledger
        self._trades = trades
        self._klines = klines
        self._book = book
        self._builds_bars = entries.bars_are_built

    def quote(self, value: bytes) -> None:
        """Take a quote: each is published."""
        self._newest[QUOTE] = value

    def trade(self, trade_id: int, time_ms: int, trade: Trade, received_ms: int, value: bytes) -> bool:
        """Take the next trade; whether it was."""
        other = self._builds_bars or self._entries.source != "stream"
        if other or not self._trades.try_next(trade_id, time_ms):
            return False
        self._newest[TRADE] = value
        self._candles.note_trade(trade_id, trade)
        self._ledger.expect_trade(trade_id, time_ms, received_ms)
        return True

    def diff(self, diff: DepthMessage) -> Sequence[Effect] | None:
        """The effects of the diff that follows on the book; None: it was not taken."""
        if self._book is None or not self._book.is_next(diff["first_update_id"]):
            return None
        self._newest[DEPTH], self._entries.source = diff, "stream"
        return self._entries.enter(
            self._book.receive(diff), "depth", None, diff["received_time_ms"], diff["source"]
        )

    def open_bar(self, interval: str, open_time_ms: int, event_ms: int, value: bytes) -> bool:
        """Take an update of the open bar; whether it was."""
        klines = self._klines.get(interval)
        if klines is None or self._entries.source != "stream" or not klines.try_next(open_time_ms, event_ms):
            return False
        self._newest["kline", interval] = value
        return True

    def closed_bar(self, kline: KlineMessage) -> Sequence[Effect] | None:
        """The effects of the next closed bar; None: it was not taken."""
        interval = kline["interval"]
        klines = self._klines.get(interval)
        effects = None if klines is None else klines.try_closed(kline)
        if effects is None:
            return None
        self._newest["kline", interval], self._entries.source = kline, "stream"
        return self._entries.enter(effects, "klines", interval, kline["received_time_ms"], kline["source"])
