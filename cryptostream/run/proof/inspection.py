"""Makes all checks of a run: asks the exchange, and compares it with the ledger and the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from consumers.enrich.quotes import QUOTE_PERIOD_MS
from consumers.measurements import BOOK, KLINE, QUOTE, TRADE
from consumers.stores.port import Reader, Row
from cryptostream.run.metrics_tail import MetricsTail
from cryptostream.run.proof.bar_counts import CountCheck, Span, check_counts
from cryptostream.run.proof.checks import (
    KnownIds,
    PriceAges,
    Result,
    Series,
    Status,
    check_bars,
    check_prices,
    check_recorded_prices,
    check_trades,
    check_uncarried,
    overdue_bars,
    utc_text,
)
from cryptostream.run.proof.exchange_state import (
    BackgroundQuery,
    ExchangeState,
    last_closed_ms,
    query_exchange,
    reconciled_clock,
    recording_state,
    trade_counts,
)
from cryptostream.run.proof.recounting import Counted, recount
from cryptostream.run.simulator import SimulatorClient
from producers.exchanges.port import Exchange
from producers.exchanges.rest_port import best_of
from shared.errors import StoreError
from shared.intervals import INTERVAL_MS

_NS_PER_MS: Final = 1_000_000
_DEPTH: Final = "@depth@100ms"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the run had to carry, and its source.

    Attributes:
        recording: the source is a recording.
        warm: earlier bars are fetched for a series without any.
        bare: symbols without a stored trade when the run began.
        bases: of these, the newest trade when an earlier run began to listen.
    """

    exchange: Exchange
    symbols: Sequence[str]
    intervals: Sequence[str]
    rest_url: str
    recording: bool
    warm: bool
    bare: Collection[str] = ()
    bases: Mapping[str, int] = field(default_factory=dict)


class Producers(NamedTuple):
    """What the producers of the exchange say of themselves.

    Attributes:
        metrics: their latest; None before they have begun to listen.
        compared_bars: bars of this run that they have compared with all their trades.
    """

    metrics: Callable[[], Mapping[str, Any] | None]
    compared_bars: Callable[[], int]


class Inspection:
    """Asks the exchange when the run begins to listen and when it ends; then makes the checks."""

    def __init__(
        self,
        asked: Asked,
        metrics_tail: MetricsTail,
        open_reader: Callable[[], Reader],
        simulator: SimulatorClient,
        producers: Producers,
    ) -> None:
        self._asked = asked
        self._exchange = asked.exchange.name
        self._producers = producers
        self._metrics_tail = metrics_tail
        self._open_reader = open_reader
        self._simulator = simulator
        # The producers may never come up: then everything from now on is missing.
        self._first = BackgroundQuery((lambda: ExchangeState(0)) if asked.recording else self._ask)
        # Asked before the producers listen: what they have not stored of later trades is missing.
        self._earliest = self._first
        self._listening = self._late = self._heard = False
        self._last: BackgroundQuery | None = None
        self._newest_ms: int | None = None  # of the events known at the last query
        self._stored: dict[Series, int | None] = {}

    def tick(self) -> None:
        """Ask once the producers listen: what was issued before is not expected of them."""
        metrics = self._producers.metrics()
        if metrics is None or self._asked.recording:
            return
        self._heard = self._heard or metrics["messages"] > 0
        if not self._listening:
            self._listening, self._late = True, self._last is not None
            self._first = BackgroundQuery(self._ask, self._first.answer)

    @property
    def bases(self) -> dict[str, int]:
        """The trade after which each bare symbol begins, if known."""
        state = self._earliest.answer
        newest = {} if self._asked.recording or state is None else state.newest_trades
        return {
            symbol: base
            for symbol in self._asked.bare
            if (base := self._asked.bases.get(symbol, newest.get(symbol))) is not None
        }

    def ask_again(self) -> None:
        """Ask the exchange what it has issued up to now: that must be stored at the end."""
        self._newest_ms = self._metrics_tail.newest_ms(self._exchange)
        self._last = BackgroundQuery(self._ask)

    @property
    def answered(self) -> bool:
        return self._last is not None and self._last.answer is not None

    def caught_up(self) -> bool:
        """Whether the ledger has everything that the exchange had issued when it was asked."""
        state = self._state
        if state is None:
            return False
        if self._asked.recording or state.problem is not None:
            return True
        trades = all(self._trades(symbol, state).status is Status.OK for symbol in self._asked.symbols)
        return trades and not any(self._late_bars(series, state) for series in self._bars)

    def results(self, uptime_s: float) -> tuple[list[Result], str]:
        """All results, and what was checked as text. May take a minute for a large store.

        Args:
            uptime_s: for how long the run has stored.
        """
        results = check_uncarried(self._metrics_tail.uncarried(self._exchange))
        state = self._state or ExchangeState(0, problem="it was not asked")
        prices = PriceAges()
        counts: list[CountCheck] = []
        if self._asked.recording:
            results += self._of_recording(state)
        else:
            results += self._of_streams()
            results += [self._trades(symbol, state) for symbol in self._asked.symbols]
            results += self._of_bars(state)
            counts = self._of_counts(state)
            results += [each.result for each in counts]
            results += self._of_prices(state, prices)
        counted = recount(self._open_reader, self._metrics_tail.claims(self._exchange), uptime_s=uptime_s)
        results += counted.results
        return results, self._checked_text(state, counted, prices, bars=sum(each.bars for each in counts))

    # The exchange

    @property
    def _state(self) -> ExchangeState | None:
        return self._last.answer if self._last is not None else None

    @property
    def _before(self) -> ExchangeState:
        return self._first.answer or ExchangeState(0)

    @property
    def _bars(self) -> list[Series]:
        asked = self._asked
        return [
            Series(symbol, "klines", interval) for symbol in asked.symbols for interval in asked.intervals
        ]

    def _ask(self) -> ExchangeState:
        if self._asked.recording:
            return recording_state(self._simulator.state())
        return query_exchange(self._asked.exchange.audit, self._asked.rest_url, self._asked.symbols)

    def _of_streams(self) -> list[Result]:
        """Where nothing was issued while the producers listened, nothing can be missing: that proves nothing
        of streams that never opened, or opened after the question at the end."""
        self.tick()
        if not self._heard:
            return [Result("streams", Status.UNKNOWN, "unknown: no message has come over any of them")]
        begun = {series.symbol for series in self._metrics_tail.entered(self._exchange)}
        detail = "unknown: its producers listened only after the end, and it has no event"
        silent = [symbol for symbol in self._asked.symbols if symbol not in begun] if self._late else []
        return [Result(symbol, Status.UNKNOWN, detail) for symbol in silent]

    def _trades(self, symbol: str, state: ExchangeState) -> Result:
        series, known = Series(symbol, "trades"), self._known(Series(symbol, "trades"))
        if state.problem is not None and symbol not in state.newest_trades:
            after = "" if known.newest is None else f" after {known.newest}"
            return Result(
                str(series),
                Status.UNKNOWN,
                f"unknown{after}: the exchange was asked at the end: {state.problem}",
            )
        before = self._before
        # Without earlier trades, those of the run begin with the first of all.
        first = before.newest_trades.get(symbol, -1) if before.time_ms and not before.problem else None
        bare = symbol in self._asked.bare
        if bare:
            first = self._asked.bases.get(symbol, first)
        return check_trades(series, known, first, state.newest_trades.get(symbol), bare=bare)

    def _late_bars(self, series: Series, state: ExchangeState) -> range:
        time_ms, _ = self._clock(state)
        if time_ms is None:
            return range(0)
        last_ms = last_closed_ms(series.interval, time_ms)
        began_ms = self._before.time_ms or state.time_ms or time_ms
        warm = self._asked.warm
        if self._asked.exchange.promises.bars.source == "trades":
            # A bar that had begun before the run has trades that need not have been read.
            warm, began_ms = False, began_ms + INTERVAL_MS[series.interval]
        return overdue_bars(series, self._known(series), began_ms, last_ms, warm=warm)

    def _of_bars(self, state: ExchangeState) -> list[Result]:
        if state.time_ms is None:
            detail = f"unknown: the exchange's clock was asked at the end: {state.problem}"
            return [Result(str(series), Status.UNKNOWN, detail) for series in self._bars]
        results, silent = [], False
        _, contradiction = self._clock(state)
        if contradiction is not None:
            detail = f"unknown: the exchange's clock contradicts itself: {contradiction}"
            results.append(Result("the end", Status.UNKNOWN, detail))
        for series in self._bars:
            late = self._late_bars(series, state)
            found: dict[int, int] | None = None
            if late and not silent:
                found = trade_counts(
                    self._asked.exchange.audit, self._asked.rest_url, series, late[0], late[-1]
                )
                silent = found is None
            results.append(check_bars(series, late, None if found is None else list(found)))
        return results

    def _of_counts(self, state: ExchangeState) -> list[CountCheck]:
        """Whether as many trades are stored as the stored bars of the run count."""
        began_ms = self._before.time_ms or self._before.asked_ms
        if not began_ms:
            return []  # the producers never listened, which another check reports
        span = Span(began_ms, self._clock(state)[0] or state.asked_ms)
        return [
            check_counts(
                self._open_reader,
                self._exchange,
                bars,
                span,
                partial(trade_counts, self._asked.exchange.audit, self._asked.rest_url, bars),
            )
            for bars in (Series(symbol, "klines", self._shortest) for symbol in self._asked.symbols)
        ]

    @property
    def _shortest(self) -> str:
        return min(self._asked.intervals, key=INTERVAL_MS.__getitem__)

    def _clock(self, state: ExchangeState) -> tuple[int | None, str | None]:
        """See `reconciled_clock`."""
        return reconciled_clock(self._before, state, self._newest_ms)

    def _of_prices(self, state: ExchangeState, prices: PriceAges) -> list[Result]:
        results = []
        began_ms = self._before.asked_ms or state.asked_ms
        clock_offset_ms = (self._clock(state)[0] or state.asked_ms) - state.asked_ms
        for symbol in self._asked.symbols:
            for stream, measurement, bid, ask, offset_ms in (
                ("quotes", QUOTE.name, "bid_price", "ask_price", 0),
                # A book has the exchange's time.
                ("book", BOOK.name, "bid", "ask", clock_offset_ms),
            ):
                series = Series(symbol, stream)
                row = self._newest_row(measurement, symbol)
                result, age_ms = check_prices(
                    series,
                    None if row is None else _time_ms(row),
                    None if row is None else best_of(row.get(bid), row.get(ask)),
                    state.best.get(symbol),
                    began_ms=began_ms + offset_ms,
                    asked_ms=state.asked_ms + offset_ms,
                    answered=state.problem is None,
                )
                prices.add(stream, symbol, age_ms)
                results.append(result)
        return results

    # A recording

    def _of_recording(self, state: ExchangeState) -> list[Result]:
        if state.problem is not None:
            return [Result("the recordings", Status.UNKNOWN, f"what was played is unknown: {state.problem}")]
        results = [
            Result(
                stream,
                Status.MISSING,
                f"{count:,} recorded frames are nothing to store; see the dead letters",
            )
            for stream, count in state.unreadable.items()
            if self._is_carried(stream)
        ]
        for symbol in self._asked.symbols:
            results.append(
                check_trades(
                    Series(symbol, "trades"),
                    self._known(Series(symbol, "trades")),
                    None,
                    state.newest_trades.get(symbol),
                )
            )
            results += self._recorded_prices(symbol, state)
        for series in self._bars:
            open_ms, newest = state.newest_bars.get(series), self._known(series).newest
            if open_ms is not None and (newest is None or newest < open_ms):
                has = "none is known" if newest is None else f"the newest known is {newest}"
                detail = f"the recording has bars up to open time {open_ms}, {has}"
                results.append(Result(str(series), Status.MISSING, detail))
        return results

    def _recorded_prices(self, symbol: str, state: ExchangeState) -> list[Result]:
        results, lower = [], symbol.lower()
        played_ms = state.newest_ms.get(f"{lower}@bookTicker")
        if played_ms is not None:
            row = self._newest_row(QUOTE.name, symbol)
            newest_ms = None if row is None else _time_ms(row)
            results.append(
                check_recorded_prices(Series(symbol, "quotes"), newest_ms, played_ms, QUOTE_PERIOD_MS)
            )
        if lower + _DEPTH in state.newest_ms and self._newest_row(BOOK.name, symbol) is None:
            detail = "the recording has diffs, the store has no book: no recorded snapshot fits to them"
            results.append(Result(f"{symbol} book", Status.MISSING, detail))
        return results

    def _is_carried(self, stream: str) -> bool:
        symbol, _, kind = stream.partition("@")
        kinds = {"trade", "bookTicker", "depth@100ms", *(f"kline_{name}" for name in self._asked.intervals)}
        return symbol.upper() in self._asked.symbols and kind in kinds

    # The store

    def _known(self, series: Series) -> KnownIds:
        entered = self._metrics_tail.entered(self._exchange).get(series)
        if self._asked.recording:
            return KnownIds(entered)  # the store may have another recording of the same symbol
        if series not in self._stored:
            self._stored[series] = self._newest_stored(series)
        return KnownIds(
            entered, self._stored[series], self._metrics_tail.first_trades(self._exchange).get(series)
        )

    def _newest_stored(self, series: Series) -> int | None:
        if series.stream == "trades":
            row = self._newest_row(TRADE.name, series.symbol)
            return None if row is None else int(row["trade_id"] or 0)
        row = self._newest_row(KLINE.name, series.symbol, interval=series.interval)
        return None if row is None else _time_ms(row)

    def _newest_row(self, measurement: str, symbol: str, **tags: str) -> Row | None:
        wanted = {"exchange": self._exchange, "symbol": symbol, **tags}
        try:
            with closing(self._open_reader()) as reader:
                return max(reader.read(measurement, wanted, last=1), key=_time_ms, default=None)
        except StoreError:
            return None  # the recount reports what is wrong with the store

    def _checked_text(self, state: ExchangeState, counted: Counted, prices: PriceAges, *, bars: int) -> str:
        parts = []
        if self._asked.recording:
            parts.append("every frame that was played")
        elif (time_ms := self._clock(state)[0]) is not None:
            parts.append("trades up to the exchange's newest ids")
            parts.append(f"bars up to {utc_text(time_ms)} by its clock")
        if bars:
            parts.append(f"as many trades as {bars:,} bars of {self._shortest} count")
        elif not self._asked.recording:
            # No bar has closed in so short a run.
            parts.append(f"no bar of {self._shortest} to compare the trades with")
        parts += self._compared_text()
        parts.append(f"{counted.rows:,} of {counted.claimed:,} rows counted in the store")
        return ", ".join([*parts, *prices.in_words()])

    def _compared_text(self) -> list[str]:
        """How many bars are proved beyond the exchange's word; those that we build are sums of trades."""
        if self._asked.exchange.promises.bars.source == "trades":
            return []
        claims = self._metrics_tail.claims(self._exchange).items()
        bars = sum(claim.ids.id_count() for series, claim in claims if series.interval)
        if not bars:
            return []
        compared = min(self._producers.compared_bars(), bars)
        return [f"the values of {compared:,} of {bars:,} bars with those of their trades"]


def _time_ms(row: Row) -> int:
    return int(row["time_ns"] or 0) // _NS_PER_MS
