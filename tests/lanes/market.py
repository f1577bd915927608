"""Frames of one symbol as Binance writes them, with the troubles of a day. Seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

import orjson

from shared.intervals import INTERVAL_MS

SYMBOL: Final = "FUZZUSDC"
INTERVALS: Final = ("1s", "1m")
BEGIN_MS: Final = 1_785_767_100_000  # a full minute
# Of a trade, in one of so many frames.
_TROUBLE: Final = 200
_TICKS: Final = 10_000


class Market:
    """
    Attributes:
        now_ms: the exchange's clock.
        update_id: the newest one issued.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.now_ms = BEGIN_MS
        self.update_id = 5_000
        self._trade_id = 1_000_000
        self._bars = dict.fromkeys(INTERVALS, BEGIN_MS)
        self._first_trade = dict.fromkeys(INTERVALS, self._trade_id)

    def frames(self) -> Iterator[bytes]:
        """Without end."""
        while True:
            events = [self._quote(), self._quote(), self._trade(), self._diff(), *self._bar_events()]
            self.now_ms += self._chance.choice((0, 0, 0, 1, 1, 20, 20, 100))
            for stream, event in events:
                yield from self._troubled(stream, event)

    def _troubled(self, stream: str, event: dict[str, Any]) -> Iterator[bytes]:
        """The frame, or what a bad day makes of it."""
        frame = {"stream": f"{SYMBOL.lower()}@{stream}", "data": event}
        match self._chance.randrange(_TROUBLE):
            case 0:
                return  # lost
            case 1:
                yield orjson.dumps(frame)  # comes twice
            case 2:
                yield orjson.dumps({**frame, "receivedTime": self.now_ms})
                return
            case 3 if stream == "trade" and self._chance.random() < 0.005:
                self._trade_id = 0  # ids begin anew
            case 4 if stream.startswith("depth"):
                event["b"] = [[_price(2 * _TICKS), "1.00000000"]]  # crossed
            case 5 if stream.startswith("depth") and self._chance.random() < 0.1:
                self.update_id = 100
        yield orjson.dumps(frame)

    def _quantity(self) -> str:
        lots = self._chance.choice((1, 10, 999, self._chance.randrange(1, 10**8)))
        return f"{lots // 10**5}.{lots % 10**5:05}000"

    def _quote(self) -> tuple[str, dict[str, Any]]:
        bid, ask = (_TICKS - 1, self._quantity()), (_TICKS + 1, self._quantity())
        quote = {"u": self.update_id, "s": SYMBOL, "b": _price(bid[0]), "B": bid[1]}
        quote |= {"a": _price(ask[0]), "A": ask[1]}
        if self._chance.random() < 0.01:
            quote |= {"a": "0.00000000", "A": "0.00000000"}
        return "bookTicker", quote

    def _trade(self) -> tuple[str, dict[str, Any]]:
        self._trade_id += 1
        late_ms = self._chance.choice((0, 0, 1, 5, 700_000 if self._chance.random() < 0.01 else 2))
        event = {"e": "trade", "E": self.now_ms, "s": SYMBOL, "t": self._trade_id}
        event |= {"p": _price(_TICKS + self._chance.randrange(-9, 9)), "q": self._quantity()}
        return "trade", event | {"T": self.now_ms - late_ms, "m": self._chance.random() < 0.5, "M": True}

    def _diff(self) -> tuple[str, dict[str, Any]]:
        first, self.update_id = self.update_id + 1, self.update_id + self._chance.choice((1, 3, 40))
        sides = []
        for sign in (-1, 1):
            levels = range(self._chance.choice((0, 1, 2, 5)))
            prices = [_price(_TICKS + sign * self._chance.randrange(2, 40)) for _ in levels]
            sides.append([[price, self._chance.choice((self._quantity(), "0.00000000"))] for price in prices])
        event = {"e": "depthUpdate", "E": self.now_ms, "s": SYMBOL, "U": first, "u": self.update_id}
        return "depth@100ms", event | {"b": sides[0], "a": sides[1]}

    def _bar_events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for interval in INTERVALS:
            step_ms = INTERVAL_MS[interval]
            while self.now_ms >= self._bars[interval] + step_ms:
                yield f"kline_{interval}", self._bar(interval, closed=True)
                self._bars[interval] += step_ms
                self._first_trade[interval] = self._trade_id + 1
            if self._chance.random() < 0.7:
                yield f"kline_{interval}", self._bar(interval, closed=False)

    def _bar(self, interval: str, *, closed: bool) -> dict[str, Any]:
        open_ms, first = self._bars[interval], self._first_trade[interval]
        end_ms, count = open_ms + INTERVAL_MS[interval], max(0, self._trade_id - first + 1)
        ids = {"f": first, "L": self._trade_id} if count else {"f": -1, "L": -1}
        bar = {"t": open_ms, "T": end_ms - 1, "s": SYMBOL, "i": interval, **ids}
        bar |= dict.fromkeys("oc", _price(_TICKS)) | {"h": _price(_TICKS + 9), "l": _price(_TICKS - 9)}
        bar |= {"v": self._quantity(), "n": count, "x": closed, "q": self._quantity()}
        bar |= {"V": self._quantity(), "Q": self._quantity(), "B": "0"}
        event_ms = end_ms if closed else self.now_ms
        return {"e": "kline", "E": event_ms, "s": SYMBOL, "k": bar}


def _price(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02}000000"
