"""Where each series of a process goes on: read at its start, of Kafka and the exchange."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from producers.assignment import Assignment
from producers.dead_letters import Rejections
from producers.exchanges.port import Exchange
from producers.exchanges.rest_port import Rest
from producers.progress import ProgressLog
from producers.progress_reader import ProgressReader, StartState
from producers.progress_writer import ProgressWriter
from producers.publisher import Publisher
from producers.read_back import NOTHING_READ, ReadBack, windows_of, windows_of_built
from producers.start_positions import StartPosition, trades_series
from producers.stream_health import Entry
from producers.topic_ends import TopicEnds
from producers.uncarried_spans import stored_spans
from shared.background import Background
from shared.backoff import Backoff
from shared.errors import ExchangeRefused, ExchangeUnavailable, ExchangeUnreadable
from shared.kafka import KafkaClients
from shared.settings import Settings
from shared.trade_ids import EPOCH_SPAN, split

_LOG = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# Brokers that have just come up are slow to take a first record on all partitions.
_MARKERS_S: Final = 30.0
_DAY_MS: Final = 86_400_000


class Start(NamedTuple):
    """Attributes:
    positions: where each series goes on; one without an entry begins.
    begun_ms: by symbol whose trade base an earlier process did not find out, its first subscription.
    read_back: by symbol, what the topics have of the last minutes.
    uncarried: by symbol, spans of its streams that an earlier process left open or has just ended.
    """

    positions: Mapping[str, StartPosition]
    begun_ms: Mapping[str, int] = {}
    read_back: Mapping[str, ReadBack] = {}
    uncarried: Mapping[str, Sequence[Entry]] = {}


class StartReader:
    """Reads once.

    Args:
        broker: the worker of blocking calls; a stop does not wait for it.
    """

    def __init__(
        self,
        settings: Settings,
        assignment: Assignment,
        exchange: Exchange,
        rest: Rest,
        *,
        kafka: KafkaClients,
        publisher: Publisher,
        progress: ProgressWriter,
        rejections: Rejections,
        broker: Background,
    ) -> None:
        self._settings = settings
        self._assignment = assignment
        self._exchange = exchange
        self._rest = rest
        self._kafka = kafka
        self._publisher = publisher
        self._progress = progress
        self._rejections = rejections
        self._broker = broker

    async def read(self) -> Start:
        """Where each series goes on; the topics have markers then that records may follow.

        Raises:
            BrokerError: they cannot be read.
        """
        if self._assignment.start_positions is not None or self._assignment.memory_broker:
            positions = self._assignment.start_positions or {}
            open_spans = stored_spans(positions, self._exchange.name, self._assignment.symbols)
            return Start(positions, uncarried=open_spans)
        # By the exchange's clock: no trade received from now on can be older.
        server_time_ms = await retrying(self._rest.time_ms)
        state, read_back = await asyncio.wrap_future(
            self._broker.submit(lambda: self._read_topics(server_time_ms))
        )
        start_positions, begun_ms = dict(state.start_positions), dict[str, int]()
        for symbol, since_ms in state.begun_ms.items():
            # The earlier process was killed before its first trades were delivered: REST still has them.
            first = await self._first_since(symbol, since_ms, server_time_ms, state.bases.get(symbol))
            series = trades_series(self._exchange.name, symbol)
            if first is None:
                begun_ms[symbol] = since_ms  # asked again while the streams are read
                continue
            known = start_positions.get(series, StartPosition(first - 1))
            epoch, _ = split(known.last_id)
            if known.later and split(known.later[-1].last)[0] != epoch:
                continue  # ids have begun anew since: REST no longer knows the first one before
            start_positions[series] = replace(
                known, last_id=min(known.last_id, epoch * EPOCH_SPAN + first - 1)
            )
        return Start(start_positions, begun_ms, read_back, state.uncarried)

    async def _first_since(
        self, symbol: str, begun_ms: int, server_time_ms: int, base: int | None
    ) -> int | None:
        """The first trade since the first subscription to a symbol; None if REST does not say now."""
        if base is not None:
            return base + 1

        async def ask() -> int | None:
            try:
                return await self._rest.first_trade(symbol, begun_ms, server_time_ms + _DAY_MS)
            except ExchangeUnreadable as error:
                # It may stay so, and the streams can be read meanwhile.
                raise ExchangeRefused(str(error)) from error

        try:
            return await retrying(ask)
        except ExchangeRefused as refusal:
            _LOG.warning("%s: the trade base is not known yet: %s", symbol, refusal)
            return None

    def _read_topics(self, server_time_ms: int) -> tuple[StartState, dict[str, ReadBack]]:
        """Read what Kafka has of our series, and write markers. Blocking."""
        # Bars that are built are not warmed up by earlier ones: a series goes on where it began.
        native = self._exchange.promises.bars.source == "native"
        warmup_bars = self._settings.warmup_bars if native else 0
        with closing(ProgressReader(self._settings.kafka_bootstrap_servers, self._kafka)) as reader:
            state = reader.start_state(
                self._exchange.name,
                self._assignment.symbols,
                self._assignment.intervals,
                server_time_ms,
                warmup_bars,
                stored=self._assignment.stored,
            )
        read_back = self._read_topic_ends(state, server_time_ms, native=native)
        for bad in state.bad:
            self._rejections.reject_progress(bad)
        self._progress.forget(state.untrue)
        # Records may follow from now on: no reader may assume that the progress is the end.
        self._progress.write(state.markers)
        self._publisher.flush_now(_MARKERS_S)
        self._progress.begin(ProgressLog({**state.progress, **state.markers}, state.seen), state.uncarried)
        return state, read_back

    def _read_topic_ends(
        self, state: StartState, server_time_ms: int, *, native: bool
    ) -> dict[str, ReadBack]:
        """Read back bars, and what the exchange's own are compared with. Blocking."""
        of = self._exchange.name, self._assignment.symbols, self._assignment.intervals, server_time_ms
        positions = state.start_positions
        every = (
            [windows_of(*of, seen=state.seen, start_positions=positions)]
            if native
            else windows_of_built(*of, start_positions=positions)
        )
        every = [windows for windows in every if windows.begins_ms]
        if not every:
            return {}
        found: dict[str, ReadBack] = {}
        with closing(TopicEnds(self._settings.kafka_bootstrap_servers, self._kafka)) as ends:
            for windows in every:
                for symbol, read in ends.read_back(self._exchange.name, windows).items():
                    before = found.get(symbol, NOTHING_READ)
                    found[symbol] = ReadBack(before.trades + read.trades, before.bars + read.bars)
        return found


async def retrying(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Retry until the exchange answers: a transient error ends no service."""
    backoff = Backoff(random.random)
    while True:
        try:
            return await ask()
        except ExchangeUnavailable as error:
            delay_s = backoff.failed(error.retry_after)
            _LOG.warning("%s; trying again in %.1f s", error, delay_s)
            await asyncio.sleep(delay_s)
