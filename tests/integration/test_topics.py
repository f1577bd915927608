"""`cryptostream topics` on a real Kafka."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from cryptostream.topics_admin import ensure_topics
from shared.topics import TRADES, declared_topics, klines_topic
from tests.conftest import ROOT, real_kafka


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server.bootstrap_servers


def topics(address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cryptostream.cli", "topics", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "KAFKA_BOOTSTRAP_SERVERS": address},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_missing_topics_are_created_and_then_are_ok(broker: str) -> None:
    first = topics(broker, "--intervals", "1s,1m")
    assert (first.returncode, first.stderr) == (0, "")
    lines = [line.split() for line in first.stdout.splitlines()]
    assert lines[0] == ["topic", "partitions", "status"]
    assert [(name, count, status) for name, count, status in lines[1:]] == [
        (topic.name, "6", "created") for topic in declared_topics(("1s", "1m"))
    ]
    second = topics(broker, "--intervals", "1s,1m")
    assert second.returncode == 0
    assert second.stdout == first.stdout.replace("created", "ok")
    settings = {report.name: report.status for report in ensure_topics(broker, ("1s", "1m"))}
    assert set(settings.values()) == {"ok"}


def test_another_partition_count_is_reported_and_never_changed(broker: str) -> None:
    name = klines_topic("3m")
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(name, 3)])[name].result(30)
    done = topics(broker, "--intervals", "3m", "--mend")
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{name} ")]
    assert "differs  3 partitions, declared 6; not changed, make the topic anew" in line
    metadata = admin.list_topics(timeout=10)
    assert len(metadata.topics[name].partitions) == 3


def test_other_settings_are_reported_and_mended_when_asked(broker: str) -> None:
    name = klines_topic("5m")
    wrong = NewTopic(name, 6, config={"retention.ms": "1000"})
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([wrong])[name].result(30)
    told = topics(broker, "--intervals", "5m")
    assert told.returncode == 1
    assert "retention.ms is 1000, declared -1" in told.stdout
    assert told.stderr == "settings are set as declared by: cryptostream topics --mend\n"
    changed = topics(broker, "--intervals", "5m", "--mend")
    assert (changed.returncode, "retention.ms was 1000, is -1" in changed.stdout) == (0, True)
    assert topics(broker, "--intervals", "5m").returncode == 0


def test_a_broker_that_is_down_is_one_clear_line() -> None:
    done = topics("127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr == (
        "error: KAFKA_BOOTSTRAP_SERVERS: no Kafka answers at 127.0.0.1:1; start it or name another address\n"
    )


def test_the_memory_broker_is_only_reported(broker: str) -> None:
    done = topics(broker, "--intervals", "12h", "--memory-broker")
    assert done.returncode == 0
    assert f"{klines_topic('12h')}" in done.stdout
    assert "missing  appears with its first record" in done.stdout
    metadata = AdminClient({"bootstrap.servers": broker}).list_topics(timeout=10)
    assert klines_topic("12h") not in metadata.topics
    assert any(TRADES in line and " ok" in line for line in done.stdout.splitlines())
