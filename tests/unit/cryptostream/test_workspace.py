"""The data directory of a run: locked, of one kind, with one simulated world."""

from __future__ import annotations

import errno
import os

import pytest

from cryptostream.data_dir import influx_of, influx_of_run
from cryptostream.embedded.workspace import Workspace
from shared.errors import UsageError
from shared.settings import Settings


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "run", "simulator")
    yield workspace
    workspace.close()


def test_two_runs_cannot_share_a_directory(workspace, tmp_path):
    with pytest.raises(UsageError, match=rf"in use by another run \(process {os.getpid()}\)"):
        Workspace(tmp_path / "run", "simulator")


def test_a_closed_run_leaves_the_directory_to_the_next(workspace, tmp_path):
    workspace.close()
    Workspace(tmp_path / "run", "simulator").close()


def test_another_kind_of_source_is_refused(workspace, tmp_path):
    workspace.close()
    with pytest.raises(UsageError, match=r"holds data of the source simulator.*--data-dir"):
        Workspace(tmp_path / "run", "live")
    Workspace(tmp_path / "run", "simulator").close()  # the refusal left neither lock nor trace


def test_where_a_run_wrote_is_kept_for_query_and_ledger(workspace):
    assert influx_of_run(workspace.root) is None
    settings = Settings(
        _env_file=None, store="influxdb", influx_url="http://a:1", influx_bucket_ticks="market"
    )
    workspace.remember_influx(influx_of(settings))
    assert influx_of_run(workspace.root) == {
        "influx_url": "http://a:1",
        "influx_org": "crypto",
        "influx_bucket_market": "market",
        "influx_bucket_ticks": "market",
    }
    # The next run there writes to a file.
    workspace.remember_influx(influx_of(Settings(_env_file=None, store="sqlite")))
    assert influx_of_run(workspace.root) is None


def test_the_world_stays_the_same(workspace, tmp_path):
    first = workspace.world(7)
    assert first[0] == 7
    assert workspace.world(None) == first
    assert workspace.world(7) == first


def test_another_seed_is_refused_where_a_world_is_kept(workspace):
    workspace.world(7)
    with pytest.raises(UsageError, match=r"--seed 8: .* holds the world of seed 7"):
        workspace.world(8)


def test_a_damaged_note_is_named(workspace):
    (workspace.root / "simulator.json").write_text("{", encoding="ascii")
    with pytest.raises(UsageError, match=r"simulator\.json: is damaged"):
        workspace.world(None)


def test_the_broker_of_the_last_run_is_known_beside_the_kind(workspace, tmp_path):
    assert workspace.last_broker is None
    workspace.remember_broker("memory", "")
    workspace.close()
    again = Workspace(tmp_path / "run", "simulator")
    assert again.last_broker == "memory"
    again.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written.*name another directory"):
        Workspace(tmp_path / "file" / "below", "live")


def test_starts_are_counted_anew_in_each_run(workspace):
    (workspace.fresh_slots() / "producer.0.starts").write_text("3")
    assert list(workspace.fresh_slots().iterdir()) == []


def test_a_broker_that_knows_nothing_of_what_is_stored_is_refused_with_a_way_out(workspace):
    assert workspace.strange_broker("kafka", "") is None, "nothing is stored yet"
    workspace.remember_broker("memory", "")
    for kind, address, name in (("kafka", "", "a new Kafka"), ("external", "host:9092", "host:9092")):
        refusal = workspace.strange_broker(kind, address)
        assert refusal is not None and name in refusal
        assert "--broker memory" in refusal and "--data-dir" in refusal


def test_the_broker_in_memory_takes_its_bearings_from_any_store(workspace):
    workspace.remember_broker("external", "host:9092")
    assert workspace.strange_broker("memory", "") is None


def test_a_broker_that_was_here_before_is_no_stranger(workspace):
    workspace.remember_broker("kafka", "")
    workspace.kafka_dir.mkdir()
    workspace.remember_broker("external", "host:9092")
    workspace.remember_broker("memory", "")
    assert workspace.strange_broker("kafka", "") is None
    assert workspace.strange_broker("external", "host:9092") is None
    assert workspace.strange_broker("external", "other:9092") is not None
    workspace.kafka_dir.rmdir()
    assert workspace.strange_broker("kafka", "") is not None, "its logs were deleted"


def refuse_to_lock(number: int):
    def refuse(_file, _operation):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO, errno.EINVAL])
def test_a_file_system_without_locks_is_told_as_one(monkeypatch, tmp_path, number):
    monkeypatch.setattr("fcntl.flock", refuse_to_lock(number))
    with pytest.raises(UsageError) as caught:
        Workspace(tmp_path / "run", "simulator")
    assert f"cannot be locked ({os.strerror(number)})" in str(caught.value)
    assert "in use" not in str(caught.value)


def test_a_disk_that_is_full_or_refuses_is_named(monkeypatch, workspace):
    def full(_path, _content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(UsageError, match=r"source.json: cannot be written \(No space left"):
        workspace.remember_broker("memory", "")
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda _path: full(None, None))
    with pytest.raises(UsageError, match=r"source.json: cannot be read \(No space left"):
        workspace.last_broker  # noqa: B018


def test_where_trades_were_first_listened_to_is_kept_for_the_next_run(workspace):
    assert workspace.trade_bases == {}
    workspace.keep_trade_bases({"QUIETUSDC": 1_019})
    assert workspace.trade_bases == {"QUIETUSDC": 1_019}
