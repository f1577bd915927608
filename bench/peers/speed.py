"""Messages that a side takes by its process' CPU time: the prepared frames of `bench.venue_feed`, at once.

Peers are measured with callbacks that only count, and cryptofeed with its own writer to Kafka too, which is
our producer's job: socket → Kafka acknowledged.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import psutil

from bench.peers.runs import peer_command
from bench.peers.venv import Peer
from bench.processes import cpu_s, resident_bytes, running
from bench.producer_path import Published, wait
from bench.topics import create_topic
from bench.venue_frames import SYMBOL
from bench.venue_path import Prepared
from shared.kafka_reader import TopicReader

KAFKA_TOPICS: Final = ("trades-COINBASE-BTC-USD", "book-COINBASE-BTC-USD")
# A peer asks for its markets first.
_SETTLE_S: Final = 12.0
# It is at its end when it has not been seen at work for so long.
_IDLE_S: Final = 3.0
_SAMPLE_S: Final = 0.05
_DEADLINE_S: Final = 240.0
# What it has counted comes at its end, which takes long on a busy machine.
_STOP_S: Final = 120.0


class Spoilt(Exception):
    """A side has not had all frames: no figure."""


class _Mark(NamedTuple):
    at_s: float
    cpu_s: float


def speed_of(peer: Peer, python: Path, prepared: Prepared) -> dict[str, float]:
    """One round of a peer with callbacks that count.

    Raises:
        Spoilt: it did not show every trade.
    """
    figures, counts = _round(peer, python, prepared, [], None)
    # A peer may show the trades of the snapshot too.
    if counts.get("trade", 0) < prepared.counts.trades:
        raise Spoilt(f"{peer.title}: {counts} of {prepared.counts}")
    return figures


def speed_to_kafka(peer: Peer, python: Path, prepared: Prepared, bootstrap_servers: str) -> dict[str, float]:
    """One round of cryptofeed with its own writer: until everything is acknowledged."""
    with_topics(bootstrap_servers)
    published = Published(bootstrap_servers, KAFKA_TOPICS)
    due = prepared.counts.trades + prepared.counts.books
    figures, _ = _round(peer, python, prepared, ["--kafka", bootstrap_servers], (published, due))
    return figures


def with_topics(bootstrap_servers: str) -> None:
    """Create the topics of cryptofeed's writer, unless they are there."""
    reader = TopicReader(bootstrap_servers)
    missing = [topic for topic in KAFKA_TOPICS if not reader.has(topic)]
    reader.close()
    for topic in missing:
        create_topic(bootstrap_servers, topic)


def _round(
    peer: Peer,
    python: Path,
    prepared: Prepared,
    more: list[str],
    watched: tuple[Published, int] | None,
) -> tuple[dict[str, float], dict[str, int]]:
    with (
        prepared.feed(_SETTLE_S) as feed,
        tempfile.TemporaryDirectory(prefix="cryptostream-peers-") as directory,
        (Path(directory) / "out").open("w+b") as out,
    ):
        url = f"http://127.0.0.1:{feed.port}"
        command = peer_command(peer, python, prepared.exchange, url, (SYMBOL[prepared.exchange],))
        command += [*(["--quotes"] if prepared.counts.quotes else []), *more]
        # Where cryptofeed keeps its list of symbols.
        settings = {"XDG_CACHE_HOME": directory}
        with running(command, settings, stop_s=_STOP_S, stdout=out, stderr=subprocess.DEVNULL) as process:
            feed.line(process)  # settled
            if watched is not None:
                watched[0].mark()
            began = _Mark(feed.line()["sending_at"], cpu_s(process))
            feed.line()  # sent
            if watched is None:
                end = _idle(process)
            else:
                wait(*watched)
                end = _Mark(time.monotonic(), cpu_s(process))
            resident = resident_bytes(process) / 2**20
        out.seek(0)
        counts: dict[str, int] = _counts(out.read())
    used = end.cpu_s - began.cpu_s
    if not used:
        raise Spoilt(f"{peer.title}: was not seen at work")
    return {
        "messages_per_cpu_s": prepared.frames / used,
        "messages_per_s": prepared.frames / (end.at_s - began.at_s),
        "cpu_us": used / prepared.frames * 1e6,
        "resident_mb": resident,
    }, counts


def _idle(process: subprocess.Popen[bytes]) -> _Mark:
    """When a process has done what it had to: it has waited for something for seconds.

    CPU time alone does not tell: on a busy machine a process with work to do may not get any.
    """
    seen = psutil.Process(process.pid)
    give_up = time.monotonic() + _DEADLINE_S
    mark = _Mark(time.monotonic(), cpu_s(process))
    while time.monotonic() - mark.at_s < _IDLE_S:
        time.sleep(_SAMPLE_S)
        if time.monotonic() > give_up:
            raise Spoilt(f"still at work after {_DEADLINE_S:.0f} s")
        if seen.status() == psutil.STATUS_RUNNING:
            mark = _Mark(time.monotonic(), cpu_s(process))
    return mark


def _counts(output: bytes) -> dict[str, int]:
    found: dict[str, Any] = {}
    for line in output.splitlines():
        if line.startswith(b"{"):
            found |= orjson.loads(line)
    counts: dict[str, int] = found.get("counts", {})
    return counts
