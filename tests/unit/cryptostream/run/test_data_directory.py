"""The data directory of a run: locked, of one kind, with one simulated world."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptostream.data_dir import influx_of, influx_of_run
from cryptostream.run.data_directory import DataDirectory
from shared.errors import UsageError
from shared.settings import Settings


@pytest.fixture
def data_directory(tmp_path: Path) -> Iterator[DataDirectory]:
    data_directory = DataDirectory(tmp_path / "run", "simulator")
    yield data_directory
    data_directory.close()


def test_a_file_is_no_directory_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=r"--data-dir .*/file: is a file; name a directory"):
        DataDirectory(tmp_path / "file", "simulator")
    with pytest.raises(UsageError, match=r"--data-dir .*/file/below: cannot be written \(Not a directory\)"):
        DataDirectory(tmp_path / "file" / "below", "simulator")
    assert (tmp_path / "file").read_text() == "mine"


def test_two_runs_cannot_share_a_directory(data_directory: DataDirectory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"in use by another run \(process {os.getpid()}\)"):
        DataDirectory(tmp_path / "run", "simulator")


def test_a_closed_run_leaves_the_directory_to_the_next(data_directory: DataDirectory, tmp_path: Path) -> None:
    data_directory.close()
    DataDirectory(tmp_path / "run", "simulator").close()


def test_another_kind_of_source_is_refused(data_directory: DataDirectory, tmp_path: Path) -> None:
    data_directory.close()
    with pytest.raises(UsageError, match=r"holds data of the source simulator.*--data-dir"):
        DataDirectory(tmp_path / "run", "live")
    DataDirectory(tmp_path / "run", "simulator").close()  # the refusal left neither lock nor trace


def test_where_a_run_wrote_is_kept_for_query_and_ledger(data_directory: DataDirectory) -> None:
    assert influx_of_run(data_directory.root) is None
    settings = Settings(
        _env_file=None, store="influxdb", influx_url="http://a:1", influx_bucket_ticks="market"
    )
    data_directory.remember_influx(influx_of(settings))
    assert influx_of_run(data_directory.root) == {
        "influx_url": "http://a:1",
        "influx_org": "crypto",
        "influx_bucket_market": "market",
        "influx_bucket_ticks": "market",
    }
    # The next run there writes to a file.
    data_directory.remember_influx(influx_of(Settings(_env_file=None, store="sqlite")))
    assert influx_of_run(data_directory.root) is None


def test_the_world_stays_the_same(data_directory: DataDirectory, tmp_path: Path) -> None:
    first = data_directory.world(7)
    assert first[0] == 7
    assert data_directory.world(None) == first
    assert data_directory.world(7) == first


def test_another_seed_is_refused_where_a_world_is_kept(data_directory: DataDirectory) -> None:
    data_directory.world(7)
    with pytest.raises(UsageError, match=r"--seed 8: .* holds the world of seed 7"):
        data_directory.world(8)


def test_a_damaged_note_is_named(data_directory: DataDirectory) -> None:
    (data_directory.root / "simulator.json").write_text("{", encoding="ascii")
    with pytest.raises(UsageError, match=r"simulator\.json: is damaged"):
        data_directory.world(None)


def test_the_broker_of_the_last_run_is_known_beside_the_kind(
    data_directory: DataDirectory, tmp_path: Path
) -> None:
    assert data_directory.last_broker is None
    data_directory.remember_broker("memory", "")
    data_directory.close()
    again = DataDirectory(tmp_path / "run", "simulator")
    assert again.last_broker == "memory"
    again.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written.*name another directory"):
        DataDirectory(tmp_path / "file" / "below", "live")


def test_starts_are_counted_anew_in_each_run(data_directory: DataDirectory) -> None:
    (data_directory.fresh_slots() / "producer.0.starts").write_text("3")
    assert list(data_directory.fresh_slots().iterdir()) == []


def test_a_broker_that_knows_nothing_of_what_is_stored_is_refused_with_a_way_out(
    data_directory: DataDirectory,
) -> None:
    assert data_directory.broker_mismatch("kafka", "") is None, "nothing is stored yet"
    data_directory.remember_broker("memory", "")
    for kind, address, name in (("kafka", "", "a new Kafka"), ("external", "host:9092", "host:9092")):
        refusal = data_directory.broker_mismatch(kind, address)
        assert refusal is not None and name in refusal
        assert "--broker memory" in refusal and "--data-dir" in refusal


def test_the_broker_in_memory_takes_its_start_positions_from_any_store(data_directory: DataDirectory) -> None:
    data_directory.remember_broker("external", "host:9092")
    assert data_directory.broker_mismatch("memory", "") is None


def test_a_broker_that_was_here_before_is_no_stranger(data_directory: DataDirectory) -> None:
    data_directory.remember_broker("kafka", "")
    data_directory.kafka_dir.mkdir()
    data_directory.remember_broker("external", "host:9092")
    data_directory.remember_broker("memory", "")
    assert data_directory.broker_mismatch("kafka", "") is None
    assert data_directory.broker_mismatch("external", "host:9092") is None
    assert data_directory.broker_mismatch("external", "other:9092") is not None
    data_directory.kafka_dir.rmdir()
    assert data_directory.broker_mismatch("kafka", "") is not None, "its logs were deleted"


def refuse_to_lock(number: int) -> Callable[[Any, int], None]:
    def refuse(_file: Any, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO, errno.EINVAL])
def test_a_file_system_without_locks_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    monkeypatch.setattr("fcntl.flock", refuse_to_lock(number))
    with pytest.raises(UsageError) as caught:
        DataDirectory(tmp_path / "run", "simulator")
    assert f"cannot be locked ({os.strerror(number)})" in str(caught.value)
    assert "in use" not in str(caught.value)


def test_a_disk_that_is_full_or_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, data_directory: DataDirectory
) -> None:
    def full(_path: Any, _content: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(UsageError, match=r"source.json: cannot be written \(No space left"):
        data_directory.remember_broker("memory", "")
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda _path: full(None, None))
    with pytest.raises(UsageError, match=r"source.json: cannot be read \(No space left"):
        data_directory.last_broker  # noqa: B018


def test_where_trades_were_first_listened_to_is_kept_for_the_next_run(data_directory: DataDirectory) -> None:
    assert data_directory.trade_bases == {}
    data_directory.keep_trade_bases({"QUIETUSDC": 1_019})
    assert data_directory.trade_bases == {"QUIETUSDC": 1_019}
