"""Reads the topics of a run whole, and holds each record against the laws of its topic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from cryptostream.chaos.topic_laws import DepthLaw, KlineLaw, TopicReport, TradeLaw
from shared.errors import BrokerUnavailable
from shared.kafka import LIBRDKAFKA_LOG, consumer_config
from shared.topics import BOOK, DEAD_LETTERS, DEPTH, TRADES, klines_topic

_TIMEOUT_S: Final = 10.0
# A batch is waited for to the end of its time, the last of each topic in vain.
_BATCH: Final = 5_000
_BATCH_S: Final = 0.1
_SILENCES: Final = 300


def read_topics(bootstrap_servers: str, intervals: Sequence[str]) -> TopicReport:
    """Everything on the data topics, judged.

    Raises:
        BrokerUnavailable: the broker stops answering.
    """
    reader = _TopicReader(bootstrap_servers)
    report = TopicReport()
    try:
        _trades(reader, report)
        for interval in intervals:
            _bars(reader, interval, report)
        _books(reader, report)
        report.dead_letters = sum(1 for _ in reader.values(DEAD_LETTERS))
    finally:
        reader.close()
    return report


def _trades(reader: _TopicReader, report: TopicReport) -> None:
    laws: dict[str, TradeLaw] = {}
    for message in reader.messages(TRADES):
        law = laws.setdefault(message["symbol"], TradeLaw(message["symbol"]))
        report.differences.update(law.receive(message))
    report.trades = {symbol: law.ids for symbol, law in laws.items()}
    report.late_trades = {symbol: law.late for symbol, law in laws.items()}


def _bars(reader: _TopicReader, interval: str, report: TopicReport) -> None:
    laws: dict[str, KlineLaw] = {}
    for message in reader.messages(klines_topic(interval)):
        law = laws.setdefault(message["symbol"], KlineLaw(message["symbol"], interval))
        report.differences.update(law.receive(message))
    for symbol, law in laws.items():
        if law.first_ms is not None:
            report.firsts_ms[symbol, interval] = law.first_ms
            report.bar_holes[symbol, interval] = law.holes


def _books(reader: _TopicReader, report: TopicReport) -> None:
    books: defaultdict[str, dict[int, Any]] = defaultdict(dict)
    for message in reader.messages(BOOK):
        if message["synced"]:
            books[message["symbol"]][message["update_id"]] = message
    laws: dict[str, DepthLaw] = {}
    for message in reader.messages(DEPTH):
        law = laws.setdefault(message["symbol"], DepthLaw(message["symbol"]))
        report.differences.update(law.receive(message))
        book = books[message["symbol"]].pop(message["final_update_id"], None)
        if book is not None:
            report.books += 1
            report.differences.update(law.compare(book))
    report.unreplayed = sum(map(len, books.values()))
    report.depth_holes = sum(law.holes for law in laws.values())


class _TopicReader:
    def __init__(self, bootstrap_servers: str) -> None:
        config = consumer_config(bootstrap_servers, "cryptostream.chaos-reader", "cryptostream-chaos")
        self._consumer = Consumer(
            {**config, "enable.partition.eof": True, "log_level": 0}, logger=LIBRDKAFKA_LOG
        )

    def messages(self, topic: str) -> Iterator[dict[str, Any]]:
        return map(orjson.loads, self.values(topic))

    def values(self, topic: str) -> Iterator[bytes]:
        """All values from the beginning to the present end."""
        partitions = self._consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        unread, silences = set(partitions), 0
        while unread:
            batch = self._consumer.consume(_BATCH, _BATCH_S)
            silences = 0 if batch else silences + 1
            if silences > _SILENCES:
                raise BrokerUnavailable(f"{topic} cannot be read to its end: Kafka is silent")
            for message in batch:
                error, value = message.error(), message.value()
                if error is None and value is not None:
                    yield value
                elif error is not None and error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition() or 0)

    def close(self) -> None:
        self._consumer.close()
