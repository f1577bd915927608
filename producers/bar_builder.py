"""Bars of an exchange that has none of its own, or none that say when they are final: built from its trades.

Seconds are summed up from trades, minutes from seconds, longer bars from minutes: exactly, and whatever the
order in which trades come, since the lowest id opens a bar and the highest one closes it. Pure.

A bar is final when a later trade, or the exchange's clock and a grace, has passed its end *and no trade below
is missing*. A hole of trades holds all bars from its begin on, until it is filled, or settled: what was never
issued is missed by no bar; what is lost leaves the bars that it may have belonged to `Unproved`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple

from producers.bar_sums import EXACT, Series, Sum, sum_of
from shared.intervals import INTERVAL_MS
from shared.messages import KlineMessage, Source, TradeMessage
from shared.models import SCHEMA_VERSION
from shared.trade_ids import EPOCH_SPAN, number_of, split

# A trade of the stream comes within a second: Coinbase sends batches of 250 ms.
GRACE_MS: Final = 2_000
# Bars wait for holes that long, about 10 MB; then the oldest hole counts as lost.
MOST_SECONDS: Final = 21_600
MOST_HOLES: Final = 1_000
# Bars of one call: after a night the first trade would give a bar for each second of it at once.
MOST_PASSED_MS: Final = 3_600_000

_SECOND: Final = 1_000
_MINUTE: Final = 60_000
_PLACES: Final = 20
_SMALLEST: Final = Decimal(1).scaleb(-_PLACES)


class FinalBar(NamedTuple):
    """A bar that no trade can change any more, in order for each interval; flat if it has no trade."""

    bar: KlineMessage


class RevisedBar(NamedTuple):
    """A final bar with a trade that came after its end had passed, by clock and grace."""

    bar: KlineMessage
    trade_id: int


class Unproved(NamedTuple):
    """Bars, given as final or not, that have or may have trades which are not in them.

    Or that are flat, and have or may have the price of such a trade. They are not given again.
    Open times `first` to `last`, both inclusive.
    """

    interval: str
    first: int
    last: int


BarEffect = FinalBar | RevisedBar | Unproved


class Hole(NamedTuple):
    """Trades `first` to `last` are missing; the trades beside them are of these times."""

    first: int
    last: int
    before_ms: int
    after_ms: int


class BarBuilder:
    """The bars of one symbol, of all intervals.

    Args:
        exchange, symbol: of the messages.
        intervals: those to publish.
        grace_ms: how long after its end, by the exchange's clock, a bar waits for its trades.
    """

    def __init__(
        self, exchange: str, symbol: str, intervals: Sequence[str], *, grace_ms: int = GRACE_MS
    ) -> None:
        self._exchange, self._symbol, self._grace_ms = exchange, symbol, grace_ms
        self._wanted = frozenset(intervals)
        longer = sorted(
            (name for name in self._wanted if INTERVAL_MS[name] > _MINUTE), key=INTERVAL_MS.__getitem__
        )
        self._seconds, self._minutes = Series("1s"), Series("1m")
        self._longer = [Series(name) for name in longer]
        self._all = [self._seconds, self._minutes, *self._longer]
        self._newest: int | None = None  # highest number known
        self._newest_ms = 0
        self._holes: list[Hole] = []
        self._passed_ms = 0  # all bars up to here are final
        self._clock_ms = 0
        self._source: Source = "stream"
        self._received_ms = 0

    @property
    def holes(self) -> Sequence[Hole]:
        """Missing trades, in order."""
        return tuple(self._holes)

    @property
    def final_to_ms(self) -> int:
        """All bars that end here or before are final."""
        return self._passed_ms

    def begin_ms(self, interval: str) -> int:
        """The first bar of which all trades are known."""
        return next(each.begin for each in self._all if each.interval == interval)

    def waiting(self, interval: str) -> tuple[int, int] | None:
        """Open times, both inclusive, of bars that are over and wait for missing trades; None without any."""
        if not self._holes:
            return None
        series = next(each for each in self._all if each.interval == interval)
        over_ms = max(self._newest_ms, self._clock_ms - self._grace_ms)
        last = over_ms - over_ms % series.step - series.step
        return (series.next, last) if last >= series.next else None

    def begin(self, last_id: int, last_ms: int, complete_from_ms: int, last_price: str | None = None) -> None:
        """Start after a trade, with all trades from `complete_from_ms` on to come.

        Bars that began before have trades that are not known here: they are not built.

        Args:
            last_id: number (`shared.trade_ids`) of the newest trade not to be received.
            last_ms: its time.
            last_price: its price; without one, bars before the first trade are left out.
        """
        self._newest, self._newest_ms = last_id, last_ms
        self._begin_at(complete_from_ms)
        if last_price is not None:
            self.precede(last_id, last_ms, last_price)

    def precede(self, number: int, time_ms: int, price: str) -> None:
        """Take the price of a trade from before `begin`, which may be that of the first flat bars.

        Times may be out of the order of ids: it need not be that of the newest one.
        """
        self._newest_ms = max(self._newest_ms, time_ms)
        for series in self._all:
            series.precede(series.bar_of(time_ms), number, price)

    def _begin_at(self, time_ms: int) -> None:
        self._passed_ms = -(-time_ms // _SECOND) * _SECOND
        for series in self._all:
            series.begin = series.next = -(-time_ms // series.step) * series.step

    def receive(self, trade: TradeMessage) -> list[BarEffect]:
        """Take a trade that is published, in any order; one that is known changes nothing."""
        number, time_ms = number_of(trade), trade["trade_time_ms"]
        self._source, self._received_ms = trade["source"], trade["received_time_ms"]
        if self._newest is None:
            # Without `begin` nobody knows what came before in its second.
            self.begin(number, time_ms, time_ms + 1, trade["price"])
            return []
        if number > self._newest:
            self._pass_over(number - 1, max(time_ms, self._newest_ms))
            self._newest, self._newest_ms = number, max(time_ms, self._newest_ms)
        elif not self._fill(number, time_ms):
            return []
        part = sum_of(trade, number)
        effects: list[BarEffect] = []
        if time_ms < self._passed_ms:
            effects += self._take_late(time_ms, part)
        else:
            self._seconds.add(time_ms, part)
        while len(self._holes) > MOST_HOLES or (self._holes and len(self._seconds.sums) > MOST_SECONDS):
            effects += self.lost(self._holes[0].first, self._holes[0].last)
        return effects + self._advance()

    def issued(self, number: int, time_ms: int) -> None:
        """There are trades up to this number, issued by `time_ms`: those that are not known are missing."""
        if self._newest is not None and number > self._newest:
            self._pass_over(number, max(time_ms, self._newest_ms))
            self._newest = number

    def _pass_over(self, last: int, after_ms: int) -> None:
        """Note what is missing up to a number."""
        newest, (epoch, _) = self._newest or 0, split(last)
        # The end of a numbering is unknown; the next one counts from 1, as exchanges do.
        first = newest + 1 if split(newest)[0] == epoch else epoch * EPOCH_SPAN + 1
        if first <= last:
            self._holes.append(Hole(first, last, self._newest_ms, after_ms))

    def tick(self, exchange_ms: int, received_ms: int) -> list[BarEffect]:
        """The exchange's clock has come to `exchange_ms`, and the stream is known to be carried."""
        self._clock_ms = max(self._clock_ms, exchange_ms)
        self._received_ms = max(self._received_ms, received_ms)
        return self._advance()

    def never_issued(self, first: int, last: int) -> list[BarEffect]:
        """The exchange has no trades of these numbers: no bar waits for them any more."""
        self._settle(first, last)
        return self._advance()

    def lost(self, first: int, last: int) -> list[BarEffect]:
        """These trades exist and cannot be had: bars that they may belong to are not built.

        The clock may have closed some of them before a later trade showed that these are missing.
        """
        effects: list[BarEffect] = []
        for hole in self._settle(first, last):
            for series in self._all:
                between = series.bar_of(hole.before_ms), series.bar_of(hole.after_ms)
                effects += self._unproved(series, *series.doubt(*between, hole.last))
        return effects + self._advance()

    def running(self, interval: str, received_ms: int) -> KlineMessage | None:
        """The bar that is open now, as far as its trades are known; None without a trade in it."""
        series = next(each for each in self._all if each.interval == interval)
        open_ms = self._newest_ms - self._newest_ms % series.step
        parts = [
            part
            for each in self._all
            if each.step <= series.step and (each.step <= _MINUTE or each is series)
            for time_ms, part in each.sums.items()
            if open_ms <= time_ms < open_ms + series.step
        ]
        if not parts or open_ms < series.next:
            return None
        whole = parts[0].copy()
        for part in parts[1:]:
            whole.add(part)
        self._received_ms = max(self._received_ms, received_ms)
        return self._message(series, open_ms, whole, closed=False)

    def _fill(self, number: int, time_ms: int) -> bool:
        """Whether the trade was missing; its time narrows where the others of its hole lie."""
        at = bisect_right(self._holes, number, key=_first_of) - 1
        if at < 0 or number > self._holes[at].last:
            return False
        hole = self._holes[at]
        between_ms = min(max(time_ms, hole.before_ms), hole.after_ms)
        parts = (
            Hole(hole.first, number - 1, hole.before_ms, between_ms),
            Hole(number + 1, hole.last, between_ms, hole.after_ms),
        )
        self._holes[at : at + 1] = [part for part in parts if part.first <= part.last]
        return True

    def _settle(self, first: int, last: int) -> list[Hole]:
        """The parts of holes within these numbers, which are no longer awaited."""
        settled: list[Hole] = []
        kept: list[Hole] = []
        for hole in self._holes:
            low, high = max(first, hole.first), min(last, hole.last)
            if low > high:
                kept.append(hole)
                continue
            settled.append(hole._replace(first=low, last=high))
            parts = (hole._replace(last=low - 1), hole._replace(first=high + 1))
            kept += [part for part in parts if part.first <= part.last]
        self._holes = kept
        return settled

    def _advance(self) -> list[BarEffect]:
        """Make final what no trade can change any more."""
        if self._newest is None:
            return []
        passed_ms = self._complete_to_ms()
        passed_ms = min(passed_ms - passed_ms % _SECOND, self._passed_ms + MOST_PASSED_MS)
        if passed_ms <= self._passed_ms:
            return []
        self._passed_ms = passed_ms
        effects = self._finish(self._seconds, (self._minutes,), passed_ms)
        effects += self._finish(self._minutes, self._longer, passed_ms)
        for series in self._longer:
            effects += self._finish(series, (), passed_ms)
        return effects

    def _complete_to_ms(self) -> int:
        """Up to when all trades are known: to the first hole, or else to the newest trade or the clock."""
        if self._holes:
            return self._holes[0].before_ms
        return max(self._newest_ms, self._clock_ms - self._grace_ms)

    def _finish(self, series: Series, into: Sequence[Series], passed_ms: int) -> list[BarEffect]:
        """Make the bars of a series final that end by `passed_ms`, and add them to the longer ones."""
        end_ms = passed_ms - passed_ms % series.step
        done = sorted(open_ms for open_ms in series.sums if open_ms + series.step <= end_ms)
        parts = {open_ms: series.sums.pop(open_ms) for open_ms in done}
        for open_ms, part in parts.items():
            for longer in into:
                longer.add(open_ms, part)
            if open_ms < series.begin:
                # Not built, but the flat bars after it have its price: before any of them is given.
                series.precede(open_ms, part.last_id, part.close)
        effects: list[BarEffect] = []
        wanted = series.interval in self._wanted
        for open_ms in range(series.next, end_ms, series.step) if wanted else done:
            whole = parts.get(open_ms) if open_ms >= series.begin else None
            if whole is not None:
                series.finish(open_ms, whole)
            if wanted:
                effects += self._published(series, open_ms, whole)
        series.advance(end_ms)
        return effects

    def _published(self, series: Series, open_ms: int, part: Sum | None) -> list[BarEffect]:
        """A bar that becomes final, a flat one without trades."""
        if series.doubts(open_ms, flat=part is None):
            return self._unproved(series, open_ms, open_ms)
        if part is not None:
            return [FinalBar(self._message(series, open_ms, part, closed=True))]
        if series.close is None:
            return []
        series.price_flat(open_ms, series.close)
        return [FinalBar(self._message(series, open_ms, None, closed=True, close=series.close))]

    def _unproved(self, series: Series, first_ms: int, last_ms: int) -> list[BarEffect]:
        """These bars, as far as they are wanted and not known to be unproved."""
        if series.interval not in self._wanted:
            return []
        return [Unproved(series.interval, *span) for span in series.disprove(first_ms, last_ms)]

    def _take_late(self, time_ms: int, part: Sum) -> list[BarEffect]:
        """Add a late trade to the bars that are final, and to the first longer ones that are not."""
        effects: list[BarEffect] = []
        for series in self._all:
            open_ms = time_ms - time_ms % series.step
            if open_ms < series.next:
                effects += self._revise(series, open_ms, part)
                continue
            series.add(time_ms, part)
            if series is self._minutes:
                break  # longer ones get it from this one
        return effects

    def _revise(self, series: Series, open_ms: int, part: Sum) -> list[BarEffect]:
        """The bar with a late trade, and the flat ones after it, which repeat its closing price."""
        number = part.last_id
        was = series.close
        if open_ms < series.begin:
            # Not built, but flat bars after it have its price.
            if not series.precede(open_ms, number, part.close):
                return []
            return self._flatten(series, series.begin, part, was)
        effects: list[BarEffect] = []
        if open_ms < series.oldest_remembered:
            effects += self._unproved(series, open_ms, open_ms)
            # Bars wait for missing trades: a late one has a higher number than those it was closed with.
            closed = series.closed_in(open_ms) and series.closed_after(open_ms, number)
            closes = not closed and number > series.late_in(open_ms)
        else:
            known = series.final.get(open_ms)
            if known is None:
                known = series.final[open_ms] = part.copy()
            else:
                known.add(part)
            closes = known.last_id == number
            if series.interval in self._wanted and series.proved(open_ms):
                effects.append(RevisedBar(self._message(series, open_ms, known, closed=True), number))
        series.trade_in(open_ms)
        series.note_late(open_ms, number)
        if closes:
            effects += self._flatten(series, open_ms + series.step, part, was)
            series.close_with(open_ms, number, part.close)
        return effects

    def _flatten(self, series: Series, first_ms: int, late: Sum, was: str | None) -> list[BarEffect]:
        """Give the price before them to final bars without trades, up to the first with some.

        Those that are too old to be corrected are unproved.

        Args:
            late: the trade with that price.
            was: the price that flat bars had so far if there is none with trades after them.
        """
        end_ms = series.flat_to(first_ms)
        if end_ms == series.next and was == late.close:
            return []
        oldest_ms = min(series.oldest_remembered, end_ms)
        effects = self._unproved(series, first_ms, oldest_ms - series.step)
        if series.interval not in self._wanted:
            return effects
        for flat_ms in range(max(first_ms, oldest_ms), end_ms, series.step):
            if series.price_flat(flat_ms, late.close) and series.proved(flat_ms):
                flat = self._message(series, flat_ms, None, closed=True, close=late.close)
                effects.append(RevisedBar(flat, late.last_id))
        return effects

    def _message(
        self, series: Series, open_ms: int, part: Sum | None, *, closed: bool, close: str = ""
    ) -> KlineMessage:
        ids = (-1, -1) if part is None else (split(part.first_id)[1], split(part.last_id)[1])
        zero = Decimal(0)
        return {
            "schema": SCHEMA_VERSION,
            "exchange": self._exchange,
            "symbol": self._symbol,
            "event_time_ms": open_ms + series.step if closed else self._newest_ms,
            "received_time_ms": self._received_ms,
            "source": self._source,
            "interval": series.interval,
            "open_time_ms": open_ms,
            "close_time_ms": open_ms + series.step - 1,
            "open": close if part is None else part.open,
            "high": close if part is None else part.high,
            "low": close if part is None else part.low,
            "close": close if part is None else part.close,
            "base_volume": _text(zero if part is None else part.base),
            "quote_volume": _text(zero if part is None else part.quote),
            "trade_count": 0 if part is None else part.count,
            "taker_buy_base_volume": _text(zero if part is None else part.taker_base),
            "taker_buy_quote_volume": _text(zero if part is None else part.taker_quote),
            "first_trade_id": ids[0],
            "last_trade_id": ids[1],
            "closed": closed,
        }


def _first_of(hole: Hole) -> int:
    return hole.first


def _text(value: Decimal) -> str:
    """A sum as the contract has it, rounded only beyond the twentieth place."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_PLACES:
        value = value.quantize(_SMALLEST, ROUND_HALF_EVEN, EXACT)
    return format(value, "f")
