"""Reads bearings from Kafka: the progress topic whole, then each data topic from where progress points."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.anchors import Place, Record, SeriesSearch
from producers.bearings import OpenHole, SeriesBearings, klines_series, trades_series
from producers.progress import BadProgress, Progress, decode_progress, partition_of
from shared.errors import BrokerError, BrokerUnavailable, InvalidMessage
from shared.intervals import interval_ms
from shared.kafka import LIBRDKAFKA_LOG, Verdict, cause, consumer_config, verdict
from shared.messages import decode, message_key
from shared.topics import PROGRESS, TRADES, klines_topic
from shared.trade_ids import number_of

_LOG = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_TIMEOUT_S: Final = 10.0
_SILENCE_S: Final = 30.0
_AGAIN_S: Final = 0.2
_BATCH: Final = 1_000
_BATCH_S: Final = 0.1  # a batch that is not full takes so long, the last one too
# A series of which only the marker of its first start is left: what came since may have been on the topic.
# Nothing lies unwritten for so long; later it is as new.
_YOUNG_MS: Final = 86_400_000
# Of a series, the newest first: a quarter of an hour at one a second.
_MOST_CANDIDATES: Final = 1_000
# As much as a series may write in 200 s, see `MS_A_HOLE`: a power cut takes half a minute.
_MOST_BYTES: Final = 2 * 2**20
_READING: Final = {
    "enable.partition.eof": True,
    # Progress shrinks to a tenth on the wire: within the usual bounds hundreds of its records lie in memory.
    "fetch.message.max.bytes": 2**16,
    "fetch.max.bytes": 2**20,
    "queued.max.messages.kbytes": 1_024,
    # Such a queue is full at every other fetch, and the usual second until the next was most of a start.
    "fetch.queue.backoff.ms": 5,
}
_NOTED_BATCH: Final = 1  # records of up to half a MB; those of two batches live at a time
_NOTHING: Final[Mapping[str, SeriesBearings]] = {}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the series of a process stand.

    Attributes:
        progress: what was found true of the progress topic.
        bearings: what the data topics hold.
        markers: progress to be written before the first record of this run.
        untrue: series whose progress their topics contradict, and that no marker replaces: to be deleted.
        begun_ms: when the trades of these symbols were first listened to, by the exchange's clock, where
            none of them is on the topic.
        bases: by symbol, the newest trade that the exchange had issued then, where that is known.
        seen: the last record of each series that its topic has.
        bad: to be put aside.
    """

    bad: tuple[BadProgress, ...]
    progress: dict[str, Progress] = field(default_factory=dict)
    bearings: dict[str, SeriesBearings] = field(default_factory=dict)
    markers: dict[str, Progress] = field(default_factory=dict)
    untrue: list[str] = field(default_factory=list)
    begun_ms: dict[str, int] = field(default_factory=dict)
    bases: dict[str, int] = field(default_factory=dict)
    seen: dict[str, Progress] = field(default_factory=dict)


class Noted:
    """The progress topic, read whole.

    Compaction leaves hundreds of records of a series with thousands of holes each, of which the newest few
    matter: only these are kept, and read once all have come.
    """

    def __init__(self) -> None:
        self._records: dict[str, deque[tuple[int, int, bytes, bytes]]] = {}
        self._bytes: dict[str, int] = {}

    def receive(self, message: Message, series: frozenset[str]) -> None:
        key, value = message.key() or b"", message.value()
        name = key.decode(errors="replace")
        if name not in series:
            return
        if value is None:
            self._records.pop(name, None)
            self._bytes.pop(name, None)
            return
        records = self._records.setdefault(name, deque())
        records.appendleft((message.partition() or 0, message.offset() or 0, key, value))
        self._bytes[name] = self._bytes.get(name, 0) + len(value)
        while len(records) > 1 and (len(records) > _MOST_CANDIDATES or self._bytes[name] > _MOST_BYTES):
            self._bytes[name] -= len(records.pop()[3])

    def read(self) -> tuple[dict[str, list[Progress]], list[BadProgress]]:
        """Records of each series, the newest first; and what nobody can read and no later one replaces."""
        candidates: dict[str, list[Progress]] = {}
        bad: list[BadProgress] = []
        for name, records in self._records.items():
            found: list[Progress] = []
            known: dict[OpenHole, OpenHole] = {}  # most are in all records: one object for each
            for at, (partition, offset, key, value) in enumerate(records):
                try:
                    progress = decode_progress(value)
                except InvalidMessage as error:
                    if at == 0:
                        bad.append(BadProgress(partition, offset, key, value, str(error)))
                    continue
                holes = tuple(known.setdefault(hole, hole) for hole in progress.missing)
                found.append(replace(progress, missing=holes))
            if found:
                candidates[name] = found
        return candidates, bad


class ProgressReader:
    """Reads once, at the start; commits nothing. Blocking: call it in a thread of its own."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        config = consumer_config(bootstrap_servers, "cryptostream.producer-bearings", "cryptostream-bearings")
        self._consumer = Consumer({**config, **_READING}, logger=LIBRDKAFKA_LOG)

    def close(self) -> None:
        self._consumer.close()

    def standing(
        self,
        exchange: str,
        symbols: Sequence[str],
        intervals: Sequence[str],
        server_time_ms: int,
        warmup_bars: int,
        *,
        stored: Mapping[str, SeriesBearings] = _NOTHING,
    ) -> Standing:
        """Where all series of these symbols stand.

        Args:
            server_time_ms: the exchange's clock.
            stored: where series stand by the store. Of one that Kafka has nothing of, only this is left to
                say that there was more.
        """
        topics = {trades_series(exchange, symbol): (symbol, TRADES, 1) for symbol in symbols}
        for symbol, interval in product(symbols, intervals):
            name = klines_series(exchange, symbol, interval)
            topics[name] = symbol, klines_topic(interval), interval_ms(interval)
        noted, bad = self.noted(frozenset(topics))
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
        standing = Standing(bad=tuple(bad), bases=bases, seen=_seen(places, searches, now_ms))
        for series, search in searches.items():
            candidates: Sequence[Progress] = noted.get(series, ())
            place = places[series]
            symbol, topic, _ = topics[series]
            known = search.progress
            if search.bearings is not None:
                standing.bearings[series] = search.bearings
            if known is not None:
                standing.progress[series] = known
                if known.stopped or known is not candidates[0] or series in unreadable:
                    standing.markers[series] = replace(known, stopped=False, after=0, updated_ms=now_ms)
            elif search.bearings is not None:
                if candidates or series in unreadable:
                    standing.untrue.append(series)
            else:
                before = None if candidates else stored.get(series)
                if before is not None:
                    standing.bearings[series] = _of_store(before, topic, place.step, warmup_bars)
                standing.markers[series] = _marker(place, candidates, before, server_time_ms, now_ms)
            _tell(series, candidates, search)
            if candidates and _begins_before(search, topic):
                began_ms = min(_times(candidates), default=server_time_ms)
                later = search.bearings.later if search.bearings is not None else ()
                if topic == TRADES:
                    standing.begun_ms[symbol] = began_ms
                elif server_time_ms - began_ms < _YOUNG_MS or any(
                    earlier.last_id is not None for earlier in candidates
                ):
                    standing.bearings[series] = replace(
                        _warmed(began_ms, place.step, warmup_bars), later=later
                    )
        return standing

    def contradicted(self, reached: Mapping[str, Progress]) -> list[str]:
        """Series whose topics no longer have the record that they had reached."""
        known = {series: progress for series, progress in reached.items() if progress.last_id is not None}
        places = {}
        for series, progress in known.items():
            bounds = self.bounds(progress.topic, progress.partition)
            places[series] = Place(progress.topic, progress.partition, *bounds, 1)
        # Where the offset itself is gone, a search would begin elsewhere at once.
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

    def noted(self, series: frozenset[str]) -> tuple[dict[str, list[Progress]], list[BadProgress]]:
        """What the progress topic says of these series, the newest first, and what of it nobody can read."""
        noted = Noted()
        places = [TopicPartition(PROGRESS, at, 0) for at in self._partitions(PROGRESS)]
        for message in self._records(places, batch=_NOTED_BATCH):
            noted.receive(message, series)
        return noted.read()

    def searched(
        self, places: Mapping[str, Place], candidates: Mapping[str, Sequence[Progress]]
    ) -> dict[str, SeriesSearch]:
        """What the data topics hold of these series: their searches, concluded."""
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
        unread = [TopicPartition(topic, partition, at) for (topic, partition), at in starts.items()]
        bad = 0

        def enough(topic: str, partition: int) -> bool:
            return all(search.satisfied for search in sharing[topic, partition])

        for message in self._records(unread, enough):
            found = wanted.get((message.topic() or "", message.key() or b""))
            if found is None:
                continue
            record = _record(message)
            if record is None:
                bad += 1
            else:
                found.receive(record)
        if bad:
            # The consumers put them aside, each once.
            _LOG.warning("bearings: %d records that break their contract are passed over", bad)

    def _place(self, topic: str, key: bytes, step: int) -> Place:
        partition = partition_of(key, len(self._partitions(topic)))
        low, high = self.bounds(topic, partition)
        return Place(topic, partition, low, high, step)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset that there is, and the one that the next record of the partition will get."""
        place = TopicPartition(topic, partition)
        low, high = self._asked(lambda: self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S))
        return int(low), int(high)

    def _partitions(self, topic: str) -> list[int]:
        topics = self._asked(lambda: self._consumer.list_topics(topic, timeout=_TIMEOUT_S)).topics
        return list(topics[topic].partitions)

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        """Ask the broker; again while it only needs a moment, as right after a topic was created."""
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                return ask()
            except KafkaException as exception:
                error = cause(exception)
                if verdict(error) is Verdict.FATAL or time.monotonic() >= deadline:
                    raise BrokerUnavailable(
                        f"KAFKA_BOOTSTRAP_SERVERS: {self._bootstrap_servers} does not answer ({error.str()});"
                        " see whether the broker is well"
                    ) from None
            self._consumer.poll(_AGAIN_S)

    def _records(
        self,
        places: list[TopicPartition],
        enough: Callable[[str, int], bool] | None = None,
        batch: int = _BATCH,
    ) -> Iterator[Message]:
        """All records from these places to the ends of their partitions, or until one has given enough."""
        unread = {(place.topic, place.partition) for place in places}
        self._consumer.assign(places)
        # librdkafka keeps a partition paused across assignments, and one was where it had given enough.
        self._consumer.resume(places)
        heard_at = time.monotonic()
        while unread:
            messages = self._consumer.consume(batch, _BATCH_S)
            for message in messages:
                heard_at = time.monotonic()
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard((message.topic() or "", message.partition() or 0))
                elif verdict(error) is Verdict.FATAL:
                    raise BrokerError(
                        f"Kafka at {self._bootstrap_servers}: bearings cannot be read: {error.str()}"
                    )
            if enough is not None:
                done = [place for place in unread if enough(*place)]
                self._consumer.pause([TopicPartition(*place) for place in done])
                unread.difference_update(done)
            if time.monotonic() - heard_at > _SILENCE_S:
                raise BrokerUnavailable(
                    f"KAFKA_BOOTSTRAP_SERVERS: {self._bootstrap_servers} has been silent for "
                    f"{_SILENCE_S:.0f} s while reading {places[0].topic}; see whether the broker is well"
                )
        self._consumer.unassign()


def _seen(
    places: Mapping[str, Place], searches: Mapping[str, SeriesSearch], now_ms: int
) -> dict[str, Progress]:
    return {
        series: Progress(last.ident, place.topic, place.partition, last.offset, last.time_ms, now_ms)
        for series, place in places.items()
        if (last := searches[series].last) is not None
    }


def _begins_before(search: SeriesSearch, topic: str) -> bool:
    """Whether a series begins somewhere before what its topic has of it.

    All that the topic had at first is gone, or was in hand when its producer was killed. So was, perhaps,
    what came before the first trade on the topic: the fill of it was on its way.
    """
    if search.bearings is None or search.beheaded:
        return True
    return topic == TRADES and search.progress is not None and search.progress.last_id is None


def _marker(
    place: Place,
    candidates: Iterable[Progress],
    before: SeriesBearings | None,
    server_time_ms: int,
    now_ms: int,
) -> Progress:
    """What a series begins with of which nothing is on its topic."""
    since_ms = server_time_ms if before is None else before.time_ms or before.last_id
    begun_ms = min(_times(candidates), default=since_ms)
    base = _base_of(candidates)
    return Progress(None, place.topic, place.partition, place.high, begun_ms, now_ms, base=base)


def _base_of(candidates: Iterable[Progress]) -> int | None:
    return min((known.base for known in candidates if known.base is not None), default=None)


def _of_store(before: SeriesBearings, topic: str, step: int, warmup_bars: int) -> SeriesBearings:
    # With the topics the state of indicators is gone, which earlier bars warm up.
    return before if topic == TRADES else _warmed(before.last_id, step, warmup_bars)


def _warmed(open_ms: int, step: int, warmup_bars: int) -> SeriesBearings:
    """Where a series of bars stands whose indicators have to be warmed up before this bar."""
    return SeriesBearings((open_ms // step - warmup_bars - 1) * step)


def _times(candidates: Iterable[Progress]) -> Iterator[int]:
    return (progress.event_time_ms for progress in candidates if progress.event_time_ms is not None)


def _tell(series: str, candidates: Iterable[Progress], search: SeriesSearch) -> None:
    newest = next(iter(candidates), None)
    if newest is None or search.progress is newest:
        return
    _LOG.warning(
        "%s: its progress says %s at offset %d, but the topic does not have that: what it has counts (%s)",
        series,
        newest.last_id,
        newest.offset,
        "nothing" if search.bearings is None else f"all up to {search.bearings.last_id}, some behind",
    )


def _key_of(series: str) -> bytes:
    """Record key of a series' instrument: `binance:BTCUSDC:klines:1m` → `binance:BTCUSDC`."""
    return ":".join(series.split(":")[:2]).encode()


def _record(message: Message) -> Record | None:
    """What a record of a data topic says of itself; None if it breaks its contract."""
    kind, time_field = ("trade", "trade_time_ms") if message.topic() == TRADES else ("kline", "open_time_ms")
    try:
        content = decode(kind, message.value())
    except InvalidMessage:
        return None
    ident = number_of(content) if kind == "trade" else content["open_time_ms"]
    repaired = kind == "trade" and content["source"] == "backfill"
    return Record(message.offset() or 0, ident, content[time_field], repaired)
