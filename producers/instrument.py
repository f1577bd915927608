"""One symbol of an exchange: composes the cores of its streams. Each event is one method call that returns
effects. No sockets, clocks or files.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from producers.book_audit import MEAN_INTERVAL_MS
from producers.book_feed import BookFeed
from producers.built_bars import BuiltBars
from producers.candle_audit import CandleAudit
from producers.doubt_report import DoubtReport
from producers.effects import Effect, LedgerEvent, ProbeResult, ProbeStreams, ProveTrades, Publish
from producers.entries import BarEntry, Entries, entry_of
from producers.exchanges.port import Pace, Promises
from producers.exchanges.stream_events import BookUpdate
from producers.halts import Halts
from producers.kline_sequence import KlineSequence
from producers.missing_ids import MissingRange
from producers.named_trades import NamedTrades
from producers.newest_messages import NewestMessages
from producers.next_steps import NextSteps
from producers.read_back import NOTHING_READ, ReadBack
from producers.resumption import bars_start, beyond_progress, missing_of
from producers.silence_probe import GRACE_S, SilenceProbe
from producers.start_positions import OpenHole, StartPosition, klines_series, trades_series
from producers.stream_health import DEPTH, LEDGER_STREAMS, QUOTE, TRADE, Entry, StreamKey, Uncarried
from producers.streamed_book_feed import StreamedBookFeed
from producers.trade_doubt import TradeDoubt
from producers.trade_sequence import TradeSequence
from shared.intervals import interval_ms
from shared.messages import DepthMessage, KlineMessage, TradeMessage
from shared.topics import LEDGER, QUOTES
from shared.trade_ids import EPOCH_SPAN, in_numbering


class Instrument:
    """The streams of one symbol.

    Args:
        book_interval_ms: least time between two messages on `market.book`.
        intervals: of the bars to publish.
        warmup_bars: closed bars to fetch for a series that has none yet.
        promises: whether bars come from the exchange or are built, what proves its book, how trades are
            repaired; None: native bars, a book by update ids, trades by their ids.
        uniform: random numbers on [0, 1) for the times of book audits.
        book_audit_ms: mean time between two of them.
        pace: how often REST may be asked for silent streams.

    Attributes:
        next_steps: what lanes may do, in place of `receive`.
        uncarried_before: what an earlier process entered last, see `StreamHealth`; to be set before `watch`.
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
        promises: Promises | None = None,
    ) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self._warmup_bars = warmup_bars
        self._halts = Halts()
        native = promises is None or promises.bars.source == "native"
        self._built = None if native else BuiltBars(exchange, symbol, intervals)
        intervals = intervals if native else ()
        self._named = NamedTrades()
        self._klines = {
            interval: KlineSequence(symbol, interval, self._halts, self._named) for interval in intervals
        }
        by = None if promises is None else promises.trades
        by_time, by_neighbours = (False, False) if by is None else (by.repair == "time", by.neighbours)
        self._trades = TradeSequence(symbol, self._halts, by_time=by_time, by_neighbours=by_neighbours)
        candles = CandleAudit(intervals)
        self._entries = Entries(
            exchange, symbol, candles, self._trades, klines=self._klines, built=self._built
        )
        self._delivered: deque[BarEntry] = deque()  # not entered yet
        integrity = "ids" if promises is None else promises.book.integrity
        self._book = BookFeed(symbol, book_interval_ms, uniform, book_audit_ms)
        self._streamed: StreamedBookFeed | None = None
        if promises is not None and integrity in ("crc", "counter"):
            self._streamed = StreamedBookFeed(symbol, book_interval_ms, promises.book, promises.quotes)
        self._doubts = DoubtReport()
        self._bar_keys: dict[str, StreamKey] = {interval: ("kline", interval) for interval in intervals}
        self._newest = NewestMessages(dict.fromkeys((*self._bar_keys.values(), TRADE, DEPTH, QUOTE)))
        self._pace = pace
        self.keeps_book = integrity is not None
        self._by_ids = integrity == "ids"
        book = self._book if self._by_ids else None
        self.next_steps = NextSteps(
            symbol, self._newest, self._entries, trades=self._trades, klines=self._klines, book=book
        )
        self._trade_doubt = TradeDoubt()
        self._began_ms: int | None = None
        self._trade_base: int | None = None
        self._forgone = False
        self.uncarried_before: Sequence[Entry] = ()
        self._probe: SilenceProbe | None = None  # from the first `watch` on

    @property
    def uncarried(self) -> list[Uncarried]:
        """The streams that are not carried now."""
        return [] if self._probe is None else self._probe.uncarried

    @property
    def synced(self) -> bool:
        """The local book is exact."""
        return self._book.synced if self._streamed is None else self._streamed.synced

    @property
    def pending_fills(self) -> int:
        """Number of series that await an answer of REST."""
        doubtful = self._trades.doubtful_since_ms is not None
        building = self._built is not None and self._built.filling
        filling = sum(klines.filling for klines in self._klines.values())
        return filling + self._trades.filling + doubtful + building

    @property
    def missing_trades(self) -> int:
        return self._trades.missing

    @property
    def missing_bars(self) -> int:
        """Number of bars passed over, of all intervals."""
        return sum(klines.missing for klines in self._klines.values())

    @property
    def questioned(self) -> int:
        """Number of series with bars that may never have been issued, which REST's next answers decide."""
        return sum(klines.questioned for klines in self._klines.values())

    @property
    def doubtful_trades(self) -> int:
        """Trades held until REST decides whether they are genuine."""
        return self._trades.doubtful

    @property
    def newest_trade(self) -> int | None:
        """The highest number of a trade known; None before the first, and while its numbering is in doubt."""
        doubted = self._trades.suspects or self._trades.doubtful_since_ms is not None
        return None if doubted else self._trades.highest

    @property
    def book_audits(self) -> tuple[int, int]:
        """Number of comparisons with a fresh snapshot, and levels that differed the last time."""
        return self._book.audits, self._book.drift_levels

    @property
    def audited_bars(self) -> tuple[int, int, int]:
        """Closed bars compared with their trades, those of them that differ, and those not compared."""
        return self._entries.candles.audited, self._entries.candles.different, self._entries.candles.unaudited

    @property
    def compared_bars(self) -> int:
        """Closed bars whose values were held to all their trades; see `CandleAudit.compared`."""
        return self._entries.candles.compared

    @property
    def _intervals(self) -> tuple[str, ...]:
        return (*self._klines, *(self._built.intervals if self._built is not None else ()))

    @property
    def status(self) -> str | None:
        """The exchange's newest word, `TRADING` while it is open; None before the first."""
        return self._halts.status

    @property
    def halted(self) -> bool:
        return self._halts.halted

    def begin(
        self,
        start_positions: Mapping[str, StartPosition],
        server_time_ms: int,
        *,
        now_s: float = 0.0,
        read_back: ReadBack = NOTHING_READ,
    ) -> list[Effect]:
        """Start all series.

        Args:
            start_positions: by series name; a series without one is warmed up.
            server_time_ms: the exchange's clock.
            now_s: of a monotonic clock.
            read_back: what the topics have of the last minutes, for the audit of bars.
        """
        effects: list[Effect] = []
        self._began_ms = server_time_ms
        self._entries.candles.begin(server_time_ms)
        for interval, klines in self._klines.items():
            known = start_positions.get(klines_series(self.exchange, self.symbol, interval))
            last_open_time_ms: int | None = None
            holes: list[MissingRange] = []
            if known is not None:
                last_open_time_ms, holes = bars_start(known, interval_ms(interval), server_time_ms, now_s)
            raised = klines.begin(last_open_time_ms, server_time_ms, self._warmup_bars, holes)
            effects += self._entries.enter(raised, "klines", interval, server_time_ms, "backfill")
        if self._built is not None:
            effects += self._built.begin(start_positions, server_time_ms, warm=self._warmup_bars > 0)
        beyond = beyond_progress(start_positions, self.exchange, self.symbol, self._intervals)
        for stream, of, found in beyond:
            self._entries.ledger.expect(stream, of, found, server_time_ms)
        known = start_positions.get(trades_series(self.exchange, self.symbol))
        if known is not None:
            missing = (missing_of(hole, 1, server_time_ms, now_s) for hole in known.missing)
            raised = self._trades.begin(known.last_id, known.later, known.time_ms or 0, missing)
            effects += self._entries.enter(raised, "trades", None, server_time_ms, "backfill")
        if self._built is None:
            self._entries.resume(read_back.of_numbering(self._trades.epoch), server_time_ms)
        else:
            self._built.compare_with(read_back.bars)
        return effects

    @property
    def awaits_trade_base(self) -> bool:
        """It is not known yet after which trade the series begins."""
        return self._trades.awaits_base

    def await_trade_base(self) -> None:
        """Wait for `listen_after` with the trade after which the series begins; call it after `begin`."""
        self._trades.await_base()

    def listen_after(self, trade_id: int, now_ms: int, exchange_ms: int) -> list[Effect]:
        """Take the newest trade issued before the first subscription.

        Args:
            exchange_ms: the exchange's clock, not before the trade's own time.
        """
        if self._entries.source == "replay":
            return []
        self._trade_base = trade_id
        if self._probe is not None:
            self._probe.trade_base = trade_id
        raised = self._trades.listen_after(trade_id, exchange_ms)
        effects = self._entries.enter(raised, "trades", None, now_ms, "backfill")
        if self._built is not None:
            begun = self._built.listen_after(trade_id + self._trades.epoch * EPOCH_SPAN)
            effects += self._entries.enter_built(begun, now_ms)
        return effects

    def open_holes(self, interval: str | None, now_ms: int, now_s: float) -> Iterator[OpenHole]:
        """Missing trades, or missing bars of an interval, in order.

        Args:
            now_ms: the exchange's clock; now_s: of a monotonic clock.
        """
        step = 1 if interval is None else interval_ms(interval)
        if interval is not None and self._built is not None:
            return  # they wait for trades
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
        self._entries.source = source
        if kind == "trade":
            self._newest.put_trade(message, self._trades.highest)
            if source == "replay" and not self._forgone:
                self._forgone = True
                self._trades.forgo_base()
            return self._entries.enter(self._trades.receive(message), "trades", None, received_ms, source)
        if kind == "depth":
            self._newest[DEPTH] = message
            if not self._by_ids:
                return []
            return self._entries.enter(self._book.receive(message), "depth", None, received_ms, source)
        klines = self._klines.get(message["interval"])
        if klines is None:
            return []
        self._newest[self._bar_keys[message["interval"]]] = message
        raised = klines.receive(message)
        return self._entries.enter(raised, "klines", message["interval"], received_ms, source)

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
            exchange_ms: the exchange's clock; None if the streams are not watched.
        """
        if rows and self._probe is not None and exchange_ms is not None:
            self._probe.receive_bars(interval, rows[-1]["close_time_ms"] + 1, now_s, exchange_ms)
        raised = self._klines[interval].receive_rows(first, last, rows, now_s)
        return self._entries.enter(raised, "klines", interval, now_ms, "backfill")

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
        return self._entries.enter(raised, "trades", None, now_ms, "backfill")

    def receive_history(
        self, begin_ms: int, rows: Sequence[TradeMessage] | None, now_ms: int
    ) -> list[Effect]:
        """Take a page of the answer to `ReadTrades`; see `BuiltBars.receive_history`."""
        if self._built is None:
            return []
        # Ids in the numbering that the series is in: the bars see holes to the trades of the stream.
        history = None if rows is None else in_numbering(self._trades.epoch, list[Any](rows))
        events = self._built.receive_history(begin_ms, history, (self._trades.highest or 0, now_ms))
        return self._entries.enter_built(events, now_ms)

    def receive_book(self, update: BookUpdate, connection: object) -> list[Effect]:
        """Take a snapshot or a change of a book that the stream brings whole, on this connection."""
        message = update.message
        self._newest[DEPTH] = message
        if self._streamed is None:
            return []
        effects = self._streamed.receive(update, connection)
        return self._entries.enter(effects, "depth", None, message["received_time_ms"], message["source"])

    def doubt_trades(self) -> None:
        """A frame was lost or could not be read: no clock closes bars until it is known what it had."""
        self._trade_doubt.rise(self._newest[TRADE], self._trades.highest)

    def distrust_book(self, reason: str, connection: object, now_ms: int) -> list[Effect]:
        """Something of the book was lost on a connection."""
        effects = [] if self._streamed is None else self._streamed.distrust(reason, connection)
        return self._entries.enter(effects, "depth", None, now_ms, self._entries.source)

    def refuse_book(self, reason: str, connection: object, now_ms: int) -> list[Effect]:
        """The exchange refuses the subscription of the book on a connection."""
        effects = [] if self._streamed is None else self._streamed.refused(reason, connection)
        return self._entries.enter(effects, "depth", None, now_ms, self._entries.source)

    def awaits_book(self, connection: object) -> bool:
        """Whether a book that `Resubscribe` asks for on a connection has not come yet."""
        return self._streamed is not None and self._streamed.awaits_snapshot(connection)

    def receive_newest_trades(self, rows: Sequence[TradeMessage], now_ms: int) -> list[Effect]:
        """Take the answer to `AskNewestTrades`; no rows if REST does not answer now."""
        epoch, since_ms = self._trades.epoch, self._trades.doubtful_since_ms
        raised = self._trades.receive_newest(rows)
        if self._trades.epoch != epoch:
            # Bars name the exchange's ids, which now belong to other trades.
            self._entries.candles.begin_anew()
            self._named.forget()
        self._report_doubtful(since_ms, now_ms)
        return self._entries.enter(raised, "trades", None, now_ms, self._entries.source)

    def _report_doubtful(self, since_ms: int | None, now_ms: int, *, ended: bool = False) -> None:
        """Enter, after a delay and then once a minute, that trades are held because they are doubtful."""
        over = self._trades.doubtful_since_ms is None
        event = self._doubts.report(since_ms, now_ms, self._trades.doubtful, over=over, ended=ended)
        if event is not None:
            self._entries.ledger.enter(event, "trades", None, now_ms, self._entries.source)

    def end(self, now_ms: int, exchange_ms: int) -> None:
        """The streams have ended: the next `tick` gives what is still missing or unknown."""
        self._report_doubtful(self._trades.doubtful_since_ms, now_ms, ended=True)
        if self._entries.source == "replay":
            return
        for interval, klines in self._klines.items():
            self._entries.enter(klines.conclude(), "klines", interval, now_ms, self._entries.source)
        if self._probe is not None:
            self._probe.conclude(exchange_ms)
            self._act_on(self._probe, now_ms)
        self._entries.enter(self._trades.conclude(), "trades", None, now_ms, self._entries.source)
        if self._built is not None:
            self._entries.enter_built(self._built.conclude(), now_ms)

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
        return self._entries.enter(raised, "trades", None, now_ms, "backfill")

    def receive_audit_snapshot(self, snapshot: DepthMessage | None, now_ms: int) -> list[Effect]:
        """Take the answer to `AuditBook`; None without one."""
        effects = self._book.receive_audit_snapshot(snapshot)
        return self._entries.enter(effects, "depth", None, now_ms, self._entries.source)

    def receive_snapshot(self, snapshot: DepthMessage | None, now_ms: int) -> list[Effect]:
        """Take the answer to `FetchSnapshot`; None without one."""
        effects = self._book.receive_snapshot(snapshot)
        return self._entries.enter(effects, "depth", None, now_ms, self._entries.source)

    def receive_status(self, status: str, now_ms: int) -> None:
        """Take the symbol's status of exchangeInfo."""
        self._halts.receive_status(status, now_ms)

    def receive_recorded_halts(self, spans: Sequence[tuple[int, int]]) -> None:
        """Take when a recorded exchange was closed: first and last millisecond of each span, in order."""
        self._halts.receive_recorded(spans)

    def disconnected(self, reason: str, now_ms: int) -> list[Effect]:
        """The connection has ended."""
        self._trade_doubt.cut(self._newest[TRADE], self._trades.highest)
        if not self.keeps_book:
            return []
        lose = self._book.lose if self._streamed is None else self._streamed.lose
        return self._entries.enter(lose(reason), "depth", None, now_ms, self._entries.source)

    def reopened(self, now_s: float) -> None:
        """The streams are read from a new connection."""
        self._trade_doubt.reopened()
        if self._probe is not None:
            self._probe.reopened(now_s)

    def follow(self, connection: object, now_ms: int) -> list[Effect]:
        """Only this connection is read from now on."""
        effects = [] if self._streamed is None else self._streamed.follow(connection)
        return self._entries.enter(effects, "depth", None, now_ms, self._entries.source)

    def ended(self, connection: object, now_ms: int, *, cut: bool) -> list[Effect]:
        """One of two connections has ended.

        Args:
            cut: the other one does not carry all streams yet.
        """
        if cut:
            self._trade_doubt.cut(self._newest[TRADE], self._trades.highest)
        effects = [] if self._streamed is None else self._streamed.ended(connection)
        return self._entries.enter(effects, "depth", None, now_ms, self._entries.source)

    def watch(
        self,
        now_s: float,
        exchange_ms: int,
        now_ms: int,
        trouble: str = "",
        *,
        brought_to_ms: int | None = None,
    ) -> list[Effect]:
        """Notice data that the exchange has and did not send; call it once a second, while subscribed.

        Args:
            now_s: of a monotonic clock.
            exchange_ms: the exchange's clock.
            trouble: the connection's last error.
            brought_to_ms: the exchange's time up to which the stream has brought all; None: it is not read.
        """
        if self._entries.source == "replay":
            return []
        probe = self._probe
        if probe is None:
            began_ms = exchange_ms if self._began_ms is None else self._began_ms
            of = self._newest, now_s, began_ms, self._pace
            probe = self._probe = SilenceProbe(*of, book_ids=self._by_ids, before=self.uncarried_before)
            probe.trade_base = self._trade_base
            if brought_to_ms is not None:
                probe.reopened(now_s)  # not the connection of which an earlier process had the proof
        probe.check_return(self._trades.complete_to, now_s, exchange_ms)
        effects = probe.tick(now_s, exchange_ms, self._book.best, closed=self.halted, trouble=trouble)
        for interval, klines in self._klines.items():
            if probe.health.silence_s(self._bar_keys[interval], now_s) >= GRACE_S:
                raised = klines.tick(exchange_ms)
                effects += self._entries.enter(raised, "klines", interval, now_ms, "backfill")
        if self._streamed is not None and brought_to_ms is not None:
            ticked = self._streamed.tick(now_s)
            effects += self._entries.enter(ticked, "depth", None, now_ms, self._entries.source)
        if any(type(effect) is ProbeStreams and effect.trades for effect in effects):
            self._trade_doubt.asks(now_s)
        return effects + self._act_on(probe, now_ms) + self._tick_built(brought_to_ms, now_ms, now_s)

    def _tick_built(self, brought_to_ms: int | None, now_ms: int, now_s: float) -> list[Effect]:
        """Close bars by the clock, as far as the stream is known to have brought the trades.

        After an outage it is known only once a trade has shown how many are missing, or REST has none newer.
        """
        if self._built is None:
            return []
        doubted = self._trade_doubt.holds(self._newest[TRADE], self._trades.highest, now_s)
        # While trades are doubtful, or only their ids are known, nobody knows how many the bars lack.
        carried = self._trades.settled and all(each.stream != TRADE for each in self.uncarried)
        carried_ms = brought_to_ms if carried and not doubted else None
        events = self._built.tick(carried_ms, now_ms, self._trades.awaits)
        return self._entries.enter_built(events, now_ms)

    def _act_on(self, probe: SilenceProbe, now_ms: int) -> list[Effect]:
        """Fetch trades that a stream did not bring, and mark a book that is not carried unsynced."""
        effects: list[Effect] = []
        issued, probe.issued = probe.issued, None
        if issued is not None:
            if probe.trade_base is not None:
                self._trades.begin_after(probe.trade_base)
            effects += self._entries.enter(self._trades.issued(*issued), "trades", None, now_ms, "backfill")
        later, probe.later_bar = probe.later_bar, None
        if later is not None:
            effects += self._entries.enter(
                self._trades.counted_later(later), "trades", None, now_ms, "backfill"
            )
        lost, probe.lost_book = probe.lost_book, None
        if lost is not None:
            effects += self._entries.enter(self._book.lose(lost), "depth", None, now_ms, self._entries.source)
        for (kind, interval), since_ms, until_ms, detail in probe.health.take_entries():
            event = LedgerEvent("uncarried", since_ms, until_ms, until_ms, detail)
            self._entries.ledger.enter(event, LEDGER_STREAMS[kind], interval, now_ms, self._entries.source)
        return effects

    def receive_probe(self, result: ProbeResult, now_s: float, exchange_ms: int) -> None:
        """Take the answer to `ProbeStreams`; the next `watch` acts on it."""
        if self._probe is not None:
            self._probe.receive_probe(result, now_s, exchange_ms)
        known = self._trades.complete_to
        if known is not None and result.newest_trade is not None and result.newest_trade <= known:
            self._trade_doubt.clear()

    def last_probe(self, now_s: float, exchange_ms: int, now_ms: int) -> list[Effect]:
        """The streams have ended: fetch data that they did not bring."""
        if self._probe is None or self._entries.source == "replay":
            return []
        effects: list[Effect] = []
        for interval, klines in self._klines.items():
            raised = klines.last_tick(exchange_ms)
            effects += self._entries.enter(raised, "klines", interval, now_ms, "backfill")
        effects += self._probe.last_probe(now_s)
        return effects + self._act_on(self._probe, now_ms)

    def stop(self, now_ms: int) -> None:
        """The producer stops: the last entry of each series, after which the ledger expects no more.

        Args:
            now_ms: the exchange's clock.
        """
        self._entries.ledger.stop(self._intervals, now_ms, self._entries.source)

    def retry(self, now_ms: int, now_s: float) -> list[Effect]:
        """Ask REST again for what is due; call it about once a second, with a monotonic clock."""
        effects = self._entries.enter(self._trades.retry(now_s), "trades", None, now_ms, "backfill")
        for interval, klines in self._klines.items():
            effects += self._entries.enter(klines.retry(now_s), "klines", interval, now_ms, "backfill")
        return effects

    @property
    def pending_events(self) -> int:
        """Number of completeness events that the next `tick` gives."""
        return len(self._entries.ledger)

    def entry_when_delivered(self, effect: Publish) -> BarEntry | None:
        """What `delivered` is to be told once Kafka has the record; None: nothing."""
        if effect.progress_id is None or not effect.message.get("closed", False):
            return None
        return entry_of(effect.message) if self._entries.awaits_delivery(effect.message) else None

    def delivered(self, bar: BarEntry) -> None:
        """Kafka has a bar of `entry_when_delivered`. Called from any thread."""
        self._delivered.append(bar)

    def tick(self) -> list[Publish]:
        """The completeness events gathered since the last call; call it about once a second."""
        while self._delivered:
            self._entries.expect_bar(self._delivered.popleft())
        for interval, event in self._entries.candles.check(self._trades.awaits):
            self._entries.ledger.enter(event, "klines", interval, self._entries.bar_ms, self._entries.source)
        return [Publish(LEDGER, message) for message in self._entries.ledger.flush()]
