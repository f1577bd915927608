"""Asks REST for missing bars and trades, and publishes them with their ledger events."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from consumers.ledger_events import LedgerSeries
from cryptostream.backfill_events import backfill_events
from cryptostream.progress_line import ProgressLine
from cryptostream.repair.plan import pages
from producers.clock import Clock
from producers.exchanges.binance.rest import BinanceRest
from producers.publisher import Publisher
from shared.dead_letters import Origin, dead_letter
from shared.id_ranges import IdRanges
from shared.messages import encode, message_key
from shared.settings import Settings
from shared.topics import LEDGER, TRADES, klines_topic
from shared.trade_ids import in_numbering, number_of, split

SERVICE: Final = "repair"
_DELIVERY_S: Final = 30.0


class Repair:
    """One series' repair; `repaired` grows as pages are delivered, also if a later one fails.

    Use inside an event loop, and `close` it there.
    """

    def __init__(self, settings: Settings, series: LedgerSeries, publisher: Publisher) -> None:
        self._series = series
        self._publisher = publisher
        self._key = message_key(series.exchange, series.symbol)
        self._topic = TRADES if series.stream == "trades" else klines_topic(series.interval)
        self._clock = Clock()
        self.rest = BinanceRest(
            settings.binance_rest_url, settings.history_url(), self._clock.exchange_ms, self._reject
        )
        self.repaired = IdRanges()
        self.rejected = 0

    async def close(self) -> None:
        await self.rest.close()

    async def run(self, ids: IdRanges) -> None:
        """Fetch and publish what REST has of these ids.

        Raises:
            ExchangeError, BrokerError: the rest is to be repaired by another call.
        """
        sent_ms = self._clock.now_ms()
        self._clock.offset.receive(sent_ms, await self.rest.time_ms(), self._clock.now_ms())
        await self.rest.statuses((self._series.symbol,))
        oldest_available = 0
        with ProgressLine(f"repairing {self._series.symbol}", "ids looked at", ids.id_count()) as line:
            for first, last in pages(ids):
                if last >= oldest_available:
                    rows, oldest_available = await self._fetch(first, last)
                    self._publish([row for row in rows if self._id_of(row) in ids])
                line.advance(ids.intersection_count(first, last))

    async def _fetch(self, first: int, last: int) -> tuple[Sequence[Any], int]:
        """The rows, and the lowest id that REST can give at all."""
        unit, now_ms = self._series.unit, time.time_ns() // 1_000_000
        if self._series.stream == "trades":
            base = first - split(first)[1]
            rows, oldest = await self.rest.trades(self._series.symbol, first - base, last - base, now_ms)
            return in_numbering(split(first)[0], rows), oldest + base
        bars = await self.rest.klines(
            self._series.symbol, self._series.interval, first * unit, last * unit, now_ms
        )
        return bars, 0

    def _publish(self, rows: Sequence[Any]) -> None:
        rows = sorted(rows, key=self._id_of)
        for row in rows:
            self._publisher.send(self._topic, self._key, encode(row))
        # The ledger may say that they were issued only when they are on their topic.
        self._publisher.flush_now(_DELIVERY_S)
        for event in backfill_events(rows):
            self._publisher.send(LEDGER, self._key, encode(event))
        self._publisher.flush_now(_DELIVERY_S)
        for row in rows:
            self.repaired.add(self._id_of(row), self._id_of(row))

    def _id_of(self, row: Any) -> int:
        if self._series.stream == "trades":
            return number_of(row)
        return int(row["open_time_ms"]) // self._series.unit

    def _reject(self, source: str, symbol: str, reason: str, value: bytes) -> None:
        self.rejected += 1
        key = message_key(self._series.exchange, symbol)
        self._publisher.put_aside(dead_letter(Origin(reason, source, -1, -1, SERVICE), key, value))
