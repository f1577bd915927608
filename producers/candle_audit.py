"""Compares candles built from our trades with the exchange's closed bars (BINANCE_SPOT.md §5, laws 2–6, 11).

The shortest interval, 1s or 1m, is built from the trades whose ids the bar names; minutes are built from
seconds, longer intervals from minutes. A bar with unknown trades is unaudited. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Context, Decimal, InvalidOperation, localcontext
from itertools import compress
from operator import mul
from typing import Any, Final, NamedTuple

from producers.effects import LedgerEvent
from shared.intervals import INTERVAL_MS
from shared.messages import TRADES_SAY, KlineMessage, TradeMessage
from shared.trade_ids import split

# Trades kept for bars that are open or wait for a repair: 30 MB.
MAX_TRADES: Final = 100_000
# Bars that wait: a quarter of an hour of seconds.
MAX_BARS: Final = 1_000
_MINUTE_MS: Final = 60_000
_MINUTES: Final = 1_500  # a day, the longest interval, and some
# A day's sums of products with 16 decimals stay exact.
_EXACT: Final = Context(prec=60)
# Prices and volumes come with 8 decimals (BINANCE_SPOT.md §4.1).
_SMALLEST: Final = Decimal("0.00000001")
# How far the exchange's clock may be from trade times.
_CLOCK_MS: Final = 10_000
# After so long without a process the trades of the time between are not kept: 30 MB are soon full.
_LONGEST_AWAY_MS: Final = 300_000


class Candle(NamedTuple):
    """A bar built from trades, in the contract's names. Without trades its prices are the previous close;
    None where that is unknown."""

    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    base_volume: Decimal
    quote_volume: Decimal
    trade_count: int
    taker_buy_base_volume: Decimal
    taker_buy_quote_volume: Decimal


Trade = tuple[str, str, bool]  # price, quantity, whether the buyer is the maker


class KnownTrade(NamedTuple):
    """A trade that an earlier process published."""

    number: int
    time_ms: int
    trade: Trade


def audited_intervals(intervals: Collection[str]) -> tuple[str, ...]:
    """The shortest interval if its bars are built from trades, and the minute that is built from it."""
    return tuple(interval for interval in ("1s", "1m") if interval in intervals)


def candle_of(trades: Iterable[Trade]) -> Candle:
    """The exact candle of at least one trade, in the order of ids."""
    prices_text, quantities_text, makers = zip(*trades, strict=True)
    prices, quantities = list(map(Decimal, prices_text)), list(map(Decimal, quantities_text))
    quotes = list(map(mul, prices, quantities))
    zero = Decimal(0)
    base_volume, quote_volume = sum(quantities, zero), sum(quotes, zero)
    return Candle(
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        base_volume,
        quote_volume,
        len(prices),
        base_volume - sum(compress(quantities, makers), zero),
        quote_volume - sum(compress(quotes, makers), zero),
    )


def flat_candle(close: Decimal | None) -> Candle:
    """A bar without trades after one that closed at `close`."""
    zero = Decimal(0)
    return Candle(close, close, close, close, zero, zero, 0, zero, zero)


def joined(candles: Sequence[Candle]) -> Candle:
    """The candle over at least one neighbouring candle."""
    traded = [candle for candle in candles if candle.trade_count]
    if not traded:
        return candles[0]
    zero = Decimal(0)
    return Candle(
        traded[0].open,
        max(candle.high for candle in traded if candle.high is not None),
        min(candle.low for candle in traded if candle.low is not None),
        traded[-1].close,
        sum((candle.base_volume for candle in traded), zero),
        sum((candle.quote_volume for candle in traded), zero),
        sum(candle.trade_count for candle in traded),
        sum((candle.taker_buy_base_volume for candle in traded), zero),
        sum((candle.taker_buy_quote_volume for candle in traded), zero),
    )


def differences(kline: KlineMessage, candle: Candle, *, rounded: bool = False) -> list[str]:
    """Fields in which the candle differs from the bar, like `close 1.23`.

    Args:
        rounded: price × quantity has more than 8 decimals, so the exchange rounds each product.
    """
    bar: Any = kline
    found: list[str] = []
    for name, value in zip(Candle._fields, candle, strict=True):
        if value is None:
            continue
        deviation = abs(Decimal(bar[name]) - value)
        allowed = candle.trade_count * _SMALLEST if rounded and "quote" in name else 0
        if deviation > allowed:
            found.append(f"{name} {value:f}" if type(value) is Decimal else f"{name} {value}")
    return found


def is_as_said(kline: KlineMessage, detail: str) -> bool:
    """Whether a bar has the values of its trades, by the detail of the event that named those that differed.

    What is said of ids, as of trades that are in no bar, no values can settle.
    """
    bar: Any = kline
    for said in detail.removeprefix(TRADES_SAY).split("; "):
        name, _, value = said.partition(" ")
        if name not in Candle._fields:
            return False
        # The exchange may round each product.
        allowed = kline["trade_count"] * _SMALLEST if "quote" in name else 0
        try:
            if abs(Decimal(bar[name]) - Decimal(value)) > allowed:
                return False
        except InvalidOperation:
            return False  # a detail that is none of ours proves nothing
    return True


class CandleAudit:
    """All intervals of one symbol.

    Attributes:
        audited: bars compared with their trades, those that differ included.
        different: bars that differ from their trades.
        unaudited: bars with unknown trades.
        compared: those of this process that were audited with, for certain, all trades of their time.
    """

    def __init__(self, intervals: Sequence[str]) -> None:
        self._base = next(iter(audited_intervals(intervals)), None)
        # Since the last `check`, with their ids.
        self._recent: deque[tuple[int, Trade]] = deque(maxlen=MAX_TRADES)
        self._trades: dict[int, Trade] = {}  # by id, in no bar yet
        self._bars: deque[KlineMessage] = deque()  # of the base interval, in order
        self._longer: deque[KlineMessage] = deque()
        self._seconds: list[Candle | None] = []  # of the minute that is being built
        self._minutes: dict[int, Candle | None] = {}  # by open time
        self._known = True  # all trades of the minute that is being built
        self._unknown: set[int] = set()  # minutes of which nothing proves that these were all trades
        self._next_id: int | None = None  # first trade id after the bars checked, if known
        self._certain = False  # the newest of them was equal to its trades, so it ended where it says
        self._next_ms = -1  # open time of the next base bar
        self._close: Decimal | None = None
        self._rounded = False
        # Filled trades below these belong to no bar to come: those of a long hole would take 30 MB.
        self._lowest_id = 0
        self._earliest_ms = 0
        self._away_ms = (0, 0)  # nor are those of this time kept: no process ran, for long
        self._resumed_ms: dict[str, int] = {}  # newest bar of an earlier process, by interval
        self.audited = self.different = self.unaudited = self.compared = 0

    def begin(self, exchange_ms: int) -> None:
        """The streams are subscribed from now on; earlier bars come over REST, without trade ids."""
        if self._base is not None:
            open_ms = exchange_ms - _CLOCK_MS
            self._earliest_ms = open_ms - open_ms % INTERVAL_MS[self._base]

    def resume(self, trades: Sequence[KnownTrade], bars: Sequence[KlineMessage]) -> None:
        """Take what earlier processes published last, after `begin` and before anything of this one.

        The bars are compared again; the first has no known one before it, so no trade is held against it that
        is older. Bars to come continue their ids, unless nothing ran for long.

        Args:
            trades: of the present numbering.
            bars: each once, in the order of open times.
        """
        if self._base is None or not (trades or bars):
            return
        for known in trades:
            self.note_trade(split(known.number)[1], known.trade)
        for bar in bars:
            self._resumed_ms[bar["interval"]] = bar["open_time_ms"]
            self.receive_bar(bar)
        times_ms = [known.time_ms for known in trades]
        begin_ms = min([*times_ms, *(bar["open_time_ms"] for bar in bars)])
        end_ms = max([*times_ms, *(bar["close_time_ms"] for bar in bars)])
        if self._earliest_ms - end_ms > _LONGEST_AWAY_MS:
            self._away_ms = end_ms + _CLOCK_MS, self._earliest_ms
        self._earliest_ms = min(begin_ms, self._earliest_ms)

    def receive_trade(self, trade: TradeMessage) -> None:
        """Take a published trade of the stream, in any order."""
        self.note_trade(trade["trade_id"], (trade["price"], trade["quantity"], trade["buyer_is_maker"]))

    def note_trade(self, trade_id: int, trade: Trade) -> None:
        """As `receive_trade`, of a trade that is no message."""
        # Only this for every trade of a busy market; the rest once a second.
        self._recent.append((trade_id, trade))

    def receive_filled(self, trade: TradeMessage) -> None:
        """Take a published trade of REST, in any order."""
        if trade["trade_id"] >= self._lowest_id and self._keeps(trade["trade_time_ms"]):
            self.receive_trade(trade)

    def receive_bar(self, kline: KlineMessage) -> None:
        """Take a published closed bar; those of one interval come in order."""
        interval = kline["interval"]
        if self._base is None or INTERVAL_MS[interval] < INTERVAL_MS[self._base]:
            self.unaudited += 1
            return
        waiting = self._bars if interval == self._base else self._longer
        waiting.append(kline)

    def _keeps(self, time_ms: int) -> bool:
        since_ms, until_ms = self._away_ms
        return time_ms >= self._earliest_ms and not since_ms <= time_ms < until_ms

    def begin_anew(self) -> None:
        """The exchange's trade ids begin anew: trades under old ids say nothing about later bars.

        Nor do bars say of which numbering their ids are: those that wait stay unaudited.
        """
        self.unaudited += len(self._bars)
        self._bars.clear()
        self._recent.clear()
        self._trades.clear()
        self._forget_ids()
        self._lowest_id = 0

    def check(self, awaits: Callable[[int, int], bool]) -> list[tuple[str, LedgerEvent]]:
        """Compare the bars whose trades are complete; call it about once a second.

        Args:
            awaits: whether some of a range of trade ids may still come.

        Returns:
            (interval, event) for each bar that differs from its trades.
        """
        events: list[tuple[str, LedgerEvent]] = []
        if self._base is not None:
            self._trades.update(self._recent)
        self._recent.clear()
        with localcontext(_EXACT):
            while self._bars:
                full = len(self._bars) > MAX_BARS or len(self._trades) > MAX_TRADES
                if not full and self._waits(self._bars[0], awaits):
                    break
                self._check_base(self._bars.popleft(), events)
            self._check_longer(events)
        if len(self._trades) > MAX_TRADES:
            # No bar holds them: bars have stopped, or short ones are not subscribed.
            for trade_id in sorted(self._trades)[: len(self._trades) - MAX_TRADES // 2]:
                del self._trades[trade_id]
        return events

    def _ids_of(self, kline: KlineMessage) -> tuple[int, int] | None:
        """First and last trade id of a bar with trades; None if unknown."""
        first, last = kline["first_trade_id"], kline["last_trade_id"]
        if first is None or last is None:
            # REST omits trade ids, but they continue those of the previous bar (law 2).
            open_ms = kline["open_time_ms"]
            if not self._certain or open_ms != self._next_ms or not self._keeps(open_ms):
                return None
            assert self._next_id is not None
            first, last = self._next_id, self._next_id + kline["trade_count"] - 1
        return (first, last) if first >= 0 and 0 <= last - first < MAX_TRADES else None

    def _waits(self, kline: KlineMessage, awaits: Callable[[int, int], bool]) -> bool:
        ids = self._ids_of(kline) if kline["trade_count"] else None
        return ids is not None and awaits(*ids)

    def _check_base(self, kline: KlineMessage, events: list[tuple[str, LedgerEvent]]) -> None:
        open_time, step = kline["open_time_ms"], INTERVAL_MS[kline["interval"]]
        if open_time != self._next_ms:
            self._forget_ids()
            self._close = None
            self._seconds.clear()  # those of another minute would be counted into this one
        candle: Candle | None = None
        if not kline["trade_count"] or kline["first_trade_id"] == -1:
            # Without trades by its count or by its ids; if these disagree, one of them is wrong.
            candle = flat_candle(self._close)
            found = differences(kline, candle)
            # Without a known bar before nothing tells that no trade was issued, nor at which price.
            known = self._next_id is not None and self._close is not None
            self._certain = self._certain and not found
            self._enter(kline, found, events, known=known)
        elif (ids := self._ids_of(kline)) is None:
            known = False
            self._forget_ids()
            self.unaudited += 1
        else:
            candle = self._check_trades(kline, *ids, events)
            known = candle is not None
        self._close = candle.close if candle is not None else None
        self._next_ms = open_time + step
        self._gather(open_time, step, candle, known=known)

    def _check_trades(
        self, kline: KlineMessage, first: int, last: int, events: list[tuple[str, LedgerEvent]]
    ) -> Candle | None:
        stray = self._drop_before(first)
        expected_id, self._next_id = self._next_id, last + 1
        self._lowest_id = last + 1
        trades = [self._trades.pop(trade_id, None) for trade_id in range(first, last + 1)]
        known = [trade for trade in trades if trade is not None]
        found = (
            [f"trades {stray[0]} to {stray[-1]} are in no bar"] if stray and expected_id is not None else []
        )
        if expected_id is not None and first < expected_id:
            found.append(f"trades up to {expected_id - 1} are in the bar before")
        candle = candle_of(known) if len(known) == len(trades) else None
        if candle is not None:
            wrong = differences(kline, candle, rounded=self._rounded)
            if not self._rounded and any("quote" in name for name in wrong) and _is_rounded(known):
                self._rounded = True
                wrong = differences(kline, candle, rounded=True)
            found += wrong
        if candle is None and not found:
            self.unaudited += 1
        else:
            self._enter(kline, found, events, known=candle is not None)
        self._certain = candle is not None and not found
        if not self._certain and kline["last_trade_id"] is None:
            self._forget_ids()  # by its own count it may have ended elsewhere: later bars are not held to it
        return candle

    def _forget_ids(self) -> None:
        self._next_id, self._certain = None, False

    def _drop_before(self, first: int) -> list[int]:
        """Remove and return the trades before `first` that are in no bar."""
        if first == self._next_id:
            return []
        stray = sorted(trade_id for trade_id in self._trades if trade_id < first)
        for trade_id in stray:
            del self._trades[trade_id]
        return stray

    def _gather(self, open_time: int, step: int, candle: Candle | None, *, known: bool) -> None:
        """Keep the candle for the intervals that are built from it."""
        minute = open_time - open_time % _MINUTE_MS
        if open_time == minute:
            self._seconds.clear()
            self._known = True
        self._seconds.append(candle)
        self._known = self._known and known
        if self._next_ms % _MINUTE_MS == 0:
            parts = [part for part in self._seconds if part is not None]
            self._minutes[minute] = joined(parts) if len(parts) == _MINUTE_MS // step else None
            if not self._known:
                self._unknown.add(minute)
            if len(self._minutes) > _MINUTES:
                oldest = next(iter(self._minutes))
                del self._minutes[oldest]
                self._unknown.discard(oldest)

    def _check_longer(self, events: list[tuple[str, LedgerEvent]]) -> None:
        waiting: deque[KlineMessage] = deque()
        while self._longer:
            kline = self._longer.popleft()
            first, end = kline["open_time_ms"], kline["close_time_ms"] + 1
            if end > self._next_ms and len(self._longer) + len(waiting) < MAX_BARS:
                waiting.append(kline)
                continue
            minutes = [self._minutes.get(minute) for minute in range(first, end, _MINUTE_MS)]
            parts = [minute for minute in minutes if minute is not None]
            if len(parts) < len(minutes):
                self.unaudited += 1
            else:
                known = self._unknown.isdisjoint(range(first, end, _MINUTE_MS))
                found = differences(kline, joined(parts), rounded=self._rounded)
                self._enter(kline, found, events, known=known)
        self._longer = waiting

    def _enter(
        self,
        kline: KlineMessage,
        found: list[str],
        events: list[tuple[str, LedgerEvent]],
        *,
        known: bool,
    ) -> None:
        self.audited += 1
        if known and kline["open_time_ms"] > self._resumed_ms.get(kline["interval"], -1):
            self.compared += 1
        if found:
            self.different += 1
            open_time = kline["open_time_ms"]
            detail = f"{TRADES_SAY}{'; '.join(found)}"
            events.append((kline["interval"], LedgerEvent("revised", open_time, open_time, detail=detail)))


def _is_rounded(trades: Iterable[Trade]) -> bool:
    return any(Decimal(price) * Decimal(quantity) % _SMALLEST for price, quantity, _ in trades)
