"""Finds missing bars and trades, fetches them over REST and publishes them with ledger events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from cryptostream.output import ProgressLine
from producers.candle_audit import is_as_said
from producers.clock import Clock
from producers.exchanges.registry import exchange_named
from producers.exchanges.rest_port import PAGE
from producers.ledger_events import LedgerEvents
from producers.publisher import Publisher
from shared.dead_letters import Origin, dead_letter
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries, ledger_record
from shared.messages import AS_TRADES_SAY, LedgerMessage, encode, message_key
from shared.settings import Settings
from shared.topics import LEDGER, TRADES, klines_topic
from shared.trade_ids import in_numbering, number_of, split

SERVICE: Final = "repair"
_DELIVERY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Known:
    """Known ids of a series.

    Attributes:
        stored: ids in the store, by the ledger.
        halted: bars that do not exist, since the exchange was closed.
        found: ids in the store; None if it could not be read.
        expired: points up to this id may have expired: there the ledger's claims count.
        wrong: stored bars whose values their trades contradict.
    """

    stored: IdRanges
    halted: IdRanges
    found: IdRanges | None
    expired: int
    wrong: IdRanges = field(default_factory=IdRanges)


def missing(first: int, last: int, known: Known) -> IdRanges:
    """The ids from `first` to `last` that are not in the store, or wrong there."""
    stored = known.stored
    if known.found is not None:
        stored = IdRanges(known.stored.within(-(2**63), known.expired))
        stored.update(known.found)
    ids = IdRanges([(first, last)]) if first <= last else IdRanges()
    wrong = IdRanges(known.wrong.within(known.expired + 1, 2**63 - 1))
    return ids.difference(stored.difference(wrong)).difference(known.halted)


def pages(ids: IdRanges) -> Iterator[tuple[int, int]]:
    """Ranges of at most a page that cover all ids; close ids share a request."""
    ranges = list(ids)
    while ranges:
        first = ranges[0][0]
        inside = [(f, min(e, first + PAGE - 1)) for f, e in ranges if f < first + PAGE]
        last = inside[-1][1]
        yield first, last
        ranges = [(max(f, last + 1), e) for f, e in ranges if e > last]


class Repair:
    """Repairs one series; `repaired` has the delivered pages even if a later one fails.

    Use and `close` it in one event loop.

    Args:
        wrong: stored bars whose values their trades contradict, with what these say where it is known. REST's
            bar takes the place of one only if it is as they say.
    """

    def __init__(
        self,
        settings: Settings,
        series: LedgerSeries,
        publisher: Publisher,
        *,
        wrong: Mapping[int, str | None] = MappingProxyType({}),
    ) -> None:
        self._series = series
        self._wrong = wrong
        self._publisher = publisher
        self._key = message_key(series.exchange, series.symbol)
        self._topic = TRADES if series.stream == "trades" else klines_topic(series.interval)
        self._clock = Clock()
        exchange = exchange_named(series.exchange)
        self.rest = exchange.rest(exchange.addresses(settings), self._clock.exchange_ms, self._reject)
        self.repaired = IdRanges()
        self.rejected = 0
        self._asked = -1  # the newest trade of the page that is asked for

    async def close(self) -> None:
        await self.rest.close()

    async def run(self, ids: IdRanges) -> None:
        """Fetch and publish what REST has of these ids.

        Raises:
            ExchangeError, BrokerError: the remaining ids need another call.
        """
        sent_ms = self._clock.now_ms()
        self._clock.offset.receive(sent_ms, await self.rest.time_ms(), self._clock.now_ms())
        await self.rest.statuses((self._series.symbol,))
        oldest_available = 0
        with ProgressLine(f"repairing {self._series.symbol}", "ids looked at", ids.id_count()) as line:
            for first, last in pages(ids):
                if last >= oldest_available:
                    rows, oldest_available = await self._fetch(first, last)
                    wanted = (row for row in rows if self._id_of(row) in ids)
                    self._publish([row for row in wanted if may_replace(row, self._id_of(row), self._wrong)])
                line.advance(ids.intersection_count(first, last))

    async def _fetch(self, first: int, last: int) -> tuple[Sequence[Any], int]:
        """The rows, and the lowest id that REST has."""
        unit, now_ms = self._series.unit, time.time_ns() // 1_000_000
        if self._series.stream == "trades":
            base, self._asked = first - split(first)[1], last
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
        # The ledger's events follow only when the rows are on their topic.
        self._publisher.flush_now(_DELIVERY_S)
        corrected = [row for row in rows if self._id_of(row) in self._wrong]
        for event in (*backfill_events(rows), *correction_events(self._series, corrected)):
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
        origin = Origin(reason, source, -1, -1, SERVICE, newest_trade=self._asked)
        self._publisher.send_dead_letter(dead_letter(origin, key, value))


def may_replace(row: Any, ident: int, wrong: Mapping[int, str | None]) -> bool:
    """Whether REST's row is what is missing, or what the trades of a wrong bar say."""
    if ident not in wrong:
        return True
    said = wrong[ident]
    return said is not None and is_as_said(row, said)


def correction_events(series: LedgerSeries, bars: Iterable[Any]) -> list[LedgerMessage]:
    """Ledger events of bars that were wrong, and were published again as their trades have them."""
    return [
        ledger_record(
            series,
            "revised",
            bar["open_time_ms"],
            bar["open_time_ms"],
            event_time_ms=bar["open_time_ms"],
            received_time_ms=bar["received_time_ms"],
            source="backfill",
            detail=AS_TRADES_SAY,
        )
        for bar in bars
    ]


def backfill_events(messages: Iterable[Any]) -> list[LedgerMessage]:
    """Ledger events of published bars or trades: `expected` and `repaired`.

    Args:
        messages: closed bars and trades of one instrument, in ascending order of their ids.
    """
    events: LedgerEvents | None = None
    for message in messages:
        events = events or LedgerEvents(message["exchange"], message["symbol"])
        bar = "open_time_ms" in message
        ident = message["open_time_ms"] if bar else number_of(message)
        for kind in ("expected", "repaired"):
            events.add(
                kind,
                "klines" if bar else "trades",
                message["interval"] if bar else None,
                ident,
                ident,
                event_ms=ident if bar else message["trade_time_ms"],
                received_ms=message["received_time_ms"],
                source="backfill",
            )
    return events.flush() if events is not None else []
