"""Bars as exact sums of trades, in integers (BINANCE_SPOT.md §4.5, §5, §9)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.exchange import Span
from simulator.world.calendar import bar_edges, bar_end, bar_open, opens_before
from simulator.world.price_path import MINUTE_MS
from simulator.world.trade_tape import Trades, TradeTape

_HALF: Final = np.int64(2**32 - 1)
_KEPT_BARS: Final = 6_000  # of each interval: 24 h of minutes and several pages of 1,000


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; prices in ticks, base volumes in lots, quote volumes in ticks × lots.

    `first_id` and `last_id` are −1, and all prices the previous close, when nothing was traded.
    """

    open_ms: int
    end_ms: int
    open: int
    high: int
    low: int
    close: int
    base: int
    quote: int
    count: int
    buy_base: int
    buy_quote: int
    first_id: int
    last_id: int


def sum_bars(tape: TradeTape, edges: Sequence[int]) -> list[Bar]:
    """The bars between neighbouring edges (times in ms, ascending)."""
    number = len(edges) - 1
    borders = np.asarray(edges, dtype=np.int64)
    prices = np.zeros((4, number), dtype=np.int64)  # open, high, low, close
    ids = np.full((2, number), -1, dtype=np.int64)  # first, last
    # Sums are kept as upper and lower halves: a busy day of BTC in ticks × lots leaves int64.
    sums = np.zeros((2, 4, number), dtype=np.int64)
    for trades in tape.pieces(edges[0], edges[-1]):
        if len(trades):
            _add(trades, borders, prices, ids, sums)
    before = tape.last_before(edges[0])
    close = int(before.price_ticks[0]) if len(before) else None
    totals = [[(high << 32) + low for high, low in zip(*pair, strict=True)] for pair in _pairs(sums)]
    bars = []
    columns = zip(*prices.tolist(), *ids.tolist(), *totals, strict=True)
    for index, (open_, high, low, last, first_id, last_id, base, quote, buy_base, buy_quote) in enumerate(
        columns
    ):
        begin, end = edges[index], edges[index + 1]
        if first_id >= 0:
            bars.append(Bar(
                begin, end, open_, high, low, last, base, quote,
                last_id - first_id + 1, buy_base, buy_quote, first_id, last_id,
            ))  # fmt: skip
            close = last
        elif close is not None:
            bars.append(flat_bar(begin, end, close))
    return bars


def flat_bar(open_ms: int, end_ms: int, close: int) -> Bar:
    """A bar without trades."""
    return Bar(open_ms, end_ms, close, close, close, close, 0, 0, 0, 0, 0, -1, -1)


def merged(earlier: Bar, later: Bar) -> Bar:
    """The bar over both spans, of which `later` begins where `earlier` ends."""
    if not later.count:
        return _spanning(earlier, earlier, later)
    if not earlier.count:
        return _spanning(later, earlier, later)
    return Bar(
        earlier.open_ms,
        later.end_ms,
        earlier.open,
        max(earlier.high, later.high),
        min(earlier.low, later.low),
        later.close,
        earlier.base + later.base,
        earlier.quote + later.quote,
        earlier.count + later.count,
        earlier.buy_base + later.buy_base,
        earlier.buy_quote + later.buy_quote,
        earlier.first_id,
        later.last_id,
    )


class RunningBars:
    """The open bar of each interval, summed again only from the last full minute on.

    For ascending times; others are correct, too, but slower.
    """

    def __init__(self, tape: TradeTape) -> None:
        self._tape = tape
        self._full_minutes: dict[tuple[int, int], Bar] = {}
        self._newest_open: dict[int, int] = {}

    def at(self, open_ms: int, end_ms: int, time_ms: int) -> Bar:
        """The bar that opened at `open_ms` with all trades up to `time_ms`, inclusive."""
        minute_ms = time_ms - time_ms % MINUTE_MS
        # A bar with a listing has nothing to sum before it.
        from_ms = max(open_ms, self._tape.history_from_ms) if self._tape.listed_anew else open_ms
        if from_ms >= minute_ms:
            bar = sum_bars(self._tape, (from_ms, time_ms + 1))[0]
        else:
            recent = sum_bars(self._tape, (minute_ms, time_ms + 1))[0]
            bar = merged(self._until_minute(from_ms, end_ms, minute_ms), recent)
        return _spanning(bar, flat_bar(open_ms, from_ms, bar.open), flat_bar(from_ms, end_ms, bar.close))

    def _until_minute(self, open_ms: int, end_ms: int, minute_ms: int) -> Bar:
        length = end_ms - open_ms
        known = self._full_minutes.get((length, open_ms))
        if known is not None and known.end_ms <= minute_ms:
            if known.end_ms < minute_ms:
                known = merged(known, sum_bars(self._tape, (known.end_ms, minute_ms))[0])
        else:
            known = sum_bars(self._tape, (open_ms, minute_ms))[0]
        # One open bar of each length is kept; time zones share lengths, so a few of each may alternate.
        for key in [key for key in self._full_minutes if key[0] == length and key[1] + length <= minute_ms]:
            del self._full_minutes[key]
        self._full_minutes[(length, open_ms)] = known
        return known


class BarHistory:
    """Closed bars by interval, computed on first demand; a bounded number of each is kept."""

    def __init__(self, tape: TradeTape) -> None:
        self._tape = tape
        self._running = RunningBars(tape)
        self._kept: dict[tuple[str, int], OrderedDict[int, Bar]] = {}

    def select(self, interval: str, offset_ms: int, span: Span, now_ms: int) -> list[Bar]:
        """Bars whose open time lies in the span, as BINANCE_SPOT.md §7.3 cuts it; the last may be open."""
        start_ms, end_ms, limit = span.start_ms, span.end_ms, span.limit
        newest = bar_open(interval, now_ms if end_ms is None else min(end_ms, now_ms), offset_ms)
        oldest = bar_open(interval, self._tape.history_from_ms + 1, offset_ms)
        if oldest < self._tape.history_from_ms and not self._tape.listed_anew:
            oldest = bar_end(interval, oldest, offset_ms)
        if start_ms is None:
            length = bar_end(interval, newest, offset_ms) - newest
            skipped = self._tape.halts.covered_bars(oldest, length)
            first = max(oldest, opens_before(interval, newest, limit - 1 + skipped, offset_ms))
        else:
            first = max(oldest, bar_open(interval, start_ms, offset_ms))
            if first < start_ms:
                first = bar_end(interval, first, offset_ms)
        opens: list[int] = []
        while first <= newest and (start_ms is None or len(opens) < limit):
            end = bar_end(interval, first, offset_ms)
            # A bar without a moment of trading does not exist (BINANCE_SPOT.md §9).
            if not self._tape.halts.cover(first, min(end, now_ms + 1)):
                opens.append(first)
            first = end
        opens = opens[-limit:]
        if not opens:
            return []
        if bar_end(interval, opens[-1], offset_ms) > now_ms:
            last = opens.pop()
            running = [self._running.at(last, bar_end(interval, last, offset_ms), now_ms)]
        else:
            running = []
        return self._closed(interval, offset_ms, opens) + running

    def over(self, start_ms: int, now_ms: int) -> Bar:
        """The sum of all trades with `start_ms` <= time <= `now_ms`; whole minutes are kept."""
        first = -(-start_ms // MINUTE_MS) * MINUTE_MS
        last = (now_ms + 1) // MINUTE_MS * MINUTE_MS
        if first >= last:
            return sum_bars(self._tape, (start_ms, now_ms + 1))[0]
        parts = self._closed("1m", 0, list(range(first, last, MINUTE_MS)))
        # Before the first trade of a new listing there are no bars.
        if start_ms < first:
            parts = [*sum_bars(self._tape, (start_ms, first)), *parts]
        if last <= now_ms:
            parts += sum_bars(self._tape, (last, now_ms + 1))
        total = parts[0]
        for part in parts[1:]:
            total = merged(total, part)
        return total

    def _closed(self, interval: str, offset_ms: int, opens: list[int]) -> list[Bar]:
        kept = self._kept.setdefault((interval, offset_ms), OrderedDict())
        found: dict[int, Bar] = {open_ms: kept[open_ms] for open_ms in opens if open_ms in kept}
        index = 0
        while index < len(opens):
            if opens[index] in found:
                index += 1
                continue
            first = index
            # Neighbours only: halts leave bars out.
            following = opens[index]
            while index < len(opens) and opens[index] not in found and opens[index] == following:
                following = bar_end(interval, following, offset_ms)
                index += 1
            edges = bar_edges(interval, opens[first], index - first, offset_ms)
            for bar in sum_bars(self._tape, edges):
                found[bar.open_ms] = kept[bar.open_ms] = bar
        while len(kept) > _KEPT_BARS:
            kept.popitem(last=False)
        return [found[open_ms] for open_ms in opens if open_ms in found]


def _add(trades: Trades, borders: np.ndarray, prices: np.ndarray, ids: np.ndarray, sums: np.ndarray) -> None:
    of_bar = np.searchsorted(borders, trades.times_ms, side="right") - 1
    begins = np.flatnonzero(np.diff(of_bar, prepend=-1))
    bars = of_bar[begins]
    ends = np.append(begins[1:], len(of_bar))
    fresh = ids[0, bars] < 0
    price = trades.price_ticks
    highs, lows = np.maximum.reduceat(price, begins), np.minimum.reduceat(price, begins)
    prices[0, bars[fresh]] = price[begins[fresh]]
    ids[0, bars[fresh]] = trades.first_id + begins[fresh]
    prices[1, bars] = np.where(fresh, highs, np.maximum(prices[1, bars], highs))
    prices[2, bars] = np.where(fresh, lows, np.minimum(prices[2, bars], lows))
    prices[3, bars] = price[ends - 1]
    ids[1, bars] = trades.first_id + ends - 1
    quote = price * trades.lots
    taken = ~trades.buyer_is_maker
    for row, amounts in enumerate((trades.lots, quote, trades.lots * taken, quote * taken)):
        total = np.add.reduceat(amounts, begins)
        sums[0, row, bars] += total >> 32
        sums[1, row, bars] += total & _HALF


def _pairs(sums: np.ndarray) -> list[tuple[list[int], list[int]]]:
    return [(sums[0, row].tolist(), sums[1, row].tolist()) for row in range(4)]


def _spanning(bar: Bar, earlier: Bar, later: Bar) -> Bar:
    return Bar(
        earlier.open_ms, later.end_ms, bar.open, bar.high, bar.low, bar.close, bar.base, bar.quote,
        bar.count, bar.buy_base, bar.buy_quote, bar.first_id, bar.last_id,
    )  # fmt: skip
