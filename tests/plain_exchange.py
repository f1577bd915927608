"""The simulator's REST protocol, weights and faults over a market that is cheap to compute, in virtual time.

The seeded market sums trades for every ticker (40 ms); a week of slots needs 6,048 of them. This one is a
function of the five-minute bar alone, and sums bars by prefix.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, cast

import aiohttp
import orjson

from pipelines.snapshots.extract import ExchangeClock, SnapshotExchange
from producers.exchanges.binance.rest import BinanceRest
from simulator.exchange import AggregateRow, Depth, KlineRow, Quotes, Span, TradeRow, Window
from simulator.faults.requests import RequestFaults
from simulator.faults.script import parse_script
from simulator.protocols.binance import rest
from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.exchange_info import symbol_entry
from simulator.protocols.binance.manners import BinanceManners
from simulator.protocols.binance.rest import ENDPOINTS
from simulator.protocols.binance.weights import Refused, WeightCounter
from simulator.protocols.port import RestRequest

BAR: Final = 300_000
DAY: Final = 86_400_000


class PlainExchange:
    """Markets of five-minute bars, with halts; implements `simulator.exchange.Exchange`.

    Attributes:
        crossed: when the book's best bid is above its best ask, by symbol.
    """

    def __init__(
        self, symbols: Sequence[str], first_ms: int, end_ms: int, halts: Mapping[str, Sequence[range]] = {}
    ) -> None:
        self.crossed: Mapping[str, Sequence[range]] = {}
        self._symbols = tuple(symbols)
        self.statuses: dict[str, str] = {}
        self._halts = halts
        self.begin_ms = first_ms - 2 * DAY
        count = (end_ms - self.begin_ms) // BAR + 2
        self._prices: dict[str, list[int]] = {}
        self._volumes: dict[str, list[int]] = {}
        self._quotes: dict[str, list[int]] = {}
        for symbol in symbols:
            random_ = random.Random(symbol)
            steps = [random_.randint(-5, 5) for _ in range(count)]
            prices = [100_000 + step for step in accumulate(steps)]
            open_ = [not self.halted(symbol, self.begin_ms + place * BAR) for place in range(count)]
            volumes = [random_.randint(1, 9) * trading for trading in open_]
            self._prices[symbol] = prices
            self._volumes[symbol] = [0, *accumulate(volumes)]
            self._quotes[symbol] = [0, *accumulate(v * p for v, p in zip(volumes, prices, strict=True))]

    @property
    def symbols(self) -> Sequence[str]:
        return self._symbols

    def halted(self, symbol: str, time_ms: int) -> bool:
        return any(time_ms in span for span in self._halts.get(symbol, ()))

    def klines(self, symbol: str, interval: str, offset_ms: int, span: Span, now_ms: int) -> list[KlineRow]:
        assert interval == "5m" and span.start_ms is not None and span.end_ms is not None
        first_ms = max(self.begin_ms, span.start_ms + -span.start_ms % BAR)
        opens = range(first_ms, min(span.end_ms, now_ms) + 1, BAR)
        return [self._kline(symbol, ms) for ms in opens if not self.halted(symbol, ms)][: span.limit]

    def _kline(self, symbol: str, open_ms: int) -> KlineRow:
        place = self._place(open_ms)
        price, volume = self._prices[symbol][place], self._volumes[symbol]
        base = volume[place + 1] - volume[place]
        return KlineRow(
            open_ms, _text(price), _text(price + 2), _text(price - 2), _text(price), _text(base * 100),
            open_ms + BAR - 1, _text(base * price), base, "0.00", "0.00",
        )  # fmt: skip

    def depth(self, symbol: str, limit: int, now_ms: int) -> Depth:
        price = self._price(symbol, now_ms)
        half = -1 if any(now_ms in span for span in self.crossed.get(symbol, ())) else 1
        return Depth(now_ms, [[_text(price - half), "1.00"]], [[_text(price + half), "1.00"]])

    def quotes(self, symbol: str, now_ms: int) -> Quotes:
        price = self._price(symbol, now_ms)
        return Quotes(_text(price - 1), "1.00", _text(price + 1), "1.00")

    def trades(self, symbol: str, from_id: int | None, limit: int, now_ms: int) -> list[TradeRow]:
        """One a second, of one unit; its id is the second."""
        newest = now_ms // 1000
        first = max(self.begin_ms // 1000, newest - limit + 1 if from_id is None else from_id)
        rows = []
        for ident in range(first, min(newest, first + limit - 1) + 1):
            price = _text(self._price(symbol, ident * 1000))
            rows.append(TradeRow(ident, price, "1.00", price, ident * 1000, False))
        return rows

    def aggregates(self, symbol: str, from_id: int | None, span: Span, now_ms: int) -> list[AggregateRow]:
        """Each trade is an aggregate of its own, with the trade's id."""
        first, last = self.begin_ms // 1000, now_ms // 1000
        if span.end_ms is not None:
            last = min(last, span.end_ms // 1000)
        if from_id is not None:
            first = max(first, from_id)
        elif span.start_ms is not None:
            first = max(first, -(-span.start_ms // 1000))
        else:
            first = max(first, last - span.limit + 1)
        return [
            AggregateRow(
                ident, _text(self._price(symbol, ident * 1000)), "1.00", ident, ident, ident * 1000, False
            )
            for ident in range(first, min(last, first + span.limit - 1) + 1)
        ]

    def window(self, symbol: str, from_ms: int, now_ms: int) -> Window:
        first, last = self._place(from_ms), self._place(now_ms)
        prices = self._prices[symbol][first : last + 1]
        base = self._volumes[symbol][last] - self._volumes[symbol][first]
        quote = self._quotes[symbol][last] - self._quotes[symbol][first]
        return Window(
            open=_text(prices[0]),
            high=_text(max(prices) + 2),
            low=_text(min(prices) - 2),
            last=_text(prices[-1]),
            last_quantity="1.00",
            previous=_text(prices[0]),
            base_volume=_text(base * 100),
            quote_volume=_text(quote),
            first_trade_id=from_ms // 1000,
            last_trade_id=now_ms // 1000,
            trade_count=base,
            last_time_ms=now_ms,
        )

    def symbol_entries(self, now_ms: int) -> list[Mapping[str, Any]]:
        return [
            symbol_entry(
                symbol, symbol[:-4], symbol[-4:], tick_size="0.01", step_size="0.01",
                status=self.statuses.get(symbol, "BREAK" if self.halted(symbol, now_ms) else "TRADING"),
            )
            for symbol in self._symbols
        ]  # fmt: skip

    def _price(self, symbol: str, now_ms: int) -> int:
        return self._prices[symbol][self._place(now_ms)]

    def _place(self, time_ms: int) -> int:
        return (time_ms - self.begin_ms) // BAR


class VirtualHost:
    """What stands at the other end of a client's `_send`; the time is the loop's, from `start_ms` on.

    Attributes:
        log: statuses of all answers, counted.
        weight_by_minute: what was granted, by minute of the epoch.
        most_at_once: requests on their way.
        begun_ms: when a symbol's ticker was asked for: there its observation begins.
    """

    def __init__(
        self, exchange: PlainExchange, start_ms: int, faults: Sequence[str] = (), latency_s: float = 0.05
    ) -> None:
        self._exchange = exchange
        self._start_ms = start_ms
        self._latency_s = latency_s
        self._faults = RequestFaults(
            parse_script(None, list(faults), BINANCE.scope).faults, 5, start_ms, BinanceManners()
        )
        self._weights = WeightCounter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.log: Counter[int] = Counter()
        self.weight_by_minute: Counter[int] = Counter()
        self.at_once = 0
        self.most_at_once = 0
        self.begun_ms: list[int] = []

    def now_ms(self) -> int:
        # Threads of the loop ask as well, after the loop has asked first.
        self._loop = self._loop or asyncio.get_running_loop()
        return self._start_ms + round(self._loop.time() * 1000)

    def client(self, share: float, served: Counter[tuple[str, str]] | None = None) -> SnapshotExchange:
        """The pipeline's own client, talking to this host."""
        exchange = SnapshotExchange("http://host", share, ExchangeClock(self.now_ms))
        counted = Counter[tuple[str, str]]() if served is None else served

        async def send(url: str, parameters: dict[str, str]) -> Any:
            return await self.answer(url, parameters, counted)

        cast(BinanceRest, exchange.rest)._send = send  # type: ignore[method-assign]
        return exchange

    async def answer(
        self, url: str, parameters: Mapping[str, str], served: Counter[tuple[str, str]]
    ) -> tuple[int, dict[str, str], bytes]:
        """One request, as `BinanceRest._send` gives it back.

        Args:
            served: of the caller: counts what was answered as the exchange meant it, by path and symbol.
        """
        if url.endswith("ticker/24hr"):
            self.begun_ms.append(self.now_ms())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self._latency_s)
            return await self._answer(url, parameters, served)
        finally:
            self.at_once -= 1

    async def _answer(
        self, url: str, parameters: Mapping[str, str], served: Counter[tuple[str, str]]
    ) -> tuple[int, dict[str, str], bytes]:
        path, now_ms = url.split("/api/v3/")[1], self.now_ms()
        weight = ENDPOINTS[path].weight(parameters)
        if path == "ticker/24hr":
            # An observation begins: what an earlier attempt was told is none of it.
            for begun in [key for key in served if key[1] == parameters.get("symbol")]:
                del served[begun]
        charged = self._weights.charge("client", weight, now_ms)
        headers = {"x-mbx-used-weight-1m": str(charged.used_weight)}
        if isinstance(charged, Refused):
            self.log[charged.status] += 1
            return charged.status, {**headers, "retry-after": str(charged.retry_after_s)}, b'{"code":-1003}'
        self.weight_by_minute[now_ms // 60_000] += weight
        request = RestRequest(path, list(parameters.items()), None, now_ms)
        struck = self._faults.meet(request)
        if struck is not None and struck.instead is not None:
            self.log[struck.instead.status] += 1
            more = {name.lower(): value for name, value in struck.instead.headers.items()}
            return struck.instead.status, headers | more, struck.instead.body
        answer = rest.answer(self._exchange, request)
        if struck is not None and struck.cut:
            raise aiohttp.ClientPayloadError("cut")
        if struck is not None and struck.hold_s:
            await asyncio.sleep(struck.hold_s)
        self.log[answer.status] += 1
        if answer.status == 200 and struck is None:
            served[path, parameters.get("symbol", "")] += 1
        return answer.status, headers, orjson.dumps(answer.body)


def _text(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}"
