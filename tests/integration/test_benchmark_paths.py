"""The sides of the benchmarks do their whole job on real engines: small rounds of each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import consumer_path, producer_path
from bench.bars import SYMBOLS, fill
from bench.consumer_path import KLINE_STREAM, TRADE_STREAM, Place, fill_trades, trades_that_differ
from bench.encoding import encoding_to_this_machine
from bench.peers.telegraf import find_telegraf
from bench.producer_path import Job
from cryptostream.topics_admin import ensure_topics
from tests.conftest import ROOT, real_influx, real_kafka

pytestmark = pytest.mark.integration

FRAMES = 3_000
TRADES = 8_000
BARS = 1_500


@pytest.fixture(autouse=True)
def from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sides are programs of this tree, whatever the working directory."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


def test_producers_publish_every_frame_of_one_and_of_several_symbols(kafka_topics: str) -> None:
    bare = producer_path.bare(kafka_topics, "bench.test", Job(FRAMES))
    ours = producer_path.ours(kafka_topics, Job(FRAMES))
    several = producer_path.ours(kafka_topics, Job(FRAMES, symbols=3))
    for figures in (bare, ours, several):
        assert 0 < figures["thread_us"] <= figures["cpu_us"] * 1.5
        assert figures["messages_per_s"] > 0


def test_consumers_store_every_trade_and_every_bar_again_in_each_round(tmp_path: Path) -> None:
    with real_kafka(tmp_path / "kafka") as kafka, real_influx(tmp_path / "influx") as influx:
        servers = kafka.bootstrap_servers
        ensure_topics(servers, ("1m",))
        place = Place(servers, kafka.pid, influx, encoding_to_this_machine())
        since_ms = fill_trades(servers, TRADE_STREAM.topic, TRADES)
        fill(servers, BARS)
        count = BARS * len(SYMBOLS)
        rounds = [
            consumer_path.bare(place, TRADE_STREAM, TRADES),
            consumer_path.ours(place, TRADE_STREAM, TRADES),
            *(consumer_path.ours(place, KLINE_STREAM, count) for _ in range(2)),
        ]
        assert all(figures["cpu_us"] > 0 and figures["messages_per_s"] > 0 for figures in rounds)
        program = find_telegraf()
        if program is not None:  # compiled by the first `make bench ARGS=trades`
            assert consumer_path.by_telegraf(place, program, TRADES, tmp_path)["cpu_us"] > 0
            assert trades_that_differ(influx, since_ms) == (TRADES, 0)
