"""Enters what the cores of a symbol publish: into the ledger, the audit of bars, and built bars. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from producers.built_bars import BarEvent, BuiltBars
from producers.candle_audit import CandleAudit
from producers.effects import Effect, LedgerEvent, Publish
from producers.kline_sequence import KlineSequence
from producers.ledger_events import LedgerEvents
from producers.read_back import ReadBack
from producers.trade_sequence import TradeSequence
from shared.messages import KlineMessage, Source, TradeMessage
from shared.models import LedgerKind, LedgerStream
from shared.topics import TRADES
from shared.trade_ids import number_of


class BarEntry(NamedTuple):
    """What the ledger needs of a bar."""

    interval: str
    open_ms: int
    received_ms: int
    source: Source


def entry_of(kline: KlineMessage) -> BarEntry:
    return BarEntry(kline["interval"], kline["open_time_ms"], kline["received_time_ms"], kline["source"])


class Entries:
    """What is entered of a symbol.

    Args:
        candles: compares closed bars with the trades.
        trades: is told of the trades that bars count.
        klines: the series of bars of an exchange that has its own, by interval.
        built: bars that are built of trades; None: the exchange has its own.

    Attributes:
        ledger: the events that the next `tick` of the instrument gives.
        source: of the newest message.
        bar_ms: when the newest closed bar was received.
    """

    def __init__(
        self,
        exchange: str,
        symbol: str,
        candles: CandleAudit,
        trades: TradeSequence,
        *,
        klines: Mapping[str, KlineSequence],
        built: BuiltBars | None,
    ) -> None:
        self.ledger = LedgerEvents(exchange, symbol)
        self.candles = candles
        self.source: Source = "stream"
        self.bar_ms = 0
        self._trades = trades
        self._klines = klines
        self._built = built

    @property
    def bars_are_built(self) -> bool:
        """Each trade goes into bars that are built."""
        return self._built is not None

    def resume(self, read: ReadBack, now_ms: int) -> None:
        """Audit what earlier processes published last; it is entered only where a bar differs."""
        self.candles.resume(read.trades, read.bars)
        self.bar_ms = now_ms

    def enter(
        self,
        effects: Sequence[Effect],
        stream: LedgerStream,
        interval: str | None,
        now_ms: int,
        source: Source,
    ) -> list[Effect]:
        """Move completeness events into the ledger; the other effects are for the shell."""
        outward: list[Effect] = []
        for effect in effects:
            if type(effect) is LedgerEvent:
                self.ledger.enter(effect, stream, interval, now_ms, source)
                if stream == "trades" and self._built is not None:
                    outward += self.enter_built(self._built.settle(effect), now_ms)
                continue
            outward.append(effect)
            if type(effect) is Publish:
                if effect.topic == TRADES:
                    self._enter_trade(effect.message)
                    if self._built is not None:
                        outward += self.enter_built(self._built.receive(effect.message), now_ms)
                elif stream == "klines" and effect.message["closed"]:
                    self._enter_bar(effect.message, followed=effect.progress_id is not None)
        return outward

    def enter_built(self, events: Sequence[BarEvent], now_ms: int) -> list[Effect]:
        """Enter what was built; the effects for the shell."""
        outward: list[Effect] = []
        for interval, effect in events:
            outward += self.enter([effect], "klines", interval, now_ms, self.source)
        return outward

    def _enter_trade(self, trade: TradeMessage) -> None:
        number, time_ms = number_of(trade), trade["trade_time_ms"]
        received_ms, source = trade["received_time_ms"], trade["source"]
        kinds: tuple[LedgerKind, ...] = ("expected",)
        if source == "backfill":
            kinds = ("expected", "repaired")
            self.candles.receive_filled(trade)
        else:
            self.candles.receive_trade(trade)
        for kind in kinds:
            self.ledger.add(
                kind, "trades", None, number, number, event_ms=time_ms, received_ms=received_ms, source=source
            )

    def _enter_bar(self, kline: KlineMessage, *, followed: bool) -> None:
        self.bar_ms = kline["received_time_ms"]
        if self._built is None:
            self.candles.receive_bar(kline)
        first, last = kline["first_trade_id"], kline["last_trade_id"]
        if first is not None and last is not None and last - first + 1 == kline["trade_count"] > 0:
            self._trades.counted(first, last)
        # One that is sent again, because it was revised, is expected as it was the first time.
        again = self._built is not None and not followed
        if not ((followed or again) and self.awaits_delivery(kline)):
            self.expect_bar(entry_of(kline))

    def awaits_delivery(self, kline: KlineMessage) -> bool:
        """The bar is not promised: it is expected once Kafka has it."""
        interval = kline["interval"]
        if self._built is not None:
            return kline["open_time_ms"] < self._built.promised_ms(interval)
        return kline["open_time_ms"] < self._klines[interval].promised_ms

    def expect_bar(self, bar: BarEntry) -> None:
        """Enter a closed bar as expected."""
        interval, open_ms, received_ms, source = bar
        for kind in ("expected", "repaired") if source == "backfill" else ("expected",):
            self.ledger.add(
                kind,
                "klines",
                interval,
                open_ms,
                open_ms,
                event_ms=open_ms,
                received_ms=received_ms,
                source=source,
            )
