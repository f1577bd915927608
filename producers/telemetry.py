"""What a producer reports once a second: metrics, health, and which streams are not carried."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import orjson

from producers.clock import Clock
from producers.dead_letters import SERVICE, Rejections
from producers.exchanges.rest_port import Rest
from producers.feed import Feed
from producers.instrument import Instrument
from producers.listings import Listings
from producers.publisher import Backpressure, Publisher
from producers.stream_health import Uncarried
from shared.health import SILENT_BROKER_S
from shared.metrics import ServiceMetrics
from shared.topics import METRICS

_LOG: Final = logging.getLogger(__name__)


class Telemetry:
    """Reads the parts of the service; sends a record to `pipeline.metrics` each second."""

    def __init__(
        self,
        metrics: ServiceMetrics,
        publisher: Publisher,
        rejections: Rejections,
        *,
        rest: Rest,
        clock: Clock,
        backpressure: Backpressure,
        listings: Listings,
    ) -> None:
        self._metrics = metrics
        self._publisher = publisher
        self._rejections = rejections
        self._rest = rest
        self._clock = clock
        self._backpressure = backpressure
        self._listings = listings
        self._counted = 0
        self._uncarried: dict[str, list[Uncarried]] = {}  # by symbol, as last logged
        self._acknowledged = (0, time.monotonic())  # number of records, and when it last rose

    def publish(self, instruments: Collection[Instrument], feeds: Sequence[Feed]) -> None:
        """Once a second: set the gauges and the health, and send the record."""
        gauge = self._metrics.gauge
        received = sum(feed.received for feed in feeds)
        self._metrics.count(received - self._counted)
        self._counted = received
        pending = sum(instrument.pending_fills for instrument in instruments)
        gauge("pending_fills", pending)
        gauge("warm", float(pending == 0))
        gauge("missing_trades", sum(instrument.missing_trades for instrument in instruments))
        gauge("missing_bars", sum(instrument.missing_bars for instrument in instruments))
        gauge("questioned_series", sum(instrument.questioned for instrument in instruments))
        gauge("uncarried", sum(len(instrument.uncarried) for instrument in instruments))
        gauge("doubtful_trades", sum(instrument.doubtful_trades for instrument in instruments))
        gauge("books", sum(instrument.keeps_book for instrument in instruments))
        gauge("synced_books", sum(instrument.synced for instrument in instruments))
        audits = [instrument.book_audits for instrument in instruments]
        gauge("book_audits", sum(count for count, _ in audits))
        gauge("book_drift_levels", sum(levels for _, levels in audits))
        bars = [instrument.audited_bars for instrument in instruments]
        for index, name in enumerate(("audited_bars", "different_bars", "unaudited_bars")):
            gauge(name, sum(counts[index] for counts in bars))
        gauge("compared_bars", sum(instrument.compared_bars for instrument in instruments))
        gauge("queue_length", self._publisher.outstanding)
        gauge("dead_letters", self._rejections.count)
        gauge("dead_letters_lost", self._publisher.dead_letters.lost)
        gauge("ignored", sum(feed.ignored for feed in feeds))
        gauge("reconnects", sum(feed.reconnects for feed in feeds))
        gauge("rollovers", sum(feed.rollovers for feed in feeds))
        gauge("repair_mode", float(self._backpressure.active))
        gauge("repair_modes", self._backpressure.entered)
        gauge("kafka_errors", self._publisher.retriable_errors)
        gauge("used_weight", self._rest.budget.used)
        gauge("clock_offset_ms", self._clock.exchange_ms() - self._clock.now_ms())
        now_s = time.monotonic()
        for feed in feeds:
            for name, age_ms in feed.watchdog.ages_ms(now_s).items():
                gauge(f"age_ms_{name}", round(age_ms))
        self._check_health(now_s, instruments, feeds)
        message = self._metrics.message(self._clock.now_ms())
        if not self._publisher.congested:
            # Metrics of a congested second are dropped: they are worthless later. Instruments are told then.
            known = ((each.symbol, each.status, self._rest.listing(each.symbol)) for each in instruments)
            if told := self._listings.due(known, self._clock.exchange_ms(), now_s):
                message["instruments"] = told
            self._publisher.send(METRICS, SERVICE.encode(), orjson.dumps(message))

    def _check_health(self, now_s: float, instruments: Iterable[Instrument], feeds: Sequence[Feed]) -> None:
        """Whether the exchange is read and Kafka accepts its records."""
        health, delivered = self._metrics.health, self._publisher.delivered
        if delivered != self._acknowledged[0]:
            self._acknowledged = delivered, now_s
        silence_s = now_s - self._acknowledged[1]
        health.set_ready("kafka", silence_s <= SILENT_BROKER_S, f"nothing acknowledged for {silence_s:.0f} s")
        carrying = sum(feed.carrying for feed in feeds)
        health.set_ready(
            "exchange", carrying == len(feeds), f"{carrying} of {len(feeds)} connections are read"
        )
        missed = [_uncarried_text(instrument) for instrument in instruments if instrument.uncarried]
        health.set_ready("streams", not missed, "; ".join(missed))
        health.set_ready(
            "book",
            all(each.synced or each.halted or not each.keeps_book for each in instruments),
            "an order book is not in step with the exchange",
        )

    def log_uncarried(self, instrument: Instrument) -> None:
        """Log the streams of an instrument that are no longer carried, and those that are again."""
        symbol, now = instrument.symbol, instrument.uncarried
        before = self._uncarried.get(symbol, [])
        self._uncarried[symbol] = now
        for uncarried in now:
            if uncarried not in before:
                since = _time(uncarried.since_ms)
                _LOG.warning("%s %s: not carried since %s: %s", symbol, uncarried, since, uncarried.why)
        for uncarried in before:
            if uncarried not in now:
                _LOG.warning("%s %s: carried again", symbol, uncarried)


def _uncarried_text(instrument: Instrument) -> str:
    """The streams of a symbol that are not carried, since when and why."""
    return "; ".join(
        f"{instrument.symbol} {uncarried} not carried since {_time(uncarried.since_ms)}: {uncarried.why}"
        for uncarried in instrument.uncarried
    )


def _time(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms // 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
