"""Generated combined-stream frames in the live mix of a busy pair, with contiguous ids."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import orjson

from shared.intervals import INTERVAL_MS

SYMBOL: Final = "BTCUSDT"
INTERVALS: Final = ("1s", "1m", "15m", "1h", "1d")
FIRST_UPDATE_ID: Final = 50_000_000_000
FIRST_TRADE_ID: Final = 3_700_000_000
# The proportions of a recorded ten minutes of BTCUSDT: 73,174 quotes, 19,904 trades, 6,495 diffs.
_QUOTES_PER_DIFF: Final = 11
_TRADES_PER_DIFF: Final = 3
_LEVELS_PER_DIFF: Final = 30
_DIFF_MS: Final = 100
FRAMES_PER_DIFF: Final = _QUOTES_PER_DIFF + _TRADES_PER_DIFF + 1
# Every two seconds, at the pace of the recording.
_DIFFS_PER_OPEN_BAR: Final = 20
# A client takes times of up to 10 s ahead of its clock: all frames come at once.
SPAN_MS: Final = 8_000
# The price in the middle of the book, in ticks of 0.01.
_TICKS: Final = 6_100_000


def frames(
    wanted: int,
    start_ms: int,
    seed: int = 1,
    *,
    symbol: str = SYMBOL,
    intervals: Sequence[str] = INTERVALS,
    aggregated: bool = False,
) -> Iterator[bytes]:
    """`wanted` frames as an exchange would send them: quotes agree with the book, and bars with the trades.

    The first `FRAMES_PER_DIFF` of them end with the first change of the book.

    Args:
        start_ms: of the market, cut to the second; a bar that is open then has no earlier trades. All times
            lie in the `SPAN_MS` after it: those beyond the exchange's clock would be bad input.
        aggregated: trades as events of `aggTrade`, one for each.
    """
    made = 0
    step_us = min(_DIFF_MS * 1_000, SPAN_MS * 1_000 * FRAMES_PER_DIFF // max(1, wanted))
    market = _Market(symbol, intervals, aggregated, random.Random(seed))
    for made, (stream, data) in enumerate(market.events(start_ms, step_us)):
        if made == wanted:
            return
        yield orjson.dumps({"stream": f"{symbol.lower()}@{stream}", "data": data})


def symbols_of(count: int) -> tuple[str, ...]:
    """Names of so many markets; the first is `SYMBOL`."""
    return (SYMBOL, *(f"COIN{number:03}USDT" for number in range(1, count)))


def second_before(start_ms: int, symbol: str = SYMBOL) -> bytes:
    """The closed bar of a second without trades, after which those of `frames` follow."""
    open_ms = start_ms - start_ms % 1_000 - 1_000
    price, zero = _price(_TICKS - 1), _quantity(0)
    bar: dict[str, Any] = {"t": open_ms, "T": open_ms + 999, "s": symbol, "i": "1s", "f": -1, "L": -1, "n": 0}
    bar |= dict.fromkeys("ochl", price) | dict.fromkeys("vqVQ", zero) | {"x": True, "B": "0"}
    data = {"e": "kline", "E": open_ms + 1_000, "s": symbol, "k": bar}
    return orjson.dumps({"stream": f"{symbol.lower()}@kline_1s", "data": data})


def snapshot() -> dict[str, Any]:
    """The REST snapshot that the book of these frames starts from."""
    return {
        "lastUpdateId": FIRST_UPDATE_ID,
        "bids": [[f"{61_000 - step / 100:.8f}", "1.00000000"] for step in range(1, 501)],
        "asks": [[f"{61_000 + step / 100:.8f}", "1.00000000"] for step in range(1, 501)],
    }


class _Market:
    """The market of one symbol."""

    def __init__(
        self, symbol: str, intervals: Sequence[str], aggregated: bool, chance: random.Random
    ) -> None:
        self._symbol = symbol
        self._intervals = intervals
        self._aggregated = aggregated
        self._chance = chance

    def events(self, start_ms: int, step_us: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Streams and their events, without end."""
        chance, symbol = self._chance, self._symbol
        update_id, trade_id, begin_ms = FIRST_UPDATE_ID, FIRST_TRADE_ID, start_ms - start_ms % 1_000
        bars = {interval: _Bar(symbol, interval, begin_ms) for interval in self._intervals}
        for step in count(1):
            now_ms = begin_ms + step * step_us // 1_000
            # A trade is a millisecond old when it is sent.
            for interval in [each for each, bar in bars.items() if now_ms > bar.end_ms]:
                yield f"kline_{interval}", bars[interval].event(bars[interval].end_ms, closed=True)
                bars[interval] = _Bar(symbol, interval, now_ms - 1)
            first, update_id = update_id, update_id + 40
            best = ("", "")
            for number in range(_QUOTES_PER_DIFF):
                best = _quantity(_lots(chance)), _quantity(_lots(chance))
                yield "bookTicker", _quote(symbol, first + number, *best)
            for _ in range(_TRADES_PER_DIFF):
                trade = self._trade(trade_id)
                yield self._sent(trade, now_ms)
                for bar in bars.values():
                    bar.add(trade)
                trade_id += 1
            yield "depth@100ms", _diff(symbol, (first, update_id - 1), now_ms, best, chance)
            if step % _DIFFS_PER_OPEN_BAR == 0:
                for interval, bar in bars.items():
                    yield f"kline_{interval}", bar.event(now_ms, closed=False)

    def _trade(self, trade_id: int) -> _Trade:
        chance = self._chance
        return _Trade(trade_id, _TICKS + chance.randrange(-500, 500), _lots(chance), chance.random() < 0.5)

    def _sent(self, trade: _Trade, now_ms: int) -> tuple[str, dict[str, Any]]:
        if self._aggregated:
            return "aggTrade", trade.aggregate(self._symbol, now_ms)
        return "trade", trade.event(self._symbol, now_ms)


def _price(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02}000000"


def _lots(chance: random.Random) -> int:
    return chance.randrange(1, 500_000)


def _quantity(lots: int) -> str:
    return f"{lots // 100_000}.{lots % 100_000:05}000"


def _turnover(ticks_lots: int) -> str:
    return f"{ticks_lots // 10**7}.{ticks_lots % 10**7:07}0"


def _quote(symbol: str, update_id: int, bid_quantity: str, ask_quantity: str) -> dict[str, Any]:
    return {
        "u": update_id,
        "s": symbol,
        "b": _price(_TICKS - 1),
        "B": bid_quantity,
        "a": _price(_TICKS + 1),
        "A": ask_quantity,
    }


def _diff(
    symbol: str, ids: tuple[int, int], now_ms: int, best: tuple[str, str], chance: random.Random
) -> dict[str, Any]:
    """A change after which the best levels are those of the newest quote."""
    bids, asks = (
        [
            [_price(_TICKS + sign), quantity],
            *(
                [_price(_TICKS + sign * chance.randrange(2, 500)), _quantity(_lots(chance))]
                for _ in range(_LEVELS_PER_DIFF - 1)
            ),
        ]
        for sign, quantity in zip((-1, 1), best, strict=True)
    )
    return {"e": "depthUpdate", "E": now_ms, "s": symbol, "U": ids[0], "u": ids[1], "b": bids, "a": asks}


@dataclass(frozen=True, slots=True)
class _Trade:
    """One trade; prices in ticks of 0.01, quantities in lots of 0.00001."""

    trade_id: int
    ticks: int
    lots: int
    buyer_is_maker: bool

    def event(self, symbol: str, now_ms: int) -> dict[str, Any]:
        return {
            "e": "trade",
            "E": now_ms,
            "s": symbol,
            "t": self.trade_id,
            "p": _price(self.ticks),
            "q": _quantity(self.lots),
            "T": now_ms - 1,
            "m": self.buyer_is_maker,
            "M": True,
        }

    def aggregate(self, symbol: str, now_ms: int) -> dict[str, Any]:
        """An aggregate of this trade alone."""
        event = self.event(symbol, now_ms)
        del event["t"]
        ids = {"a": self.trade_id, "f": self.trade_id, "l": self.trade_id}
        return {**event, "e": "aggTrade", **ids}


class _Bar:
    """The bar of one interval that is open at a time; it has trades by the time that it is sent."""

    def __init__(self, symbol: str, interval: str, now_ms: int) -> None:
        self._symbol = symbol
        self._interval = interval
        self._open_ms = now_ms - now_ms % INTERVAL_MS[interval]
        self.end_ms = self._open_ms + INTERVAL_MS[interval]
        self._first: _Trade | None = None
        self._last: _Trade | None = None
        self._low = self._high = 0
        # Lots and ticks × lots; of all trades, and of those in which the taker bought.
        self._sums = [0, 0]
        self._taker_sums = [0, 0]

    def add(self, trade: _Trade) -> None:
        self._low = trade.ticks if self._first is None else min(self._low, trade.ticks)
        self._high = max(self._high, trade.ticks)
        self._first, self._last = self._first or trade, trade
        for sums in (self._sums,) if trade.buyer_is_maker else (self._sums, self._taker_sums):
            sums[0] += trade.lots
            sums[1] += trade.ticks * trade.lots

    def event(self, now_ms: int, *, closed: bool) -> dict[str, Any]:
        first, last = self._first, self._last
        assert first is not None
        assert last is not None
        bar = {
            "t": self._open_ms,
            "T": self.end_ms - 1,
            "s": self._symbol,
            "i": self._interval,
            "f": first.trade_id,
            "L": last.trade_id,
            "o": _price(first.ticks),
            "c": _price(last.ticks),
            "h": _price(self._high),
            "l": _price(self._low),
            "v": _quantity(self._sums[0]),
            "n": last.trade_id - first.trade_id + 1,
            "x": closed,
            "q": _turnover(self._sums[1]),
            "V": _quantity(self._taker_sums[0]),
            "Q": _turnover(self._taker_sums[1]),
            "B": "0",
        }
        return {"e": "kline", "E": now_ms, "s": self._symbol, "k": bar}
