"""One broker for all tests of the commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from tests.conftest import real_kafka
from tests.integration.completeness.place import (
    Place,
)


@pytest.fixture(scope="package")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of this folder's own: the groups' names are fixed, and so are their offsets."""
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        assert isinstance(server, KafkaServer)
        ensure_topics(server.bootstrap_servers, ("1m",))
        yield server.bootstrap_servers


@pytest.fixture
def on_sqlite(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Place:
    monkeypatch.chdir(tmp_path)
    environment = {"STORE": "sqlite", "SQLITE_PATH": str(tmp_path / "store.db")}
    return Place(kafka, environment, monkeypatch, capsys)
