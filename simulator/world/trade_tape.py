"""Every trade of one symbol, past and future, as a pure function of (seed, start, symbol, rate, time).

Three regions, with contiguous ids across them:

* thin: from `history_from_ms` on, exactly one trade a minute;
* dense: from two days before the UTC day of the start, at the instrument's own pace;
* live: from the minute of the start on, that pace times the rate.

A minute's trades are drawn at once and never depend on another minute's; ids come from prefix sums of counts.
Trades drawn for a halt are left out, and ids continue after it without a gap.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.world.halts import Halts
from simulator.world.hashing import Int64s, hash_array, hash_key, scaled
from simulator.world.instruments import Instrument
from simulator.world.price_path import MINUTE_MS, SLOT_MS, PricePath

_DAY_MS: Final = 86_400_000
_DENSE_DAYS: Final = 2
_THIN_DAYS: Final = 1_460
# A minute holds at most 2**24 trades: the counter of a draw is minute * 2**24 + position.
_POSITION_BITS: Final = 24
_CACHED_MINUTES: Final = 8


@dataclass(frozen=True, slots=True)
class Trades:
    """Consecutive trades as columns, in id order.

    Attributes:
        first_id: id of the first one; ids are contiguous.
        buyer_is_maker: True where the aggressor sold.
    """

    first_id: int
    times_ms: Int64s
    price_ticks: Int64s
    lots: Int64s
    buyer_is_maker: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.times_ms)

    def part(self, begin: int, end: int) -> Trades:
        """The trades at positions `begin` to `end`, exclusive."""
        return Trades(
            self.first_id + begin,
            self.times_ms[begin:end],
            self.price_ticks[begin:end],
            self.lots[begin:end],
            self.buyer_is_maker[begin:end],
        )


class TradeTape:
    """All trades of one symbol. Thread-safe for two threads.

    Args:
        listed_ms: history begins with the minute of this time, and ids at 1; halts leave out the part of that
            minute before it. None: history goes back for years.
    """

    def __init__(
        self,
        instrument: Instrument,
        seed: int,
        start_ms: int,
        rate: float,
        halts: Halts | None = None,
        *,
        listed_ms: int | None = None,
    ) -> None:
        symbol = instrument.symbol
        dense_from_ms = start_ms - start_ms % _DAY_MS - _DENSE_DAYS * _DAY_MS
        self.history_from_ms = dense_from_ms - _THIN_DAYS * _DAY_MS
        self.path = PricePath(seed, symbol, instrument.base_price_ticks)
        self.first_id = 1_000_000_000 + hash_key(seed, symbol, "first trade id") % 4_000_000_000
        # Then the short bar with the listing exists, too.
        self.listed_anew = listed_ms is not None
        if listed_ms is not None:
            dense_from_ms = self.history_from_ms = listed_ms - listed_ms % MINUTE_MS
            self.first_id = 1
        self.halts = halts or Halts()
        self._instrument = instrument
        self._thin_from = self.history_from_ms // MINUTE_MS
        self._dense_from = dense_from_ms // MINUTE_MS
        self._live_from = start_ms // MINUTE_MS
        self._rate = rate
        self._count_key = hash_key(seed, symbol, "trade counts")
        self._time_key = hash_key(seed, symbol, "trade times")
        self._size_key = hash_key(seed, symbol, "trade sizes")
        self._lock = threading.Lock()
        # Trades in the dense region before each of its minutes.
        self._counts_before = np.zeros(1, dtype=np.int64)
        self._minutes: OrderedDict[int, Trades] = OrderedDict()

    def id_at_minute(self, minute: int) -> int:
        """Id of the first trade at or after a minute (minutes since the epoch)."""
        if minute <= self._dense_from:
            return self.first_id + max(0, minute - self._thin_from)
        index = minute - self._dense_from
        return self.first_id + (self._dense_from - self._thin_from) + int(self._prefix(index)[index])

    def minute_of_id(self, trade_id: int) -> int:
        """The minute that holds a trade id; the first one for ids before history."""
        position = trade_id - self.first_id
        thin = self._dense_from - self._thin_from
        if position < thin:
            return self._thin_from + max(0, position)
        position -= thin
        index = 1440
        while int(self._prefix(index)[index]) <= position:
            index *= 2
        return self._dense_from + int(np.searchsorted(self._prefix(index), position, side="right")) - 1

    def minute(self, minute: int) -> Trades:
        """The trades of one minute; the last few are kept."""
        with self._lock:
            found = self._minutes.get(minute)
            if found is not None:
                self._minutes.move_to_end(minute)
                return found
        made = self._draw(minute, minute + 1)
        with self._lock:
            self._minutes[minute] = made
            while len(self._minutes) > _CACHED_MINUTES:
                self._minutes.popitem(last=False)
        return made

    def between(self, from_ms: int, until_ms: int) -> Trades:
        """Trades with `from_ms` <= time < `until_ms`, drawn at once: for spans that fit in memory."""
        from_ms = max(from_ms, self.history_from_ms)
        if until_ms <= from_ms:
            return self._none()
        first, last = from_ms // MINUTE_MS, (until_ms - 1) // MINUTE_MS
        trades = self.minute(first) if first == last else self._draw(first, last + 1)
        begin, end = np.searchsorted(trades.times_ms, (from_ms, until_ms))
        return trades.part(int(begin), int(end))

    def pieces(self, from_ms: int, until_ms: int, most: int = 400_000) -> Iterator[Trades]:
        """`between` in pieces of about `most` trades (one minute at least), in order."""
        from_ms = max(from_ms, self.history_from_ms)
        while from_ms < until_ms:
            minute = from_ms // MINUTE_MS
            beyond = max(minute + 1, self.minute_of_id(self.id_at_minute(minute) + most))
            end = min(until_ms, beyond * MINUTE_MS)
            yield self.between(from_ms, end)
            from_ms = end

    def last_before(self, time_ms: int) -> Trades:
        """The newest trade before a time, as columns of one; empty at the beginning of history."""
        minute = time_ms // MINUTE_MS
        while minute >= self._thin_from:
            trades = self.minute(minute)
            end = int(np.searchsorted(trades.times_ms, time_ms))
            if end:
                return trades.part(end - 1, end)
            # Every minute has a trade, but for halts.
            minute -= 1
        return self._none()

    def by_id(self, first_id: int, count: int, until_ms: int) -> Trades:
        """Up to `count` trades from `first_id` on that are not later than `until_ms`."""
        first_id = max(first_id, self.first_id)
        end_id = min(first_id + count, self.id_after(until_ms))
        if end_id <= first_id:
            return self._none()
        first, last = self.minute_of_id(first_id), self.minute_of_id(end_id - 1)
        trades = self.minute(first) if first == last else self._draw(first, last + 1)
        return trades.part(first_id - trades.first_id, end_id - trades.first_id)

    def id_after(self, time_ms: int) -> int:
        """Id of the first trade later than `time_ms`."""
        if time_ms < self.history_from_ms:
            return self.first_id
        trades = self.minute(time_ms // MINUTE_MS)
        return trades.first_id + int(np.searchsorted(trades.times_ms, time_ms, side="right"))

    def _none(self) -> Trades:
        return self.minute(self._thin_from).part(0, 0)

    def _prefix(self, index: int) -> Int64s:
        with self._lock:
            known = self._counts_before
            if index < len(known):
                return known
            beyond = max(index + 1, len(known) + 1440)
            first = self._dense_from + len(known) - 1
            counts = self._kept_counts(np.arange(first, self._dense_from + beyond - 1, dtype=np.int64))
            self._counts_before = np.concatenate((known, known[-1] + np.cumsum(counts)))
            return self._counts_before

    def _dense_counts(self, minutes: Int64s) -> Int64s:
        # 40 % to 160 % of the pace; one at least, so that `last_before` never searches far.
        percent = scaled(hash_array(self._count_key, minutes), 121) + 40
        usual = self._instrument.trades_per_minute
        pace = np.where(minutes >= self._live_from, max(1, round(usual * self._rate)), usual)
        return np.maximum(pace * percent // 100, 1)

    def _kept_counts(self, minutes: Int64s) -> Int64s:
        counts = self._dense_counts(minutes)
        if self.halts:
            for index, minute in enumerate(minutes.tolist()):
                if self.halts.touches_minute(minute):
                    times = self._times(*self._counters(minutes[index : index + 1]))
                    counts[index] = int(self.halts.live(times).sum())
        return counts

    def _counters(self, minutes: Int64s) -> tuple[Int64s, Int64s]:
        """For each trade drawn in these dense minutes: its minute, and the counter of its draws."""
        counts = self._dense_counts(minutes)
        of_minute = np.repeat(minutes, counts)
        begins = np.repeat(np.cumsum(counts) - counts, counts)
        return of_minute, (of_minute << _POSITION_BITS) + np.arange(len(of_minute), dtype=np.int64) - begins

    def _times(self, of_minute: Int64s, counters: Int64s) -> Int64s:
        times = of_minute * MINUTE_MS + scaled(hash_array(self._time_key, counters), MINUTE_MS)
        times.sort()  # minutes are disjoint and ascending: each keeps its own
        return times

    def _draw(self, first: int, end: int) -> Trades:
        first = max(first, self._thin_from)
        if end <= first:
            return self._empty(first)
        middle = min(max(first, self._dense_from), end)
        parts = []
        if first < middle:
            parts.append(self._draw_region(first, middle, thin=True))
        if middle < end:
            parts.append(self._draw_region(middle, end, thin=False))
        if len(parts) == 1:
            return parts[0]
        return Trades(
            parts[0].first_id,
            *(
                np.concatenate([getattr(part, column) for part in parts])
                for column in ("times_ms", "price_ticks", "lots", "buyer_is_maker")
            ),
        )

    def _empty(self, minute: int) -> Trades:
        none = np.zeros(0, dtype=np.int64)
        return Trades(self.id_at_minute(minute), none, none, none, none.astype(np.bool_))

    def _draw_region(self, first: int, end: int, *, thin: bool) -> Trades:
        minutes = np.arange(first, end, dtype=np.int64)
        if thin:
            of_minute, counters = minutes, minutes << _POSITION_BITS
        else:
            of_minute, counters = self._counters(minutes)
        times = self._times(of_minute, counters)
        if self.halts:
            kept = self.halts.live(times)
            times, counters = times[kept], counters[kept]
            if not len(times):
                return self._empty(first)
        draws = hash_array(self._size_key, counters)
        buyer_is_maker = (draws & np.uint64(1)).astype(np.bool_)
        # Sizes double with probability one half, six times at most: few large trades among many small.
        tail = ((draws >> np.uint64(1)) & np.uint64(63)).astype(np.int64)
        doublings = _TRAILING_ONES[tail]
        lots = (1 + scaled(draws, 2 * self._instrument.typical_lots)) << doublings
        # A trade hits the book of the last full slot, so that quotes and trades agree.
        slots = times - times % SLOT_MS
        prices = self.path.bid_ticks(slots, fine=not thin)
        spread = self.path.spread_ticks(slots)
        prices += np.where(buyer_is_maker, 0, spread)
        return Trades(self.id_at_minute(first), times, prices, lots, buyer_is_maker)


_TRAILING_ONES: Final = np.array([(~n & (n + 1)).bit_length() - 1 for n in range(64)], dtype=np.int64)
