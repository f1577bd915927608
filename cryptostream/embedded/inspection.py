"""Looks at everything that a run's verdict rests on: the exchange, the ledger, the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from consumers.enrich.quotes import QUOTE_SLOT_MS
from consumers.measurements import BOOK, KLINE, QUOTE, TRADE
from consumers.stores.port import Reader, Row
from cryptostream.embedded.bar_counts import HeldToCounts, Span, look_at_counts
from cryptostream.embedded.evidence import (
    Known,
    Look,
    PriceAges,
    Series,
    State,
    bars_to_ask_for,
    clock,
    look_at_bars,
    look_at_prices,
    look_at_recorded_prices,
    look_at_trades,
    looks_at_uncarried,
)
from cryptostream.embedded.exchange_word import (
    Asking,
    ExchangeWord,
    ask_exchange,
    best_of,
    closed_bars,
    counts_of_bars,
    held_clock,
    last_closed_ms,
    word_of_recording,
)
from cryptostream.embedded.follower import Follower
from cryptostream.embedded.recounting import Counted, recount
from cryptostream.embedded.simulator_link import SimulatorLink
from shared.errors import StoreError
from shared.intervals import INTERVAL_MS

_NS_PER_MS: Final = 1_000_000
_DEPTH: Final = "@depth@100ms"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the run was asked to carry, and where it comes from.

    Attributes:
        recording: the source is a recording: its frames are what there is.
        warm: bars of before the run are fetched.
        bare: symbols of which no trade was stored when the run began.
        bases: of those, the newest trade when an earlier run began to listen.
    """

    exchange: str
    symbols: Sequence[str]
    intervals: Sequence[str]
    rest_url: str
    recording: bool
    warm: bool
    bare: Collection[str] = ()
    bases: Mapping[str, int] = field(default_factory=dict)


class Inspection:
    """Asks when the run begins to listen and when it ends; then looks at all there is."""

    def __init__(
        self,
        asked: Asked,
        follower: Follower,
        open_reader: Callable[[], Reader],
        simulator: SimulatorLink,
    ) -> None:
        self._asked = asked
        self._follower = follower
        self._open_reader = open_reader
        self._simulator = simulator
        # They may never come up: then all since now is missing.
        self._first = Asking((lambda: ExchangeWord(0)) if asked.recording else self._ask)
        # Asked before the producers listen: whatever they have not stored of what came later is missing.
        self._earliest = self._first
        self._listening = False
        self._last: Asking | None = None
        self._newest_ms: int | None = None  # of the events known when it was asked for the last time
        self._stored: dict[Series, int | None] = {}

    def tick(self) -> None:
        """Ask once the producers have begun to listen: what was issued before is not theirs to bring."""
        if self._listening or self._asked.recording:
            return
        if self._follower.metrics("producer") is not None:
            self._listening = True
            self._first = Asking(self._ask, self._first.answer)

    @property
    def bases(self) -> dict[str, int]:
        """After which trade a symbol begins of which none was stored when the run began, where known."""
        word = self._earliest.answer
        newest = {} if self._asked.recording or word is None else word.newest_trades
        return {
            symbol: base
            for symbol in self._asked.bare
            if (base := self._asked.bases.get(symbol, newest.get(symbol))) is not None
        }

    def ask_again(self) -> None:
        """What has been issued up to now has to be there at the end."""
        self._newest_ms = self._follower.newest_ms
        self._last = Asking(self._ask)

    @property
    def answered(self) -> bool:
        return self._last is not None and self._last.answer is not None

    def caught_up(self) -> bool:
        """Whether the ledger has heard of all that the exchange had issued when it was asked."""
        word = self._word
        if word is None:
            return False
        if self._asked.recording or word.problem is not None:
            return True
        trades = all(self._trades(symbol, word).state is State.SEEN for symbol in self._asked.symbols)
        return trades and not any(self._late_bars(series, word) for series in self._bars)

    def looks(self, uptime_s: float) -> tuple[list[Look], str]:
        """Everything, and in words what was looked at. May take a minute for a large store.

        Args:
            uptime_s: for how long the run has stored.
        """
        looks = looks_at_uncarried(self._follower.uncarried)
        word = self._word or ExchangeWord(0, problem="it was not asked")
        prices = PriceAges()
        held: list[HeldToCounts] = []
        if self._asked.recording:
            looks += self._of_recording(word)
        else:
            looks += [self._trades(symbol, word) for symbol in self._asked.symbols]
            looks += self._of_bars(word)
            held = self._of_counts(word)
            looks += [each.look for each in held]
            looks += self._of_prices(word, prices)
        counted = recount(self._open_reader, self._follower.claims(), uptime_s=uptime_s)
        looks += counted.looks
        return looks, self._in_words(word, counted, prices, bars_held=sum(each.bars for each in held))

    # The exchange

    @property
    def _word(self) -> ExchangeWord | None:
        return self._last.answer if self._last is not None else None

    @property
    def _before(self) -> ExchangeWord:
        return self._first.answer or ExchangeWord(0)

    @property
    def _bars(self) -> list[Series]:
        asked = self._asked
        return [
            Series(symbol, "klines", interval) for symbol in asked.symbols for interval in asked.intervals
        ]

    def _ask(self) -> ExchangeWord:
        if self._asked.recording:
            return word_of_recording(self._simulator.state())
        return ask_exchange(self._asked.rest_url, self._asked.symbols)

    def _trades(self, symbol: str, word: ExchangeWord) -> Look:
        series, known = Series(symbol, "trades"), self._known(Series(symbol, "trades"))
        if word.problem is not None and symbol not in word.newest_trades:
            after = "" if known.newest is None else f" after {known.newest}"
            return Look(
                str(series),
                State.UNKNOWN,
                f"unknown{after}: the exchange was asked at the end: {word.problem}",
            )
        before = self._before
        # Without any trade of before, the first one of the run is the first of all.
        first = before.newest_trades.get(symbol, -1) if before.time_ms and not before.problem else None
        bare = symbol in self._asked.bare
        if bare:
            first = self._asked.bases.get(symbol, first)
        return look_at_trades(series, known, first, word.newest_trades.get(symbol), bare=bare)

    def _late_bars(self, series: Series, word: ExchangeWord) -> range:
        time_ms, _ = self._clock(word)
        if time_ms is None:
            return range(0)
        last_ms = last_closed_ms(series.interval, time_ms)
        began_ms = self._before.time_ms or word.time_ms or time_ms
        return bars_to_ask_for(series, self._known(series), began_ms, last_ms, warm=self._asked.warm)

    def _of_bars(self, word: ExchangeWord) -> list[Look]:
        if word.time_ms is None:
            said = f"unknown: the exchange's clock was asked at the end: {word.problem}"
            return [Look(str(series), State.UNKNOWN, said) for series in self._bars]
        looks, silent = [], False
        _, contradiction = self._clock(word)
        if contradiction is not None:
            said = f"unknown: the exchange's clock contradicts itself: {contradiction}"
            looks.append(Look("the end", State.UNKNOWN, said))
        for series in self._bars:
            late = self._late_bars(series, word)
            found: list[int] | None = None
            if late and not silent:
                found = closed_bars(self._asked.rest_url, series, late[0], late[-1])
                silent = found is None
            looks.append(look_at_bars(series, late, found))
        return looks

    def _of_counts(self, word: ExchangeWord) -> list[HeldToCounts]:
        """Whether the trades are as many as the stored bars of the run's time count."""
        began_ms = self._before.time_ms or self._before.asked_ms
        if not began_ms:
            return []  # nobody has listened, which is said elsewhere
        span = Span(began_ms, self._clock(word)[0] or word.asked_ms)
        return [self._counts(symbol, span) for symbol in self._asked.symbols]

    def _counts(self, symbol: str, span: Span) -> HeldToCounts:
        bars = Series(symbol, "klines", self._shortest)

        def counts_of(first_ms: int, last_ms: int) -> dict[int, int] | None:
            return counts_of_bars(self._asked.rest_url, bars, first_ms, last_ms)

        return look_at_counts(self._open_reader, self._asked.exchange, bars, span, counts_of)

    @property
    def _shortest(self) -> str:
        return min(self._asked.intervals, key=INTERVAL_MS.__getitem__)

    def _clock(self, word: ExchangeWord) -> tuple[int | None, str | None]:
        """Up to when bars are expected, and why the exchange's clock is not believed; see `held_clock`."""
        return held_clock(self._before, word, self._newest_ms)

    def _of_prices(self, word: ExchangeWord, prices: PriceAges) -> list[Look]:
        looks = []
        began_ms = self._before.asked_ms or word.asked_ms
        clock_offset_ms = (self._clock(word)[0] or word.asked_ms) - word.asked_ms
        for symbol in self._asked.symbols:
            for stream, measurement, bid, ask, offset_ms in (
                ("quotes", QUOTE.name, "bid_price", "ask_price", 0),
                # A book has the exchange's time.
                ("book", BOOK.name, "bid", "ask", clock_offset_ms),
            ):
                series = Series(symbol, stream)
                row = self._newest_row(measurement, symbol)
                look, age_ms = look_at_prices(
                    series,
                    None if row is None else _time_ms(row),
                    None if row is None else best_of(row.get(bid), row.get(ask)),
                    word.best.get(symbol),
                    began_ms=began_ms + offset_ms,
                    asked_ms=word.asked_ms + offset_ms,
                    answered=word.problem is None,
                )
                prices.add(stream, symbol, age_ms)
                looks.append(look)
        return looks

    # A recording

    def _of_recording(self, word: ExchangeWord) -> list[Look]:
        if word.problem is not None:
            return [Look("the recordings", State.UNKNOWN, f"what was played is unknown: {word.problem}")]
        looks = [
            Look(
                stream, State.MISSING, f"{count:,} recorded frames are nothing to store; see the dead letters"
            )
            for stream, count in word.unreadable.items()
            if self._is_carried(stream)
        ]
        for symbol in self._asked.symbols:
            looks.append(
                look_at_trades(
                    Series(symbol, "trades"),
                    self._known(Series(symbol, "trades")),
                    None,
                    word.newest_trades.get(symbol),
                )
            )
            looks += self._recorded_prices(symbol, word)
        for series in self._bars:
            open_ms, newest = word.newest_bars.get(series), self._known(series).newest
            if open_ms is not None and (newest is None or newest < open_ms):
                has = "there is no word of any" if newest is None else f"the newest known is {newest}"
                said = f"the recording has bars up to open time {open_ms}, {has}"
                looks.append(Look(str(series), State.MISSING, said))
        return looks

    def _recorded_prices(self, symbol: str, word: ExchangeWord) -> list[Look]:
        looks, lower = [], symbol.lower()
        played_ms = word.newest_ms.get(f"{lower}@bookTicker")
        if played_ms is not None:
            row = self._newest_row(QUOTE.name, symbol)
            newest_ms = None if row is None else _time_ms(row)
            looks.append(
                look_at_recorded_prices(Series(symbol, "quotes"), newest_ms, played_ms, QUOTE_SLOT_MS)
            )
        if lower + _DEPTH in word.newest_ms and self._newest_row(BOOK.name, symbol) is None:
            said = "the recording has diffs, the store has no book: no recorded snapshot fits to them"
            looks.append(Look(f"{symbol} book", State.MISSING, said))
        return looks

    def _is_carried(self, stream: str) -> bool:
        symbol, _, kind = stream.partition("@")
        kinds = {"trade", "bookTicker", "depth@100ms", *(f"kline_{name}" for name in self._asked.intervals)}
        return symbol.upper() in self._asked.symbols and kind in kinds

    # The store

    def _known(self, series: Series) -> Known:
        entered = self._follower.entered().get(series)
        if self._asked.recording:
            return Known(entered)  # the store may have another recording of the same symbol
        if series not in self._stored:
            self._stored[series] = self._newest_stored(series)
        return Known(entered, self._stored[series], self._follower.first_trades().get(series))

    def _newest_stored(self, series: Series) -> int | None:
        if series.stream == "trades":
            row = self._newest_row(TRADE.name, series.symbol)
            return None if row is None else int(row["trade_id"] or 0)
        row = self._newest_row(KLINE.name, series.symbol, interval=series.interval)
        return None if row is None else _time_ms(row)

    def _newest_row(self, measurement: str, symbol: str, **tags: str) -> Row | None:
        wanted = {"exchange": self._asked.exchange, "symbol": symbol, **tags}
        try:
            with closing(self._open_reader()) as reader:
                return max(reader.read(measurement, wanted, last=1), key=_time_ms, default=None)
        except StoreError:
            return None  # the recount says what is wrong with the store

    def _in_words(self, word: ExchangeWord, counted: Counted, prices: PriceAges, *, bars_held: int) -> str:
        parts = []
        if self._asked.recording:
            parts.append("every frame that was played")
        elif (time_ms := self._clock(word)[0]) is not None:
            parts.append("trades up to the exchange's newest ids")
            parts.append(f"bars up to {clock(time_ms)} by its clock")
        if bars_held:
            parts.append(f"as many trades as {bars_held:,} bars of {self._shortest} count")
        elif not self._asked.recording:
            # None has closed in a run that short.
            parts.append(f"no bar of {self._shortest} to hold the trades to")
        parts.append(f"{counted.rows:,} of {counted.claimed:,} rows counted in the store")
        return ", ".join([*parts, *prices.in_words()])


def _time_ms(row: Row) -> int:
    return int(row["time_ns"] or 0) // _NS_PER_MS
