"""One symbol of an exchange: composes the cores of its streams.

Everything that happens to the symbol is one call of a method here, and everything that follows from it is in
the effects returned. No sockets, clocks or files.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from producers.bearings import OpenHole, SeriesBearings, klines_series, trades_series
from producers.book_audit import MEAN_INTERVAL_MS
from producers.book_feed import BookFeed
from producers.candle_audit import CandleAudit
from producers.carriage import DEPTH, LEDGER_STREAMS, QUOTE, TRADE, StreamKey, Uncarried
from producers.effects import Effect, LedgerEvent, Looked, ProveTrades, Publish
from producers.found_ids import FoundRange
from producers.halts import Halts
from producers.kline_sequence import KlineSequence
from producers.ledger_events import LedgerEvents
from producers.lookout import GRACE_S, Lookout, Pace
from producers.missing_ids import MissingRange
from producers.trade_sequence import TradeSequence
from shared.intervals import interval_ms
from shared.messages import CARRIED_AGAIN, DepthMessage, KlineMessage, Source, TradeMessage
from shared.topics import LEDGER, QUOTES, TRADES
from shared.trade_ids import number_of

# What was not published, but is known to have been issued.
_ISSUED_UNSEEN: Final = frozenset(("lost", "halted", "offline"))
# REST knows a trade after some seconds; as long as it is asked for its newest ones, that is no news.
_DOUBTS_AFTER_MS: Final = 15_000
_DOUBTS_AGAIN_MS: Final = 60_000


class Instrument:
    """The streams of one symbol.

    Args:
        book_interval_ms: least time between two messages on `market.book`.
        warmup_bars: closed bars to get for a series that has none yet.
        uniform: random numbers on [0, 1) for the times of book audits.
        book_audit_ms: mean time between two of them.
        pace: how often REST may be asked for what is silent.
    """

    def __init__(
        self,
        exchange: str,
        symbol: str,
        intervals: Sequence[str],
        *,
        book_interval_ms: int,
        warmup_bars: int,
        uniform: Callable[[], float] = random.random,
        book_audit_ms: int = MEAN_INTERVAL_MS,
        pace: Pace | None = None,
    ) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self._warmup_bars = warmup_bars
        self._halts = Halts()
        self._klines = {interval: KlineSequence(symbol, interval, self._halts) for interval in intervals}
        self._trades = TradeSequence(symbol, self._halts)
        self._candles = CandleAudit(intervals)
        self._book = BookFeed(symbol, book_interval_ms, uniform, book_audit_ms)
        self._ledger = LedgerEvents(exchange, symbol)
        self._source: Source = "stream"
        self._bar_ms = 0  # when the newest closed bar was received
        self._doubts_noted_ms: int | None = None
        self._bar_keys: dict[str, StreamKey] = {interval: ("kline", interval) for interval in intervals}
        self._newest: dict[StreamKey, Any] = dict.fromkeys((*self._bar_keys.values(), TRADE, DEPTH, QUOTE))
        self._pace = pace
        self._began_ms: int | None = None
        self._trade_base: int | None = None
        self._forgone = False
        self._lookout: Lookout | None = None  # from the first `watch` on

    @property
    def uncarried(self) -> list[Uncarried]:
        """The streams that are not carried now."""
        return [] if self._lookout is None else self._lookout.uncarried

    @property
    def synced(self) -> bool:
        """The local book is exact."""
        return self._book.synced

    @property
    def pending_fills(self) -> int:
        """How many series await an answer of REST."""
        doubtful = self._trades.doubtful_since_ms is not None
        return sum(klines.filling for klines in self._klines.values()) + self._trades.filling + doubtful

    @property
    def missing_trades(self) -> int:
        return self._trades.missing

    @property
    def missing_bars(self) -> int:
        """How many bars were passed over, of all intervals."""
        return sum(klines.missing for klines in self._klines.values())

    @property
    def questioned(self) -> int:
        """Series with bars of which REST's next answers tell whether they were issued."""
        return sum(klines.questioned for klines in self._klines.values())

    @property
    def doubtful_trades(self) -> int:
        """Trades of which REST has not yet said what they are."""
        return self._trades.doubtful

    @property
    def book_audits(self) -> tuple[int, int]:
        """How often the book was compared with a fresh snapshot, and levels that differed the last time."""
        return self._book.audits, self._book.drift_levels

    @property
    def audited_bars(self) -> tuple[int, int, int]:
        """Closed bars held to their trades, those of them that differ, and those that could not be held."""
        return self._candles.audited, self._candles.different, self._candles.unaudited

    @property
    def halted(self) -> bool:
        return self._halts.halted

    def begin(
        self, bearings: Mapping[str, SeriesBearings], server_time_ms: int, *, now_s: float = 0.0
    ) -> list[Effect]:
        """Start all series from where they stand.

        Args:
            bearings: by series name; a series without any is warmed up.
            server_time_ms: the exchange's clock.
            now_s: of a clock that only goes forward.
        """
        effects: list[Effect] = []
        self._began_ms = server_time_ms
        self._candles.begin(server_time_ms)
        for interval, klines in self._klines.items():
            known = bearings.get(klines_series(self.exchange, self.symbol, interval))
            last_open_time_ms: int | None = None
            holes: list[MissingRange] = []
            if known is not None:
                last_open_time_ms, holes = _standing(known, interval_ms(interval), server_time_ms, now_s)
                # A producer that was killed may not have said it; saying it twice changes nothing.
                for found in known.later:
                    self._expect("klines", interval, found, server_time_ms)
            raised = klines.begin(last_open_time_ms, server_time_ms, self._warmup_bars, holes)
            effects += self._enter(raised, "klines", interval, server_time_ms, "backfill")
        known = bearings.get(trades_series(self.exchange, self.symbol))
        if known is not None:
            for found in known.later:
                self._expect("trades", None, found, server_time_ms)
            missing = (_missing(hole, 1, server_time_ms, now_s) for hole in known.missing)
            raised = self._trades.begin(known.last_id, known.later, known.time_ms or 0, missing)
            effects += self._enter(raised, "trades", None, server_time_ms, "backfill")
        return effects

    @property
    def awaits_trade_base(self) -> bool:
        """Nobody knows yet after which trade the series begins."""
        return self._trades.awaits_base

    def await_trade_base(self) -> None:
        """`listen_after` will tell after which trade the series begins; call it after `begin`."""
        self._trades.await_base()

    def listen_after(self, trade_id: int, now_ms: int, exchange_ms: int) -> list[Effect]:
        """Take the newest trade that the exchange had issued when it was first listened to.

        Args:
            exchange_ms: the exchange's clock, not before the trade's own time.
        """
        if self._source == "replay":
            return []
        self._trade_base = trade_id
        if self._lookout is not None:
            self._lookout.trade_base = trade_id
        raised = self._trades.listen_after(trade_id, exchange_ms)
        return self._enter(raised, "trades", None, now_ms, "backfill")

    def open_holes(self, interval: str | None, now_ms: int, now_s: float) -> Iterator[OpenHole]:
        """What is missing of the trades, or of the bars of an interval, in order.

        Args:
            now_ms: the exchange's clock; now_s: of a clock that only goes forward.
        """
        step = 1 if interval is None else interval_ms(interval)
        series = self._trades if interval is None else self._klines[interval]
        for missing in series.open_holes():
            since_ms = None if missing.since_s is None else now_ms - round((now_s - missing.since_s) * 1000)
            yield OpenHole(
                missing.first * step,
                missing.last * step,
                missing.before_ms,
                missing.after_ms,
                missing.offline,
                missing.asked,
                since_ms,
            )

    def receive(self, kind: str, message: Any) -> list[Effect]:
        """Take a checked message of the stream; `kind` as in `shared.messages.CHECKS`."""
        if kind == "quote":
            self._newest[QUOTE] = message
            return [Publish(QUOTES, message)]
        received_ms, source = message["received_time_ms"], message["source"]
        self._source = source
        if kind == "trade":
            self._newest[TRADE] = message
            if source == "replay" and not self._forgone:
                self._forgone = True
                self._trades.forgo_base()
            return self._enter(self._trades.receive(message), "trades", None, received_ms, source)
        if kind == "depth":
            self._newest[DEPTH] = message
            return self._enter(self._book.receive(message), "depth", None, received_ms, source)
        klines = self._klines.get(message["interval"])
        if klines is None:
            return []
        self._newest[self._bar_keys[message["interval"]]] = message
        return self._enter(klines.receive(message), "klines", message["interval"], received_ms, source)

    def receive_kline_rows(
        self,
        interval: str,
        first: int,
        last: int,
        rows: Sequence[KlineMessage] | None,
        now_ms: int,
        *,
        now_s: float,
        exchange_ms: int | None = None,
    ) -> list[Effect]:
        """Take the answer to `FillKlines`; see `KlineSequence.receive_rows`.

        Args:
            exchange_ms: the exchange's clock; None where nobody watches the streams.
        """
        if rows and self._lookout is not None and exchange_ms is not None:
            self._lookout.receive_bars(interval, rows[-1]["close_time_ms"] + 1, now_s, exchange_ms)
        raised = self._klines[interval].receive_rows(first, last, rows, now_s)
        return self._enter(raised, "klines", interval, now_ms, "backfill")

    def receive_trade_rows(
        self,
        first: int,
        last: int,
        rows: Sequence[TradeMessage] | None,
        now_ms: int,
        *,
        now_s: float,
        oldest_available: int = 0,
    ) -> list[Effect]:
        """Take the answer to `FillTrades`; see `TradeSequence.receive_rows`."""
        raised = self._trades.receive_rows(first, last, rows, now_s, oldest_available)
        return self._enter(raised, "trades", None, now_ms, "backfill")

    def receive_newest_trades(self, rows: Sequence[TradeMessage], now_ms: int) -> list[Effect]:
        """Take the answer to `AskNewestTrades`; none if REST does not answer now."""
        epoch, since_ms = self._trades.epoch, self._trades.doubtful_since_ms
        raised = self._trades.receive_newest(rows)
        if self._trades.epoch != epoch:
            # Bars name the exchange's ids: those of the numbering before are other trades.
            self._candles.begin_anew()
        self._note_doubts(since_ms, now_ms)
        return self._enter(raised, "trades", None, now_ms, self._source)

    def _note_doubts(self, since_ms: int | None, now_ms: int, *, ended: bool = False) -> None:
        """Say, some time after they came and then once a minute, that trades are not carried for doubt."""
        if since_ms is None:
            return
        over = self._trades.doubtful_since_ms is None
        if over:
            due, self._doubts_noted_ms = self._doubts_noted_ms is not None, None
        else:
            noted_ms = self._doubts_noted_ms
            due = ended or now_ms - (since_ms if noted_ms is None else noted_ms) >= (
                _DOUBTS_AFTER_MS if noted_ms is None else _DOUBTS_AGAIN_MS
            )
            self._doubts_noted_ms = now_ms if due else noted_ms
        if due:
            detail = "ids of trades contradict those before, and REST does not say which are right"
            detail += CARRIED_AGAIN if over else f": {self._trades.doubtful} are held"
            event = LedgerEvent("uncarried", since_ms, max(since_ms, now_ms), now_ms, detail)
            self._enter_event(event, "trades", None, now_ms, self._source)

    def end(self, now_ms: int, exchange_ms: int) -> None:
        """Nothing comes any more: what is still missing or unknown is said, by the next `tick`."""
        self._note_doubts(self._trades.doubtful_since_ms, now_ms, ended=True)
        if self._source == "replay":
            return
        for interval, klines in self._klines.items():
            self._enter(klines.conclude(), "klines", interval, now_ms, self._source)
        if self._lookout is not None:
            self._lookout.conclude(exchange_ms)
            self._act_on(self._lookout, now_ms)
        self._enter(self._trades.conclude(), "trades", None, now_ms, self._source)

    def receive_trade_proof(
        self,
        asked: ProveTrades,
        issued: Sequence[tuple[int, int]],
        never: Sequence[tuple[int, int]],
        now_ms: int,
        *,
        now_s: float,
    ) -> list[Effect]:
        """Take the answer to `ProveTrades`; see `TradeSequence.receive_proof`."""
        raised = self._trades.receive_proof(asked, issued, never, now_s)
        return self._enter(raised, "trades", None, now_ms, "backfill")

    def receive_audit_snapshot(self, snapshot: DepthMessage | None, now_ms: int) -> list[Effect]:
        """Take the answer to `AuditBook`, None if there is none for now."""
        return self._enter(self._book.receive_audit_snapshot(snapshot), "depth", None, now_ms, self._source)

    def receive_snapshot(self, snapshot: DepthMessage | None, now_ms: int) -> list[Effect]:
        """Take the answer to `FetchSnapshot`, None if there was none."""
        return self._enter(self._book.receive_snapshot(snapshot), "depth", None, now_ms, self._source)

    def receive_status(self, status: str, now_ms: int) -> None:
        """Take the symbol's status of exchangeInfo."""
        self._halts.receive_status(status, now_ms)

    def receive_recorded_halts(self, spans: Sequence[tuple[int, int]]) -> None:
        """Take when a recorded exchange was closed, first and last millisecond of each time, in order."""
        self._halts.receive_recorded(spans)

    def disconnected(self, reason: str, now_ms: int) -> list[Effect]:
        """The connection that carried the streams has ended."""
        return self._enter(self._book.lose(reason), "depth", None, now_ms, self._source)

    def reopened(self, now_s: float) -> None:
        """The streams are read from another connection than before."""
        if self._lookout is not None:
            self._lookout.reopened(now_s)

    def watch(self, now_s: float, exchange_ms: int, now_ms: int, trouble: str = "") -> list[Effect]:
        """Notice what the exchange has and has not sent; call it once a second, while it is listened to.

        Args:
            now_s: of a clock that only goes forward.
            exchange_ms: the exchange's clock.
            trouble: what is wrong with the connection, in words.
        """
        if self._source == "replay":
            return []
        lookout = self._lookout
        if lookout is None:
            began_ms = exchange_ms if self._began_ms is None else self._began_ms
            lookout = self._lookout = Lookout(self._newest, now_s, began_ms, self._pace)
            lookout.trade_base = self._trade_base
        lookout.judge_return(self._trades.complete_to, now_s, exchange_ms)
        effects = lookout.tick(now_s, exchange_ms, self._book.best, closed=self.halted, trouble=trouble)
        for interval, klines in self._klines.items():
            if lookout.carriage.silence_s(self._bar_keys[interval], now_s) >= GRACE_S:
                effects += self._enter(klines.tick(exchange_ms), "klines", interval, now_ms, "backfill")
        return effects + self._act_on(lookout, now_ms)

    def _act_on(self, lookout: Lookout, now_ms: int) -> list[Effect]:
        """Fetch what a stream has not brought, and give the book up that is not carried."""
        effects: list[Effect] = []
        issued, lookout.issued = lookout.issued, None
        if issued is not None:
            if lookout.trade_base is not None:
                self._trades.begin_after(lookout.trade_base)
            effects += self._enter(self._trades.issued(*issued), "trades", None, now_ms, "backfill")
        later, lookout.later_bar = lookout.later_bar, None
        if later is not None:
            effects += self._enter(self._trades.counted_later(later), "trades", None, now_ms, "backfill")
        lost, lookout.lost_book = lookout.lost_book, None
        if lost is not None:
            effects += self._enter(self._book.lose(lost), "depth", None, now_ms, self._source)
        for (kind, interval), since_ms, until_ms, detail in lookout.carriage.take_entries():
            event = LedgerEvent("uncarried", since_ms, until_ms, until_ms, detail)
            self._enter_event(event, LEDGER_STREAMS[kind], interval, now_ms, self._source)
        return effects

    def receive_look(self, looked: Looked, now_s: float, exchange_ms: int) -> None:
        """Take the answer to `LookAt`; what follows from it the next `watch` tells."""
        if self._lookout is not None:
            self._lookout.receive_look(looked, now_s, exchange_ms)

    def last_look(self, now_s: float, exchange_ms: int, now_ms: int) -> list[Effect]:
        """The streams have ended: fetch what the exchange has and they have not brought."""
        if self._lookout is None or self._source == "replay":
            return []
        effects: list[Effect] = []
        for interval, klines in self._klines.items():
            effects += self._enter(klines.last_tick(exchange_ms), "klines", interval, now_ms, "backfill")
        effects += self._lookout.last_look(now_s)
        return effects + self._act_on(self._lookout, now_ms)

    def stop(self, now_ms: int) -> None:
        """The producer ends in good order: its last word of each series, for the ledger not to expect more.

        Args:
            now_ms: the exchange's clock.
        """
        for stream, interval in (("trades", None), *(("klines", interval) for interval in self._klines)):
            self._ledger.add(
                "stopped",
                stream,
                interval,
                now_ms,
                now_ms,
                event_time_ms=now_ms,
                received_time_ms=now_ms,
                source=self._source,
            )

    def retry(self, now_ms: int, now_s: float) -> list[Effect]:
        """Ask REST again for what is due; call it about once a second.

        Args:
            now_s: of a clock that only goes forward.
        """
        effects = self._enter(self._trades.retry(now_s), "trades", None, now_ms, "backfill")
        for interval, klines in self._klines.items():
            effects += self._enter(klines.retry(now_s), "klines", interval, now_ms, "backfill")
        return effects

    @property
    def untold(self) -> int:
        """Completeness events that the next `tick` gives."""
        return len(self._ledger)

    def tick(self) -> list[Publish]:
        """The completeness events gathered since the last call; call it about once a second."""
        for interval, event in self._candles.judge(self._trades.awaits):
            self._enter_event(event, "klines", interval, self._bar_ms, self._source)
        return [Publish(LEDGER, message) for message in self._ledger.flush()]

    def _enter(
        self, effects: list[Effect], stream: str, interval: str | None, now_ms: int, source: Source
    ) -> list[Effect]:
        """Enter into the ledger what the effects say of completeness; the rest is for the shell."""
        outward: list[Effect] = []
        for effect in effects:
            if type(effect) is LedgerEvent:
                self._enter_event(effect, stream, interval, now_ms, source)
                continue
            outward.append(effect)
            if type(effect) is Publish:
                if effect.topic == TRADES:
                    self._enter_trade(effect.message)
                elif stream == "klines" and effect.message["closed"]:
                    self._enter_bar(effect.message)
        return outward

    def _enter_trade(self, trade: TradeMessage) -> None:
        trade_id = number_of(trade)
        kinds: tuple[str, ...] = ("expected",)
        if trade["source"] == "backfill":
            kinds = ("expected", "repaired")
            self._candles.receive_filled(trade)
        else:
            self._candles.receive_trade(trade)
        for kind in kinds:
            self._ledger.add(
                kind,
                "trades",
                None,
                trade_id,
                trade_id,
                event_time_ms=trade["trade_time_ms"],
                received_time_ms=trade["received_time_ms"],
                source=trade["source"],
            )

    def _enter_bar(self, kline: KlineMessage) -> None:
        open_time_ms, self._bar_ms = kline["open_time_ms"], kline["received_time_ms"]
        self._candles.receive_bar(kline)
        first, last = kline["first_trade_id"], kline["last_trade_id"]
        if first is not None and last is not None and last - first + 1 == kline["trade_count"] > 0:
            self._trades.counted(first, last)
        for kind in ("expected", "repaired") if kline["source"] == "backfill" else ("expected",):
            self._ledger.add(
                kind,
                "klines",
                kline["interval"],
                open_time_ms,
                open_time_ms,
                event_time_ms=open_time_ms,
                received_time_ms=kline["received_time_ms"],
                source=kline["source"],
            )

    def _enter_event(
        self, event: LedgerEvent, stream: str, interval: str | None, now_ms: int, source: Source
    ) -> None:
        # 0 is no time: nobody knows what came after these trades. Of all dates the ledger takes the earliest.
        time_ms = event.time_ms or None
        if interval is not None and event.time_ms is None:
            time_ms = event.last
        for kind in ("expected", event.kind) if event.kind in _ISSUED_UNSEEN else (event.kind,):
            self._ledger.add(
                kind,
                stream,
                interval,
                event.first,
                event.last,
                event_time_ms=time_ms,
                received_time_ms=now_ms,
                source=source,
                detail=event.detail if kind == event.kind else None,
            )

    def _expect(self, stream: str, interval: str | None, found: FoundRange, now_ms: int) -> None:
        self._ledger.add(
            "expected",
            stream,
            interval,
            found.first,
            found.last,
            event_time_ms=found.last_ms,
            received_time_ms=now_ms,
            source="backfill",
        )


def _standing(known: SeriesBearings, step: int, now_ms: int, now_s: float) -> tuple[int, list[MissingRange]]:
    """Open time of the last bar on the topic, and the bars before it that are not."""
    holes = [_missing(hole, step, now_ms, now_s) for hole in known.missing]
    last = known.last_id
    for found in known.later:
        if found.first > last + step:
            between = OpenHole(last + step, found.first - step, after_ms=found.first)
            holes.append(_missing(between, step, now_ms, now_s))
        last = found.last
    return last, holes


def _missing(hole: OpenHole, step: int, now_ms: int, now_s: float) -> MissingRange:
    """A hole of the progress topic, to be asked for at once."""
    since_s = None if hole.since_ms is None else now_s - (now_ms - hole.since_ms) / 1000
    return MissingRange(
        hole.first // step,
        hole.last // step,
        hole.before_ms,
        hole.after_ms,
        hole.offline,
        hole.asked,
        since_s,
    )
