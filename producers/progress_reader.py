"""Reads start positions from Kafka: the whole progress topic, then each data topic from its progress on."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final
from zlib import crc32

from confluent_kafka import Message

from producers.progress import BadProgress, Entered, Progress, decode_progress
from producers.series_search import Place, Record, SeriesSearch
from producers.start_positions import OpenHole, StartPosition, klines_series, trades_series
from producers.stream_health import Entry
from producers.uncarried_spans import SpanRecords
from shared.errors import InvalidMessage
from shared.intervals import interval_ms
from shared.kafka import KAFKA, KafkaClients, consumer_config
from shared.kafka_reader import (
    answered,
    does_not_answer,
    fatal_alone,
    partitions_of,
    read_to_end,
    records_at,
    watermarks,
)
from shared.messages import decode, message_key
from shared.partitioner import partition_of
from shared.topics import LEDGER, PROGRESS, TRADES, klines_topic
from shared.trade_ids import number_of

_LOG = logging.getLogger(__name__)

_SILENCE_S: Final = 30.0
_BATCH: Final = 1_000
_BATCH_S: Final = 0.1  # how long a batch that is not full takes
# A series with only the marker of its first start may have lost records to a power cut, if the marker is
# younger than this: nothing stays unwritten for so long. An older one counts as new.
_YOUNG_MS: Final = 86_400_000
# Progress records kept of a series: a quarter of an hour at one a second.
_MOST_CANDIDATES: Final = 1_000
# As much as a series may write in 200 s, see `MS_A_HOLE`: a power cut removes half a minute.
_MOST_BYTES: Final = 2 * 2**20
_READING: Final = {
    "enable.partition.eof": True,
    # Compressed, progress is a tenth: within the usual bounds hundreds of its records would be in memory.
    "fetch.message.max.bytes": 2**16,
    "fetch.max.bytes": 2**20,
    "queued.max.messages.kbytes": 1_024,
    # So small a queue is often full, and the default of a second until the next fetch took most of a start.
    "fetch.queue.backoff.ms": 5,
}
_PROGRESS_BATCH: Final = 1  # records of up to half a MB; two batches are in memory at a time
_NOTHING: Final[Mapping[str, StartPosition]] = {}


@dataclass(frozen=True, slots=True)
class StartState:
    """What Kafka has of the series of a process.

    Attributes:
        progress: true records of the progress topic.
        start_positions: what the data topics hold.
        markers: progress to be written before the first record of this run.
        untrue: series whose progress their topics contradict, and that no marker replaces, and spans that
            nobody can read: to be deleted.
        begun_ms: by symbol without trades on the topic, time of the first subscription, by the exchange's
            clock.
        bases: by symbol, the newest trade issued before the first subscription, where known.
        seen: the last record of each series on its topic.
        uncarried: by symbol, spans of its streams that an earlier process left open or has just ended.
        bad: for the dead letters.
    """

    bad: tuple[BadProgress, ...]
    progress: dict[str, Progress] = field(default_factory=dict)
    start_positions: dict[str, StartPosition] = field(default_factory=dict)
    markers: dict[str, Progress] = field(default_factory=dict)
    untrue: list[str] = field(default_factory=list)
    begun_ms: dict[str, int] = field(default_factory=dict)
    bases: dict[str, int] = field(default_factory=dict)
    seen: dict[str, Progress] = field(default_factory=dict)
    uncarried: dict[str, Sequence[Entry]] = field(default_factory=dict)


class ProgressRecords:
    """The newest progress records of each series, decoded only once the topic has been read.

    Compaction leaves hundreds of records of a series, with thousands of holes each. Where the topic has got
    more partitions a series may have records in two: their order is that of their times.
    """

    def __init__(self) -> None:
        self._records: dict[str, dict[int, deque[tuple[int, int, bytes, bytes]]]] = {}
        self._bytes: dict[tuple[str, int], int] = {}

    def receive(self, message: Message, series: frozenset[str]) -> None:
        key, value, partition = message.key() or b"", message.value(), message.partition() or 0
        name = key.decode(errors="replace")
        if name not in series:
            return
        of_series, at = self._records.setdefault(name, {}), (name, partition)
        if value is None:
            of_series.pop(partition, None)
            self._bytes.pop(at, None)
            return
        records = of_series.setdefault(partition, deque())
        records.appendleft((partition, message.offset() or 0, key, value))
        self._bytes[at] = self._bytes.get(at, 0) + len(value)
        while len(records) > 1 and (len(records) > _MOST_CANDIDATES or self._bytes[at] > _MOST_BYTES):
            self._bytes[at] -= len(records.pop()[3])

    def read(self) -> tuple[dict[str, list[Progress]], list[BadProgress]]:
        """Records of each series, the newest first; and unreadable ones that no later one replaces."""
        candidates: dict[str, list[Progress]] = {}
        bad: list[BadProgress] = []
        for name, of_series in self._records.items():
            found: list[Progress] = []
            known: dict[OpenHole, OpenHole] = {}  # most are in all records: shared
            for records in of_series.values():
                for at, (partition, offset, key, value) in enumerate(records):
                    try:
                        progress = decode_progress(value)
                    except InvalidMessage as error:
                        if at == 0:
                            bad.append(BadProgress(partition, offset, key, value, str(error)))
                        continue
                    holes = tuple(known.setdefault(hole, hole) for hole in progress.missing)
                    found.append(replace(progress, missing=holes))
            if len(of_series) > 1:
                found.sort(key=lambda progress: progress.updated_ms, reverse=True)
            if found:
                candidates[name] = found
        return candidates, bad


class ProgressReader:
    """Reads once, at the start; commits no offsets. Blocking: call it in a thread of its own."""

    def __init__(self, bootstrap_servers: str, kafka: KafkaClients = KAFKA) -> None:
        self._bootstrap_servers = bootstrap_servers
        config = consumer_config(bootstrap_servers, "cryptostream.start-positions", "cryptostream-start")
        self._consumer = kafka.consumer({**config, **_READING})

    def close(self) -> None:
        self._consumer.close()

    def start_state(
        self,
        exchange: str,
        symbols: Sequence[str],
        intervals: Sequence[str],
        server_time_ms: int,
        warmup_bars: int,
        *,
        stored: Mapping[str, StartPosition] = _NOTHING,
    ) -> StartState:
        """What Kafka has of all series of these symbols.

        Args:
            server_time_ms: the exchange's clock.
            stored: start positions by the store, for series of which Kafka has nothing.
        """
        topics = {trades_series(exchange, symbol): (symbol, TRADES, 1) for symbol in symbols}
        for symbol, interval in product(symbols, intervals):
            name = klines_series(exchange, symbol, interval)
            topics[name] = symbol, klines_topic(interval), interval_ms(interval)
        records = SpanRecords(exchange, symbols)
        noted, bad = self.noted(frozenset(topics), records)
        unreadable = {each.key.decode(errors="replace") for each in bad}
        places = {
            series: self._place(topic, message_key(exchange, symbol), step)
            for series, (symbol, topic, step) in topics.items()
        }
        searches = self.searched(places, noted)
        now_ms = time.time_ns() // 1_000_000
        bases = {
            symbol: base
            for symbol in symbols
            if (base := _base_of(noted.get(trades_series(exchange, symbol), ()))) is not None
        }
        uncarried, bad_spans = records.read(server_time_ms)
        state = StartState(
            bad=(*bad, *bad_spans),
            bases=bases,
            seen=_seen(places, searches, now_ms),
            untrue=[each.key.decode() for each in bad_spans],
            uncarried=uncarried,
        )
        for series, search in searches.items():
            candidates: Sequence[Progress] = noted.get(series, ())
            place = places[series]
            symbol, topic, _ = topics[series]
            known = search.progress
            if search.start_positions is not None:
                state.start_positions[series] = search.start_positions
            if known is not None:
                state.progress[series] = known
                if known.stopped or known is not candidates[0] or series in unreadable:
                    state.markers[series] = replace(known, stopped=False, after=0, updated_ms=now_ms)
            elif search.start_positions is not None:
                if candidates or series in unreadable:
                    state.untrue.append(series)
            else:
                before = None if candidates else stored.get(series)
                if before is not None:
                    state.start_positions[series] = _of_store(before, topic, place.step, warmup_bars)
                state.markers[series] = _marker(place, candidates, before, server_time_ms, now_ms)
            _warn_if_untrue(series, candidates, search)
            if candidates and _begins_before(search, topic):
                began_ms = min(_times(candidates), default=server_time_ms)
                later = search.start_positions.later if search.start_positions is not None else ()
                if topic == TRADES:
                    state.begun_ms[symbol] = began_ms
                elif server_time_ms - began_ms < _YOUNG_MS or any(
                    earlier.last_id is not None for earlier in candidates
                ):
                    state.start_positions[series] = replace(
                        _warmed(began_ms, place.step, warmup_bars), later=later
                    )
        return state

    def contradicted(self, reached: Mapping[str, Progress]) -> list[str]:
        """Series whose topics have lost the record that they had reached."""
        known = {series: progress for series, progress in reached.items() if progress.last_id is not None}
        places = {}
        for series, progress in known.items():
            bounds = self.bounds(progress.topic, progress.partition)
            places[series] = Place(progress.topic, progress.partition, *bounds, 1)
        # If the offset itself is gone, a search would begin elsewhere.
        gone = [series for series, place in places.items() if known[series].offset >= place.high]
        searches = {
            series: SeriesSearch(place, [replace(known[series], stopped=True, after=0)])
            for series, place in places.items()
            if series not in gone
        }
        left = {series: search for series, search in searches.items() if search.start is not None}
        if left:
            self._round(places, left)
        for series, search in left.items():
            search.conclude()
            if search.progress is None:
                gone.append(series)
        return gone

    def lost_events(self, entered: Mapping[int, Entered]) -> list[int]:
        """Partitions of the ledger topic that have lost the event named."""
        lost, left = [], {}
        for partition, event in entered.items():
            low, high = self.bounds(LEDGER, partition)
            if event.offset >= high:
                lost.append(partition)
            elif event.offset >= low:  # else it has expired; no cut reaches that far back
                left[LEDGER, partition] = event.offset
        found = records_at(self._consumer, left, lambda _: self._silence(LEDGER), within_s=_SILENCE_S)
        for (_, partition), record in found.items():
            if record is None or _crc(record) != entered[partition].crc:
                lost.append(partition)
        return sorted(lost)

    def noted(
        self, series: frozenset[str], spans: SpanRecords | None = None
    ) -> tuple[dict[str, list[Progress]], list[BadProgress]]:
        """Progress records of these series, the newest first, and the unreadable ones; `spans` takes its own
        of the same reading."""
        noted = ProgressRecords()
        starts = {(PROGRESS, at): 0 for at in self._partitions(PROGRESS)}
        for message in self._records(starts, batch=_PROGRESS_BATCH):
            noted.receive(message, series)
            if spans is not None:
                at = message.partition() or 0, message.offset() or 0
                spans.receive(message.key() or b"", *at, message.value())
        return noted.read()

    def searched(
        self, places: Mapping[str, Place], candidates: Mapping[str, Sequence[Progress]]
    ) -> dict[str, SeriesSearch]:
        """The concluded searches of these series on their data topics."""
        searches = {
            series: SeriesSearch(place, candidates.get(series, ())) for series, place in places.items()
        }
        left = {series: search for series, search in searches.items() if search.start is not None}
        while left:
            self._round(places, left)
            left = {series: search for series, search in left.items() if not search.conclude()}
        return searches

    def _round(self, places: Mapping[str, Place], left: Mapping[str, SeriesSearch]) -> None:
        starts: dict[tuple[str, int], int] = {}
        wanted: dict[tuple[str, bytes], SeriesSearch] = {}
        sharing: dict[tuple[str, int], list[SeriesSearch]] = {}
        for series, search in left.items():
            at = places[series].topic, places[series].partition
            assert search.start is not None
            starts[at] = min(search.start, starts.get(at, search.start))
            wanted[at[0], _key_of(series)] = search
            sharing.setdefault(at, []).append(search)
        bad = 0

        def enough(topic: str, partition: int) -> bool:
            return all(search.satisfied for search in sharing[topic, partition])

        for message in self._records(starts, enough):
            found = wanted.get((message.topic() or "", message.key() or b""))
            if found is None:
                continue
            record = _record(message)
            if record is None:
                bad += 1
            else:
                found.receive(record)
        if bad:
            # The consumers send each of them to the dead letters.
            _LOG.warning("start positions: %d records break their contract and are skipped", bad)

    def _place(self, topic: str, key: bytes, step: int) -> Place:
        partition = partition_of(key, len(self._partitions(topic)))
        low, high = self.bounds(topic, partition)
        return Place(topic, partition, low, high, step)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset of a partition, and offset of its next record."""
        return watermarks(self._consumer, (topic, partition), does_not_answer(self._bootstrap_servers))

    def _partitions(self, topic: str) -> list[int]:
        return answered(
            lambda: partitions_of(self._consumer, topic), does_not_answer(self._bootstrap_servers)
        )

    def _records(
        self,
        starts: Mapping[tuple[str, int], int],
        enough: Callable[[str, int], bool] | None = None,
        batch: int = _BATCH,
    ) -> Iterator[Message]:
        """All records from these offsets to the ends of their partitions, or until one has given enough."""
        yield from read_to_end(
            self._consumer,
            starts,
            silent=self._silence(next(iter(starts))[0]),
            unreadable=fatal_alone(f"Kafka at {self._bootstrap_servers}: start positions cannot be read"),
            batch=batch,
            poll_s=_BATCH_S,
            patience_s=_SILENCE_S,
            enough=enough,
        )
        self._consumer.unassign()

    def _silence(self, topic: str) -> str:
        return (
            f"KAFKA_BOOTSTRAP_SERVERS: {self._bootstrap_servers} has been silent for "
            f"{_SILENCE_S:.0f} s while reading {topic}; see whether the broker is well"
        )


def _crc(record: Message) -> int:
    return crc32(bytes(record.value() or b""), crc32(bytes(record.key() or b"")))


def _seen(
    places: Mapping[str, Place], searches: Mapping[str, SeriesSearch], now_ms: int
) -> dict[str, Progress]:
    return {
        series: Progress(last.ident, place.topic, place.partition, last.offset, last.time_ms, now_ms)
        for series, place in places.items()
        if (last := searches[series].last) is not None
    }


def _begins_before(search: SeriesSearch, topic: str) -> bool:
    """Whether a series begins before the first record on its topic.

    Its first records are lost, or were not delivered when the producer was killed. So may be the fill of the
    trades before the first one on the topic.
    """
    if search.start_positions is None or search.beginning_lost:
        return True
    return topic == TRADES and search.progress is not None and search.progress.last_id is None


def _marker(
    place: Place,
    candidates: Iterable[Progress],
    before: StartPosition | None,
    server_time_ms: int,
    now_ms: int,
) -> Progress:
    """The marker of a series without records on its topic."""
    since_ms = server_time_ms if before is None else before.time_ms or before.last_id
    begun_ms = min(_times(candidates), default=since_ms)
    base = _base_of(candidates)
    return Progress(None, place.topic, place.partition, place.high, begun_ms, now_ms, base=base)


def _base_of(candidates: Iterable[Progress]) -> int | None:
    return min((known.base for known in candidates if known.base is not None), default=None)


def _of_store(before: StartPosition, topic: str, step: int, warmup_bars: int) -> StartPosition:
    # With the topics the state of indicators is lost: earlier bars warm them up.
    return before if topic == TRADES else _warmed(before.last_id, step, warmup_bars)


def _warmed(open_ms: int, step: int, warmup_bars: int) -> StartPosition:
    """The start position of bars whose indicators have to be warmed up before this bar."""
    return StartPosition((open_ms // step - warmup_bars - 1) * step)


def _times(candidates: Iterable[Progress]) -> Iterator[int]:
    return (progress.event_time_ms for progress in candidates if progress.event_time_ms is not None)


def _warn_if_untrue(series: str, candidates: Iterable[Progress], search: SeriesSearch) -> None:
    newest = next(iter(candidates), None)
    if newest is None or search.progress is newest:
        return
    _LOG.warning(
        "%s: progress says %s at offset %d, which the topic does not have; starting from what it has (%s)",
        series,
        newest.last_id,
        newest.offset,
        "nothing"
        if search.start_positions is None
        else f"all up to {search.start_positions.last_id}, some after it",
    )


def _key_of(series: str) -> bytes:
    """Record key of a series' instrument: `binance:BTCUSDC:klines:1m` → `binance:BTCUSDC`."""
    return ":".join(series.split(":")[:2]).encode()


def _record(message: Message) -> Record | None:
    """A record of a data topic; None if it breaks its contract."""
    kind, time_field = ("trade", "trade_time_ms") if message.topic() == TRADES else ("kline", "open_time_ms")
    try:
        content = decode(kind, message.value())
    except InvalidMessage:
        return None
    ident = number_of(content) if kind == "trade" else content["open_time_ms"]
    repaired = kind == "trade" and content["source"] == "backfill"
    return Record(message.offset() or 0, ident, content[time_field], repaired)
