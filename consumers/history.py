"""Enrichers' states from the store, for the memory broker, which keeps none (DESIGN §5.4, §7)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

from consumers.enrich.kline_series import RECENT_BARS
from consumers.enrich.klines import KlineEnricher
from consumers.enrich.port import Enricher, Record
from consumers.enrich.trade_windows import MINUTE_MS
from consumers.enrich.trades import StoredTrade, TradeEnricher
from consumers.indicators.bars import Bar
from consumers.measurements import KLINE
from consumers.stores.port import Reader, Row

log: Final = logging.getLogger(__name__)


class History(Protocol):
    """Seeds an enricher with stored data of series that are new to it."""

    def seed(self, enricher: Enricher, records: Sequence[Record]) -> None:
        """Before the enricher gets these records.

        Raises:
            StoreUnavailable: no series is known in part; call it again.
        """


class NoHistory:
    """For a real broker: services rebuild from Kafka and never read the store."""

    def seed(self, enricher: Enricher, records: Sequence[Record]) -> None:
        """Read nothing."""


class StoreHistory:
    """Reads closed bars and the newest minutes of trades through the `Reader` port."""

    def __init__(self, reader: Reader, interval: str | None = None) -> None:
        self._reader = reader
        self._interval = interval

    def seed(self, enricher: Enricher, records: Sequence[Record]) -> None:
        if isinstance(enricher, KlineEnricher):
            self._seed_klines(enricher, records)
        elif isinstance(enricher, TradeEnricher):
            self._seed_trades(enricher, records)

    def _seed_klines(self, enricher: KlineEnricher, records: Sequence[Record]) -> None:
        for (exchange, symbol), partition in enricher.unknown_series(records).items():
            tags = {"exchange": exchange, "symbol": symbol, "interval": str(self._interval)}
            newest: deque[Row] = deque(maxlen=RECENT_BARS)
            enricher.seed(exchange, symbol, partition, _bars(self._reader.read("kline", tags), newest))
            enricher.recall(exchange, symbol, filter(_is_whole, map(_stored, newest)))
            log.info("%s %s: indicators rebuilt from the store", symbol, self._interval)

    def _seed_trades(self, enricher: TradeEnricher, records: Sequence[Record]) -> None:
        for (exchange, symbol), (partition, whole_from) in enricher.unknown_symbols(records).items():
            tags = {"exchange": exchange, "symbol": symbol}
            last = [_trade(row) for row in self._reader.read("trade", tags, last=1)]
            if not last:
                continue
            minute = last[0].trade_time_ms // MINUTE_MS
            first = minute if whole_from is None else min(minute, whole_from)
            trades = map(_trade, self._reader.read("trade", tags, from_ns=first * MINUTE_MS * 1_000_000))
            enricher.seed(exchange, symbol, partition, first, trades)


def _bars(rows: Iterable[Row], newest: deque[Row]) -> Iterator[Bar]:
    """The rows' bars; the last rows stay in `newest`."""
    for row in rows:
        newest.append(row)
        yield _bar(row)


def _stored(row: Any) -> tuple[int, tuple[Any, ...]]:
    """Open time in ms, and the values in the order of the measurement's columns."""
    return row["time_ns"] // 1_000_000, tuple(row.get(column.name) for column in KLINE.columns)


def _is_whole(stored: tuple[int, tuple[Any, ...]]) -> bool:
    """Whether a bar has all its values: what is no finite number is not stored."""
    return None not in stored[1]


def _bar(row: Any) -> Bar:
    return Bar(
        row["time_ns"] // 1_000_000, row["open"], row["high"], row["low"], row["close"], row["base_volume"]
    )


def _trade(row: Any) -> StoredTrade:
    # The shortest decimal of a float64 is the exchange's own, up to 15 digits.
    return StoredTrade(
        row["trade_id"],
        row["time_ns"] // 1_000_000,
        f"{row['price']!r}",
        f"{row['quantity']!r}",
        row["buyer_is_maker"],
    )
