"""Clients of Kafka leave the terminal to us."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

_CLIENTS = frozenset(("Producer", "Consumer", "AdminClient"))
_OURS = ("shared", "producers", "consumers", "cryptostream", "simulator", "pipelines", "api", "chaos")
_FILES = [path for folder in _OURS for path in sorted((ROOT / folder).rglob("*.py"))]


def clients(source: str) -> list[ast.Call]:
    """Calls that make a client of librdkafka."""
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CLIENTS
    ]


@pytest.mark.thorough
def test_every_client_is_made_in_one_place_with_the_logger_that_says_nothing() -> None:
    made = [
        (str(path.relative_to(ROOT)), call)
        for path in _FILES
        for call in clients(path.read_text(encoding="utf-8"))
    ]
    assert [path for path, _ in made] == ["shared/kafka.py"] * 3
    for _, call in made:
        loggers = [ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "logger"]
        assert loggers == ["LIBRDKAFKA_LOG"]


_ASKS_NOBODY = """
import sys
from confluent_kafka import KafkaException
from shared.kafka import KAFKA, consumer_config, producer_config
from shared.logs import set_up_logging
set_up_logging("INFO", "text")
consumer = KAFKA.consumer(consumer_config("127.0.0.1:1", "group", "test"))
producer = KAFKA.producer(producer_config("127.0.0.1:1", "test"))
for client in (consumer, producer):
    try:
        client.list_topics(timeout=1)
    except KafkaException:
        client.poll(0.2)
consumer.close()
"""


@pytest.mark.thorough
def test_a_client_without_a_broker_writes_nothing_to_the_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASKS_NOBODY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
