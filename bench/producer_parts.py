"""Producer path: beside the bare loop, beside cryptofeed, with many symbols; each a part of `make bench`."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench import producer_path, report
from bench.frames import INTERVALS
from bench.parts import options
from bench.peers.pins import CRYPTOFEED
from bench.peers.venv import PeersUnavailable, peers_python
from bench.processes import running
from bench.producer_path import Job, Published, measured
from bench.rounds import Round, in_turn, result_of, say
from bench.topics import create_topic
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics

OURS: Final = "CryptoStream"
BARE: Final = "bare libraries"
SYMBOLS: Final = (1, 10, 100)
_CLIENT: Final = "bench.peers.clients.cryptofeed_binance"
# cryptofeed's are named by channel, exchange and symbol.
_PAIR: Final = "BTC-USDT"
_TOPICS: Final = tuple(f"{channel}-BINANCE-{_PAIR}" for channel in ("trades", "book", "ticker"))
_FIGURES: Final = ("thread_us", "cpu_us")
# cryptofeed takes more than ten times as long for a message: with so much less its rounds are still longer
# than ours, and the part ends in its time.
_LESS: Final = 5
# Frames of the round that warms up.
_WARM: Final = 50_000


@contextmanager
def _broker(intervals: tuple[str, ...] = INTERVALS) -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name,
        KafkaServer(Path(name) / "kafka") as kafka,
    ):
        ensure_topics(kafka.bootstrap_servers, intervals)
        yield kafka.bootstrap_servers


def producer(arguments: list[str]) -> int:
    """Our producer beside the bare loop."""
    asked = options("producer", arguments)
    with _broker() as servers:

        def job(number: int) -> Job:
            return Job(asked.a_round if number else min(_WARM, asked.a_round))

        sides = in_turn(
            "producer",
            asked.rounds,
            {
                BARE: lambda number: producer_path.bare(servers, f"bench.producer.{number}", job(number)),
                OURS: lambda number: producer_path.ours(servers, job(number)),
            },
        )
    report.show_rounds("Producer path: socket → parse → check → Kafka", sides, "messages/s", _FIGURES)
    return _written("producer", result_of(asked.a_round * asked.rounds, asked.rounds, sides))


def cryptofeed(arguments: list[str]) -> int:
    """Our producer beside cryptofeed's FeedHandler with its own writer, on frames of the same market."""
    asked = options("cryptofeed", arguments)
    try:
        python = peers_python()
    except PeersUnavailable as why:
        say(f"cryptofeed: {CRYPTOFEED.title} is not measured: {why}")
        return 1
    job = Job(asked.a_round, intervals=("1m",))
    less = max(1, asked.a_round // _LESS)
    with _broker(("1m",)) as servers:
        for topic in (*_TOPICS, f"candles-BINANCE-{_PAIR}"):
            create_topic(servers, topic)
        sides = in_turn(
            "cryptofeed",
            asked.rounds,
            {
                CRYPTOFEED.title: lambda _: _cryptofeed(python, servers, less),
                OURS: lambda _: producer_path.ours(servers, job),
            },
            warm_up=False,
        )
    report.show_rounds("Socket → Kafka, Binance's frames", sides, "messages/s", _FIGURES)
    result = result_of(job.count * asked.rounds, asked.rounds, sides, peer_messages=less * asked.rounds)
    return _written("cryptofeed", result)


def _cryptofeed(python: Path, bootstrap_servers: str, count: int) -> Round:
    published = Published(bootstrap_servers, _TOPICS)
    job = Job(count, intervals=("1m",), aggregated=True)
    with job.feed(books=1) as feed, tempfile.TemporaryDirectory() as directory:
        command = [str(python), "-m", _CLIENT, f"http://127.0.0.1:{feed.port}", f"ws://127.0.0.1:{feed.port}"]
        command += [bootstrap_servers, _PAIR]
        # Where it keeps its list of symbols, and may write a log.
        settings = {"XDG_CACHE_HOME": directory}
        with running(command, settings, cwd=directory, stderr=subprocess.DEVNULL) as process:
            return measured(process, feed, published, count)


def symbols(arguments: list[str]) -> int:
    """Our producer with 1, 10 and 100 symbols in one process."""
    asked = options("symbols", arguments)
    with _broker() as servers:
        sides = in_turn(
            "symbols",
            asked.rounds,
            {
                str(number): lambda _, number=number: producer_path.ours(  # type: ignore[misc]
                    servers, Job(asked.a_round, symbols=number)
                )
                for number in SYMBOLS
            },
            warm_up=False,
        )
    report.show_rounds("Symbols of one producer", sides, "messages/s", _FIGURES)
    return _written("symbols", result_of(asked.a_round * asked.rounds, asked.rounds, sides))


def _written(name: str, result: dict[str, Any]) -> int:
    print(f"written: {report.write(name, result)}")
    return 0
