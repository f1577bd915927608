"""Kafka's classes, archived once, are what its brokers start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptostream.engines.fetch import find_kafka, java
from cryptostream.engines.kafka import KafkaServer, prepare_kafka


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of engines with Kafka's jars, and without an archive of their classes."""
    libs = find_kafka()
    if libs is None:
        pytest.skip("Apache Kafka is not in the cache of engines; get it by: make engines")
    folder = tmp_path / "engines" / libs.parent.name
    folder.mkdir(parents=True)
    (folder / "libs").symlink_to(libs)
    monkeypatch.setenv("CRYPTOSTREAM_ENGINES", str(folder.parent))
    yield folder


def mapped(server: KafkaServer) -> str:
    """The files in a process' memory."""
    return Path(f"/proc/{server.pid}/maps").read_text(encoding="utf-8")


def test_a_broker_starts_from_the_classes_that_were_archived_once(engines: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert prepare_kafka(said.append) == prepare_kafka(said.append) == engines / "libs"
    (archive,) = engines.glob("*.jsa")
    assert len(said) == 1 and {path.name for path in engines.iterdir()} == {"libs", archive.name}
    with KafkaServer(tmp_path / "kafka") as server:
        assert str(archive) in mapped(server)


def test_a_broker_starts_without_an_archive_that_is_none(engines: Path, tmp_path: Path) -> None:
    """As another build of the same version of Java would leave it."""
    archive = engines / f"classes-{java().version}.jsa"
    archive.write_bytes(b"none")
    with KafkaServer(tmp_path / "kafka") as server:
        assert str(archive) not in mapped(server)


def test_a_cache_that_takes_no_archive_is_used_without(
    engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied", str(engines))

    monkeypatch.setattr("cryptostream.engines.kafka.tempfile.TemporaryDirectory", refused)
    said: list[str] = []
    assert prepare_kafka(said.append) == engines / "libs"
    assert "brokers start without" in said[-1] and "Permission denied" in said[-1]
