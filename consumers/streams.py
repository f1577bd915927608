"""The streams that consumers serve, declared once: topics, group, enricher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from consumers.enrich.book import BookEnricher
from consumers.enrich.klines import Indicators, KlineEnricher
from consumers.enrich.ledger import LedgerEnricher
from consumers.enrich.port import Enricher
from consumers.enrich.quotes import QuoteEnricher
from consumers.enrich.trades import TradeEnricher
from consumers.measurements import KLINE
from shared.topics import (
    BOOK,
    LEDGER,
    LEDGER_SNAPSHOT,
    METRICS,
    QUOTES,
    TRADES,
    indicator_state_topic,
    klines_live_topic,
    klines_topic,
)

_VALUES: Final = 240_000  # of a batch of bars, with their indicators
STREAMS: Final = ("klines", "trades", "book", "quotes", "ledger")


@dataclass(frozen=True, slots=True)
class Stream:
    """One consumer's work.

    Attributes:
        topic: the source, read through the consumer group; its partitions carry the enricher's state.
        also: further topics of the group, read from the committed offset, without state.
        live_topic: read from its end on the same partitions; best effort, never committed.
        state_topic: where snapshots go, on the same partitions.
        batch: records read at a time. Those of trades fill two requests of 5,000 points to the store: one
            is encoded while the other is on its way. Two batches are in memory; see `with_batch_for`.
    """

    name: str
    interval: str | None
    topic: str
    also: tuple[str, ...] = ()
    live_topic: str | None = None
    state_topic: str | None = None
    batch: int = 2_000

    @property
    def label(self) -> str:
        """`klines.1m`, `trades`: the end of the consumer group's name."""
        return f"{self.name}.{self.interval}" if self.interval else self.name

    @property
    def group(self) -> str:
        return f"cryptostream.{self.label}"

    @property
    def service(self) -> str:
        """`consumer-klines-1m`: its name in metrics and dead letters."""
        return f"consumer-{self.label.replace('.', '-')}"

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics of the consumer group."""
        return (self.topic, *self.also)

    @property
    def all_topics(self) -> tuple[str, ...]:
        """All topics that are read."""
        return (*self.topics, *filter(None, (self.live_topic, self.state_topic)))


def streams(names: Sequence[str], intervals: Sequence[str], *, memory_broker: bool) -> tuple[Stream, ...]:
    """One stream for each name; for klines one for each interval."""
    plain = {
        "trades": Stream("trades", None, TRADES, batch=10_000),
        "book": Stream("book", None, BOOK),
        "quotes": Stream("quotes", None, QUOTES, batch=5_000),
        "ledger": Stream(
            "ledger", None, LEDGER, also=(METRICS,), state_topic=None if memory_broker else LEDGER_SNAPSHOT
        ),
    }
    result: list[Stream] = []
    for name in names:
        if name in plain:
            result.append(plain[name])
        else:
            result += [_klines(interval, memory_broker) for interval in intervals]
    return tuple(result)


def _klines(interval: str, memory_broker: bool) -> Stream:
    return Stream(
        "klines",
        interval,
        klines_topic(interval),
        live_topic=klines_live_topic(interval),
        # The memory broker keeps nothing, and cannot compact (DESIGN §7).
        state_topic=None if memory_broker else indicator_state_topic(interval),
    )


def with_batch_for(stream: Stream, columns: int) -> Stream:
    """The stream with larger batches of bars where they have few values: several requests, two at once.

    Args:
        columns: of the indicators.
    """
    if stream.name != "klines":
        return stream
    # With all indicators 2,500 bars: a process of them has 135 MB resident at most, of 192 that a container
    # gives it (with 5,000 it has 158). With six columns 10,000 bars: 155 MB, and no faster with more.
    return replace(stream, batch=max(2_500, min(10_000, _VALUES // (columns + len(KLINE.columns)))))


def enricher_of(
    stream: Stream, indicators: Indicators, *, live_interval_ms: int, rebuilt_from_store: bool
) -> Enricher:
    match stream.name:
        case "klines":
            return KlineEnricher(
                str(stream.interval),
                indicators,
                live_interval_ms=live_interval_ms,
                keeps_state=stream.state_topic is not None,
                rebuilt_from_store=rebuilt_from_store,
            )
        case "trades":
            return TradeEnricher()
        case "book":
            return BookEnricher()
        case "quotes":
            return QuoteEnricher()
        case _:
            return LedgerEnricher()
