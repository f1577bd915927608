"""What is kept of the progress topic while it is read."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import Producer

from cryptostream.run.broker import MemoryBroker
from producers.progress import Progress
from producers.progress_reader import ProgressReader, ProgressRecords
from producers.start_positions import OpenHole
from shared.kafka import producer_config
from shared.messages import encode
from shared.topics import PROGRESS, TRADES
from tests.builders import trade

SERIES = "binance:BTCUSDC:trades"


class Record:
    """A message of Kafka."""

    def __init__(self, offset: int, value: bytes | None, series: str = SERIES) -> None:
        self._offset, self._value, self._series = offset, value, series

    def key(self) -> bytes:
        return self._series.encode()

    def value(self) -> bytes | None:
        return self._value

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return self._offset


def read(*values: bytes | None) -> ProgressRecords:
    noted = ProgressRecords()
    for offset, value in enumerate(values):
        message: Any = Record(offset, value)
        noted.receive(message, frozenset([SERIES]))
    return noted


def at(last_id: int, holes: int = 0) -> Progress:
    missing = tuple(OpenHole(2 * number, 2 * number, 1_000, 1_100) for number in range(holes))
    return Progress(last_id, "market.trades", 3, last_id, 1_000, 2_000, missing=missing)


def test_candidates_are_the_newest_first() -> None:
    candidates, bad = read(at(1).encode(), at(2).encode()).read()
    assert candidates == {SERIES: [at(2), at(1)]}
    assert not bad


def test_of_records_with_many_holes_the_newest_few_are_kept_and_their_holes_once() -> None:
    written = [at(10_000 + number, holes=4_000).encode() for number in range(20)]
    found = read(*written).read()[0][SERIES]
    assert found[0] == at(10_019, holes=4_000)
    assert [progress.last_id for progress in found] == list(range(10_019, 10_019 - len(found), -1))
    assert sum(len(value) for value in written[-len(found) :]) <= 2 * 2**20
    assert len(found) > 3
    assert len({id(hole) for progress in found for hole in progress.missing}) == 4_000


def test_what_nobody_can_read_is_bad_until_a_later_record_replaces_it() -> None:
    candidates, bad = read(at(1).encode(), b"garbage").read()
    assert candidates == {SERIES: [at(1)]}
    assert [(each.partition, each.offset, each.value) for each in bad] == [(3, 1, b"garbage")]
    assert read(at(1).encode(), b"garbage", at(2).encode()).read() == ({SERIES: [at(2), at(1)]}, [])


def test_a_record_that_is_deleted_leaves_nothing() -> None:
    assert read(at(1).encode(), b"garbage", None).read() == ({}, [])


# A process of its own, whose memory is that of the reading.
_READING = """
import sys
from producers.progress_reader import ProgressReader
def most_mb():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1_024
reader = ProgressReader(sys.argv[1])
before = most_mb()
found, _ = reader.noted(frozenset(sys.argv[2:]))
print(most_mb() - before, *(found[series][0].last_id for series in sys.argv[2:]))
reader.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process' memory from /proc")
def test_hundreds_of_records_with_many_holes_do_not_lie_in_memory() -> None:
    broker = MemoryBroker("", ["1m"])
    producer = Producer(producer_config(broker.address, "test", memory_broker=True))
    series = [f"binance:{symbol}:trades" for symbol in ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")]
    for number in range(80):
        value = at(10_000 + number, holes=4_000).encode()
        for partition, name in enumerate(series):
            producer.produce(PROGRESS, value, name.encode(), partition)
        producer.flush(30)
    said = subprocess.run(
        [sys.executable, "-c", _READING, broker.address, *series],
        capture_output=True,
        check=True,
        timeout=120,
    )
    broker.stop()
    grown_mb, *newest = map(float, said.stdout.split())
    assert newest == [10_079] * 4
    assert grown_mb < 24


def test_a_series_that_was_found_is_found_again_by_the_same_reader() -> None:
    """After each return of the broker one reader asks whether the topics still hold what they held."""
    broker = MemoryBroker("", [])
    try:
        producer = Producer(producer_config(broker.address, "test", memory_broker=True))
        for number in range(5_000):
            producer.produce(TRADES, encode(trade(trade_id=number)), b"binance:BTCUSDC", 3)
            producer.poll(0)
        assert producer.flush(30) == 0
        reached = Progress(10, TRADES, 3, 10, 1_000, 2_000)
        with closing(ProgressReader(broker.address)) as reader:
            assert [reader.contradicted({SERIES: reached}) for _ in range(3)] == [[], [], []]
    finally:
        broker.stop()
