"""A small exchange: one symbol whose trades, bars, diffs and quotes are known, as frames and over REST."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from tests.frames.classify import STEP_MS

SYMBOL: Final = "FUZZUSDC"
INTERVALS: Final = ("1s", "1m")
BEGIN_MS: Final = 1_785_767_100_000  # a full minute
_TRADES_A_SECOND: Final = 3
_DIFFS_A_SECOND: Final = 10
_FIRST_ID: Final = 1_000_000
_BOOK: Final = {"bids": [["99.00", "1.00"]], "asks": [["101.00", "1.00"]]}


class World:
    """Moves by whole seconds.

    Attributes:
        now_ms: its clock. trade_id, update_id: the newest ones issued.
    """

    def __init__(self) -> None:
        self.now_ms = BEGIN_MS
        self.trade_id = _FIRST_ID - 1
        self.update_id = 5_000
        self.recent: list[bytes] = []

    def second(self) -> list[bytes]:
        """Let a second pass; the frames that tell of it, when it is over."""
        begun_ms, self.now_ms = self.now_ms, self.now_ms + 1_000
        frames = []
        for number in range(_TRADES_A_SECOND):
            self.trade_id += 1
            frames.append(self._frame("trade", self._trade(self.trade_id, begun_ms + 100 * number)))
        for _ in range(_DIFFS_A_SECOND):
            self.update_id += 1
            ids = {"U": self.update_id, "u": self.update_id}
            frames.append(
                self._frame("depth@100ms", {**ids, "b": _BOOK["bids"], "a": _BOOK["asks"]}, "depthUpdate")
            )
        quote = {"u": self.update_id, "s": SYMBOL, "b": "99.00", "B": "1.00", "a": "101.00", "A": "1.00"}
        frames.append(orjson.dumps({"stream": f"{SYMBOL.lower()}@bookTicker", "data": quote}))
        for interval in INTERVALS:
            open_ms = begun_ms - begun_ms % STEP_MS[interval]
            closed = self.now_ms % STEP_MS[interval] == 0
            frames.append(
                self._frame(f"kline_{interval}", {"k": self._bar(interval, open_ms, closed)}, "kline")
            )
        self.recent = [*self.recent[-40:], *frames]
        return frames

    def _frame(self, stream: str, event: Mapping[str, Any], kind: str = "trade") -> bytes:
        data = {"e": kind, "E": self.now_ms, "s": SYMBOL, **event}
        return orjson.dumps({"stream": f"{SYMBOL.lower()}@{stream}", "data": data})

    def _trade(self, trade_id: int, time_ms: int) -> dict[str, Any]:
        return {"t": trade_id, "p": "100.00", "q": "1.00", "T": time_ms, "m": False, "M": True}

    def time_of(self, trade_id: int) -> int:
        second, number = divmod(trade_id - _FIRST_ID, _TRADES_A_SECOND)
        return BEGIN_MS + second * 1_000 + number * 100

    def _ids(self, open_ms: int, end_ms: int) -> tuple[int, int]:
        """First and last trade id between these times."""
        first = _FIRST_ID + (open_ms - BEGIN_MS) // 1_000 * _TRADES_A_SECOND
        last = _FIRST_ID + (min(end_ms, self.now_ms) - BEGIN_MS) // 1_000 * _TRADES_A_SECOND - 1
        return max(first, _FIRST_ID), last

    def _bar(self, interval: str, open_ms: int, closed: bool) -> dict[str, Any]:
        step = STEP_MS[interval]
        first, last = self._ids(open_ms, open_ms + step)
        count = last - first + 1
        prices = dict.fromkeys(("o", "h", "l", "c"), "100.00")
        volumes = {"v": f"{count}.00", "q": f"{count * 100}.00", "V": f"{count}.00", "Q": f"{count * 100}.00"}
        times = {"t": open_ms, "T": open_ms + step - 1, "s": SYMBOL, "i": interval}
        return {**times, "f": first, "L": last, "n": count, **prices, **volumes, "x": closed, "B": "0"}

    def answer(self, path: str, asked: Mapping[str, str]) -> Any:
        """What REST says, decoded."""
        answers: dict[str, Callable[[], Any]] = {
            "time": lambda: {"serverTime": self.now_ms},
            "klines": lambda: self._klines(asked["interval"], int(asked["startTime"]), int(asked["endTime"])),
            "historicalTrades": lambda: self._trades_from(int(asked["fromId"]), int(asked["limit"])),
            "trades": lambda: self._trades_from(self.trade_id - int(asked["limit"]) + 1, int(asked["limit"])),
            "aggTrades": lambda: self._aggregates(int(asked["startTime"]), int(asked["endTime"])),
            "ticker/24hr": lambda: self._ticker(of_many="symbols" in asked),
            "depth": lambda: {"lastUpdateId": self.update_id, **_BOOK},
            "ticker/price": lambda: [{"symbol": SYMBOL, "price": "100.00"}],
            "exchangeInfo": lambda: {
                "rateLimits": [_LIMIT],
                "symbols": [{"symbol": SYMBOL, "status": "TRADING"}],
            },
        }
        return answers[path]()

    def _ticker(self, *, of_many: bool) -> Any:
        newest = {"symbol": SYMBOL, "lastId": self.trade_id}
        return [newest] if of_many else newest | _DAY | {"closeTime": self.now_ms}

    def _trades_from(self, first: int, limit: int) -> list[dict[str, Any]]:
        first = max(first, _FIRST_ID)
        return self._rows(range(first, min(first + limit, self.trade_id + 1)))

    def _rows(self, ids: range) -> list[dict[str, Any]]:
        common = {"price": "100.00", "qty": "1.00", "quoteQty": "100.00", "isBuyerMaker": False}
        return [{"id": number, "time": self.time_of(number), **common} for number in ids]

    def _klines(self, interval: str, first_ms: int, last_ms: int) -> list[list[Any]]:
        step = STEP_MS[interval]
        begin_ms = max(-(-first_ms // step) * step, BEGIN_MS)
        rows = []
        for open_ms in range(begin_ms, min(last_ms, self.now_ms - 1) + 1, step)[:1_000]:
            bar = self._bar(interval, open_ms, True)
            rows.append(
                [bar[letter] for letter in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]
            )
        return rows

    def _aggregates(self, begin_ms: int, end_ms: int) -> list[dict[str, Any]]:
        first, last = self._ids(max(begin_ms, BEGIN_MS), end_ms + 1)
        ids = range(first, min(last, self.trade_id) + 1)[:1_000]
        return [{"a": number, "f": number, "l": number, "T": self.time_of(number)} for number in ids]


_DAY: Final = dict.fromkeys(
    ("lastPrice", "priceChange", "priceChangePercent", "highPrice", "lowPrice", "volume", "quoteVolume"),
    "1.00",
) | {"weightedAvgPrice": "1.00"}
_LIMIT: Final = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000}
