"""Reads bearings from Kafka: the progress topic whole, then each data topic from where progress points."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.bearings import SeriesBearings, klines_series, trades_series
from producers.progress import Progress, bearings_from, decode_progress, partition_of
from shared.errors import BrokerError, BrokerUnavailable, InvalidMessage
from shared.kafka import LIBRDKAFKA_LOG, Verdict, cause, consumer_config, verdict
from shared.messages import decode, message_key
from shared.topics import PROGRESS, TRADES, klines_topic
from shared.trade_ids import number_of

Answer = TypeVar("Answer")

_TIMEOUT_S: Final = 10.0
_SILENCE_S: Final = 30.0
_AGAIN_S: Final = 0.2
_BATCH: Final = 5_000
_BATCH_S: Final = 0.1  # a batch that is not full takes so long, the last one too


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the series of a process stand.

    Attributes:
        progress: what the progress topic says.
        bearings: what the data topics hold.
        markers: progress to be written before the first record of this run.
        begun_ms: when the trades of these symbols were first listened to, by the exchange's clock, where
            none of them reached the topic.
    """

    progress: dict[str, Progress]
    bearings: dict[str, SeriesBearings]
    markers: dict[str, Progress]
    begun_ms: dict[str, int]


class ProgressReader:
    """Reads once, at the start; commits nothing. Blocking: call it in a thread of its own."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        config = consumer_config(bootstrap_servers, "cryptostream.producer-bearings", "cryptostream-bearings")
        self._consumer = Consumer({**config, "enable.partition.eof": True}, logger=LIBRDKAFKA_LOG)

    def close(self) -> None:
        self._consumer.close()

    def standing(
        self, exchange: str, symbols: Sequence[str], intervals: Sequence[str], server_time_ms: int
    ) -> Standing:
        """Where all series of these symbols stand; `server_time_ms` is the exchange's clock."""
        places = {trades_series(exchange, symbol): (symbol, TRADES) for symbol in symbols}
        for interval in intervals:
            for symbol in symbols:
                places[klines_series(exchange, symbol, interval)] = (symbol, klines_topic(interval))
        progress = self.progress(frozenset(places))
        bearings = self.bearings(progress)
        now_ms = time.time_ns() // 1_000_000
        markers: dict[str, Progress] = {}
        for series, (symbol, topic) in places.items():
            known = progress.get(series)
            if known is None:
                partition = partition_of(message_key(exchange, symbol), len(self._partitions(topic)))
                end = self.end_offset(topic, partition)
                markers[series] = Progress(None, topic, partition, end, server_time_ms, now_ms)
            elif known.stopped:
                markers[series] = replace(known, stopped=False, updated_ms=now_ms)
        begun_ms = {
            symbol: known.event_time_ms
            for series, (symbol, topic) in places.items()
            if topic == TRADES and series not in bearings and (known := progress.get(series)) is not None
            if known.event_time_ms is not None
        }
        return Standing(progress, bearings, markers, begun_ms)

    def progress(self, series: frozenset[str]) -> dict[str, Progress]:
        """Newest progress of these series; those that never had any are absent."""
        places = [TopicPartition(PROGRESS, number, 0) for number in self._partitions(PROGRESS)]
        found: dict[str, Progress] = {}
        for record in self._records(places):
            key, value = (record.key() or b"").decode(errors="replace"), record.value()
            if key in series and value is not None:
                found[key] = decode_progress(value)
        return found

    def bearings(self, progress: Mapping[str, Progress]) -> dict[str, SeriesBearings]:
        """What the topics hold of these series: `progress` and the records after it."""
        found: dict[str, list[tuple[int, int]]] = {series: [] for series in progress}
        starts: dict[tuple[str, int], int] = {}
        for record in progress.values():
            if not record.stopped:
                place = (record.topic, record.partition)
                starts[place] = min(record.offset, starts.get(place, record.offset))
        readers = [TopicPartition(topic, partition, offset) for (topic, partition), offset in starts.items()]
        wanted = {
            (record.topic, _key_of(series)): (series, record.offset) for series, record in progress.items()
        }
        for message in self._records(readers):
            series_and_offset = wanted.get((message.topic() or "", message.key() or b""))
            if series_and_offset is not None and (message.offset() or 0) >= series_and_offset[1]:
                found[series_and_offset[0]].append(_identity(message))
        joined = {series: bearings_from(record, found[series]) for series, record in progress.items()}
        return {series: bearings for series, bearings in joined.items() if bearings is not None}

    def end_offset(self, topic: str, partition: int) -> int:
        """Offset that the next record of the partition will get at the earliest."""
        place = TopicPartition(topic, partition)
        _, end = self._asked(lambda: self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S))
        return int(end)

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

    def _records(self, places: list[TopicPartition]) -> Iterator[Message]:
        """All records from these places to the ends of their partitions."""
        unread = {(place.topic, place.partition) for place in places}
        self._consumer.assign(places)
        heard_at = time.monotonic()
        while unread:
            for message in self._consumer.consume(_BATCH, _BATCH_S):
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
            if time.monotonic() - heard_at > _SILENCE_S:
                raise BrokerUnavailable(
                    f"KAFKA_BOOTSTRAP_SERVERS: {self._bootstrap_servers} has been silent for "
                    f"{_SILENCE_S:.0f} s while reading {places[0].topic}; see whether the broker is well"
                )
        self._consumer.unassign()


def _key_of(series: str) -> bytes:
    """Record key of a series' instrument: `binance:BTCUSDC:klines:1m` → `binance:BTCUSDC`."""
    return ":".join(series.split(":")[:2]).encode()


def _identity(message: Message) -> tuple[int, int]:
    """(number or open time, event time in ms) of a record on a data topic."""
    kind, time_field = ("trade", "trade_time_ms") if message.topic() == TRADES else ("kline", "open_time_ms")
    try:
        content = decode(kind, message.value())
    except InvalidMessage as error:
        place = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        raise BrokerError(f"bearings: the record at {place} breaks the contract ({error})") from None
    return number_of(content) if kind == "trade" else content["open_time_ms"], content[time_field]
