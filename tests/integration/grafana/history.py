"""A quarter of an hour of a market in which some things go wrong, written as our services write it.

| who | what happens |
|---|---|
| BTCUSDC | all is well; its book was not synced for 20 s, ten minutes ago; 40 trades were filled over REST |
| ETHUSDC | its trades have not been carried for five minutes; those of BTCUSDC were not for one |
| XRPUSDC | three trades are lost; its book has not been synced for two minutes |
| SOLUSDC | nothing has come for ten minutes |
| BTC/USD of Kraken, BTC-USD of Coinbase | bars as of BTCUSDC, at a distance |
| consumer-klines-1s | falls behind ever further |
| consumer-trades | puts five records aside within the last minutes; was restarted |
| consumer-book | has been silent for three minutes |
| consumer-quotes | its store takes six seconds a batch |
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Final

import orjson

from consumers.enrich.book import BookEnricher
from consumers.enrich.klines import KlineEnricher
from consumers.enrich.ledger import LedgerEnricher
from consumers.enrich.port import Enricher, Known
from consumers.enrich.quotes import QuoteEnricher
from consumers.enrich.service_points import decode_metrics
from consumers.enrich.trades import TradeEnricher
from consumers.indicators.registry import indicator_set
from consumers.stores.port import Store
from shared.intervals import INTERVAL_MS
from shared.messages import BookMessage, KlineMessage, LedgerMessage, QuoteMessage, TradeMessage
from shared.metrics import ServiceMetrics
from tests.builders import book, kline, ledger, quote, trade

SYMBOLS: Final = ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")
# Of the pair BTCUSD on other exchanges: how far their prices are from those of BTCUSDC.
ELSEWHERE: Final = {("kraken", "BTC/USD"): 1.001, ("coinbase", "BTC-USD"): 0.999}
MARKETS: Final = (*(("binance", symbol) for symbol in SYMBOLS), *ELSEWHERE)
STALE: Final = "SOLUSDC"
SPAN_S: Final = 900
STALE_S: Final = 600
UNSYNCED_S: Final = 120
UNCARRIED_S: Final = 300
BARS: Final = {"1s": 120, "1m": 190, "15m": 40, "1d": 30}
PRICES: Final = {"BTCUSDC": 64_000.0, "ETHUSDC": 3_200.0, "XRPUSDC": 0.6, "SOLUSDC": 150.0}
LOST_TRADES: Final = 3
FILLED_TRADES: Final = 40
DEAD_LETTERS: Final = 5
_CONSUMERS: Final = ("klines-1s", "klines-1m", "trades", "book", "quotes", "ledger")


def recent_end_ms() -> int:
    """Three seconds and a half past a recent multiple of ten: every interval has an open bar then."""
    return int(time.time()) // 10 * 10_000 - 10_000 + 3_500


def price(symbol: str, at_s: float) -> float:
    """Waves of a minute and of an hour, of another phase for each symbol."""
    phase = SYMBOLS.index(symbol)
    return PRICES[symbol] * (
        1 + 0.004 * math.sin(at_s / 600 + phase) + 0.001 * math.sin(at_s / (7 + phase) + phase)
    )


def price_on(exchange: str, symbol: str, at_s: float) -> float:
    """The same for any market: BTC moves alike on all exchanges."""
    distance = ELSEWHERE.get((exchange, symbol))
    return price(symbol, at_s) if distance is None else distance * price("BTCUSDC", at_s)


def write_history(store: Store, end_ms: int) -> None:
    """Everything of the table above, ending at `end_ms`."""
    for interval, count in BARS.items():
        _write(store, _klines(interval), _bars(interval, count, end_ms))
    _write_trades(store, trades(end_ms))
    _write(store, BookEnricher(), _books(end_ms))
    _write(store, QuoteEnricher(), _quotes(end_ms))
    _write(store, LedgerEnricher(), [*_ledger(end_ms), *_metrics(end_ms)])


def _klines(interval: str) -> KlineEnricher:
    return KlineEnricher(interval, indicator_set(), live_interval_ms=1000)


def _write(store: Store, enricher: Enricher, messages: Sequence[Any]) -> None:
    enricher.assign(0, Known(0, len(messages)))
    batch = [(0, offset, message) for offset, message in enumerate(messages)]
    store.write(enricher.receive(batch, 0).points)
    store.write(enricher.finish().points)


def _write_trades(store: Store, messages: Sequence[TradeMessage]) -> None:
    """Minute by minute, as they come: sums of the last twelve are kept open."""
    enricher = TradeEnricher()
    enricher.assign(0, Known(0, len(messages)))
    for minute in sorted({message["trade_time_ms"] // 60_000 for message in messages}):
        batch = [(0, 0, message) for message in messages if message["trade_time_ms"] // 60_000 == minute]
        store.write(enricher.receive(batch, 0).points)


def _last_s(symbol: str, end_ms: int) -> int:
    """The last second in which a symbol has data."""
    return end_ms // 1000 - (STALE_S if symbol == STALE else 0)


def _seconds(symbol: str, end_ms: int) -> range:
    return range(end_ms // 1000 - SPAN_S, _last_s(symbol, end_ms) + 1)


def _text(number: float) -> str:
    return f"{number:.8f}"


def _bars(interval: str, count: int, end_ms: int) -> list[KlineMessage]:
    step_ms = INTERVAL_MS[interval]
    messages = []
    for exchange, symbol in MARKETS:
        last_ms = _last_s(symbol, end_ms) * 1000
        open_ms = last_ms - last_ms % step_ms
        for open_time_ms in range(open_ms - count * step_ms, open_ms + 1, step_ms):
            first, last = (
                price_on(exchange, symbol, at_ms / 1000) for at_ms in (open_time_ms, open_time_ms + step_ms)
            )
            volume = 10 + 5 * math.sin(open_time_ms / 7000)
            messages.append(
                kline(
                    exchange=exchange,
                    symbol=symbol,
                    interval=interval,
                    open_time_ms=open_time_ms,
                    close_time_ms=open_time_ms + step_ms - 1,
                    open=_text(first),
                    high=_text(max(first, last) * 1.0005),
                    low=_text(min(first, last) * 0.9995),
                    close=_text(last),
                    base_volume=_text(volume),
                    quote_volume=_text(volume * last),
                    taker_buy_base_volume=_text(volume * 0.6),
                    taker_buy_quote_volume=_text(volume * 0.6 * last),
                    received_time_ms=min(open_time_ms + step_ms, last_ms),
                    closed=open_time_ms < open_ms,
                )
            )
    return messages


def trades(end_ms: int) -> list[TradeMessage]:
    """Two a second and symbol."""
    return [
        trade(
            symbol=symbol,
            trade_id=2 * second + half,
            trade_time_ms=1000 * second + 400 * half,
            received_time_ms=1000 * second + 400 * half + 5,
            price=_text(price(symbol, second)),
            quantity=_text(10 ** ((second + half) % 5 - 2) / PRICES[symbol] * 100),
            buyer_is_maker=(second + half) % 3 == 0,
        )
        for symbol in SYMBOLS
        for second in _seconds(symbol, end_ms)
        for half in (0, 1)
    ]


def _books(end_ms: int) -> list[BookMessage]:
    messages = []
    for symbol in SYMBOLS:
        lost_s = {"BTCUSDC": range(600, 580, -1), "XRPUSDC": range(UNSYNCED_S, -1, -1)}.get(symbol, range(0))
        for second in _seconds(symbol, end_ms):
            before_end_s = end_ms // 1000 - second
            mid = price(symbol, second)
            depth = str(5 + second % 4)
            if before_end_s in lost_s:
                if before_end_s == lost_s[0]:  # said once, then there is nothing until it is synced again
                    messages.append(
                        book(symbol=symbol, event_time_ms=1000 * second, bids=[], asks=[], synced=False)
                    )
                continue
            messages.append(
                book(
                    symbol=symbol,
                    event_time_ms=1000 * second,
                    bids=[[_text(mid * 0.9999), depth], [_text(mid * 0.9998), "3"]],
                    asks=[[_text(mid * 1.0001), "4"], [_text(mid * 1.0002), "2"]],
                )
            )
    return messages


def _quotes(end_ms: int) -> list[QuoteMessage]:
    return [
        quote(
            symbol=symbol,
            received_time_ms=1000 * second,
            bid_price=_text(price(symbol, second) * 0.9999),
            ask_price=_text(price(symbol, second) * 1.0001),
        )
        for symbol in SYMBOLS
        for second in _seconds(symbol, end_ms)
    ]


def _ledger(end_ms: int) -> list[LedgerMessage]:
    """Trades by minute, and the bars of 1m."""
    events = []
    for symbol in SYMBOLS:
        seconds = _seconds(symbol, end_ms)
        for minute in sorted({second // 60 for second in seconds}):
            first, last = 2 * max(60 * minute, seconds[0]), 2 * min(60 * minute + 59, seconds[-1]) + 1
            # Ten minutes ago: neither the first minute nor one that is still on its way.
            is_then = minute == end_ms // 60_000 - 10
            lost = LOST_TRADES if symbol == "XRPUSDC" and is_then else 0
            at_ms = 1000 * min(60 * minute + 59, seconds[-1])
            events.append(_event("expected", symbol, first, last, at_ms))
            events.append(_event("stored", symbol, first, last - lost, at_ms))
            if symbol == "BTCUSDC" and is_then:
                events.append(_event("repaired", symbol, first, first + FILLED_TRADES - 1, at_ms))
        step_ms = INTERVAL_MS["1m"]
        open_ms = seconds[-1] * 1000 // step_ms * step_ms
        bars: dict[str, Any] = {"stream": "klines", "interval": "1m", "count": SPAN_S // 60}
        ids = (open_ms - SPAN_S * 1000, open_ms - step_ms)
        for kind in ("expected", "stored"):
            events.append(_event(kind, symbol, *ids, open_ms - step_ms, **bars))
        if symbol == STALE:
            # Its producer ended in good order: no bar is expected of it, only old.
            events.append(_event("stopped", symbol, open_ms, open_ms, open_ms, **(bars | {"count": 1})))
    return [*events, *_uncarried(end_ms)]


def _uncarried(end_ms: int) -> list[LedgerMessage]:
    since_ms = end_ms - UNCARRIED_S * 1000
    spans = [("ETHUSDC", minute, "REST knows trade 9") for minute in range(5)]
    spans += [("BTCUSDC", 0, "REST knows trade 9"), ("BTCUSDC", 1, "REST knows trade 9; carried again")]
    return [
        _event("uncarried", symbol, since_ms, at_ms, at_ms, count=0, detail=detail)
        for symbol, minute, detail in spans
        for at_ms in (since_ms + 14_000 + minute * 60_000,)
    ]


def _event(kind: str, symbol: str, first: int, last: int, at_ms: int, **fields: Any) -> LedgerMessage:
    counted = {"count": last - first + 1, **fields}
    return ledger(kind=kind, symbol=symbol, first=first, last=last, event_time_ms=at_ms, **counted)


def _metrics(end_ms: int) -> list[dict[str, Any]]:
    """Each service every ten seconds."""
    services = [ServiceMetrics("producer", symbol) for symbol in SYMBOLS]
    services += [ServiceMetrics(f"consumer-{stream}", "0") for stream in _CONSUMERS]
    messages = []
    for before_end_s in range(SPAN_S, -1, -10):
        at_ms = end_ms - 1000 * before_end_s
        for of in services:
            if of.service == "consumer-book" and before_end_s < 180:
                continue
            _count(of, at_ms, before_end_s)
            messages.append(decode_metrics(orjson.dumps(of.message(at_ms))))
    return messages


def _count(of: ServiceMetrics, at_ms: int, before_end_s: int) -> None:
    of.count(120)
    behind_s = max(0.0, (SPAN_S - before_end_s) / 10) if of.service == "consumer-klines-1s" else 0.2
    of.gauge("lag_messages", 40 * behind_s)
    of.gauge("lag_seconds", behind_s)
    if of.service == "consumer-trades":
        # Seven from before; restarted ten minutes ago, it counts from 0 again.
        recent = min(DEAD_LETTERS, max(0, (200 - before_end_s) // 20))
        of.gauge("dead_letters", 7 if before_end_s > 600 else recent)
    stream = of.service.removeprefix("consumer-").split("-")[0]
    if of.service == "producer":
        for hop, latency_ms in (("socket", 12.0), ("kafka", 18.0)):
            of.latency("binance", "trades", hop, at_ms, latency_ms)
    elif stream != "ledger":
        slow_ms = 6_000.0 if stream == "quotes" else 40.0
        of.latency("binance", stream, "consumed", at_ms, 30.0)
        of.latency("binance", stream, "stored", at_ms, 30.0 + slow_ms)
