"""Tens of thousands of broken frames among good ones: each is a dead letter, every good one is published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import orjson
import pytest

from cryptostream.topics_admin import ensure_topics
from shared.topics import DEAD_LETTERS, METRICS
from tests.bad_frames import bad_frames, frame
from tests.builders import NOW_MS
from tests.conftest import real_kafka
from tests.integration.fake_exchange import fake_exchange
from tests.integration.producer_harness import Reader, Run, trade_ids, until

BAD, GOOD = 50_000, 500
SEED = 20261121


def mixed(bad: list[bytes], symbol: str) -> Iterator[bytes]:
    """A good trade after every hundredth bad frame."""
    left = iter(bad)
    for number in range(GOOD):
        yield from islice(left, BAD // GOOD)
        yield orjson.dumps(frame("trade", symbol, NOW_MS, 5_000 + number))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A Kafka of its own: all its dead letters are of this test."""
    with real_kafka(tmp_path) as server:
        ensure_topics(server.bootstrap_servers, ("1m",))
        yield server.bootstrap_servers


def counted(reader: Reader) -> int:
    """Dead letters, as the producer says of itself."""
    said = [orjson.loads(record.value()) for record in reader.records(METRICS, "producer")]
    return max((message["dead_letters"] for message in said), default=0)


def test_every_broken_frame_is_a_dead_letter_and_every_good_one_is_published(broker: str) -> None:
    reader = Reader(broker)
    with fake_exchange(NOW_MS + 30_000) as exchange:
        bad = list(bad_frames(SEED, BAD, exchange.symbol, NOW_MS))
        run = Run(exchange, broker)
        try:
            until(lambda: exchange.connected == 1, "the producer is connected", run)
            exchange.frames(mixed(bad, exchange.symbol))
            until(lambda: len(trade_ids(reader, exchange)) == GOOD, "every good trade", run, 120)
            until(lambda: counted(reader) == BAD, "all counted", run)
            assert run.stop() == 0
        finally:
            run.kill()
        published = trade_ids(reader, exchange)
    assert published == list(range(5_000, 5_000 + GOOD))
    letters = reader.records(DEAD_LETTERS)
    assert Counter(letter.value() for letter in letters) == Counter(bad)
    assert all(dict(letter.headers() or [])["reason"] for letter in letters)
    reader.close()
