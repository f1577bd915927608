"""Producer path: socket → parse → check → Kafka acknowledged, beside the bare libraries on the same frames.

Both sides are processes of their own, fed by `bench.feed`. What counts is the CPU time of the main thread,
which does the work on both sides; librdkafka's threads do the same on both: they are in the process' time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import IO, Any, Final, Self

import orjson
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from bench.feed import first_frames, stream_names
from bench.frames import INTERVALS, symbols_of
from bench.processes import cpu_s, resident_bytes, running, thread_cpu_s
from bench.topics import create_topic
from shared.topics import DEPTH, QUOTES, TRADES

_DEADLINE_S: Final = 180.0
_POLL_S: Final = 0.1
# Near the end: a tenth of a second is much of a short round.
_LAST_POLL_S: Final = 0.02
_NEAR: Final = 0.9
_LEADER_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """What a round consists of.

    Attributes:
        count: frames that are counted, of all symbols.
        symbols: number of them.
        aggregated: trades come as `aggTrade`, for a client that knows no others.
    """

    count: int
    symbols: int = 1
    intervals: tuple[str, ...] = INTERVALS
    aggregated: bool = False

    def feed(self, books: int) -> Feed:
        """A feed of it.

        Args:
            books: snapshots that the client asks for before it is ready.
        """
        arguments = [str(self.count), "--symbols", str(self.symbols), "--intervals", ",".join(self.intervals)]
        arguments += ["--books", str(books), *(["--aggregated"] if self.aggregated else [])]
        return Feed("bench.feed", *arguments)


class Feed:
    """A feed process, until it is left.

    Args:
        arguments: the module and its arguments.
    """

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # so that nothing of a line is waiting where `select` does not look
        )
        self.port: int = self.line()["port"]

    def line(self, client: subprocess.Popen[bytes] | None = None) -> dict[str, Any]:
        """Its next message.

        Args:
            client: whose end is not waited out.
        """
        output: IO[bytes] | None = self.process.stdout
        assert output is not None
        while client is not None and not select([output], [], [], _POLL_S)[0]:
            if client.poll() is not None:
                raise SystemExit(f"the client has ended with {client.returncode} before the frames came")
        message: dict[str, Any] = orjson.loads(output.readline() or b'{"not_ready": "the feed has ended"}')
        if "not_ready" in message:
            raise SystemExit(message["not_ready"])
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def bare(bootstrap_servers: str, prefix: str, job: Job) -> dict[str, float]:
    """One round of the bare loop; each stream has a topic, as in the contract."""
    symbols = symbols_of(job.symbols)
    names = stream_names(symbols, job.intervals)
    for name in names:
        create_topic(bootstrap_servers, f"{prefix}.{name.replace('@', '.')}")
    before = first_frames(job.symbols, job.intervals)
    with job.feed(books=0) as feed:
        url = f"ws://127.0.0.1:{feed.port}/stream?streams={'/'.join(names)}"
        command = [sys.executable, "-m", "bench.bare_producer", url, bootstrap_servers, prefix]
        command += [str(before), str(job.count)]
        with running(command, {}, stdout=subprocess.PIPE) as process:
            assert feed.line(process)["settled"]
            began = feed.line()["sending_at"]
            assert process.stdout is not None
            used = orjson.loads(process.stdout.read())
    return {
        "messages_per_s": job.count / (used["end"] - began),
        "thread_us": used["thread_s"] / job.count * 1e6,
        "cpu_us": used["process_s"] / job.count * 1e6,
    }


def ours(bootstrap_servers: str, job: Job) -> dict[str, float]:
    """One round of the real producer process: from the feed's first byte to the last record on Kafka."""
    published = Published(bootstrap_servers, (TRADES, QUOTES, DEPTH))
    with job.feed(books=job.symbols) as feed, tempfile.TemporaryDirectory() as directory:
        # Start positions of its own: a round must not go on where the last one stood.
        start_positions = Path(directory) / "bearings.json"
        start_positions.write_bytes(b"{}")
        symbols = ",".join(symbols_of(job.symbols))
        environment = {
            "BINANCE_REST_URL": f"http://127.0.0.1:{feed.port}",
            "BINANCE_WS_URL": f"ws://127.0.0.1:{feed.port}",
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "LOG_LEVEL": "WARNING",
            "SYMBOLS": symbols,
            # A start's requests are not what is measured: those of a hundred symbols take a minute.
            "WARMUP_BARS": "0",
        }
        command = [sys.executable, "-m", "producers", "--symbols", symbols]
        command += ["--intervals", ",".join(job.intervals), "--bearings", str(start_positions)]
        with running(command, environment) as process:
            return measured(process, feed, published, job.count)


def measured(
    process: subprocess.Popen[bytes], feed: Feed, published: Published, count: int, due: int | None = None
) -> dict[str, float]:
    """What a process takes for `count` frames, until the records that are due are on Kafka.

    Args:
        due: None for what the feed says.
    """
    settled = feed.line(process)
    due = settled["records"] if due is None else due
    published.mark()
    start = feed.line()["sending_at"]
    thread, cpu = thread_cpu_s(process), cpu_s(process)
    wait(published, due)
    end = time.monotonic()
    return {
        "messages_per_s": count / (end - start),
        "thread_us": (thread_cpu_s(process) - thread) / count * 1e6,
        "cpu_us": (cpu_s(process) - cpu) / count * 1e6,
        "resident_mb": resident_bytes(process) / 2**20,
    }


def wait(published: Callable[[], int], due: int) -> None:
    """Until `due` are published; a benchmark that does not come to its end is no result."""
    give_up = time.monotonic() + _DEADLINE_S
    while (count := published()) < due:
        if time.monotonic() > give_up:
            raise SystemExit(
                f"only {count:,} of {due:,} records were published in time: is the machine that busy?"
            )
        time.sleep(_POLL_S if count < _NEAR * due else _LAST_POLL_S)


class Published:
    """Counts new records on topics, with one request."""

    def __init__(self, bootstrap_servers: str, topics: Sequence[str]) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 3})
        give_up = time.monotonic() + _LEADER_S
        # A new topic is not known at once.
        while not (known := self._admin.list_topics(timeout=10).topics).keys() >= set(topics):
            if time.monotonic() > give_up:
                raise SystemExit(f"no such topic: {', '.join(sorted(set(topics) - known.keys()))}")
            time.sleep(_POLL_S)
        self._asked: dict[TopicPartition, OffsetSpec] = {
            TopicPartition(topic, partition): OffsetSpec.latest()
            for topic in topics
            for partition in known[topic].partitions
        }
        self.mark()

    def mark(self) -> None:
        """Count from here on."""
        self._before = self._ends()

    def __call__(self) -> int:
        return self._ends() - self._before

    def _ends(self) -> int:
        # The stubs ask for what has a default, and know no offset.
        ask: Any = self._admin.list_offsets
        give_up = time.monotonic() + _LEADER_S
        while True:
            try:
                return sum(each.result().offset for each in ask(self._asked, request_timeout=10.0).values())
            except KafkaException:  # a new topic may have no leader yet
                if time.monotonic() > give_up:
                    raise
                time.sleep(_POLL_S)
