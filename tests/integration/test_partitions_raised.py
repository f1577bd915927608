"""An admin raises the partitions of a topic: one line instead of silence, and a command that fixes it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from consumers.indicators.bars import Bar
from consumers.indicators.registry import indicator_set
from consumers.partitions.offsets import bounds_of
from consumers.streams import streams
from cryptostream.indicator_files.compute import rows_of_stream
from cryptostream.topic_rebuild import _delete_topics, _read, rebuild
from cryptostream.topics_admin import ensure_topics
from shared.topics import LEDGER, LEDGER_SNAPSHOT, indicator_state_topic, klines_live_topic, klines_topic
from tests.builders import kline, ledger
from tests.conftest import ROOT, real_kafka
from tests.integration.consumer_harness import consuming, publish, read_all, rows, until

START_MS = (int(time.time()) // 60 - 200) * 60_000
BARS = 120
# As many as there are partitions later: some of their keys change place.
SYMBOLS = [f"RAISED{number}USDC" for number in range(12)]
KLINES, STATE = klines_topic("1m"), indicator_state_topic("1m")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        ensure_topics(server.bootstrap_servers, ("1m",))
        yield server.bootstrap_servers


@pytest.fixture
def empty_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One whose ledger nobody has written to: consumers of bars tell it what they have stored."""
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        ensure_topics(server.bootstrap_servers, ("1m",))
        yield server.bootstrap_servers


def bars(first: int, last: int) -> list[tuple[str, bytes, Any]]:
    return [
        (
            KLINES,
            f"binance:{symbol}".encode(),
            kline(
                symbol=symbol,
                open_time_ms=START_MS + n * 60_000,
                close_time_ms=START_MS + n * 60_000 + 59_999,
                close=f"{100 + (n * 7919 % 20) / 10:.8f}",
            ),
        )
        for n in range(first, last)
        for symbol in SYMBOLS
    ]


def counts(broker: str, *topics: str) -> list[int]:
    found = AdminClient({"bootstrap.servers": broker}).list_topics(timeout=10).topics
    return [len(found[topic].partitions) for topic in topics]


def command(broker: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cryptostream.cli", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "KAFKA_BOOTSTRAP_SERVERS": broker, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def ended(broker: str, path: Path, *words: str) -> tuple[int, list[str]]:
    """Exit code of a consumer that ends by itself, and its lines."""
    with consuming(broker, path, *words) as run:
        _, errors = run.process.communicate(timeout=120)
        return run.process.returncode, errors.splitlines()


def test_a_raised_topic_ends_its_consumer_with_one_line_and_a_rebuild_fixes_it(
    broker: str, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    stored = "select symbol, time_ns, momentum_rsi from indicator order by symbol, time_ns"
    half = BARS // 2
    with consuming(broker, path, "--stream", "klines", "--intervals", "1m") as run:
        publish(broker, bars(0, half))
        until(lambda: len(rows(path, stored)) == half * len(SYMBOLS), "the first half")
        refused = command(broker, "topics", "--rebuild", KLINES, "--spool", str(tmp_path / "spool"))
        assert refused.returncode == 1
        assert "group cryptostream.klines.1m has 1 consumers; stop them" in refused.stderr
        admin = AdminClient({"bootstrap.servers": broker})
        admin.create_partitions([NewPartitions(KLINES, 12)])[KLINES].result(30)
        until(lambda: counts(broker, KLINES) == [12], "twelve partitions")
        publish(broker, bars(half, BARS))
        _, errors = run.process.communicate(timeout=120)
        assert run.process.returncode == 1
    said = (
        f"topic {KLINES} has 12 partitions and {STATE} only 6: series have been separated from their"
        f" order and state; stop producers and consumers, then run: cryptostream topics --rebuild {KLINES}"
    )
    assert [line for line in errors.splitlines() if "error" in line] == [f"error: {said}"]
    # 2. Nor does it start.
    assert ended(broker, path, "--stream", "klines", "--intervals", "1m") == (1, [f"error: {said}"])
    # 3. The command makes it whole.
    done = command(broker, "topics", "--rebuild", KLINES, "--spool", str(tmp_path / "spool"))
    assert done.returncode == 0, done.stderr
    assert "1,440 records on 6 partitions" in done.stderr
    assert counts(broker, KLINES, STATE, klines_live_topic("1m")) == [6, 6, 6]
    assert not (tmp_path / "spool" / KLINES).exists()
    by_key: dict[bytes, list[bytes]] = {}
    places: dict[bytes, set[int | None]] = {}
    for message in read_all(broker, KLINES):
        key, value = message.key(), message.value()
        assert key is not None and value is not None
        by_key.setdefault(key, []).append(value)
        places.setdefault(key, set()).add(message.partition())
    published: dict[bytes, list[Any]] = {}
    for _, key, message in bars(0, BARS):
        published.setdefault(key, []).append(message["open_time_ms"])
    assert {key: len(found) for key, found in by_key.items()} == dict.fromkeys(published, BARS)
    assert {len(found) for found in places.values()} == {1}
    # 4. What is stored is what an undisturbed run would have stored.
    with consuming(broker, path, "--stream", "klines", "--intervals", "1m"):
        until(lambda: len(rows(path, stored)) == BARS * len(SYMBOLS), "all bars")
    expected = undisturbed()
    for symbol, time_ns, rsi in rows(path, stored):
        assert symbol in SYMBOLS
        assert rsi == expected[time_ns // 1_000_000]


def undisturbed() -> dict[int, float | None]:
    indicators = indicator_set()
    place = indicators.columns.index("momentum_rsi")
    series = [
        Bar(
            message["open_time_ms"],
            *(float(message[name]) for name in ("open", "high", "low", "close", "base_volume")),
        )
        for _, key, message in bars(0, BARS)
        if key.endswith(b":RAISED0USDC")
    ]
    values = {bar.open_time_ms: row[place] for bar, row in rows_of_stream(indicators, series)}
    return {time_ms: None if value != value else value for time_ms, value in values.items()}  # noqa: PLR0124


def test_a_state_topic_with_fewer_partitions_stops_the_start(broker: str, tmp_path: Path) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    state = indicator_state_topic("3m")
    admin.create_topics([NewTopic(state, 3)])[state].result(30)
    ensure_topics(broker, ("3m",))
    code, lines = ended(broker, tmp_path / "store.db", "--stream", "klines", "--intervals", "3m")
    assert code == 1
    (line,) = lines
    assert f"topic {klines_topic('3m')} has 6 partitions and {state} only 3" in line
    assert f"cryptostream topics --rebuild {klines_topic('3m')}" in line
    # With nothing on it yet, too.
    assert (
        command(broker, "topics", "--rebuild", klines_topic("3m"), "--spool", str(tmp_path)).returncode == 0
    )
    assert counts(broker, state) == [6]


def events(first: int, last: int) -> list[tuple[str, bytes, Any]]:
    """The trades of these ids were issued and stored."""
    said = {"stream": "trades", "first": first, "last": last, "count": last - first + 1}
    return [
        (LEDGER, f"binance:{symbol}".encode(), ledger(symbol=symbol, kind=kind, **said))
        for symbol in SYMBOLS
        for kind in ("expected", "stored")
    ]


def claimed(broker: str, path: Path) -> list[tuple[str, int, int, int]]:
    """What `cryptostream ledger` says of each symbol: expected, stored, lost."""
    said = command(broker, "ledger", "--format", "json", STORE="sqlite", SQLITE_PATH=str(path))
    return sorted(
        (series["symbol"], series["expected"], series["stored"], series["lost"])
        for series in orjson.loads(said.stdout)["series"]
    )


@pytest.mark.long
def test_a_raised_ledger_keeps_what_only_its_snapshots_know(empty_broker: str, tmp_path: Path) -> None:
    broker = empty_broker
    path, words = tmp_path / "store.db", ("--stream", "ledger")
    admin: Any = AdminClient({"bootstrap.servers": broker})
    with consuming(broker, path, *words) as run:
        publish(broker, events(1, 100))
        counted = "select sum(stored) from ledger"
        until(lambda: rows(path, counted) == [(100 * len(SYMBOLS),)], "the rows of the ledger")
        assert run.stop()[0] == 0
    # A week later the events are deleted: the snapshots alone have them.
    reader = Consumer({"bootstrap.servers": broker, "group.id": "test-reader"})
    ends = [TopicPartition(LEDGER, at, bounds_of(reader, LEDGER, at)[1]) for at in range(6)]
    reader.close()
    for future in admin.delete_records(ends).values():
        future.result(30)
    admin.create_partitions([NewPartitions(LEDGER, 12)])[LEDGER].result(30)
    until(lambda: counts(broker, LEDGER) == [12], "twelve partitions")
    publish(broker, events(101, 150))
    code, lines = ended(broker, path, *words)
    assert (code, len(lines)) == (1, 1)
    assert f"topic {LEDGER} has 12 partitions and {LEDGER_SNAPSHOT} only 6" in lines[0]
    whole = sorted((symbol, 150, 150, 0) for symbol in SYMBOLS)
    assert claimed(broker, path) == whole
    said = command(broker, "ledger", STORE="sqlite", SQLITE_PATH=str(path))
    assert said.returncode == 1
    assert "which were first is not known; stop producers and consumers, then run: " in said.stdout
    done = command(broker, "topics", "--rebuild", LEDGER, "--partitions", "12", "--spool", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"{LEDGER}: 24 records on 12 partitions" in done.stderr
    assert counts(broker, LEDGER, LEDGER_SNAPSHOT) == [12, 12]
    assert claimed(broker, path) == whole
    with consuming(broker, path, *words) as run:
        publish(broker, events(151, 160))
        until(lambda: rows(path, counted) == [(160 * len(SYMBOLS),)], "the rows of the ledger")
        assert run.stop()[0] == 0
    assert claimed(broker, path) == sorted((symbol, 160, 160, 0) for symbol in SYMBOLS)


def test_a_rebuild_that_was_interrupted_goes_on_and_one_that_ended_begins_anew(
    broker: str, tmp_path: Path
) -> None:
    ensure_topics(broker, ("5m",))
    topic, spool = klines_topic("5m"), tmp_path / klines_topic("5m")
    (stream,) = streams(("klines",), ("5m",), memory_broker=False)

    def made(count: int) -> list[tuple[str, bytes, Any]]:
        return [(topic, b"binance:BTCUSDC", b"%d" % number) for number in range(count)]

    publish(broker, made(30))
    _read(broker, stream, spool)
    # Killed while it published: some of them are there, the rest is in the directory.
    _delete_topics(AdminClient({"bootstrap.servers": broker}), stream)
    ensure_topics(broker, ("5m",))
    publish(broker, made(10))
    assert rebuild(broker, stream, 6, tmp_path, print) == 30
    assert [int(message.value() or b"") for message in read_all(broker, topic)] == list(range(30))
    # Killed at its very end; then the services went on.
    _read(broker, stream, spool)
    publish(broker, made(5))
    assert rebuild(broker, stream, 6, tmp_path, print) == 35


def test_only_topics_that_can_be_made_anew_are(broker: str) -> None:
    # A topic that nobody has consumed here: a group whose member was killed has it for another ten seconds.
    ensure_topics(broker, ("5m",))
    unwritable = command(broker, "topics", "--rebuild", klines_topic("5m"), "--spool", "/dev/null/rebuild")
    assert unwritable.returncode == 2
    assert "error: --spool /dev/null/rebuild: Not a directory" in unwritable.stderr
    refused = command(broker, "topics", "--rebuild", "pipeline.metrics")
    assert refused.returncode == 2
    assert "'pipeline.metrics' is not a topic that can be made anew" in refused.stderr
